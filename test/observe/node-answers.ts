/** What a node that holds one model says of itself, and of an answer. */

export const model = 'qwen3:8b'

/** By path. */
export const lists: Readonly<Record<string, object>> = {
  '/api/version': { version: '0.30.0' },
  '/api/tags': { models: [{ name: model, model, digest: 'aa', size: 1, modified_at: '2026-01-01T00:00:00Z' }] },
  '/api/ps': {
    models: [{ name: model, model, digest: 'aa', size: 2, size_vram: 3_000, expires_at: '2099-01-01T00:00:00Z', context_length: 4_096 }],
  },
}

/** Of the last frame of an answer. */
export const figures = {
  total_duration: 9e6,
  load_duration: 1e6,
  prompt_eval_count: 7,
  prompt_eval_duration: 2e6,
  eval_count: 3,
  eval_duration: 6e6,
}
