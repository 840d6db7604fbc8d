/**
 * The bytes a mock Ollama sends, made once where they do not vary. Shapes follow Ollama's native API; a stream
 * frame carries its number and the moment it was handed to the socket, which the driver subtracts from its own
 * clock to get the delay of the hop between them.
 */
import { monotonicUs } from './monotonic.ts'

const createdAt = '2026-11-25T12:00:00.123456789Z'
const size = '"parameter_size":"8.0B","quantization_level":"Q4_K_M"'
const details = `{"parent_model":"","format":"gguf","family":"llama","families":["llama"],${size}}`
const shown = `{"details":${details},"model_info":{"llama.context_length":8192},"capabilities":["completion","embedding"]}`

/** What an answer says it took. As in Ollama, the total counts from the arrival: what the parts leave is time spent waiting. */
export interface Totals {
  readonly totalMs: number
  readonly promptTokens: number
  readonly promptMs: number
  readonly outputMs: number
}

function totalsText({ totalMs, promptTokens, promptMs, outputMs }: Totals, outputTokens: number): string {
  const [totalNs, promptNs, outputNs] = [totalMs, promptMs, outputMs].map((ms) => Math.round(ms * 1_000_000))
  const durations = `"total_duration":${totalNs},"load_duration":900000`
  const prompt = `"prompt_eval_count":${promptTokens},"prompt_eval_duration":${promptNs}`
  return `"done":true,"done_reason":"stop",${durations},${prompt},"eval_count":${outputTokens},"eval_duration":${outputNs}`
}

/** A whole HTTP answer with a length. */
export function wholeAnswer(status: string, body: string): Buffer {
  const headers = `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}`
  return Buffer.from(`HTTP/1.1 ${status}\r\n${headers}\r\n\r\n${body}`)
}

const model = `"name":"m:latest","model":"m:latest","size":4900000000,"digest":"${'ab'.repeat(32)}","details":${details}`

export const nothingLoadedAnswer = wholeAnswer('200 OK', '{"models":[]}')
export const loadFailedAnswer = wholeAnswer('500 Internal Server Error', '{"error":"llama runner process has terminated: signal: killed"}')

/** Answers of paths that need no work, by path. */
export const fixedAnswers: ReadonlyMap<string, Buffer> = new Map([
  ['/', wholeAnswer('200 OK', 'Ollama is running')],
  ['/api/version', wholeAnswer('200 OK', '{"version":"0.32.4"}')],
  ['/api/tags', wholeAnswer('200 OK', `{"models":[{${model},"modified_at":"${createdAt}"}]}`)],
  [
    '/api/ps',
    wholeAnswer('200 OK', `{"models":[{${model},"expires_at":"2099-01-01T00:00:00Z","size_vram":4900000000,"context_length":4096}]}`),
  ],
  ['/api/show', wholeAnswer('200 OK', shown)],
])

const reply = '"message":{"role":"assistant","content":"A herd is counted at dusk, one head at a time."}'
const replyTokens = 16

/** A whole chat answer. */
export function chatAnswer(totals: Totals): Buffer {
  return wholeAnswer('200 OK', `{"model":"m:latest","created_at":"${createdAt}",${reply},${totalsText(totals, replyTokens)}}`)
}

/** The answer of a node that takes no time: made once, so that the mock costs next to nothing. */
export const instantChatAnswer = chatAnswer({ totalMs: 52, promptTokens: 30, promptMs: 9, outputMs: 41 })
/** The same in OpenAI's dialect. */
export const instantOpenAiAnswer = wholeAnswer(
  '200 OK',
  `{"id":"chatcmpl-1","object":"chat.completion","created":1764072000,"model":"m:latest","system_fingerprint":"fp_ollama","choices":[{"index":0,${reply},"finish_reason":"stop"}],"usage":{"prompt_tokens":30,"completion_tokens":${replyTokens},"total_tokens":${30 + replyTokens}}}\n`,
)
const busy = '{"error":"server busy, please try again.  maximum pending requests exceeded"}'
export const overloadedAnswer = wholeAnswer('503 Service Unavailable', busy)
export const missingModelAnswer = wholeAnswer('404 Not Found', '{"error":"model \'m:latest\' not found"}')
export const missingPathAnswer = wholeAnswer('404 Not Found', '404 page not found')

export const streamHead = 'HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n'

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`
}

function frameMessage(index: number): string {
  const stamp = `${index} ${Math.round(monotonicUs())}`
  return `{"model":"m:latest","created_at":"${createdAt}","message":{"role":"assistant","content":"${stamp}"}`
}

/** Frame `index` of a stream as one HTTP chunk. */
export function streamFrame(index: number): string {
  return chunk(`${frameMessage(index)},"done":false}\n`)
}

/** The last frame, and the end of the body. */
export function lastStreamFrame(index: number, totals: Totals): string {
  return `${chunk(`${frameMessage(index)},${totalsText(totals, index + 1)}}\n`)}0\r\n\r\n`
}

/** An embedding answer whose vectors name their input, so that order and completeness can be checked. */
export function embedAnswer(inputs: readonly string[]): Buffer {
  const vectors = inputs.map((input) => {
    const number = Number(/\d+/.exec(input)?.[0] ?? -1)
    return `[${number},0.5,0.25,0.125]`
  })
  const totals = `"total_duration":1000000,"load_duration":900000,"prompt_eval_count":${inputs.length * 4}`
  return wholeAnswer('200 OK', `{"model":"m:latest","embeddings":[${vectors.join(',')}],${totals}}`)
}
