// Forms of files as a client would write them, byte by byte, so that they may also be wrong.

/** `head` is what stands behind the disposition of a part: its name, that of its file, and lines of its own. */
export function formOf(parts: readonly { readonly head: string; readonly body: string | Uint8Array }[], end = '--b--\r\n'): Buffer {
  const pieces = parts.flatMap(({ head, body }) => [
    Buffer.from(`--b\r\ncontent-disposition: form-data; ${head}\r\n\r\n`),
    Buffer.from(body),
    Buffer.from('\r\n'),
  ])
  return Buffer.concat([...pieces, Buffer.from(end)])
}

export const multipart = ['Content-Type: multipart/form-data; boundary=b']
