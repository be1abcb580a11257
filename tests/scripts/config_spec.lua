local loading = require "tests.support.loading"

local source = 'source "pizzas" {}\n'
local function config(text, host) return loading.config(source .. text, host) end

local function only_fault(text, host)
    local _, faults = config(text, host)
    assert.equal(1, #faults, table.concat(faults, "\n"))
    return faults[1]
end

describe("a configuration", function()
    it("has defaults for everything but the source", function()
        local c, faults = config ""
        assert.same({}, faults)
        assert.same({ "rules", "exactly_once", 100, 1, "ananas" }, { c.rules, c.delivery, c.commit_interval, c.parallelism, c.group_id })
        assert.same({ partitions = 3, replication = 1 }, c.topics)
        assert.same({ time = 100, memory = 64 * 1024 ^ 2 }, c.budget)
        local s = c.sources[1]
        assert.same({ { "pizzas" }, 5000, 30000, 3600000, "earliest", "dead_letter", "advance" },
            { s.topic, s.watermark, s.idle_after, s.max_ahead, s.start, s.on_bad_record, s.on_all_idle })
        assert.is_nil(s.event_time)
    end)

    it("takes what is written", function()
        local c, faults = config [[
            kafka { ["group.id"] = "g", ["linger.ms"] = 5, ["socket.keepalive.enable"] = true }
            source "b" { topic = { "b1", "b2" }, watermark = "none", max_ahead = "none", event_unit = "s",
                metadata = { t = "timestamp", p = "partition" }, event_time = "t", on_all_idle = "hold" }
            delivery "at_least_once"
            commit_interval "1s"
            parallelism (4)
            http "unix:/run/ananas.sock"
            topics { partitions = 12 }
            max_state "2GB"
            budget { time = "20ms", memory = "32MB" }
        ]]
        assert.same({}, faults)
        assert.same({ { "group.id", "g" }, { "linger.ms", "5" }, { "socket.keepalive.enable", "true" } },
            { { c.kafka[1].name, c.kafka[1].value }, { c.kafka[2].name, c.kafka[2].value }, { c.kafka[3].name, c.kafka[3].value } })
        assert.same({ "b", "pizzas" }, { c.sources[1].name, c.sources[2].name })
        local b = c.sources[1]
        assert.same({ "none", "none", "s", "hold" }, { b.watermark, b.max_ahead, b.event_unit, b.on_all_idle })
        assert.same({ { name = "p", kind = "partition" }, { name = "t", kind = "timestamp" } }, b.metadata)
        assert.same({ "g", "at_least_once", 1000, 4, "unix:/run/ananas.sock" },
            { c.group_id, c.delivery, c.commit_interval, c.parallelism, c.http })
        assert.same({ partitions = 12, replication = 1 }, c.topics)
        assert.equal(2 * 1024 ^ 3, c.max_state)
        assert.same({ time = 20, memory = 32 * 1024 ^ 2 }, c.budget)
    end)

    it("finds the rules beside itself", function()
        local loader = require "loader"
        assert.equal("deploy/rules", loader.load_config("deploy/ananas.lua", source, {}).rules)
        assert.equal("rules", loader.load_config("./ananas.lua", source, {}).rules)
        assert.equal("/etc/rules", loader.load_config("deploy/ananas.lua", source .. 'rules "/etc/rules"', {}).rules)
    end)

    for _, case in ipairs {
        { "an unknown setting", 'delivry "exactly_once"', "2: unknown name `delivry`; did you mean `delivery`?" },
        { "an unknown key of a source", 'source "b" {\n watermrk = "5s" }', "3: unknown key `watermrk`; did you mean `watermark`?" },
        { "a misspelt choice", 'delivery "exactly_onse"', '2: `delivery`: unknown value "exactly_onse"; did you mean "exactly_once"?' },
        { "a number out of range", "parallelism (0)", "2: `parallelism`: 0 is out of range, from 1 to 1024" },
        { "a size that is none", 'max_state "much"', "2: `max_state`: expected a size such as \"64MB\"" },
        { "a duration out of range", 'commit_interval "2h"', "2: `commit_interval`: 2h is out of range, from 1ms to 1h" },
        { "a listener without a port", 'http "localhost"', '2: `http`: expected "host:port" or "unix:/path"' },
        { "a setting given twice", 'delivery "exactly_once"\ndelivery "at_least_once"', "3: `delivery` is given twice; the first is at line 2" },
        { "a source defined twice", 'source "pizzas" { topic = "x" }', "2: the source `pizzas` is defined twice; the first is at line 1" },
        { "a topic that two sources read", 'source "b" { topic = "pizzas" }', "2: the topic `pizzas` is read by the source `pizzas` already" },
        { "a metadata column of an unknown kind", 'source "b" { metadata = {\n t = "timestmp" } }', '3: `metadata.t`: unknown value "timestmp"; did you mean "timestamp"?' },
        { "a property that the engine decides", 'kafka {\n ["enable.auto.commit"] = true }', "3: kafka: `enable.auto.commit` is decided by the engine" },
        { "a property that is a table", 'kafka { x = {} }', "2: kafka: `x`: expected a string" },
        { "a syntax error", "delivery (", "2: " },
        { "an error while it runs", 'delivery (("x").y.z)', "2: attempt to index" },
        { "an environment variable that is not there", 'kafka { a = env "MISSING" }', "2: the environment variable `MISSING` is not set and has no default" },
        { "a secret file that is not there", 'kafka { a = secret_file "none" }', "2: secret_file: none: no such file" },
        { "files and processes", 'io.open("/etc/passwd")', "2: unknown name `io`" },
    } do
        it("refuses " .. case[1], function()
            local line = only_fault(case[2])
            assert.is_truthy(line:find("ananas.lua:" .. case[3], 1, true), line)
        end)
    end

    it("must have a source", function()
        local _, faults = loading.config ""
        assert.is_truthy(faults[1]:find("no source is defined", 1, true))
    end)
end)

describe("secrets", function()
    local host = {
        getenv = function(name) return ({ DB_PASSWORD = "hunter2", PLAIN = "seen" })[name] end,
        read = function(path) return path == "keys/token" and "abc123\n" or nil, "no such file" end,
    }
    it("are what files hold, and what variables with such names hold", function()
        local c, faults = config([[kafka { a = env "DB_PASSWORD", b = env "PLAIN", c = secret_file "keys/token", d = env("NONE", "x"),
            ["sasl.password"] = "written" }]], host)
        assert.same({}, faults)
        assert.same({ "abc123", "hunter2", "written" }, c.secrets)
        local marked = {}
        for _, property in ipairs(c.kafka) do marked[property.name] = property.secret end
        assert.same({ a = true, b = false, c = true, d = false, ["sasl.password"] = true }, marked)
    end)
    it("lose the end of their line", function()
        local c = config('kafka { c = secret_file "keys/token" }', host)
        assert.equal("abc123", c.kafka[1].value)
    end)
end)

describe("the rows of settings", function()
    it("each say what they are for", function()
        local config_rows = require "config"
        for _, rows in ipairs { config_rows.settings, config_rows.source, config_rows.topics, config_rows.budget, require("rule").keys,
            require("rule").match, require("rule").process } do
            for _, row in ipairs(rows) do
                assert.is_string(row.name)
                assert.is_string(row.doc, row.name)
                assert.is_function(require("check").types[row.type], row.name)
            end
        end
    end)
end)
