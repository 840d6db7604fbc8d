/**
 * Compares a simulated answer with a recorded one. Frames are blanked (`differences.ts`) and runs of equal frames are
 * counted as one; the lengths of the runs are compared where they are determined.
 */
import { isObject, type JsonValue } from '../../../src/sim/json-value.ts'
import { blanked } from './differences.ts'
import type { RecordedResponse, Transcript } from './transcript.ts'
import type { Exchange } from './wire-client.ts'

interface Run {
  readonly frame: string
  length: number
}

function blankedJson(text: string): string | null {
  try {
    return JSON.stringify(sortedModels(blanked(JSON.parse(text) as JsonValue)))
  } catch {
    return null
  }
}

/** Lists name models of one second in any order: they are compared sorted, unless they are short enough to have no ties. */
function sortedModels(value: JsonValue): JsonValue {
  if (!isObject(value)) return value
  const key = Array.isArray(value['models']) ? 'models' : value['object'] === 'list' ? 'data' : ''
  const list = value[key]
  if (!Array.isArray(list) || !list.every((entry) => isObject(entry) && ('size_vram' in entry || list.length > 3))) return value
  return { ...value, [key]: list.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1)) }
}

/** A frame with everything blanked that may differ; line ends stay. */
export function blankedFrame(text: string): string {
  return text
    .split('\n')
    .map((line) => {
      const data = line.startsWith('data: ') ? 'data: ' : ''
      const json = blankedJson(line.slice(data.length))
      return json === null ? line : data + json
    })
    .join('\n')
}

function runsOf(frames: readonly string[]): Run[] {
  const runs: Run[] = []
  for (const text of frames) {
    const frame = blankedFrame(text).replace(/"sequence_number":\d+/g, '"sequence_number":0')
    const last = runs.at(-1)
    if (last?.frame === frame) last.length += 1
    else runs.push({ frame, length: 1 })
  }
  return runs
}

function headerList(headers: RecordedResponse['headers']): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    typeof value === 'string' ? [[name, value]] : value.map((one): [string, string] => [name, one]),
  )
}

/** Header values that may differ, given the bodies. */
function headerProblem(wanted: Transcript, got: Exchange): string | null {
  const want = headerList(wanted.response.headers)
  const names = (list: readonly (readonly [string, string])[]): string => list.map(([name]) => name).join(', ')
  if (names(want) !== names(got.headers)) return `headers: wanted ${names(want)}; got ${names(got.headers)}`
  for (const [index, [name, value]] of want.entries()) {
    const given = got.headers[index]?.[1] ?? ''
    if (name === 'date') {
      if (!/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/.test(given)) return `date: ${given}`
    } else if (name === 'content-length' && wanted.response.framing === 'length') {
      if (Number(given) !== got.frames.reduce((sum, frame) => sum + Buffer.byteLength(frame), 0)) return `content-length: ${given}`
    } else if (name === 'content-length' && wanted.request.path === '/api/tags') continue
    else if (value !== given) return `${name}: wanted ${value}; got ${given}`
  }
  return null
}

/** Whether the number of tokens is known beforehand: both answers ran into the same limit. */
function determined(wanted: readonly string[], got: readonly string[]): boolean {
  const limited = (frames: readonly string[]): boolean =>
    /"(done_reason|finish_reason)":"length"|"stop_reason":"max_tokens"/.test(frames.at(-1) ?? '') ||
    /"max_tokens"/.test(frames.at(-2) ?? '')
  return limited(wanted) && limited(got)
}

/** A whole answer may consist of no text at all: what the model says is up to it. */
function maybeEmpty(body: string): string {
  return body.replace(/"(response|content|text)":""/g, '"$1":"nothing"')
}

/** Numbered events count up from 0; the comparison of frames itself ignores the numbers, so that runs can be counted. */
function sequenceProblem(frames: readonly string[]): string | null {
  const numbers = frames.flatMap((frame) => /"sequence_number":(\d+)/.exec(frame)?.[1] ?? []).map(Number)
  return numbers.every((number, index) => number === index) ? null : `sequence numbers: ${numbers.join(',')}`
}

function frameProblem(wanted: readonly string[], got: readonly string[]): string | null {
  const [want, have] = [runsOf(wanted), runsOf(got)]
  const count = determined(wanted, got)
  for (let index = 0; index < Math.max(want.length, have.length); index += 1) {
    const [one, other] = [want[index], have[index]]
    if (one?.frame !== other?.frame)
      return `frame run ${index}:\n  wanted ${one?.frame ?? 'nothing'}\n  got    ${other?.frame ?? 'nothing'}`
    if (count && one?.length !== other?.length) return `frame run ${index}: wanted ${one?.length} frames, got ${other?.length}`
  }
  return null
}

/** Why `got` is not what was recorded; null when it is. */
export function differenceOf(wanted: Transcript, got: Exchange): string | null {
  const { response } = wanted
  if (response.status !== got.status) return `status: wanted ${response.status}, got ${got.status} ${got.frames.join('').slice(0, 300)}`
  if (response.end !== got.end) return `end: wanted ${response.end}, got ${got.end}`
  if (response.status === 0) return null
  if (response.httpVersion !== got.httpVersion) return `version: wanted ${response.httpVersion}, got ${got.httpVersion}`
  const interim = (response.interim ?? []).map((one) => one.status).join(',')
  if (interim !== got.interim.join(',')) return `interim: wanted ${interim}, got ${got.interim.join(',')}`
  if (response.framing !== got.framing) return `framing: wanted ${response.framing}, got ${got.framing}`
  const headers = headerProblem(wanted, got)
  if (headers !== null) return headers
  if (got.headAlone) return 'the head came before the first frame'
  const frames = response.frames.map((frame) => frame.text)
  if (response.framing === 'chunked') return frameProblem(frames, got.frames) ?? sequenceProblem(got.frames)
  return frameProblem([maybeEmpty(frames.join(''))], [maybeEmpty(got.frames.join(''))])
}
