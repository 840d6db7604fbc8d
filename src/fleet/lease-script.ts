/**
 * The Lua by which replicas agree on what a runner runs, and its arguments and answers. Time is Redis's own; all keys share one
 * hash tag, so that a replica renews everything it holds in one call; every key expires.
 *
 * One hash per (node, model): `f` fingerprint in use or last used, `l` replica that loads it, `r` when it was last known to be in
 * memory, `y` and `x` fingerprint whose turn is next and until when that stands, `w` until when somebody waits for news, and `h:`
 * with a replica's name: until when that one holds. Invariants: replicas that hold agree on the fingerprint; at most one loads,
 * and while it does nobody else is let in.
 *
 * News go to `channel`, at most once: `free`, `idle` (go if you are idle) or `want` (let nobody in until you are), a line break,
 * the key, and for `want` another and the fingerprint. Whoever misses them asks again soon.
 */

/** What a replica says of one runner. */
export interface LeaseStatement {
  readonly key: string
  /** `ask`: for a runner in which nothing else of ours runs. `keep`: something runs, or may soon. `drop`: no more. */
  readonly kind: 'ask' | 'keep' | 'drop'
  readonly fingerprint: string
  /** Whether it needs no load as far as this replica knows, where no other knows better. */
  readonly ready: boolean
  /** Milliseconds since this replica saw that the model is not in memory; null: it is, as far as it knows. */
  readonly coldForMs: number | null
  /** Whether those who hold it for other runner options shall let nobody in any more. */
  readonly patient: boolean
  readonly loading: boolean
  readonly busy: boolean
  /** Milliseconds since the model answered or was loaded; null: unknown, or it died since. */
  readonly servedForMs: number | null
}

export interface LeaseReply {
  /**
   * `run`: go on. `load`: go on, alone; it has to be loaded. `loading`: another does that for the same fingerprint. `busy`: held
   * for other runner options, or it is their turn. `dropped`: as wished.
   */
  readonly verdict: 'run' | 'load' | 'loading' | 'busy' | 'dropped'
  /** What the runner ran before, or runs for others; null: nobody knows. */
  readonly fingerprint: string | null
  /** Milliseconds since the model was last known to be in memory; null: unknown. */
  readonly readyForMs: number | null
  /** Fingerprint whose turn is next. */
  readonly wanted: string | null
  /** Whether another replica waits for this one to be idle. */
  readonly awaited: boolean
}

export interface LeaseTimes {
  /** A replica that is not heard of for this long holds nothing any more. */
  readonly ttlMs: number
  /** How long a wish stands that nobody repeats. */
  readonly wishMs: number
  /** How long it is remembered what a runner ran last. */
  readonly memoryMs: number
}

/** KEYS: runners. ARGV: replica, channel, three times in ms, then eight values per key. Gives five values per key. */
export const leaseScript = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local me, channel = ARGV[1], ARGV[2]
local ttl, wishFor, memory = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local function whole(number) return string.format('%.0f', number) end

local function read(key)
  local s, live, others = {}, {}, 0
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local field, value = flat[i], flat[i + 1]
    local holder = string.match(field, '^h:(.*)$')
    if holder == nil then
      s[field] = value
    elseif tonumber(value) <= now then
      redis.call('HDEL', key, field)
    else
      live[holder] = true
      if holder ~= me then others = others + 1 end
    end
  end
  if s.l ~= nil and not live[s.l] then
    redis.call('HDEL', key, 'l')
    s.l = nil
  end
  if s.y ~= nil and tonumber(s.x) <= now then
    redis.call('HDEL', key, 'y', 'x')
    s.y = nil
  end
  return s, others
end

local function reply(verdict, s, fp)
  local wanted = s.y ~= nil and s.y ~= fp and '=' .. s.y or ''
  local ready = s.r ~= nil and whole(math.max(0, now - tonumber(s.r))) or ''
  local awaited = s.w ~= nil and tonumber(s.w) > now and '1' or ''
  return { verdict, s.f ~= nil and '=' .. s.f or '', ready, wanted, awaited }
end

local function tell(s, key)
  if s.w ~= nil and tonumber(s.w) > now then
    redis.call('PUBLISH', channel, 'free\\n' .. key)
    redis.call('HDEL', key, 'w')
    s.w = nil
  end
end

local function hold(key, s, fp, loading)
  redis.call('HSET', key, 'f', fp, 'h:' .. me, whole(now + ttl))
  if s.f ~= fp then redis.call('HDEL', key, 'r') end
  if s.y == fp then
    redis.call('HDEL', key, 'y', 'x')
    s.y = nil
  end
  if loading then
    redis.call('HSET', key, 'l', me)
  elseif s.l == me then
    redis.call('HDEL', key, 'l')
    tell(s, key)
  end
end

local function served(key, s, fp, ago)
  if ago < 0 then return end
  local known = s.f == fp and tonumber(s.r) or 0
  redis.call('HSET', key, 'r', whole(math.max(known, now - ago)))
end

local function await(key) redis.call('HSET', key, 'w', whole(now + wishFor)) end

local function refuse(key, s, others, fp, patient, busy)
  if not busy then redis.call('HDEL', key, 'h:' .. me) end
  if s.l == me and not busy then redis.call('HDEL', key, 'l') end
  local mine = patient and (s.y == nil or s.y == fp)
  if mine then redis.call('HSET', key, 'y', fp, 'x', whole(now + wishFor)) end
  await(key)
  if others > 0 then redis.call('PUBLISH', channel, mine and 'want\\n' .. key .. '\\n' .. fp or 'idle\\n' .. key) end
  return reply('busy', s, fp)
end

local function ask(key, s, others, a)
  local wished = s.y ~= nil and s.y ~= a.fp
  if (others > 0 and s.f ~= a.fp) or (wished and not a.busy) then
    return refuse(key, s, others, a.fp, a.patient, a.busy)
  end
  if others > 0 and s.l ~= nil and s.l ~= me then
    await(key)
    return reply('loading', s, a.fp)
  end
  local before = reply('run', s, a.fp)
  if others > 0 then
    before[3] = '0'
  elseif s.f == nil then
    if not a.ready then before[1] = 'load' end
  elseif s.f ~= a.fp then
    before[1] = 'load'
  elseif a.cold >= 0 and (s.r == nil or tonumber(s.r) <= now - a.cold) then
    before[1] = 'load'
  end
  hold(key, s, a.fp, before[1] == 'load')
  return before
end

local function keep(key, s, others, a)
  if others > 0 and s.f ~= a.fp then
    redis.call('HDEL', key, 'h:' .. me)
    if s.l == me then redis.call('HDEL', key, 'l') end
    return reply('busy', s, a.fp)
  end
  hold(key, s, a.fp, a.loading and (s.l == nil or s.l == me))
  served(key, s, a.fp, a.served)
  return reply(a.loading and 'load' or 'run', s, a.fp)
end

local function drop(key, s, a)
  redis.call('HDEL', key, 'h:' .. me)
  if s.l == me then redis.call('HDEL', key, 'l') end
  if s.f == a.fp then served(key, s, a.fp, a.served) end
  tell(s, key)
  return reply('dropped', s, a.fp)
end

local replies = {}
for i, key in ipairs(KEYS) do
  local at = 8 * i - 2
  local a = {
    fp = ARGV[at + 1], ready = ARGV[at + 2] == '1', cold = tonumber(ARGV[at + 3]), patient = ARGV[at + 4] == '1',
    loading = ARGV[at + 5] == '1', busy = ARGV[at + 6] == '1', served = tonumber(ARGV[at + 7]),
  }
  local s, others = read(key)
  local answer
  if ARGV[at] == 'ask' then
    answer = ask(key, s, others, a)
  elseif ARGV[at] == 'keep' then
    answer = keep(key, s, others, a)
  else
    answer = drop(key, s, a)
  end
  redis.call('PEXPIRE', key, whole(memory))
  for _, value in ipairs(answer) do replies[#replies + 1] = value end
end
return replies
`

const valuesPerReply = 5

/** The script's keys and arguments. */
export function leaseArguments(
  statements: readonly LeaseStatement[],
  { replica, channel, times }: { replica: string; channel: string; times: LeaseTimes },
): { readonly keys: string[]; readonly values: (string | number)[] } {
  const keys: string[] = []
  const values: (string | number)[] = [replica, channel, times.ttlMs, times.wishMs, times.memoryMs]
  for (const { key, kind, fingerprint, ready, coldForMs, patient, loading, busy, servedForMs } of statements) {
    keys.push(key)
    values.push(kind, fingerprint, bit(ready), since(coldForMs), bit(patient), bit(loading), bit(busy), since(servedForMs))
  }
  return { keys, values }
}

function bit(yes: boolean): string {
  return yes ? '1' : '0'
}

function since(ms: number | null): number {
  return ms === null || !Number.isFinite(ms) ? -1 : Math.max(0, Math.round(ms))
}

/** Reads what the script gave for `count` statements. Throws when that is something else: a bug, or a script of that name by others. */
export function readReplies(raw: unknown, count: number): LeaseReply[] {
  if (!Array.isArray(raw) || raw.length !== count * valuesPerReply) throw new Error('the lease script gave no answer for each statement')
  const values = raw.map(String)
  return Array.from({ length: count }, (_, index) => readReply(values.slice(index * valuesPerReply, (index + 1) * valuesPerReply)))
}

function readReply([verdict, fingerprint = '', ready = '', wanted = '', awaited = '']: readonly string[]): LeaseReply {
  return {
    verdict: readVerdict(verdict),
    fingerprint: named(fingerprint),
    readyForMs: ready === '' ? null : Number(ready),
    wanted: named(wanted),
    awaited: awaited === '1',
  }
}

function readVerdict(verdict: string | undefined): LeaseReply['verdict'] {
  switch (verdict) {
    case 'run':
    case 'load':
    case 'loading':
    case 'busy':
    case 'dropped':
      return verdict
    default:
      throw new Error(`the lease script gave the verdict ${String(verdict)}`)
  }
}

/** The empty fingerprint is one, too: that of a request without runner options. */
function named(value: string): string | null {
  return value === '' ? null : value.slice(1)
}
