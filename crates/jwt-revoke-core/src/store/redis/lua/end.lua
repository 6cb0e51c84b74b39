-- end.lua: end a session.
--   KEYS[7]   its record
--   KEYS[8]   its entry
--   ARGV[10]  sid     ARGV[11]  digest of KEYS[8]
--   ARGV[12]  whose it must be, packed
--   ARGV[13]  cause, for the audit stream
--   returns   {"ok", now, {sids ended}, {digest, cutoff, life of entries written}}
--             | {"lost"} | {"healing"} | {"layout", the layout found}

local ended, written = {}, {}
local record = known(held[4])
if record and record.subject == ARGV[12] and record.entry == ARGV[11] then
  local shard = prepare(now)
  now = shard.now
  end_session(shard, written, ARGV[10], ARGV[11], ARGV[13])
  ended[1] = ARGV[10]
end
return { 'ok', now, ended, written }
