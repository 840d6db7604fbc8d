/** Names why a request failed, so that failures of one cause fall together: the kind and the error's first words. */

const messagePattern = /"(?:error|message)":\s*"((?:[^"\\]|\\.)*)"/
const codePattern = /"code":\s*"([a-z_]+)"/
const wordsMax = 9

/** `kind: code first words`, with addresses and numbers replaced by `#`; `kind` alone when the answer says nothing. */
export function causeOf(kind: string, answer: string): string {
  const message = messagePattern.exec(answer)?.[1] ?? answer.slice(0, 100)
  const words = message
    .replace(/https?:\S+|\b[\w.-]+:\d+\b|\d+(?:\.\d+)?/g, '#')
    .split(/\s+/)
    .slice(0, wordsMax)
    .join(' ')
  const said = [codePattern.exec(answer)?.[1] ?? '', words].filter((part) => part !== '').join(' ')
  return said === '' ? kind : `${kind}: ${said}`
}
