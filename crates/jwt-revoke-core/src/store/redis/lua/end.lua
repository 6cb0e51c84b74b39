-- end.lua: end a session.
--   KEYS[7]   its record
--   KEYS[8]   its entry
--   KEYS[9]   that it was ended: the attempt, and which session of whom it was; lives ARGV[9]
--   ARGV[10]  sid     ARGV[11]  digest of KEYS[8]
--   ARGV[12]  whose it must be, packed
--   ARGV[13]  cause, for the audit stream
--   ARGV[14]  attempt, 16 bytes
--   ARGV[15]  "again" if whoever asks again is told the same for a while, "" if only the same attempt is
--   returns   {"ok", now, "ended" | "again" | "none", {digest, cutoff, life of entries written}}
--             | {"lost"} | {"healing"} | {"layout", the layout found}
--
-- With its record goes the knowledge of whose it was: a command whose answer was lost, and an owner who
-- asks again since the end was not confirmed, would be told that there is no such session.

local word, written = 'none', {}
local record = known(held[4])
local theirs = record and record.subject == ARGV[12] and record.entry == ARGV[11]
local whose = ARGV[11] .. ARGV[12]
local again = held[6] and string.sub(held[6], 17) == whose
  and (ARGV[15] == 'again' or string.sub(held[6], 1, 16) == ARGV[14])
if theirs or again then
  local shard = prepare(now)
  now = shard.now
  revoke_session(shard, written, ARGV[10], ARGV[11], ARGV[13])
  redis.call('SET', KEYS[9], ARGV[14] .. whose, 'PX', ARGV[9])
  drop_session(ARGV[10])
  word = (theirs or string.sub(held[6], 1, 16) == ARGV[14]) and 'ended' or 'again'
end
return { 'ok', now, word, written }
