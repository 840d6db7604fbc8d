/**
 * Many clients with the same streamed request. Each reads its answer whole; told are the bytes as a digest, when the first and
 * the last of them came, and how many frames the client that came first had when another one came.
 */
import { createHash } from 'node:crypto'
import { Agent, request } from 'node:http'

import { systemClock } from '../../src/base/clock.ts'

export interface CrowdMember {
  readonly status: number
  /** SHA-256 of the body. */
  readonly digest: string
  readonly cache: string
  readonly firstByteMs: number
  readonly endMs: number
}

/** What a client sees of its own stream while it runs. */
type OnFrames = (frames: number) => void

export interface CrowdAsk {
  readonly port: number
  readonly body: string
}

/** One client on a connection of its own. A connection that breaks counts as status 0. */
export function joinCrowd({ port, body }: CrowdAsk, onFrames: OnFrames = () => {}): Promise<CrowdMember> {
  const startMs = systemClock.nowMs()
  const sinceMs = (): number => systemClock.nowMs() - startMs
  return new Promise((resolve) => {
    const digest = createHash('sha256')
    let firstByteMs = Number.NaN
    let frames = 0
    const end = (status: number, cache: string): void =>
      resolve({ status, cache, digest: digest.digest('hex'), firstByteMs, endMs: sinceMs() })
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const outgoing = request({ host: '127.0.0.1', port, path: '/api/chat', method: 'POST', headers, agent: new Agent() }, (incoming) => {
      incoming.on('data', (bytes: Buffer) => {
        if (Number.isNaN(firstByteMs)) firstByteMs = sinceMs()
        digest.update(bytes)
        frames += bytes.toString('latin1').split('\n').length - 1
        onFrames(frames)
      })
      incoming.on('end', () => end(incoming.statusCode ?? 0, String(incoming.headers['x-corral-cache'])))
      incoming.on('error', () => end(0, 'broken'))
    })
    outgoing.on('error', () => end(0, 'refused'))
    outgoing.end(body)
  })
}
