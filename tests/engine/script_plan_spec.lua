-- Rules and configurations from files, through the engine: what is read, what is kept, what is said.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local rows = require "tests.support.rows"
local lib = engine.use("script", "rule", "config", "mem", "log")

local folder

local function write(name, text)
    os.execute(("mkdir -p '%s'"):format((folder .. "/" .. name):match("^(.*)/")))
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(text)
    file:close()
end

local function lines(faults)
    local out = {}
    for i = 0, tonumber(faults.n) - 1 do
        local at = faults.at[i]
        out[#out + 1] = ("%s:%d: %s"):format(ffi.string(at.file):gsub(folder:gsub("%p", "%%%0"), "F"), at.line, ffi.string(at.text))
    end
    lib.faults_fini(faults)
    return out
end

local function config_of(text)
    local s, faults, config = assert(rows.open()), ffi.new "faults_t", ffi.new "config_t *[1]"
    local rc = lib.script_load_config_text(s, "ananas.lua", text, #text, config, faults)
    if rc ~= 0 then return nil, lines(faults) end
    return ffi.gc(config[0], lib.config_free)
end
local config = assert(config_of 'source "pizzas" { metadata = { t = "timestamp" } }')

local function load_from(path, options)
    local s, faults, plan = assert(rows.open(options)), ffi.new "faults_t", ffi.new "plan_t *[1]"
    local rc = lib.script_load_rules(s, path, config, plan, faults)
    if rc ~= 0 then return nil, lines(faults), s end
    return ffi.gc(plan[0], lib.plan_free), {}, s
end

local function names_of(names)
    local out = {}
    for i = 0, names.n - 1 do out[i + 1] = ffi.string(names.at[i]) end
    return out
end

before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    os.execute(("mkdir '%s'"):format(folder))
end)
after_each(function() os.execute(("rm -rf '%s'"):format(folder)) end)

describe("rules from a folder", function()
    it("are copied with everything they say", function()
        write("a.lua", [[
rule "a" { from = "pizzas", unnest = "list[] as item", where = function(r) return r.item == 1 end, select = { "item", t = "t", f = function(r) return r.x end }, key = {}, cooldown = "1m", to = "out",
    late_to = nil, time_format = "sql", mode = "shadow", explain = true }
rule "w" { from = "a", window = hop { size = "10s", slide = "5s", offset = "-1s" }, group_by = { "item" }, aggregate = { n = count(), q = quantile("f", 0.5), l = listagg("f", "; "),
    s = sum(function(r) return r.f end), z = fold({ n = 0 }, function(acc, r) return r.f end) },
  having = function(g) return g.n > 1 end, top = { n = 2, by = "n desc" }, early = true, lateness = "3s", late_to = "late" }
rule "m" { from = "a", match = { partition_by = "item", order_by = { "f desc" }, pattern = "A B*", define = { B = function(row, m) return row.f end }, subset = { U = { "A", "B" } },
    measures = { c = function(m) return m.count("U") end },
  after_match = "skip to last A", rows_per_match = "all omit empty", within = "1h", on_timeout = "emit", lookback = 7 } }
rule "p" { from = { "a", "w" }, process = { by = "item", order = "event_time", ttl = "30d", on_row = function(row, state) state.x = row.f end, on_timer = function() end } }
]])
        local plan, faults = load_from(folder)
        assert.same({}, faults)
        local by = {}
        for i = 0, plan.n_rules - 1 do by[ffi.string(plan.rules[i].name)] = plan.rules[i] end
        local a, w, m, p = by.a, by.w, by.m, by.p
        assert.same({ "list[]", "item" }, { ffi.string(a.unnest[0].text), ffi.string(a.unnest[0].alias) })
        assert.same({ "item", "f", "t" }, names_of(a.columns))
        assert.same({ "t", "x" }, names_of(a.needs))
        assert.equal(lib.KEY_COLUMNS, a.key_kind)
        assert.equal(0, a.key.n)
        assert.same({ 60000, "out", lib.TIME_SQL, lib.MODE_SHADOW, 1, 1 }, { tonumber(a.cooldown), ffi.string(a.to), tonumber(a.time_format), tonumber(a.mode), a.explain, a.provenance })
        assert.equal(0, p.provenance)
        assert.same({ lib.WINDOW_HOP, 10000, 5000, -1000 }, { tonumber(w.window.kind), tonumber(w.window.size), tonumber(w.window.slide), tonumber(w.window.offset) })
        assert.same({ 5, lib.AGG_LISTAGG, "; ", lib.AGG_COUNT_ALL, lib.AGG_QUANTILE, 0.5, lib.AGG_SUM, lib.AGG_FOLD },
            { w.n_aggs, tonumber(w.aggs[0].kind), ffi.string(w.aggs[0].separator), tonumber(w.aggs[1].kind), tonumber(w.aggs[2].kind), w.aggs[2].q, tonumber(w.aggs[3].kind), tonumber(w.aggs[4].kind) })
        assert.is_true(w.aggs[3].arg.fn >= 0 and w.aggs[4].fold >= 0)
        assert.same({ "f" }, names_of(w.aggs[4].fold_needs))
        assert.same({ 2, "n", 1, 1, 3000, "late" }, { tonumber(w.top_n), ffi.string(w.top_by), w.top_desc, w.early, tonumber(w.lateness), ffi.string(w.late_to) })
        local match = m.match
        assert.same({ "A B*", lib.SKIP_TO_LAST, "A", lib.ROWS_ALL_OMIT_EMPTY, 3600000, 1, 7, 1 }, { ffi.string(match.pattern), tonumber(match.skip),
            ffi.string(match.skip_var), tonumber(match.rows), tonumber(match.within), match.emit_timeout, tonumber(match.lookback), match.history_free })
        assert.same({ "f", 1 }, { ffi.string(match.order_by[0].column), match.order_by[0].desc })
        assert.same({ "A", "B" }, names_of(match.subset[0].vars))
        assert.same({ 2, 1, 2592000000 }, { p.n_from, p.process.event_order, tonumber(p.process.ttl) })
        assert.is_true(p.process.on_row >= 0 and p.process.on_timer >= 0)
        assert.equal(1, w.from[0].is_rule)
        assert.equal(0, a.from[0].is_rule)
        local info = plan.fns[a.where]
        assert.same({ "where", "item", 1, 0 }, { ffi.string(info.what), ffi.string(info.memo_column), info.line, info.rule })
        assert.is_truthy(ffi.string(info.file):find("/a.lua", 1, true))
    end)

    it("are those at its top, with modules from below, in the order of names", function()
        write("b.lua", 'rule "b" { from = "pizzas", where = function(r) return require_me end }\nrequire_me = require "lib.m".x')
        write("a.lua", 'rule "a" { from = "b" }')
        write("lib/m.lua", "return { x = true }")
        write("lib/never.lua", "not Lua")
        write("b_spec.lua", "not Lua")
        write(".#b.lua", "not Lua")
        write("b.lua.swp", "not Lua")
        write("..data/old.lua", "not Lua")
        local plan, faults, s = load_from(folder .. "/")
        assert.same({}, faults)
        assert.equal(2, plan.n_rules)
        local texts, kept = lib.script_texts(s), {}
        for i = 0, tonumber(texts.n) - 1 do kept[i + 1] = ffi.string(texts.at[i].name) end
        assert.same({ "a.lua", "b.lua", "lib/m.lua" }, kept)
    end)

    it("may be links, as in a mounted ConfigMap", function()
        write("..2026/a.lua", 'rule "a" { from = "pizzas" }')
        os.execute(("cd '%s' && ln -s ..2026 ..data && ln -s ..data/a.lua a.lua"):format(folder))
        local plan = load_from(folder)
        assert.equal(1, plan.n_rules)
    end)

    it("give the same plan from the texts that are kept", function()
        write("a.lua", 'local m = require "m"\nrule "a" { from = "pizzas", where = function(r) return r.x == m.y end, to = "t" }')
        write("m.lua", "return { y = 7 }")
        local plan, _, s = load_from(folder)
        local again, faults = ffi.new "plan_t *[1]", ffi.new "faults_t"
        local other = assert(rows.open())
        assert.equal(0, lib.script_load_texts(other, lib.script_texts(s), config, again, faults))
        assert.equal(ffi.string(plan.version), ffi.string(again[0].version))
        assert.equal(ffi.string(plan.rules[0].version), ffi.string(again[0].rules[0].version))
        assert.equal(plan.n_fns, again[0].n_fns)
        lib.plan_free(again[0])
    end)

    it("may be one file", function()
        write("a.lua", 'local m = require "m"\nrule "a" { from = "pizzas" }')
        write("m.lua", "return {}")
        write("other.lua", "not Lua")
        assert.equal(1, load_from(folder .. "/a.lua").n_rules)
    end)
end)

describe("rules that cannot be loaded", function()
    it("are all reported, and nothing is kept", function()
        write("a.lua", 'rule "a" { from = "pizas" }')
        write("b.lua", "rule (")
        local plan, faults, s = load_from(folder)
        assert.is_nil(plan)
        assert.equal(2, #faults)
        assert.equal("F/a.lua:1: `from`: there is no source or rule `pizas`; did you mean `pizzas`?", faults[1])
        assert.equal("F/b.lua:1: unexpected symbol near '<eof>'", faults[2])
        assert.equal(0, tonumber(lib.script_texts(s).n))
    end)
    for _, case in ipairs {
        { "a folder that is not there", function() os.remove(folder) return folder .. "/none" end, "F/none:0: cannot be read: No such file or directory" },
        { "a file where a folder is", function() write("a.lua/x", "") return folder end, "F:0: no rule file (*.lua) was found" },
        { "an empty folder", function() return folder end, "F:0: no rule file (*.lua) was found" },
        { "a file that is too large", function() write("a.lua", ("-"):rep(2 ^ 22 + 1)) return folder end, "F/a.lua:0: cannot be read: File too large" },
        { "a link into nothing", function() os.execute(("ln -s none '%s/a.lua'"):format(folder)) return folder end, "F/a.lua:0: cannot be read: No such file or directory" },
        { "one that uses up its memory, by name", function() write("ok.lua", "local x = 1") write("b.lua", 'local t = {}\nfor i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end') return folder end,
            "F/b.lua:0: loading was stopped: its memory of 64 MB is used up" },
        { "endless recursion", function() write("a.lua", "local function f() return f() + 1 end f()") return folder end, "F/a.lua:1: stack overflow" },
    } do
        it("for " .. case[1], function()
            local plan, faults = load_from(case[2]())
            assert.is_nil(plan)
            assert.equal(1, #faults, table.concat(faults, "\n"))
            assert.equal(case[3], faults[1]:sub(1, #case[3]))
        end)
    end
    it("for one that never ends, by name", function()
        write("a.lua", 'rule "a" { from = "pizzas" }')
        write("b.lua", "local x = 1\nwhile true do x = x + 1 end")
        local plan, faults = load_from(folder)
        assert.is_nil(plan)
        assert.is_truthy(faults[1]:find("F/b.lua:0: loading was stopped after 5", 1, true), faults[1])
    end)
end)

describe("a configuration", function()
    it("is copied with everything it says", function()
        local c = assert(config_of [[
kafka { ["bootstrap.servers"] = "a:1,b:2", ["group.id"] = "g", ["sasl.password"] = "hush" }
source "s" { topic = { "x", "y" }, metadata = { t = "timestamp", h = "headers" }, event_time = "t", event_unit = "s", watermark = "none",
  idle_after = "1m", on_all_idle = "hold", max_ahead = "none", start = "latest", on_bad_record = "stop", partitioned_by = { "k" } }
delivery "at_least_once" commit_interval "2s" parallelism (3) threads (2) http "127.0.0.1:9464" http_token "t"
topics { partitions = 7, replication = 2 } max_state "2GB" budget { time = "50ms", memory = "16MB" } prefetch "32MB" rules "other"
]])
        local s = c.sources[0]
        assert.same({ "g", 3, 1 }, { ffi.string(c.group_id), c.n_kafka, c.kafka[2].secret })
        assert.same({ "x", "y" }, names_of(s.topics))
        assert.same({ "h", lib.META_HEADERS, "t", lib.META_TIMESTAMP }, { ffi.string(s.metadata[0].name), tonumber(s.metadata[0].kind), ffi.string(s.metadata[1].name), tonumber(s.metadata[1].kind) })
        assert.same({ 1000, -1, 60000, 1, -1, lib.START_LATEST, lib.BAD_STOP }, { tonumber(s.event_unit_ms), tonumber(s.watermark), tonumber(s.idle_after),
            s.hold_when_all_idle, tonumber(s.max_ahead), tonumber(s.start), tonumber(s.on_bad) })
        assert.same({ "k" }, names_of(s.partitioned_by))
        assert.same({ lib.DELIVERY_AT_LEAST_ONCE, 2000, 3, 2 }, { tonumber(c.delivery), tonumber(c.commit_interval), tonumber(c.parallelism), tonumber(c.threads) })
        assert.same({ "127.0.0.1:9464", "t", "other" }, { ffi.string(c.http), ffi.string(c.http_token), ffi.string(c.rules) })
        assert.same({ 7, 2, 2 ^ 31, 50, 2 ^ 24, 2 ^ 25 }, { tonumber(c.topic_partitions), tonumber(c.topic_replication), tonumber(c.max_state),
            tonumber(c.budget_time), tonumber(c.budget_memory), tonumber(c.prefetch) })
    end)
    it("that cannot be read says so", function()
        local s, faults, out = assert(rows.open()), ffi.new "faults_t", ffi.new "config_t *[1]"
        assert.is_true(lib.script_load_config(s, folder .. "/none.lua", out, faults) ~= 0)
        assert.same({ "F/none.lua:0: cannot be read: No such file or directory" }, lines(faults))
    end)
    it("reports all its faults", function()
        local none, faults = config_of 'sauce "x" {}\nsource "s" { watermark = 5, strt = 1 }'
        assert.is_nil(none)
        assert.equal(3, #faults, table.concat(faults, "\n"))
    end)
end)
