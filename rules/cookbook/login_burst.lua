-- A burst of failed logins, and then one that succeeds: somebody may have guessed.
--
--   logins     {"user": "ada", "outcome": "failure", "ip": "203.0.113.9"}
--   anomaly    {"user": "ada", "broken_in": "...", "failures": 6, "from": "...", "ip": "203.0.113.9"}
--
-- source "logins" { topic = "logins", watermark = "10s" }

rule "login_burst" {
    from = "logins",
    match = {
        partition_by = { "user" },
        pattern = "FAILED{5,} SUCCEEDED",
        define = {
            FAILED = function(row) return row.outcome == "failure" end,
            SUCCEEDED = function(row) return row.outcome == "success" end,
        },
        within = "10m",
        measures = {
            failures = function(m) return m.count("FAILED") end,
            from = function(m) return timestamp(m.first("FAILED")._time) end,
            broken_in = function(m) return timestamp(m.last("SUCCEEDED")._time) end,
            ip = function(m) return m.last("SUCCEEDED").ip end,
        },
    },
    to = "login_bursts",
}
