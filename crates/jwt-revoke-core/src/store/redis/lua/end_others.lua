-- end_others.lua: end all sessions of a user but one.
--   ARGV[10]  the sid that stays
--   ARGV[11]  cause, for the audit stream
--   returns   {"ok", now, {sids ended, the oldest first}, {digest, cutoff, life of entries written}}
--             | {"lost"} | {"healing"} | {"layout", the layout found}

local shard, answer = open_whole()
if not shard then
  return answer
end
local others = {}
for _, sid in ipairs(redis.call('ZRANGE', INDEX, 0, -1)) do
  local entry = redis.call('HGET', ARGV[7] .. sid, 'e')
  if entry and sid ~= ARGV[10] then
    redis.call('EXISTS', ARGV[8] .. entry)
    others[#others + 1] = { sid = sid, entry = entry }
  end
end
local ended, written = {}, {}
for i, other in ipairs(others) do
  end_session(shard, written, other.sid, other.entry, ARGV[11])
  ended[i] = other.sid
end
return { 'ok', shard.now, ended, written }
