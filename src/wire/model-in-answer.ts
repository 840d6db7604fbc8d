/**
 * The name of a model in an answer, put as another one. It works on bytes and leaves all others as they are; what it looks
 * for has bare quotes and so cannot stand inside a text.
 */

const newline = 0x0a

export interface Renaming {
  /** Field that holds the name. */
  readonly key: string
  readonly from: string
  readonly to: string
}

interface Replacement {
  readonly wanted: Buffer
  readonly put: Buffer
}

/**
 * A function of whole frames, or of a body without frames, that gives them with the name as `to`: the first one of each line,
 * where it is `from`. Made once per answer, since a stream passes it frame by frame.
 */
export function createRenamer({ key, from, to }: Renaming): (frames: Buffer) => Buffer {
  const field = (name: string): Buffer => Buffer.from(`${JSON.stringify(key)}:${JSON.stringify(name)}`)
  const replacement = { wanted: field(from), put: field(to) }
  return (frames) => replaceInLines(frames, replacement)
}

function replaceInLines(frames: Buffer, { wanted, put }: Replacement): Buffer {
  const pieces: Buffer[] = []
  let kept = 0
  for (let line = 0; line < frames.length;) {
    let end = frames.indexOf(newline, line)
    if (end < 0) end = frames.length
    const at = frames.subarray(line, end).indexOf(wanted)
    if (at >= 0) {
      pieces.push(frames.subarray(kept, line + at), put)
      kept = line + at + wanted.length
    }
    line = end + 1
  }
  return kept === 0 ? frames : Buffer.concat([...pieces, frames.subarray(kept)])
}
