/**
 * Whether a prompt template can be parsed, as far as clients notice: an action that is never closed.
 */

/** The error of Go's template parser, or null. */
export function checkTemplate(template: string): string | null {
  let line = 1
  let at = 0
  while (at < template.length) {
    const open = template.indexOf('{{', at)
    if (open < 0) return null
    line += template.slice(at, open).split('\n').length - 1
    const close = template.indexOf('}}', open)
    if (close < 0) return `template: :${line}: unclosed action`
    at = close + 2
  }
  return null
}
