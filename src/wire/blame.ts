/**
 * Whose fault an error answer is, by its status and text (ollama-contract-verified.md §0, §d, §g; ollama-contract.md §3.4).
 * An unknown 5xx is the node's; a 4xx is the client's unless its text says otherwise.
 */
import type { Fault } from '../core/errors.ts'
import type { RouteFacts } from '../core/route.ts'
import { decodeErrorMessage } from './render-error.ts'

export interface Judgement {
  readonly fault: Fault
  readonly retry: 'elsewhere' | 'never'
  readonly kind:
    | 'overload'
    | 'missing_model'
    | 'missing_route'
    | 'runner_died'
    | 'load_failed'
    | 'out_of_memory'
    | 'client'
    | 'bad_tool_call'
    | 'cloud'
    | 'other'
  /** What the node said, without folders, ports and what a model wrote. */
  readonly message: string
}

type Verdict = Omit<Judgement, 'message'>

const client: Verdict = { fault: 'client', retry: 'never', kind: 'client' }
const nodeFault = (kind: Judgement['kind']): Verdict => ({ fault: 'node', retry: 'elsewhere', kind })

/**
 * A tool call that the model wrote and no parser can read (ollama-contract.md §1.3; the texts are those that Ollama's
 * `model/parsers` and its harmony handler return). The node did its work, and another one would only do it again.
 */
const badToolCall: Verdict = { fault: 'nobody', retry: 'never', kind: 'bad_tool_call' }
const badToolCallTexts =
  /^(?:error parsing tool call: |XML syntax error on line \d+: |expected element type <|failed to parse (?:XML|JSON): |empty function name$)/
const badToolCallTextsBare =
  /^(?:mismatched arg_key and |tool '.*' not found$|invalid character '|unexpected end of JSON|json: cannot unmarshal )/s

/**
 * In such a text, what the model wrote: an answer's text, which is not for logs, traces and whoever looks at a node. Where the
 * text was too long to be read to its end, all of the rest is.
 */
const modelsWords = /(?<=^error parsing tool call: raw=')(?:.*(?=', err=)|.*$)|(?<=^tool ').*(?=' not found$)/s

/** The one 4xx that is the node's: embedding routes answer 400 when the runner dies (T414). */
const runnerGone = /^do embedding request: .*(?:EOF|connection re(?:set|fused)|broken pipe)/

/** Texts of server errors and of errors in a stream, most telling first. */
const byText: readonly (readonly [RegExp, Verdict])[] = [
  [/server busy|maximum pending requests/i, { fault: 'nobody', retry: 'elsewhere', kind: 'overload' }],
  [/ollama cloud is disabled|ollama\.com/i, { fault: 'client', retry: 'never', kind: 'cloud' }],
  [/out of memory|cudaMalloc failed|unable to load full model on GPU|requires more system memory/i, nodeFault('out_of_memory')],
  [runnerGone, nodeFault('runner_died')],
  [/unexpected EOF|no longer running|unexpectedly stopped|error reading llama-server/i, nodeFault('runner_died')],
  [/timed out waiting for llama-server|llama-server process has terminated|error loading model|failed to load/i, nodeFault('load_failed')],
]

/** Server errors that the request itself causes on every node: a wrong option type, a bad template, a bad format (T087, T098, T112, T147). */
const clientTexts =
  /^option "|^template:|^invalid format:|must be of type|invalid option|image generation models|does not support embeddings/i

/** Judges an error answer of a node. `text` is its body. */
export function judgeResponse(route: RouteFacts, status: number, text: string): Judgement {
  const message = scrubMessage(decodeErrorMessage(Buffer.from(text)).replace(modelsWords, '…'))
  return { ...(status === 404 ? judgeMissing(route, text) : judgeMessage(status, message)), message }
}

function judgeMessage(status: number, message: string): Verdict {
  if (status >= 400 && status < 500 && status !== 429) return judgeRefusal(message)
  if (clientTexts.test(message)) return client
  if (badToolCallTexts.test(message) || badToolCallTextsBare.test(message)) return badToolCall
  for (const [pattern, verdict] of byText) if (pattern.test(message)) return verdict
  if (status === 503 || status === 429) return { fault: 'nobody', retry: 'elsewhere', kind: 'overload' }
  return nodeFault('other')
}

/**
 * A refusal may quote what the client sent, and one of broken JSON says `unexpected EOF` (T105): only whole, anchored texts
 * count, so that no request can talk a node ill.
 */
function judgeRefusal(message: string): Verdict {
  if (runnerGone.test(message)) return nodeFault('runner_died')
  return message.startsWith('ollama cloud is disabled') ? { ...client, kind: 'cloud' } : client
}

/** A text 404 says that this node's version lacks the route, a JSON 404 that it lacks the model. */
function judgeMissing(route: RouteFacts, text: string): Verdict {
  if (!text.startsWith('{')) {
    return { fault: route.placement === 'relay' ? 'client' : 'nobody', retry: 'elsewhere', kind: 'missing_route' }
  }
  return { fault: 'nobody', retry: 'elsewhere', kind: 'missing_model' }
}

const folders = /(?:\/[\w.@:-]+){2,}/g
/** What stands before a slash inside a URL or a model name, not before a path of the disk. */
const insideName = /[\w./-]/
const windowsFolders = /\b[A-Za-z]:(?:\\{1,2}[^\\/:*?"'<>|\s]+){2,}/g
const runnerUrls = /https?:\/\/(?:127\.0\.0\.1|localhost|\[::1\]):\d+[^\s"]*/g
const loopbackPorts = /(?:\b127\.0\.0\.1|\blocalhost|\[::1\]):\d+/g

/** An error text without what it tells of the node's disk and ports. URLs stay readable. */
export function scrubMessage(message: string): string {
  return message
    .replace(runnerUrls, 'the runner')
    .replace(loopbackPorts, 'localhost')
    .replace(windowsFolders, shorten)
    .replace(folders, (path, offset: number, whole: string) => (insideName.test(whole[offset - 1] ?? '') ? path : shorten(path)))
    .slice(0, 2_000)
}

function shorten(path: string): string {
  return `…/${path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1)}`
}
