/** What may be set as a limit of a credential, a tenant or a model class: by the configuration, the admin API, the commands and the maps of issuers. */
import { z } from 'zod'

/** Highest limit per minute whose arithmetic stays exact (`limits/gcra.ts`: limit × 60,000,000 < 2^53). */
export const perMinuteMax = 100_000_000
const concurrencyMax = 1_000_000
/** Above 30 years. */
const gpuSecondsMax = 1e9

/** A whole number: half a request per minute would never fit. */
function count(max: number) {
  const error = `expected a whole number from 1 to ${max}`
  return z.int({ error, abort: true }).min(1, { error }).max(max, { error }).nullable().default(null)
}

function gpuSeconds() {
  const error = `expected seconds above 0, at most ${gpuSecondsMax}`
  return z.number({ error }).positive({ error }).max(gpuSecondsMax, { error }).nullable().default(null)
}

export const limitSetShape = z.strictObject({
  requestsPerMinute: count(perMinuteMax),
  tokensPerMinute: count(perMinuteMax),
  /** Requests under way at once. */
  concurrency: count(concurrencyMax),
  gpuSecondsPerDay: gpuSeconds(),
  gpuSecondsPerMonth: gpuSeconds(),
})

const storedCount = (max: number) => stored((value) => Math.min(max, Math.max(1, Math.trunc(value))))
const storedSeconds = () => stored((value) => Math.min(gpuSecondsMax, value))

function stored(nearest: (value: number) => number) {
  return z
    .number()
    .positive()
    .nullable()
    .default(null)
    .transform((value) => (value === null ? null : nearest(value)))
}

/** The same out of a store that a Corral of before wrote to, which took any number above 0: read as the nearest limit that can be counted. */
export const storedLimitSet = z.strictObject({
  requestsPerMinute: storedCount(perMinuteMax),
  tokensPerMinute: storedCount(perMinuteMax),
  concurrency: storedCount(concurrencyMax),
  gpuSecondsPerDay: storedSeconds(),
  gpuSecondsPerMonth: storedSeconds(),
})
