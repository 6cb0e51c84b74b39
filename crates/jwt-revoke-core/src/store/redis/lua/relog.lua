-- relog.lua: log once more what entries of one shard say, so that a log that has lost entries tells all.
--   ARGV[1]  layout
--   ARGV[2]  access horizon that the caller knows of, ms
--   ARGV[3]  session horizon that the caller knows of, ms
--   ARGV[4]  the epoch in which the caller has begun; another ends it
--   ARGV[5]  "begin"; "more"; or "end", once every entry of the shard has been logged
--   ARGV[6]  at the end, what the beginning answered
--   then for each entry, two: digest; the sum of 1 if it is known to concern every shard, 2 if it is known that
--   no token is issued that it covers
--   returns  {"ok", now, how many were logged, at the beginning the id behind which they will stand}
--          | {"lost"} | {"layout", the layout found}
--
-- What is written meanwhile is logged by the script that writes it. What is lost meanwhile lies behind the id that
-- the beginning answered, and is seen as a gap.

local marks = redis.call('MGET', META, EPOCH)
local now, answer = open(marks[1], marks[2])
if not now then
  return answer
elseif marks[2] ~= ARGV[4] then
  return { 'lost' }
end
local shard = prepare(now)
if ARGV[5] == 'begin' then
  return { 'ok', shard.now, 0, shard.last }
end
local logged = 0
for i = 1, #KEYS - FIRST do
  local held = redis.pcall('GET', KEYS[FIRST + i])
  if type(held) == 'table' and not is_other(held) then
    held = redis.call('GET', KEYS[FIRST + i])
  end
  -- What is no entry of ours no check can read either.
  if type(held) == 'string' and (held == '*' or string.match(held, '^%d+$')) then
    local life = redis.call('PTTL', KEYS[FIRST + i])
    if life == -1 then
      life = shard.session
    end
    if life > 0 then
      local known = tonumber(ARGV[6 + i * 2])
      -- How long tokens need it does not stand in the entry, and too long does no harm.
      local lasting = held == '*' and known < 2
      log(shard, ARGV[5 + i * 2], held, life, lasting, known % 2 == 1)
      logged = logged + 1
    end
  end
end
if ARGV[5] == 'end' then
  shard.meta.torn = 0
  shard.meta.mended, shard.meta.mended_seq = parts(ARGV[6])
end
write_meta(shard.meta)
return { 'ok', shard.now, logged }
