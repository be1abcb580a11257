describe("troubled_sessions", function()
    local t = rules_under_test("troubled_sessions.lua", { sources = { "clicks" } })

    -- One click every `minutes`, the first `bad` of them in vain.
    local function clicks(user, start, n, minutes, bad)
        for i = 0, n - 1 do
            t:feed("clicks", at(start) + i * minutes * 60000, { user = user, page = i == n - 1 and "/pay" or "/cart", status = i < bad and 500 or 200 })
        end
    end

    it("finds a session of half an hour with a dozen errors, when it has ended", function()
        clicks("ada", "10:00:00", 16, 2, 12)
        t:watermark(at "10:44:59")
        t:expect_nothing "troubled_sessions"
        t:watermark(at "10:45:00")
        t:expect("troubled_sessions", { { user = "ada", clicks = 16, errors = 12, minutes = 30, last_page = "/pay",
            _key = { user = "ada" }, _at = at "10:45:00" } })
    end)

    it("leaves alone short sessions, calm ones, and two that only together would count", function()
        clicks("bob", "10:00:00", 12, 1, 12)
        clicks("kim", "10:00:00", 16, 2, 9)
        clicks("eve", "10:00:00", 8, 2, 6)
        clicks("eve", "10:30:00", 8, 2, 6)
        t:flush()
        t:expect_nothing "troubled_sessions"
    end)
end)
