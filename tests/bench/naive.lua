-- The naive way: lua-cjson makes a table of every order, and the five pizza rules are plain Lua over it.
-- `luajit tests/bench/naive.lua FILE` prints one JSON object. Orders come in the order of their times, so a window closes when
-- the watermark (five seconds behind) passes it; no other care is taken, and nothing is written.

local cjson = require "cjson"

local BOUND = 5000
local bad = { ["🍍 pineapple"] = true, ["🍓 strawberry"] = true, ["🍌 banana"] = true }
local emitted = { bad_toppings = 0, too_many_bad_toppings = 0, topping_counts = 0, topping_rush = 0, topping_trend = 0 }

-- START_ROW NR_UP+ NR_DOWN{2}, past the last row: how far the attempt under way is, and what it may fall back to.
local trends = {}
local function trend(topping, n)
    local t = trends[topping]
    if not t then
        trends[topping] = { previous = n, ups = 0, downs = 0 }
        return
    end
    if t.previous == nil then
        t.previous = n
        return
    end
    if n > t.previous then
        -- After a fall this row cannot go on; the row before it starts the next attempt.
        if t.downs > 0 then t.ups, t.downs = 0, 0 end
        t.ups = t.ups + 1
    elseif n < t.previous and t.ups > 0 then
        t.downs = t.downs + 1
    else
        t.ups, t.downs = 0, 0
    end
    t.previous = n
    if t.downs == 2 then
        emitted.topping_trend = emitted.topping_trend + 1
        trends[topping] = { previous = nil, ups = 0, downs = 0 }
    end
end

local function windows(size, close)
    local open = {}
    local this = {}
    function this.add(time, topping)
        local start = time - time % size
        local groups = open[start]
        if not groups then
            groups = {}
            open[start] = groups
        end
        groups[topping] = (groups[topping] or 0) + 1
    end
    function this.watermark(at)
        local due = {}
        for start in pairs(open) do
            if at >= start + size - 1 then due[#due + 1] = start end
        end
        table.sort(due)
        for _, start in ipairs(due) do
            for topping, n in pairs(open[start]) do close(topping, n) end
            open[start] = nil
        end
    end
    return this
end

local counts = windows(1000, function(topping, n)
    emitted.topping_counts = emitted.topping_counts + 1
    trend(topping, n)
end)
local rush = windows(5000, function(_, n)
    if n > 10 then emitted.topping_rush = emitted.topping_rush + 1 end
end)

local function take(order)
    local found, list = 0, {}
    for _, pizza in ipairs(order.pizzas) do
        for _, topping in ipairs(pizza.additionalToppings) do
            if bad[topping] then
                found = found + 1
                list[found] = topping
                counts.add(order.timestamp, topping)
                rush.add(order.timestamp, topping)
            end
        end
    end
    emitted.bad_toppings = emitted.bad_toppings + found
    if found > 3 then
        emitted.too_many_bad_toppings = emitted.too_many_bad_toppings + 1
        return table.concat(list, ",")
    end
end

local started, n, swept = os.clock(), 0, 0
for line in io.lines(arg[1]) do
    local order = cjson.decode(line)
    take(order)
    n = n + 1
    if order.timestamp - BOUND >= swept + 250 then
        swept = order.timestamp - BOUND
        counts.watermark(swept)
        rush.watermark(swept)
    end
end
counts.watermark(math.huge)
rush.watermark(math.huge)
print(cjson.encode { records = n, seconds = os.clock() - started, emitted = emitted })
