-- known.lua: what most scripts must know of a record. It stands behind record.lua.

-- A record as a table, or nil without one.
local function known(raw)
  if not raw then
    return nil
  end
  local _, _, last_used_at, idle_deadline, absolute_deadline, privileges_changed_at, _, _, _, _,
    _, _, _, _, _, attempt, whose, _, _, _, past = parse(raw)
  if past ~= #raw + 1 then
    error(NOT_OURS)
  end
  local entry, _, subject = struct.unpack('>I4c0I4c0I4c0', whose)
  return {
    raw = raw,
    last_used_at = last_used_at,
    deadline = math.min(idle_deadline, absolute_deadline),
    privileges_changed_at = privileges_changed_at,
    attempt = attempt, subject = subject, entry = entry,
  }
end

-- The record at `key`, or nil: none, of another type, or none of ours. It must not keep the others from being
-- ended or listed.
local function read_ours(key)
  local raw = redis.pcall('GET', key)
  if type(raw) == 'table' then
    if string.find(raw.err, 'WRONGTYPE', 1, true) then
      return nil
    end
    raw = redis.call('GET', key) -- Raises it.
  end
  local ours, record = pcall(known, raw)
  return ours and record or nil
end

local function is_expired(record, now)
  return math.max(now, record.last_used_at) >= record.deadline
end

