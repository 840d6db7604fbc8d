/** A JSON log line as a person on a terminal reads it: time of day, level, message, then the fields. */

const hidden = new Set(['time', 'level', 'msg', 'trace'])

/** Rewrites one line; a line that is no JSON object stays as it is. */
export function prettyLine(line: string): string {
  let fields: unknown
  try {
    fields = JSON.parse(line)
  } catch {
    return line
  }
  if (typeof fields !== 'object' || fields === null) return line
  const known: Readonly<Record<string, unknown>> = { ...fields }
  const time = text(known['time']).slice(11, 23)
  const level = text(known['level']).toUpperCase().padEnd(5)
  const rest = Object.entries(known).filter(([key]) => !hidden.has(key))
  return `${time} ${level} ${text(known['msg'])}${rest.map(([key, value]) => ` ${key}=${text(value)}`).join('')}\n`
}

function text(value: unknown): string {
  if (value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
