local ffi = require "ffi"
require "tests.support.process" -- declares prctl
local rd = require "tests.support.librdkafka"
local lib = require("tests.support.engine").use "conf_kafka"

ffi.cdef [[
typedef int (*conf_kafka_test_on_new)(rd_kafka_t *, const rd_kafka_conf_t *, void *opaque, char *why, size_t size);
int rd_kafka_conf_interceptor_add_on_new(rd_kafka_conf_t *, const char *name, conf_kafka_test_on_new, void *opaque);
]]

local GET_TIMERSLACK = 30
local CLIENT_SLACK_NS = 1000000

local function slack() return ffi.C.prctl(GET_TIMERSLACK, 0, 0, 0, 0) end

describe("a Kafka client", function()
    local e = ffi.new "error_t"

    -- Its threads are made after on_new, by the thread that calls it, and take that one's slack.
    local function open(type, properties)
        local conf, why, out, handed_down = rd.rd_kafka_conf_new(), ffi.new "char[500]", ffi.new "rd_kafka_t *[1]", nil
        for name, value in pairs(properties) do assert.equal(0, rd.rd_kafka_conf_set(conf, name, value, why, 500), ffi.string(why)) end
        local on_new = ffi.cast("conf_kafka_test_on_new", function()
            handed_down = slack()
            return 0
        end)
        assert.equal(0, rd.rd_kafka_conf_interceptor_add_on_new(conf, "slack", on_new, nil))
        local rc = lib.conf_kafka_new(type, conf, out, e)
        on_new:free()
        return rc, out[0], handed_down
    end
    jit.off(open) -- it is called back

    for name, type in pairs { producer = lib.RD_KAFKA_PRODUCER, consumer = lib.RD_KAFKA_CONSUMER } do
        it("has threads that may sleep a millisecond longer, and leaves the thread that makes it as it was: " .. name, function()
            local before = slack()
            local rc, rk, handed_down = open(type, { ["bootstrap.servers"] = "127.0.0.1:1", log_level = "0" })
            assert.equal(0, rc, ffi.string(e.text))
            rd.rd_kafka_destroy(rk)
            assert.equal(CLIENT_SLACK_NS, handed_down)
            assert.equal(before, slack())
            assert.not_equal(CLIENT_SLACK_NS, before)
        end)
    end

    it("that cannot be made says why, and its thread is as it was", function()
        local before = slack()
        local rc, rk = open(lib.RD_KAFKA_PRODUCER, { ["enable.idempotence"] = "true", acks = "1" })
        assert.not_equal(0, rc)
        assert.is_true(rk == nil)
        assert.truthy(ffi.string(e.text):find("cannot make a Kafka client: .*acks"))
        assert.equal(before, slack())
    end)
end)
