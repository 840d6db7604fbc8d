/** The `data:` lines of an SSE body whose frames have one each, as OpenAI's and Anthropic's have. */
const newline = 0x0a
const dataPrefix = 'data: '

/** Calls `onData` with where each line's payload begins and ends, until it returns false. */
export function eachData(body: Buffer, onData: (start: number, end: number) => boolean): void {
  for (let start = 0; start < body.length;) {
    let end = body.indexOf(newline, start)
    if (end < 0) end = body.length
    if (body.latin1Slice(start, Math.min(end, start + dataPrefix.length)) === dataPrefix) {
      if (!onData(start + dataPrefix.length, end)) return
    }
    start = end + 1
  }
}
