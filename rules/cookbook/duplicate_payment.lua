-- The same payment twice within ten minutes: same account, same payee, same amount, another id.
--
--   payments   {"id": "p-1", "account": 17, "payee": "DE89...", "amount": 49.90}
--   anomaly    {"account": 17, "amount": 49.90, "first": "p-1", "id": "p-2", "payee": "DE89...", "seconds": 40}
--
-- source "payments" { topic = "payments", watermark = "30s" }

local TEN_MINUTES = 600000

rule "duplicate_payment" {
    from = "payments",
    process = {
        by = { "account", "payee", "amount" },
        order = "event_time",
        ttl = "10m",
        on_row = function(row, state, emit)
            local passed = state.time and row._time - state.time
            if passed and passed < TEN_MINUTES then
                if row.id ~= state.id then emit { id = row.id, first = state.id, seconds = passed / 1000 } end
                return
            end
            state.id, state.time = row.id, row._time
        end,
    },
    key = { "account" },
    to = "duplicate_payments",
}
