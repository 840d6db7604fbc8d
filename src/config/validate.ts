/**
 * From the raw tree to a checked, frozen configuration, or to all problems at once, each with its place. What one schema
 * cannot see (two nodes with one name, a bind that needs a decision) is checked here after the shapes are right.
 */

import type { z } from 'zod'

import { isLoopback } from '../base/loopback.ts'
import { type Applied, type Origin, placeOf } from './assignment.ts'
import { canonicalModelName } from '../wire/model-name.ts'
import { leafPaths, rootShape, shapeAt } from './key-tree.ts'
import { type Path, pathText, type Step } from './path.ts'
import { nearest, type Problem, problemAt } from './problem.ts'
import { masked } from './show.ts'
import { type Config, configSchema, deepFreeze } from './schema.ts'

export type Validated =
  { readonly kind: 'ok'; readonly config: Config } | { readonly kind: 'invalid'; readonly problems: readonly Problem[] }

/** Validates the tree of `applied`. */
export function validate(applied: Applied): Validated {
  const parsed = configSchema.safeParse(applied.tree)
  if (!parsed.success) return { kind: 'invalid', problems: parsed.error.issues.flatMap((issue) => problemsOf(issue, applied)) }
  const config = parsed.data
  const problems = crossChecks(config, (path) => placeOf(applied.origins, path))
  return problems.length > 0 ? { kind: 'invalid', problems } : { kind: 'ok', config: deepFreeze(config) }
}

type Issue = z.core.$ZodIssue

function steps(path: readonly PropertyKey[]): Step[] {
  return path.map((step) => (typeof step === 'number' ? step : String(step)))
}

function problemsOf(issue: Issue, applied: Applied): Problem[] {
  const path = steps(issue.path)
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey([...path, key], applied))
  return [problemAt(placeOf(applied.origins, path), `${pathText(path)}: ${explain(issue, path, applied)}`)]
}

function unknownKey(path: Path, { origins, keyOrigins }: Applied): Problem {
  const key = String(path[path.length - 1])
  const siblings = shapeAt(path.slice(0, -1)) ?? rootShape
  const near = siblings.kind === 'section' ? nearest(key, siblings.keys.keys()) : null
  const first = leafPaths().find((leaf) => leaf[leaf.length - 1] === key || (leaf.length > 1 && leaf[leaf.length - 2] === key))
  const meant = near ?? (first === undefined ? null : pathText(first[first.length - 1] === key ? first : first.slice(0, -1)))
  const origin = keyOrigins.get(pathText(path)) ?? placeOf(origins, path)
  return problemAt(origin, `${pathText(path)}: unknown key${meant === null ? '' : `; did you mean ${meant}?`}`)
}

function valueAt(path: Path, tree: unknown): unknown {
  let value = tree
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = new Map<string, unknown>(Object.entries(value)).get(String(step))
  }
  return value
}

/** What was given, for a message: a short text of the value, without credentials. */
function given(path: Path, applied: Applied): string {
  const value = masked(valueAt(path, applied.tree), path)
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

function explain(issue: Issue, path: Path, applied: Applied): string {
  const got = `got ${given(path, applied)}`
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${typeName(issue.expected)}, ${got}`
    case 'too_small':
      return `expected ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}, ${got}`
    case 'too_big':
      return `expected ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}, ${got}`
    case 'invalid_value':
      return `expected ${issue.values.map((value) => String(value)).join(' or ')}, ${got}`
    case 'invalid_union':
      return `expected a number or a text with a unit, such as ${isBytes(path) ? '64MiB' : '30s'}, ${got}`
    case 'invalid_format':
      return issue.format === 'url' ? `expected an http or https URL, such as http://10.0.0.5:11434, ${got}` : `${issue.message}, ${got}`
    default:
      return `${issue.message}, ${got}`
  }
}

function isBytes(path: Path): boolean {
  return /Bytes/.test(String(path[path.length - 1]))
}

function typeName(expected: string): string {
  const names: Readonly<Record<string, string>> = {
    int: 'a whole number',
    number: 'a number',
    boolean: 'true or false',
    string: 'a text',
    array: 'a list',
    object: 'a map',
    record: 'a map',
  }
  return names[expected] ?? expected
}

type OriginAt = (path: Path) => Origin

function crossChecks(config: Config, originAt: OriginAt): Problem[] {
  return [
    ...bindProblems(config, originAt),
    ...identityProblems(config, originAt),
    ...workerProblems(config, originAt),
    ...nodeProblems(config, originAt),
    ...aliasProblems(config, originAt),
    ...rangeProblems(config, originAt),
  ]
}

function bindProblems({ http, identity }: Config, originAt: OriginAt): Problem[] {
  if (isLoopback(http.host) || http.insecureNoAuth || identity.mode !== 'open') return []
  const message =
    `http.host: ${http.host} can be reached from other machines and nobody is asked for a credential: bind 127.0.0.1, ` +
    'or set identity.mode: keys, or pass --insecure-no-auth (http.insecureNoAuth: true) when a firewall or a proxy guards this port'
  return [problemAt(originAt(['http', 'host']), message)]
}

function identityProblems({ identity, store }: Config, originAt: OriginAt): Problem[] {
  if (identity.mode === 'open') {
    if (identity.metricsToken === null) return []
    const message =
      'identity.metricsToken: identity.mode open asks nobody for a token, and shows /metrics to all: set identity.mode: keys, or leave it out'
    return [problemAt(originAt(['identity', 'metricsToken']), message)]
  }
  const problems: Problem[] = []
  if (!store.enabled) {
    const message = `store.enabled: needed by identity.mode ${identity.mode}, which keeps keys, tenants and the audit log there`
    problems.push(problemAt(originAt(['store', 'enabled']), message))
  }
  if (identity.mode !== 'keys' && identity.issuers.length === 0) {
    const message = `identity.issuers: identity.mode ${identity.mode} takes the tokens of these issuers, and there is none`
    problems.push(problemAt(originAt(['identity', 'mode']), message))
  }
  return problems
}

function workerProblems({ http, store }: Config, originAt: OriginAt): Problem[] {
  if (http.workers === 1 || !store.enabled || store.url !== null) return []
  const message =
    `http.workers: ${http.workers} workers cannot share the embedded store, which belongs to one process: ` +
    'set DATABASE_URL (store.url) and CORRAL_SECRET, or store.enabled: false'
  return [problemAt(originAt(['http', 'workers']), message)]
}

function nodeProblems({ fleet }: Config, originAt: OriginAt): Problem[] {
  const problems: Problem[] = []
  const names = new Map<string, number>()
  const urls = new Map<string, number>()
  for (const [index, node] of fleet.nodes.entries()) {
    const path = ['fleet', 'nodes', index]
    const name = node.name ?? new URL(node.url).host
    const url = node.url.replace(/\/+$/, '')
    const sameName = names.get(name)
    const sameUrl = urls.get(url)
    if (sameUrl !== undefined)
      problems.push(problemAt(originAt([...path, 'url']), `${pathText(path)}: the URL is that of fleet.nodes[${sameUrl}] again`))
    else if (sameName !== undefined)
      problems.push(problemAt(originAt([...path, 'name']), `${pathText(path)}: the name ${name} is that of fleet.nodes[${sameName}] again`))
    names.set(name, index)
    urls.set(url, index)
  }
  return problems
}

/** An alias is followed once: behind one that names another, requests would bear a name that is on no node. */
function aliasProblems({ fleet }: Config, originAt: OriginAt): Problem[] {
  const aliases = Object.entries(fleet.aliases)
  const names = new Set(aliases.map(([name]) => canonicalModelName(name)))
  return aliases
    .filter(([, model]) => names.has(canonicalModelName(model)))
    .map(([name, model]) => {
      const path = ['fleet', 'aliases', name]
      return problemAt(originAt(path), `${pathText(path)}: ${model} is an alias itself; name the model that nodes have`)
    })
}

function rangeProblems({ fleet }: Config, originAt: OriginAt): Problem[] {
  const problems: Problem[] = []
  const { deadlines, breaker, numCtx } = fleet
  const pairs = [
    {
      section: 'deadlines',
      low: 'firstFrameMsMin',
      lowMs: deadlines.firstFrameMsMin,
      high: 'firstFrameMsMax',
      highMs: deadlines.firstFrameMsMax,
    },
    { section: 'deadlines', low: 'idleMsMin', lowMs: deadlines.idleMsMin, high: 'idleMsMax', highMs: deadlines.idleMsMax },
    { section: 'breaker', low: 'ejectMs', lowMs: breaker.ejectMs, high: 'ejectMsMax', highMs: breaker.ejectMsMax },
  ]
  for (const { section, low, lowMs, high, highMs } of pairs) {
    if (lowMs <= highMs) continue
    const message = `fleet.${section}.${low}: ${lowMs} is over fleet.${section}.${high}, which is ${highMs}`
    problems.push(problemAt(originAt(['fleet', section, low]), message))
  }
  if (numCtx.policy === 'fixed' && numCtx.value === undefined) {
    problems.push(problemAt(originAt(['fleet', 'numCtx', 'policy']), 'fleet.numCtx.value: needed by the policy "fixed", such as 8192'))
  }
  return problems
}
