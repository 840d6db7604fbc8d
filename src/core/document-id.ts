/** Names of documents: which ones there may be, and the one of a page that is given by its URL and no other name. */
import { createHash } from 'node:crypto'

export const documentIdCharsMax = 512
/** Hexadecimal; 128 bits. */
const digestChars = 32

export function isDocumentId(id: string): boolean {
  // eslint-disable-next-line no-control-regex
  const isOdd = /[\u0000-\u001f\u007f\\]/.test(id) || /(^|\/)\.{1,2}(\/|$)/.test(id)
  return id !== '' && id.length <= documentIdCharsMax && !isOdd
}

/** The URL itself where it may be a name; else its beginning (or `page`), `~`, and a part of its SHA-256, so that the same page is the same document. */
export function documentIdOf(url: string): string {
  if (isDocumentId(url)) return url
  const begin = url.slice(0, documentIdCharsMax - digestChars - 1).toWellFormed()
  const digest = createHash('sha256').update(url).digest('hex').slice(0, digestChars)
  return `${isDocumentId(begin) ? begin : 'page'}~${digest}`
}
