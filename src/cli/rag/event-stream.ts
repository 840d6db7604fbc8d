/** Server-sent events of a gateway's answer, one by one. Comments, by which a waiting stream is kept alive, are left out. */

export interface StreamEvent {
  readonly event: string
  readonly data: unknown
}

/** Longest event that is kept while its end has not come. */
const eventCharsMax = 16_777_216

/** Throws when the connection breaks, or when what comes is no event stream. */
export async function* eventsOf(response: Response): AsyncGenerator<StreamEvent> {
  if (response.body === null) return
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of response.body) {
    rest += decoder.decode(chunk, { stream: true }).replaceAll('\r', '')
    const blocks = rest.split('\n\n')
    rest = blocks.pop() ?? ''
    if (rest.length > eventCharsMax) throw new Error('the answer has an event without end')
    for (const block of blocks) {
      const event = eventOf(block)
      if (event !== null) yield event
    }
  }
}

function eventOf(block: string): StreamEvent | null {
  let event = 'message'
  let data = ''
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) event = line.slice(6).trim()
    else if (line.startsWith('data:')) data += line.slice(5).trim()
  }
  return data === '' ? null : { event, data: JSON.parse(data) }
}
