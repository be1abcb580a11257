local ffi = require "ffi"
local engine = require "tests.support.engine"
local match_engine = require "tests.support.match_engine"
local lib = match_engine.lib

local function listing(text)
    local tree = assert(match_engine.parse(text))
    local program = ffi.gc(assert(match_engine.compile(tree)), lib.program_free)
    local b = engine.buf()
    lib.program_print(program, tree, b)
    return (engine.bytes(b):gsub("\n", "; "))
end

describe("program", function()
    it("prefers another row where a quantifier is greedy, and leaving where it is reluctant", function()
        assert.equal("0 split 1 3; 1 var A; 2 jump 0; 3 match; ", listing "A*")
        assert.equal("0 split 3 1; 1 var A; 2 jump 0; 3 match; ", listing "A*?")
        assert.equal("0 var A; 1 split 0 2; 2 match; ", listing "A+")
        assert.equal("0 var A; 1 split 2 0; 2 match; ", listing "A+?")
        assert.equal("0 var A; 1 split 2 5; 2 var A; 3 split 4 5; 4 var A; 5 match; ", listing "A{1,3}")
    end)
    it("brackets an iteration that may be empty", function()
        assert.equal("0 split 1 7; 1 mark; 2 split 3 5; 3 var A; 4 jump 2; 5 check 7; 6 jump 0; 7 match; ", listing "(A*)*")
    end)
    it("marks what is inside {- -}", function()
        assert.equal("0 var A; 1 var B excluded; 2 match; ", listing "A {- B -}")
    end)
    it("shares what permutations have in common", function()
        assert.equal("0 split 1 3; 1 var A; 2 jump 5; 3 var B; 4 jump 7; 5 var B; 6 jump 9; 7 var A; 8 jump 9; 9 match; ", listing "PERMUTE(A,B)")
        local tree = match_engine.parse "PERMUTE(A,B,C,D,E,F,G,H,I,J)"
        local program = ffi.gc(assert(match_engine.compile(tree)), lib.program_free)
        assert.is_true(program.n < 20000)
    end)
    it("refuses what unrolls to too much, at its place", function()
        local tree = match_engine.parse "A (B{1000} C{1000}){1000}"
        local program, words, at = match_engine.compile(tree)
        assert.is_nil(program)
        assert.is_truthy(words:find "unrolls to more than 50000 steps")
        assert.is_true(at > 2)
        assert.is_nil((match_engine.compile(match_engine.parse "PERMUTE(A,B,C,D,E,F,G,H,I,J,K,L,M)")))
        local nested = ("PERMUTE("):rep(50) .. "A" .. (", B)"):rep(50)
        assert.is_nil((match_engine.compile(match_engine.parse(nested))))
    end)
    it("knows from where a variable can be reached", function()
        local tree = match_engine.parse "(A|B)* C D?"
        local program = ffi.gc(match_engine.compile(tree), lib.program_free)
        local function reach(name)
            local vars, ahead = ffi.new("uint8_t[8]"), ffi.new("uint8_t[?]", program.n)
            vars[lib.pattern_find(tree, name)] = 1
            lib.program_reach(program, vars, ahead)
            local list = {}
            for i = 0, program.n - 1 do list[i + 1] = ahead[i] end
            return table.concat(list)
        end
        --   0 split; 1 split; 2 A; 3 jump; 4 B; 5 jump; 6 C; 7 split; 8 D; 9 match
        assert.equal("1111110000", reach "A")
        assert.equal("1111111000", reach "C")
        assert.equal("1111111110", reach "D")
    end)
end)
