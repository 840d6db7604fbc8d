/**
 * The Lua that counts for all replicas. One run takes every meter of a request or none. Time is Redis's own, so no replica's clock
 * matters; all keys of a run share the hash tag `{tenant}` and always expire; numbers are whole microseconds and parts (`gcra.ts`).
 *
 * A meter is a hash `r` request parts, `t` token parts, `a` when both were brought up to date, `h` tokens held; and a sorted set of
 * the reservations under way, member `id|tokens`, score when it lapses. A reservation that nobody renews (its replica died)
 * lapses with the next run and what it held is free again. Settling removes the member first: who finds none changes nothing.
 *
 * A GPU budget's counter is a hash for one place and period: `s`, the highest total that any replica read from the store, and for each
 * replica what it used and has not written yet. Their sum is what all used. A replica says both as they are, never what to add, so
 * whatever is lost, repeated or flushed is right again when it speaks next. A field `u:<replica>` says when its replica spoke last, and is
 * dropped an hour after: either the store has that use, or nobody will write it. `k:<replica>` is of one without a store, and stays.
 */

/** After this long without a word of a replica its unwritten use is dropped. */
export const replicaGoneSeconds = 3_600

const prelude = `
local PARTS = 60000000
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local function read(hash, rl, tl)
  local v = redis.call('HMGET', hash, 'r', 't', 'a', 'h')
  local elapsed = math.max(now - (tonumber(v[3]) or now), 0)
  local r, t = tonumber(v[1]) or 0, tonumber(v[2]) or 0
  if rl > 0 then r = math.max(0, r - rl * elapsed) end
  if tl > 0 then t = math.max(0, t - tl * elapsed) end
  return r, t, tonumber(v[4]) or 0
end
local function whole(number) return string.format('%.0f', number) end
local function write(hash, r, t, h, lease)
  redis.call('HSET', hash, 'r', whole(r), 't', whole(t), 'a', whole(now), 'h', whole(h))
  redis.call('PEXPIRE', hash, whole(math.max(120000, lease * 2)))
end
`

/**
 * KEEP: ms; a counter that nobody changes for two days is read from the store again. GONE: seconds; a replica that was silent for so long
 * is taken for dead. Long, because one that only pauses has use that nobody else knows. FRESH: seconds; an older time is written anew.
 */
const counterPrelude = `
local KEEP, GONE, FRESH = 172800000, ${replicaGoneSeconds}, 60
local function total(hash, replica, stored, unwritten)
  local held = redis.call('HGETALL', hash)
  local seconds = tonumber(time[1])
  local s, own, others, stale = 0, 0, 0, false
  for i = 1, #held, 2 do
    local used, spoke = string.match(held[i + 1], '^(-?%d+)@?(%d*)$')
    local value, silent = tonumber(used) or 0, seconds - (tonumber(spoke) or seconds)
    if held[i] == 's' then s = value
    elseif held[i] == replica then own, stale = value, silent > FRESH
    elseif silent > GONE then redis.call('HDEL', hash, held[i])
    else others = others + value end
  end
  if stored > s then redis.call('HSET', hash, 's', whole(stored)) end
  if unwritten == 0 and own ~= 0 then redis.call('HDEL', hash, replica) end
  if unwritten ~= 0 and (own ~= unwritten or stale) then
    local spoke = ''
    if string.sub(replica, 1, 2) == 'u:' then spoke = '@' .. time[1] end
    redis.call('HSET', hash, replica, whole(unwritten) .. spoke)
  end
  if stored > s or own ~= unwritten or stale then redis.call('PEXPIRE', hash, whole(KEEP)) end
  return math.max(s, stored) + unwritten + others
end
`

/**
 * KEYS: hash and set of each meter, then the counter of each budget. ARGV: member, tokens, lease ms, meters, the replica's field in counters;
 * per meter the limits of requests, tokens and concurrency (-1: none), and the request and token parts that the replica owes since Redis
 * was away, charged whatever the verdict; per budget its µs, and what the replica knows: µs stored, µs unwritten.
 * Gives [0 or the meter or budget (from 1) that denies, dimension (1 requests, 2 tokens, 3 concurrency, 4 GPU time), wait in µs
 * (-1: unknown), then per meter: request parts, token parts, held tokens, then per budget: µs that all used].
 */
export const admitScript = `${prelude}${counterPrelude}
local member, tokens, lease, count, replica = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local meters = {}
local denier, dimension, longest = 0, 0, 0
local function deny(index, which, wait)
  if denier == 0 or wait > longest then denier, dimension, longest = index, which, wait end
end
for i = 1, count do
  local hash, set = KEYS[2 * i - 1], KEYS[2 * i]
  local first = 5 * i + 1
  local rl, tl, cl = tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local r, t, h = read(hash, rl, tl)
  local owedR, owedT = tonumber(ARGV[first + 3]), tonumber(ARGV[first + 4])
  if owedR > 0 or owedT > 0 then
    r, t = r + owedR, t + owedT
    write(hash, r, t, h, lease)
  end
  local active = 0
  if tl > 0 or cl > 0 then
    local lapsed = redis.call('ZRANGEBYSCORE', set, '-inf', whole(now), 'LIMIT', 0, 500)
    for _, each in ipairs(lapsed) do
      h = h - (tonumber(string.match(each, '|(%d+)$')) or 0)
      redis.call('ZREM', set, each)
    end
    active = redis.call('ZCARD', set)
    if active == 0 or h < 0 then h = 0 end
    if #lapsed > 0 then write(hash, r, t, h, lease) end
  end
  if rl > 0 and r + PARTS > rl * PARTS then deny(i, 1, math.ceil((r + PARTS - rl * PARTS) / rl)) end
  if tl > 0 and t + (h + tokens) * PARTS > tl * PARTS then
    local wait = -1
    if h + tokens <= tl then wait = math.ceil((t + (h + tokens - tl) * PARTS) / tl) end
    deny(i, 2, wait)
  end
  if cl > 0 and active >= cl then deny(i, 3, -1) end
  meters[i] = { r, t, h, rl, tl, cl }
end
local spent, totals = 0, {}
for i = 1, #KEYS - 2 * count do
  local first = 5 * count + 3 * i + 3
  totals[i] = total(KEYS[2 * count + i], replica, tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2]))
  if spent == 0 and totals[i] >= tonumber(ARGV[first]) then spent = i end
end
if spent > 0 then denier, dimension, longest = spent, 4, -1 end
if denier == 0 then
  for i = 1, count do
    local m = meters[i]
    if m[4] > 0 then m[1] = m[1] + PARTS end
    if m[5] > 0 then m[3] = m[3] + tokens end
    write(KEYS[2 * i - 1], m[1], m[2], m[3], lease)
    if m[5] > 0 or m[6] > 0 then
      redis.call('ZADD', KEYS[2 * i], whole(now + lease * 1000), member)
      redis.call('PEXPIRE', KEYS[2 * i], whole(lease + 1000))
    end
  end
end
local reply = { denier, dimension, longest }
for i = 1, count do
  local m = meters[i]
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = m[1], m[2], m[3]
end
for _, used in ipairs(totals) do reply[#reply + 1] = used end
return reply
`

/**
 * KEYS: hash and set of each meter. ARGV: member, tokens reserved, tokens used, lease ms, then per meter the limits of requests and tokens.
 * Gives how many meters still knew it.
 */
export const settleScript = `${prelude}
local member, reserved, used, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local settled = 0
for i = 1, #KEYS / 2 do
  local hash, set = KEYS[2 * i - 1], KEYS[2 * i]
  local rl, tl = tonumber(ARGV[2 * i + 3]), tonumber(ARGV[2 * i + 4])
  if redis.call('ZREM', set, member) == 1 then
    settled = settled + 1
    if tl > 0 then
      local r, t, h = read(hash, rl, tl)
      write(hash, r, t + used * PARTS, math.max(0, h - reserved), lease)
    end
  end
end
return settled
`

/** KEYS: counters. ARGV: the replica's field in them, then per counter what it knows: µs stored, µs unwritten. Gives the total of each. */
export const tellScript = `${prelude}${counterPrelude}
local totals = {}
for i = 1, #KEYS do totals[i] = total(KEYS[i], ARGV[1], tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])) end
return totals
`

/** KEYS: sets. ARGV: member, lease ms. Only what has not lapsed is prolonged. */
export const renewScript = `${prelude}
local lease = tonumber(ARGV[2])
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], 'XX', whole(now + lease * 1000), ARGV[1])
  redis.call('PEXPIRE', KEYS[i], whole(lease + 1000))
end
return 1
`

/** KEYS: the set of replicas. ARGV: own name, lifetime ms. Gives how many are alive. */
export const heartbeatScript = `${prelude}
local life = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], whole(now + life * 1000), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now))
redis.call('PEXPIRE', KEYS[1], whole(life * 2))
return redis.call('ZCARD', KEYS[1])
`

/** What `admitScript` and `tellScript` give. */
export function isNumbers(reply: unknown): reply is readonly number[] {
  return Array.isArray(reply) && reply.every((each) => typeof each === 'number')
}
