-- The support of the specs of faults: what it looks for, it finds.

local client = require "tests.support.kafka_client"
local faults = require "tests.support.faults"
local kafka = require "tests.support.kafka"
local process = require "tests.support.process"

describe("the support of specs of faults", function()
    it("sees a transaction that is open, and that it was ended", function()
        local broker, topic = kafka.shared(), kafka.name "open"
        client.create_topics(broker.bootstrap, { topic })
        local p = client.producer(broker.bootstrap, { ["transactional.id"] = topic })
        p:init_transactions()
        p:begin()
        p:send { topic = topic, value = "1" }
        p:flush()
        assert.same({ 0 }, client.open_transactions(broker.bootstrap, topic))
        p:commit()
        assert.truthy(process.eventually(10, function() return #client.open_transactions(broker.bootstrap, topic) == 0 end))
        p:close()
    end)

    it("has a proxy that cuts connections, and loses the reply to a commit that took place", function()
        local broker = faults.broker()
        local proxy, topic = faults.proxy(broker), kafka.name "proxied"
        client.create_topics(broker.bootstrap, { topic })
        client.produce(proxy.bootstrap, { { topic = topic, value = "1" } })
        local p = client.producer(proxy.bootstrap, { ["transactional.id"] = topic })
        p:init_transactions()
        p:begin()
        p:send { topic = topic, value = "2" }
        proxy:ask "swallow 26"
        p:commit()
        assert.is_true(proxy:swallowed(5))
        p:close()
        assert.equal(2, #client.read(broker.bootstrap, { topic = topic }))
        proxy:ask "deny"
        assert.is_false(client.answers(proxy.bootstrap))
        proxy:ask "allow"
        assert.is_true(client.answers(proxy.bootstrap))
        proxy:close()
        broker:stop()
    end)
end)
