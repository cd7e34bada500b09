-- Write minutes of one generation, and the day totals that follow from them, in one step.
--
-- KEYS: 1 hash of days, 2 stream of changes, then one hash of minutes per business day.
-- ARGV: 1 greatest length of the stream (0: no change is told), then six a minute: number of its hash in KEYS, day, field (HH:MM|province),
--       final (0 or 1), orders, cents.
-- A final minute is always taken: of one run it is the same figure every time, so whatever stands there else is spoilt. A
-- provisional one is taken if its minute is not final and has no more orders: a replay from a checkpoint cannot make
-- counts go back, and an equal one is written again, so that lost data heals. Returns how many were taken.
local taken = 0
for i = 2, #ARGV, 6 do
  local minutes, day, field = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
  local final, orders, cents = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  local old_final, old_orders, old_cents = -1, 0, 0
  local old = redis.call('HGET', minutes, field)
  if old then
    local a, b, c = string.match(old, '^(%d):(%d+):(-?%d+)$')
    -- A value that is not ours (somebody's hand) is overwritten by the next figure.
    if a then old_final, old_orders, old_cents = tonumber(a), tonumber(b), tonumber(c) end
  end
  if final == 1 or (old_final < 1 and orders >= old_orders) then
    redis.call('HSET', minutes, field, string.format('%d:%d:%.0f', final, orders, cents))
    taken = taken + 1
    local province = string.match(field, '|(.*)$')
    local name = day .. '|' .. province
    local total_orders, total_cents = 0, 0
    local total = redis.call('HGET', KEYS[1], name)
    if total then
      local b, c = string.match(total, '^(-?%d+):(-?%d+)$')
      if b then total_orders, total_cents = tonumber(b), tonumber(c) end
    end
    redis.call('HSET', KEYS[1], name,
      string.format('%.0f:%.0f', total_orders + orders - old_orders, total_cents + cents - old_cents))
    if ARGV[1] ~= '0' and (final ~= old_final or orders ~= old_orders or cents ~= old_cents) then
      redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'day', day, 'minute', field,
        'final', final, 'orders', orders, 'cents', ARGV[i + 5], 'was_orders', old_orders,
        'was_cents', string.format('%.0f', old_cents))
    end
  end
end
return taken
