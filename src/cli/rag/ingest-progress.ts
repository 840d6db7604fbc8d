/** How far an ingest is, as people and scripts see it: a block of bars on a terminal, a line now and then elsewhere, JSON lines with `--json`. */
import type { Clock } from '../../base/clock.ts'
import { lineColumnsMax, printable } from '../output.ts'
import { Eta, timeText } from './eta.ts'
import type { StageSum, Tally } from './ingest-tally.ts'

export interface IngestProgress {
  /** Shows the present state, as often as somebody can read it. */
  show(tally: Tally): void
  /** Says why nothing moves; null: it does. */
  waiting(reason: string | null): void
  /** Takes what is drawn away. */
  end(tally: Tally): void
}

export interface ProgressTarget {
  readonly columns?: number
  write(text: string): unknown
}

const redrawEveryMs = 150
const lineEveryMs = 5_000
const jsonEveryMs = 1_000
const barCells = 24

/** The block of bars: one line per stage, then the whole. */
export function barLines(
  tally: Tally,
  { columns, etaMs, reason }: { columns: number; etaMs: number | null; reason: string | null },
): string[] {
  const lines = tally.stages().map((sum) => `${sum.stage.padEnd(7)} ${barOf(sum.share)}  ${countsOf(sum, tally)}`)
  const left = etaMs === null ? '' : `, ${timeText(etaMs)} left`
  const failed = tally.counts.failed === 0 ? '' : `, ${tally.counts.failed} failed`
  const whole = reason === null ? `${tally.over} of ${countText(tally.documents, 'document')}${failed}${left}` : printable(reason)
  return [...lines, whole].map((line) => line.slice(0, columns))
}

function barOf(share: number): string {
  const filled = Math.floor(Math.min(1, share) * barCells)
  return `[${'#'.repeat(filled)}${'-'.repeat(barCells - filled)}] ${String(Math.floor(share * 100)).padStart(3)} %`
}

function countsOf({ stage, documents, chunksDone, chunksTotal }: StageSum, tally: Tally): string {
  if (stage === 'embed') return chunksTotal === 0 ? '' : `${numberText(chunksDone)}/${numberText(chunksTotal)} chunks`
  return `${numberText(documents)}/${numberText(tally.documents)}`
}

/** `1,234`. */
export function numberText(count: number): string {
  return count.toLocaleString('en-US')
}

/** `1 document`, `1,234 documents`. */
export function countText(count: number, noun: string): string {
  return `${numberText(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** The block, drawn over and over at the same place. */
export function createBars(target: ProgressTarget, clock: Clock): IngestProgress {
  const eta = new Eta()
  let drawnAtMs = -Infinity
  let drawnLines = 0
  let reason: string | null = null
  const clear = (): void => {
    if (drawnLines > 0) target.write(`\u001b[${drawnLines}F\u001b[J`)
    drawnLines = 0
  }
  const show = (tally: Tally): void => {
    const nowMs = clock.nowMs()
    if (nowMs - drawnAtMs < redrawEveryMs) return
    drawnAtMs = nowMs
    const lines = barLines(tally, { columns: lineColumnsMax(target), etaMs: eta.add(nowMs, tally.share()), reason })
    // Drawn over, not cleared before: nothing flickers. What stands right and below is cleared behind it.
    const back = drawnLines > 0 ? `\u001b[${drawnLines}F` : ''
    target.write(`${back}${lines.map((line) => `${line}\u001b[K\n`).join('')}\u001b[J`)
    drawnLines = lines.length
  }
  return {
    show,
    waiting: (why) => {
      reason = why
    },
    end: clear,
  }
}

/** A line every few seconds, for logs. */
export function createLines(target: ProgressTarget, clock: Clock): IngestProgress {
  const eta = new Eta()
  let saidAtMs = clock.nowMs()
  let said: string | null = null
  return {
    show: (tally) => {
      const nowMs = clock.nowMs()
      const etaMs = eta.add(nowMs, tally.share())
      if (nowMs - saidAtMs < lineEveryMs) return
      saidAtMs = nowMs
      target.write(`${lineOf(tally, etaMs)}\n`)
    },
    waiting: (reason) => {
      if (reason !== null && reason !== said) target.write(`${printable(reason)}\n`)
      said = reason
    },
    end: () => {},
  }
}

function lineOf(tally: Tally, etaMs: number | null): string {
  const embed = tally.stages().find(({ stage }) => stage === 'embed')
  const chunks = embed === undefined ? '' : `, ${numberText(embed.chunksDone)}/${numberText(embed.chunksTotal)} chunks embedded`
  const failed = tally.counts.failed === 0 ? '' : `, ${tally.counts.failed} failed`
  return `${numberText(tally.over)}/${countText(tally.documents, 'document')}${chunks}${failed}${etaMs === null ? '' : `, ${timeText(etaMs)} left`}`
}

/** One JSON object per line and second, and one at the end. */
export function createJsonLines(target: ProgressTarget, clock: Clock): IngestProgress {
  const eta = new Eta()
  let saidAtMs = -Infinity
  const say = (tally: Tally): void => {
    const { documents, over, counts } = tally
    const etaMs = eta.add(clock.nowMs(), tally.share())
    const stages = tally.stages().map((sum) => ({ ...sum, share: Math.round(sum.share * 1_000) / 1_000 }))
    target.write(
      `${JSON.stringify({ event: 'progress', documents, over, ...counts, stages, etaMs: etaMs === null ? null : Math.round(etaMs) })}\n`,
    )
  }
  return {
    show: (tally) => {
      if (clock.nowMs() - saidAtMs < jsonEveryMs) return
      saidAtMs = clock.nowMs()
      say(tally)
    },
    waiting: (reason) => {
      if (reason !== null) target.write(`${JSON.stringify({ event: 'waiting', reason })}\n`)
    },
    end: say,
  }
}
