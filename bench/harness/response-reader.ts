/**
 * Reads HTTP/1.1 answers from one connection as cheaply as JavaScript can: latin1 strings, a length or chunks,
 * nothing else. It holds the driver's verdict about completeness: `onEnd` comes only after the body's own end.
 */
export interface ResponseListener {
  /** `head` is in lower case. */
  onHead(status: number, head: string): void
  onData(text: string): void
  /** The body is complete. `willClose`: the server closes the connection now. */
  onEnd(willClose: boolean): void
}

type State = { readonly kind: 'head' } | { readonly kind: 'length'; left: number } | { readonly kind: 'chunk' }

export class ResponseReader {
  readonly #listener: ResponseListener
  #pending = ''
  #state: State = { kind: 'head' }
  #willClose = false

  constructor(listener: ResponseListener) {
    this.#listener = listener
  }

  feed(text: string): void {
    this.#pending = this.#pending === '' ? text : this.#pending + text
    while (this.#pending !== '' && this.#step()) continue
  }

  /** Takes one unit off the pending text; false when it is not whole yet. */
  #step(): boolean {
    switch (this.#state.kind) {
      case 'head':
        return this.#head()
      case 'length':
        return this.#sized(this.#state)
      case 'chunk':
        return this.#chunk()
    }
  }

  #head(): boolean {
    const end = this.#pending.indexOf('\r\n\r\n')
    if (end < 0) return false
    const head = this.#pending.slice(0, end).toLowerCase()
    this.#pending = this.#pending.slice(end + 4)
    const status = Number(head.slice(9, 12))
    this.#willClose = head.includes('\r\nconnection: close')
    const lengthAt = head.indexOf('\r\ncontent-length:')
    const left = lengthAt < 0 ? 0 : Number.parseInt(head.slice(lengthAt + 17, lengthAt + 36), 10)
    this.#state = lengthAt < 0 && head.includes('\r\ntransfer-encoding: chunked') ? { kind: 'chunk' } : { kind: 'length', left }
    this.#listener.onHead(status, head)
    if (this.#state.kind === 'length' && left === 0) this.#end()
    return true
  }

  #sized(state: { left: number }): boolean {
    const part = this.#pending.slice(0, state.left)
    this.#pending = this.#pending.slice(part.length)
    state.left -= part.length
    this.#listener.onData(part)
    if (state.left === 0) this.#end()
    return true
  }

  #chunk(): boolean {
    const lineEnd = this.#pending.indexOf('\r\n')
    if (lineEnd < 0) return false
    const size = Number.parseInt(this.#pending.slice(0, lineEnd), 16)
    const end = lineEnd + 2 + size + 2
    if (this.#pending.length < end) return false
    const data = this.#pending.slice(lineEnd + 2, end - 2)
    this.#pending = this.#pending.slice(end)
    if (size > 0) this.#listener.onData(data)
    else this.#end()
    return true
  }

  #end(): void {
    this.#state = { kind: 'head' }
    this.#listener.onEnd(this.#willClose)
  }
}
