-- The 99th percentile of latency, against the same hour yesterday.
--
-- The first rule makes one row per endpoint and hour, the second keeps 24 of them for each endpoint and compares. An hour
-- with few requests is neither compared nor kept.
--
--   requests   {"endpoint": "/search", "ms": 41}
--   anomaly    {"endpoint": "/search", "hour": "2020-01-02T13:00:00.000Z", "p99": 310, "yesterday": 140}
--
-- source "requests" { topic = "requests", watermark = "30s" }

local HOUR, DAY = 3600000, 86400000

rule "hourly_latency" {
    from = "requests",
    window = tumble "1h",
    group_by = { "endpoint" },
    aggregate = { requests = count(), p99 = quantile("ms", 0.99) },
    having = function(g) return g.requests >= 20 end,
}

rule "p99_yesterday" {
    from = "hourly_latency",
    process = {
        by = { "endpoint" },
        order = "event_time",
        ttl = "3d",
        on_row = function(row, state, emit)
            local start = row.window_start
            local slot = start % DAY / HOUR
            state.hours = state.hours or {}
            local before = state.hours[slot]
            if before and start - before.start == DAY and row.p99 > 1.5 * before.p99 then
                emit { hour = timestamp(start), p99 = row.p99, yesterday = before.p99 }
            end
            state.hours[slot] = { start = start, p99 = row.p99 }
        end,
    },
    to = "slow_endpoints",
}
