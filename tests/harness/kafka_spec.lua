local client = require "tests.support.kafka_client"
local kafka = require "tests.support.kafka"
local process = require "tests.support.process"

describe("the real broker of the specs", function()
    local broker = kafka.shared()
    local at = broker.bootstrap

    local function topic(partitions, config)
        local name = kafka.name "support"
        client.create_topics(at, { { name = name, partitions = partitions, config = config } })
        return name
    end

    it("keeps key, value, headers, timestamp and partition of a record", function()
        local name = topic(3)
        client.produce(at, {
            { topic = name, partition = 2, key = '{"shop": "Marios Pizza"}', value = '{"id": 9007199254740993}',
                timestamp = 1659426822541, headers = { { "ananas-rule", "x" }, { "empty", "" }, { "ananas-rule", "y" } } },
            { topic = name, partition = 0, key = "", value = nil, timestamp = 5 },
            { topic = name, partition = 0, value = "" , timestamp = 6 },
        })
        local records = client.read(at, { topic = name })
        assert.same({
            { topic = name, partition = 0, offset = 0, timestamp = 5, key = "", headers = {} },
            { topic = name, partition = 0, offset = 1, timestamp = 6, value = "", headers = {} },
            { topic = name, partition = 2, offset = 0, timestamp = 1659426822541, key = '{"shop": "Marios Pizza"}',
                value = '{"id": 9007199254740993}', headers = { { "ananas-rule", "x" }, { "empty", "" }, { "ananas-rule", "y" } } },
        }, records)
    end)

    it("shows a committed transaction whole and an aborted one not at all to readers of committed records", function()
        local name = topic(1)
        local p = client.producer(at, { ["transactional.id"] = name })
        p:init_transactions()
        p:begin()
        p:send { topic = name, value = "kept 1" }
        p:send { topic = name, value = "kept 2" }
        p:commit()
        p:begin()
        p:send { topic = name, value = "aborted" }
        p:flush()
        p:abort()
        p:begin()
        p:send { topic = name, value = "open" }
        p:flush()
        local function values(isolation)
            local list = {}
            for i, record in ipairs(client.read(at, { topic = name, isolation = isolation })) do list[i] = record.value end
            return list
        end
        assert.same({ "kept 1", "kept 2" }, values "read_committed")
        assert.same({ "kept 1", "kept 2", "aborted", "open" }, values "read_uncommitted")
        p:abort()
        p:close()
    end)

    it("commits a group's offsets in a transaction, and fences an older producer of the same id", function()
        local name, group = topic(2), kafka.name "group"
        local old = client.producer(at, { ["transactional.id"] = name })
        old:init_transactions()
        old:begin()
        old:send { topic = name, partition = 0, value = "a" }
        old:send_offsets(group, { [name] = { [0] = 1 } })
        assert.same({}, client.committed(at, group, name))
        old:commit()
        assert.same({ [0] = 1 }, client.committed(at, group, name))
        local new = client.producer(at, { ["transactional.id"] = name })
        new:init_transactions()
        old:begin()
        assert.has_error(function()
            old:send { topic = name, partition = 0, value = "zombie" }
            old:commit()
        end)
        new:close()
        assert.equal(1, #client.read(at, { topic = name }))
    end)

    it("says which topics there are, lets one grow, and deletes it", function()
        local name = topic(1, { ["cleanup.policy"] = "compact" })
        client.grow_topic(at, name, 4)
        assert.is_truthy(process.eventually(5, function() return client.topics(at)[name] == 4 end))
        client.delete_topics(at, { name })
        assert.is_truthy(process.eventually(5, function() return client.topics(at)[name] == nil end))
        assert.has_error(function() client.partitions(at, "no-such-topic", nil, 0.2) end, "no such topic: no-such-topic")
    end)

    it("raises what the broker refused", function()
        local name = topic(1, { ["max.message.bytes"] = 1000 })
        local p = client.producer(at)
        p:send { topic = name, value = ("x"):rep(5000) }
        assert.error_matches(function() p:flush() end, "[Mm]essage.*large")
        p:close()
    end)

    it("is read by kcat", function()
        local name = topic(1)
        local put = process.run { "kcat", "-P", "-b", at, "-t", name, "-K", ":", stdin = { text = "k:v\n" }, timeout = 20 }
        assert.equal(0, put.code)
        local got = process.run { "kcat", "-C", "-b", at, "-t", name, "-o", "beginning", "-e", "-q", "-f", "%k=%s\n", timeout = 20 }
        assert.equal("k=v\n", got.out)
    end)
end)

describe("a broker of one's own", function()
    it("keeps its records over an orderly restart and over kill -9, and leaves nothing when it stops", function()
        local broker = kafka.start { settings = { ["num.partitions"] = 2 } }
        finally(function() broker:stop() end)
        client.create_topics(broker.bootstrap, { "t" })
        client.produce(broker.bootstrap, { { topic = "t", value = "1" } })
        broker:restart()
        client.produce(broker.bootstrap, { { topic = "t", value = "2" } })
        broker:kill()
        broker:restart()
        assert.equal(2, #client.read(broker.bootstrap, { topic = "t" }))
        broker:pause()
        broker:resume()
        broker:stop()
        assert.equal(1, process.run({ "test", "-e", broker.folder }).code)
    end)
end)
