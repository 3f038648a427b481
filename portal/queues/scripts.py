"""What happens inside Redis, each in one atomic step and one round trip.

Due times are compared with Redis' clock, so the clocks of producers and workers do not matter.
"""

from __future__ import annotations

from portal.queues.lanes import JOB, LOCK

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# ARGV: channel, life of a hint in ms, then for each hint: queue, chunk id, spare id, due time in ms (0: now), payload.
# A due time that is over puts the hint before those that became due later.
# A hint whose id is the chunk's own and that is due and not yet started says everything another could say: it is not
# added again, so a backlog that is rung every 15 s does not grow. Any other ring gets an id of its own.
RING = f"""{_NOW}
local wake = {{}}
for i = 3, #ARGV, 5 do
  local queue, id, due = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 3])
  if due == 0 then due = now end
  local waits = redis.call('ZSCORE', queue, id)
  local runs = redis.call('EXISTS', '{LOCK}' .. id) == 1
  local said = due <= now and waits and tonumber(waits) <= now and not runs and redis.call('EXISTS', '{JOB}' .. id) == 1
  if not said then
    if waits or runs then id = ARGV[i + 2] end
    redis.call('SET', '{JOB}' .. id, ARGV[i + 4], 'PX', math.max(0, due - now) + tonumber(ARGV[2]))
    redis.call('ZADD', queue, due, id)
  end
  if due <= now then wake[queue] = true end
end
for queue in pairs(wake) do redis.call('PUBLISH', ARGV[1], queue) end
return 1
"""

# One turn of a worker. KEYS: the lanes' queues, high first. ARGV: hints wanted, how many of them may be of lower lanes,
# owner, lease in ms, starvation bound in ms (0: none), then triples of lane number, id and 1 (done) or 0 (given back)
# for each hint that ended. What ended is cleaned up, unless its lock has become another's. Then the lanes are read in
# order and what is taken is locked. Answers the ms until the next hint is due (-1: none waits), how many picks the
# starvation bound made, then triples of lane number, id, payload. Because it is one step, no high hint can arrive
# between looking at high and taking lower work.
TURN = f"""{_NOW}
local want, lower, owner, lease, bound = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local answer = {{-1, 0}}
for i = 6, #ARGV, 3 do
  local lock = '{LOCK}' .. ARGV[i + 1]
  local holder = redis.call('GET', lock)
  if not holder or holder == owner then
    if ARGV[i + 2] == '1' then
      redis.call('ZREM', KEYS[tonumber(ARGV[i])], ARGV[i + 1])
      redis.call('DEL', lock, '{JOB}' .. ARGV[i + 1])
    else
      redis.call('DEL', lock)
    end
  end
end
local function take(lane, most, before)
  local queue, from, got = KEYS[lane], 0, 0
  while got < most do
    local ids = redis.call('ZRANGEBYSCORE', queue, '-inf', before, 'LIMIT', from, 50)
    if #ids == 0 then break end
    for _, id in ipairs(ids) do
      from = from + 1
      if got < most and redis.call('SET', '{LOCK}' .. id, owner, 'NX', 'PX', lease) then
        local payload = redis.call('GET', '{JOB}' .. id)
        if payload then
          got = got + 1
          answer[#answer + 1] = lane
          answer[#answer + 1] = id
          answer[#answer + 1] = payload
        else
          redis.call('ZREM', queue, id)
          redis.call('DEL', '{LOCK}' .. id)
          from = from - 1
        end
      end
    end
  end
  want = want - got
  if lane > 1 then lower = lower - got end
  return got
end
if bound > 0 then
  for lane = #KEYS, 2, -1 do
    if answer[2] == 0 and math.min(want, lower) > 0 then answer[2] = take(lane, 1, now - bound) end
  end
end
for lane = 1, #KEYS do
  local most = want
  if lane > 1 then most = math.min(want, lower) end
  if most > 0 then take(lane, most, now) end
end
for lane = 1, #KEYS do
  local later = redis.call('ZRANGEBYSCORE', KEYS[lane], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #later > 0 and (answer[1] < 0 or tonumber(later[2]) - now < answer[1]) then
    answer[1] = tonumber(later[2]) - now
  end
end
return answer
"""

# KEYS: ids of running hints. ARGV: owner, lease in ms. Renews the locks that are still the owner's.
RENEW = f"""
local kept = 0
for _, id in ipairs(KEYS) do
  if redis.call('GET', '{LOCK}' .. id) == ARGV[1] then
    kept = kept + redis.call('PEXPIRE', '{LOCK}' .. id, ARGV[2])
  end
end
return kept
"""
