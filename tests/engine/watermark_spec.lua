local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("watermark", "clock")
local MIN = -9223372036854775807LL - 1

local function plain(t) return t == MIN and -math.huge or tonumber(t) end

-- What the words of watermark.h say, computed anew for every event.
local function reference(n, bound)
    local r = { now = -math.huge, idle = false, parts = {} }
    for i = 1, n do r.parts[i] = { max = -math.huge, idle = false } end
    local function look()
        local least, most, active = math.huge, -math.huge, 0
        for _, p in ipairs(r.parts) do
            local t = bound < 0 and -math.huge or p.max - bound
            most = math.max(most, t)
            if not p.idle then least, active = math.min(least, t), active + 1 end
        end
        local now, idle = math.max(r.now, active > 0 and least or most), active == 0
        local changed = now ~= r.now or idle ~= r.idle
        r.now, r.idle = now, idle
        if not idle then r.base = nil end
        return changed
    end
    local function go(t)
        local changed = t > r.now
        r.now = math.max(r.now, t)
        return changed
    end
    function r.row(i, t)
        r.parts[i].max, r.parts[i].idle = math.max(r.parts[i].max, t), false
        return look()
    end
    function r.silent(i)
        r.parts[i].idle = true
        return look()
    end
    r.explicit = go
    function r.clock(wall)
        if not r.idle or r.now == -math.huge then return false end
        if not r.base or wall < r.base then
            r.base, r.from = wall, r.now
            return false
        end
        return go(r.from + wall - r.base)
    end
    return r
end

local function again(w)
    local b, other, remap = engine.buf(), ffi.gc(ffi.new "watermark_t", lib.watermark_fini), ffi.new("int32_t[2]", { 0, 1 })
    lib.watermark_init(other, w.bound)
    lib.watermark_save(w, b)
    assert.equal(0, lib.watermark_load(other, ffi.new("reader_t", { b.s, b.len, 0, 0 }), remap, 2))
    return other
end

describe("watermark: of a source", function()
    it("is the least over the partitions that are not idle, and never goes back (400 random courses)", function()
        math.randomseed(SEED)
        for round = 1, 400 do
            local n, bound = math.random(1, 4), ({ 0, math.random(1, 20), -1 })[math.random(3)]
            local w, r = ffi.gc(ffi.new "watermark_t", lib.watermark_fini), reference(n, bound)
            lib.watermark_init(w, bound)
            for _, i in ipairs { 3, 1, 4, 2 } do                  -- in any order: numbered by topic and partition
                if i <= n then lib.watermark_add(w, math.floor(i / 3), i % 3) end
            end
            local wall, time = 1000, 0
            for step = 1, 40 do
                local dice, i, got, want = math.random(), math.random(n)
                local part = lib.watermark_find(w, math.floor(i / 3), i % 3)
                time = time + math.random(0, 8)
                if dice < 0.5 then
                    local t = time - math.random(0, 30)
                    got, want = lib.watermark_row(w, part, t), r.row(i, t)
                elseif dice < 0.75 then
                    local was = r.parts[i].idle
                    got, want = lib.watermark_idle(w, part), not was and r.silent(i)
                elseif dice < 0.8 then
                    got, want = lib.watermark_explicit(w, time - 20), r.explicit(time - 20)
                elseif dice < 0.95 then
                    wall = wall + math.random(-3, 12)             -- it may jump back
                    got, want = lib.watermark_clock(w, wall), r.clock(wall)
                else
                    w = again(w)
                end
                local where = ("seed %d round %d step %d"):format(SEED, round, step)
                assert.equal(r.now, plain(w.now), where)
                assert.equal(r.idle, w.idle ~= 0, where)
                if got then assert.equal(want, got ~= 0, where) end
                local holder, least = lib.watermark_holder(w), math.huge
                for _, p in ipairs(r.parts) do
                    if not p.idle then least = math.min(least, bound < 0 and -math.huge or p.max - bound) end
                end
                assert.equal(r.idle and math.huge or least, holder < 0 and math.huge or plain(lib.watermark_of(w, holder)), where)
            end
        end
    end)

    it("waits for a partition that joins, but does not go back for it", function()
        local w = ffi.gc(ffi.new "watermark_t", lib.watermark_fini)
        lib.watermark_init(w, 5)
        lib.watermark_row(w, lib.watermark_add(w, 0, 0), 100)
        assert.equal(95, tonumber(w.now))
        local other = lib.watermark_add(w, 0, 1)
        assert.equal(0, lib.watermark_row(w, lib.watermark_find(w, 0, 0), 200))
        assert.equal(95, tonumber(w.now))
        assert.equal(0, lib.watermark_row(w, other, 50))
        assert.equal(1, lib.watermark_row(w, other, 150))
        assert.equal(145, tonumber(w.now))
    end)

    it("follows its topics where their numbers have changed, and drops those that are no longer read", function()
        local w, b = ffi.gc(ffi.new "watermark_t", lib.watermark_fini), engine.buf()
        lib.watermark_init(w, 0)
        for topic = 0, 2 do lib.watermark_row(w, lib.watermark_add(w, topic, 7), 10 * topic + 10) end
        lib.watermark_save(w, b)
        local other = ffi.gc(ffi.new "watermark_t", lib.watermark_fini)
        lib.watermark_init(other, 0)
        local function load(len)
            return lib.watermark_load(other, ffi.new("reader_t", { b.s, len, 0, 0 }), ffi.new("int32_t[3]", { 1, -1, 0 }), 3)
        end
        assert.equal(0, load(b.len))
        assert.equal(2, other.n)
        assert.equal(30, tonumber(lib.watermark_of(other, lib.watermark_find(other, 0, 7))))
        assert.equal(10, tonumber(lib.watermark_of(other, lib.watermark_find(other, 1, 7))))
        for len = 0, tonumber(b.len) - 1 do assert.is_true(load(len) < 0) end
    end)
end)

describe("watermark: where inputs merge", function()
    it("is the least over the inputs that count, and one that returns counts when it has caught up (400 random courses)", function()
        math.randomseed(SEED)
        for round = 1, 400 do
            local n, holds = math.random(1, 4), math.random() < 0.3
            local v, inputs, now = ffi.gc(ffi.new "valve_t", lib.valve_fini), {}, -math.huge
            lib.valve_init(v, n)
            v.holds = holds and 1 or 0
            for i = 1, n do inputs[i] = { wm = -math.huge, counts = true } end
            for step = 1, 30 do
                local i, t, idle = math.random(n), step * 3 - math.random(0, 40), math.random() < 0.25
                local one = inputs[i]
                one.wm, one.idle, one.heard = math.max(one.wm, t), idle, true
                one.counts = not idle and (one.counts or holds or one.wm >= now)
                local least, most, active, counting, heard = math.huge, -math.huge, 0, 0, 0
                for _, x in ipairs(inputs) do
                    most, active, heard = math.max(most, x.wm), active + (x.idle and 0 or 1), heard + (x.heard and 1 or 0)
                    if x.counts then least, counting = math.min(least, x.wm), counting + 1 end
                end
                local before, was_idle = now, v.idle ~= 0
                if active == 0 then now = math.max(now, most) elseif counting > 0 then now = math.max(now, least) end
                local where = ("seed %d round %d step %d"):format(SEED, round, step)
                local changed = lib.valve_put(v, i - 1, t, idle and 1 or 0)
                assert.equal(now, plain(v.now), where)
                assert.equal(active == 0, v.idle ~= 0, where)
                assert.equal(now ~= before or was_idle ~= (active == 0), changed ~= 0, where)
                assert.equal(heard == n, lib.valve_heard_all(v) ~= 0, where)
                if math.random() < 0.1 then                       -- what a restart goes on with
                    local b, other = engine.buf(), ffi.gc(ffi.new "valve_t", lib.valve_fini)
                    lib.valve_save(v, b)
                    lib.valve_init(other, n)
                    other.holds = v.holds
                    assert.equal(0, lib.valve_load(other, ffi.new("reader_t", { b.s, b.len, 0, 0 })), where)
                    v = other
                end
            end
        end
    end)
end)
