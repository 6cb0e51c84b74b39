-- revoke.lua: write entries of one shard, all or none.
--   ARGV[1]  layout
--   ARGV[2]  access horizon that the caller knows of, ms
--   ARGV[3]  session horizon that the caller knows of, ms
--   ARGV[4]  the most entries of the audit stream
--   ARGV[5]  how many entries; their keys stand first
--   then for each entry, eleven:
--     digest; reach "now", "at", "all" (an instant taken from the clocks of all shards, of which
--     this one's may be behind) or "*"; ms ahead of now, or the instant, for "*" the instant from which its
--     life counts where that lies ahead; horizon "access" or
--     "session"; for the audit stream dimension, issuer, value, cause, actor; and which of the keys
--     behind those of the entries holds the record of the session that ends, 0 for none; "wide" if it concerns
--     every shard, else ""
--   returns  {"ok", now, then for each entry the cutoff in force, its remaining life in ms, and "raised" if it
--            was lower before or not there, else ""}
--          | {"ahead", the cutoff, now} and nothing is written
--          | {"lost"} | {"layout", the layout found}
--
-- Idempotent: sent again after a lost answer it raises nothing that is not higher.

local now, answer = open(unpack(redis.call('MGET', META, EPOCH)))
if not now then
  return answer
end
local shard = prepare(now)
local entries = {}
local count = tonumber(ARGV[5])
for i = 1, count do
  local at = 5 + (i - 1) * 11
  local lasting = ARGV[at + 4] == 'lasting'
  local cutoff, life = '*', lasting and shard.session or shard[ARGV[at + 4]]
  if ARGV[at + 2] ~= '*' then
    cutoff = tonumber(ARGV[at + 3])
    if ARGV[at + 2] == 'now' then
      cutoff = shard.now + cutoff
    end
    if cutoff > shard.now + AHEAD + (ARGV[at + 2] == 'all' and DRIFT or 0) then
      return { 'ahead', whole(cutoff), shard.now }
    end
    -- Tokens may be born until the cutoff, so the entry lives from there.
    life = life + math.max(cutoff - shard.now, 0)
  else
    -- Of a token that a clock dated ahead: it must be known when that comes into force.
    local ahead = tonumber(ARGV[at + 3]) - shard.now
    life = life + math.max(ahead, 0)
    lasting = lasting or ahead > AHEAD
  end
  entries[i] = { cutoff = cutoff, life = life, at = at, lasting = lasting }
end
answer = { 'ok', shard.now }
for i, entry in ipairs(entries) do
  local at = entry.at
  local changed, cutoff, left, raised = raise(shard, KEYS[FIRST + i], ARGV[at + 1], entry.cutoff,
    entry.life, entry.lasting, ARGV[at + 11] == 'wide')
  if changed then
    audit(ARGV[4], cutoff, ARGV[at + 5], ARGV[at + 6], ARGV[at + 7], ARGV[at + 8], ARGV[at + 9])
  end
  local record = tonumber(ARGV[at + 10])
  if record > 0 then
    record = KEYS[FIRST + count + record]
    -- A session of the same name at another issuer is another session.
    local found = read_ours(record)
    if found and found.entry == ARGV[at + 1] then
      redis.call('DEL', record)
    end
  end
  answer[#answer + 1] = cutoff
  answer[#answer + 1] = left
  answer[#answer + 1] = raised and 'raised' or ''
end
return answer
