/** The numbers behind a chart, from the copy that the chart keeps of them: categories down, one column for each series. */
import { attribute, descendants, element, elements, textOf, type XmlNode } from './xml.ts'

const pointsMax = 5_000

/** A grid with a header row; empty when the chart keeps no numbers. */
export function chartGrid(chart: XmlNode | undefined): string[][] {
  const series = descendants(element(chart, 'plotArea'), 'ser')
  const first = series[0]
  if (first === undefined) return []
  const categories = points(element(first, 'cat') ?? element(first, 'xVal'))
  const columns = series.map((one) => points(element(one, 'val') ?? element(one, 'yVal')))
  const rows = Math.min(pointsMax, Math.max(categories.length, ...columns.map(({ length }) => length)))
  const header = ['', ...series.map((one) => points(element(one, 'tx'))[0] ?? '')]
  return [header, ...Array.from({ length: rows }, (_, row) => [categories[row] ?? '', ...columns.map((column) => column[row] ?? '')])]
}

function points(node: XmlNode | undefined): string[] {
  const found: string[] = []
  for (const point of descendants(node, 'pt')) {
    const index = Number(attribute(point, 'idx'))
    if (Number.isInteger(index) && index >= 0 && index < pointsMax) found[index] = textOf(elements(point, 'v')[0])
  }
  return Array.from(found, (value) => value ?? '')
}
