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

function canonicalise(name: string): string {
  let canonical = name.trim().toLowerCase()
  if (canonical.endsWith(':local')) canonical = canonical.slice(0, -':local'.length)
  for (const prefix of defaultPrefixes) {
    if (!canonical.startsWith(prefix)) continue
    canonical = canonical.slice(prefix.length)
    break
  }
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
