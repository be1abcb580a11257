-- A bad record is on the dead letter topic as it was: key, value and its own headers, byte for byte and in order, then what was
-- wrong with it and where it stood. What a broker would not take is cut, and says so.

local client = require "tests.support.kafka_client"
local kafka = require "tests.support.kafka"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local LIMIT = 20000

local function dead_letters(records)
    local broker, folder = kafka.shared(), replay.folder()
    local topic = kafka.name "letters"
    client.create_topics(broker.bootstrap, { { name = topic, partitions = 1 } })
    for _, r in ipairs(records) do r.topic, r.partition = topic, 0 end
    client.produce(broker.bootstrap, records)
    assert(os.execute("mkdir -p " .. replay.quote(folder .. "/rules")) == 0)
    replay.write(folder .. "/rules/all.lua", ('rule "all" { from = "s", to = "%s-out" }'):format(topic))
    replay.write(folder .. "/ananas.lua", ([[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s", ["message.max.bytes"] = "%d" }
source "s" { topic = "%s", metadata = { at = "timestamp" }, event_time = "at" }
rules "rules"
topics { partitions = 1, replication = 1 }
]]):format(broker.bootstrap, topic, LIMIT, topic))
    local engine = process.spawn { replay.binary, "run", "-c", folder .. "/ananas.lua", cwd = folder }
    local letters
    assert(process.eventually(30, function()
        local ok, found = pcall(client.read, broker.bootstrap, { topic = topic .. ".dead-letters", isolation = "read_committed", timeout = 10 })
        letters = ok and found or {}
        return #letters >= #records
    end, 0.3), engine.err)
    engine:signal "TERM"
    local status = engine:wait(20)
    assert(status and status.code == 0, engine.err)
    local shown = replay.shell(folder, ("%s replay -c ananas.lua --from-topic"):format(replay.quote(replay.binary)))
    assert.equal(0, shown.status, shown.stderr)
    replay.remove(folder)
    return letters, topic, shown.text
end

describe("dead letters", function()
    it("keep the headers of the record, and say behind them what was wrong and where", function()
        local own = { { "trace", "a" }, { "trace", "b" }, { "binary", "\0\1\255" }, { "nothing", nil }, { "empty", "" } }
        local letters, topic, replayed = dead_letters { { key = "k", value = "no JSON", headers = own }, { value = "neither" } }
        local expected = { { "trace", "a" }, { "trace", "b" }, { "binary", "\0\1\255" }, { "nothing" }, { "empty", "" } }
        local function with(list, offset)
            list[#list + 1] = { "ananas-reason", letters[1].headers[#letters[1].headers - 3][2] }
            list[#list + 1] = { "ananas-topic", topic }
            list[#list + 1] = { "ananas-partition", "0" }
            list[#list + 1] = { "ananas-offset", tostring(offset) }
            return list
        end
        assert.same(with(expected, 0), letters[1].headers)
        assert.same(with({}, 1), letters[2].headers)
        assert.equal("k", letters[1].key)
        assert.equal("no JSON", letters[1].value)
        assert.truthy(letters[1].headers[6][2]:find "JSON", letters[1].headers[6][2])
        -- The history of the topic gives the same, as far as JSON can say it.
        assert.truthy(replayed:find('"headers":["trace","a","trace","b",', 1, true), replayed)
        assert.truthy(replayed:find('"nothing",null,"empty","","ananas-reason"', 1, true), replayed)
    end)

    it("are cut to what a broker takes, headers counted, and marked", function()
        local long = { { "trace", ("h"):rep(3000) } }
        local letters = dead_letters {
            { key = "small", value = ("x"):rep(100), headers = long },
            { key = "value", value = ("x"):rep(LIMIT), headers = long },
            { key = "headers", value = ("x"):rep(100), headers = { { "trace", ("h"):rep(LIMIT) } } },
            { key = ("k"):rep(LIMIT), value = ("x"):rep(100) },
        }
        local by = {}
        for i, letter in ipairs(letters) do
            by[i] = {}
            for _, h in ipairs(letter.headers) do by[i][h[1]] = h[2] end
            local size = #letter.key + #letter.value
            for _, h in ipairs(letter.headers) do size = size + #h[1] + #h[2] end
            assert(size < LIMIT, ("letter %d has %d bytes"):format(i, size))
            assert.truthy(by[i]["ananas-reason"])
        end
        assert.same({ nil, "true", "true", "true" }, { by[1]["ananas-cut"], by[2]["ananas-cut"], by[3]["ananas-cut"], by[4]["ananas-cut"] })
        assert.equal(3000, #by[1].trace)
        assert.equal(3000, #by[2].trace)
        assert(#letters[2].value > LIMIT / 2)
        assert.is_nil(by[3].trace)
        assert.equal(100, #letters[3].value)
        assert.equal(100, #letters[4].value)
    end)

    it("of a replay keep them, too", function()
        local ran = replay.ok { config = 'source "s" { topic = "s", event_time = "ts" }\nrules "rules"', rules = 'rule "all" { from = "s", to = "out" }',
            input = { { topic = "s", payload = "x", headers = { "a", "1", 'quo"ted', "two\nlines", "none", replay.null } } } }
        local headers = ran:topic("s.dead-letters")[1].headers
        assert.same({ "a", "1", 'quo"ted', "two\nlines", "none", replay.null, "ananas-reason" }, { unpack(headers, 1, 7) })
    end)
end)
