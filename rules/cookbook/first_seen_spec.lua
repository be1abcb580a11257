describe("first_seen", function()
    local t = rules_under_test("first_seen.lua", { sources = { "logins" } })

    local function login(time, account, device) t:feed("logins", time, { account = account, device = device, city = "Ulm" }) end

    it("gives the first login from each further device, as it came", function()
        login(at "10:00:00", 17, "old")
        login(at "10:01:00", 17, "old")
        login(at "10:02:00", 17, "new")
        login(at "10:03:00", 17, "new")
        login(at "10:04:00", 18, "new")
        t:flush()
        t:expect("first_seen", { { account = 17, device = "new", city = "Ulm", _time = at "10:02:00", _key = { account = 17 } } })
    end)

    it("forgets a device after 90 days", function()
        login(at "2020-01-01 00:00:00", 17, "a")
        login(at "2020-01-01 00:00:01", 17, "b")
        login(at "2020-03-30 00:00:00", 17, "b")
        login(at "2020-07-01 00:00:00", 17, "b")
        t:flush()
        t:expect("first_seen", { { device = "b", _time = at "2020-01-01 00:00:01" }, { device = "b", _time = at "2020-07-01 00:00:00" } })
    end)
end)
