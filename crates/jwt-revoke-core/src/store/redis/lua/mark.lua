-- mark.lua: mark that a user's privileges changed now, in all of the user's sessions.
--   returns   {"ok", now} | {"lost"} | {"healing"} | {"layout", the layout found}

local shard, answer = open_whole()
if not shard then
  return answer
end
local records = {}
for _, sid in ipairs(redis.call('ZRANGE', INDEX, 0, -1)) do
  local key = ARGV[7] .. sid
  records[key] = read(key)
end
for key, record in pairs(records) do
  -- A clock that stepped back must not date the change before a spend.
  local changed_at = math.max(shard.now, record.last_used_at, string.match(record.privileges, '^%d+'))
  redis.call('HSET', key, 'p', whole(changed_at) .. string.sub(record.privileges, -2))
end
return { 'ok', shard.now }
