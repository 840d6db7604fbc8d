/**
 * What went wrong with a command, by whose hand: Redis as a whole (absent, silent, full, a replica, loading, busy, locked), which
 * the breaker counts; or this one key or script, which says nothing about the next command.
 */

export type RedisFailureKind = 'timeout' | 'connection' | 'server' | 'data'

/** The one error a command rejects with. It never leaves `src/store`: `run` turns it into `skipped`. */
export class RedisFailure extends Error {
  override readonly name = 'RedisFailure'
  readonly kind: RedisFailureKind
  /** First word of Redis's answer, such as `OOM`; empty when there was none. */
  readonly reply: string

  constructor(kind: RedisFailureKind, reply: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.kind = kind
    this.reply = reply
  }
}

/** Answers that mean no command of this kind will work now, wherever the key is. */
const serverReplies = new Set([
  'OOM',
  'READONLY',
  'LOADING',
  'BUSY',
  'NOAUTH',
  'WRONGPASS',
  'NOPERM',
  'MISCONF',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'TRYAGAIN',
  'NOREPLICAS',
  'UNKILLABLE',
])

/** Classifies what ioredis rejected with. */
export function redisFailure(thrown: unknown): RedisFailure {
  if (!(thrown instanceof Error)) return new RedisFailure('connection', '', thrown)
  if (thrown.name !== 'ReplyError') return new RedisFailure(thrown.message === 'Command timed out' ? 'timeout' : 'connection', '', thrown)
  const reply = /^-?([A-Z]+)/.exec(thrown.message)?.[1] ?? 'ERR'
  return new RedisFailure(serverReplies.has(reply) || isNested(thrown.message) ? 'server' : 'data', reply, thrown)
}

/** Before Redis 7 a script that hits such an answer reports it inside its own error. */
function isNested(message: string): boolean {
  return message.includes('OOM command not allowed') || message.includes('READONLY You can')
}
