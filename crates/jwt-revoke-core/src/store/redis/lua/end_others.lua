-- end_others.lua: end all sessions of a user but one.
--   KEYS[7]    the entry that ends the user's other sessions
--   KEYS[8]    the entry of the one that stays, as a kept session
--   KEYS[9]    the user's entry
--   KEYS[10..] the other entries that can cover the one that stays
--   ARGV[10]   the sid that stays   ARGV[11]  when it was opened
--   ARGV[12]   digest of KEYS[7]    ARGV[13]  digest of KEYS[8]
--   ARGV[14]   sub                  ARGV[15]  cause, both for the audit stream
--   ARGV[16]   how many members of the index to look at
--   ARGV[17]   "end", or "forget" to go on deleting the records of what has ended
--   returns    {"ok", now, "ended", "more" | "last", {sids ended, the oldest first},
--               {digest, cutoff, life of entries written}}
--              | {"ok", now, "covered"} and nothing is written
--              | {"lost"} | {"healing"} | {"layout", the layout found}
--
-- Two entries end the others, whatever their number and whether or not there is a record of them: `KEYS[7]`
-- covers all that is opened until now, and `KEYS[8]`, the higher one, spares the session that stays. It is
-- written first, so that who reads the log up to anywhere never takes the session for one that has ended, and
-- is kept beside the log too, since tokens of the session need it as long as the session lives. Records are
-- deleted to keep order: what is left of them covers nothing and uncovers nothing.

local keep, born_at, ending = ARGV[10], tonumber(ARGV[11]), ARGV[17] == 'end'

-- A session that has ended must not come back by being kept.
local spared = cutoff_of(held[5])
for i = 4, ending and #held or 0 do
  local cutoff = held[i] and i ~= 5 and cutoff_of(held[i])
  if cutoff and cutoff >= born_at and not (i == 4 and spared > cutoff) then
    return { 'ok', now, 'covered' }
  end
end

-- All is read before the first write.
local shard = prepare(now)
local cutoff = ending and shard.now or math.min(cutoff_of(held[4]), 2 ^ 53)
local from = whole(math.min(cutoff_of(held[6]), 2 ^ 53))
local limit = tonumber(ARGV[16])
-- An index of another type is lost, and must not keep the others from being ended.
local function members_of(...)
  local found = redis.pcall('ZRANGEBYSCORE', INDEX, ...)
  if found.err and not is_other(found) then
    redis.call('ZRANGEBYSCORE', INDEX, ...) -- Raises it.
  end
  return found.err and {} or found
end
local members = members_of('(' .. from, whole(cutoff), 'LIMIT', 0, limit)
local records, later = {}, {}
for _, sid in ipairs(members) do
  if sid ~= keep then
    -- What is no record must not keep the others from being ended.
    local record = read_ours(ARGV[7] .. sid)
    local lived = record and not is_expired(record, now)
    -- What cannot be read may be a record that is put right: it stays in the index.
    if record or redis.call('EXISTS', ARGV[7] .. sid) == 0 then
      records[#records + 1] = { sid = sid, lived = lived }
    end
  end
end
if ending then
  -- Opened by a clock that was ahead and has been put right: the cutoff does not reach them.
  for _, sid in ipairs(members_of('(' .. whole(cutoff), '+inf')) do
    local record = sid ~= keep and read_ours(ARGV[7] .. sid)
    if record then
      redis.call('EXISTS', ARGV[8] .. record.entry)
      later[#later + 1] = { sid = sid, entry = record.entry }
    end
  end
end

local ended, written = {}, {}
if ending then
  -- Tokens may be born until the cutoff, so the entries live from there.
  revoke(shard, written, KEYS[8], ARGV[13], cutoff + 1, shard.session + 1, 'kept_session', keep, ARGV[15], true)
  revoke(shard, written, KEYS[7], ARGV[12], cutoff, shard.session, 'other_sessions', ARGV[14], ARGV[15])
end
for _, other in ipairs(later) do
  revoke_session(shard, written, other.sid, other.entry, ARGV[15])
end
-- Behind all entries: from the records a repetition knows what there is to end.
for _, record in ipairs(records) do
  if record.lived then
    drop_session(record.sid)
    ended[#ended + 1] = record.sid
  else
    redis.call('ZREM', INDEX, record.sid)
  end
end
for _, other in ipairs(later) do
  drop_session(other.sid)
  ended[#ended + 1] = other.sid
end
return { 'ok', shard.now, 'ended', #members == limit and #records > 0 and 'more' or 'last', ended, written }
