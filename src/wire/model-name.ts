/**
 * Model names as Ollama reads them (ollama-contract.md §1.5): `[host/][namespace/]model[:tag]`, defaults
 * `registry.ollama.ai/library/…:latest`, equal without regard to case.
 */

const defaultPrefixes = ['registry.ollama.ai/library/', 'registry.ollama.ai/', 'library/']
const nameCacheMax = 4_096
/** Longer names are no model's and are not kept: the cache is for what clients repeat. */
const nameLengthMax = 512
const names = new Map<string, string>()

/** The name by which two spellings of one model are equal: trimmed, lower case, with a tag, without default parts. */
export function canonicalModelName(name: string): string {
  const known = names.get(name)
  if (known !== undefined) return known
  const canonical = canonicalise(name)
  if (name.length > nameLengthMax) return canonical
  if (names.size >= nameCacheMax) names.clear()
  names.set(name, canonical)
  return canonical
}

/** A pattern (`*` stands for any text) as canonical names are compared with it: one without `*` is a name, and gets a tag. */
export function canonicalModelPattern(pattern: string): string {
  return pattern.includes('*') ? withoutDefaults(pattern) : canonicalModelName(pattern)
}

function withoutDefaults(name: string): string {
  const lower = name.trim().toLowerCase()
  const prefix = defaultPrefixes.find((each) => lower.startsWith(each)) ?? ''
  return lower.slice(prefix.length)
}

function canonicalise(name: string): string {
  const trimmed = name.trim()
  const isLocal = trimmed.toLowerCase().endsWith(':local')
  const canonical = withoutDefaults(isLocal ? trimmed.slice(0, -':local'.length) : trimmed)
  return canonical.lastIndexOf(':') > canonical.lastIndexOf('/') ? canonical : `${canonical}:latest`
}

/** True for a model that a node would run at ollama.com: tag `cloud`, or one that ends in `-cloud`. */
export function isCloudModel(name: string): boolean {
  if (!name.includes('cloud') && !/cloud/i.test(name)) return false
  const canonical = name.trim().toLowerCase()
  const tag = canonical
    .slice(canonical.lastIndexOf('/') + 1)
    .split(':')
    .slice(1)
  return tag.some((part) => part === 'cloud' || part.endsWith('-cloud'))
}
