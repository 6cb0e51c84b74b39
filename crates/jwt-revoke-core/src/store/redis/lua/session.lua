-- session.lua: what the scripts about sessions share. It stands behind shard.lua.
--   KEYS[6]  index     sorted set: the `sid`s of one user by opening; lives as long as the latest
--   KEYS[8..]          entries, which are read at the start
--   ARGV[1]  layout
--   ARGV[2]  access horizon while none is stated, ms
--   ARGV[3]  session horizon while none is stated, ms
--   ARGV[4]  the epoch in which the caller has put back all that it remembers
--   ARGV[5]  the most entries of the audit stream
--   ARGV[6]  issuer, for the audit stream
--   ARGV[7]  what stands before a `sid` in the key of a session's record
--   ARGV[8]  what stands before a digest in the key of an entry
--   ARGV[9]  how much longer than the session a record lives, ms
--
-- A record is a hash whose fields are short, so that the server packs them. Instants are ms.
--   t  opened, last used, idle deadline, absolute deadline
--   g  generation, issued, end of the refresh token, end of the access token
--   s  how long before the last use the latest four spends were, the latest first
--   p  when privileges changed, and 1 if the last attempt recovered a lost write, else 0
--   r, a, v  `jti` of the refresh token, of the access token, and of the refresh token before, each
--      packed by the caller: equal if the bytes are
--   m  the last attempt, packed
--   u, c, e  subject, packed; client; digest of the session's entry
--   d, f  the device's label: the first 64 bytes, and the rest
--
-- Keys that are not among KEYS are made from the index's members. They lie in the same slot, and
-- are all read before the first write: while a slot moves, that ends the script with nothing done.

local INDEX = KEYS[6]
local NEAR = 30000 -- how much shorter than it should an index may live, so far within the margin, ms

-- The shard as a table and, from the third on, what `KEYS[8..]` hold; or nil and the words to answer.
-- Where data was lost and may not be back, nothing is known for certain: neither that a session is
-- gone, nor that it was not ended.
local function open_whole()
  local held = redis.call('MGET', EPOCH, HEALING, unpack(KEYS, 8))
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

-- The texts of the four numbers in a field, or the record is none of ours.
local function four(field)
  local a, b, c, d = string.match(field or '', '^(%d+) (%d+) (%d+) (%d+)$')
  return a or error('a record is none of ours'), b, c, d
end

-- Lets the record and the index live until the session ends, and a little longer.
local function keep(key, idle_deadline, now, sid, opened_at)
  local life = math.max(idle_deadline + ARGV[9] - now, 1)
  redis.call('PEXPIRE', key, whole(life))
  local left = redis.call('PTTL', INDEX)
  if left == -2 then
    redis.call('ZADD', INDEX, opened_at, sid)
  end
  if left < life - math.min(NEAR, ARGV[9] / 10) then
    redis.call('PEXPIRE', INDEX, whole(life))
  end
end
