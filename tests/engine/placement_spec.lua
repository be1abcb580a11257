-- Which rules have an exchange, and by which columns: what stands behind each name is what a plan of these rules gives.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local topology = require "tests.support.topology"
local lib = engine.use("placement", "task")

local config = [[
source "s" { topic = "s", event_time = "ts" }
source "by_shop" { topic = "b", event_time = "ts", partitioned_by = { "shop" } }
source "by_both" { topic = "c", event_time = "ts", partitioned_by = { "shop", "kind" } }
source "by_topics" { topic = { "d", "e" }, event_time = "ts", partitioned_by = { "shop" } }
rules "rules"
]]

local function names(list)
    local out = {}
    for i = 0, list.n - 1 do out[#out + 1] = ffi.string(list.at[i]) end
    return table.concat(out, " ")
end

-- Of each rule: "local", or "by ..." with what its rows bring.
local function places(rules)
    local t = topology.open { config = config, rules = rules, n = 1 }
    local plan, out = lib.task_plan(t.tasks[0].task), ffi.new "placement_t"
    lib.placement_make(plan, out)
    local found = {}
    for i = 0, out.n - 1 do
        local p = out.at[i]
        local by = p.by_record_key ~= 0 and "record key" or p.by.n == 0 and "nothing" or names(p.by)
        found[ffi.string(plan.rules[i].name)] = p.exchanged == 0 and { "local", depth = p.depth } or
            { "by " .. by, brings = p.needs.at == nil and "all" or names(p.needs), key = p.with_key ~= 0, dense = p.dense ~= 0,
              combines = p.combines ~= 0, depth = p.depth }
    end
    lib.placement_fini(out)
    t:close()
    return found
end

local function place(clauses) return places('rule "r" { ' .. clauses .. ' }').r end
local window = 'window = tumble "1s", aggregate = { n = count() }'
local match = 'match = { %s pattern = "A", define = { A = function(r) return r.v > 1 end }, measures = { a = function(m) return m.first("A").v end } }'

local TABLE = {
    { "a stateless rule", 'from = "s", where = function(r) return r.v > 1 end, to = "o"', "local" },
    { "record()", 'from = "s", unnest = "l[] as x", window = record(), group_by = { "id" }, aggregate = { n = count() }', "local" },
    { "a window by a column", 'from = "s", group_by = { "kind" }, ' .. window, "by kind" },
    { "a window by columns, in whatever order", 'from = "s", group_by = { "z", "a" }, ' .. window, "by a z" },
    { "a window by nothing", 'from = "s", ' .. window, "by nothing" },
    { "a window whose groups are ranked", 'from = "s", group_by = { "kind" }, top = { n = 1, by = "n desc" }, ' .. window, "by nothing" },
    { "a match by a column", 'from = "s", ' .. match:format 'partition_by = { "shop" },', "by shop" },
    { "a match by nothing", 'from = "s", ' .. match:format "", "by nothing" },
    { "a process", 'from = "s", process = { by = { "shop" }, on_row = function(row, state, emit) end }', "by shop" },
    { "a detector", 'from = "s", detect = ewma { by = { "shop" }, value = "v", threshold = 3 }', "by shop" },
    { "a window where the producer partitions so", 'from = "by_shop", group_by = { "shop", "kind" }, ' .. window, "local" },
    { "a match where the producer partitions so", 'from = "by_shop", ' .. match:format 'partition_by = { "shop" },', "local" },
    { "a window by less than the producer partitions by", 'from = "by_both", group_by = { "shop" }, ' .. window, "by shop" },
    { "a window by another column than the producer's", 'from = "by_shop", group_by = { "kind" }, ' .. window, "by kind" },
    { "a window by nothing of a partitioned source", 'from = "by_shop", ' .. window, "by nothing" },
    { "a source of several topics, whose partitions need not agree", 'from = "by_topics", group_by = { "shop" }, ' .. window, "by shop" },
    { "two sources, whose partitions need not agree", 'from = { "by_shop", "by_both" }, group_by = { "shop", "kind" }, ' .. window, "by kind shop" },
    { "a column that unnest shadows", 'from = "by_shop", unnest = "l[] as shop", group_by = { "shop" }, ' .. window, "by shop" },
    { "a cooldown by the record's key", 'from = "s", where = function(r) return r.v > 1 end, cooldown = "1s", to = "o"', "by record key" },
    { "a cooldown by columns", 'from = "s", select = { "id", k = "kind" }, key = { "k" }, cooldown = "1s", to = "o"', "by kind" },
    { "a cooldown by what a function made", 'from = "s", select = { "id", k = function(r) return r.v end }, key = { "k" }, cooldown = "1s", to = "o"', "by nothing" },
    { "a cooldown where the producer partitions so", 'from = "by_shop", key = { "shop" }, select = { "shop", "v" }, cooldown = "1s", to = "o"', "local" },
    { "a cooldown by some of a window's columns", 'from = "s", group_by = { "kind", "shop" }, key = { "shop" }, cooldown = "1s", to = "o", ' .. window, "by shop" },
    { "a cooldown by columns that are no keys of the window", 'from = "s", group_by = { "kind" }, key = { "window_end" }, cooldown = "1s", to = "o", ' .. window, "by nothing" },
}

describe("placement", function()
    for _, case in ipairs(TABLE) do
        it(case[1] .. ": " .. case[3], function() assert.equal(case[3], place(case[2])[1]) end)
    end

    it("keeps a rule where its upstream put the rows", function()
        local base = 'rule "a" { from = "s", group_by = { "shop" }, ' .. window .. ' }\n'
        local function second(clauses) return places(base .. 'rule "b" { from = "a", ' .. clauses .. " }").b end
        assert.equal("local", second('group_by = { "shop" }, window = tumble "5s", aggregate = { k = sum "n" }')[1])
        assert.equal("local", second('group_by = { "n", "shop" }, window = tumble "5s", aggregate = { k = count() }')[1])
        assert.equal("by n", second('group_by = { "n" }, window = tumble "5s", aggregate = { k = count() }')[1])
        assert.equal("by nothing", second('window = tumble "5s", aggregate = { k = count() }')[1])
        assert.equal("local", second(match:format('partition_by = { "shop" },'):gsub("r%.v", "r.n"):gsub("%.v", ".n"))[1])
    end)

    it("follows a column through select, and loses it in a function", function()
        local function second(select, by)
            return places('rule "a" { from = "by_shop", where = function(r) return r.v > 1 end, select = ' .. select .. " }\n" ..
                'rule "b" { from = "a", group_by = { "' .. by .. '" }, ' .. window .. " }").b[1]
        end
        assert.equal("local", second('{ "shop" }', "shop"))
        assert.equal("local", second('{ "id", place = "shop" }', "place"))
        assert.equal("by shop", second('{ shop = function(r) return r.shop end }', "shop"))
        assert.equal("by shop", second('{ shop = "kind" }', "shop"))
    end)

    it("does not trust the columns of what a process emits", function()
        local found = places('rule "a" { from = "by_shop", process = { by = { "shop" }, on_row = function(row, state, emit) emit { shop = "x" } end } }\n' ..
            'rule "b" { from = "a", group_by = { "shop" }, ' .. window .. " }")
        assert.equal("local", found.a[1])
        assert.equal("by shop", found.b[1])
    end)

    it("brings what the operator reads, and the record where all of it goes on", function()
        assert.equal("kind v", place('from = "s", where = function(r) return r.q end, group_by = { "kind" }, window = tumble "1s", aggregate = { x = sum "v" }').brings)
        assert.equal("all", place('from = "s", group_by = { "kind" }, late_to = "late", ' .. window).brings)
        assert.equal("shop v", place('from = "s", ' .. match:format 'partition_by = { "shop" },').brings)
        assert.equal("all", place('from = "s", where = function(r) return r.v > 1 end, cooldown = "1s", to = "o"').brings)
        assert.equal("id kind", place('from = "s", where = function(r) return r.v > 1 end, select = { "id", k = "kind" }, key = { "k" }, cooldown = "1s", to = "o"').brings)
        assert.equal("x", place('from = "s", unnest = "l[] as x", group_by = { "x" }, ' .. window).brings)
    end)

    it("adds up where aggregates merge and nothing looks at single rows", function()
        assert.is_true(place('from = "s", group_by = { "kind" }, ' .. window).combines)
        assert.is_true(place('from = "s", window = hop { size = "2s", slide = "1s" }, aggregate = { a = avg "v", q = quantile("v", 0.5), d = count_distinct "v", l = min "v" }').combines)
        for _, clauses in ipairs {
            'window = tumble "1s", aggregate = { n = first "v" }', 'window = tumble "1s", aggregate = { n = listagg("v", ",") }',
            'window = session { gap = "1s" }, aggregate = { n = count() }', window .. ', early = true, having = function(g) return g.n > 1 end',
            window .. ', lateness = "1s"', window .. ', late_to = "l"', window .. ', explain = true, to = "o"',
        } do
            assert.is_false(place('from = "s", ' .. clauses).combines, clauses)
        end
    end)

    it("tells every move of the watermark where the moment of emission shows", function()
        local text = 'rule "m" { from = "s", ' .. match:format 'partition_by = { "shop" },' .. ' }\n'
        assert.is_false(places(text).m.dense)
        assert.is_true(places(text .. 'rule "b" { from = "m", window = tumble "1s", aggregate = { n = count() } }').m.dense)
    end)

    it("counts the exchanges on the longest way", function()
        local found = places('rule "a" { from = "s", group_by = { "shop" }, ' .. window .. ' }\nrule "b" { from = "a", group_by = { "n" }, window = tumble "5s", aggregate = { k = count() } }\n' ..
            'rule "c" { from = { "b", "s" }, where = function(r) return true end }')
        assert.same({ 1, 2, 2 }, { found.a.depth, found.b.depth, found.c.depth })
    end)
end)
