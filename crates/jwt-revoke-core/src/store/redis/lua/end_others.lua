-- end_others.lua: end all living sessions of a user but one.
--   KEYS[7]   the user's entry
--   ARGV[10]  the sid that stays
--   ARGV[11]  cause, for the audit stream
--   returns   {"ok", now, {sids ended, the oldest first}, {digest, cutoff, life of entries written}}
--             | {"lost"} | {"healing"} | {"layout", the layout found}

local others = {}
local cutoff = cutoff_of(held[4])
for _, sid in ipairs(redis.call('ZRANGEBYSCORE', INDEX, '(' .. whole(math.min(cutoff, 2 ^ 53)), '+inf')) do
  local record = read_ours(ARGV[7] .. sid)
  if record and sid ~= ARGV[10] and not is_expired(record, now) then
    redis.call('EXISTS', ARGV[8] .. record.entry)
    others[#others + 1] = { sid = sid, entry = record.entry }
  end
end
local shard = prepare(now)
local ended, written = {}, {}
for i, other in ipairs(others) do
  revoke_session(shard, written, other.sid, other.entry, ARGV[11])
  ended[i] = other.sid
end
for _, sid in ipairs(ended) do
  drop_session(sid)
end
return { 'ok', shard.now, ended, written }
