-- session.lua: what the scripts about sessions share. It stands behind shard.lua.
--   KEYS[6]  index     sorted set: the `sid`s of one user by opening; lives as long as the latest
--   KEYS[7..]          strings, which are read at the start: a record, entries
--   ARGV[1]  layout
--   ARGV[2]  access horizon that the caller knows of, ms
--   ARGV[3]  session horizon that the caller knows of, ms
--   ARGV[4]  the epoch in which the caller has put back all that it remembers
--   ARGV[5]  the most entries of the audit stream
--   ARGV[6]  issuer, for the audit stream
--   ARGV[7]  what stands before a `sid` in the key of a session's record
--   ARGV[8]  what stands before a digest in the key of an entry
--   ARGV[9]  how much longer than the session a record lives, ms
--
-- Keys that are not among KEYS are made from the index's members. They lie in the same slot, and
-- are all read before the first write: while a slot moves, that ends the script with nothing done.

local INDEX = KEYS[6]
local NEAR = 30000 -- how much shorter than it should an index may live, so far within the margin, ms

-- The shard as a table and, from the third on, what `KEYS[7..]` hold; or nil and the words to answer.
-- Where data was lost and may not be back, nothing is known for certain: neither that a session is
-- gone, nor that it was not ended.
local function open_whole()
  local held = redis.call('MGET', EPOCH, HEALING, unpack(KEYS, 7))
  local shard, answer = open(held[1], ARGV[1])
  if not shard then
    return nil, answer
  elseif held[1] ~= ARGV[4] then
    return nil, { 'lost' }
  elseif held[2] then
    return nil, { 'healing' }
  end
  return shard, held
end

-- An entry as a number, math.huge for ever, 0 if there is none.
local function cutoff_of(entry)
  if not entry then
    return 0
  elseif entry == '*' then
    return math.huge
  elseif not string.match(entry, '^%d+$') then
    error('an entry holds no cutoff')
  end
  return tonumber(entry)
end

-- How long a record lives whose session is idle from `idle_deadline` on, in ms.
local function life_until(idle_deadline, now)
  return math.max(idle_deadline + ARGV[9] - now, 1)
end

-- Lets the index live as long, and puts the session back that was lost from it.
local function keep_index(life, sid, opened_at)
  local left = redis.call('PTTL', INDEX)
  if left == -2 then
    redis.call('ZADD', INDEX, whole(opened_at), sid)
  end
  if left < life - math.min(NEAR, ARGV[9] / 10) then
    redis.call('PEXPIRE', INDEX, whole(life))
  end
end
