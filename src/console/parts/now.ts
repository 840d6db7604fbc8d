/** What time it is, for what counts seconds on the page. */
import { useEffect, useState } from 'react'

/** Milliseconds since 1970, each second while `ticking`. */
export function useNow(ticking: boolean): number {
  const [nowMs, setNowMs] = useState(Date.now)
  useEffect(() => {
    if (!ticking) return undefined
    const timer = setInterval(() => setNowMs(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [ticking])
  return nowMs
}
