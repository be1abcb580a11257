local ananas = require "tests.support.ananas"
local ffi = require "ffi"
local process = require "tests.support.process"

-- The members of observer.h in their order; what no pulse has is a plain pointer.
ffi.cdef [[
struct pulse_observer {
    void *wrote;
    void (*committing)(void *o, int32_t task);
    void (*committed)(void *o, int32_t task, int64_t took_ms);
    void *dropped, *stepped, *readings, *progress;
    void (*restoring)(void *o, int32_t task);
    void (*turned)(void *o, int32_t task, void *t);
    void (*paused)(void *o, int32_t task);
    void (*closed)(void *o, int32_t task);
    void (*tick)(void *o, uint32_t owned);
    void *reloading, *reloaded, *wants_reload;
    void (*stopping)(void *o);
    void *wants_stop;
};
struct pulse_observer *pulse_init(void *p);
void pulse_fini(void *p);
int64_t pulse_age_ms(void *p);
int pulse_is_stuck(void *p, int64_t patience_ms);
]]
local lib = ananas.library()

describe("a pulse", function()
    local p, o

    before_each(function()
        p = ffi.new "char[1024]"
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
        o.tick(p, 1)
        assert.is_false(is_stuck())
        process.sleep(0.05)
        assert.is_true(is_stuck())
        assert.is_true(tonumber(lib.pulse_age_ms(p)) >= 40)
        o.tick(p, 1)
        assert.is_false(is_stuck())
    end)

    it("waits for a restore and for a commit, and for what comes after them no longer", function()
        for _, begin in ipairs { "restoring", "committing" } do
            o[begin](p, 0)
            process.sleep(0.05)
            assert.is_false(is_stuck(), begin)
            o.turned(p, 0, nil)
            process.sleep(0.05)
            assert.is_true(is_stuck(), begin)
        end
        o.committing(p, 0)
        o.committed(p, 0, 5)
        process.sleep(0.05)
        assert.is_true(is_stuck())
    end)

    it("is that of the slowest of its tasks, and of none that rests", function()
        o.turned(p, 0, nil)
        process.sleep(0.05)
        o.turned(p, 1, nil)
        assert.is_true(is_stuck())
        o.paused(p, 0)
        assert.is_false(is_stuck())
        o.turned(p, 0, nil)
        process.sleep(0.05)
        o.closed(p, 0)
        o.closed(p, 1)
        assert.is_false(is_stuck())
    end)
end)
