/** Whose fault each recorded error is, and what of a node's message may be shown. */
import { describe, expect, it } from 'vitest'

import { type Judgement, judgeResponse, scrubMessage } from '../../src/wire/blame.ts'
import { errorBytesMax } from '../../src/wire/render-error.ts'
import { answerOf, postRoute, routeOf, transcript, transcripts } from './transcripts.ts'

/** Recorded errors that are not simply the client's. All others must be. */
const expectedKinds: Readonly<Record<string, Judgement['kind']>> = {
  '006': 'missing_route',
  '007': 'missing_route',
  '008': 'missing_route',
  '009': 'missing_route',
  '010': 'missing_route',
  '011': 'missing_route',
  '012': 'missing_route',
  '013': 'missing_route',
  '014': 'missing_route',
  '015': 'missing_route',
  '049': 'missing_model',
  '056': 'missing_model',
  '057': 'missing_route',
  '058': 'missing_route',
  '071': 'missing_model',
  '100': 'missing_model',
  '101': 'missing_model',
  '108': 'missing_model',
  '123': 'missing_model',
  '124': 'missing_model',
  '128': 'missing_model',
  '131': 'missing_model',
  '134': 'missing_model',
  '141': 'other',
  '161': 'load_failed',
  '162': 'load_failed',
  '163': 'load_failed',
  '165': 'missing_model',
  '171': 'missing_model',
  '191': 'missing_model',
  '218': 'missing_model',
  '219': 'missing_model',
  '224': 'missing_model',
  '237': 'missing_model',
  '238': 'missing_model',
  '251': 'missing_model',
  '259': 'missing_model',
  '265': 'missing_model',
  '281': 'missing_model',
  '282': 'missing_model',
  '292': 'other',
  '304': 'other',
  '309': 'overload',
  '310': 'other',
  '311': 'other',
  '312': 'cloud',
  '314': 'cloud',
  '316': 'cloud',
  '317': 'cloud',
  '318': 'cloud',
  '319': 'cloud',
  '320': 'cloud',
  '322': 'cloud',
  '323': 'cloud',
  '324': 'cloud',
  '325': 'cloud',
  '326': 'overload',
  '338': 'missing_model',
  '408': 'runner_died',
  '409': 'runner_died',
  '410': 'runner_died',
  '411': 'runner_died',
  '412': 'runner_died',
  '413': 'runner_died',
  '414': 'runner_died',
  '431': 'overload',
  '432': 'overload',
  '433': 'overload',
  '434': 'overload',
  '435': 'overload',
  '436': 'overload',
  '437': 'overload',
  '438': 'overload',
  '439': 'overload',
  '440': 'overload',
  '442': 'runner_died',
  '443': 'runner_died',
  '444': 'runner_died',
  '446': 'load_failed',
  '447': 'load_failed',
}

const faults: Readonly<Record<Judgement['kind'], Judgement['fault']>> = {
  overload: 'nobody',
  missing_model: 'nobody',
  missing_route: 'nobody',
  runner_died: 'node',
  load_failed: 'node',
  out_of_memory: 'node',
  client: 'client',
  bad_tool_call: 'nobody',
  cloud: 'client',
  other: 'node',
}

const errors = transcripts.filter(({ request, response }) => response.status >= 400 && !['HEAD', 'OPTIONS'].includes(request.method))

describe('recorded errors', () => {
  for (const exchange of errors) {
    const number = exchange.name.slice(0, 3)
    const kind = expectedKinds[number] ?? 'client'
    it(`${exchange.name} (${exchange.response.status}) is ${kind}`, () => {
      const judgement = judgeResponse(routeOf(exchange), exchange.response.status, answerOf(exchange).toString())
      expect(judgement.kind).toBe(kind)
      const unknownRoute = kind === 'missing_route' && routeOf(exchange).placement === 'relay'
      const fault = unknownRoute ? 'client' : faults[kind]
      expect(judgement.fault).toBe(fault)
      expect(judgement.retry).toBe(fault === 'client' && !unknownRoute ? 'never' : 'elsewhere')
    })
  }

  it('all named here exist', () => {
    const numbers = new Set(errors.map(({ name }) => name.slice(0, 3)))
    expect(Object.keys(expectedKinds).filter((number) => !numbers.has(number))).toEqual([])
  })

  it('show no folder, no port of a runner and no JSON in JSON', () => {
    for (const exchange of transcripts) {
      for (const line of answerOf(exchange).toString().split('\n')) {
        if (exchange.response.status < 400 && !line.startsWith('{"error"')) continue
        const { message } = judgeResponse(routeOf(exchange), Math.max(400, exchange.response.status), line)
        expect(message, exchange.name).not.toMatch(/\/usr\/|\/\.ollama|127\.0\.0\.1:\d|localhost:\d|^\{/)
      }
    }
  })
})

const chat = postRoute('/api/chat')
const judge = (status: number, message: string): Judgement => judgeResponse(chat, status, JSON.stringify({ error: message }))

describe('what a client writes', () => {
  const quoted = [
    'server busy',
    'out of memory',
    'unexpected EOF',
    'error loading model',
    'llama-server process no longer running',
    'maximum pending requests',
    'ollama.com',
    'ollama cloud is disabled',
  ]
  for (const text of quoted) {
    it(`is not taken for the node's own words: ${text}`, () => {
      expect(judge(400, `invalid think value: "${text}" (must be "high", …)`).fault).toBe('client')
      expect(judge(400, `invalid think value: "${text}"`).kind).toBe('client')
      expect(judge(404, `model '${text}' not found`).kind).toBe('missing_model')
      expect(judge(500, `invalid format: "${text}"; expected "json" or a valid JSON Schema object`).fault).toBe('client')
      expect(judge(500, `option "${text}" must be of type integer`).fault).toBe('client')
    })
  }

  it('as broken JSON stays its own fault', () => {
    for (const number of ['105', '241', '268', '287']) {
      const exchange = transcript(number)
      expect(judgeResponse(routeOf(exchange), 400, answerOf(exchange).toString()).fault).toBe('client')
    }
  })
})

describe('errors that were not recorded', () => {
  const cases: readonly (readonly [number, string, Judgement['kind']])[] = [
    [500, 'model requires more system memory (5.0 GiB) than is available (3.1 GiB)', 'out_of_memory'],
    [500, 'llama runner process has terminated: cudaMalloc failed: out of memory', 'out_of_memory'],
    [500, 'model runner has unexpectedly stopped, this may be due to resource limitations', 'runner_died'],
    [500, 'error reading llama-server response: read tcp: connection reset by peer', 'runner_died'],
    [400, 'do embedding request: Post "http://127.0.0.1:1234/v1/embeddings": read: connection reset by peer', 'runner_died'],
    [429, 'too many requests', 'overload'],
    [503, 'anything', 'overload'],
    [500, 'anything', 'other'],
    [502, 'anything', 'other'],
    [499, 'client closed', 'client'],
    [413, 'too large', 'client'],
    [200, 'an error was encountered while running the model: unexpected EOF', 'runner_died'],
    [200, 'an error without a name', 'other'],
  ]
  for (const [status, message, kind] of cases) {
    it(`${status} ${message} is ${kind}`, () => {
      expect(judge(status, message).kind).toBe(kind)
    })
  }

  it('in HTML or empty are judged by their status', () => {
    expect(judgeResponse(chat, 502, '<html><body>Bad Gateway</body></html>')).toMatchObject({ kind: 'other', message: 'Bad Gateway' })
    expect(judgeResponse(chat, 500, '')).toMatchObject({ kind: 'other', message: 'an error without a message' })
  })
})

describe('a tool call of the model that cannot be read', () => {
  const texts = [
    `error parsing tool call: raw='{"city":"Cork', err=unexpected end of JSON input`,
    `error parsing tool call: raw='it is out of memory\nserver busy', err=invalid character 'i' looking for beginning of value`,
    'XML syntax error on line 3: unexpected EOF',
    'XML syntax error on line 35: element <parameter> closed by </function>',
    'expected element type <function> but have <tool>',
    'failed to parse JSON: unexpected end of JSON input',
    'failed to parse XML: XML syntax error on line 1: unexpected EOF',
    'empty function name',
    'mismatched arg_key and arg_value counts: 2 keys, 1 values',
    "tool 'weather in Cork' not found",
    "invalid character 'W' looking for beginning of value",
    'unexpected end of JSON input',
    'json: cannot unmarshal string into Go value of type api.ToolCallFunctionArguments',
  ]
  for (const text of texts) {
    it(`is nobody's fault and not asked for again: ${text}`, () => {
      for (const status of [200, 500]) {
        expect(judge(status, text)).toMatchObject({ kind: 'bad_tool_call', fault: 'nobody', retry: 'never' })
        expect(judge(status, text).message).not.toContain('Cork')
      }
    })
  }

  it('is known however long it is', () => {
    expect(judge(500, `error parsing tool call: raw='${'x'.repeat(200_000)}', err=unexpected end of JSON input`)).toMatchObject({
      kind: 'bad_tool_call',
      message: "error parsing tool call: raw='…', err=unexpected end of JSON input",
    })
  })

  const secret = `SECRET \\"x\\\\" ${'x'.repeat(1_100_000)}`
  it.each([
    [`{"error":"error parsing tool call: raw='${secret}', err=unexpected end of JSON input"}`],
    [`{"error":{"message":"error parsing tool call: raw='${secret}', err=EOF","type":"api_error","param":null,"code":null}}`],
    [`{"type":"error","error":{"type":"api_error","message":"error parsing tool call: raw='${secret}', err=EOF"}}`],
  ])('is known though its body is over what is read of one: %#', (text) => {
    expect(judgeResponse(chat, 500, text.slice(0, errorBytesMax))).toEqual({
      kind: 'bad_tool_call',
      fault: 'nobody',
      retry: 'never',
      message: "error parsing tool call: raw='…",
    })
  })

  it('is not what a runner says of itself', () => {
    expect(judge(500, 'an error was encountered while running the model: unexpected EOF').kind).toBe('runner_died')
    expect(judge(500, 'error reading llama-server response: unexpected end of JSON input').kind).toBe('runner_died')
  })
})

describe('scrubbing', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['open /usr/share/ollama/.ollama/models/manifests/x/latest: no such file', 'open …/latest: no such file'],
    ['unable to load model: /opt/ollama/models/blobs/sha256-ab12', 'unable to load model: …/sha256-ab12'],
    ['open C:\\Users\\ann\\.ollama\\models\\blobs\\sha256-ab12: denied', 'open …/sha256-ab12: denied'],
    ['open "D:\\\\models\\\\blobs\\\\x": denied', 'open "…/x": denied'],
    ['do embedding request: Post "http://127.0.0.1:34843/v1/embeddings": EOF', 'do embedding request: Post "the runner": EOF'],
    ['Get http://[::1]:4711/health: refused', 'Get the runner refused'],
    ['read udp 127.0.0.1:5->127.0.0.1:53: refused', 'read udp localhost->localhost: refused'],
    [
      'Get "https://registry.ollama.ai/v2/library/nope/manifests/latest": EOF',
      'Get "https://registry.ollama.ai/v2/library/nope/manifests/latest": EOF',
    ],
    ['dial 127.0.0.1:4000: open /a/b/c: no', 'dial localhost: open …/c: no'],
    ['127.0.0.1:40000 127.0.0.1:40000 /home/ann/models', 'localhost localhost …/models'],
    ["model 'ns/name:tag' not found", "model 'ns/name:tag' not found"],
    ['registry.ollama.ai/library/smollm2:135m does not support tools', 'registry.ollama.ai/library/smollm2:135m does not support tools'],
    ["model 'hf.co/a/b:Q4' not found", "model 'hf.co/a/b:Q4' not found"],
    ['error:/opt/ollama/x (/home/ann/y)', 'error:…/x (…/y)'],
    ['Post "https://ollama.com:443/api/chat?ts=1": EOF', 'Post "https://ollama.com:443/api/chat?ts=1": EOF'],
    ['a/b or 3/4 of it', 'a/b or 3/4 of it'],
  ]
  for (const [text, scrubbed] of cases) {
    it(text, () => {
      expect(scrubMessage(text)).toBe(scrubbed)
    })
  }

  it('cuts a message at 2,000 characters', () => {
    expect(scrubMessage('x'.repeat(9_000))).toHaveLength(2_000)
  })
})
