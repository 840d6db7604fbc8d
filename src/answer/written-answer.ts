/** A grounded answer as the relay's answer to a client: a stream of frames, or one body, in the dialect of a writer. */
import { ByteQueue } from '../base/byte-queue.ts'
import type { Call } from '../core/call.ts'
import { CorralError, toCorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, StreamAnswer, WholeAnswer } from '../core/relay.ts'
import { renderStreamError } from '../wire/render-error.ts'
import type { AnswerEvent, AnswerStream, FinishedAnswer } from './answer-stream.ts'
import type { DialectWriter } from './dialect.ts'
import { sourcesList } from './sources-list.ts'

export interface Written {
  readonly question: string
  readonly request: InferenceRequest
  readonly call: Call
  readonly writer: DialectWriter
  /** Bytes that wait for a slow client. */
  readonly queueBytes: number
}

/** What the client gets: a stream where it asked for one. Rejects with what ended a whole answer. */
export async function writtenAnswer(stream: AnswerStream, written: Written): Promise<Answer> {
  return written.request.stream ? streamed(stream, written) : whole(stream, written)
}

function streamed(stream: AnswerStream, { question, request, call, writer, queueBytes }: Written): StreamAnswer {
  const frames = new ByteQueue(queueBytes)
  frames.onCancel = (reason) => stream.cancel(reason)
  let frameCount = 0
  let bytes = 0
  const push = (text: string): boolean => {
    if (text === '') return frames.open
    const frame = Buffer.from(text)
    frameCount += 1
    bytes += frame.length
    return frames.push(frame)
  }
  const run = async (): Promise<Outcome> => {
    push(writer.begin(stream))
    const { outcome, summary, finished } = await finish(stream, (event) => push(frameOf(writer, event)))
    const list = summary === null || !writer.listsSources ? '' : sourcesList(question, summary)
    if (finished !== null && outcome.error === null) push((list === '' ? '' : writer.text(list)) + writer.end(finished))
    else push(renderStreamError(request.route, outcome.error ?? new CorralError('internal', 'internal error'), call.id).toString())
    frames.end()
    return { ...outcome, frames: frameCount, bytes }
  }
  return {
    kind: 'stream',
    status: 200,
    headers: { ...stream.headers, ...headersOf(writer.streamType) },
    provenance: stream.provenance,
    frames,
    outcome: run(),
  }
}

/** A bug in the making of an answer ends it as `internal`, with its cause for the log. */
async function finish(
  stream: AnswerStream,
  sink: (event: AnswerEvent) => boolean,
): Promise<{ outcome: Outcome; summary: FinishedAnswer['summary'] | null; finished: FinishedAnswer | null }> {
  try {
    const finished = await stream.run(sink)
    return { outcome: finished.outcome, summary: finished.summary, finished }
  } catch (thrown) {
    const outcome: Outcome = { kind: 'internal', usage: null, frames: 0, bytes: 0, error: toCorralError(thrown) }
    return { outcome, summary: null, finished: null }
  }
}

function frameOf(writer: DialectWriter, event: AnswerEvent): string {
  switch (event.kind) {
    case 'text':
      return writer.text(event.text)
    case 'thinking':
      return writer.thinking(event.text)
    case 'citation':
      return writer.citation(event.citation)
  }
}

async function whole(stream: AnswerStream, { question, writer }: Written): Promise<WholeAnswer> {
  let text = ''
  let thinking = ''
  const finished = await stream.run((event) => {
    if (event.kind === 'text') text += event.text
    else if (event.kind === 'thinking') thinking += event.text
    return true
  })
  if (finished.outcome.kind !== 'ok') throw failureOf(finished)
  const list = writer.listsSources ? sourcesList(question, finished.summary) : ''
  const body = writer.whole({ text: text + list, thinking, finished })
  const answered = wholeBody(body, writer.wholeType, stream.provenance.dispatchedAtMs)
  const headers = { ...stream.headers, ...answered.headers }
  return { ...answered, headers, provenance: stream.provenance, outcome: { ...finished.outcome, frames: 1, bytes: answered.body.length } }
}

function failureOf({ outcome }: FinishedAnswer): CorralError {
  return outcome.error ?? new CorralError('node_failed', `the answer ended as ${outcome.kind}`)
}

/** A body that was made here. */
export function wholeBody(text: string, type: string, nowMs: number): WholeAnswer {
  const body = Buffer.from(text)
  const outcome: Outcome = { kind: 'ok', usage: null, frames: 1, bytes: body.length, error: null }
  const provenance = { node: null, reason: 'local', attempts: 0, dispatchedAtMs: nowMs }
  return { kind: 'whole', status: 200, headers: headersOf(type), provenance, body, outcome }
}

function headersOf(type: string): Readonly<Record<string, string>> {
  return { 'content-type': type }
}
