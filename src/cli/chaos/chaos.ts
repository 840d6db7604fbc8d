/** `corral doctor --chaos`: the user's configuration under the faults of real nodes, on loopback, with a scorecard. Takes less than a minute. */
import { systemClock } from '../../base/clock.ts'
import { exitCodes } from '../exit-code.ts'
import { painter, printData, printJson, printMessage, table } from '../output.ts'
import { type ConfigOptions, settingsOf } from '../settings.ts'
import { type ChaosFault, chaosFaults } from './faults.ts'
import { playFault, type Playing, type Score } from './play.ts'

export interface ChaosOptions extends ConfigOptions {
  readonly json?: boolean
}

/** Played at once: most of a hang is waiting. */
const playedAtOnce = 4
/** Of the minute that the command may take; the rest is for what was begun to be put away. */
const playMsMax = 52_000

/** Scores in the order of `faults`; what is not through when `signal` ends the run is not survived. */
export async function playAll(playing: Playing, faults: readonly ChaosFault[] = chaosFaults): Promise<readonly Score[]> {
  const scores: Score[] = []
  const waiting = faults.map((fault, index) => ({ fault, index }))
  const player = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      scores[next.index] = await playFault(next.fault, playing)
    }
  }
  await Promise.all(Array.from({ length: playedAtOnce }, player))
  return scores
}

/** The scorecard as aligned columns, with what to mend below it. */
export function scorecard(scores: readonly Score[], paint: (tone: 'green' | 'red', text: string) => string): string {
  const rows = scores.map(({ fault, requests, good, failed, retried, addedMs, survived }) => [
    survived ? paint('green', 'ok  ') : paint('red', 'fail'),
    fault,
    String(requests),
    String(good),
    String(retried),
    addedMs === null ? '-' : `${addedMs} ms`,
    Object.entries(failed)
      .map(([what, count]) => `${count} × ${what}`)
      .join(', '),
  ])
  const mend = scores.flatMap(({ fault, promised, reason, fix }) =>
    reason === null ? [] : [`${fault}: ${promised} was promised, but ${reason}`, `  -> ${fix ?? ''}`],
  )
  return [table([['', 'fault', 'asked', 'good', 'retried', 'added', 'failed'], ...rows]), ...mend].join('\n')
}

/** Exit code 1 when a fault was not survived as promised. */
export async function chaosCommand(options: ChaosOptions): Promise<void> {
  const { config } = await settingsOf(options)
  if (options.json !== true) printMessage(`corral: playing ${chaosFaults.length} faults on simulated nodes; none of yours is asked`)
  const scores = await playAll({ config, clock: systemClock, signal: AbortSignal.timeout(playMsMax) })
  if (options.json === true) printJson({ survived: scores.filter(({ survived }) => survived).length, faults: scores })
  else printData(scorecard(scores, painter(process.stdout)))
  if (scores.some(({ survived }) => !survived)) process.exitCode = exitCodes.failure
}
