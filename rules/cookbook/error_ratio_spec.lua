describe("error_ratio", function()
    local t = rules_under_test("error_ratio.lua", { sources = { "requests", "errors" } })

    local function minute(service, requests, errors)
        for i = 1, requests do t:feed("requests", at "00:00:10" + i * 100, { service = service }) end
        for _ = 1, errors do t:feed("errors", at "00:00:30", { service = service, message = "timed out" }) end
    end

    it("speaks when more than one request in twenty failed", function()
        minute("checkout", 40, 3)
        minute("search", 100, 5)
        t:watermark(at "00:00:59")
        t:expect_nothing "error_ratio"
        t:watermark(at "00:01:00")
        t:expect("error_ratio", { { service = "checkout", requests = 40, errors = 3, ratio = 0.075,
            window_start = at "00:00:00", _key = { service = "checkout" }, _at = at "00:01:00" } })
    end)

    it("waits for twenty requests, and for a request at all", function()
        minute("checkout", 19, 19)
        minute("batch", 0, 7)
        t:flush()
        t:expect_nothing "error_ratio"
    end)

    it("waits for the slower of the two topics", function()
        minute("checkout", 20, 2)
        t:flush()
        t:expect("error_ratio", { { service = "checkout", ratio = 0.1 } })
    end)
end)
