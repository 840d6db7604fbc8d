// The cutting, joining and resending of embedding batches, over scripted answers and a clock moved by hand.

import { describe, expect, test } from 'vitest'

import type { Waiter } from '../../src/fleet/waiting-line.ts'
import type { Call } from '../../src/core/call.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { InferenceRequest, WholeAnswer } from '../../src/core/relay.ts'
import { createCatalogue } from '../../src/fleet/catalogue.ts'
import { createEmbedSplit } from '../../src/fleet/embed-split.ts'
import { fleetOptions } from '../../src/fleet/options.ts'
import { PoolTable } from '../../src/fleet/pool.ts'
import { bareNode } from './bare-node.ts'
import { manualClock } from './manual-clock.ts'
import { makeCall, makeRequest } from './requests.ts'

/** A shard under way: what it was sent with, and how it ends. */
interface Part {
  readonly request: InferenceRequest
  readonly call: Call
  readonly texts: readonly string[]
  /** Answers a vector per text: its number. */
  answer(change?: Partial<WholeAnswer>): Promise<void>
  fail(error: Error): Promise<void>
}

const numbers = (length: number): string[] => Array.from({ length }, (_, index) => String(index))

interface Batch {
  readonly path?: string
  /** Of the request, beside its model and input. */
  readonly fields?: Readonly<Record<string, unknown>>
  readonly queueMax?: number | undefined
  /** Options of `fleet.embed`. */
  readonly [key: string]: unknown
}

function setUp({ path = '/api/embed', fields, queueMax, ...embed }: Batch = {}, call = makeCall(), texts = numbers(40)) {
  const clock = manualClock()
  const options = fleetOptions.parse({ embed, admission: queueMax === undefined ? {} : { queueMax } })
  const nodes = [bareNode('a', { 'm:latest': {} }), bareNode('b', { 'm:latest': {} })]
  const catalogue = createCatalogue({ nodes: () => nodes, aliases: () => ({}), clock, onDrift: () => undefined })
  const pools = new PoolTable<Waiter>({ catalogue, nodes: () => nodes, clock, options: () => options })
  const parts: Part[] = []
  const resent: string[] = []
  const letGo: string[] = []
  const one = (request: InferenceRequest, ofShard: Call) =>
    new Promise<WholeAnswer>((resolve, reject) => {
      const node = request.avoid?.includes('a') === true ? 'b' : 'a'
      ofShard.progress.phase = 'waiting'
      ofShard.progress.node = node
      ofShard.progress.dispatchedAtMs = clock.nowMs()
      ofShard.signal.on(() => reject(new CorralError('client_gone', 'dropped')))
      const { input } = JSON.parse(request.body.toString()) as { input: string[] }
      const dispatchedAtMs = clock.nowMs()
      const answer = (change: Partial<WholeAnswer> = {}): Promise<void> => {
        const body = { model: 'm', embeddings: input.map((text) => [Number(text)]), load_duration: 0, prompt_eval_count: input.length }
        resolve({
          kind: 'whole',
          status: 200,
          headers: {},
          body: Buffer.from(JSON.stringify(body)),
          provenance: { node, reason: 'least-loaded', attempts: 1, dispatchedAtMs },
          outcome: { kind: 'ok', usage: null, frames: 0, bytes: 0, error: null },
          ...change,
        })
        return settled()
      }
      const fail = (error: Error): Promise<void> => {
        reject(error)
        return settled()
      }
      parts.push({ request, call: ofShard, texts: input, answer, fail })
    })
  const relay = createEmbedSplit({
    one,
    pools,
    options: () => options,
    clock,
    letGo: (model, names) => letGo.push(`${model} ${[...names].join()}`),
    onResend: (node, reason) => resent.push(`${reason} ${node ?? ''}`),
  })
  const answer = relay(makeRequest(path, { model: 'm', input: texts, ...fields }), call)
  answer.catch(() => undefined)
  return { clock, parts, resent, letGo, call, answer, part: (index: number): Part => partAt(parts, index) }
}

function partAt(parts: readonly Part[], index: number): Part {
  const part = parts[index]
  if (part === undefined) throw new Error(`there is no part ${index}`)
  return part
}

/** What was settled has been heard. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
}

const unwell = { status: 503, body: Buffer.from('{"error":"server busy"}') }

describe('a batch of 40 over two nodes', () => {
  test('is cut into eight shards of batch priority that together are the batch', () => {
    const { parts } = setUp()
    expect(parts).toHaveLength(8)
    expect(parts.every(({ call }) => call.priority === 'batch')).toBe(true)
    expect(parts.flatMap(({ texts }) => texts)).toEqual(numbers(40))
  })

  test('is joined in its order in whatever order the shards end', async () => {
    const { parts, answer } = setUp()
    for (const part of parts.toReversed()) await part.answer()
    const joined = await answer
    const body =
      joined.kind === 'whole' ? (JSON.parse(joined.body.toString()) as { embeddings: number[][]; prompt_eval_count: number }) : null
    expect(body?.embeddings).toEqual(Array.from({ length: 40 }, (_, index) => [index]))
    expect(body?.prompt_eval_count).toBe(40)
  })

  test('ends with the refusal of one shard; the others are dropped', async () => {
    const { parts, part, answer } = setUp()
    await part(3).answer({ status: 400, body: Buffer.from('{"error":"the input length exceeds the context length"}') })
    expect((await answer).status).toBe(400)
    expect(parts.filter(({ call }) => call.signal.aborted)).toHaveLength(8)
  })

  test('is an error when a node answers fewer vectors than texts', async () => {
    const { part, answer } = setUp()
    await part(0).answer({ body: Buffer.from('{"model":"m","embeddings":[[1]]}') })
    await expect(answer).rejects.toMatchObject({ code: 'node_protocol', message: expect.stringContaining('a did not answer') as string })
  })

  test('is dropped whole when its client leaves', async () => {
    const { parts, call, answer } = setUp()
    call.signal.abort('client gone')
    await expect(answer).rejects.toMatchObject({ code: 'client_gone' })
    expect(parts.every((part) => part.call.signal.aborted)).toBe(true)
    expect(call.signal.listenerCount).toBe(0)
  })

  test.each([
    ['/api/embed', 'null', ['m:latest a']],
    ['/v1/embeddings', '0', []],
  ])('%s with keep_alive 0 is sent with %s, and at its end the nodes let go of %j', async (path, sent, gone) => {
    const { parts, call, letGo, answer } = setUp({ path, fields: { keep_alive: 0 } })
    expect(new Set(parts.map(({ request }) => /"keep_alive":(\w+)/.exec(request.body.toString())?.[1]))).toEqual(new Set([sent]))
    call.signal.abort('client gone')
    await expect(answer).rejects.toMatchObject({ code: 'client_gone' })
    expect(letGo).toEqual(gone)
  })
})

describe('a batch of more shards than its nodes have at once', () => {
  const texts = numbers(20_000)
  const large = (queueMax?: number, call = makeCall()) => setUp({ queueMax }, call, texts)

  test('has four for each node under way, and sends the next as one ends', async () => {
    const { parts, part, answer } = large()
    expect(parts).toHaveLength(8)
    await part(5).answer()
    expect(parts).toHaveLength(9)
    await part(8).answer()
    expect(parts).toHaveLength(10)
    for (let index = 0; index < parts.length; index += 1) if (index !== 5 && index !== 8) await part(index).answer()
    expect(parts.length).toBeGreaterThan(30)
    const joined = await answer
    const body = joined.kind === 'whole' ? (JSON.parse(joined.body.toString()) as { embeddings: number[][] }) : null
    expect(body?.embeddings).toEqual(texts.map((text) => [Number(text)]))
  })

  test.each([
    [8, 4],
    [5, 3],
    [1, 1],
    [0, 1],
  ])('never takes more than half of a line of %i places: %i', async (queueMax, count) => {
    const { parts, part } = large(queueMax)
    expect(parts).toHaveLength(count)
    await part(0).answer()
    expect(parts).toHaveLength(count + 1)
  })

  test('sends nothing more once one failed', async () => {
    const { parts, part, answer } = large()
    await part(2).answer({ status: 400, body: Buffer.from('{"error":"no"}') })
    expect((await answer).status).toBe(400)
    await part(0).answer()
    expect(parts).toHaveLength(8)
    expect(parts.every(({ call }) => call.signal.aborted)).toBe(true)
  })

  test('ends when its client leaves, though an answer was on its way', async () => {
    const { parts, part, call, answer } = large(1)
    const answered = part(0).answer()
    call.signal.abort('client gone')
    await answered
    await expect(answer).rejects.toMatchObject({ code: 'client_gone' })
    expect(parts.slice(1).every((each) => each.call.signal.aborted)).toBe(true)
    expect(call.signal.listenerCount).toBe(0)
  })
})

test('a few texts that occur so often that no answer could hold them all are refused with the first part', async () => {
  const { parts, part, answer } = setUp(
    {},
    makeCall(),
    Array.from({ length: 300_000 }, (_, index) => String(index % 40)),
  )
  const vector = Array.from({ length: 100 }, () => 0.123_456_78)
  const embeddings = part(0).texts.map(() => vector)
  await part(0).answer({ body: Buffer.from(JSON.stringify({ model: 'm', embeddings })) })
  await expect(answer).rejects.toMatchObject({ code: 'answer_too_large' })
  expect(parts.slice(1).every(({ call }) => call.signal.aborted)).toBe(true)
})

test('a batch whose client is gone already ends at once', async () => {
  const call = makeCall()
  call.signal.abort('client gone')
  const { parts, answer } = setUp({}, call)
  await expect(answer).rejects.toMatchObject({ code: 'client_gone' })
  expect(parts.every((part) => part.call.signal.aborted)).toBe(true)
})

describe('a late shard', () => {
  /** All but the last shard are done after 200 ms; the last one is then late. */
  async function late() {
    const setup = setUp()
    setup.clock.advance(200)
    for (const part of setup.parts.slice(0, 7)) await part.answer()
    setup.clock.advance(2_000)
    expect(setup.parts).toHaveLength(9)
    return setup
  }

  test('is sent once more, to another node', async () => {
    const { clock, parts, part, resent } = await late()
    expect(part(8).request.avoid).toEqual(['a'])
    expect(part(8).texts).toEqual(part(7).texts)
    expect(resent).toEqual(['straggler a'])
    clock.advance(10_000)
    expect(parts).toHaveLength(9)
  })

  test('counts by its first answer; the other copy is dropped', async () => {
    const { part, answer } = await late()
    await part(8).answer()
    expect((await answer).status).toBe(200)
    expect(part(7).call.signal.aborted).toBe(true)
  })

  test('counts its tokens once where both copies answer', async () => {
    const { part, answer } = await late()
    const both = [part(8).answer(), part(7).answer()]
    await Promise.all(both)
    const joined = await answer
    expect(joined.kind === 'whole' && joined.outcome.usage?.promptTokens).toBe(40)
  })

  test('is not lost when the second node fails while the first still works', async () => {
    const { part, answer } = await late()
    await part(8).answer(unwell)
    await part(7).answer()
    expect((await answer).status).toBe(200)
  })

  test('is lost only when both copies failed', async () => {
    const { part, answer } = await late()
    await part(7).fail(new CorralError('node_failed', 'a died'))
    await part(8).answer(unwell)
    expect((await answer).status).toBe(503)
  })

  test('is not sent again while nothing is done to compare it with', () => {
    const { clock, parts } = setUp()
    clock.advance(60_000)
    expect(parts).toHaveLength(8)
  })

  test('is sent again after a fixed time where hedging is switched on', () => {
    const { clock, parts, resent } = setUp({ hedge: true, hedgeAfterMs: 500 })
    clock.advance(600)
    expect(parts).toHaveLength(16)
    expect(new Set(resent)).toEqual(new Set(['hedge a']))
  })
})
