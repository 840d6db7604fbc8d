/**
 * Runs one inference request: model, checks, scheduler, runner, reply. Owns the life of the request: whatever ends it (done,
 * refused, client gone, runner dead) releases the runner exactly once.
 */
import type { NodeContext } from './context.ts'
import { joinPieces, planAnswer, thinkWish, type Piece, type Plan } from './generation.ts'
import { hashText } from './hash.ts'
import { checkAsk, checkRunnable, findModel, loadsOnly, mergedOptions, runnerOptions, type InferenceRequest } from './inference-request.ts'
import { isObject, listOf, numberOf, objectOf, textOf, writeJson, type JsonObject } from './json-value.ts'
import { charsPerToken } from './prompt-cache.ts'
import type { Reply } from './reply.ts'
import type { Loaded, ScheduleError } from './scheduler.ts'
import type { StoredModel } from './store.ts'
import type { TaskTimes } from './runner.ts'

const busyText = 'server busy, please try again.  maximum pending requests exceeded'
const deadText = 'an error was encountered while running the model: unexpected EOF'
const goneText = 'llama-server process no longer running: unknown '

/** What a scheduling error means for a client; null: it is not there any more. */
export function scheduleFailure(error: ScheduleError): { status: number; message: string } | null {
  if (error.kind === 'busy') return { status: 503, message: busyText }
  return error.kind === 'cancelled' ? null : { status: 500, message: error.text }
}

/** The text a runner would see. */
export function renderPrompt(request: InferenceRequest, model: StoredModel): string {
  const { body } = request
  if (request.kind === 'generate') {
    const context = listOf(body['context'])
      .map((id) => numberOf(id))
      .join(' ')
    const prompt = textOf(body['prompt'])
    if (body['raw'] === true) return prompt
    const system = textOf(body['system'], model.system)
    return `${system === '' ? '' : `<s>${system}</s>`}${context}<u>${prompt}${textOf(body['suffix'])}</u><a>`
  }
  let text = model.system === '' ? '' : `<s>${model.system}</s>`
  if (listOf(body['tools']).length > 0) text += writeJson(body['tools'])
  for (const entry of [...model.messages.map((one) => ({ role: one.role, content: one.content })), ...listOf(body['messages'])]) {
    const message = objectOf(entry)
    text += `<${textOf(message['role'])}>${textOf(message['thinking'])}${textOf(message['content'])}`
    if (message['tool_calls'] !== undefined) text += writeJson(message['tool_calls'])
    text += '</>'
  }
  return `${text}<a>`
}

/** Tokens of a prompt, by its length. */
export function countTokens(prompt: string): number {
  return Math.max(1, Math.ceil(prompt.length / charsPerToken))
}

/** Token ids, as `context` carries them. */
function tokenIds(prompt: string, limit: number): number[] {
  const ids: number[] = []
  for (let at = 0; at < prompt.length && ids.length < limit; at += charsPerToken)
    ids.push(hashText(prompt.slice(at, at + charsPerToken)) % 49_152)
  return ids
}

class InferenceRun {
  readonly #context: NodeContext
  readonly #request: InferenceRequest
  readonly #reply: Reply
  readonly #model: StoredModel
  readonly #startMs: number
  #loadedMs = 0
  #lease: Loaded | null = null
  #shown: Piece[] = []
  #over = false
  #prompt = ''
  #promptTokens = 0
  #plan: Plan = { steps: [], doneReason: 'stop' }
  #sentPieces = 0
  /** After how many pieces a fault kills the runner. */
  #deathAt = Infinity

  constructor(context: NodeContext, asked: { request: InferenceRequest; model: StoredModel }, reply: Reply) {
    this.#context = context
    this.#request = asked.request
    this.#model = asked.model
    this.#reply = reply
    this.#startMs = context.ticker.nowMs()
  }

  start(sessionMs: number | null): void {
    const options = runnerOptions(this.#context, this.#model, this.#request.body)
    const withdraw = this.#context.scheduler.request({
      model: this.#model,
      options,
      sessionMs,
      onReady: (loaded) => this.#ready(loaded),
      onError: (error) => this.#refused(error),
    })
    this.#reply.answer.onGone(() => {
      if (this.#over) return
      if (this.#reply.answer.started && !this.#reply.answer.gone) this.#reply.broke('error reading llama-server response: context canceled')
      if (this.#lease === null) this.#reply.answer.keepsSocket = withdraw() && this.#context.scheduler.loadingModel !== null
      this.#finish()
    })
  }

  #refused(error: ScheduleError): void {
    const failure = scheduleFailure(error)
    if (failure !== null && !this.#over) this.#reply.fail(failure.status, failure.message, 'early')
    this.#over = true
  }

  #ready(loaded: Loaded): void {
    this.#lease = loaded
    if (this.#over) return this.#finish()
    this.#loadedMs = this.#context.ticker.nowMs()
    if (loadsOnly(this.#request)) {
      this.#reply.loaded('load')
      return this.#finish()
    }
    this.#prompt = renderPrompt(this.#request, this.#model)
    this.#promptTokens = countTokens(this.#prompt)
    const { body } = this.#request
    const refusal = checkRunnable(this.#context, this.#request, { model: this.#model, promptTokens: this.#promptTokens })
    if (refusal !== null) {
      this.#reply.fail(refusal.status, refusal.message, 'runner')
      return this.#finish()
    }
    const { numCtx } = loaded.options
    const room = body['shift'] === false ? Math.max(1, numCtx - this.#promptTokens) : Infinity
    this.#promptTokens = Math.min(this.#promptTokens, numCtx)
    this.#plan = planAnswer(this.#planInput(room))
    this.#submit(loaded)
  }

  #planInput(room: number): Parameters<typeof planAnswer>[0] {
    const { body } = this.#request
    const format = body['format']
    const wish = thinkWish(body['think'])
    const last = listOf(body['messages']).at(-1)
    return {
      prompt: this.#prompt,
      capabilities: this.#model.facts.capabilities,
      tools: listOf(body['tools']).filter(isObject),
      lastRole: this.#request.kind === 'chat' ? textOf(objectOf(last)['role']) : 'user',
      think: this.#model.facts.capabilities.includes('thinking') && wish !== false,
      format: format === '' || format === null ? undefined : format,
      options: mergedOptions(this.#model, body),
      room,
      topLogprobs: body['logprobs'] === true ? numberOf(body['top_logprobs']) : null,
      answerTokens: this.#context.settings.answerTokens,
    }
  }

  #submit(loaded: Loaded): void {
    this.#deathAt = this.#context.faults.takeKind('runner-death', this.#reply.answer.path)?.frame ?? Infinity
    const cancel = loaded.runner.submit({
      prompt: this.#prompt,
      promptTokens: this.#promptTokens,
      steps: this.#plan.steps.length,
      workMs: 0,
      onSteps: (from, to) => this.#steps(from, to),
      onDone: (times) => this.#done(times),
      onFail: (error) => this.#failed(error === 'gone' ? goneText : deadText),
    })
    this.#reply.answer.onGone(cancel)
  }

  #steps(from: number, to: number): void {
    if (this.#over) return
    const pieces: Piece[] = []
    for (let index = from; index < to; index += 1) {
      const step = this.#plan.steps[index]
      if (step !== null && step !== undefined) pieces.push(step)
    }
    if (pieces.length === 0) return
    const left = this.#deathAt - this.#sentPieces
    if (pieces.length > left) pieces.length = left
    this.#sentPieces += pieces.length
    if (this.#reply.stream && pieces.length > 0) this.#reply.pieces(pieces)
    if (!this.#reply.stream || this.#shown.length === 0) this.#shown.push(...pieces)
    if (this.#sentPieces >= this.#deathAt) this.#lease?.runner.kill()
  }

  #done(times: TaskTimes): void {
    if (this.#over) return
    const whole = joinPieces(this.#shown)
    const { doneReason } = this.#plan
    if (doneReason === 'abort') this.#reply.abandon(whole)
    else {
      const totalMs = this.#context.ticker.nowMs() - this.#startMs
      const evalTokens = this.#plan.steps.length
      const { promptTokens } = { promptTokens: this.#promptTokens }
      const context = this.#contextIds(evalTokens)
      this.#reply.finish(
        { doneReason, totalMs, loadMs: this.#loadedMs - this.#startMs, promptTokens, evalTokens, ...times, context },
        whole,
      )
    }
    this.#finish()
  }

  #contextIds(evalTokens: number): number[] | null {
    if (this.#request.kind !== 'generate' || this.#request.body['raw'] === true) return null
    return [...tokenIds(this.#prompt, 400), ...tokenIds(`${this.#prompt.length} ${this.#shown.length}`, evalTokens)]
  }

  #failed(message: string): void {
    if (this.#over) return
    if (this.#reply.answer.started) this.#reply.broke(message)
    else this.#reply.fail(500, message, 'runner')
    this.#finish()
  }

  #finish(): void {
    this.#over = true
    const lease = this.#lease
    this.#lease = null
    if (lease !== null) this.#context.scheduler.release(lease)
  }
}

/** Answers `request` through `reply`. */
export function runInference(context: NodeContext, request: InferenceRequest, reply: Reply): void {
  const found = findModel(context, request)
  if ('refusal' in found) return reply.fail(found.refusal.status, found.refusal.message, 'early')
  const { model, sessionMs } = found
  context.perModel.set(model.name, (context.perModel.get(model.name) ?? 0) + 1)
  if (sessionMs === 0 && loadsOnly(request)) {
    context.scheduler.expire(model)
    return reply.loaded('unload')
  }
  const refusal = checkAsk(request, model)
  if (refusal !== null) return reply.fail(refusal.status, refusal.message, 'early')
  pingFrozen(context, model)
  new InferenceRun(context, { request, model }, reply).start(sessionMs)
}

/** A request for a model whose runner hangs makes `/api/ps` wait for two health pings. */
function pingFrozen(context: NodeContext, model: StoredModel): void {
  const loaded = context.scheduler.find(model)
  if (loaded === null || !loaded.runner.frozen) return
  context.psBlockedUntilMs = Math.max(context.psBlockedUntilMs, context.ticker.nowMs() + 19_700 / context.settings.speed)
}

export function bodyModel(body: JsonObject): string {
  const model = textOf(body['model'])
  return model === '' ? textOf(body['name']) : model
}
