// The part of a page that a script writes, between two marker lines; the words around it are written by hand.

export interface Markers {
  readonly begin: string
  readonly end: string
}

/** Of a part that `npm run SCRIPT` writes: `what` it is. */
export function markersOf(what: string, script: string): Markers {
  return { begin: `<!-- ${what}: written by \`npm run ${script}\` -->`, end: `<!-- end of ${what} -->` }
}

const tableMarkers = markersOf('table', 'reference')

/** The page with what stands between its markers replaced by `part`; throws when a marker is missing. */
export function replacePart(page: string, part: string, { begin, end }: Markers = tableMarkers): string {
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from === -1 || to < from) throw new Error(`the page has lost its markers ${begin} and ${end}`)
  return `${page.slice(0, from)}${begin}\n\n${part}\n\n${page.slice(to)}`
}

/** Text that may stand in a cell of a table. */
export function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '\\<')
}
