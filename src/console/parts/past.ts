/** Whether a moment has passed; what is shown follows when it does. */
import { useEffect, useState } from 'react'

/** `iso`: null has passed. */
export function useIsPast(iso: string | null): boolean {
  const atMs = iso === null ? 0 : Date.parse(iso)
  const [nowMs, setNowMs] = useState(Date.now)
  useEffect(() => {
    const timer = setTimeout(() => setNowMs(Date.now()), Math.max(0, atMs - Date.now()))
    return () => clearTimeout(timer)
  }, [atMs])
  return nowMs >= atMs
}
