describe("login_burst", function()
    local t = rules_under_test("login_burst.lua", { sources = { "logins" } })

    local function logins(user, seconds, outcomes)
        for i = 1, #outcomes do
            t:feed("logins", at "10:00:00" + (i - 1) * seconds * 1000,
                { user = user, outcome = outcomes:sub(i, i) == "x" and "failure" or "success", ip = "203.0.113.9" })
        end
    end

    it("finds five failures and a success", function()
        logins("ada", 10, "xxxxxo")
        t:watermark(at "10:00:40")
        t:expect_nothing "login_burst"
        t:watermark(at "10:00:50")
        t:expect("login_burst", { { user = "ada", failures = 5, from = at "10:00:00", broken_in = at "10:00:50",
            ip = "203.0.113.9", _at = at "10:00:50" } })
    end)

    it("takes all failures of a longer burst", function()
        logins("ada", 10, "oxxxxxxxxo")
        t:flush()
        t:expect("login_burst", { { user = "ada", failures = 8, from = at "10:00:10" } })
    end)

    it("leaves alone who mistypes, who never gets in, and who takes their time", function()
        logins("bob", 10, "xxoxxxo")
        logins("eve", 10, "xxxxxxxxxx")
        logins("kim", 150, "xxxxxo")
        t:flush()
        t:expect_nothing "login_burst"
    end)

    it("does not mix users, and does not mind the order in which rows come", function()
        for i = 5, 0, -1 do
            t:feed("logins", at "10:00:00" + i * 1000, { user = "ada", outcome = i == 5 and "success" or "failure" })
            t:feed("logins", at "10:00:00" + i * 1000, { user = "bob", outcome = i % 2 == 0 and "success" or "failure" })
        end
        t:flush()
        t:expect("login_burst", { { user = "ada", failures = 5 } })
    end)
end)
