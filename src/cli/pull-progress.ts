/** How far a pull is: one bar that redraws in place on a terminal, one line per step elsewhere. */
import { z } from 'zod'

import { systemClock } from '../base/clock.ts'
import { lineColumnsMax, printable } from './output.ts'

export const pullLine = z.object({
  status: z.string().optional(),
  digest: z.string().optional(),
  total: z.number().optional(),
  completed: z.number().optional(),
})

export type PullLine = z.infer<typeof pullLine>

export interface PullProgress {
  show(line: PullLine): void
  /** Clears the bar. */
  end(): void
}

interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const redrawEveryMs = 100
const barCells = 24

/** `[########----------------]  34 %`; without a known total only the label. */
export function barText({ status = '', total, completed = 0 }: PullLine, columns: number): string {
  const label = printable(status)
  if (total === undefined || total <= 0) return label.slice(0, columns)
  const share = Math.min(1, Math.max(0, completed / total))
  const filled = Math.round(share * barCells)
  const bar = `[${'#'.repeat(filled)}${'-'.repeat(barCells - filled)}] ${String(Math.floor(share * 100)).padStart(3)} %`
  const amounts = `  ${(completed / 1e6).toFixed(0)}/${(total / 1e6).toFixed(0)} MB`
  return `${bar}${amounts}  ${label}`.slice(0, columns)
}

/** Draws on `stream`. */
export function createPullProgress(stream: ProgressStream): PullProgress {
  const isTerminal = stream.isTTY === true
  let lastStatus = ''
  let drawnAtMs = -Infinity
  let isDrawn = false
  const draw = (line: PullLine): void => {
    const nowMs = systemClock.nowMs()
    const isNew = line.status !== lastStatus
    lastStatus = line.status ?? ''
    if (!isTerminal) {
      if (isNew && lastStatus !== '') stream.write(`${printable(lastStatus)}\n`)
      return
    }
    if (!isNew && nowMs - drawnAtMs < redrawEveryMs) return
    drawnAtMs = nowMs
    isDrawn = true
    stream.write(`\r\u001b[K${barText(line, lineColumnsMax(stream))}`)
  }
  return {
    show: draw,
    end: () => {
      if (isDrawn) stream.write('\r\u001b[K')
      isDrawn = false
    },
  }
}
