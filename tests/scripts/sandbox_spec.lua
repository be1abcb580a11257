-- What a rule may use, seen from inside a rule: each text below is the body of a function whose result is compared.

local rows = require "tests.support.rows"

local s, batch

local function result(body, prelude)
    local fn = assert(rows.fn(s, (prelude or "") .. "\nreturn function(r) " .. body .. " end"))
    local texts, count, why = rows.map(s, fn, batch)
    assert.is_truthy(texts, count)
    if count > 0 then return nil, why end
    return texts[1]
end

local function gives(expected, body, prelude)
    local got, why = result(body, prelude)
    assert.are.equal(expected, got, why)
end

local function raises(pattern, body, prelude)
    local got, why = result(body, prelude)
    assert.is_nil(got)
    assert.is_truthy(why:find(pattern), why)
end

describe("the words of a rule", function()
    setup(function()
        s = assert(rows.open { time_ms = 200 })
        batch = rows.batch { { n = 2, list = rows.json '[3,1,{"x":[]}]', object = rows.json '{"b":1,"a":{"c":null}}' } }
    end)
    teardown(function() rows.close(s) end)

    it("are exactly those that are listed", function()
        local known = {}
        for name in ([[assert error ipairs next pairs pcall select tonumber tostring type unpack setmetatable getmetatable
            math string table bit set timestamp log]]):gmatch "%S+" do
            known[name] = true
            gives("true", ("return %s ~= nil"):format(name))
        end
        for name in pairs(_G) do
            if not known[name] and name:find "^[%a_][%w_]*$" then gives("true", ("return %s == nil"):format(name)) end
        end
    end)

    it("hold the parts of the libraries that give the same answer twice", function()
        for library, names in pairs {
            string = "byte char find format gmatch gsub len lower match rep reverse sub upper",
            math = "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min modf pi pow rad sin " ..
                "sinh sqrt tan tanh",
            table = "concat insert maxn move remove sort",
            bit = "tobit tohex bnot band bor bxor lshift rshift arshift rol ror bswap",
        } do
            for name in names:gmatch "%S+" do gives("true", ("return %s.%s ~= nil"):format(library, name)) end
        end
        gives("true", "return string.dump == nil and table.foreach == nil")
        raises("math.random is not for rules", "return math.random()")
        raises("math.randomseed is not for rules", "return math.randomseed(1)")
    end)

    it("work as in Lua", function()
        gives('"a,b"', "return table.concat({ 'a', 'b' }, ',')")
        gives("6", "local s = 0 for _, v in ipairs { 1, 2, 3 } do s = s + v end return s")
        gives("3", "return select('#', unpack({ 1, nil, 3 }, 1, 3))")
        gives('"x-x"', "return (('a a'):gsub('a', 'x'):gsub(' ', '-'))")
        gives('"AB"', "return (('ab'):gsub('.', string.upper))")
        gives('"1 1.50 x"', "return ('%d %.2f %s'):format(1, 1.5, 'x')")
        gives("[1,2,3]", "local t = { 3, 1, 2 } table.sort(t) return t")
        gives("[3,2,1]", "local t = { 3, 1, 2 } table.sort(t, function(a, b) return a > b end) return t")
        gives("255", "return tonumber('ff', 16)")
        gives("8", "return bit.lshift(1, 3)")
        gives("false", "return (pcall(error, 'x'))")
        gives("5", "return setmetatable({}, { __index = function(_, k) return k + 1 end })[4]")
        gives('"m"', "local meta = { m = 'm' } meta.__index = meta return setmetatable({}, meta).m")
        gives("true", "local meta = {} return getmetatable(setmetatable({}, meta)) == meta")
        raises("attempt to compare number with nil", "return r.none > 1")
        raises("read%-only", "return setmetatable(string, {})")
    end)

    it("give pairs in order, whatever was put in first", function()
        gives('"1=a 2=b 10=c a=d b=e true=f "', [[
            local t, out = { b = "e", [10] = "c", a = "d", [true] = "f", "a", "b" }, ""
            for k, v in pairs(t) do out = out .. tostring(k) .. "=" .. v .. " " end
            return out]])
        gives("true", [[
            local t, before = {}, nil
            for i = 1, 200 do t["k" .. i * 7919 % 1000] = i end
            for k in pairs(t) do
                if before and not (before < k) then return k end
                before = k
            end
            return true]])
    end)

    it("let a table be changed while pairs goes through it", function()
        gives("[]", [[local t = { a = 1, b = 2, c = 3 } for k in pairs(t) do t[k] = nil end
            local out = {} for k in pairs(t) do out[#out + 1] = k end return #out == 0 and r.list[3].x]])
        gives('"ac"', "local t, out = { a = 1, b = 2, c = 3 }, '' for k in pairs(t) do out = out .. k t.b = nil end return out")
    end)

    it("show no address, which would differ from run to run", function()
        gives('"table table function row"', "return tostring({}) .. ' ' .. tostring(string) .. ' ' .. tostring(print or pairs) .. ' ' .. tostring(r)")
        gives('"mine"', "return tostring(setmetatable({}, { __tostring = function() return 'mine' end }))")
    end)

    it("make sets of what is listed", function()
        gives("[true,null,true]", "return { bad['🍍 pineapple'], bad.cheese or nil, bad[5] }", "local bad = set { '🍍 pineapple', 5 }")
        raises("set takes a list", "return set 'x'")
    end)

    it("mark timestamps, which go on being numbers", function()
        gives('"1970-01-01T00:00:00.005Z"', "return timestamp(5)")
        gives("6", "return timestamp(5) + 1")
        gives("true", "return timestamp(5) < timestamp(6) and timestamp(5) <= 5 and timestamp(5) == timestamp(5)")
        gives("5", "return tonumber(timestamp(5))")
        gives("null", "return timestamp(nil)")
        raises("milliseconds", "return timestamp 'x'")
    end)
end)

describe("what a function captured", function()
    setup(function()
        s = assert(rows.open { time_ms = 200 })
        batch = rows.batch { { n = 2 } }
    end)
    teardown(function() rows.close(s) end)

    local words = "local t = { 'a', 'b', 'c', deep = { x = { y = 1 } }, f = function(v) return v + 1 end }"

    it("is read as ever", function()
        gives("3", "return #t", words)
        gives('"b"', "return t[r.n]", words)
        gives("1", "return t.deep.x.y", words)
        gives('"a-b-c"', "return table.concat(t, '-')", words)
        gives('"a-b"', "return table.concat(t, '-', 1, 2)", words)
        gives('"c"', "local _, _, c = unpack(t) return c", words)
        gives('"abc"', "local out = '' for _, v in ipairs(t) do out = out .. v end return out", words)
        gives('"1 2 3 deep f "', "local out = '' for k in pairs(t) do out = out .. k .. ' ' end return out", words)
        gives('"table"', "return type(t)", words)
        gives("3", "return t.f(r.n)", words)
        gives("true", "return next(t) ~= nil and next(t.deep.x) == 'y'", words)
        gives("3", "return table.maxn(t)", words)
        gives('["a","b","c"]', "return table.move(t, 1, #t, 1, {})", words)
        gives('{"x":{"y":1}}', "return t.deep", words)
        gives("true", "return t == t and t ~= t.deep and t.deep == t.deep", words)
        gives('"xbc"', "return (('abc'):gsub('a', by))", "local by = { a = 'x' }")
    end)

    it("cannot be written, at any depth, by any word", function()
        for _, body in ipairs {
            "t.x = 1", "t[1] = 1", "t.deep.z = 1", "t.deep.x.y = 2", "t[#t + 1] = 1", "table.insert(t, 1)", "table.remove(t)", "table.sort(t)",
            "table.move({ 1 }, 1, 1, 1, t)", "setmetatable(t, {})", "t.deep = nil", "for k in pairs(t) do t[k] = nil end",
            "local _, state = pairs(t) state.t[1] = 'x'",
        } do
            raises("read%-only", body .. " return 1", words)
            gives('"abc1"', "return table.concat(t) .. t.deep.x.y", words)
        end
    end)

    it("cannot be reached through a function it captured, nor through a cycle", function()
        raises("read%-only", "write(1) return 1", "local t = {} local function write(v) t.x = v end")
        raises("read%-only", "return far(1)", "local t = {} local function near(v) t.x = v end local function far(v) near(v) end")
        raises("read%-only", "t.me.me.x = 1 return 1", "local t = {} t.me = t")
        gives("true", "return t.me.me == t", "local t = {} t.me = t")
    end)

    it("keeps its metatable's meaning, not its doors", function()
        local counter = "local t = setmetatable({}, { __index = function(self, k) self[k] = k return k end })"
        raises("read%-only", "return t.x", counter)
        gives('"x!"', "return t.x", "local t = setmetatable({}, { __index = function(self, k) return k .. '!' end })")
        gives("7", "return t.seven", "local t = setmetatable({}, { __index = { seven = 7 } })")
        gives("4", "return t(2)", "local t = setmetatable({}, { __call = function(_, v) return v * 2 end })")
        gives("3", "return (t + t)", "local t = setmetatable({ n = 1 }, { __add = function(a, b) return a.n + b.n + 1 end })")
        raises("read%-only", "t.x = 1 return 1", "local t = setmetatable({}, { __newindex = function() end })")
    end)

    it("can be a class", function()
        local class = [[
            local Point = {}
            Point.__index = Point
            function Point.new(x) return setmetatable({ x = x }, Point) end
            function Point:twice() return self.x * 2 end]]
        gives("4", "return Point.new(r.n):twice()", class)
        gives("9", "local p = Point.new(1) p.x = 9 return p.x", class)
        raises("read%-only", "Point.x = 1 return 1", class)
    end)

    it("lets another function of the same table go on reading it", function()
        local text = "local shared = { n = 5 } return { init = 0, step = function(a, r) return a + shared.n end }"
        local fn = assert(rows.fn(s, text))
        assert.are.equal("5", (rows.fold(s, fn, batch)))
        assert.are.equal("5", (rows.fold(s, fn, batch)))
    end)
end)
