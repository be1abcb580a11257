local ffi = require "ffi"
local engine = require "tests.support.engine"
local topology = require "tests.support.topology"
local lib = engine.use "feed"

local CONFIG = [[ source "s" { topic = "in", event_time = "ts" } ]]
local RULES = [[ rule "all" { from = "s", select = { "id" }, to = "out" } ]]

describe("a feed of anomalies", function()
    local t, feed, o, id

    before_each(function()
        t = topology.open { config = CONFIG, rules = RULES }
        t:partitions("in", 1)
        feed, id = lib.feed_new(), 0
        o = lib.feed_observer(feed)
    end)
    after_each(function()
        lib.feed_free(feed)
        t:close()
    end)

    -- One step that writes n anomalies.
    local function write(n)
        local k, events = t.tasks[0], {}
        for i = 1, n do
            id = id + 1
            events[i] = { "record", "in", 0, id, { value = ('{"id":%d,"ts":%d}'):format(id, id) } }
        end
        t:step(k, events)
        o.wrote(o, 0, k.task, lib.task_outbox(k.task))
    end
    local function commit()
        o.committing(o, 0)
        o.committed(o, 0, 1)
    end

    -- Ids of what is shown, and how many were not.
    local function shown()
        local at, out, ids, more = ffi.new("uint64_t[1]", lib.feed_first(feed)), engine.buf(), {}, 0
        assert.equal(0, lib.feed_read(feed, at, 1e6, out))
        local text = engine.bytes(out)
        for n in text:gmatch '{\\"id\\":(%d+)}' do ids[#ids + 1] = n end
        for n in text:gmatch '"not_shown":(%d+)' do more = more + n end
        return table.concat(ids, " "), more
    end

    it("shows what is committed, and nothing before", function()
        write(2)
        assert.equal("", (shown()))
        commit()
        assert.equal("1 2", (shown()))
    end)

    it("shows with a commit what was written before it began: the stream may go on beside it", function()
        write(2)
        o.committing(o, 0)
        write(3)
        o.committed(o, 0, 1)
        assert.equal("1 2", (shown()))
        commit()
        assert.equal("1 2 3 4 5", (shown()))
    end)

    it("forgets what was rolled back", function()
        write(2)
        o.committing(o, 0)
        write(1)
        o.dropped(o, 0)
        commit()
        assert.equal("", (shown()))
    end)

    it("has a bounded share of each rule in an interval, and counts the rest", function()
        local share = engine.defines.FEED_SHARE
        write(share + 5)
        commit()
        local ids, more = shown()
        assert.equal(share, select(2, ids:gsub("%d+", "")))
        assert.equal(5, more)
        write(1)
        commit()
        assert.equal(share + 1, select(2, shown():gsub("%d+", "")))
    end)
end)
