-- end_all.lua: end all sessions of a user.
--   KEYS[6]  the index of the user's sessions
--   KEYS[7]  the user's entry
--   ARGV[1]  layout
--   ARGV[2]  access horizon that the caller knows of, ms
--   ARGV[3]  session horizon that the caller knows of, ms
--   ARGV[4]  the most entries of the audit stream
--   ARGV[5]  what stands before a `sid` in the key of a session's record
--   ARGV[6]  digest of KEYS[7]
--   ARGV[7]  issuer, ARGV[8] sub, ARGV[9] cause, ARGV[10] actor: for the audit stream
--   returns  {"ok", now, how many sessions with a record ended, the cutoff before or "",
--             {digest, cutoff, life of the entry}}
--            | {"lost"} | {"layout", the layout found}
--
-- The cutoff depends on nothing that may have been lost, so it is raised while a shard heals, too. The count is
-- for people: what is in its way must not stop the cutoff.

local COUNTED = 1000 -- of how many it is looked whether they have a record

local now, answer = open(unpack(redis.call('MGET', META, EPOCH)))
if not now then
  return answer
end
local shard = prepare(now)
local before = redis.call('MGET', KEYS[7])[1]
local from = before == '*' and '+inf' or '(' .. (before or '-1')
local function count()
  local all = redis.call('ZCOUNT', KEYS[6], from, whole(shard.now))
  local records = redis.call('ZRANGEBYSCORE', KEYS[6], from, whole(shard.now), 'LIMIT', 0, COUNTED)
  if all == 0 or #records == 0 then
    return 0
  end
  local looked = #records
  for i, sid in ipairs(records) do
    records[i] = ARGV[5] .. sid
  end
  return all - looked + redis.call('EXISTS', unpack(records))
end
local counted, sessions = pcall(count)
local changed, cutoff, left = raise(shard, KEYS[7], ARGV[6], shard.now, shard.session)
if changed then
  audit(ARGV[4], cutoff, 'subject', ARGV[7], ARGV[8], ARGV[9], ARGV[10])
end
return { 'ok', shard.now, counted and sessions or 0, before or '', { ARGV[6], cutoff, whole(left) } }
