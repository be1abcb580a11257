local ffi = require "ffi"
local engine = require "tests.support.engine"
local cjson = require "cjson"
local lib = engine.use "window"

local KINDS = { tumble = lib.WINDOW_TUMBLE, hop = lib.WINDOW_HOP, cumulate = lib.WINDOW_CUMULATE, session = lib.WINDOW_SESSION }

local function spec_of(w)
    local spec = ffi.new "window_spec_t"
    spec.kind, spec.size, spec.offset, spec.step, spec.gap = KINDS[w.kind], w.size or 0, w.offset or 0, w.step or 0, w.gap or 0
    spec.slide = w.slide or w.size or 0
    return spec
end

local function assign(w, t)
    local it, spec, list = ffi.new "window_iter_t", spec_of(w), {}
    local more = lib.window_first(it, spec, t)
    while more ~= 0 do
        list[#list + 1] = { it.span.start, it.span["end"] }
        more = lib.window_next(it)
    end
    return list
end

local function numbers(list)
    for _, w in ipairs(list) do w[1], w[2] = tonumber(w[1]), tonumber(w[2]) end
    return list
end

-- Every window by looking at all starts around t.
local function brute(w, t)
    local list, step = {}, w.kind == "hop" and w.slide or w.size
    for k = -400, 400 do
        local start = (math.floor((t - w.offset) / step) + k) * step + w.offset
        for e = 1, w.kind == "cumulate" and w.size / w.step or 1 do
            local stop = w.kind == "cumulate" and start + e * w.step or start + w.size
            if start <= t and t < stop then list[#list + 1] = { start, stop } end
        end
    end
    table.sort(list, function(a, b) return a[2] < b[2] end)
    return list
end

describe("window: assignment", function()
    it("agrees with a search through all windows, for random sizes, offsets and times on both sides of 1970 (10,000 cases)", function()
        math.randomseed(SEED)
        for _ = 1, 10000 do
            local step, times = math.random(1, 50), math.random(1, 8)
            local w = ({ { kind = "tumble", size = step }, { kind = "hop", size = step * times, slide = step },
                         { kind = "cumulate", size = step * times, step = step } })[math.random(3)]
            w.offset = math.random(-w.size + 1, w.size - 1)
            local t = math.random(-500, 500)
            local want, got = brute(w, t), numbers(assign(w, t))
            local last = lib.window_last(spec_of(w), t)
            assert.same(want, got, ("seed %d: %s size %d step %d offset %d time %d"):format(SEED, w.kind, w.size, step, w.offset, t))
            assert.equal(want[#want][2], tonumber(last["end"]))
            assert.equal(want[#want][1], tonumber(last.start))
        end
    end)

    it("saturates at the ends of time, where every window still ends after its rows", function()
        local MIN, MAX = -9223372036854775807LL - 1, 9223372036854775807LL
        for _, w in ipairs { { kind = "tumble", size = 1000 }, { kind = "hop", size = 1000, slide = 100 }, { kind = "cumulate", size = 1000, step = 100 },
                             { kind = "tumble", size = 86400000, offset = -28800000 }, { kind = "session", gap = 500 } } do
            for _, t in ipairs { MIN, MIN + 1, MIN + 999, MAX, MAX - 1, MAX - 999 } do
                local list, before = assign(w, t), nil
                assert.is_true(#list >= 1)
                for _, s in ipairs(list) do
                    assert.is_true(s[1] <= t and (s[2] > t or s[2] == MAX))
                    assert.is_true(before == nil or s[2] > before)
                    before = s[2]
                end
            end
        end
    end)

    it("gives a session its gap", function()
        assert.same({ { 100, 130 } }, numbers(assign({ kind = "session", gap = 30 }, 100)))
    end)
end)

describe("window: worked cases", function()
    local file = assert(io.open "tests/conformance/windows.json")
    local cases = cjson.decode(file:read "*a")
    file:close()
    for _, case in ipairs(cases) do
        local test = case.family == "assign" and it or function() end
        test(case.id, function()
            local w = case.window
            local spec = { kind = w.type, size = w.size_ms, slide = w.slide_ms, step = w.step_ms, gap = w.gap_ms, offset = w.offset_ms }
            for _, a in ipairs(case.assign) do assert.same(a.windows, numbers(assign(spec, a.ts))) end
        end)
    end
end)
