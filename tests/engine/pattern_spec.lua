local ffi = require "ffi"
local engine = require "tests.support.engine"
local match_engine = require "tests.support.match_engine"
local lib = match_engine.lib

local function printed(text)
    local tree = assert(match_engine.parse(text))
    local b = engine.buf()
    lib.pattern_print(tree, b)
    return engine.bytes(b)
end

describe("pattern", function()
    it("reads the whole grammar and prints it in one form", function()
        for text, form in pairs {
            ["A"] = "A",
            [" START_ROW  NR_UP+ NR_DOWN{2}"] = "START_ROW NR_UP+ NR_DOWN{2}",
            ["A*B+C?D{1}E{2,}F{,3}G{2,4}H{,}"] = "A* B+ C? D{1} E{2,} F{0,3} G{2,4} H*",
            ["A*?B+?C??D{1}?E{2,}?F{,3}?G{2,4}?H{ , }?"] = "A*? B+? C?? D{1}? E{2,}? F{0,3}? G{2,4}? H*?",
            ["A | B C | ()"] = "A|B C|()",
            ["(A|B) C"] = "(A|B) C",
            ["((A) (B (C)))"] = "A (B C)",
            ["(A B)*"] = "(A B)*",
            ["(A*)+"] = "(A*)+",
            ["^ A $"] = "^ A $",
            ["A {- B C* -}+ {-D|E-}"] = "A {-B C*-}+ {-D|E-}",
            ["PERMUTE(A, B C, (D|E)?)"] = "PERMUTE(A,B C,(D|E)?)",
            ["PERMUTE ( A ){2}"] = "PERMUTE(A){2}",
            ["A{0,1}"] = "A?",
            ["permute"] = "permute",
        } do
            assert.equal(form, printed(text))
            assert.equal(form, printed(form))
        end
    end)

    it("names variables in the order in which they first occur, with their positions", function()
        local tree = match_engine.parse "B (A|B) _c9"
        local names = {}
        for i = 0, lib.pattern_variables(tree) - 1 do
            names[#names + 1] = ffi.string(lib.pattern_variable(tree, i)) .. "@" .. lib.pattern_variable_position(tree, i)
        end
        assert.equal("B@1 A@4 _c9@9", table.concat(names, " "))
        assert.equal(1, lib.pattern_find(tree, "A"))
        assert.equal(-1, lib.pattern_find(tree, "a"))
    end)

    it("says at which byte it fails, what it expected and what it found", function()
        for _, case in ipairs {
            { "", 1, "expected a variable.*found the end of the pattern" },
            { "A (B C", 7, "expected '%)'.*found the end" },
            { "A) B", 2, "expected the end of the pattern.*found '%)'" },
            { "A | | B", 5, "expected a variable.*found '|'" },
            { "A |", 4, "expected a variable.*the end" },
            { "* A", 1, "before a quantifier, found '%*'" },
            { "A**", 3, "quantifier behind a quantifier" },
            { "A{1}{2}", 5, "quantifier behind a quantifier" },
            { "A{}", 3, "expected a number or ','.*found '}'" },
            { "A{1", 4, "expected ',' or '}'.*the end" },
            { "A{1,2", 6, "expected a number or '}'.*the end" },
            { "A{3,2}", 2, "from 3 to 2: the upper bound is below" },
            { "A{0}", 2, "upper bound of a quantifier must be at least 1" },
            { "A{,0}", 2, "at least 1" },
            { "A{100001}", 3, "a repetition of more than 100000" },
            { "A{99999999999999999999}", 3, "a repetition of more than 100000" },
            { "{- A", 5, "expected '%-}'.*the end" },
            { "{- -}", 4, "expected a variable.*found '%-'" },
            { "A -}", 3, "nothing is open here" },
            { "PERMUTE A", 9, "expected '%(' after PERMUTE, found 'A'" },
            { "PERMUTE(A B", 12, "expected ',' or '%)' in PERMUTE" },
            { "PERMUTE()", 9, "expected a variable" },
            { "A, B", 2, "found ','" },
            { "A & B", 3, "expected a variable.*found '&'" },
            { "A B -> C", 5, "found '%-'" },
            { "A \240\159\141\141", 3, "found '\240\159\141\141'" },
            { "1A", 1, "found '1'" },
            { ("("):rep(70) .. "A" .. (")"):rep(70), 61, "nested deeper than 60" },
        } do
            local tree, words, at = match_engine.parse(case[1])
            assert.is_nil(tree, case[1])
            assert.is_truthy(words:find(case[3]), case[1] .. ": " .. words)
            assert.equal(case[2], at, case[1])
            assert.is_truthy(words:find("^position " .. at .. ": "), words)
        end
    end)

    it("survives any bytes", function()
        math.randomseed(SEED or 1)
        local letters = { "A", "B", "(", ")", "{", "}", "-", "{-", "-}", "*", "+", "?", "|", ",", "^", "$", "1", "23", " ", "PERMUTE", "\255" }
        local good = 0
        for _ = 1, 20000 do
            local parts = {}
            for i = 1, math.random(0, 12) do parts[i] = letters[math.random(#letters)] end
            local text = table.concat(parts)
            local tree, words, at = match_engine.parse(text)
            if tree then
                good = good + 1
                local form = printed(text)
                assert.equal(form, printed(form), text)
            else
                assert.is_true(at >= 1 and at <= #text + 1, words)
            end
        end
        assert.is_true(good > 100)
    end)
end)
