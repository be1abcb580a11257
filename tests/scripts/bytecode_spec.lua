local loading = require "tests.support.loading" -- luacheck: ignore
local bytecode = require "bytecode"
local flow = require "flow"

local function load_function(text, name)
    return assert(loadstring("return " .. text, name or "=text"))()
end

local function code_of(f)
    local ops = {}
    for i, ins in ipairs(bytecode.read(f).code) do ops[i] = ins.op end
    return table.concat(ops, " ")
end

describe("a function's bytecode", function()
    it("is in the format that is expected of this LuaJIT", function() assert.is_true(bytecode.format_is_known()) end)

    it("has the names of opcodes of this LuaJIT", function()
        local ok, vmdef = pcall(require, "jit.vmdef")
        if not ok then return pending "jit.vmdef is not installed" end
        for i = 0, #vmdef.bcnames / 6 - 1 do
            assert.equal(vmdef.bcnames:sub(i * 6 + 1, i * 6 + 6):gsub("%s", ""), bytecode.opcodes[i])
        end
    end)

    it("is read with constants, numbers and lines", function()
        local f = load_function "function(r)\n  return r.name == 7.25 or\n r.size == -3 or r.other == 'x' end"
        local p = bytecode.read(f)
        local constants, numbers = {}, {}
        for i = 0, p.n_constants - 1 do constants[p.constants[i]] = true end
        for i = 0, p.n_numbers - 1 do numbers[p.numbers[i]] = true end
        assert.same({ name = true, size = true, other = true, x = true }, constants)
        assert.same({ [7.25] = true, [-3] = true }, numbers)
        assert.equal(2, p.lines[1])
        assert.equal(3, p.lines[#p.lines - 1])
    end)

    it("is read with functions inside, each under its operand", function()
        local f = load_function "function() local function a() return 'a' end local function b() return function() return 'c' end end return a, b end"
        local p = bytecode.read(f)
        local given = {}
        for _, ins in ipairs(p.code) do
            if ins.op == "FNEW" then
                local child = p.constants[ins.d].child
                given[#given + 1] = child.constants[0] and (type(child.constants[0]) == "string" and child.constants[0] or child.constants[0].child.constants[0])
            end
        end
        assert.same({ "a", "c" }, given)
    end)

    it("is read with every kind of number", function()
        for _, n in ipairs { 0.1, -0.5, 1e300, -1e-300, 5e-324, 2 ^ 53, -2 ^ 31, 2 ^ 31, 123456789, math.huge } do
            local p = bytecode.read(load_function(("function(x) return x + %s end"):format(n == math.huge and "1e999" or ("%.17g"):format(n))))
            local found = false
            for i = 0, p.n_numbers - 1 do found = found or p.numbers[i] == n end
            assert.is_true(found or n == math.floor(n) and math.abs(n) < 32768, tostring(n))
        end
    end)

    it("of C functions is nil", function() assert.is_nil(bytecode.read(print)) end)

    it("reads alike however the text was laid out, and otherwise with any other constant", function()
        local function canonical(text) return bytecode.canonical(bytecode.read(load_function(text, "=" .. math.random()))) end
        local one = canonical "function(row) local t = { a = 1, b = 2, c = 3 } return row.x > 5 and t end"
        assert.equal(one, canonical "function(other)\n\n local u = { c = 3, b = 2, a = 1 } --x\n return other.x > 5 and\n u end")
        for _, text in ipairs { "function(row) local t = { a = 1, b = 2, c = 4 } return row.x > 5 and t end",
            "function(row) local t = { a = 1, b = 2, c = 3 } return row.x > 6 and t end",
            "function(row) local t = { a = 1, b = 2, c = 3 } return row.y > 5 and t end",
            "function(row) local t = { a = 1, b = 2, c = 3 } return row.x >= 5 and t end" } do
            assert.not_equal(one, canonical(text))
        end
    end)

    it("stays as it was when it has been compiled", function()
        local f = load_function "function(n) local s = 0 for i = 1, n do s = s + i end return s end"
        local before = bytecode.canonical(bytecode.read(f))
        for _ = 1, 200 do f(1000) end
        local copy = loadstring(string.dump(f))
        assert.equal(before, bytecode.canonical(bytecode.read(copy)))
        assert.equal(code_of(f), code_of(copy))
    end)
end)

-- Functions at random, run on rows that note what is read: nothing may be read that the analysis did not name.
describe("the analysis of random functions", function()
    local function generate(seed)
        local next_random = seed
        local function random(n)
            next_random = (next_random * 1103515245 + 12345) % 2147483648
            return math.floor(next_random / 65536) % n + 1
        end
        local scope = { "r" }
        local function name() return scope[random(#scope)] end
        local fresh = 0
        local statement
        local function expression(depth)
            local pick = random(depth > 0 and 9 or 4)
            if pick == 1 then return ("get(%s, '%s')"):format(name(), ("abcdef"):sub(random(6)):sub(1, 1)) end
            if pick == 2 then return name() end
            if pick == 3 then return tostring(random(5)) end
            if pick == 4 then return ("(%s or r).%s"):format("nil", ("abcdef"):sub(random(6)):sub(1, 1)) end
            if pick == 5 then return ("(%s and %s or %s)"):format(expression(depth - 1), expression(depth - 1), expression(depth - 1)) end
            if pick == 6 then return ("(function(x) return get(x, '%s') end)(%s)"):format(("abcdef"):sub(random(6)):sub(1, 1), name()) end
            if pick == 7 then return ("(function() return %s end)()"):format(expression(depth - 1)) end
            if pick == 8 then return ("select(%d, %s, %s)"):format(random(2), expression(depth - 1), expression(depth - 1)) end
            return ("(not %s)"):format(expression(depth - 1))
        end
        function statement(depth)
            local pick = random(depth > 0 and 8 or 3)
            if pick <= 2 then
                fresh = fresh + 1
                local text = ("local v%d = %s"):format(fresh, expression(2))
                scope[#scope + 1] = "v" .. fresh
                return text
            end
            if pick == 3 then
                local target = name()
                return target ~= "r" and ("%s = %s"):format(target, expression(2)) or "local _ = " .. expression(2)
            end
            local function block()
                local size, lines = #scope, {}
                for i = 1, random(3) do lines[i] = statement(depth - 1) end
                while #scope > size do scope[#scope] = nil end
                return table.concat(lines, "\n")
            end
            if pick == 4 then return ("if %s then\n%s\nelse\n%s\nend"):format(expression(2), block(), block()) end
            if pick == 5 then return ("for i = 1, 2 do\n%s\nend"):format(block()) end
            if pick == 6 then
                fresh = fresh + 1
                local f = "f" .. fresh
                return ("local function %s()\n%s\nend\n%s() %s()"):format(f, block(), f, f)
            end
            if pick == 7 then return ("local t = { %s }\nlocal _ = get(t[1], 'a')"):format(expression(1)) end
            return ("do\n%s\nend"):format(block())
        end
        local lines = {}
        for i = 1, 2 + random(4) do lines[i] = statement(2) end
        return table.concat(lines, "\n") .. "\nreturn " .. expression(2)
    end

    -- Reads a column by a constant name, as rules do, and none of what is not there.
    local get = [[
local function get(x, k)
    if not x then return nil end
    if k == 'a' then return x.a elseif k == 'b' then return x.b elseif k == 'c' then return x.c end
    if k == 'd' then return x.d elseif k == 'e' then return x.e else return x.f end
end]]

    it("never misses a column", function()
        local checked, sharp = 0, 0
        for i = 1, 100 do
            local seed = SEED + i * 7919
            local text = ("local select = ...\n%s\nreturn function(r)\n%s\nend"):format(get, generate(seed))
            local chunk, why = loadstring(text)
            if chunk then
                local f = chunk(select)
                local out = flow.analyse(f, { "row" }, { words = { [select] = "select" }, lookup = function() end, is_user = function(g) return g ~= select end })
                for run = 1, 3 do
                    local read = {}
                    local row = setmetatable({}, { __index = function(_, k)
                        read[k] = true
                        return run == 1 and nil or run == 2 and 1 or (#k % 2 == 0)
                    end })
                    pcall(f, row)
                    for k in pairs(read) do
                        assert.is_true(out.all or out.columns[k] ~= nil, ("%s was not foreseen, SEED=%d, case %d\n%s"):format(k, SEED, i, text))
                    end
                end
                checked = checked + 1
                if not out.all then sharp = sharp + 1 end
            else
                assert.is_truthy(why:find("too many", 1, true), why)
            end
        end
        assert.is_true(checked > 75)
        assert.is_true(sharp > 5, "the analysis always gives up: " .. sharp)
    end)
end)
