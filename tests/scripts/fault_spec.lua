local fault = require "fault"

-- The definition: the least number of insertions, deletions, changes and swaps of neighbours, each place edited once.
local function reference(a, b)
    local memo = {}
    local function d(i, j)
        if i == 0 then return j end
        if j == 0 then return i end
        local key = i * 100 + j
        if memo[key] then return memo[key] end
        local best = math.min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (a:sub(i, i) == b:sub(j, j) and 0 or 1))
        if i > 1 and j > 1 and a:sub(i, i) == b:sub(j - 1, j - 1) and a:sub(i - 1, i - 1) == b:sub(j, j) then
            best = math.min(best, d(i - 2, j - 2) + 1)
        end
        memo[key] = best
        return best
    end
    return d(#a, #b)
end

describe("edit distance", function()
    it("is what its definition says, for random words", function()
        for _ = 1, 2000 do
            local words = {}
            for i = 1, 2 do
                local letters = {}
                for k = 1, math.random(0, 7) do letters[k] = ("abc"):sub(math.random(3)):sub(1, 1) end
                words[i] = table.concat(letters)
            end
            assert.equal(reference(words[1], words[2]), fault.distance(words[1], words[2]),
                ("%q %q SEED=%d"):format(words[1], words[2], SEED))
        end
    end)
end)

describe("a suggestion", function()
    it("is the nearest name, the first by alphabet among equals", function()
        assert.equal("group_by", fault.nearest("grup_by", { "key", "group_by", "top" }))
        assert.equal("bar", fault.nearest("baz", { "bat", "bar" }))
    end)
    it("does not mind capitals", function() assert.equal("group_by", fault.nearest("GROUP_BY", { "group_by" })) end)
    it("is not made where nothing is near", function() assert.is_nil(fault.nearest("where", { "select", "from" })) end)
    it("names what there is when that is little", function()
        assert.equal("; there is `A`, `B`", fault.suggest("PIZZA", { "A", "B" }))
        assert.equal("", fault.suggest("PIZZA", {}))
    end)
end)

describe("faults", function()
    it("are sorted by place and kept once", function()
        local list = fault.new()
        list:add("b.lua", 1, "later")
        list:add("a.lua", 9, "second")
        list:add("a.lua", 2, "first %s", "x")
        list:add("a.lua", 9, "second")
        local out = {}
        for i, item in ipairs(list:sorted()) do out[i] = ("%s:%d %s"):format(item.file, item.line, item.text) end
        assert.same({ "a.lua:2 first x", "a.lua:9 second", "b.lua:1 later" }, out)
    end)
    it("take their place from Lua's own messages", function()
        local list = fault.new()
        list:add_error("rules/x.lua:7: attempt to index a nil value", "rules/y.lua", 1)
        list:add_error("no place", "rules/y.lua", 3)
        local sorted = list:sorted()
        assert.same({ "rules/x.lua", 7 }, { sorted[1].file, sorted[1].line })
        assert.same({ "rules/y.lua", 3 }, { sorted[2].file, sorted[2].line })
    end)
end)
