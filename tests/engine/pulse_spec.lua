local engine = require "tests.support.engine"
local ffi = require "ffi"
local process = require "tests.support.process"

local lib = engine.use "pulse"

describe("a pulse", function()
    local p, o

    before_each(function()
        p = ffi.new "pulse_t"
        o = lib.pulse_init(p)
    end)
    after_each(function() lib.pulse_fini(p) end)

    local function is_stuck() return lib.pulse_is_stuck(p, 20) ~= 0 end

    it("is not stuck before the first turn, however long that takes", function()
        process.sleep(0.05)
        assert.is_false(is_stuck())
        assert.equal(0, tonumber(lib.pulse_age_ms(p)))
    end)

    it("is stuck when turns stay out for longer than patience lasts, and not any more with the next", function()
        o.tick(o, 1)
        assert.is_false(is_stuck())
        process.sleep(0.05)
        assert.is_true(is_stuck())
        assert.is_true(tonumber(lib.pulse_age_ms(p)) >= 40)
        o.tick(o, 1)
        assert.is_false(is_stuck())
    end)

    it("waits for a restore and for a commit, and for what comes after them no longer", function()
        for _, begin in ipairs { "restoring", "committing" } do
            o[begin](o, 0)
            process.sleep(0.05)
            assert.is_false(is_stuck(), begin)
            o.turned(o, 0, nil)
            process.sleep(0.05)
            assert.is_true(is_stuck(), begin)
        end
        o.committing(o, 0)
        o.committed(o, 0, 5)
        process.sleep(0.05)
        assert.is_true(is_stuck())
    end)

    it("is that of the slowest of its tasks, and of none that rests", function()
        o.turned(o, 0, nil)
        process.sleep(0.05)
        o.turned(o, 1, nil)
        assert.is_true(is_stuck())
        o.paused(o, 0)
        assert.is_false(is_stuck())
        o.turned(o, 0, nil)
        process.sleep(0.05)
        o.closed(o, 0)
        o.closed(o, 1)
        assert.is_false(is_stuck())
    end)
end)
