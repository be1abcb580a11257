local engine = require "tests.support.engine"
local lib = engine.use "clock"

describe("clock", function()
    it("reads wall time as the machine does", function()
        local now = os.time()
        local ms = tonumber(lib.clock_system.wall(nil).ms)
        assert.is_true(ms >= now * 1000 - 1000 and ms <= now * 1000 + 5000)
    end)
    it("never goes back, and thread time grows with work", function()
        local last, cpu = lib.clock_system.mono(nil).ns, lib.clock_thread_cpu().ns
        local x = 0
        for i = 1, 100000 do
            x = x + i
            if i % 1000 == 0 then
                local now = lib.clock_system.mono(nil).ns
                assert.is_true(now >= last)
                last = now
            end
        end
        assert.is_true(lib.clock_thread_cpu().ns > cpu)
    end)
end)
