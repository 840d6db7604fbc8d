/** A scrape in the text format, as its grammar defines it. */

/** Series and the types of their families. Throws on a line that is none. */
export function parseScrape(text: string): { series: string[]; types: Map<string, string> } {
  const series: string[] = []
  const types = new Map<string, string>()
  const line = /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*",?)*\})? (NaN|[+-]?Inf|[-+0-9.e]+)$/
  for (const each of text.split('\n')) {
    if (each.startsWith('# TYPE ')) types.set(each.split(' ')[2] ?? '', each.split(' ')[3] ?? '')
    if (each === '' || each.startsWith('# ')) continue
    if (!line.test(each)) throw new Error(`not a sample: ${each}`)
    series.push(each.slice(0, each.lastIndexOf(' ')))
  }
  return { series, types }
}
