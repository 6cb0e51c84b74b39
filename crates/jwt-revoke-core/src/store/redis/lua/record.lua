-- record.lua: reading records. It stands behind session.lua.

local FIELDS = { 't', 'g', 's', 'p', 'r', 'a', 'v', 'm', 'u', 'c', 'e', 'd', 'f' }

-- What most scripts must know of a record, or nil. The names are those of record.rs.
local function read(key)
  local raw = redis.call('HMGET', key, unpack(FIELDS))
  if not raw[1] then
    return nil
  end
  local _, last_used_at, idle_deadline, absolute_deadline = four(raw[1])
  return {
    raw = raw,
    last_used_at = tonumber(last_used_at),
    deadline = math.min(idle_deadline, absolute_deadline),
    privileges = raw[4],
    attempt = raw[8], subject = raw[9], entry = raw[11],
  }
end

local function is_expired(record, now)
  return math.max(now, record.last_used_at) >= record.deadline
end
