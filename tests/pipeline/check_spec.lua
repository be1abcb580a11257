-- `ananas check`: every fault at once, the plan in words and as JSON, and what a reload would do.

local cjson = require "cjson"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local folder

before_each(function()
    folder = replay.folder()
    os.execute(("mkdir '%s/rules' '%s/old'"):format(folder, folder))
    replay.write(folder .. "/ananas.lua", 'source "pizzas" { metadata = { orderTimestamp = "timestamp" } }\n')
end)
after_each(function() replay.remove(folder) end)

local function check(...)
    local command = { replay.binary, "check", ... }
    command.cwd, command.timeout = folder, 30
    return process.run(command)
end

local function rules(name, text) replay.write(folder .. "/" .. name, text) end

describe("ananas check", function()
    it("reports five different mistakes in one go, each with its place and a suggestion", function()
        rules("rules/a.lua", 'rule "a" {\n  from = "pizzas",\n  selct = { "id" },\n}\nrule "b" {\n  from = "pizas",\n}\n')
        rules("rules/b.lua", 'local bad = set { "x" }\nrule "c" { from = "pizzas",\n  where = function(r) return bda[r.topping] end,\n  window = tumble "5sec", aggregate = { n = count() } }\n')
        rules("rules/c.lua", 'rule "d" { from = "pizzas", match = { pattern = "UP DOWN",\n  define = { UPP = function() return true end } } }\n')
        local ran = check()
        assert.equal(1, ran.code)
        assert.equal("", ran.out)
        local lines = {}
        for line in ran.err:gmatch "[^\n]+" do lines[#lines + 1] = line end
        assert.same({
            "rules/a.lua:3: unknown key `selct`; did you mean `select`?",
            "rules/a.lua:6: `from`: there is no source or rule `pizas`; did you mean `pizzas`?",
            "rules/b.lua:3: unknown name `bda`; did you mean `bad`?",
            "rules/b.lua:4: `window.size`: unknown unit `sec` in \"5sec\"; did you mean `5s`?",
            "rules/c.lua:2: `match.define`: `UPP` is no variable of the pattern; did you mean `UP`?",
        }, lines)
    end)

    it("reports faults of the configuration", function()
        rules("rules/a.lua", 'rule "a" { from = "pizzas" }')
        replay.write(folder .. "/ananas.lua", 'source "pizzas" {\n  watermrk = "5s" }\ndelivry "at_least_once"\n')
        local ran = check()
        assert.equal(1, ran.code)
        assert.equal("ananas.lua:2: unknown key `watermrk`; did you mean `watermark`?\nananas.lua:3: unknown name `delivry`; did you mean `delivery`?\n", ran.err)
    end)

    it("never shows a secret, not even one that is at fault", function()
        replay.write(folder .. "/token", "hunter2\n")
        replay.write(folder .. "/ananas.lua", 'local s = secret_file "token"\nsource "pizzas" { topic = "a b " .. s }\n')
        local ran = check()
        assert.equal(1, ran.code)
        assert.is_nil((ran.err .. ran.out):find("hunter2", 1, true))
    end)

    -- A fault quotes what stands there, cuts it short and puts it into one line.
    it("shows no part of a secret that is long, has lines, or has to be quoted", function()
        for _, secret in ipairs { ("SECRET"):rep(50), "-----BEGIN-----\nSECRET\nSECRET\n", 'qu"ote\\SECRET', "\tSECRET\1" } do
            replay.write(folder .. "/token", secret)
            replay.write(folder .. "/ananas.lua", [[
local s = secret_file "token"
source "pizzas" { topic = "a b " .. s, watermark = s, on_bad_record = s }
http (s)
]])
            local ran = check()
            assert.equal(1, ran.code)
            assert.equal(4, select(2, ran.err:gsub("%*%*%*", "")), ran.err)
            assert.is_nil((ran.err .. ran.out):find("SECRET", 1, true), ran.err)
        end
    end)

    it("says what stops a configuration, once, at its line, and shows no secret", function()
        replay.write(folder .. "/token", "hunter2\n")
        for _, case in ipairs { { "error(secret_file 'token')", "***" }, { "local x = nil + 1", "attempt to perform arithmetic on a nil value" },
            { "error({})", "it raised an error that is a table and no text" } } do
            replay.write(folder .. "/ananas.lua", case[1] .. '\nsource "pizzas" {}\n')
            local ran = check()
            assert.equal(1, ran.code)
            assert.equal("ananas.lua:1: " .. case[2] .. "\n", ran.err)
        end
    end)

    it("reports properties that librdkafka does not know or take, with those of the rules", function()
        rules("rules/a.lua", 'rule "a" { from = "pizza", to = "out" }')
        replay.write(folder .. "/token", "hunter2")
        replay.write(folder .. "/ananas.lua", [[
kafka {
    ["bootstrap.server"] = "x",
    ["session.timeout.ms"] = "abc",
    ["nothing.like.it"] = true,
    ["security.protocol"] = secret_file "token",
    ["client.rack"] = "a",
}
source "pizzas" {}
]])
        local ran = check()
        assert.equal(1, ran.code)
        assert.equal([[
ananas.lua:2: kafka: librdkafka has no property `bootstrap.server`; did you mean `bootstrap.servers`?
ananas.lua:4: kafka: librdkafka has no property `nothing.like.it`
ananas.lua:5: kafka: `security.protocol` = "***": Invalid value "***" for configuration property "security.protocol"
ananas.lua:3: kafka: `session.timeout.ms` = "abc": Invalid value for configuration property "session.timeout.ms"
rules/a.lua:1: `from`: there is no source or rule `pizza`; did you mean `pizzas`?
]], ran.err)
    end)

    it("reports settings that are given twice, and topics that are the group's own", function()
        rules("rules/a.lua", [[
rule "a" { from = "pizzas", to = "mine-changelog" }
rule "b" { from = "pizzas", select = { "to", a = "to", b = "to" }, to = "mine-repartition" }
]])
        replay.write(folder .. "/ananas.lua", [[
kafka { ["group.id"] = "mine",
  ["group.id"] = "mine" }
source "pizzas" { watermark = "1s", watermark = "2s" }
]])
        local ran = check()
        assert.equal(1, ran.code)
        assert.equal([[
ananas.lua:2: `group.id` is given twice; the first is at line 1
ananas.lua:3: `watermark` is given twice; the first is at line 3
rules/a.lua:1: `to`: the topic `mine-changelog` holds the state of the group; nothing else may be written to it
rules/a.lua:2: `to`: the topic `mine-repartition` holds the state of the group; nothing else may be written to it
]], ran.err)
    end)

    it("warns of keys of a rule that are given twice: Lua keeps the last and says nothing", function()
        rules("rules/a.lua", [[
rule "a" {
  from  = "pizzas",
  where = function(r) local t = { a = 1, a = 2 } return t.a == r.a end,
  match = { pattern = "A", define = {
      A = function(row) return row.x end,
      A = function(row) return row.y end } },
  where = function(r) return r.b end,
}
]])
        local ran = check()
        assert.equal(0, ran.code, ran.err)
        assert.same({ "rules/a.lua:6: `match.define.A` is given twice; the first is at line 5; the last one counts",
            "rules/a.lua:7: `where` is given twice; the first is at line 3; the last one counts" },
            (function()
                local list = {}
                for text in ran.err:gmatch "rules/a.lua:[^\n]*given twice[^\n]*" do list[#list + 1] = text end
                return list
            end)())
    end)

    it("prints the plan of rules that are well", function()
        rules("rules/a.lua", 'rule "a" { from = "pizzas", window = tumble "90s", group_by = { "shop" }, aggregate = { n = count() }, to = "out" }')
        local ran = check()
        assert.equal(0, ran.code, ran.err)
        for _, words in ipairs { "rule a  (rules/a.lua:1)", "tumble 90s", "per shop and open window", "out (key shop)", "1 source, 1 rule" } do
            assert.is_truthy(ran.out:find(words, 1, true), ran.out)
        end
    end)

    it("prints it as JSON", function()
        rules("rules/a.lua", 'rule "a" { from = "pizzas", where = function(r) return r.price > 3 end, to = "out" }\nrule "b" { from = "a", select = { "id" }, key = {} }')
        local plan = cjson.decode(check("--json").out)
        assert.same({ "a", "b" }, { plan.rules[1].name, plan.rules[2].name })
        assert.same({ "id", "orderTimestamp", "price" }, plan.rules[1].reads)
        assert.same({ "a" }, plan.rules[2].from)
        assert.same({ "id" }, plan.rules[2].columns)
        assert.equal("pizzas", plan.sources[1].name)
        assert.equal(32, #plan.version)
    end)

    it("prints faults as JSON", function()
        rules("rules/a.lua", '\nrule "a" { from = "pizas" }')
        local ran = check("--json")
        assert.equal(1, ran.code)
        local faults = cjson.decode(ran.out).faults
        assert.same({ "rules/a.lua", 2 }, { faults[1].file, faults[1].line })
    end)

    it("says what a reload would do", function()
        local function text(limit, size)
            return ('rule "a" { from = "pizzas", where = function(r) return r.price > %d end }\n'):format(limit)
                .. ('rule "b" { from = "a", window = tumble "%ds", aggregate = { n = count() } }\nrule "c" { from = "pizzas" }\n'):format(size)
        end
        rules("old/a.lua", text(3, 5) .. 'rule "gone" { from = "pizzas" }')
        rules("rules/a.lua", text(4, 6) .. 'rule "new" { from = "pizzas" }')
        local ran = check("--against", "old")
        assert.equal(0, ran.code, ran.err)
        local found = {}
        for verdict, name in ran.out:match("reload\n(.*)$"):gmatch "  (%l+) +(%l+)" do found[name] = verdict end
        assert.same({ a = "kept", b = "handover", c = "unchanged", gone = "removed", new = "added" }, found)
        local json = cjson.decode(check("--json", "--against", "old").out)
        assert.same({ rule = "b", verdict = "handover", reason = "window" }, json.verdicts[2])
    end)

    it("finds rules beside a configuration elsewhere", function()
        rules("rules/a.lua", 'rule "a" { from = "pizzas" }')
        local ran = process.run { replay.binary, "check", "-c", folder .. "/ananas.lua", cwd = "/", timeout = 30 }
        assert.equal(0, ran.code, ran.err)
    end)

    it("warns where two rules write to one topic, and goes on", function()
        rules("rules/a.lua", 'rule "a" { from = "pizzas", to = "out" }\nrule "b" { from = "pizzas", to = "out" }')
        local ran = check()
        assert.equal(0, ran.code)
        assert.is_truthy(ran.err:find("rules/a.lua:2: the rules `a` and `b` both write to `out`", 1, true), ran.err)
    end)

    it("checks the shipped rules", function()
        local ran = check("--rules", replay.root .. "/rules/pizza.lua")
        assert.equal(0, ran.code, ran.err)
        assert.is_truthy(ran.out:find("5 rules", 1, true))
    end)
end)
