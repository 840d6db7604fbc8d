/**
 * Alerts on the error budget: it is spent too fast both lately and over a longer while (Google's SRE workbook, chapter 5). The long
 * window makes the alert worth waking for, the short one ends it soon after the trouble. A guard on the count keeps a handful
 * of failures in a quiet night from paging.
 */
import { badOutcomes, countedOutcomes, type ServiceLevel } from '../service-level.ts'
import { type Alert, day, hour, minute, type Span } from './alert.ts'

export interface RecordingRule {
  readonly record: string
  readonly expr: string
}

/** Windows that are recorded, by the name that the record carries. */
const windows = { '5m': 5 * minute, '30m': 30 * minute, '1h': hour, '6h': 6 * hour, '3d': 3 * day } as const

type Window = keyof typeof windows

const errors = (window: Window): string => `job:corral_request_errors:ratio_rate${window}`
const slow = (window: Window): string => `job:corral_first_token_slow:ratio_rate${window}`

/** Shares of failed requests and of slow first tokens, over every window that an alert looks at. */
export function recordings(level: ServiceLevel, span: Span): RecordingRule[] {
  const names: Window[] = ['5m', '30m', '1h', '6h', '3d']
  return names.flatMap((window) => {
    const over = `[${span(windows[window])}]`
    const counted = `sum by (job) (rate(corral_requests_total{${countedOutcomes}}${over})) > 0`
    const streams = `sum by (job) (rate(corral_time_to_first_token_seconds_count${over})) > 0`
    const inTime = `sum by (job) (rate(corral_time_to_first_token_seconds_bucket{le="${level.firstTokenSeconds}"}${over}))`
    return [
      { record: errors(window), expr: `sum by (job) (rate(corral_requests_total{${badOutcomes}}${over})) / (${counted})` },
      { record: slow(window), expr: `1 - ${inTime} / (${streams})` },
    ]
  })
}

interface Burn {
  readonly name: string
  readonly long: Window
  readonly short: Window
  /** Times faster than the budget allows. */
  readonly factor: number
  readonly forSeconds: number
  /** Requests in the long window below which nothing is said; 0: none. */
  readonly countMin: number
  readonly severity: Alert['severity']
}

const burns: readonly Burn[] = [
  { name: 'Fast', long: '1h', short: '5m', factor: 14.4, forSeconds: 2 * minute, countMin: 50, severity: 'page' },
  { name: 'Medium', long: '6h', short: '30m', factor: 6, forSeconds: 15 * minute, countMin: 200, severity: 'page' },
  { name: 'Slow', long: '3d', short: '6h', factor: 1, forSeconds: hour, countMin: 500, severity: 'ticket' },
]

/** The burn alerts of both promises. First tokens have no middle one: their budget is wide enough for two. */
export function burnAlerts(level: ServiceLevel, span: Span): Alert[] {
  const availability = burns.map((burn) => availabilityBurn(burn, level, span))
  const firstToken = burns.filter(({ name }) => name !== 'Medium').map((burn) => firstTokenBurn(burn, level, span))
  return [...availability, ...firstToken]
}

function availabilityBurn(burn: Burn, level: ServiceLevel, span: Span): Alert {
  const { name, long, severity, forSeconds } = burn
  return {
    name: `CorralErrorBudgetBurn${name}`,
    expr: burning(burn, errors, 1 - level.availability) + enough(`corral_requests_total{${countedOutcomes}}`, burn, span),
    forSeconds,
    severity,
    slo: 'availability',
    summary: `{{ $value | humanizePercentage }} of requests failed over ${long}; promised are ${percent(1 - level.availability)} over 30 days`,
    dashboard: 'corral-overview',
  }
}

function firstTokenBurn(burn: Burn, level: ServiceLevel, span: Span): Alert {
  const { name, long, severity, forSeconds } = burn
  const budget = 1 - level.firstTokenShare
  return {
    name: `CorralFirstTokenBurn${name}`,
    expr: burning(burn, slow, budget) + enough('corral_time_to_first_token_seconds_count', burn, span),
    forSeconds,
    severity,
    slo: 'first-token',
    summary: `{{ $value | humanizePercentage }} of streams took over ${level.firstTokenSeconds} s to their first token over ${long}; promised are ${percent(budget)}`,
    dashboard: 'corral-inference',
  }
}

/** A budget so wide that its multiple passes one could never burn: the alert then asks for nine tenths of all requests. */
function burning({ long, short, factor }: Burn, ratio: (window: Window) => string, budget: number): string {
  const limit = Number(Math.min(factor * budget, 0.9).toPrecision(6))
  return `${ratio(long)} > ${limit} and ${ratio(short)} > ${limit}`
}

function enough(series: string, { long, countMin }: Burn, span: Span): string {
  return ` and sum by (job) (increase(${series}[${span(windows[long])}])) > ${countMin}`
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(4))} %`
}
