/** The service level as flags of `corral export dashboards` and `corral export alerts` give it. */
import { firstTokenSeconds as bounds } from '../observe/buckets.ts'
import { defaultServiceLevel, type ServiceLevel } from '../observe/service-level.ts'
import { CliError, exitCodes } from './exit-code.ts'

export interface LevelOptions {
  readonly availability?: string
  readonly firstTokenShare?: string
  readonly firstTokenSeconds?: string
}

export interface AlertOptions extends LevelOptions {
  readonly runbooks?: string
}

/** The promise of the flags. Refuses shares outside (0, 1) and times that no bucket of the histogram ends at. */
export function serviceLevelOf({ availability, firstTokenShare, firstTokenSeconds }: LevelOptions): ServiceLevel {
  const seconds = firstTokenSeconds === undefined ? defaultServiceLevel.firstTokenSeconds : Number(firstTokenSeconds)
  if (!bounds.includes(seconds)) {
    throw new CliError(exitCodes.usage, `--first-token-seconds ${firstTokenSeconds}: choose one of ${bounds.join(', ')}`)
  }
  return {
    availability: shareOf('--availability', availability, defaultServiceLevel.availability),
    firstTokenShare: shareOf('--first-token-share', firstTokenShare, defaultServiceLevel.firstTokenShare),
    firstTokenSeconds: seconds,
  }
}

function shareOf(flag: string, text: string | undefined, byDefault: number): number {
  const share = text === undefined ? byDefault : Number(text)
  if (share > 0 && share < 1) return share
  throw new CliError(exitCodes.usage, `${flag} ${text}: a share between 0 and 1, such as ${byDefault}`)
}
