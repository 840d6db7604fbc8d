// The few requests the tour makes, as a client of the Ollama API would make them. Times in milliseconds.

/** How one chat went. */
export interface ChatResult {
  readonly ok: boolean
  readonly node: string
  /** `retry; attempts=2` and the like. */
  readonly route: string
  readonly firstFrameMs: number
  readonly text: string
}

/** One streamed chat, read to its end. Never rejects: a failure is a result that is not ok. */
export async function chat(url: string, model: string, prompt: string): Promise<ChatResult> {
  const startedAtMs = performance.now()
  try {
    const response = await fetch(`${url}/api/chat`, {
      method: 'POST',
      body: JSON.stringify({ model, messages: [{ role: 'user', content: prompt }] }),
    })
    let firstFrameMs = 0
    let body = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      if (firstFrameMs === 0) firstFrameMs = performance.now() - startedAtMs
      body += decoder.decode(chunk, { stream: true })
    }
    const frames = body
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map(readFrame)
    const ok = response.ok && frames.at(-1)?.done === true
    const { headers } = response
    const text = frames.map((frame) => frame.text).join('')
    return {
      ok,
      node: headers.get('x-corral-node') ?? '',
      route: headers.get('x-corral-route') ?? '',
      firstFrameMs,
      text: ok ? text : body.slice(0, 200),
    }
  } catch (error) {
    return { ok: false, node: '', route: '', firstFrameMs: 0, text: error instanceof Error ? error.message : String(error) }
  }
}

function readFrame(line: string): { text: string; done: boolean } {
  const frame: { message?: { content?: string }; done?: boolean } = JSON.parse(line)
  return { text: frame.message?.content ?? '', done: frame.done === true }
}

/** Sends `count` chats, at most `atOnce` under way, and returns their results in the order they ended. */
export async function chatMany(url: string, model: string, { count, atOnce }: { count: number; atOnce: number }): Promise<ChatResult[]> {
  const results: ChatResult[] = []
  let sent = 0
  const worker = async (): Promise<void> => {
    while (sent < count) {
      sent += 1
      results.push(await chat(url, model, `Question ${sent}: what does a shepherd do?`))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return results
}

/** Embeds `inputs` in one request and returns how long it took and how many vectors came back. */
export async function embed(url: string, model: string, inputs: readonly string[]): Promise<{ durationMs: number; vectors: number }> {
  const startedAtMs = performance.now()
  const response = await fetch(`${url}/api/embed`, { method: 'POST', body: JSON.stringify({ model, input: inputs }) })
  const body: { embeddings?: unknown[] } = JSON.parse(await response.text())
  return { durationMs: performance.now() - startedAtMs, vectors: body.embeddings?.length ?? 0 }
}

/** The names of the models that `url` lists. */
export async function listModels(url: string): Promise<string[]> {
  const response = await fetch(`${url}/api/tags`)
  const body: { models: { name: string }[] } = JSON.parse(await response.text())
  return body.models.map(({ name }) => name)
}

/** Brings both models into the memory of every node, past the gateway. */
export async function warmUp(urls: readonly string[], { chatModel, embedModel }: { chatModel: string; embedModel: string }): Promise<void> {
  await Promise.all(urls.map((url) => chat(url, chatModel, 'Good morning!')))
  await Promise.all(urls.map((url) => embed(url, embedModel, ['Good morning!'])))
}

/** Lines of the gateway's metrics that begin with one of `names` and are not zero. */
export async function readMetrics(url: string, names: readonly string[]): Promise<string[]> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return text.split('\n').filter((line) => names.some((name) => line.startsWith(name)) && !line.endsWith(' 0'))
}
