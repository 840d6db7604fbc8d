/**
 * Makes a stored answer one of its own: fresh ids, the asker's spelling of the model, usage as asked for. It works on bytes;
 * what it looks for has bare quotes and so cannot stand inside a text. Ids keep their length.
 */
const quote = 0x22
const newline = 0x0a
/** Ids stand near the beginning of an answer; of a stream, in its first frames. */
const idSearchBytes = 4_096
const idDigits = '0123456789'
const idLetters = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** A copy in which each id with one of `prefixes` is a new one, the same everywhere. The body itself when it has none. */
export function withFreshIds(body: Buffer, prefixes: readonly string[], random: () => number): Buffer {
  let copy: Buffer | null = null
  for (const prefix of prefixes) {
    const known = new Set<string>()
    const opening = Buffer.from(`"${prefix}`)
    for (let at = body.indexOf(opening); at >= 0 && (known.size === 0 || at < idSearchBytes); at = body.indexOf(opening, at + 1)) {
      const end = body.indexOf(quote, at + 1)
      if (end < 0) break
      const id = body.latin1Slice(at + 1, end)
      if (known.has(id) || !/^[\w-]+$/.test(id)) continue
      known.add(id)
      copy ??= Buffer.from(body)
      replaceAll(copy, body, { from: `"${id}"`, to: `"${freshId(id, prefix, random)}"` })
    }
  }
  return copy ?? body
}

/** Overwrites in `copy` what stands in `body`; both texts have one length. */
function replaceAll(copy: Buffer, body: Buffer, { from, to }: { readonly from: string; readonly to: string }): void {
  const wanted = Buffer.from(from, 'latin1')
  const put = Buffer.from(to, 'latin1')
  for (let at = body.indexOf(wanted); at >= 0; at = body.indexOf(wanted, at + wanted.length)) put.copy(copy, at)
}

function freshId(id: string, prefix: string, random: () => number): string {
  const tail = id.slice(prefix.length)
  const alphabet = /^\d+$/.test(tail) ? idDigits : /^[0-9a-f]+$/.test(tail) ? '0123456789abcdef' : idLetters
  let fresh = prefix
  for (const character of tail)
    fresh += character === '_' || character === '-' ? character : (alphabet[Math.floor(random() * alphabet.length)] ?? '0')
  return fresh
}

/** The body with the model's name as `to`: the first one of each frame (of a line, for a body without frames). */
export function withModel(body: Buffer, from: string, to: string): Buffer {
  const wanted = Buffer.from(`"model":${JSON.stringify(from)}`)
  const put = Buffer.from(`"model":${JSON.stringify(to)}`)
  const pieces: Buffer[] = []
  let kept = 0
  for (let line = 0; line < body.length;) {
    let end = body.indexOf(newline, line)
    if (end < 0) end = body.length
    const at = body.subarray(line, end).indexOf(wanted)
    if (at >= 0) {
      pieces.push(body.subarray(kept, line + at), put)
      kept = line + at + wanted.length
    }
    line = end + 1
  }
  return kept === 0 ? body : Buffer.concat([...pieces, body.subarray(kept)])
}

const usageMark = Buffer.from('"choices":[],')
const frameEnd = Buffer.from('\n\n')
const dataStart = Buffer.from('data: {')

/** Whole frames without the one that only carries usage. */
export function withoutUsageFrame(frames: Buffer): Buffer {
  const at = frames.indexOf(usageMark)
  if (at < 0) return frames
  const start = frames.lastIndexOf(dataStart, at)
  const end = frames.indexOf(frameEnd, at)
  if (start < 0 || end < 0) return frames
  return Buffer.concat([frames.subarray(0, start), frames.subarray(end + frameEnd.length)])
}
