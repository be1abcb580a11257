-- What the five rules of pizza.lua promise. `ananas test rules` runs this.

describe("pizza rules", function()
    local t = rules_under_test("pizza.lua", {
        sources = { pizzas = { metadata = { orderTimestamp = "timestamp" }, event_time = "orderTimestamp", watermark = "5s" } },
    })

    local PINEAPPLE, STRAWBERRY, BANANA = "🍍 pineapple", "🍓 strawberry", "🍌 banana"
    local id = 0

    -- An order; each further argument is a pizza's list of toppings.
    local function order(time, ...)
        id = id + 1
        local pizzas = {}
        for i, toppings in ipairs { ... } do pizzas[i] = { pizzaName = "Diavola", additionalToppings = #toppings > 0 and toppings or nil } end
        t:feed("pizzas", time, { id = id, shop = "Marios Pizza", name = "Jane Doe", pizzas = pizzas }, { key = { shop = "Marios Pizza" } })
        return id
    end

    describe("bad_toppings", function()
        it("gives one row for each prohibited topping, and none for others", function()
            local first = order(at "12:00:01", { "🧀 blue cheese", PINEAPPLE }, {}, { BANANA, PINEAPPLE })
            order(at "12:00:02", { "🥓 bacon" })
            t:expect("bad_toppings", {
                { id = first, name = "Jane Doe", topping = PINEAPPLE, orderTimestamp = at "12:00:01", _key = { shop = "Marios Pizza" } },
                { id = first, topping = BANANA },
                { id = first, topping = PINEAPPLE },
            })
        end)

        it("does not mind orders that are not as they should be", function()
            t:feed("pizzas", at "12:00:01", { id = 1 })
            t:feed("pizzas", at "12:00:01", { id = 2, pizzas = "none" })
            t:feed("pizzas", at "12:00:01", { id = 3, pizzas = { { additionalToppings = { 5, null, { a = 1 } } } } })
            t:feed("pizzas", at "12:00:01", "this is no JSON")
            t:feed("pizzas", at "12:00:01", nil)
            t:flush()
            t:expect_nothing "bad_toppings"
            t:expect_errors("bad_toppings", 0)
            t:expect_bad(1)
        end)
    end)

    describe("too_many_bad_toppings", function()
        it("speaks at the fourth in one order, at once", function()
            local many = order(at "12:00:01", { PINEAPPLE, STRAWBERRY }, { BANANA, PINEAPPLE })
            order(at "12:00:02", { PINEAPPLE, STRAWBERRY, BANANA })
            t:expect("too_many_bad_toppings", { { id = many, nr_bad_items = 4, _key = { id = many },
                toppings = PINEAPPLE .. "," .. STRAWBERRY .. "," .. BANANA .. "," .. PINEAPPLE } })
        end)

        it("does not add up orders", function()
            for _ = 1, 3 do order(at "12:00:01", { PINEAPPLE, PINEAPPLE, PINEAPPLE }) end
            t:flush()
            t:expect_nothing "too_many_bad_toppings"
        end)
    end)

    describe("topping_rush", function()
        it("speaks when a window with more than ten has closed", function()
            for i = 1, 11 do order(at "12:00:00" + i * 400, { PINEAPPLE }) end
            for i = 1, 10 do order(at "12:00:00" + i * 400, { BANANA }) end
            order(at "12:00:09.998", {})
            t:expect_nothing "topping_rush"
            order(at "12:00:09.999", {})
            t:expect("topping_rush", { { topping = PINEAPPLE, nr_orders = 11, window_start = at "12:00:00", window_end = at "12:00:05",
                _at = at "12:00:04.999" } })
        end)

        it("does not count orders that come after their window", function()
            for i = 1, 10 do order(at "12:00:00" + i * 400, { PINEAPPLE }) end
            t:watermark(at "12:00:05")
            order(at "12:00:04", { PINEAPPLE })
            t:flush()
            t:expect_nothing "topping_rush"
            t:expect_late("topping_rush", 1)
        end)

        it("waits for the slower partition, until that one is idle", function()
            t:partitions("pizzas", 2)
            for i = 1, 11 do order(at "12:00:00" + i * 400, { PINEAPPLE }) end
            order(at "12:01:00", {})
            t:expect_nothing "topping_rush"
            t:idle("pizzas", 1)
            t:expect("topping_rush", { { topping = PINEAPPLE, nr_orders = 11 } })
        end)
    end)

    describe("topping_trend", function()
        -- So many orders with the topping in each second from 12:00:00 on.
        local function seconds(topping, counts)
            for second, n in ipairs(counts) do
                for _ = 1, n do order(at "11:59:59" + second * 1000, { topping }) end
            end
        end

        it("speaks when it went up and then down twice", function()
            seconds(PINEAPPLE, { 1, 2, 4, 3, 1, 1 })
            t:watermark(at "12:00:04.998")
            t:expect_nothing "topping_trend"
            t:watermark(at "12:00:04.999")
            t:expect("topping_trend", { { topping = PINEAPPLE, trend_start = at "12:00:00.999", trend_detail = "1,2,4,3,1",
                _at = at "12:00:04.999" } })
        end)

        it("does not mix toppings, and does not take one step down for two", function()
            seconds(PINEAPPLE, { 1, 2, 3, 2, 2 })
            seconds(BANANA, { 3, 2, 1, 1, 2 })
            t:flush()
            t:expect_nothing "topping_trend"
        end)
    end)
end)
