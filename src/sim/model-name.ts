/**
 * Model names as Ollama reads them: `[host/][namespace/]model[:tag]`, defaults `registry.ollama.ai`, `library`, `latest`;
 * compared without regard to case. A tag `cloud`, or one that ends in `-cloud`, stands for a model served by ollama.com.
 * Written apart from `wire/model-name.ts` on purpose: a node judges names and takes them apart, the gateway only folds their
 * spellings, and a node that shared its code could not show where the two differ.
 */
export interface ModelName {
  readonly host: string
  readonly namespace: string
  readonly model: string
  readonly tag: string
  /** Short form shown in lists: defaults left out, the tag kept. */
  readonly display: string
  /** `host/namespace/model:tag` in lower case. */
  readonly key: string
}

const defaultHost = 'registry.ollama.ai'
const hostPattern = /^[a-z0-9_][a-z0-9_.:-]{0,349}$/i
const namespacePattern = /^[a-z0-9_][a-z0-9_-]{0,79}$/i
const partPattern = /^[a-z0-9_][a-z0-9_.-]{0,79}$/i

/** Null: the name is not valid. */
export function parseModelName(text: string): ModelName | null {
  const withoutScheme = text.replace(/^[a-z]+:\/\//i, '')
  const slash = withoutScheme.lastIndexOf('/')
  const last = withoutScheme.slice(slash + 1)
  const colon = last.indexOf(':')
  const model = colon < 0 ? last : last.slice(0, colon)
  const tag = colon < 0 ? 'latest' : last.slice(colon + 1)
  const rest = slash < 0 ? [] : withoutScheme.slice(0, slash).split('/')
  if (rest.length > 2) return null
  const namespace = rest.at(-1) ?? 'library'
  const host = rest.length === 2 ? (rest[0] ?? defaultHost) : defaultHost
  if (!hostPattern.test(host) || !namespacePattern.test(namespace) || !partPattern.test(model) || !partPattern.test(tag)) return null
  const short = `${model}:${tag}`
  const scoped = host !== defaultHost ? `${host}/${namespace}/${short}` : namespace !== 'library' ? `${namespace}/${short}` : short
  return { host, namespace, model, tag, display: scoped, key: `${host}/${namespace}/${short}`.toLowerCase() }
}

/** `host/namespace/model:tag` as errors print it. */
export function fullName(name: ModelName): string {
  return `${name.host}/${name.namespace}/${name.model}:${name.tag}`
}

/** Whether the name asks for a model of ollama.com, which its last part behind a colon says (internal/modelref/modelref.go). */
export function isCloudName(text: string): boolean {
  const colon = text.lastIndexOf(':')
  if (colon < 0) return false
  const suffix = text
    .slice(colon + 1)
    .trim()
    .toLowerCase()
  return suffix === 'cloud' || (!suffix.includes('/') && suffix.endsWith('-cloud'))
}
