-- A device that an account has not used before, within the last 90 days.
--
-- The key is what has to be new: the state of a key that was never seen is empty. The first device of an account is no
-- news, so a second rule, keyed by account alone, holds that one back.
--
--   logins     {"account": 17, "device": "d-81f2", "city": "Ulm"}
--   anomaly    the login's row
--
-- source "logins" { topic = "logins", watermark = "10s" }

rule "new_device" {
    from = "logins",
    process = {
        by = { "account", "device" },
        order = "event_time",
        ttl = "90d",
        on_row = function(row, state, emit)
            if not state.seen then emit(row) end
            state.seen = true
        end,
    },
}

rule "first_seen" {
    from = "new_device",
    process = {
        by = { "account" },
        order = "event_time",
        on_row = function(row, state, emit)
            if state.known then emit(row) end
            state.known = true
        end,
    },
    to = "new_devices",
}
