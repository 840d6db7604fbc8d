/** Kills a process that ingests, again and again at random moments, and lets the last one finish. Used by the test and by `bench crash`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface CrashPlan {
  readonly kind: 'embedded' | 'postgres'
  /** A folder or a URL. */
  readonly place: string
  readonly kills: number
  /** 0 to below 1; when each process is killed after it began to work. */
  readonly random: () => number
  readonly log?: (line: string) => void
}

export interface CrashReport {
  /** The last revision that was accepted. */
  readonly accepted: number
  /** What a process found broken when it began or ended. */
  readonly broken: readonly string[]
  /** Kills that hit a process at work, not one that had no more to do. */
  readonly killed: number
}

/** Up to this long after a process began to work it is killed: a few documents' time. */
const killWithinMs = 900
const endWithinMs = 120_000
const revisionsAhead = 1_000
const lastRevisions = 24

class Child {
  readonly process: ChildProcess
  readonly ready: Promise<unknown>
  readonly ended: Promise<unknown>
  accepted: number
  readonly broken: string[] = []
  isFinished = false

  constructor({ kind, place }: CrashPlan, [first, last]: readonly [number, number]) {
    this.accepted = first - 1
    const script = join(import.meta.dirname, 'crash-process.ts')
    this.process = spawn(process.execPath, [script, kind, place, String(first), String(last)], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ready = Promise.withResolvers<void>()
    this.ready = ready.promise
    this.ended = once(this.process, 'close').then(() => ready.resolve())
    if (this.process.stdout === null) throw new Error('no stdout')
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      const [word, ...rest] = line.split(' ')
      if (word === 'ready') ready.resolve()
      if (word === 'accepted') this.accepted = Number(rest[0])
      if (word === 'broken') this.broken.push(rest.join(' '))
      if (word === 'finished') this.isFinished = true
    })
  }
}

/** Plays all rounds. Throws when a process ends by itself before it is at its end. */
export async function crashRounds(plan: CrashPlan): Promise<CrashReport> {
  let accepted = 0
  let killed = 0
  const broken: string[] = []
  for (let round = 0; round < plan.kills; round += 1) {
    const child = new Child(plan, [accepted + 1, accepted + revisionsAhead])
    await child.ready
    await new Promise((resolve) => setTimeout(resolve, plan.random() * killWithinMs))
    if (child.process.exitCode !== null)
      throw new Error(`the process of round ${round} ended by itself, exit code ${child.process.exitCode}`)
    child.process.kill('SIGKILL')
    await child.ended
    killed += 1
    accepted = child.accepted
    broken.push(...child.broken.map((line) => `after ${round} kills: ${line}`))
    if (round % 20 === 19) plan.log?.(`${round + 1} kills, ${accepted} revisions accepted, ${broken.length} broken`)
  }
  const child = new Child(plan, [accepted + 1, accepted + lastRevisions])
  const timer = setTimeout(() => child.process.kill('SIGKILL'), endWithinMs)
  await child.ended
  clearTimeout(timer)
  if (!child.isFinished) broken.push('the last process did not finish')
  return { accepted: child.accepted, killed, broken: [...broken, ...child.broken] }
}
