-- `ananas demo` where nobody has installed anything: a broker of its own, generated orders, the shipped rules, and an end.

local process = require "tests.support.process"
local replay = require "tests.support.replay"

describe("the demo, not on a terminal", function()
    local status, out, err

    setup(function()
        local child = process.spawn { replay.binary, "demo", "--orders", "3000" }
        status = child:wait(60)
        child:pump(0)
        out, err = child.out, child.err
    end)

    it("ends with status 0 when all orders are through", function()
        assert.equal(0, status and status.code, err)
        assert.truthy(out:find("3000 orders, ", 1, true), out)
    end)

    it("tells at its end how many anomalies each rule found, and how far event time has come", function()
        for _, rule in ipairs { "bad_toppings", "too_many_bad_toppings" } do
            local n = tonumber(out:match("\n" .. rule .. "%s+(%d+)  {"))
            assert.is_true(n ~= nil and n > 0, rule .. "\n" .. out)
        end
        assert.truthy(out:match "watermark %-?[%d.]+ s behind the clock", out)
    end)
end)
