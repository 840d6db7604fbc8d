/** A list of a gateway that comes in pages, to its end. */
interface Page<T> {
  readonly items: readonly T[]
  /** Cursor of the page after; null: this is the last. */
  readonly next: string | null
}

/** All items of the list at `path`. `read`: one page, by path and query. */
export async function everyPage<T>(path: string, query: URLSearchParams, read: (path: string) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = []
  const asked = new URLSearchParams(query)
  for (;;) {
    const page = await read(asked.size === 0 ? path : `${path}?${asked.toString()}`)
    items.push(...page.items)
    if (page.next === null) return items
    asked.set('before', page.next)
  }
}
