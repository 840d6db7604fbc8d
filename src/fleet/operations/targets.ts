/**
 * Pull and create on several nodes as if they were one: a progress stream per node, merged into one whose numbers never run
 * backwards and whose `success` means every node. Which nodes: those that `X-Corral-Nodes` names, else all that are up, for a create those of
 * them that hold what it is made of. A node
 * that goes down and sends nothing any more fails its part; nothing else bounds how long a pull takes.
 */
import { StringDecoder } from 'node:string_decoder'

import { ByteQueue } from '../../base/byte-queue.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, Relay } from '../../core/relay.ts'
import { scrubMessage } from '../../wire/blame.ts'
import { headerIn, withoutHeader } from '../../wire/request-headers.ts'
import { renderStreamError } from '../../wire/render-error.ts'
import type { Catalogue } from '../catalogue.ts'
import type { FleetNode } from '../node.ts'
import type { FleetOptions } from '../options.ts'
import type { Prober } from '../probe.ts'
import type { Exchange, ResponseHandler, ResponseHeaders, TransportError } from '../transport.ts'
import { downFor, relayResult, usableNodes, wholeAnswer } from './answers.ts'
import { nodesForCreate } from './create-nodes.ts'
import { decodeProgress, type Progress, ProgressMerge } from './progress-merge.ts'

export interface TargetDeps {
  readonly clock: Clock
  readonly catalogue: Catalogue
  readonly nodes: () => readonly FleetNode[]
  readonly prober: Prober
  readonly options: () => FleetOptions
}

const nodesHeader = 'x-corral-nodes'
/** A progress line is short; a node that sends more is broken. */
const lineBytesMax = 1_048_576
const checkEveryMs = 250
/** Without a charset, as a node sends them (transcripts 141, 292). */
const resultHeaders = { 'content-type': 'application/json' }

/** The relay for `/api/pull` and `/api/create`. */
export function createTargets(deps: TargetDeps): Relay {
  return async (request, call) => {
    const wanted = headerIn(request.headers, nodesHeader)
    const headers = withoutHeader(request.headers, nodesHeader)
    const usable = usableNodes(deps.nodes(), call.principal.nodeGroup)
    const { timeoutMs } = deps.options().operations
    const isOpenCreate = wanted === null && request.route.pattern === '/api/create'
    const nodes = isOpenCreate ? await nodesForCreate({ ...deps, timeoutMs }, request, { usable, call }) : chooseNodes(usable, wanted)
    if (call.signal.aborted) throw new CorralError('client_gone', 'the client left before the request was sent')
    return new TargetRun(deps, { ...request, headers }, call, nodes).start()
  }
}

function chooseNodes(usable: readonly FleetNode[], wanted: string | null): readonly FleetNode[] {
  if (wanted === null) return usable
  const names = new Set(wanted.split(',').map((name) => name.trim()))
  return [...names].map((name) => {
    const node = usable.find((candidate) => candidate.name === name)
    if (node !== undefined) return node
    throw new CorralError(
      'node_not_found',
      `${nodesHeader} names ${name}; usable nodes: ${usable.map((candidate) => candidate.name).join(', ')}`,
    )
  })
}

/** One node's part. */
class TargetStream implements ResponseHandler {
  readonly node: FleetNode
  readonly #run: TargetRun
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''
  #body: Buffer[] = []
  status = 0
  headers: ResponseHeaders = {}
  exchange: Exchange | null = null
  lastByteMs: number
  /** `success`, or why it failed; null while under way. */
  result: string | null = null

  constructor(node: FleetNode, run: TargetRun) {
    this.node = node
    this.#run = run
    this.lastByteMs = run.nowMs
  }

  onHead(status: number, headers: ResponseHeaders): void {
    this.status = status
    this.headers = headers
  }

  onData(chunk: Buffer): void {
    this.lastByteMs = this.#run.nowMs
    if (this.status !== 200) {
      this.#body.push(chunk)
      return
    }
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#onLine(line)
    if (this.#rest.length > lineBytesMax) this.end(`sent a progress line over ${lineBytesMax} bytes`)
  }

  #onLine(line: string): void {
    if (line.trim() === '' || this.result !== null) return
    const progress = decodeProgress(line)
    if (progress === null) this.end('sent a malformed progress line')
    else if (progress.error !== null) this.end(progress.error)
    else if (progress.status === 'success') this.end('success')
    else this.#run.onProgress(this.node.name, progress)
  }

  onEnd(): void {
    if (this.status === 200) {
      this.#onLine(this.#rest)
      this.end('ended its progress without success')
      return
    }
    const text = decodeProgress(this.body.toString())?.error ?? `answered ${this.status}`
    this.end(text)
  }

  onError(error: TransportError): void {
    this.end(error.message)
  }

  /** Only the first end counts. */
  end(result: string): void {
    if (this.result !== null) return
    this.result = result === 'success' ? result : scrubMessage(result)
    if (result !== 'success') this.exchange?.abort(result)
    this.#run.onTargetEnd(this)
  }

  get body(): Buffer {
    return Buffer.concat(this.#body)
  }
}

class TargetRun {
  readonly #deps: TargetDeps
  readonly #request: InferenceRequest
  readonly #call: Call
  readonly #streams: readonly TargetStream[]
  readonly #merge: ProgressMerge
  readonly #frames: ByteQueue
  #resolve: ((answer: Answer) => void) | null = null
  #resolveOutcome: (outcome: Outcome) => void = () => undefined
  #frameCount = 0
  #timer: Timer | null = null

  constructor(deps: TargetDeps, request: InferenceRequest, call: Call, nodes: readonly FleetNode[]) {
    this.#deps = deps
    this.#request = request
    this.#call = call
    this.#streams = nodes.map((node) => new TargetStream(node, this))
    this.#merge = new ProgressMerge(nodes.map(({ name }) => name))
    this.#frames = new ByteQueue(deps.options().bufferBytesMax)
    this.#frames.onCancel = () => this.#abort()
  }

  start(): Promise<Answer> {
    return new Promise((resolve) => {
      this.#resolve = resolve
      this.#call.signal.on(this.#abort)
      // Each node streams whatever the client asked for: only then is there progress to merge and a sign of life.
      const { method, target: path, headers } = this.#request
      for (const stream of this.#streams) {
        stream.exchange = stream.node.transport.open({ method, path, headers: headers.slice(), body: this.#streamedBody() }, stream)
      }
      this.#watch()
    })
  }

  get nowMs(): number {
    return this.#deps.clock.nowMs()
  }

  #watch(): void {
    this.#timer = this.#deps.clock.after(checkEveryMs, () => {
      for (const stream of this.#streams) {
        const down = downFor(stream.node, this.nowMs - stream.lastByteMs)
        if (down !== null) stream.end(down)
      }
      if (this.#streams.some(({ result }) => result === null)) this.#watch()
    })
  }

  #streamedBody(): Buffer | null {
    const { body, envelope } = this.#request
    const field = envelope.fields.get('stream')
    if (body.length === 0) return null
    if (field === undefined || envelope.stream !== false) return body
    return Buffer.concat([body.subarray(0, field.start), Buffer.from('true'), body.subarray(field.end)])
  }

  readonly #abort = (): void => {
    for (const stream of this.#streams) stream.end('the client left')
  }

  onProgress(node: string, progress: Progress): void {
    this.#call.progress.phase = 'streaming'
    for (const line of this.#merge.note(node, progress)) this.#emit(line)
  }

  #emit(line: string): void {
    if (!this.#request.stream) return
    this.#open()
    this.#frameCount += 1
    // A client that reads too slowly loses a progress line, never the result.
    this.#frames.push(Buffer.from(`${line}\n`))
  }

  #open(): void {
    const resolve = this.#resolve
    if (resolve === null) return
    this.#resolve = null
    const outcome = new Promise<Outcome>((settle) => {
      this.#resolveOutcome = settle
    })
    resolve({
      kind: 'stream',
      status: 200,
      headers: { 'content-type': 'application/x-ndjson' },
      provenance: { node: null, reason: 'targets', attempts: this.#streams.length, dispatchedAtMs: this.#call.receivedAtMs },
      frames: this.#frames,
      outcome,
    })
  }

  onTargetEnd(stream: TargetStream): void {
    for (const line of this.#merge.end(stream.node.name)) this.#emit(line)
    if (this.#streams.some(({ result }) => result === null)) return
    this.#call.signal.off(this.#abort)
    this.#timer?.cancel()
    void this.#finish()
  }

  async #finish(): Promise<void> {
    const reachable = this.#streams.filter(({ node }) => node.up !== false)
    await Promise.all(reachable.map(({ node }) => this.#deps.prober.refreshModels(node)))
    const failed = this.#streams.filter(({ result }) => result !== 'success')
    const error = failed.length === 0 ? null : this.#failure(failed)
    if (this.#resolve !== null && this.#answerWhole(failed, error)) return
    if (error === null) {
      if (this.#streams.length > 1)
        this.#emit(JSON.stringify({ status: `done on ${this.#streams.length} of ${this.#streams.length} nodes` }))
      this.#emit('{"status":"success"}')
    } else {
      this.#open()
      this.#frames.push(renderStreamError(this.#request.route, error, this.#call.id))
    }
    this.#frames.end()
    const kind = error === null ? 'ok' : this.#call.signal.aborted ? 'client_gone' : 'node_error'
    this.#resolveOutcome({ kind, usage: null, frames: this.#frameCount, bytes: 0, error })
  }

  /** True when the answer is one body: the client asked for no stream, or every node refused the request. */
  #answerWhole(failed: readonly TargetStream[], error: CorralError | null): boolean {
    const [first] = failed
    const refused = first !== undefined && failed.length === this.#streams.length && failed.every(({ status }) => status === first.status)
    if (refused && first.status >= 400) {
      this.#resolve?.(
        relayResult(
          this.#call,
          { node: first.node, status: first.status, headers: first.headers, body: first.body, failure: null },
          'targets',
        ),
      )
      return true
    }
    if (this.#request.stream) return false
    if (error === null)
      this.#resolve?.(wholeAnswer(this.#call, { headers: resultHeaders, body: Buffer.from('{"status":"success"}'), reason: 'targets' }))
    else this.#resolve?.(this.#failedWhole(error))
    return true
  }

  #failedWhole(error: CorralError): Answer {
    const body = Buffer.from(JSON.stringify({ error: error.message }))
    return wholeAnswer(this.#call, { status: 500, headers: resultHeaders, body, reason: 'targets', attempts: this.#streams.length })
  }

  #failure(failed: readonly TargetStream[]): CorralError {
    const [first] = this.#streams
    if (this.#streams.length === 1 && first !== undefined) return new CorralError('node_failed', first.result ?? 'failed')
    const done = this.#streams.filter(({ result }) => result === 'success').map(({ node }) => node.name)
    const reasons = failed.map(({ node, result }) => `${node.name}: ${result ?? ''}`)
    const succeeded = done.length === 0 ? '' : ` (done on ${done.join(', ')})`
    return new CorralError('partial_failure', `failed on ${reasons.join('; ')}${succeeded}`)
  }
}
