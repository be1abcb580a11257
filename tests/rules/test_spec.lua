-- `ananas test`: the shipped rules keep their promises, and a promise that is not kept is told so that one sees it.
local ananas = require "tests.support.ananas"
local process = require "tests.support.process"

local folder

local function write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(text)
    file:close()
end

local RULE = [[
rule "counts" {
    from = "clicks", window = tumble "5s", group_by = { "user" }, aggregate = { n = count() }, lateness = "0s", to = "counts",
}
rule "loud" { from = "counts", where = function(r) return r.n > 2 end }
rule "broken" { from = "clicks", where = function(r) return r.user > 5 end, to = "broken" }
]]

-- A spec with one `it` of that body, over RULE; gives what `ananas test` printed and its status.
local function test(body, more)
    write("clicks.lua", RULE)
    write("clicks_spec.lua", ("describe('clicks', function()\n%s\nit('does', function()\n%s\nend)\nend)\n"):format(
        more or 'local t = rules_under_test("clicks.lua", { sources = { "clicks" } })', body))
    local r = ananas.run { "test", folder .. "/clicks_spec.lua", timeout = 30 }
    return r.out, r.code, r.err
end

local FEED = [[
t:feed("clicks", at "00:00:01", { user = "ada" })
t:feed("clicks", at "00:00:02", { user = "ada" })
t:feed("clicks", at "00:00:02", { user = "bob" })
]]

describe("ananas test", function()
    before_each(function() folder = process.folder "ananas-test" end)
    after_each(function() process.remove(folder) end)

    it("passes on the shipped rules and on the cookbook", function()
        local r = ananas.run { "test", "rules", timeout = 120 }
        assert.equal("", r.err)
        assert.equal(0, r.code, r.out)
        assert.truthy(r.out:find "\n%d%d passed, 0 failed\n")
    end)

    it("knows rows, watermarks, keys, late rows, idleness and the end of the input", function()
        local out, code = test(FEED .. [[
            t:watermark(at "00:00:04.998")
            t:expect_nothing "counts"
            t:watermark(at "00:00:05")
            t:expect("counts", { { user = "bob", n = 1 }, { user = "ada", n = 2, window_end = at "00:00:05", _time = at "00:00:04.999",
                _key = { user = "ada" }, _topic = "counts", _at = at "00:00:05" } })
            t:feed("clicks", at "00:00:03", { user = "eve" })
            t:feed("clicks", at "00:00:07", { user = "eve" }, { partition = 1, key = { user = "eve" } })
            t:idle("clicks", 1)
            t:expect_late("counts", 1)
            t:expect("topic:counts", { { n = 1 }, { n = 2 } })
            t:flush()
            t:expect("counts", { { n = 1 }, { n = 2 }, { user = "eve", n = function(v) return v == 1 end, _at = "end" } })
            assert.equal(3, #t:emitted "counts")
        ]])
        assert.equal(0, code, out)
    end)

    it("shows a wrong expectation at a glance: place, rule, and both values side by side", function()
        local out, code = test(FEED .. [[
            t:flush()
            t:expect("counts", { { user = "ada", n = 3 }, { user = "kim", n = 1 } })
        ]])
        assert.equal(1, code)
        assert.truthy(out:find("        " .. folder .. "/clicks_spec.lua:8: counts: 2 rows came out otherwise", 1, true), out)
        assert.truthy(out:find("~ 2 (expected 3)  ada", 1, true), out)
        assert.truthy(out:find("bob (expected kim)", 1, true), out)
        assert.truthy(out:find("0 passed, 1 failed", 1, true), out)
    end)

    it("shows rows that are missing and rows that are too many", function()
        local out = test(FEED .. 't:flush() t:expect("counts", { { user = "kim", n = 9 }, { user = "ada", n = 2 } })')
        assert.truthy(out:find("1 row missing, 1 row too many", 1, true), out)
        assert.truthy(out:find("- 9  kim   expected, did not come out", 1, true), out)
        assert.truthy(out:find("+ 1  bob   came out, not expected", 1, true), out)
    end)

    it("shows at which watermark a row did come out", function()
        local out = test(FEED .. 't:watermark(at "00:00:09") t:expect("counts", { { user = "bob" }, { user = "ada", _at = at "00:00:05" } })')
        assert.truthy(out:find("00:00:09 (expected 00:00:05)", 1, true), out)
    end)

    it("compares two rows of equal columns as two rows", function()
        local _, code = test(FEED .. 't:flush() t:expect("counts", { { user = "ada" }, { user = "ada" }, { user = "bob" } })')
        assert.equal(1, code)
    end)

    it("tells of errors inside a rule, of rules that write nowhere, and of names that are none", function()
        local out = test(FEED .. 't:flush() t:expect("broken", { { user = "ada" } })')
        assert.truthy(out:find("clicks.lua:5", 1, true), out)
        out = test(FEED .. 't:feed("clicks", at "00:00:03", { user = "ada" }) t:flush() t:expect("loud", { { n = 3 } })')
        assert.truthy(out:find("writes to no topic", 1, true), out)
        out = test(FEED .. 't:expect_nothing "count"')
        assert.truthy(out:find("there is no rule `count`; did you mean `counts`?", 1, true), out)
        out = test('t:feed("click", at "00:00:03", {})')
        assert.truthy(out:find("there is no source `click`; did you mean `clicks`?", 1, true), out)
        out = test('t:feed("clicks", at "soon", {})')
        assert.truthy(out:find("clicks_spec.lua:4:", 1, true), out)
    end)

    it("fails where what it is told makes no sense: times, rows, rules to reload", function()
        for body, words in pairs {
            ['t:feed("clicks", at "12:61", {})'] = "at \"HH:MM:SS\" or at \"YYYY-MM-DD HH:MM:SS\", not 12:61",
            ['t:feed("clicks", at "2023-02-29", {})'] = "not 2023-02-29",
            ['t:feed("clicks", at "00:00:01", { f = print }) t:flush() t:expect_nothing "counts"'] = "a row that was fed cannot be written: a function has no JSON form",
            ['t:expect("counts", "none")'] = "the rows must be a list of tables, not a string",
            ['t:reload "nowhere.lua" t:flush() t:expect_nothing "counts"'] = "nowhere.lua: cannot be read: No such file or directory; the rules that ran go on",
        } do
            local out, code = test(body)
            assert.equal(1, code, out)
            assert.truthy(out:find(words, 1, true), out)
        end
        local out, code = test 'assert.equal(951782400000, at "2000-02-29")'
        assert.equal(0, code, out)
    end)

    it("tells why rules do not load", function()
        write("bad.lua", 'rule "x" { form = "clicks" }\n')
        local out, code = test('t:flush() t:expect_nothing "x"', 'local t = rules_under_test("bad.lua", { sources = { "clicks" } })')
        assert.equal(1, code)
        assert.truthy(out:find("bad.lua:1: ", 1, true), out)
        assert.truthy(out:find("did you mean `from`", 1, true), out)
    end)

    it("takes sources from a configuration, and the column of event time from them", function()
        write("ananas.lua", 'source "clicks" { topic = "t-clicks", event_time = "when", watermark = "1s", max_ahead = "none" }\nrules "clicks.lua"\n')
        local out, code = test(FEED .. [[
            t:feed("clicks", at "00:00:06", { user = "x" })
            t:expect("counts", { { user = "ada", n = 2, _at = at "00:00:05" }, { user = "bob" } })
        ]], 'local t = rules_under_test("clicks.lua", { config = "ananas.lua" })')
        assert.equal(0, code, out)
    end)

    it("begins each `it` with nothing fed, also after before_each", function()
        write("clicks.lua", RULE)
        write("clicks_spec.lua", [[
            local t = rules_under_test("clicks.lua", { sources = { "clicks" } })
            describe("one", function()
                before_each(function() t:feed("clicks", at "00:00:01", { user = "ada" }) end)
                it("first", function() t:flush() t:expect("counts", { { n = 1 } }) end)
                it("second", function() t:flush() t:expect("counts", { { n = 1 } }) end)
            end)
            it("third", function() t:flush() t:expect_nothing "counts" end)
        ]])
        local r = ananas.run { "test", folder, timeout = 30 }
        assert.equal(0, r.code, r.out)
        assert.truthy(r.out:find("3 passed, 0 failed", 1, true))
    end)

    it("fails when a spec has no syntax or raises, and counts what else there is", function()
        write("clicks.lua", RULE)
        write("a_spec.lua", "describe('x', function( end)")
        write("b_spec.lua", "it('fine', function() end) it('raises', function() local x = nil; x.y = 1 end)")
        local r = ananas.run { "test", folder, timeout = 30 }
        assert.equal(1, r.code)
        assert.truthy(r.out:find("a_spec.lua", 1, true), r.out)
        assert.truthy(r.out:find("b_spec.lua:1: attempt to index", 1, true), r.out)
        assert.truthy(r.out:find("1 passed, 2 failed", 1, true), r.out)
    end)

    it("exits 2 for a path that is not there, and 1 where there is nothing to test", function()
        assert.equal(2, ananas.run({ "test", folder .. "/nowhere", timeout = 10 }).code)
        local r = ananas.run { "test", folder, timeout = 10 }
        assert.equal(1, r.code)
        assert.truthy(r.err:find("no *_spec.lua", 1, true), r.err)
    end)

    it("leaves nothing behind", function()
        local function temporary()
            local r = process.run { "sh", "-c", "ls -d /tmp/tmp.* 2>/dev/null | wc -l" }
            return tonumber(r.out)
        end
        local before = temporary()
        test(FEED .. 't:flush() t:expect_nothing "broken"')
        assert.equal(before, temporary())
    end)
end)
