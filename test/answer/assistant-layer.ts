/** The relay layer of assistants over a corpus of one document, with an assistant of the tenant `a` and a model that says one cited sentence. */
import { grounded, type GroundedDeps } from '../../src/answer/grounded.ts'
import { answerDefaults, type Assistant } from '../../src/core/assistant.ts'
import type { Relay } from '../../src/core/relay.ts'
import { type Body, newCall, requestOf, take } from '../cache/ask.ts'
import { FakeCorpus, setup } from './setup.ts'

export const corpus = new FakeCorpus({
  id: 'limits',
  title: 'Upload limits',
  text: 'Uploads may be up to 32 MB.',
  uri: 'https://example.org/limits',
  page: 3,
  start: 500,
})
export const said = 'Uploads may have 32 MB [1: "may be up to 32 MB"].'
export const visible = 'Uploads may have 32 MB [1].'
export const sources = '\n\nSources:\n[1] Upload limits, p. 3 https://example.org/limits'

const handbook: Assistant = {
  tenant: 'a',
  name: 'handbook',
  title: '',
  collections: ['docs'],
  model: 'llama3.2',
  prompt: 'You are the handbook.',
  settings: { ...answerDefaults, strengthMin: 0 },
  revision: 1,
  createdAtMs: 0,
  updatedAtMs: 0,
}

/** The layer over `next`, or over a model that says the cited sentence. */
export function layer({ next, ...overrides }: Partial<GroundedDeps> & { readonly next?: Relay } = {}) {
  const made = setup(corpus, () => said)
  const assistants = {
    find: (tenant: string, name: string) => (tenant === 'a' && name === 'handbook:latest' ? handbook : undefined),
    of: (tenant: string) => (tenant === 'a' ? [handbook] : []),
  }
  const relay = grounded({ ...made.deps, assistants, ...overrides })(next ?? made.model.relay)
  const ask = (path: string, body: Body, tenant = 'a') => take(relay(requestOf(path, body), newCall({ tenant })))
  return { ...made, relay, ask }
}
