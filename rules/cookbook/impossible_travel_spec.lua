describe("impossible_travel", function()
    local t = rules_under_test("impossible_travel.lua", { sources = { "logins" } })

    local ULM, MUNICH, TOKYO = { 48.4, 9.99 }, { 48.14, 11.58 }, { 35.68, 139.69 }
    local function login(time, user, place) t:feed("logins", time, { user = user, lat = place[1], lon = place[2] }) end

    it("finds Ulm and Tokyo within half an hour", function()
        login(at "10:00:00", "ada", ULM)
        login(at "10:30:00", "ada", TOKYO)
        t:flush()
        t:expect("impossible_travel", { { user = "ada", km = function(v) return v > 9200 and v < 9500 end,
            km_h = function(v) return v > 18000 and v < 19000 end, lat = 35.68, lon = 139.69 } })
    end)

    it("lets people take a train, a plane, and be two people", function()
        login(at "10:00:00", "ada", ULM)
        login(at "11:20:00", "ada", MUNICH)
        login(at "23:20:00", "ada", TOKYO)
        login(at "23:20:00", "bob", ULM)
        t:feed("logins", at "23:30:00", { user = "ada" })
        t:flush()
        t:expect_nothing "impossible_travel"
        t:expect_errors("impossible_travel", 0)
    end)

    it("goes by the time of the logins, not by their arrival", function()
        login(at "10:00:00", "ada", ULM)
        login(at "23:00:00", "ada", TOKYO)
        login(at "11:20:00", "ada", MUNICH)
        t:flush()
        t:expect_nothing "impossible_travel"
    end)
end)
