describe("duplicate_payment", function()
    local t = rules_under_test("duplicate_payment.lua", { sources = { "payments" } })

    local function pay(time, id, account, amount)
        t:feed("payments", time, { id = id, account = account, payee = "DE89", amount = amount })
    end

    it("finds the second payment, and each further one", function()
        pay(at "10:00:00", "p-1", 17, 49.9)
        pay(at "10:00:40", "p-2", 17, 49.9)
        pay(at "10:09:59", "p-3", 17, 49.9)
        t:flush()
        t:expect("duplicate_payment", {
            { id = "p-2", first = "p-1", seconds = 40, account = 17, amount = 49.9, payee = "DE89", _key = { account = 17 } },
            { id = "p-3", first = "p-1", seconds = 599 },
        })
    end)

    it("leaves alone what differs, what is a repeated record, and what is ten minutes later", function()
        pay(at "10:00:00", "p-1", 17, 49.9)
        pay(at "10:00:10", "p-1", 17, 49.9)
        pay(at "10:00:20", "p-2", 18, 49.9)
        pay(at "10:00:30", "p-3", 17, 49.8)
        pay(at "10:10:00", "p-4", 17, 49.9)
        t:flush()
        t:expect_nothing "duplicate_payment"
    end)
end)
