local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("panes", "store")

local function span(start, stop) return ffi.new("span_t", { start, stop }) end

describe("panes: open windows by their end", function()
    local panes
    before_each(function() panes = ffi.gc(ffi.new "panes_t", lib.panes_fini) end)

    it("fire in order of their ends, each once, when the watermark reaches the last instant", function()
        for _, stop in ipairs { 30, 10, 20, 10 } do lib.panes_open(panes, span(stop - 10, stop), 0) end
        assert.equal(10, tonumber(lib.panes_next_end(panes)))
        assert.is_true(lib.panes_fire(panes, 8) == nil)
        assert.equal(10, tonumber(lib.panes_fire(panes, 25).span["end"]))
        assert.equal(20, tonumber(lib.panes_fire(panes, 25).span["end"]))
        assert.is_true(lib.panes_fire(panes, 25) == nil)
        assert.equal(30, tonumber(lib.panes_next_end(panes)))
    end)

    it("stay until their lateness is over", function()
        lib.panes_open(panes, span(0, 10), 0)
        lib.panes_fire(panes, 9)
        assert.is_true(lib.panes_take_over(panes, 5, 13) == nil)
        local pane = lib.panes_take_over(panes, 5, 14)
        assert.equal(10, tonumber(pane.span["end"]))
        lib.pane_free(pane)
        assert.is_true(lib.panes_take_over(panes, 5, 1000) == nil)
        assert.is_true(lib.panes_next_end(panes) == 9223372036854775807LL)
    end)

    it("a window that is made after it fired waits behind none that has not", function()
        lib.panes_open(panes, span(10, 20), 0)
        lib.panes_open(panes, span(0, 10), 1)
        assert.equal(20, tonumber(lib.panes_next_end(panes)))
        assert.equal(20, tonumber(lib.panes_fire(panes, 19).span["end"]))
    end)

    it("sort their groups by key, short keys first (300 cases)", function()
        math.randomseed(SEED)
        local store = ffi.gc(lib.store_new(0), lib.store_free)
        local space = lib.store_space(store, "s")
        for case = 1, 300 do
            local pane, keys = lib.panes_open(panes, span(0, case), 0), {}
            for i = 1, math.random(1, 30) do
                local tail = {}
                for k = 1, math.random(0, 12) do tail[k] = string.char(math.random(0, 2) * 127) end
                keys[i] = ("%08d"):format(case) .. table.concat(tail)
            end
            local seen, list = {}, {}
            for _, key in ipairs(keys) do
                if not seen[key] then
                    seen[key], list[#list + 1] = true, key
                    lib.pane_add(pane, lib.store_put(space, key, #key, nil))
                end
            end
            lib.pane_sort(pane)
            table.sort(list)
            for i, key in ipairs(list) do assert.equal(key, engine.text(lib.entry_key(pane.at[i - 1])), "seed " .. SEED) end
        end
    end)
end)
