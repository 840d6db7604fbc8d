/**
 * A random walk of several tenants over one cache. Upstream signs every answer with the tenant and group that it made it for; an
 * answer, a vector or an error that reaches another one is counted as strange. All follows from the seed.
 */
import { ByteQueue } from '../../src/base/byte-queue.ts'
import type { Cache } from '../../src/cache/layer.ts'
import type { Call } from '../../src/core/call.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { CacheMode } from '../../src/core/principal.ts'
import type { Answer, InferenceRequest, Relay } from '../../src/core/relay.ts'
import { printFloat32 } from '../../src/sim/embedder.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { newCall, requestOf } from './ask.ts'
import { vectorOf } from './embedding-upstream.ts'
import { chatLines, okOutcome } from './scripted.ts'

export interface Walk {
  readonly cache: Cache
  readonly seed: number
  readonly operations: number
  /** Requests under way at once. */
  readonly width?: number
  /** Anything else that may happen between requests, called now and then with a number in [0, 1). */
  readonly disturb?: (random: number) => void
}

export interface Walked {
  readonly answers: number
  readonly failures: number
  /** Answers by what the cache had to do with them. */
  readonly roles: Readonly<Record<string, number>>
  /** What reached a tenant or group that it was not made for. */
  readonly strange: readonly string[]
}

const tenants = ['t1', 't2', 't3', 't4', 't5']
const groups = [null, null, null, 'red', 'blue']
const modes: readonly (CacheMode | null)[] = [null, null, null, null, null, 'on', 'auto', 'off']
const controls = ['', '', '', '', '', 'no-cache', 'no-store', 'only-if-cached', 'max-age=60', 'max-stale']
const questions = 12

/** Made once for each text: most of the walk's own time would go into making the same again. */
function remembered<T>(make: (text: string) => T): (text: string) => T {
  const made = new Map<string, T>()
  return (text) => {
    const known = made.get(text) ?? make(text)
    made.set(text, known)
    return known
  }
}

const signatureOf = ({ tenant, principal }: Call): string => `<${tenant}/${principal.nodeGroup ?? 'any'}>`
const dimensions = 4
const vectorFor = remembered((signed: string) => `[${Array.from(vectorOf(signed, dimensions), printFloat32).join(',')}]`)

/** Answers at once or in parts, and fails now and then; each answer is signed. */
function signing(random: () => number): Relay {
  return async (request, call) => {
    // Some take long, so that others come meanwhile.
    for (let turns = random() < 0.2 ? 25 : 1; turns > 0; turns -= 1) await Promise.resolve()
    if (random() < 0.02) throw new CorralError('node_protocol', `failed for ${signatureOf(call)}`)
    if (request.route.operation === 'embed') return whole(vectorsFor(request, call))
    const lines = chatLines([`for ${signatureOf(call)}`, ' about ', request.body.toString('latin1').slice(-80)])
    return request.stream ? streamed(lines, random) : whole(wholeChat(`for ${signatureOf(call)}`))
  }
}

function vectorsFor(request: InferenceRequest, call: Call): string {
  const { input }: { input: string[] } = JSON.parse(request.body.toString())
  return `{"model":"e","embeddings":[${input.map((text) => vectorFor(signatureOf(call) + text)).join(',')}],"total_duration":5,"load_duration":3,"prompt_eval_count":${input.length}}`
}

function wholeChat(content: string): string {
  const [, last = ''] = chatLines([''])
  return last.trim().replace('"content":""', `"content":${JSON.stringify(content)}`)
}

const provenance = { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs: 0 }

function whole(body: string): Answer {
  const headers = { 'content-type': 'application/json; charset=utf-8' }
  return { kind: 'whole', status: 200, headers, provenance, body: Buffer.from(body), outcome: { ...okOutcome, bytes: body.length } }
}

function streamed(lines: readonly string[], random: () => number): Answer {
  const frames = new ByteQueue(1_048_576)
  const ended = Promise.withResolvers<typeof okOutcome>()
  const send = async (): Promise<void> => {
    for (const line of lines) {
      frames.push(Buffer.from(line))
      if (random() < 0.5) await Promise.resolve()
    }
    frames.end()
    ended.resolve(okOutcome)
  }
  void send()
  const headers = { 'content-type': 'application/x-ndjson' }
  return { kind: 'stream', status: 200, headers, provenance, frames, outcome: ended.promise }
}

/** What came of an answer until its end, or until its client left. */
function textOf(answer: Answer, { signal }: Call): Promise<string> {
  if (answer.kind === 'whole') return Promise.resolve(answer.body.toString())
  return new Promise((resolve) => {
    let text = ''
    const end = (): void => resolve(text)
    signal.on(end)
    answer.frames.attach({
      take(chunk) {
        text += chunk.toString()
        return true
      },
      end,
    })
  })
}

class Walker {
  readonly #walk: Walk
  readonly #random: () => number
  readonly #relay: Relay
  readonly #roles: Record<string, number> = {}
  readonly #strange: string[] = []
  #answers = 0
  #failures = 0

  constructor(walk: Walk) {
    this.#walk = walk
    this.#random = randomSequence(walk.seed)
    this.#relay = walk.cache.layer(signing(randomSequence(walk.seed + 1)))
  }

  async run(): Promise<Walked> {
    const { operations, width = 32 } = this.#walk
    let left = operations
    const walkOn = async (): Promise<void> => {
      while (left > 0) {
        left -= 1
        await this.#step()
      }
    }
    await Promise.all(Array.from({ length: width }, walkOn))
    return { answers: this.#answers, failures: this.#failures, roles: this.#roles, strange: this.#strange }
  }

  async #step(): Promise<void> {
    if (this.#random() < 0.002) await this.#purge()
    if (this.#random() < 0.01) this.#walk.disturb?.(this.#random())
    await this.#ask()
  }

  async #ask(): Promise<void> {
    const call = newCall({ tenant: this.#pick(tenants), principal: { nodeGroup: this.#pick(groups), cache: this.#pick(modes) } })
    const texts = Array.from({ length: 1 + Math.floor(this.#random() * 3) }, () => `text ${Math.floor(this.#random() * questions)}`)
    const isEmbedding = this.#random() < 0.3
    const control = this.#pick(controls)
    const request = this.#requestOf(isEmbedding, texts, control === '' ? [] : ['cache-control', control])
    const answering = this.#relay(request, call)
    if (this.#random() < 0.1) void Promise.resolve().then(() => call.signal.abort('client gone'))
    try {
      const answer = await answering
      const text = await textOf(answer, call)
      const role = answer.provenance.cache ?? (call.progress.bypassHeaders === null ? 'none' : 'bypass')
      this.#roles[role] = (this.#roles[role] ?? 0) + 1
      this.#answers += 1
      if (isEmbedding) this.#judgeVectors(call, texts, text)
      else this.#judge(call, text)
    } catch (error) {
      this.#failures += 1
      this.#judge(call, error instanceof CorralError ? error.message : `no failure of ours: ${String(error)} <bug>`)
    }
  }

  #requestOf(isEmbedding: boolean, texts: readonly string[], headers: readonly string[]): InferenceRequest {
    if (isEmbedding) return requestOf('/api/embed', { model: 'e', input: texts }, headers)
    const messages = [{ role: 'user', content: texts[0] ?? '' }]
    const isPinned = this.#random() < 0.8
    const stream = this.#random() < 0.5
    return requestOf('/api/chat', { model: 'llama3', messages, stream, options: isPinned ? { temperature: 0 } : {} }, headers)
  }

  #judge(call: Call, text: string): void {
    const own = signatureOf(call)
    for (const [signature] of text.matchAll(/<[^<>]*>/g)) if (signature !== own) this.#strange.push(`${own} got ${text}`)
  }

  #judgeVectors(call: Call, texts: readonly string[], text: string): void {
    const expected = `"embeddings":[${texts.map((one) => vectorFor(signatureOf(call) + one)).join(',')}]`
    if (!text.includes(expected)) this.#strange.push(`${signatureOf(call)} got ${text}`)
  }

  async #purge(): Promise<void> {
    const tenant = this.#pick(tenants)
    const selector = this.#random() < 0.7 ? { tenant } : { tenant, kind: 'inference' as const }
    await this.#walk.cache.purge(selector, { dryRun: this.#random() < 0.2 })
  }

  #pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.#random() * items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }
}

/** Takes the walk to its end. */
export function walkTenants(walk: Walk): Promise<Walked> {
  return new Walker(walk).run()
}
