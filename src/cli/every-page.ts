/** A list of a gateway that comes in pages, to its end. */
import { CliError, exitCodes } from './exit-code.ts'

export interface Page<T> {
  readonly items: readonly T[]
  /** Cursor of the page after; null: this is the last. */
  readonly next: string | null
}

export interface PagedList<T> {
  readonly query: URLSearchParams
  /** The parameter that takes the cursor of a page. */
  readonly cursor: 'before' | 'cursor'
  /** One page, by path and query. */
  readonly read: (path: string) => Promise<Page<T>>
}

/** Ten million rows: a list that is longer than this has no end. */
const pagesMax = 100_000

/** All items of the list at `path`. */
export async function everyPage<T>(path: string, { query, cursor, read }: PagedList<T>): Promise<T[]> {
  const items: T[] = []
  const asked = new URLSearchParams(query)
  for (let page = 0; page < pagesMax; page += 1) {
    const { items: found, next } = await read(asked.size === 0 ? path : `${path}?${asked.toString()}`)
    items.push(...found)
    if (next === null) return items
    asked.set(cursor, next)
  }
  throw new CliError(exitCodes.failure, `the list at ${path} does not end`)
}
