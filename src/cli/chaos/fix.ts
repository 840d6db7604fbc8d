/**
 * Which key of the configuration to change where a fault was not survived. What is switched off stands before what is set tightly. No retry
 * can help a stream that has begun: its client has a part of the answer. There only the wait for the next frame and the breaker count.
 */
import { formatDuration } from '../../base/units.ts'
import type { Config } from '../../config/schema.ts'
import { pathText } from '../../config/path.ts'
import { walkValues } from '../../config/show.ts'
import type { ChaosFault } from './faults.ts'

interface Advice {
  readonly applies: (config: Config) => boolean
  readonly text: string
}

const breakerAdvices: readonly Advice[] = [
  { applies: ({ fleet }) => !fleet.breaker.enabled, text: 'fleet.breaker.enabled: true, so that a node that fails is left alone' },
  {
    applies: ({ fleet }) => fleet.breaker.ejectedShareMax === 0,
    text: 'fleet.breaker.ejectedShareMax: 0.5 (now 0: no node is left alone)',
  },
]

const retryAdvices: readonly Advice[] = [
  { applies: ({ fleet }) => !fleet.retry.enabled, text: 'fleet.retry.enabled: true, so that another node is tried' },
  { applies: ({ fleet }) => fleet.retry.retriesMax === 0, text: 'fleet.retry.retriesMax: 2 (now 0)' },
  {
    applies: ({ fleet }) => fleet.retry.budgetRatio === 0 && fleet.retry.budgetFloor === 0,
    text: 'fleet.retry.budgetRatio: 0.2 and budgetFloor: 3 (now 0: no retry is allowed)',
  },
]

/** Where the worst of the failures came: before the first frame, as a stream that stands still, or as a stream that breaks. */
export type FailedAt = 'before the answer' | 'standing stream' | 'broken stream'

type Fixable = Pick<ChaosFault, 'key' | 'clientsPerSlot' | 'promised'>

/** One line: the key, and what it is now. */
export function fixOf({ key, clientsPerSlot, promised }: Fixable, failedAt: FailedAt, config: Config): string {
  if (clientsPerSlot > 1) return `${nowOf(config, key)}: raise it, or fleet.admission.deadlineMs, so that what must wait may wait`
  if (failedAt === 'standing stream') return `${nowOf(config, 'fleet.deadlines.idleMsMin')}: lower it`
  // Where all nodes are away there is none to try next.
  const retries = failedAt === 'before the answer' && promised !== 'told to come back' ? retryAdvices : []
  const advice = [...retries, ...breakerAdvices].find(({ applies }) => applies(config))
  if (advice !== undefined) return advice.text
  const isKilled = key?.startsWith('fleet.probe.') === true
  if (failedAt === 'broken stream' && !isKilled) return `${nowOf(config, 'fleet.breaker.consecutiveBrokenStreams')}: lower it`
  if (key === null) return 'fleet.retry: budgetRatio and budgetFloor allow too few retries for this'
  return `${nowOf(config, key)}: ${key.endsWith('Max') || key.endsWith('deadlineMs') ? 'raise' : 'lower'} it`
}

function nowOf(config: Config, key: string | null): string {
  return key === null ? 'fleet.admission' : `${key} is ${valueText(config, key)}`
}

function valueText(config: Config, key: string): string {
  let text = 'not set'
  walkValues(config, (path, value) => {
    if (pathText(path) !== key) return
    text = typeof value === 'number' && /Ms(Min|Max)?$/.test(key) ? formatDuration(value) : String(value)
  })
  return text
}
