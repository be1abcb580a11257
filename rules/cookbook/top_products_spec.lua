describe("top_products", function()
    local t = rules_under_test("top_products.lua", { sources = { "sales" } })

    local function sell(time, product, amount) t:feed("sales", time, { product = product, amount = amount, price = 2 }) end

    it("gives the best three of each hour", function()
        for _, sale in ipairs { { "apple", 5 }, { "pear", 7 }, { "plum", 1 }, { "fig", 6 }, { "apple", 3 } } do
            sell(at "10:10:00", sale[1], sale[2])
        end
        sell(at "11:00:00", "plum", 1)
        t:watermark(at "11:00:00")
        t:expect("top_products", {
            { product = "apple", pieces = 8, turnover = 16, window_start = at "10:00:00", _at = at "11:00:00" },
            { product = "pear", pieces = 7 },
            { product = "fig", pieces = 6 },
        })
        t:flush()
        t:expect("top_products", { { product = "apple" }, { product = "pear" }, { product = "fig" }, { product = "plum", window_start = at "11:00:00" } })
    end)

    it("breaks ties the same way every time", function()
        for _, product in ipairs { "d", "b", "c", "a" } do sell(at "10:10:00", product, 1) end
        t:flush()
        t:expect("top_products", { { product = "a" }, { product = "b" }, { product = "c" } })
    end)
end)
