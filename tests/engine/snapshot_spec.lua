local ffi = require "ffi"
local engine = require "tests.support.engine"
local topology = require "tests.support.topology"
local replay = require "tests.support.replay"
local lib = engine.use("snapshot", "observer", "snapshot_json")

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

    it("has a number that no other one has, so that what was made of it can be kept", function()
        local before
        with_newest(function(s) before = tonumber(s.number) end)
        with_newest(function(s) assert.equal(before, tonumber(s.number)) end)
        o.reloaded(o, 0, nil, 1, "reloaded")
        with_newest(function(s) assert.equal(before + 1, tonumber(s.number)) end)
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

-- Three tasks of which the publisher's process has some, as another process has the rest.
describe("what a rule waits for, where several tasks share the work", function()
    local WINDOWS = [[
rule "by_key" { from = "s", window = tumble "1s", group_by = { "k" }, aggregate = { n = count() }, to = "out" }
]]
    local t, p, o, offsets

    local function open()
        t = topology.open { config = CONFIG, rules = WINDOWS, n = 3 }
        p = lib.publisher_new(t.config, t.log)
        o = lib.publisher_observer(p)
        offsets = {}
        t:partitions("in", 6)
    end
    local function close()
        lib.publisher_free(p)
        t:close()
    end

    before_each(function()
        open()
        t:begin()
        t:settle()
    end)
    after_each(close)

    local function record(partition, ts)
        local k = t.tasks[partition % 3]
        offsets[partition] = (offsets[partition] or 0) + 1
        t:step(k, { { "record", "in", partition, offsets[partition], { value = ('{"k":"a","ts":%d}'):format(ts) } } })
    end

    -- /rules of a process that has these tasks, and of the others only what they told.
    local function shown(here)
        t:settle()
        for _, task in ipairs(here) do o.turned(o, task, t.tasks[task].task) end
        o.tick(o, #here)
        o.reloaded(o, 0, nil, 1, "now")   -- puts out what is
        local s, b = lib.snapshot_take(p), engine.buf()
        lib.snapshot_json_write(s, b)
        lib.snapshot_drop(p, s)
        local all = replay.decode(engine.bytes(b))
        return tostring(all.rules[1].waits_for), all.sources[1]
    end

    it("is the task of another process that has not come as far, with its partitions and event time", function()
        for partition = 0, 5 do record(partition, partition % 3 == 2 and 100 or 5000) end
        local waits, source = shown { 0, 1 }
        assert.truthy(waits:find "waits for task 2, which another process has", waits)
        assert.truthy(waits:find("partitions 2, 5, ..., is at 1970-01-01T00:00:00.100Z", 1, true), waits)
        assert.equal(2, source.held_back_by.task)
        assert.equal(100, source.held_back_by.watermark)
        for _, part in ipairs(source.partitions) do assert.is_false(part.holds_back) end
        assert.same({ true, true, false }, { source.tasks[1].here, source.tasks[2].here, source.tasks[3].here })
        assert.equal(100, source.tasks[3].watermark)
    end)

    it("is the partition, where a task of this process has it", function()
        for partition = 0, 5 do record(partition, partition == 2 and 100 or 5000) end
        local waits, source = shown { 0, 1, 2 }
        assert.truthy(waits:find("waits for in/2, whose watermark is at 1970-01-01T00:00:00.100Z", 1, true), waits)
        assert.equal(2, source.held_back_by.partition)
        assert.equal(2, source.held_back_by.task)
    end)

    it("is not a task whose partitions are idle, nor one that has come further than ours", function()
        for partition = 0, 5 do record(partition, partition == 0 and 100 or 5000) end
        assert.truthy(shown({ 0, 1 }):find("waits for in/0,", 1, true))
        record(0, 5000)
        t:step(t.tasks[2], { { "idle", "in", 2 }, { "idle", "in", 5 } })
        local waits = shown { 0, 1 }
        assert.is_nil(waits:find "task 2")
    end)

    it("is a task of which nothing was heard yet", function()
        close()
        open()
        for i = 0, 1 do
            t:step(t.tasks[i], { { "partition", "in", i } })
            record(i, 1000)
            t:commit(t.tasks[i])
        end
        local own = t.tasks[2]
        t.tasks[2] = nil
        t.n = 2
        local waits, source = shown { 0, 1 }
        t.n, t.tasks[2] = 3, own
        assert.equal(2, source.held_back_by.task)
        assert.is_false(source.tasks[3].known)
        assert.is_nil(waits:find "in/%d")
        assert.truthy(waits:find "task 2, which another process has .*it has not said anything yet")
    end)
end)
