/** A line of the last quarter of an hour. Gaps stay gaps. The figure beside it says the value, so it is hidden from readers. */

const width = 200
const height = 36

export function Sparkline({ values }: { readonly values: readonly (number | null)[] }) {
  const most = Math.max(...values.map((value) => value ?? 0), 0)
  const step = width / Math.max(1, values.length - 1)
  const top = (value: number): number => height - 1 - (most === 0 ? 0 : (value / most) * (height - 4))
  let path = ''
  let pen = false
  for (const [index, value] of values.entries()) {
    if (value === null) {
      pen = false
      continue
    }
    path += `${pen ? 'L' : 'M'}${(index * step).toFixed(1)} ${top(value).toFixed(1)}`
    if (!pen) path += 'h.1'
    pen = true
  }
  return (
    <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true" className="h-9 w-full text-quiet">
      <path d={`M0 ${height - 0.5}H${width}`} stroke="currentColor" strokeOpacity="0.3" vectorEffect="non-scaling-stroke" />
      <path d={path} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" vectorEffect="non-scaling-stroke" />
    </svg>
  )
}
