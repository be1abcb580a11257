-- Random rule sets and records for specs that compare several tasks with one.
--
--   local world = worlds.make(seed, { late = true })     -- { config, rules, names, partitions, records }
--
-- late: one partition, rows beyond the bound, and rules whose results depend on the order of arrival; else several
-- partitions, disorder within the bound, and rules whose results do not.

local topology = require "tests.support.topology"

local worlds = {}

-- Rules by name: text, what they read, and where they make sense. %d is a number of 1..4, which varies sizes.
local RULES = {
    { "counts", [[from = "s", window = tumble "%d00ms", group_by = { "kind" }, aggregate = { n = count(), total = sum "v" }, to = "counts"]] },
    { "hops", [[from = "s", window = hop { size = "%d00ms", slide = "50ms" }, group_by = { "kind", "shop" }, aggregate = { n = count(), low = min "v", high = max "v", mean = avg "v" }, to = "hops"]] },
    { "hop_counts", [[from = "s", window = hop { size = "240ms", slide = "%d0ms" }, group_by = { "shop" }, aggregate = { n = count() }, to = "hop_counts"]] },
    { "steps", [[from = "s", window = cumulate { size = "400ms", step = "100ms" }, group_by = { "shop" }, aggregate = { ids = count_distinct "id", mid = quantile("v", 0.5), odd = count "flag" }, to = "steps"]] },
    { "sits", [[from = "s", window = session { gap = "%d0ms" }, group_by = { "shop" }, aggregate = { n = count(), all = listagg("id", " ") }, to = "sits"]] },
    { "global", [[from = "s", window = tumble "200ms", aggregate = { n = count(), last = last "id" }, to = "global"]] },
    { "best", [[from = "s", window = tumble "300ms", group_by = { "kind" }, aggregate = { n = count(), total = sum "v" }, top = { n = 2, by = "total desc" }, to = "best"]] },
    { "ordered", [[from = "s", window = tumble "250ms", group_by = { "kind" }, aggregate = { a = first "id", b = last "raw", all = listagg("id", ","),
        f = fold(7, function(acc, r) return acc * 3 %% 1000007 + r.id end) }, to = "ordered"]] },
    { "explained", [[from = "s", window = tumble "150ms", group_by = { "kind" }, aggregate = { n = count() }, having = function(g) return g.n > %d end, explain = true, to = "explained"]] },
    { "fn_args", [[from = "s", where = function(r) return r.v ~= nil end, window = tumble "200ms", group_by = { "kind" }, aggregate = { x = sum(function(r) return r.v * %d end) }, to = "fn_args"]] },
    { "ups", [[from = "s", match = { partition_by = { "shop" }, pattern = "A B+ C?", define = { A = function(r) return r.v > 50 end,
        B = function(r, m) return r.v < m.prev().v end, C = function(r) return r.flag end }, measures = { a = function(m) return m.first("A").id end,
        b = function(m) return m.last("B").id end, n = function(m) return m.count("B") end } }, to = "ups"]] },
    { "all_rows", [[from = "s", match = { partition_by = { "kind" }, order_by = { "id" }, rows_per_match = "all", pattern = "A B", within = "300ms", define = {
        A = function(r) return r.v > 40 end, B = function(r) return r.v < 40 end }, measures = { no = function(m) return m.match_number() end } }, to = "all_rows"]] },
    { "silence", [[from = "s", match = { partition_by = { "shop" }, pattern = "A B", within = "%d0ms", on_timeout = "emit", define = {
        A = function(r) return r.v > 70 end, B = function(r) return r.v < 10 end }, measures = { a = function(m) return m.first("A").id end } }, to = "silence"]] },
    { "after_ups", [[from = "ups", window = tumble "300ms", group_by = { "n" }, aggregate = { k = count() }, to = "after_ups"]], needs = "ups", late_only = true },
    { "trend", [[from = "counts", match = { partition_by = { "kind" }, pattern = "S U+", define = { U = function(r, m) return r.n > m.prev().n end },
        measures = { s = function(m) return m.first("S").n end, e = function(m) return m.last("U").n end } }, to = "trend"]], needs = "counts" },
    { "counted", [[from = "counts", window = tumble "800ms", group_by = { "n" }, aggregate = { k = count(), t = sum "total" }, to = "counted"]], needs = "counts" },
    { "recounted", [[from = "counted", window = tumble "1600ms", group_by = {}, aggregate = { k = sum "k" }, to = "recounted"]], needs = "counted" },
    { "timers", [[from = "s", process = { by = { "shop" }, order = "event_time", on_row = function(row, state, emit) state.n = (state.n or 0) + 1 state.id = row.id
        if row.v > 60 then state:wake(row._time + 70) end if state.n %% %d == 0 then emit { n = state.n, id = row.id, raw = row.raw } end end,
        on_timer = function(state, time, emit) emit { quiet = time, id = state.id } end }, to = "timers"]] },
    { "arrivals", [[from = "s", process = { by = { "shop" }, ttl = "2s", on_row = function(row, state, emit) state.last = state.last or {} if #state.last >= 2 then table.remove(state.last, 1) end
        state.last[#state.last + 1] = row.id if row.flag then emit { ids = table.concat(state.last, "/") } end state:wake(row._time + %d0) end,
        on_timer = function(state, time, emit) emit { at = time, k = #(state.last or {}) } end }, to = "arrivals"]] },
    { "ewma", [[from = "s", detect = ewma { by = { "kind" }, value = "v", threshold = 1, warmup = 3, order = "event_time" }, to = "ewma"]] },
    { "plain", [[from = "s", where = function(r) return r.v > %d0 end, select = { "id", "raw", "nested", kind2 = "kind", "shop" }, to = "plain"]] },
    { "on_plain", [[from = "plain", window = tumble "200ms", group_by = { "kind2" }, aggregate = { n = count(), raws = count_distinct "raw" }, to = "on_plain"]], needs = "plain" },
    { "tags", [[from = "s", unnest = "tags[] as tag", where = function(r) return r.tag ~= "no" end, select = { "id", "tag", "shop" }]] },
    { "tag_counts", [[from = "tags", window = tumble "100ms", group_by = { "tag" }, aggregate = { n = count() }, to = "tag_counts"]], needs = "tags" },
    { "tag_records", [[from = "tags", window = record(), group_by = { "id" }, aggregate = { n = count(), all = listagg("tag", ",") }, having = function(g) return g.n > 1 end, to = "tag_records"]], needs = "tags" },
    { "rare", [[from = "s", where = function(r) return r.v > 30 end, select = { "id", "kind", "raw" }, key = { "kind" }, cooldown = "%d00ms", to = "rare"]], late_only = true },
    { "rare_by_record", [[from = "s", where = function(r) return r.flag end, cooldown = "%d50ms", to = "rare_by_record"]] , keyed = true },
    { "rare_windows", [[from = "s", window = tumble "50ms", group_by = { "kind", "shop" }, aggregate = { n = count() }, key = { "shop" }, cooldown = "%d00ms", to = "rare_windows"]], late_only = true },
    { "two", [[from = { "s", "other" }, where = function(r) return r.v ~= nil end, window = tumble "300ms", group_by = { "kind" }, aggregate = { n = count(),
        o = count(function(r) return r._from == "other" end) }, to = "two"]] },
    { "both", [[from = { "counts", "hops" }, window = tumble "800ms", group_by = { "kind" }, aggregate = { n = sum "n", k = count() }, to = "both"]], needs = { "counts", "hops" } },
    { "soon", [[from = "s", window = tumble "300ms", group_by = { "kind" }, aggregate = { n = count(), id = max "id" }, having = function(g) return g.n > %d end, early = true, to = "soon"]], late_only = true },
    { "patient", [[from = "s", window = tumble "100ms", group_by = { "kind" }, aggregate = { n = count(), total = sum "v" }, lateness = "%d00ms", late_to = "too_late", to = "patient"]], late_only = true },
    { "late_sits", [[from = "s", window = session { gap = "%d0ms" }, group_by = { "kind" }, aggregate = { n = count() }, lateness = "100ms", late_to = "late_sits_late", to = "late_sits"]], late_only = true },
}

local function names_of(needs)
    if type(needs) == "string" then return { needs } end
    return needs or {}
end

local function choose(random, late, count)
    local by_name, chosen, list = {}, {}, {}
    for _, r in ipairs(RULES) do by_name[r[1]] = r end
    local function take(name)
        if chosen[name] then return end
        chosen[name] = true
        for _, other in ipairs(names_of(by_name[name].needs)) do take(other) end
        list[#list + 1] = name
    end
    while #list < count do
        local r = RULES[random(#RULES)]
        if late or not r.late_only then take(r[1]) end
    end
    table.sort(list)
    return list, by_name
end

-- Spellings of one value, which must come through as they are.
local NUMBERS = { "7", "7.0", "70e-1", "12345678901234567890123", "-0", "0.1", "1E400", "null", '"7"',
    "true", '{"a":[1,2.50,"\\u00e9"]}', "[]", '"\\u0041\\n"', '"A"' }
-- A group shows its key as its first row had it, which is fixed only where one partition fixes which that is: there
-- values have several spellings.
local ONCE = { '"pine"', '"strawberry"', '"\\ud83c\\udf4d"', "1", '"1"', "null", "true", '"x"', '"y"', "2.50" }
local KINDS = { '"pine"', '"straw\\u0062erry"', '"strawberry"', '"\\ud83c\\udf4d"', '"🍍"', "1", "1.0", '"1"', "null", "true", '"x"', '"y"' }

local function record(random, i, time, shop, kinds)
    local tags = {}
    for k = 1, random(4) - 1 do tags[k] = ({ '"a"', '"b"', '"no"', '"\\u0061"' })[random(4)] end
    local parts = { ('"ts":%d'):format(time), ('"id":%d'):format(i), ('"shop":"s%d"'):format(shop), '"kind":' .. kinds[random(#kinds)],
        ('"v":%d%s'):format(random(100), ({ "", ".5", ".25", ".0" })[random(4)]), '"flag":' .. ({ "true", "false", "false", "null" })[random(4)],
        '"tags":[' .. table.concat(tags, ",") .. "]" }
    if random(3) > 1 then parts[#parts + 1] = '"raw":' .. NUMBERS[random(#NUMBERS)] end
    if random(3) == 1 then parts[#parts + 1] = '"nested": {"x" : [ 1, {"y":null} ]}' end
    return { key = random(9) == 1 and nil or ('{"shop":"s%d"}'):format(shop), value = "{" .. table.concat(parts, ",") .. "}", ts = time }
end

function worlds.make(seed, o)
    local random = topology.randomness(seed)
    local late, n = o.late, o.records or 250
    local names, by_name = choose(random, late, o.rules or 5)
    local partitions = late and 1 or random(4) + 1
    local text, fixed = {}, late
    for _, name in ipairs(names) do
        fixed = fixed and name ~= "both" -- its rows come from several tasks
        local size, body = random(4), by_name[name][2]
        text[#text + 1] = ('rule "%s" { %s }'):format(name, body:gsub("%%%%", "\1"):gsub("%%d", size):gsub("\1", "%%"))
    end
    local by = o.partitioned_by and ', partitioned_by = { "shop" }' or ""
    local world = { names = names, partitions = partitions, rules = table.concat(text, "\n"), records = {}, other = {}, idle = {} }
    world.config = ([[
source "s" { topic = "s", event_time = "ts", watermark = "60ms", max_ahead = "none"%s }
source "other" { topic = "other", event_time = "ts", watermark = "60ms", max_ahead = "none" }
rules "rules"
]]):format(by)
    for i = 1, n do
        local shop = random(7)
        local time = 1000 + i * 10 - random(50) + (late and random(12) == 1 and -random(400) or 0)
        -- A shop is in one partition, so that what comes in order comes in one order; the last partition has nothing.
        world.records[i] = { partition = partitions == 1 and 0 or shop % (partitions - 1), record = record(random, i, time, shop, fixed and KINDS or ONCE) }
        if i % 5 == 0 and not late then
            world.other[#world.other + 1] = { partition = 0, record = record(random, 10000 + i, 1000 + i * 10 - random(50), shop, ONCE) }
        end
    end
    return world
end

function worlds.fill(t, world)
    t:partitions("s", world.partitions)
    t:partitions("other", 1)
    for _, r in ipairs(world.records) do t:append("s", r.partition, r.record) end
    for _, r in ipairs(world.other) do t:append("other", r.partition, r.record) end
end

-- What a world's rules give in n tasks. o: see Topology:run; returns the topology, closed, with its outputs.
function worlds.run(world, n, o)
    local t = topology.open { config = world.config, rules = world.rules, n = n, log = o.log }
    t.tamper = o.tamper
    worlds.fill(t, world)
    local ok, fault = pcall(t.run, t, o)
    local late = {}
    for _, name in ipairs(world.names) do late[name] = t:late(name) end
    t.lates = late
    t:close()
    if not ok then error(fault, 0) end
    return t
end

local function line(o) return ("%s %s %s %s %d"):format(o.kind, o.topic, tostring(o.key), tostring(o.value), o.time) end

-- Nil where both committed the same: every topic as a multiset, and the order of each key. Counters begin anew with a task
-- that was killed, so those are compared only where none was.
function worlds.difference(one, many, counters)
    local function count(t)
        local c = {}
        for _, o in ipairs(t.outputs) do c[line(o)] = (c[line(o)] or 0) + 1 end
        return c
    end
    local a, b = count(one), count(many)
    local list = {}
    for l, k in pairs(a) do if b[l] ~= k then list[#list + 1] = ("- %s  (%d, %d)"):format(l, k, b[l] or 0) end end
    for l, k in pairs(b) do if not a[l] then list[#list + 1] = ("+ %s  (%d)"):format(l, k) end end
    for name, n in pairs(one.lates) do
        if counters and many.lates[name] ~= n then list[#list + 1] = ("rule %s: %d late rows in one task, %d in many"):format(name, n, many.lates[name]) end
    end
    if #list == 0 then
        local function by_key(t)
            local out = {}
            for _, o in ipairs(t.outputs) do
                if o.key and o.kind ~= "late" then -- late rows have the keys of their records, not of the rule
                    local k = o.topic .. " " .. o.key
                    out[k] = out[k] or {}
                    table.insert(out[k], line(o))
                end
            end
            return out
        end
        local x, y = by_key(one), by_key(many)
        for k, l in pairs(x) do
            for i = 1, #l do
                if l[i] ~= y[k][i] then list[#list + 1] = ("key %s, output %d: %s\n   but %s"):format(k, i, l[i], y[k][i]) break end
            end
        end
    end
    table.sort(list)
    if #list == 0 then return nil end
    return table.concat(list, "\n", 1, math.min(#list, 12))
end

return worlds
