/** What can be sent to a route of our own list, for trying it there. */

export interface OwnRouteExample {
  /** Sent as JSON. */
  readonly body?: object
  /** Parameters of the query with what they mean. */
  readonly query?: Readonly<Record<string, string>>
  /** What the body is where it is no JSON. */
  readonly bytes?: 'file' | 'form'
}

/** Stand for a model that talks, and for one that makes vectors. */
export const [model, embedder] = ['llama3.2:3b', 'nomic-embed-text'] as const
const messages = [{ role: 'user', content: 'Why is the sky blue?' }]

export const ownRouteExamples: Readonly<Record<string, OwnRouteExample>> = {
  'POST /api/chat': { body: { model, messages } },
  'POST /api/generate': { body: { model, prompt: 'Why is the sky blue?' } },
  'POST /api/embed': { body: { model: embedder, input: ['The sky is blue.', 'Grass is green.'] } },
  'POST /api/embeddings': { body: { model: embedder, prompt: 'The sky is blue.' } },
  'POST /api/show': { body: { model } },
  'POST /api/pull': { body: { model } },
  'POST /api/create': { body: { model: 'helper', from: model, system: 'Answer in one sentence.' } },
  'POST /api/copy': { body: { source: model, destination: 'copy-of-it' } },
  'DELETE /api/delete': { body: { model: 'copy-of-it' } },
  'POST /api/push': { body: { model: 'me/helper' } },
  'POST /api/blobs/:digest': { bytes: 'file' },
  'POST /api/experimental/web_search': { body: { query: 'what is new in Ollama' } },
  'POST /api/experimental/web_fetch': { body: { url: 'https://ollama.com' } },
  'POST /v1/chat/completions': { body: { model, messages, stream: true } },
  'POST /v1/completions': { body: { model, prompt: 'The sky is', max_tokens: 32 } },
  'POST /v1/responses': { body: { model, input: 'Why is the sky blue?' } },
  'POST /v1/messages': { body: { model, max_tokens: 256, messages } },
  'POST /v1/embeddings': { body: { model: embedder, input: 'The sky is blue.' } },
  'POST /v1/audio/transcriptions': { bytes: 'form' },
  'POST /admin/nodes': { body: { url: 'http://127.0.0.1:11434', name: 'another' } },
  'GET /admin/requests/history': {
    query: {
      model: 'By name.',
      outcome: 'Such as ok or client_error.',
      limit: 'Rows, at most 1,000.',
      before: 'The "next" of the page before.',
      format: 'json or csv.',
    },
  },
  'GET /admin/usage': {
    query: { by: 'Such as model,day.', model: 'By name.', from: 'Not before this time.', to: 'Before this time.', format: 'json or csv.' },
  },
  'GET /admin/keys': {
    query: { tenant: 'Its keys alone.', limit: 'Keys, at most 1,000.', before: 'The "next" of the page before.' },
  },
  'GET /admin/tenants': { query: { limit: 'Tenants, at most 10,000.', before: 'The "next" of the page before.' } },
  'POST /admin/keys': { body: { title: 'notebook', scopes: ['chat', 'models:read'], expiresIn: '30d' } },
  'POST /admin/keys/:id/rotate': { body: { overlap: '1d' } },
  'POST /admin/keys/:id/revoke': { body: { reason: 'leaked in a log' } },
  'POST /admin/tokens/revoke': { body: { issuer: 'https://id.example.net', subject: 'ana' } },
  'PUT /admin/tenants/:tenant': { body: { title: 'Team A', limits: { requestsPerMinute: 600 } } },
  'GET /admin/audit': { query: { after: 'The last seq you have.' } },
  'POST /admin/cache/purge': { body: { model, dryRun: true } },
  'PUT /admin/features/:name': { body: { on: true } },
}
