local ffi = require "ffi"
require "tests.support.process" -- declares prctl
local rd = require "tests.support.librdkafka"
local lib = require("tests.support.engine").use "conf_kafka"

local GET_TIMERSLACK = 30
local CLIENT_SLACK_NS = 1000000

describe("a Kafka client", function()
    local e = ffi.new "error_t"

    local function open(type, properties)
        local conf, why, out = rd.rd_kafka_conf_new(), ffi.new "char[500]", ffi.new "rd_kafka_t *[1]"
        for name, value in pairs(properties) do assert.equal(0, rd.rd_kafka_conf_set(conf, name, value, why, 500), ffi.string(why)) end
        return lib.conf_kafka_new(type, conf, out, e), out[0]
    end

    -- Thread number -> name.
    local function threads()
        local found, pipe = {}, io.popen "for t in /proc/$PPID/task/*; do echo ${t##*/} $(cat $t/comm); done"
        for line in pipe:lines() do
            local id, name = line:match "^(%d+) (.*)$"
            found[id] = name
        end
        pipe:close()
        return found
    end

    it("has threads that may sleep a millisecond longer, and leaves the thread that makes it as it was", function()
        for _, type in ipairs { lib.RD_KAFKA_PRODUCER, lib.RD_KAFKA_CONSUMER } do
            local slack, before = ffi.C.prctl(GET_TIMERSLACK, 0, 0, 0, 0), threads()
            local rc, rk = open(type, { ["bootstrap.servers"] = "127.0.0.1:1", log_level = "0" })
            assert.equal(0, rc, ffi.string(e.text))
            finally(function() rd.rd_kafka_destroy(rk) end)
            assert.equal(slack, ffi.C.prctl(GET_TIMERSLACK, 0, 0, 0, 0))
            assert.not_equal(CLIENT_SLACK_NS, slack)
            local made = 0
            for id, name in pairs(threads()) do
                local file = not before[id] and name:find "^rdk:" and io.open("/proc/" .. id .. "/timerslack_ns")
                local ns = file and file:read "*l" -- of other threads it is shown to the privileged alone
                if file then file:close() end
                made = made + (before[id] and 0 or 1)
                if ns then assert.equal(CLIENT_SLACK_NS, tonumber(ns), name) end
            end
            assert.is_true(made > 0)
        end
    end)

    it("that cannot be made says why, and its thread is as it was", function()
        local slack = ffi.C.prctl(GET_TIMERSLACK, 0, 0, 0, 0)
        local rc, rk = open(lib.RD_KAFKA_PRODUCER, { ["enable.idempotence"] = "true", acks = "1" })
        assert.not_equal(0, rc)
        assert.is_true(rk == nil)
        assert.truthy(ffi.string(e.text):find("cannot make a Kafka client: .*acks"))
        assert.equal(slack, ffi.C.prctl(GET_TIMERSLACK, 0, 0, 0, 0))
    end)
end)
