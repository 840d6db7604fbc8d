/**
 * Keeps a model's text from being rendered as links, images or HTML by whoever shows it: the way by which an injected document would send
 * what it was told elsewhere. Every such form is broken by one space, which leaves prose and code readable; it is done inside code as well,
 * because an unclosed fence is a way out. Addresses that stand in a retrieved passage are kept, since they carry nothing that was not there.
 *
 * Names of hosts without a scheme are left: a client that makes links of them loads nothing by itself.
 *
 * Text comes in pieces; what may still become such a form is held back.
 */

/** Longer ones are broken without being looked up. */
const urlCharsMax = 2_048
const urlStart = /(?:(?<![:/\w])\/\/(?=[a-z\d-]+\.[a-z])|[a-z][a-z0-9+.-]{1,20}:\/\/|www\.|(?:mailto|data|javascript|vbscript):(?=\S))/gi
const urlBody = /[^\s<>"'`()[\]{}|\\^]{0,2048}/y
/** No beginning is longer. */
const tailCharsMax = 80
/** What can still become the beginning of one of the forms. */
const openTail = /(?:\p{L}[\p{L}\d+.-]{0,20}:?\/?|\/\/?[a-z\d-]{0,63}|[!\]]|<\/?(?:\p{L}[^\s<>]{0,64})?)$/iu

export class LinkGuard {
  #held = ''
  #last = ''
  readonly #isKnown: (url: string) => boolean

  /** `isKnown`: whether an address stands in what was retrieved. */
  constructor(isKnown: (url: string) => boolean) {
    this.#isKnown = isKnown
  }

  /** What can be shown once `text` has come. */
  push(text: string): string {
    this.#held += text
    const length = this.#certainLength()
    const out = this.#broken(this.#held.slice(0, length))
    this.#held = this.#held.slice(length)
    return out
  }

  /** What was held back. */
  flush(): string {
    const out = this.#broken(this.#held)
    this.#held = ''
    return out
  }

  #certainLength(): number {
    const text = this.#held
    const last = Math.max(0, text.length - urlCharsMax)
    let certain = text.length
    let searched = last
    for (const match of text.slice(last).matchAll(urlStart)) {
      const at = last + match.index
      if (at < searched) continue
      searched = urlEnd(text, at + match[0].length)
      if (searched === text.length) certain = at
    }
    const from = Math.max(0, certain - tailCharsMax)
    const tail = openTail.exec(text.slice(from, certain))
    return tail === null ? certain : from + tail.index
  }

  #broken(text: string): string {
    if (text === '') return ''
    const out = breakForms(this.#breakUrls(text), this.#last)
    this.#last = out.slice(-1)
    return out
  }

  #breakUrls(text: string): string {
    let out = ''
    let from = 0
    for (const match of text.matchAll(urlStart)) {
      if (match.index < from) continue
      const end = urlEnd(text, match.index + match[0].length)
      const url = text.slice(match.index, end).replace(/[.,;:!?]+$/, '')
      out += text.slice(from, match.index)
      from = match.index + url.length
      out += this.#isKnown(url) ? url : url.replace(match[0], match[0].replace(/(?=[:.])|(?<=^\/)/, ' '))
    }
    return out + text.slice(from)
  }
}

function urlEnd(text: string, from: number): number {
  urlBody.lastIndex = from
  return from + (urlBody.exec(text)?.[0].length ?? 0)
}

/** Breaks Markdown links, images, reference definitions and HTML tags that can load or link; `before` is the character in front. */
function breakForms(text: string, before: string): string {
  const joins =
    (before === ']' && /^[([:]/.test(text)) || (before === '!' && text.startsWith('[')) || (before === '<' && /^[a-z/]/i.test(text))
  const opened = joins ? ` ${text}` : text
  return opened
    .replace(/\](?=[([:])/g, '] ')
    .replace(/!(?=\[)/g, '! ')
    .replace(/<(?=\/?[a-z][a-z0-9-]*[\s/:]|\/?(?:script|style|svg|form|base|object|embed|iframe|math)\b)/gi, '< ')
}

/** A whole text made safe in the same way, e.g. a document's title in a list of sources. */
export function guardText(text: string, isKnown: (url: string) => boolean = () => false): string {
  const guard = new LinkGuard(isKnown)
  return guard.push(text) + guard.flush()
}
