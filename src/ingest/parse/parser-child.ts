/**
 * The program of a parser process: reads one document after the other from stdin, writes what it makes of them to stdout. Entry point of its
 * own, also in `dist/`. It knows no settings, no secrets and no network; whatever goes wrong in here ends here.
 */
import { z } from 'zod'

import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import { FrameReader, frameBytes, type Frame } from './frames.ts'
import { parseBytes } from './parse-bytes.ts'
import { documentFrames, failureText } from './parsed-frames.ts'

const openSchema = z.object({
  name: z.string(),
  declaredType: z.string().nullable(),
  limits: z.custom<ParseLimits>((value) => typeof value === 'object' && value !== null),
})
type Opening = z.infer<typeof openSchema>

let opening: Opening | null = null
let parts: Buffer[] = []
let length = 0

/** Libraries leave promises behind when a document breaks them; only the parse under way decides what becomes of it. */
process.on('unhandledRejection', () => {})
// Whatever a library prints belongs to nobody's protocol.
console.log = console.info = console.warn = console.debug = console.error

async function write(bytes: Buffer): Promise<void> {
  if (process.stdout.write(bytes)) return
  await new Promise((resolve) => {
    process.stdout.once('drain', resolve)
  })
}

async function parseHeld({ limits, ...rest }: Opening): Promise<void> {
  const bytes = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
  parts = []
  length = 0
  try {
    const document = await parseBytes({ ...rest, bytes }, limits)
    for (const { kind, payload } of documentFrames(document)) await write(frameBytes(kind, payload))
  } catch (error) {
    if (!(error instanceof CorralError)) throw error
    if (error.cause instanceof Error) console.error(`${error.cause.name}: ${error.cause.message}`.slice(0, 1_000))
    await write(frameBytes('failed', failureText(error)))
  }
}

async function take({ kind, payload }: Frame): Promise<void> {
  if (kind === 'open') opening = openSchema.parse(JSON.parse(payload.toString()))
  if (opening === null) throw new Error(`a document begins with an open frame, not with ${kind}`)
  // One byte over the limit is kept, so that the parser says what is wrong.
  if (kind === 'data' && length <= opening.limits.sourceBytes) {
    parts.push(payload)
    length += payload.length
  }
  if (kind !== 'end') return
  const current = opening
  opening = null
  await parseHeld(current)
}

await write(frameBytes('ready'))
const frames = new FrameReader()
for await (const chunk of process.stdin) {
  if (Buffer.isBuffer(chunk)) for (const frame of frames.push(chunk)) await take(frame)
}
