-- States as bytes (scripts/state.lua) and what on_row may do with them, through the operator.
local process_engine = require "tests.support.process_engine"
local lib, new = process_engine.lib, process_engine.new

-- Puts a value into state in one step, and in the next gives what `look` makes of it there.
local function kept(value, look)
    local p = new { by = {}, on_row = ([[function(r, state, emit)
        if r.look then
            local v = state.v
            emit { got = %s }
        else
            state.v = %s
        end
    end]]):format(look, value) }
    assert(p:run { { time = 1 } })
    assert.equal(0, tonumber(p.stats.errors), p:last_error())
    p = p:restart()
    return p:texts { { time = 2, look = true } }[1]
end

describe("state", function()
    it("keeps numbers as they are", function()
        assert.equal('{"got":9007199254740992}', kept("2^53", "v"))
        assert.equal('{"got":-7}', kept("-7", "v"))
        assert.equal('{"got":0.1}', kept("0.1", "v"))
        assert.equal('{"got":true}', kept("-0.0", "1 / v < 0"))
        assert.equal('{"got":true}', kept("0/0", "v ~= v"))
        assert.equal('{"got":true}', kept("math.huge", "v == math.huge"))
        assert.equal('{"got":-2147483648}', kept("-2147483648", "v"))
        assert.equal('{"got":2147483648}', kept("2147483648", "v"))
    end)
    it("keeps strings with any bytes and of any length", function()
        assert.equal('{"got":5}', kept('"a\\0b\\255c"', "#v"))
        assert.equal('{"got":100000}', kept('("x"):rep(100000)', "#v"))
        assert.equal('{"got":"🍍"}', kept('"🍍"', "v"))
    end)
    it("keeps nested tables, holes and keys of both kinds", function()
        assert.equal('{"got":"c"}', kept('{ "a", nil, "c" }', "v[3]"))
        assert.equal('{"got":[1,[2,3]]}', kept("{ 1, { 2, 3 } }", "v"))
        assert.equal('{"got":"one1"}', kept('{ [1] = "one", ["1"] = 1 }', 'v[1] .. v["1"]'))
        assert.equal('{"got":true}', kept("{ [1.5] = true, [-3] = true, x = {} }", "v[1.5] and v[-3] and next(v.x) == nil"))
        assert.equal('{"got":false}', kept("{ no = false }", "v.no"))
    end)
    it("keeps timestamps as such", function()
        assert.equal('{"got":1000E+000}', kept("timestamp(1000)", "v"))
    end)
    it("cannot keep what contains itself, or is no value of JSON", function()
        for _, bad in ipairs { "(function() local t = {} t.t = t return t end)()", "function() end", "{ [true] = 1 }" } do
            local p = new { by = {}, on_row = "function(r, state) state.v = " .. bad .. " end" }
            assert(p:run { { time = 1 } })
            assert.equal(1, tonumber(p.stats.errors))
            assert.equal(0, tonumber(lib.process_keys(p.process)))
        end
    end)
    it("is not written again when it did not change", function()
        local p = new { by = {}, on_row = "function(r, state) state.a = { z = 1, b = 2, [3] = 4 } state.n = 'x' end" }
        assert(p:run { { time = 1 } })
        p:commit()
        assert(p:run { { time = 2 } })
        assert.equal(0, tonumber(lib.store_dirty_count(p.store)))
    end)
end)

describe("on_row", function()
    local function error_of(body, on_timer)
        local p = new { by = {}, on_row = "function(r, state, emit) " .. body .. " end", on_timer = on_timer }
        assert(p:run { { time = 1, v = 1 } })
        assert.equal(1, tonumber(p.stats.errors))
        return p:last_error()
    end
    it("is told what is wrong with its calls", function()
        assert.truthy(error_of("state:wake(10)"):find("needs an on_timer", 1, true))
        local timer = "function() end"
        assert.truthy(error_of("state:wake(0)", timer):find("positive", 1, true))
        assert.truthy(error_of("state:wake('soon')", timer):find("no duration", 1, true))
        assert.truthy(error_of("state:wake({})", timer):find("milliseconds", 1, true))
        assert.truthy(error_of("emit(1)"):find("emit takes a table or the row, not a number", 1, true))
        assert.truthy(error_of("emit { 1, 2 }"):find("not a list", 1, true))
        assert.truthy(error_of("r.v = 2"):find("cannot be changed", 1, true))
        assert.truthy(error_of("error({})"):find("the error is a table value", 1, true))
    end)
    it("emits members sorted by name, timestamps marked as such, and an empty row", function()
        local p = new { by = {}, on_row = "function(r, state, emit) emit { z = 1, a = timestamp(0), m = { y = 1, b = 2 } } emit {} end" }
        assert.same({ '{"a":0E+000,"m":{"b":2,"y":1},"z":1}', "{}" }, p:texts { { time = 1 } })
    end)
    it("goes on after errors in each of many rows", function()
        local p = new { by = { "id" }, on_row = [[function(r, state, emit)
            state.n = (state.n or 0) + 1
            emit { n = state.n }
            if r.v % 2 == 0 then error "even" end
        end]] }
        local events = {}
        for i = 1, 1000 do events[i] = { time = i, id = "k" .. i % 3, v = i } end
        assert.equal(500, #p:texts(events))
        assert.equal(500, tonumber(p.stats.errors))
    end)
end)
