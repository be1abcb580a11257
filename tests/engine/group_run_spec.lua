-- Random rules of a window over random rows and watermarks, against a reference that keeps every row in a list: the same rows
-- in the same order, whatever steps the events are cut into, and through restarts and aborts in between.

local group_engine = require "tests.support.group_engine"
local rows = require "tests.support.rows"

local CASES = tonumber(os.getenv "CASES") or 10000

local script = assert(rows.open())
local HAVING = {
    { fn = -1, holds = function() return true end },
    { fn = assert(rows.fn(script, "return function(g) return g.n % 2 == 1 end")), holds = function(n) return n % 2 == 1 end },
    { fn = assert(rows.fn(script, "return function(g) return g.n >= 3 end")), holds = function(n) return n >= 3 end },
    { fn = assert(rows.fn(script, "return function(g) return g.n < 3 end")), holds = function(n) return n < 3 end },
}

local KEYS = { { value = nil, json = "null", rank = 1 }, { value = -2, json = "-2", rank = 2 }, { value = 7, json = "7", rank = 3 },
               { value = "7", json = '"7"', rank = 4 }, { value = "a", json = '"a"', rank = 5 }, { value = "ab", json = '"ab"', rank = 6 } }

local function pick(list) return list[math.random(#list)] end

local function random_window()
    local step, times = math.random(1, 12), math.random(1, 5)
    local w = pick { { kind = "tumble", size = step * 2 }, { kind = "hop", size = step * times, slide = step },
                     { kind = "cumulate", size = step * times, step = step }, { kind = "session", gap = step * 2 },
                     { kind = "session", gap = step * 2 } }
    if w.size then w.offset = math.random(-w.size + 1, w.size - 1) end
    return w
end

local function random_rule()
    local rule = { window = random_window(), group_by = math.random() < 0.8 and { "k" } or {}, case = pick(HAVING),
                   lateness = math.random() < 0.5 and math.random(1, 30) or 0, early = math.random() < 0.2,
                   aggregates = { n = { kind = "count_all" }, list = { kind = "listagg", column = "v" }, s = { kind = "sum", column = "v" } } }
    if rule.window.kind ~= "session" and not rule.early and math.random() < 0.25 then
        rule.top = { n = math.random(1, 3), by = pick { "n", "s" }, desc = math.random() < 0.5 }
    end
    -- Rows that are only counted take another way.
    if math.random() < 0.3 and not (rule.top and rule.top.by == "s") then rule.aggregates = { n = { kind = "count_all" } } end
    rule.having = rule.case.fn
    return rule
end

-- Some worlds go slowly through time, others jump, so that rows are late by a little, by a lot, or not at all.
local function random_events()
    local events, now, wm, pace, disorder = {}, math.random(-60, 20), -1e9, math.random(1, 6), math.random(0, 25)
    for i = 1, math.random(1, 30) do
        now = now + math.random(0, pace)
        if math.random() < 0.25 then
            wm = math.max(wm, now - math.random(0, disorder))
            events[i] = { wm = wm }
        else
            local key = pick(KEYS)
            events[i] = { time = now - math.random(0, disorder), offset = i, partition = math.random(0, 1), k = key.value, key_ = key, v = i }
        end
    end
    if math.random() < 0.7 then events[#events + 1] = { wm = now + 200 } end
    return events
end

-- --- the reference ---

local Reference = {}
Reference.__index = Reference

local function windows_of(w, t)
    local list = {}
    if w.kind == "tumble" or w.kind == "hop" then
        local slide = w.slide or w.size
        local last = t - (t - w.offset) % slide
        for start = last - w.size + slide, last, slide do list[#list + 1] = { start, start + w.size } end
    else
        local start = t - (t - w.offset) % w.size
        for stop = start + w.step, start + w.size, w.step do if t < stop then list[#list + 1] = { start, stop } end end
    end
    return list
end

function Reference:result(g)
    table.sort(g.rows, function(a, b)
        if a.time ~= b.time then return a.time < b.time end
        if a.partition ~= b.partition then return a.partition < b.partition end
        return a.offset < b.offset
    end)
    local sum, list = 0, {}
    for i, r in ipairs(g.rows) do sum, list[i] = sum + r.v, r.v end
    if not self.rule.aggregates.s then sum, list = 0, {} end
    return { n = #g.rows, s = sum, list = table.concat(list, ","), stands = self.rule.case.holds(#g.rows) }
end

function Reference:emit(g, kind, result)
    -- A session may have grown since its early result: what takes that back has the window of that time.
    if kind ~= "tombstone" then g.at = { g.start, g.stop } end
    self.out[#self.out + 1] = ("%s %d %d %d %d %s %s"):format(#self.rule.group_by > 0 and g.json or "", g.at[1], g.at[2], result.n, result.s, result.list, kind)
end

function Reference:write(g, result, late)
    local again = late or g.given
    self:emit(g, again and "update" or "new", result)
    g.written, g.given = true, g.given or not again
end

-- A fired window's groups with a rank: the first n stand.
function Reference:ranked(groups)
    local list = {}
    for _, g in ipairs(groups) do
        g.result = self:result(g)
        if g.result.stands then list[#list + 1] = g end
    end
    local top = self.rule.top
    table.sort(list, function(a, b)
        local x, y = a.result[top.by], b.result[top.by]
        if x ~= y then
            if top.desc then return x > y end
            return x < y
        end
        return a.rank < b.rank
    end)
    return list
end

function Reference:close_ranked(groups)
    for i, g in ipairs(self:ranked(groups)) do
        if i <= self.rule.top.n then self:write(g, g.result, false) end
    end
end

function Reference:update_ranked(touched)
    local same = {}
    for _, g in ipairs(self.groups) do if g.start == touched.start and g.stop == touched.stop then same[#same + 1] = g end end
    table.sort(same, function(a, b) return a.rank < b.rank end)
    local list = self:ranked(same)
    local first = {}
    for i = 1, math.min(self.rule.top.n, #list) do first[list[i]] = true end
    local function fell(g)
        if g.written and not first[g] then
            self:emit(g, "tombstone", g.result)
            g.written = false
        end
    end
    for _, g in ipairs(same) do if not g.result.stands then fell(g) end end
    for _, g in ipairs(list) do fell(g) end
    for i = 1, math.min(self.rule.top.n, #list) do
        if list[i] == touched or not list[i].written then self:write(list[i], list[i].result, true) end
    end
end

function Reference:look(g)
    if g.fired and self.rule.top then return self:update_ranked(g) end
    local result = self:result(g)
    if g.fired then
        if result.stands then
            self:write(g, result, true)
        elseif g.written then
            self:emit(g, "tombstone", result)
            g.written = false
        end
    elseif self.rule.early and result.stands and not g.written then
        self:write(g, result, false)
    end
end

function Reference:over(stop, lateness) return self.wm >= stop - 1 + lateness end

function Reference:group(start, stop, row)
    local key = #self.rule.group_by > 0 and row.key_ or KEYS[1]
    for _, g in ipairs(self.groups) do if g.start == start and g.stop == stop and g.rank == key.rank then return g end end
    local g = { start = start, stop = stop, rank = key.rank, json = key.json, rows = {}, fired = self:over(stop, 0) }
    self.groups[#self.groups + 1] = g
    return g
end

function Reference:session_row(row)
    local rank = #self.rule.group_by > 0 and row.key_.rank or KEYS[1].rank
    local start, stop, touching = row.time, row.time + self.rule.window.gap, {}
    local from, to = start, stop
    for _, g in ipairs(self.groups) do
        if g.rank == rank and g.start <= to and g.stop >= from then
            touching[#touching + 1] = g
            start, stop = math.min(start, g.start), math.max(stop, g.stop)
        end
    end
    if #touching == 0 and self:over(stop, self.rule.lateness) then
        self.late = self.late + 1
        return
    end
    table.sort(touching, function(a, b) return a.start < b.start end)
    local whole = touching[1] or self:group(start, stop, row)
    for _, g in ipairs(touching) do
        local grows = g.start ~= start or g.stop ~= stop
        local moved = g.written and (g.at[1] ~= g.start or g.at[2] ~= g.stop)
        if g.written and (g.fired and (grows or moved) or self.rule.early and #touching > 1) then
            self:emit(g, "tombstone", self:result(g))
            g.written = false
        end
    end
    for i = 2, #touching do
        local g = touching[i]
        for _, r in ipairs(g.rows) do whole.rows[#whole.rows + 1] = r end
        whole.written, whole.given = whole.written or g.written, whole.given or g.given
        for k, other in ipairs(self.groups) do if other == g then table.remove(self.groups, k) end end
    end
    whole.start, whole.stop, whole.fired = start, stop, self:over(stop, 0)
    whole.rows[#whole.rows + 1] = row
    self:look(whole)
end

function Reference:row(row)
    if self.rule.window.kind == "session" then return self:session_row(row) end
    local taken = false
    for _, w in ipairs(windows_of(self.rule.window, row.time)) do
        if not self:over(w[2], self.rule.lateness) then
            taken = true
            local g = self:group(w[1], w[2], row)
            g.rows[#g.rows + 1] = row
            self:look(g)
        end
    end
    if not taken then self.late = self.late + 1 end
end

function Reference:watermark(wm)
    if wm <= self.wm then return end
    self.wm = wm
    local firing, kept = {}, {}
    for _, g in ipairs(self.groups) do
        if not g.fired and self:over(g.stop, 0) then firing[#firing + 1] = g end
        if not self:over(g.stop, self.rule.lateness) then kept[#kept + 1] = g end
    end
    table.sort(firing, function(a, b)
        if a.stop ~= b.stop then return a.stop < b.stop end
        return a.rank < b.rank
    end)
    local i = 1
    while i <= #firing do
        local same = {}
        repeat
            same[#same + 1], firing[i].fired = firing[i], true
            i = i + 1
        until not self.rule.top or i > #firing or firing[i].stop ~= same[1].stop
        if self.rule.top then
            self:close_ranked(same)
        else
            local result = self:result(same[1])
            if result.stands and not same[1].written then self:write(same[1], result, false) end
        end
    end
    self.groups = kept
end

local function expected(rule, events)
    local ref = setmetatable({ rule = rule, groups = {}, out = {}, wm = -1e15, late = 0 }, Reference)
    for _, e in ipairs(events) do
        if e.time then ref:row(e) else ref:watermark(e.wm) end
    end
    return ref.out, ref.late
end

-- --- the engine, over the same events in random steps ---

local function lines(rule, out, list, numbers)
    for _, r in ipairs(out) do
        list[#list + 1] = ("%s %s %s %s %s %s %s"):format(#rule.group_by > 0 and r.k or "", r.window_start, r.window_end, r.n, r.s or 0, (r.list or ""):gsub('"', ""), r._kind)
        numbers[#numbers + 1] = r._offset
    end
end

local function got(rule, events)
    local g, list, numbers, at = group_engine.new(rule), {}, {}, 1
    g.script = script
    while at <= #events do
        local step, n = {}, math.random() < 0.3 and 1 or math.random(1, #events)
        for i = at, math.min(at + n - 1, #events) do
            local e, copy = events[i], {}
            for k, v in pairs(e) do if k ~= "key_" then copy[k] = v end end
            step[#step + 1] = copy
        end
        at = at + #step
        local dice = math.random()
        if dice < 0.15 then
            g:commit()
            local wm, counted = g.wm, g.stats.late
            g:run(step)
            g:abort(wm)
            g.stats.late = counted
        elseif dice < 0.3 then
            g = g:restart()
        elseif dice < 0.5 then
            g:commit()
        end
        lines(rule, g:run(step), list, numbers)
    end
    return list, tonumber(g.stats.late), numbers
end

local function describe_case(rule, events)
    local parts = { ("seed %d: "):format(SEED) }
    for k, v in pairs(rule.window) do parts[#parts + 1] = k .. "=" .. tostring(v) end
    parts[#parts + 1] = ("by %d lateness %d early %s having %d top %s"):format(#rule.group_by, rule.lateness, tostring(rule.early), rule.having,
        rule.top and rule.top.n .. rule.top.by .. tostring(rule.top.desc) or "-")
    for _, e in ipairs(events) do parts[#parts + 1] = e.time and ("%d:%s/%d@%d"):format(e.time, e.key_.json, e.partition, e.offset) or "wm " .. e.wm end
    return table.concat(parts, " ")
end

describe("group: any rule, any steps", function()
    it(("gives what the reference gives, in the same order (%d cases)"):format(CASES), function()
        math.randomseed(SEED)
        for case = 1, CASES do
            local rule, events = random_rule(), random_events()
            local want, late = expected(rule, events)
            local list, counted, numbers = got(rule, events)
            if table.concat(want, "\n") ~= table.concat(list, "\n") or late ~= counted then
                assert.same(want, list, case .. " " .. describe_case(rule, events))
                assert.equal(late, counted, case .. " late, " .. describe_case(rule, events))
            end
            for i, n in ipairs(numbers) do assert.equal(i - 1, n) end
        end
    end)
end)
