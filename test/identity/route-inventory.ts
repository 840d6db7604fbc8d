/**
 * Every route as `METHOD PATTERN: what it asks for`: a scope, with `operator` where it counts only in the operator's tenant, or `open`.
 * Changed by hand, with the route, by somebody who thought of who may use it. `routes.test.ts` holds it to the mounted routes.
 */
export const inventory = `
ALL /admin/*: admin, operator
ALL /rag/*: rag:read
DELETE /admin/features/:name: admin, operator
DELETE /admin/nodes/:name: admin, operator
DELETE /admin/requests/:id: admin, operator
DELETE /api/*: relay
DELETE /api/delete: models:write
DELETE /api/user/keys/:encodedKey: admin, operator
DELETE /console/session: open
DELETE /rag/assistants/:name: rag:write
DELETE /rag/collections/:name/documents/:id: rag:write
DELETE /rag/collections/:name: rag:write
DELETE /v1/*: relay
GET /: open
GET /admin/audit/verify: admin, operator
GET /admin/audit: admin
GET /admin/cache: admin, operator
GET /admin/config: admin, operator
GET /admin/dependencies: admin, operator
GET /admin/features: admin, operator
GET /admin/fleet: admin, operator
GET /admin/keys/:id: admin
GET /admin/keys: admin
GET /admin/live: admin, operator
GET /admin/requests/:id/explain: any
GET /admin/requests/history/:id: admin
GET /admin/requests/history: admin
GET /admin/requests: admin, operator
GET /admin/support-bundle: admin, operator
GET /admin/tenants: admin
GET /admin/usage: admin
GET /api/*: relay
GET /api/experimental/model-recommendations: relay
GET /api/ps: models:read
GET /api/status: models:read
GET /api/tags: models:read
GET /api/version: models:read
GET /console/*: open
GET /console/login/:id/callback: open
GET /console/login/:id: open
GET /console/session: open
GET /console: open
GET /docs/*: open
GET /docs: open
GET /livez: open
GET /llms.txt: open
GET /metrics: metrics
GET /rag/answers/:id/feedback: rag:read
GET /rag/assistants/:name: rag:read
GET /rag/assistants: rag:read
GET /rag/collections/:name/documents/:id/source: rag:read
GET /rag/collections/:name/documents/:id/text: rag:read
GET /rag/collections/:name/documents/:id: rag:read
GET /rag/collections/:name/documents: rag:read
GET /rag/collections/:name: rag:read
GET /rag/collections: rag:read
GET /rag/jobs/:id: rag:read
GET /rag/jobs: rag:read
GET /rag/openapi.json: open
GET /readyz: open
GET /startupz: open
GET /v1/*: relay
GET /v1/models/:model: models:read
GET /v1/models: models:read
HEAD /: open
HEAD /api/*: relay
HEAD /api/blobs/:digest: models:write
HEAD /api/tags: models:read
HEAD /api/version: models:read
HEAD /v1/*: relay
PATCH /api/*: relay
PATCH /rag/collections/:name: rag:write
PATCH /v1/*: relay
POST /admin/cache/purge: admin, operator
POST /admin/keys/:id/restore: admin
POST /admin/keys/:id/revoke: admin
POST /admin/keys/:id/rotate: admin
POST /admin/keys: admin
POST /admin/nodes/:name/drain: admin, operator
POST /admin/nodes/:name/undrain: admin, operator
POST /admin/nodes: admin, operator
POST /admin/tokens/revoke: admin, operator
POST /api/*: relay
POST /api/blobs/:digest: models:write
POST /api/chat: chat
POST /api/copy: models:write
POST /api/create: models:write
POST /api/embed: embed
POST /api/embeddings: embed
POST /api/experimental/web_fetch: relay
POST /api/experimental/web_search: relay
POST /api/generate: chat
POST /api/me: admin, operator
POST /api/pull: models:write
POST /api/push: models:write
POST /api/show: models:read
POST /api/signout: admin, operator
POST /console/session: any
POST /rag/answers/:id/feedback: rag:read
POST /rag/assistants: rag:write
POST /rag/chat: rag:read
POST /rag/collections/:name/documents/:id/reingest: rag:write
POST /rag/collections/:name/documents: rag:write
POST /rag/collections/:name/purge: rag:write
POST /rag/collections/:name/reingest: rag:write
POST /rag/collections/:name/retry-failed: rag:write
POST /rag/collections: rag:write
POST /rag/jobs/:id/cancel: rag:write
POST /rag/jobs/:id/pause: rag:write
POST /rag/jobs/:id/resume: rag:write
POST /rag/jobs/:id/retry: rag:write
POST /rag/search: rag:read
POST /v1/*: relay
POST /v1/audio/transcriptions: relay
POST /v1/chat/completions: chat
POST /v1/completions: chat
POST /v1/embeddings: embed
POST /v1/messages: chat
POST /v1/responses: chat
PUT /admin/features/:name: admin, operator
PUT /admin/tenants/:tenant: admin
PUT /api/*: relay
PUT /rag/assistants/:name: rag:write
PUT /v1/*: relay
`
  .trim()
  .split('\n')
