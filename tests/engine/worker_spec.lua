local ffi = require "ffi"
local process = require "tests.support.process"
local topology = require "tests.support.topology"
require "tests.support.librdkafka" -- its types are in the headers
local lib = require("tests.support.engine").use("worker", "observers", "snapshot")

-- Nothing listens at port 1.
local CONFIG = [[
kafka { ["bootstrap.servers"] = "127.0.0.1:1", ["group.id"] = "g" }
source "s" { topic = "in", event_time = "ts" }
]]

describe("a worker", function()
    it("that could not open its task tells the observer that the task is gone when it is given up", function()
        local t = topology.open { config = CONFIG, rules = 'rule "r" { from = "s", to = "out" }' }
        local publisher, observers = lib.publisher_new(t.config, t.log), ffi.new "observers_t"
        local observer = lib.observers_init(observers)
        lib.observers_add(observers, lib.publisher_observer(publisher))
        local rules, options = lib.rulebox_new(), ffi.new "active_options_t"
        options.config, options.log, options.observer = t.config, t.log, observer

        local function tasks(owned)
            observer.tick(observer, owned)
            local s = lib.snapshot_take(publisher)
            local n, phase = s.n_tasks, tonumber(s.phase)
            lib.snapshot_drop(publisher, s)
            return n, phase
        end

        local worker = lib.worker_new(options, rules)
        lib.worker_run(worker)
        assert.is_true(process.eventually(10, function() return tasks(1) == 1 end), "it was never told of")
        lib.worker_stand_by(worker)
        local gone = process.eventually(30, function() return tasks(0) == 0 end)
        local _, phase = tasks(0)
        lib.worker_free(worker)
        assert.is_true(gone, "the task is still there")
        assert.equal(tonumber(lib.PHASE_STANDBY), phase)
        lib.observers_fini(observers)
        lib.publisher_free(publisher)
        lib.rulebox_free(rules)
        t:close()
    end)
end)
