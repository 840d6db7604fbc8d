/**
 * A straight line through measurements over time, with an honest interval. Neighbouring heap readings resemble each
 * other, so they count for fewer than they are: the standard error is widened by the residuals' lag-1 correlation.
 */
export interface Point {
  readonly atMs: number
  readonly value: number
}

/** Change of the value per hour, with the bounds of its 95 % interval. */
export interface Trend {
  readonly perHour: number
  readonly low: number
  readonly high: number
}

const hourMs = 3_600_000
/** Two-sided 95 % of the normal distribution; a soak has hundreds of readings. */
const z95 = 1.96

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function lag1(residuals: readonly number[]): number {
  const power = residuals.reduce((sum, value) => sum + value * value, 0)
  const product = residuals.slice(1).reduce((sum, value, index) => sum + value * (residuals[index] ?? 0), 0)
  return power === 0 ? 0 : Math.min(0.99, Math.max(0, product / power))
}

/** Least squares over `points`; NaN for fewer than three. */
export function trendOf(points: readonly Point[]): Trend {
  if (points.length < 3) return { perHour: Number.NaN, low: Number.NaN, high: Number.NaN }
  const meanMs = mean(points.map((point) => point.atMs))
  const meanValue = mean(points.map((point) => point.value))
  const spread = points.reduce((sum, point) => sum + (point.atMs - meanMs) ** 2, 0)
  const slope = points.reduce((sum, point) => sum + (point.atMs - meanMs) * (point.value - meanValue), 0) / spread
  const residuals = points.map((point) => point.value - meanValue - slope * (point.atMs - meanMs))
  const variance = residuals.reduce((sum, value) => sum + value * value, 0) / (points.length - 2)
  const correlation = lag1(residuals)
  const error = Math.sqrt((variance / spread) * ((1 + correlation) / (1 - correlation)))
  const perHour = slope * hourMs
  return { perHour, low: perHour - z95 * error * hourMs, high: perHour + z95 * error * hourMs }
}
