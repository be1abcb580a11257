-- Random patterns over the whole grammar, random rows and random conditions, for property tests of row pattern matching.

local ffi = require "ffi"
local lib = require("tests.support.match_engine").lib

local match_random = {}
local random = math.random
local HISTORY, NUMBER = 1, 2

local VARS = { "A", "B", "C", "D" }

local function pick(list) return list[random(#list)] end

local QUANTIFIERS = { "*", "+", "?", "{1}", "{2}", "{1,}", "{2,}", "{,2}", "{1,2}", "{2,3}", "{0,3}", "{,}" }

local pattern
local function primary(depth)
    local roll = depth > 0 and random(20) or random(10)
    if roll <= 9 then return pick(VARS)
    elseif roll == 10 then return pick { "^", "$", "()", "A", "B" }
    elseif roll <= 15 then return "(" .. pattern(depth - 1) .. ")"
    elseif roll <= 18 then return "{- " .. pattern(depth - 1) .. " -}"
    end
    local items = {}
    for i = 1, random(3) do items[i] = pattern(depth - 2) end
    return "PERMUTE(" .. table.concat(items, ", ") .. ")"
end
local function quantified(depth)
    local text = primary(depth)
    if random(10) > 4 then return text end
    return text .. pick(QUANTIFIERS) .. (random(3) == 1 and "?" or "")
end
function pattern(depth)
    depth = math.max(depth, 0)
    local choices = {}
    for i = 1, random(4) == 1 and random(3) or 1 do
        local parts = {}
        for k = 1, random(3) do parts[k] = quantified(depth) end
        choices[i] = table.concat(parts, " ")
    end
    return table.concat(choices, " | ")
end

-- A condition: text, code (the body of a `define` function), and test(job, pos, start, labels, number), where row(pos) gives the row or nil, and raises "more"
-- when it has not come. labels: { {name=} ... } from start to pos.
local function count_of(labels, name)
    local n = 0
    for _, label in ipairs(labels) do if label.name == name then n = n + 1 end end
    return n
end
local conditions = {
    function()
        local mask = random(2, 15)
        return { text = "value in mask " .. mask, code = ("return bit.band(bit.rshift(%d, row.value), 1) == 1"):format(mask), test = function(row, pos) return bit.band(bit.rshift(mask, row(pos).value), 1) == 1 end }
    end,
    function()
        local n = random(2)
        return { text = "value < prev " .. n, code = ("local p = m.prev(%d) return p ~= nil and row.value < p.value"):format(n), test = function(row, pos)
            local before = pos >= n and row(pos - n)
            return before and row(pos).value < before.value or false
        end }
    end,
    function()
        local n = random(2)
        return { text = "value >= next " .. n, code = ("local q = m.next_row(%d) return q ~= nil and row.value >= q.value"):format(n), test = function(row, pos)
            local behind = row(pos + n)
            return behind ~= nil and row(pos).value >= behind.value
        end }
    end,
    function()
        local var, most = pick(VARS), random(3)
        return { text = "count " .. var .. " <= " .. most, looks = HISTORY, var = var,
            code = ('return m.count("%s") <= %d'):format(var, most), test = function(_, _, _, labels)
            return count_of(labels(), var) <= most
        end }
    end,
    function()
        local var = pick(VARS)
        return { text = "value >= 2 or first label " .. var, looks = HISTORY,
            code = ('if row.value >= 2 then return true end return m.first("*")._label == "%s"'):format(var), test = function(row, pos, _, labels)
            if row(pos).value >= 2 then return true, 0 end
            return labels()[1].name == var
        end }
    end,
    function()
        return { text = "odd number or value 1", looks = NUMBER,
            code = "if row.value == 1 then return true end return m.match_number() % 2 == 1", test = function(row, pos, _, _, number)
            if row(pos).value == 1 then return true, 0 end
            return number % 2 == 1
        end }
    end,
    function() return { text = "true", code = "return true", test = function() return true end } end,
}

-- kinds: how many of `conditions` may be taken (3: those that look at rows only).
function match_random.job(kinds)
    local job = { pattern = pattern(3), conditions = {}, rows = {}, skip_to = {} }
    for _, name in ipairs(VARS) do
        if random(5) > 1 then job.conditions[name] = pick { unpack(conditions, 1, kinds or #conditions) } () end
    end
    job.skip = pick { "past_last_row", "past_last_row", "to_next_row", "to_first", "to_last" }
    job.skip_to[pick(VARS)] = true
    if random(3) == 1 then job.skip_to[pick(VARS)] = true end
    job.unmatched = random(2) == 1
    if random(3) == 1 then
        job.within = random(1, 8)
        job.emit_timeout = random(2) == 1
    end
    local time = random(-5, 5)
    for i = 1, random(0, 8) do
        time = time + random(0, 3)
        job.rows[i] = { time = time, value = random(0, 3) }
    end
    return job
end

-- For reference.run: all rows are there.
function match_random.holds(job)
    local function row(pos) return job.rows[pos + 1] end
    return function(name, pos, start, labels, number)
        local condition = job.conditions[name]
        if not condition then return true end
        return (condition.test(row, pos, start, function() return labels end, number))
    end
end

-- For match_engine's run: rows up to view["end"] are there. Notes every question in job.asked when that is a table.
function match_random.ask(job)
    return function(name, view, labels)
        local condition = job.conditions[name]
        local function row(pos)
            if pos < view["end"] then return job.rows[pos + 1] end
            if view.finished == 0 then error("more", 0) end
        end
        local pos, start = tonumber(view.seq), tonumber(view.start)
        local ok, holds, looked = pcall(condition.test, row, pos, start, labels, tonumber(view.number))
        if not ok then
            assert(holds == "more", holds)
            return "more", 0
        end
        if looked == nil then looked = condition.looks or 0 end
        if job.asked then job.asked(name, pos, start, looked, tonumber(view.number), view) end
        return holds, looked
    end
end

function match_random.show(job)
    local lines = { "pattern " .. job.pattern }
    for _, name in ipairs(VARS) do
        if job.conditions[name] then lines[#lines + 1] = name .. ": " .. job.conditions[name].text end
    end
    for i, row in ipairs(job.rows) do lines[#lines + 1] = ("row %d: time %d value %d"):format(i - 1, row.time, row.value) end
    local to = {}
    for name in pairs(job.skip_to) do to[#to + 1] = name end
    lines[#lines + 1] = ("skip %s %s, within %s, emit %s, unmatched %s"):format(job.skip, table.concat(to, ","), tostring(job.within),
        tostring(job.emit_timeout), tostring(job.unmatched))
    return table.concat(lines, "\n")
end

match_random.HISTORY, match_random.NUMBER = HISTORY, NUMBER
match_random.lib, match_random.ffi = lib, ffi
return match_random
