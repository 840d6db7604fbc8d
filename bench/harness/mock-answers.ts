/**
 * The bytes a mock Ollama sends, made once where they do not vary. Shapes follow Ollama's native API; a stream
 * frame carries its number and the moment it was handed to the socket, which the driver subtracts from its own
 * clock to get the delay of the hop between them.
 */
import { monotonicUs } from './monotonic.ts'

const createdAt = '2026-11-25T12:00:00.123456789Z'
const details = '{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"8.0B","quantization_level":"Q4_K_M"}'

/** What a stream's last frame says it took. */
export interface StreamTotals {
  readonly promptTokens: number
  readonly promptMs: number
  readonly outputMs: number
}

function totalsText({ promptTokens, promptMs, outputMs }: StreamTotals, outputTokens: number): string {
  const [promptNs, outputNs] = [promptMs, outputMs].map((ms) => Math.round(ms * 1_000_000))
  const durations = `"total_duration":${Math.round((promptMs + outputMs + 1) * 1_000_000)},"load_duration":900000`
  const prompt = `"prompt_eval_count":${promptTokens},"prompt_eval_duration":${promptNs}`
  return `"done":true,"done_reason":"stop",${durations},${prompt},"eval_count":${outputTokens},"eval_duration":${outputNs}`
}

/** A whole HTTP answer with a length. */
export function wholeAnswer(status: string, body: string): Buffer {
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
  return Buffer.from(head + body)
}

const model = `"name":"m:latest","model":"m:latest","size":4900000000,"digest":"${'ab'.repeat(32)}","details":${details}`

/** Answers of paths that need no work, by path. */
export const fixedAnswers: ReadonlyMap<string, Buffer> = new Map([
  ['/', wholeAnswer('200 OK', 'Ollama is running')],
  ['/api/version', wholeAnswer('200 OK', '{"version":"0.32.4"}')],
  ['/api/tags', wholeAnswer('200 OK', `{"models":[{${model},"modified_at":"${createdAt}"}]}`)],
  [
    '/api/ps',
    wholeAnswer('200 OK', `{"models":[{${model},"expires_at":"2099-01-01T00:00:00Z","size_vram":4900000000,"context_length":4096}]}`),
  ],
  ['/api/show', wholeAnswer('200 OK', `{"details":${details},"model_info":{"llama.context_length":8192},"capabilities":["completion","embedding"]}`)],
])

export const chatAnswer = wholeAnswer(
  '200 OK',
  `{"model":"m:latest","created_at":"${createdAt}","message":{"role":"assistant","content":"A herd is counted at dusk, one head at a time."},${totalsText({ promptTokens: 30, promptMs: 9, outputMs: 41 }, 16)}}`,
)
export const overloadedAnswer = wholeAnswer('503 Service Unavailable', '{"error":"server busy, please try again.  maximum pending requests exceeded"}')
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
export function lastStreamFrame(index: number, totals: StreamTotals): string {
  return `${chunk(`${frameMessage(index)},${totalsText(totals, index + 1)}}\n`)}0\r\n\r\n`
}

/** An embedding answer whose vectors name their input, so that order and completeness can be checked. */
export function embedAnswer(inputs: readonly string[]): Buffer {
  const vectors = inputs.map((input) => {
    const number = Number(/\d+/.exec(input)?.[0] ?? -1)
    return `[${number},0.5,0.25,0.125]`
  })
  return wholeAnswer('200 OK', `{"model":"m:latest","embeddings":[${vectors.join(',')}],"total_duration":1,"load_duration":1,"prompt_eval_count":${inputs.length}}`)
}
