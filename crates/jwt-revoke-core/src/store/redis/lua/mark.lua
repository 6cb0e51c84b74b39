-- mark.lua: mark that a user's privileges changed now, in all of the user's sessions.
--   returns   {"ok", now} | {"lost"} | {"healing"} | {"layout", the layout found}

local records = {}
for _, sid in ipairs(redis.call('ZRANGE', INDEX, 0, -1)) do
  local key = ARGV[7] .. sid
  records[key] = read_ours(key)
end
for key, record in pairs(records) do
  -- A clock that stepped back must not date the change before a spend.
  local changed_at = math.max(now, record.last_used_at, record.privileges_changed_at)
  local marked = string.sub(record.raw, 1, MARK) .. struct.pack('>d', changed_at)
    .. string.sub(record.raw, MARK + 9)
  redis.call('SET', key, marked, 'KEEPTTL')
end
return { 'ok', now }
