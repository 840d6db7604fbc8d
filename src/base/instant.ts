/** Times as Go writes them: RFC 3339 with an offset of any zone and up to nine digits of a second, which `Date` cuts to three. */

const fraction = /\.(\d+)/

/** Above 0 when `one` is later than `other`, 0 when they are the same instant. A text that is no time is before all others. */
export function compareInstants(one: string, other: string): number {
  const [a, b] = [instantOf(one), instantOf(other)]
  if (a.ms !== b.ms) return a.ms > b.ms ? 1 : -1
  return a.restNs - b.restNs
}

function instantOf(text: string): { readonly ms: number; readonly restNs: number } {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) return { ms: -Infinity, restNs: 0 }
  const digits = fraction.exec(text)?.[1] ?? ''
  return { ms, restNs: Number(digits.padEnd(9, '0').slice(3, 9)) }
}
