/**
 * Which traces are exported, by the names and rules of OpenTelemetry's samplers. A ratio looks at the last digits of the trace
 * id, which W3C asks to be random, so that all who take part in a trace decide alike, and one ratio's traces are among those
 * of every greater one.
 */
import { assertNever } from '../base/assert.ts'

export const samplerNames = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

export type SamplerName = (typeof samplerNames)[number]

/** Whether a trace is exported. `parent`: what whoever called us decided; null: the trace begins here. */
export type Sampler = (traceId: string, parent: boolean | null) => boolean

/** Digits of a trace id that a ratio looks at: as many as a number holds exactly. */
const ratioDigits = 13

/** The sampler of that name; `ratio` (0 to 1) counts for those that have one. */
export function createSampler(name: SamplerName, ratio: number): Sampler {
  const rejectedBelow = (1 - ratio) * 16 ** ratioDigits
  const byRatio = (traceId: string): boolean => Number.parseInt(traceId.slice(-ratioDigits), 16) >= rejectedBelow
  switch (name) {
    case 'always_on':
      return () => true
    case 'always_off':
      return () => false
    case 'traceidratio':
      return byRatio
    case 'parentbased_always_on':
      return (_, parent) => parent ?? true
    case 'parentbased_always_off':
      return (_, parent) => parent ?? false
    case 'parentbased_traceidratio':
      return (traceId, parent) => parent ?? byRatio(traceId)
    default:
      return assertNever(name)
  }
}
