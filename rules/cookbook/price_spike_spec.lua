describe("price_spike", function()
    local t = rules_under_test("price_spike.lua", { sources = { "ticks" } })

    local function course(symbol, n, from, price)
        for i = 0, n - 1 do
            t:feed("ticks", from + i * 1000, { symbol = symbol, price = price + 0.1 * math.sin(i * 1.7), venue = "X" })
        end
    end

    it("gives the tick as it came, with its score and what was expected", function()
        course("ANAN", 60, at "10:00:00", 17.3)
        t:feed("ticks", at "10:01:00", { symbol = "ANAN", price = 29, venue = "X" })
        t:flush()
        t:expect("price_spike", { { symbol = "ANAN", price = 29, venue = "X", _time = at "10:01:00",
            score = function(v) return v > 20 end, expected = function(v) return math.abs(v - 17.3) < 0.2 end } })
    end)

    it("needs to know a symbol for thirty ticks, and looks at each by itself", function()
        course("NEW", 20, at "10:00:00", 5)
        t:feed("ticks", at "10:00:30", { symbol = "NEW", price = 50 })
        course("A", 40, at "10:00:00", 100)
        course("B", 40, at "10:00:00", 3)
        t:flush()
        t:expect_nothing "price_spike"
    end)

    it("says it once a minute", function()
        course("ANAN", 60, at "10:00:00", 17.3)
        for i = 0, 2 do t:feed("ticks", at "10:01:00" + i * 1000, { symbol = "ANAN", price = 29 + 100 * i }) end
        t:flush()
        t:expect("price_spike", { { price = 29 } })
    end)
end)
