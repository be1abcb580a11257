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

describe("the demo on a terminal", function()
    -- As `script` (bsdutils) shows it: what the program wrote to its terminal.
    local function seen(env)
        env.TERM = env.TERM or "xterm"
        local child = process.run { "script", "-qec", replay.quote(replay.binary) .. " demo --orders 1000 --rate 1000", "/dev/null", env = env, timeout = 60 }
        assert.equal(0, child.code, child.err)
        assert.truthy(child.out:find("1000 orders", 1, true), child.out)
        return child.out
    end

    it("paints in place and in colours", function()
        local out = seen { NO_COLOR = false }
        assert.truthy(out:find "\27%[%d+A" and out:find "\27%[1m")
    end)

    it("paints without colours where NO_COLOR is set", function()
        local out = seen { NO_COLOR = "1" }
        assert.truthy(out:find "\27%[%d+A")
        assert.falsy(out:find "\27%[%d*m")
    end)

    it("writes plain lines where the terminal can do no more", function()
        local out = seen { NO_COLOR = false, TERM = "dumb" }
        assert.falsy(out:find "\27")
    end)
end)
