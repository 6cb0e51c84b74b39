-- heal.lua: put back entries of one shard that a process remembers.
--   ARGV[1]  layout
--   ARGV[2]  access horizon that the caller knows of, ms
--   ARGV[3]  session horizon that the caller knows of, ms
--   then for each entry, four: digest; cutoff, an instant in ms or "*"; remaining life in ms;
--   the sum of 1 if tokens that it covers may be issued as long as it lives, 2 if it concerns every
--   shard, 4 if it was never there and people are to be told
--   returns  {"ok", now, how many changed something, how many were dropped} | {"lost"}
--          | {"layout", the layout found}
--
-- What comes from a process's memory is bounded on the way in: a cutoff further ahead than any
-- revocation may reach is dropped, and the caller told, a life longer than any entry may have is cut. The clock that the
-- cutoffs are from may have been another server's. What lasts may live longer than the horizons: until a
-- token that a clock dated ahead is over.

local AUDITED = 10000 -- about how many entries the audit stream keeps
local BREATH = 2000 -- how long the next of a healer's scripts may take to come, ms

local now, answer = open(unpack(redis.call('MGET', META, EPOCH)))
if not now then
  return answer
end
local shard = prepare(now)
local put_back, dropped = 0, 0
local longest = math.max(shard.access, shard.session) + AHEAD + DRIFT
local CENTURY = 100 * 366 * 86400000
for i = 1, #KEYS - FIRST do
  local at = 3 + (i - 1) * 4
  local cutoff = ARGV[at + 2] == '*' and '*' or tonumber(ARGV[at + 2])
  local marks = tonumber(ARGV[at + 4])
  local most = cutoff == '*' and marks % 2 == 1 and CENTURY or longest
  local life = math.min(tonumber(ARGV[at + 3]), most)
  if life > 0 and (cutoff == '*' or cutoff <= shard.now + AHEAD + DRIFT) then
    local changed, held = raise(shard, KEYS[FIRST + i], ARGV[at + 1], cutoff, life, marks % 2 == 1,
      marks % 4 >= 2)
    put_back = put_back + (changed and 1 or 0)
    if changed and marks >= 4 then
      -- Nobody here knows more: the rest stands in the streams of the shards that had it.
      audit(AUDITED, held, 'wide', '', ARGV[at + 1], 'completed', '')
    end
  elseif life > 0 then
    dropped = dropped + 1
  end
end
-- Whoever puts back may have more: until then the shard stays unknown. Last, since the first write
-- must be one that `maxmemory` can refuse.
local left = redis.call('PTTL', HEALING)
if left >= 0 and left < BREATH then
  redis.call('PEXPIRE', HEALING, BREATH)
end
return { 'ok', shard.now, put_back, dropped }
