/**
 * What a limiter costs per request inside this process: finding the plan of a caller, taking its meters and settling them. With
 * Redis the time until the verdict counts, one request after another, beside that of a bare PING on the same connection.
 */
import { systemClock } from '../../src/base/clock.ts'
import { openPrincipal } from '../../src/core/principal.ts'
import type { LimitSet, Principal } from '../../src/core/principal.ts'
import { Budgets } from '../../src/limits/budget.ts'
import { createLimiter } from '../../src/limits/limiter.ts'
import type { Limiter } from '../../src/limits/limiter.ts'
import { limitsOptions } from '../../src/limits/options.ts'
import { PlanBook } from '../../src/limits/plan.ts'
import type { Plan } from '../../src/limits/plan.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { createRedis } from '../../src/store/redis.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import { costOf } from './cpu-per-call.ts'
import type { CallCost, CallPlan } from './cpu-per-call.ts'
import type { Spread } from './load-spec.ts'
import { Samples } from './samples.ts'

const options = limitsOptions.parse({})
/** Every limit and budget of the tenant and of the credential, never reached. */
const wide: LimitSet = {
  requestsPerMinute: 60_000_000,
  tokensPerMinute: 60_000_000,
  concurrency: 100_000,
  gpuSecondsPerDay: 1e9,
  gpuSecondsPerMonth: 1e9,
}
const callers: readonly Principal[] = Array.from({ length: 100 }, (_, index) => ({
  ...openPrincipal,
  tenant: `tenant-${index}`,
  subject: `key-${index}`,
  limits: wide,
  tenantLimits: wide,
}))
const tokens = 46

function planOf(book: PlanBook, index: number): Plan {
  const plan = book.planFor(callers[index % callers.length] ?? openPrincipal, 'm:latest')
  if (plan === null || plan.meters.length !== 2) throw new Error('the callers of this bench have two limited places')
  return plan
}

const newBudgets = (): Budgets => new Budgets(systemClock, () => options.placesMax)

/** The GPU time of an answer, as the ledger counts it. */
function spend(budgets: Budgets, { tenant, budgets: lines }: Plan): void {
  budgets.watch(tenant, lines)
  const spent = budgets.spend(
    tenant,
    lines.map(({ name }) => name),
    1_000,
  )
  budgets.keep(spent)
}

/** Six dimensions and four budgets in memory, admitted and settled. */
export async function memoryCost(plan: CallPlan): Promise<CallCost> {
  const budgets = newBudgets()
  const limiter = createLimiter({ clock: systemClock, options: () => options, budgets, redis: null, replica: 'bench' })
  const book = new PlanBook(options)
  const pass = (index: number): void => {
    const decision = limiter.admit(planOf(book, index), String(index), tokens)
    if (decision instanceof Promise || !decision.verdict.admitted) throw new Error('a limit was reached, or memory took its time')
    decision.reservation?.settle(tokens)
    spend(budgets, planOf(book, index))
  }
  const cost = await costOf(pass, plan)
  await limiter.close()
  return cost
}

export interface RoundTrips {
  /** Milliseconds until the verdict. */
  readonly admit: Spread
  readonly ping: Spread
  /** CPU of this process per admitted and settled request. */
  readonly cpuUs: number
}

async function untilUp(redis: RedisStore): Promise<void> {
  redis.start()
  while (redis.state !== 'up') await systemClock.sleep(5)
}

interface Charged {
  readonly limiter: Limiter
  readonly budgets: Budgets
}

async function admitOnce({ limiter, budgets }: Charged, plan: Plan, id: string): Promise<void> {
  const { verdict, reservation } = await limiter.admit(plan, id, tokens)
  if (!verdict.admitted) throw new Error('a limit of this bench was reached')
  reservation?.settle(tokens)
  spend(budgets, plan)
}

/** `rounds` requests of each kind in turn. Throws when Redis was passed over: that would be a good figure for nothing. */
export async function redisRoundTrips(url: string, rounds: number): Promise<RoundTrips> {
  const redis = createRedis(redisOptions.parse({ url }), { clock: systemClock, random: Math.random })
  const budgets = newBudgets()
  const limiter = createLimiter({ clock: systemClock, options: () => options, budgets, redis, replica: 'bench' })
  await untilUp(redis)
  limiter.start()
  const book = new PlanBook(options)
  const [admit, ping] = [new Samples(), new Samples()]
  let usedUs = 0
  for (let round = -Math.ceil(rounds / 10); round < rounds; round += 1) {
    const startMs = systemClock.nowMs()
    const cpu = process.cpuUsage()
    await admitOnce({ limiter, budgets }, planOf(book, Math.abs(round)), `${round}`)
    const { user, system } = process.cpuUsage(cpu)
    const middleMs = systemClock.nowMs()
    await redis.run(({ command }) => command('PING'))
    if (round < 0) continue
    usedUs += user + system
    admit.add(middleMs - startMs)
    ping.add(systemClock.nowMs() - middleMs)
  }
  const { decidedAlone } = limiter.stats
  await limiter.close()
  await redis.close()
  if (decidedAlone > 0) throw new Error(`${decidedAlone} of ${rounds} verdicts came without Redis`)
  return { admit: admit.spread(), ping: ping.spread(), cpuUs: usedUs / rounds }
}
