/** Reads the lines of a native chat stream: text, thinking, the reason it ended, an error. Lines of another shape are the relay's matter and are passed over. */
import { z } from 'zod'

const line = z.looseObject({
  message: z.looseObject({ content: z.string().optional(), thinking: z.string().optional() }).optional(),
  done: z.boolean().optional(),
  done_reason: z.string().optional(),
  error: z.string().optional(),
})

export interface ChatDelta {
  readonly text: string
  readonly thinking: string
  /** Null until the last line. */
  readonly doneReason: string | null
  readonly failed: boolean
}

const newline = 0x0a

/** The deltas in whole frames, in order. */
export function readChatFrames(frames: Buffer): ChatDelta[] {
  const deltas: ChatDelta[] = []
  for (let start = 0; start < frames.length;) {
    let end = frames.indexOf(newline, start)
    if (end < 0) end = frames.length
    const delta = readLine(frames.toString('utf8', start, end))
    if (delta !== null) deltas.push(delta)
    start = end + 1
  }
  return deltas
}

function readLine(text: string): ChatDelta | null {
  if (text.trim() === '') return null
  const parsed = line.safeParse(parseJson(text))
  if (!parsed.success) return null
  const { message, done, done_reason: reason, error } = parsed.data
  return {
    text: message?.content ?? '',
    thinking: message?.thinking ?? '',
    doneReason: done === true ? (reason ?? 'stop') : null,
    failed: error !== undefined,
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
