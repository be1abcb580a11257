local ffi = require "ffi"
local engine = require "tests.support.engine"
local topology = require "tests.support.topology"
local lib = engine.use("snapshot", "observer")

local CONFIG = [[
source "s" { topic = "in", event_time = "ts", watermark = "0s" }
]]
local function rules(more)
    return 'rule "first" { from = "s", where = function(r) return r.n > ' .. more .. ' end, to = "out" }'
end

describe("a snapshot", function()
    local t, p, o

    before_each(function()
        t = topology.open { config = CONFIG, rules = rules "1" }
        p = lib.publisher_new(t.config, t.log)
        o = lib.publisher_observer(p)
    end)
    after_each(function()
        lib.publisher_free(p)
        t:close()
    end)

    local function with_newest(f)
        local s = lib.snapshot_take(p)
        local ok, fault = pcall(f, s)
        lib.snapshot_drop(p, s)
        if not ok then error(fault, 0) end
    end

    it("has the rules that a task switched to, however short before it was looked at", function()
        o.tick(o, 1)
        o.turned(o, 0, t.tasks[0].task)
        t:reload(rules "2")
        o.turned(o, 0, t.tasks[0].task)
        o.reloaded(o, 0, nil, 1, "reloaded")   -- told by the loop, as where there are several tasks
        with_newest(function(s)
            assert.equal(ffi.string(lib.task_plan(t.tasks[0].task).version), ffi.string(s.version))
            assert.matches("^kept", ffi.string(s.rules[0].view.verdict))
        end)
    end)

    it("says that a task is restored until it turns or is closed", function()
        o.restoring(o, 0)
        o.tick(o, 1)
        with_newest(function(s) assert.equal(tonumber(lib.PHASE_RESTORING), tonumber(s.phase)) end)
        o.turned(o, 0, t.tasks[0].task)
        with_newest(function(s) assert.equal(tonumber(lib.PHASE_ACTIVE), tonumber(s.phase)) end)
        o.restoring(o, 0)
        o.closed(o, 0)
        o.tick(o, 0)
        with_newest(function(s) assert.equal(tonumber(lib.PHASE_STANDBY), tonumber(s.phase)) end)
    end)

    it("adds up what tasks count of a rule, wherever it stands among their rules", function()
        local other = topology.open { config = CONFIG, rules = 'rule "before" { from = "s", to = "b" }\n' .. rules "0" }
        for k, part in ipairs { t, other } do
            part:partitions("in", 1)
            for i = 1, k + 2 do part:step(part.tasks[0], { { "record", "in", 0, i, { value = ('{"n":5,"ts":%d}'):format(i) } } }) end
            o.turned(o, k - 1, part.tasks[0].task)
        end
        o.tick(o, 2)
        o.reloaded(o, 0, nil, 1, "now")
        with_newest(function(s)
            local emitted = {}
            for i = 0, s.n_rules - 1 do emitted[ffi.string(s.rules[i].name)] = tonumber(s.rules[i].stats.emitted) end
            assert.same({ first = 3 + 4, before = 4 }, emitted)
        end)
        other:close()
    end)
end)
