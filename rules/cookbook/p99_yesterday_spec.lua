describe("p99_yesterday", function()
    local t = rules_under_test("p99_yesterday.lua", { sources = { "requests" } })

    -- 100 requests of which the slowest take that long.
    local function hour(start, slow, requests)
        for i = 1, requests or 100 do
            t:feed("requests", at(start) + i * 1000, { endpoint = "/search", ms = i > 97 and slow or 20 })
        end
    end

    it("compares an hour with the same one of the day before", function()
        hour("2020-01-01 13:00:00", 140)
        hour("2020-01-01 14:00:00", 1000)
        hour("2020-01-02 13:00:00", 310)
        hour("2020-01-02 14:00:00", 1000)
        t:watermark(at "2020-01-02 14:00:00")
        t:expect("p99_yesterday", { { endpoint = "/search", hour = at "2020-01-02 13:00:00",
            p99 = function(v) return math.abs(v - 310) < 5 end, yesterday = function(v) return math.abs(v - 140) < 3 end,
            _at = at "2020-01-02 14:00:00" } })
    end)

    it("says nothing where yesterday is missing, or had few requests", function()
        hour("2020-01-01 13:00:00", 100)
        hour("2020-01-03 13:00:00", 900)
        hour("2020-01-01 15:00:00", 100, 10)
        hour("2020-01-02 15:00:00", 900)
        t:flush()
        t:expect_nothing "p99_yesterday"
    end)
end)
