/** Drives a stream reader over one chunking of some bytes and reports all that a relay would see of it. */
import * as fc from 'fast-check'

import type { Usage } from '../../src/core/relay.ts'
import type { RouteFacts } from '../../src/core/route.ts'
import { createStreamReader, type StreamStep } from '../../src/wire/stream-reader.ts'

export interface Reading {
  readonly forwarded: string
  /** The reader's event, or what `end` says of a body that ended without one. */
  readonly event: StreamStep['event'] | 'complete' | 'truncated' | 'silent'
  readonly message: string | null
  readonly frames: number
  readonly usage: Usage | null
}

const defaultFrameBytesMax = 1_048_576

/** Reads `chunks` until the first event; every buffer handed on must hold whole frames of at least one byte. */
export function readStream(route: RouteFacts, chunks: readonly Buffer[], frameBytesMax = defaultFrameBytesMax): Reading {
  const reader = createStreamReader(route, { frameBytesMax })
  const forwarded: Buffer[] = []
  let event: Reading['event'] = null
  let message: string | null = null
  for (const chunk of chunks) {
    const step = reader.push(chunk)
    if (step.forward?.length === 0) throw new Error('an empty buffer was handed on')
    if (step.forward !== null) forwarded.push(Buffer.from(step.forward))
    if (step.event === null) continue
    ;({ event, message } = step)
    break
  }
  return {
    forwarded: Buffer.concat(forwarded).toString('latin1'),
    event: event ?? reader.end(),
    message,
    frames: reader.frames,
    usage: reader.usage,
  }
}

/** `bytes` in one piece per byte. */
export function byteByByte(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, index) => bytes.subarray(index, index + 1))
}

/** `bytes` cut at `points`, which are taken modulo its length; empty chunks do not occur. */
export function cutAt(bytes: Buffer, points: readonly number[]): Buffer[] {
  const cuts = [...new Set([0, ...points.map((point) => point % bytes.length), bytes.length])].toSorted((a, b) => a - b)
  return cuts.slice(1).map((cut, index) => bytes.subarray(cuts[index] ?? 0, cut))
}

const cutPoints = fc.array(fc.nat(1_000_000), { maxLength: 12 })

/** Checks that no chunking of `bytes` reads otherwise than the whole, and returns that one reading. */
export function readAnyhow(route: RouteFacts, bytes: Buffer, { runs = 25, frameBytesMax = defaultFrameBytesMax } = {}): Reading {
  const whole = readStream(route, [bytes], frameBytesMax)
  const matches = (chunks: readonly Buffer[]): void => {
    const reading = readStream(route, chunks, frameBytesMax)
    const [got, expected] = [JSON.stringify(reading), JSON.stringify(whole)]
    if (got !== expected) throw new Error(`cut at ${chunks.map(({ length }) => length).join(',')}: ${got} instead of ${expected}`)
  }
  matches(byteByByte(bytes))
  fc.assert(
    fc.property(cutPoints, (points) => matches(cutAt(bytes, points))),
    { numRuns: runs },
  )
  return whole
}
