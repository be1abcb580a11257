local dkjson = require "dkjson"
local orders = require "tests.support.orders"

local function payloads(options)
    local list = {}
    for record in orders.each(options) do list[#list + 1] = record.payload end
    return list
end

local UNWANTED = { ["🍍 pineapple"] = true, ["🍓 strawberry"] = true, ["🍌 banana"] = true }

describe("generated orders", function()
    it("are the same bytes for the same seed and times, and others for another seed", function()
        local a, b = payloads { n = 200, seed = 5 }, payloads { n = 200, seed = 5 }
        assert.same(a, b)
        assert.not_same(a, payloads { n = 200, seed = 6 })
    end)

    it("are ASCII JSON as json.dumps writes it, with fields of the right type", function()
        for record in orders.each { n = 500, seed = 1 } do
            assert.is_nil(record.payload:find "[\128-\255]")
            local order, stop = dkjson.decode(record.payload)
            assert.equal(#record.payload + 1, stop)
            assert.equal("number", type(order.id))
            assert.equal(record.ts, order.timestamp)
            assert.equal('{"shop": "' .. order.shop .. '"}', record.key)
            assert.is_true(#order.pizzas >= 1 and #order.pizzas <= 10)
            for _, pizza in ipairs(order.pizzas) do assert.is_true(#pizza.additionalToppings <= 5) end
            assert.is_truthy(record.payload:find '^{"id": %d+, "shop": "[^"]+", "name": "[^"]+", "phoneNumber": "[^"]+", "address": "')
        end
    end)

    it("are about 825 bytes and 13.8 toppings each, of 13 toppings", function()
        local bytes, n, kinds, distinct = 0, 0, {}, 0
        for record in orders.each { n = 5000, seed = 3, rate = 100 } do
            bytes = bytes + #record.payload
            for _, pizza in ipairs(dkjson.decode(record.payload).pizzas) do
                for _, topping in ipairs(pizza.additionalToppings) do
                    n = n + 1
                    if not kinds[topping] then distinct = distinct + 1 end
                    kinds[topping] = (kinds[topping] or 0) + 1
                end
            end
        end
        assert.is_true(math.abs(bytes / 5000 - 825) < 40, bytes / 5000)
        assert.is_true(math.abs(n / 5000 - 13.75) < 0.5, n / 5000)
        assert.equal(13, distinct)
        for topping in pairs(UNWANTED) do assert.is_truthy(kinds[topping]) end
    end)

    it("come in waves: a topping is at times several times as popular as at others", function()
        local per_second = {}
        for record in orders.each { n = 12000, seed = 3, rate = 200 } do
            local second = math.floor((record.ts - orders.START) / 1000)
            local _, count = record.payload:gsub("pineapple", "")
            per_second[second] = (per_second[second] or 0) + count
        end
        local least, most = math.huge, 0
        for _, count in pairs(per_second) do least, most = math.min(least, count), math.max(most, count) end
        assert.is_true(most > 3 * least, most .. " against " .. least)
    end)

    it("are out of order by no more than the disorder asked for, and late ones by much more", function()
        local newest, worst, late = 0, 0, 0
        for record in orders.each { n = 5000, seed = 9, disorder = 3000, late = 0.01 } do
            if record.kind == "late" then
                late = late + 1
            else
                worst = math.max(worst, newest - record.ts)
                newest = math.max(newest, record.ts)
            end
        end
        assert.is_true(worst > 2000 and worst <= 3000, worst)
        assert.is_true(late > 20 and late < 100, late)
    end)

    it("keep a key in its partition, and number offsets without gaps", function()
        local where, next_offset, used = {}, {}, 0
        for record in orders.each { n = 2000, seed = 2, partitions = 3 } do
            assert.equal(where[record.key] or record.partition, record.partition)
            where[record.key] = record.partition
            assert.equal(next_offset[record.partition] or 0, record.offset)
            if not next_offset[record.partition] then used = used + 1 end
            next_offset[record.partition] = record.offset + 1
        end
        assert.equal(3, used)
    end)

    it("are spoiled in every way when asked to, and the rest stay valid", function()
        local seen = {}
        for record in orders.each { n = 5000, seed = 4, bad = 0.1, odd = 0.1 } do
            if record.kind then seen[record.kind] = record.payload end
            if not record.kind then assert.is_truthy(dkjson.decode(record.payload)) end
        end
        for _, kind in ipairs(orders.bad_kinds) do assert.is_truthy(seen[kind], kind) end
        for _, kind in ipairs(orders.odd_kinds) do
            assert.is_truthy(seen[kind], kind)
            assert.is_truthy(dkjson.decode(seen[kind]), kind)
        end
    end)

    it("are written as lines that replay reads", function()
        local path = os.tmpname()
        finally(function() os.remove(path) end)
        local counts = orders.write(path, { n = 300, seed = 8, partitions = 2, late = 0.02 })
        assert.equal(300, counts.records)
        local n = 0
        for line in io.lines(path) do
            n = n + 1
            local record = dkjson.decode(line)
            assert.same({ "pizzas", "string" }, { record.topic, type(record.payload) })
            assert.equal(record.ts, dkjson.decode(record.payload).timestamp)
        end
        assert.equal(300, n)
    end)
end)
