/**
 * Finds the first JSON value of a body and, when there is none, says why in the words of Go's `encoding/json`. Works on
 * one character per byte (latin1), because Go names the offending byte. Only used when `JSON.parse` refuses a body.
 * Written apart from `wire/json-scan.ts` on purpose: that one is lenient and has no words for an error, and a node that
 * shared it would accept whatever the gateway lets through by mistake.
 */
export type Scan = { readonly end: number } | { readonly error: string }

class ScanError extends Error {}

function quote(char: string): string {
  if (char === "'") return "'\\''"
  if (char === '"') return "'\"'"
  const code = char.charCodeAt(0)
  if (char === '\n') return "'\\n'"
  if (char === '\t') return "'\\t'"
  if (char === '\r') return "'\\r'"
  if (code < 0x20 || code === 0x7f) return `'\\x${code.toString(16).padStart(2, '0')}'`
  if (code >= 0x80 && code < 0xa1) return `'\\u${code.toString(16).padStart(4, '0')}'`
  return `'${char}'`
}

class Scanner {
  readonly #text: string
  #at = 0
  constructor(text: string) {
    this.#text = text
  }

  get at(): number {
    return this.#at
  }

  value(): void {
    this.#space()
    const char = this.#peek()
    if (char === '{') this.#object()
    else if (char === '[') this.#array()
    else if (char === '"') this.#string()
    else if (char === '-' || (char >= '0' && char <= '9')) this.#number()
    else if (char === 't') this.#literal('true')
    else if (char === 'f') this.#literal('false')
    else if (char === 'n') this.#literal('null')
    else this.#refuse('looking for beginning of value')
  }

  #peek(): string {
    if (this.#at >= this.#text.length) throw new ScanError('unexpected EOF')
    return this.#text.charAt(this.#at)
  }

  #refuse(context: string): never {
    throw new ScanError(`invalid character ${quote(this.#peek())} ${context}`)
  }

  #space(): void {
    while (this.#at < this.#text.length && ' \t\r\n'.includes(this.#text.charAt(this.#at))) this.#at += 1
  }

  #object(): void {
    this.#at += 1
    this.#space()
    if (this.#peek() === '}') {
      this.#at += 1
      return
    }
    for (;;) {
      this.#space()
      if (this.#peek() !== '"') this.#refuse('looking for beginning of object key string')
      this.#string()
      this.#space()
      if (this.#peek() !== ':') this.#refuse('after object key')
      this.#at += 1
      this.value()
      this.#space()
      const char = this.#peek()
      if (char !== ',' && char !== '}') this.#refuse('after object key:value pair')
      this.#at += 1
      if (char === '}') return
    }
  }

  #array(): void {
    this.#at += 1
    this.#space()
    if (this.#peek() === ']') {
      this.#at += 1
      return
    }
    for (;;) {
      this.value()
      this.#space()
      const char = this.#peek()
      if (char !== ',' && char !== ']') this.#refuse('after array element')
      this.#at += 1
      if (char === ']') return
    }
  }

  #string(): void {
    this.#at += 1
    for (;;) {
      const char = this.#peek()
      if (char < ' ') this.#refuse('in string literal')
      this.#at += 1
      if (char === '"') return
      if (char === '\\') this.#escape()
    }
  }

  #escape(): void {
    const char = this.#peek()
    if (!'bfnrt\\/"u'.includes(char)) this.#refuse('in string escape code')
    this.#at += 1
    if (char !== 'u') return
    for (let digit = 0; digit < 4; digit += 1) {
      if (!/[0-9a-f]/i.test(this.#peek())) this.#refuse('in \\u hexadecimal character escape')
      this.#at += 1
    }
  }

  #number(): void {
    if (this.#peek() === '-') this.#at += 1
    if (!/[0-9]/.test(this.#peek())) this.#refuse('in numeric literal')
    const match = /^(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/.exec(this.#text.slice(this.#at, this.#at + 400))
    this.#at += match?.[0].length ?? 1
  }

  #literal(word: string): void {
    for (const expected of word) {
      if (this.#peek() !== expected) this.#refuse(`in literal ${word} (expecting ${quote(expected)})`)
      this.#at += 1
    }
  }
}

/** Scans the first value of `bytes`; `end` is the offset behind it. */
export function scanJson(bytes: Buffer): Scan {
  const scanner = new Scanner(bytes.toString('latin1'))
  try {
    scanner.value()
    return { end: scanner.at }
  } catch (error) {
    if (error instanceof ScanError) return { error: error.message }
    throw error
  }
}
