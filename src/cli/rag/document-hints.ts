/** What to do about a document that was not taken, by the code of its failure. */

const hints: Readonly<Record<string, string>> = {
  body_too_large: 'split the document, or raise ingest.sourceBytesMax',
  document_too_large: 'split the document',
  document_unsupported: 'save it as a format that is read (docs/documents.md), or leave it out with --exclude',
  document_bomb: 'save it anew in its own program, without embedded media',
  document_broken: 'open it in its own program and save it anew',
  document_empty: 'nothing in it would be seen by a reader: leave it out with --exclude',
  document_encrypted: 'save it without a password',
  document_needs_ocr: 'run it through OCR, for example ocrmypdf, and ingest the result',
  document_too_complex: 'split it, or print it to a new PDF',
  document_too_many_pages: 'split the document',
  document_timeout: 'split it, or print it to a new PDF',
  url_not_allowed: 'save the page and ingest the file',
  url_refused: 'open the URL in a browser without a login: that is what the gateway sees',
  url_failed: 'try again later: corral jobs retry --failed',
  parser_failed: "the cause is in the gateway's log",
  node_failed: 'look at "corral nodes ls", then: corral jobs retry --failed',
  no_node: 'look at "corral nodes ls", then: corral jobs retry --failed',
}

/** Null: the reason says it all. */
export function hintFor(code: string): string | null {
  return hints[code] ?? null
}
