/** Whether a moment has passed; what is shown follows when it does. */
import { useEffect, useState } from 'react'

/** `iso`: null has passed. */
export function useIsPast(iso: string | null): boolean {
  const atMs = iso === null ? 0 : Date.parse(iso)
  const [nowMs, setNowMs] = useState(Date.now)
  useEffect(() => {
    if (nowMs >= atMs) return undefined
    // A timer may end before the moment: the clock of the day goes its own way. Then it is set once more.
    const timer = setTimeout(() => setNowMs(Date.now()), Math.max(1, atMs - Date.now()))
    return () => clearTimeout(timer)
  }, [atMs, nowMs])
  return nowMs >= atMs
}
