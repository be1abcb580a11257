describe("silent_sensor", function()
    local t = rules_under_test("silent_sensor.lua", { sources = { "readings" } })

    it("names the sensor once, five minutes after its last reading", function()
        t:feed("readings", at "10:00:00", { sensor = "roof-3", celsius = 21.4 })
        t:feed("readings", at "10:00:00", { sensor = "cellar", celsius = 12 })
        t:feed("readings", at "10:01:00", { sensor = "roof-3", celsius = 21.5 })
        t:feed("readings", at "10:04:00", { sensor = "cellar", celsius = 12 })
        t:watermark(at "10:05:59.999")
        t:expect_nothing "silent_sensor"
        t:watermark(at "10:06:00")
        t:watermark(at "10:08:00")
        t:expect("silent_sensor", { { sensor = "roof-3", celsius = 21.5, silent_since = at "10:01:00", _time = at "10:06:00",
            _at = at "10:06:00", _key = { sensor = "roof-3" } } })
    end)

    it("begins anew when the sensor is back", function()
        t:feed("readings", at "10:00:00", { sensor = "roof-3", celsius = 1 })
        t:watermark(at "10:10:00")
        t:feed("readings", at "10:20:00", { sensor = "roof-3", celsius = 2 })
        t:watermark(at "10:30:00")
        t:expect("silent_sensor", { { celsius = 1, silent_since = at "10:00:00" }, { celsius = 2, silent_since = at "10:20:00" } })
    end)
end)
