/**
 * `/api/embed`, `/api/embeddings` and `/v1/embeddings`. A batch is one task of the runner's only slot; vectors are printed
 * as float32 (legacy route: float64 of them).
 */
import type { Answer } from './answer.ts'
import type { NodeContext } from './context.ts'
import { normalise, printFloat32 } from './embedder.ts'
import { countTokens, scheduleFailure } from './inference.ts'
import { keepAliveMs, runnerOptions } from './inference-request.ts'
import { decodeBody } from './json-shape.ts'
import { listOf, numberOf, textOf, writeJson, type JsonObject, type JsonValue } from './json-value.ts'
import { parseModelName } from './model-name.ts'
import { decodedOr400, sendError, sendJson } from './native-routes.ts'
import { nanos } from './reply.ts'
import { openAiError } from './reply-openai.ts'
import { embeddingsShape, embedShape, openAiEmbedShape } from './request-shapes.ts'
import type { Loaded } from './scheduler.ts'
import type { StoredModel } from './store.ts'

interface Batch {
  readonly answer: Answer
  readonly model: StoredModel
  readonly texts: readonly string[]
  readonly body: JsonObject
  readonly truncate: boolean
}

interface Vectors {
  readonly vectors: Float32Array[]
  readonly promptTokens: number
  readonly totalMs: number
  readonly loadMs: number
}

interface Hooks {
  done(result: Vectors): void
  fail(status: number, message: string): void
}

const noEmbeddings = 'This server does not support embeddings. Start it with `--embeddings`'
const tooLong = 'the input length exceeds the context length'

/** Input of `/api/embed` as texts; null when it is of a wrong type. */
function textsOf(input: JsonValue | undefined): string[] | null {
  if (input === undefined) return []
  if (typeof input === 'string') return input === '' ? [] : [input]
  if (!Array.isArray(input) || input.some((item) => typeof item !== 'string')) return null
  return input.map((item) => textOf(item))
}

class EmbedRun {
  readonly #context: NodeContext
  readonly #answer: Answer
  readonly #batch: Batch
  readonly #hooks: Hooks
  readonly #startMs: number
  #lease: Loaded | null = null
  #over = false

  constructor(context: NodeContext, batch: Batch, hooks: Hooks) {
    this.#context = context
    this.#answer = batch.answer
    this.#batch = batch
    this.#hooks = hooks
    this.#startMs = context.ticker.nowMs()
  }

  start(): void {
    const { model, body } = this.#batch
    const withdraw = this.#context.scheduler.request({
      model,
      options: runnerOptions(this.#context, model, body),
      sessionMs: keepAliveMs(body['keep_alive']),
      onReady: (loaded) => this.#ready(loaded),
      onError: (error) => {
        const failure = scheduleFailure(error)
        if (failure !== null && !this.#over) this.#hooks.fail(failure.status, failure.message)
        this.#over = true
      },
    })
    this.#answer.onGone(() => {
      if (this.#over) return
      if (this.#lease === null) this.#answer.keepsSocket = withdraw() && this.#context.scheduler.loadingModel !== null
      this.#finish()
    })
  }

  #ready(loaded: Loaded): void {
    this.#lease = loaded
    if (this.#over) return this.#finish()
    const { model, texts, truncate } = this.#batch
    const loadMs = this.#context.ticker.nowMs() - this.#startMs
    if (texts.length === 0) return this.#end({ vectors: [], promptTokens: 0, totalMs: loadMs, loadMs })
    if (!model.facts.capabilities.includes('embedding')) return this.#fail(501, noEmbeddings)
    const counts = texts.map(countTokens)
    if (!truncate && counts.some((count) => count > loaded.options.numCtx)) return this.#fail(400, tooLong)
    const promptTokens = counts.reduce((sum, count) => sum + Math.min(count, loaded.options.numCtx), 0)
    this.#compute(loaded, loadMs, promptTokens)
  }

  #compute(loaded: Loaded, loadMs: number, promptTokens: number): void {
    const { texts, model } = this.#batch
    const vectors = this.#context.embedder(texts, model.facts.embeddingLength ?? 384)
    const { embedMsPerItem, speed } = this.#context.settings
    const cancel = loaded.runner.submit({
      prompt: '',
      promptTokens,
      steps: 0,
      workMs: (texts.length * embedMsPerItem) / speed,
      onSteps: () => {},
      onDone: () => {
        const finish = (ready: Float32Array[]): void => {
          if (!this.#over) this.#end({ vectors: ready, promptTokens, loadMs, totalMs: this.#context.ticker.nowMs() - this.#startMs })
        }
        if (Array.isArray(vectors)) finish(vectors)
        else void vectors.then(finish, (error: unknown) => this.#fail(500, String(error)))
      },
      onFail: () => {
        const port = 32_768 + Math.floor(this.#context.random() * 28_000)
        if (!this.#over) this.#fail(400, `do embedding request: Post "http://127.0.0.1:${port}/v1/embeddings": EOF`)
      },
    })
    this.#answer.onGone(cancel)
  }

  #end(result: Vectors): void {
    this.#hooks.done(result)
    this.#finish()
  }

  #fail(status: number, message: string): void {
    this.#hooks.fail(status, message)
    this.#finish()
  }

  #finish(): void {
    this.#over = true
    const lease = this.#lease
    this.#lease = null
    if (lease !== null) this.#context.scheduler.release(lease)
  }
}

function cutTo(vectors: Float32Array[], dimensions: number): Float32Array[] {
  if (dimensions <= 0) return vectors
  return vectors.map((vector) => (dimensions < vector.length ? normalise(vector.slice(0, dimensions)) : vector))
}

function printVector(vector: Float32Array): string {
  return `[${Array.from(vector, printFloat32).join(',')}]`
}

function countRequest(context: NodeContext, model: StoredModel): void {
  context.perModel.set(model.name, (context.perModel.get(model.name) ?? 0) + 1)
}

function findForEmbed(context: NodeContext, name: string): StoredModel | string {
  const parsed = parseModelName(name)
  if (name === '' || parsed === null) return `model '${name}' not found`
  return context.store.get(parsed) ?? `model "${name}" not found, try pulling it first`
}

export function embed(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, embedShape))
  if (body === null) return
  const name = textOf(body['model'])
  const texts = textsOf(body['input'])
  if (texts === null) return sendError(answer, 400, 'invalid input type')
  const model = findForEmbed(context, name)
  if (typeof model === 'string') return sendError(answer, 404, model)
  countRequest(context, model)
  new EmbedRun(
    context,
    { answer, model, texts, body, truncate: body['truncate'] !== false },
    {
      fail: (status, message) => sendError(answer, status, message),
      done: ({ vectors, promptTokens, totalMs, loadMs }) => {
        const shown = cutTo(vectors, numberOf(body['dimensions'])).map(printVector).join(',')
        if (vectors.length === 0)
          return answer.whole(200, `{"model":${writeJson(name)},"embeddings":[]}`, 'application/json; charset=utf-8')
        const times = `"total_duration":${nanos(totalMs)},"load_duration":${nanos(loadMs)},"prompt_eval_count":${promptTokens}`
        answer.whole(200, `{"model":${writeJson(name)},"embeddings":[${shown}],${times}}`, 'application/json; charset=utf-8')
      },
    },
  ).start()
}

export function embeddings(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, embeddingsShape))
  if (body === null) return
  const name = textOf(body['model'])
  if (name === '') return sendError(answer, 400, 'model is required')
  const model = findForEmbed(context, name)
  if (typeof model === 'string') return sendError(answer, 404, model)
  countRequest(context, model)
  const prompt = textOf(body['prompt'])
  new EmbedRun(
    context,
    { answer, model, texts: prompt === '' ? [] : [prompt], body, truncate: true },
    {
      fail: (status, message) => sendError(answer, status, message),
      done: ({ vectors }) => sendJson(answer, 200, { embedding: Array.from(vectors[0] ?? []) }),
    },
  ).start()
}

export function openAiEmbeddings(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const early = (message: string): void => answer.whole(400, openAiError(400, message), 'application/json; charset=utf-8')
  const late = (status: number, message: string): void => answer.whole(status, `${openAiError(status, message)}\n`, 'application/json')
  const decoded = decodeBody(bytes, openAiEmbedShape)
  if (!('value' in decoded)) return early(decoded.error)
  const body = decoded.value
  const format = textOf(body['encoding_format'])
  if (format !== '' && format !== 'float' && format !== 'base64') {
    return early(`Invalid value for 'encoding_format' = ${format}. Supported values: ['float', 'base64'].`)
  }
  const input = body['input']
  if (input === undefined || input === '' || (Array.isArray(input) && listOf(input).length === 0)) return early('invalid input')
  const texts = textsOf(input)
  if (texts === null) return late(400, 'invalid input type')
  const name = textOf(body['model'])
  const model = findForEmbed(context, name)
  if (typeof model === 'string') return late(404, model)
  countRequest(context, model)
  new EmbedRun(
    context,
    { answer, model, texts, body: {}, truncate: true },
    {
      fail: late,
      done: ({ vectors, promptTokens }) => {
        const shown = cutTo(vectors, numberOf(body['dimensions']))
        const items = shown.map((vector, index) => {
          const value =
            format === 'base64'
              ? writeJson(Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64'))
              : printVector(vector)
          return `{"object":"embedding","embedding":${value},"index":${index}}`
        })
        const usage = `{"prompt_tokens":${promptTokens},"total_tokens":${promptTokens}}`
        answer.whole(200, `{"object":"list","data":[${items.join(',')}],"model":${writeJson(name)},"usage":${usage}}\n`, 'application/json')
      },
    },
  ).start()
}
