/** The routes that no description file tells of: those of Ollama and its dialects, and the operator's. A test holds it to the server's own list. */

export interface RouteGroup {
  readonly title: string
  readonly note: string
  /** `METHOD path`, what it does, the scope it asks for. */
  readonly routes: readonly (readonly [route: string, effect: string, scope: string])[]
}

const ollama: RouteGroup = {
  title: 'Ollama',
  note: 'As Ollama answers them. Whatever else is below /api/ is relayed to one node.',
  routes: [
    ['POST /api/chat', 'A chat, as a stream of JSON lines or whole', 'chat'],
    ['POST /api/generate', 'A completion', 'chat'],
    ['POST /api/embed', 'Embeddings of many texts, sharded over the nodes', 'embed'],
    ['POST /api/embeddings', 'One embedding', 'embed'],
    ['GET /api/tags', 'Models on disk, of all nodes', 'models:read'],
    ['GET /api/ps', 'Models in memory, of all nodes', 'models:read'],
    ['GET /api/version', 'The version of Ollama', 'models:read'],
    ['GET /api/status', 'What the nodes say of themselves', 'models:read'],
    ['POST /api/show', 'Facts about a model', 'models:read'],
    ['POST /api/pull', 'Brings a model to every node, with one merged progress', 'models:write'],
    ['POST /api/create', 'Makes a model on every node', 'models:write'],
    ['POST /api/copy', 'Copies a model where it is', 'models:write'],
    ['DELETE /api/delete', 'Removes a model where it is', 'models:write'],
    ['POST /api/push', 'Publishes a model', 'models:write'],
    ['POST /api/blobs/:digest', 'Uploads a blob to every node', 'models:write'],
    ['GET /api/experimental/model-recommendations', 'Recommended models', 'relay'],
    ['POST /api/experimental/web_search', 'Ollama’s web search', 'relay'],
    ['POST /api/experimental/web_fetch', 'Ollama’s web fetch', 'relay'],
    ['POST /api/me', 'The account of the node', 'admin, operator'],
    ['POST /api/signout', 'Signs the node out', 'admin, operator'],
    ['DELETE /api/user/keys/:encodedKey', 'Removes a key of the node’s account', 'admin, operator'],
  ],
}

const dialects: RouteGroup = {
  title: 'OpenAI and Anthropic',
  note: 'Base URL /v1 for clients of OpenAI, the bare origin for those of Anthropic.',
  routes: [
    ['POST /v1/chat/completions', 'A chat', 'chat'],
    ['POST /v1/completions', 'A completion', 'chat'],
    ['POST /v1/responses', 'A response', 'chat'],
    ['POST /v1/messages', 'A message, as Anthropic’s API', 'chat'],
    ['POST /v1/embeddings', 'Embeddings', 'embed'],
    ['GET /v1/models', 'Models of all nodes', 'models:read'],
    ['GET /v1/models/:model', 'One model', 'models:read'],
    ['POST /v1/audio/transcriptions', 'Speech to text', 'relay'],
  ],
}

const health: RouteGroup = {
  title: 'Health and manual',
  note: 'For balancers, Prometheus and readers.',
  routes: [
    ['GET /', 'Ollama is running', 'none'],
    ['GET /docs', 'The manual, for people', 'none'],
    ['GET /llms.txt', 'The list of its pages, for language models', 'none'],
    ['GET /livez', '200 while the process turns', 'none'],
    ['GET /startupz', '200 once the database and each node were asked; else 503', 'none'],
    ['GET /readyz', '200 while a node is up and nothing drains; else why not', 'none'],
    ['GET /metrics', 'All counters, as Prometheus reads them', 'metrics'],
  ],
}

const admin: RouteGroup = {
  title: 'Admin',
  note: 'What this console is made with. An admin of another tenant than the operator’s sees keys, usage and history of that tenant.',
  routes: [
    ['GET /admin/fleet', 'Nodes, models, queues', 'admin, operator'],
    ['GET /admin/live', 'One event a second: fleet, requests, rates', 'admin, operator'],
    ['POST /admin/nodes', 'Adds a node until the next restart', 'admin, operator'],
    ['DELETE /admin/nodes/:name', 'Takes a node out', 'admin, operator'],
    ['POST /admin/nodes/:name/drain', 'Nothing new for it', 'admin, operator'],
    ['POST /admin/nodes/:name/undrain', 'Takes it back', 'admin, operator'],
    ['GET /admin/requests', 'Requests under way', 'admin, operator'],
    ['DELETE /admin/requests/:id', 'Cancels one', 'admin, operator'],
    ['GET /admin/requests/history', 'Requests that have ended', 'admin'],
    ['GET /admin/requests/history/:id', 'One of them', 'admin'],
    ['GET /admin/usage', 'Sums by model, key, tenant, day, node', 'admin'],
    ['GET /admin/keys', 'Keys, without their text', 'admin'],
    ['POST /admin/keys', 'Makes a key and shows it once', 'admin'],
    ['GET /admin/keys/:id', 'One key', 'admin'],
    ['POST /admin/keys/:id/rotate', 'A successor; the old one lives for the overlap', 'admin'],
    ['POST /admin/keys/:id/revoke', 'Refused from now on', 'admin'],
    ['POST /admin/keys/:id/restore', 'Takes a revocation back, within 10 minutes', 'admin'],
    ['POST /admin/tokens/revoke', 'Refuses tokens of an issuer', 'admin, operator'],
    ['GET /admin/tenants', 'Tenants', 'admin'],
    ['PUT /admin/tenants/:tenant', 'Makes or changes one', 'admin'],
    ['GET /admin/audit', 'The audit log, as JSON lines', 'admin'],
    ['GET /admin/audit/verify', 'Whether it is as it was written', 'admin, operator'],
    ['GET /admin/cache', 'What the caches hold and did', 'admin, operator'],
    ['POST /admin/cache/purge', 'Takes answers out of the cache', 'admin, operator'],
    ['GET /admin/config', 'Every value in force, with its origin', 'admin, operator'],
    ['GET /admin/features', 'Capabilities, on or off, and why', 'admin, operator'],
    ['PUT /admin/features/:name', 'Switches one', 'admin, operator'],
    ['DELETE /admin/features/:name', 'As configured again', 'admin, operator'],
    ['GET /admin/dependencies', 'What Corral stands on, looked at now', 'admin, operator'],
    ['GET /admin/requests/:id/explain', 'Why a request that asked went where it went; by its own key too', 'any'],
    ['GET /admin/support-bundle', 'All of this as one file without secrets', 'admin, operator'],
  ],
}

export const routeGroups: readonly RouteGroup[] = [ollama, dialects, health, admin]
