/**
 * Looks for secrets in what a run of the tests writes: API keys and signed tokens by their shape, the tests' own passwords by name. What belongs
 * in a line is on the list of what is allowed, with the reason.
 */

export interface Finding {
  /** Who wrote it: a stream, or a file of what a gateway said. */
  readonly source: string
  readonly what: string
  /** The line, with the middle of each secret left out: the finding is printed too. */
  readonly line: string
}

interface Allowed {
  readonly reason: string
  readonly line: RegExp
}

const allowed: readonly Allowed[] = [
  { reason: 'the first key of an installation is said once', line: /admin key corral_\w+(?:"\})?$/ },
  { reason: 'and the command to go on with', line: /CORRAL_API_KEY=corral_\w+ corral keys create --url / },
]

const shapes: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  { what: 'an API key', pattern: /corral_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}/g },
  { what: 'a signed token', pattern: /eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}/g },
]

/** A line that does not end is judged in pieces of this length. */
const lineCharactersMax = 1_048_576
const findingsMax = 100
// eslint-disable-next-line no-control-regex -- what colours a terminal
const colours = /\u001b\[[0-9;]*m/g

export class SecretScan {
  readonly #passwords: readonly string[]
  readonly #unfinished = new Map<string, string>()
  readonly findings: Finding[] = []

  constructor(passwords: readonly string[]) {
    this.#passwords = passwords
  }

  /** Takes what a source writes, in pieces as they come. */
  hear(source: string, text: string): void {
    const lines = ((this.#unfinished.get(source) ?? '') + text).split('\n')
    const last = lines.pop() ?? ''
    const isLong = last.length > lineCharactersMax
    this.#unfinished.set(source, isLong ? '' : last)
    for (const line of isLong ? [...lines, last] : lines) this.#judge(source, line)
  }

  /** Judges lines that did not end. */
  end(): void {
    for (const [source, line] of this.#unfinished) this.#judge(source, line)
    this.#unfinished.clear()
  }

  #judge(source: string, painted: string): void {
    const line = allowed.reduce((text, each) => text.replace(each.line, ''), painted.replaceAll(colours, ''))
    const whats = shapes.filter(({ pattern }) => line.search(pattern) >= 0).map(({ what }) => what)
    if (this.#passwords.some((password) => line.includes(password))) whats.push('a password')
    if (whats.length === 0 || this.findings.length >= findingsMax) return
    this.findings.push({ source, what: whats.join(', '), line: this.#hidden(line).slice(0, 500) })
  }

  #hidden(line: string): string {
    const hide = (text: string): string => `${text.slice(0, 8)}[…]`
    const shaped = shapes.reduce((text, { pattern }) => text.replaceAll(pattern, hide), line)
    return this.#passwords.reduce((text, password) => text.replaceAll(password, '[password]'), shaped)
  }
}
