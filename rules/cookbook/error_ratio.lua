-- Error ratio per service, from two topics.
--
-- One topic has every request, the other only what went wrong. Rows of both go into the same window, `_from` tells them
-- apart. A service with fewer than 20 requests in the minute says nothing yet.
--
--   requests   {"service": "checkout", "path": "/pay", "ms": 41}
--   errors     {"service": "checkout", "message": "card gateway timed out"}
--   anomaly    {"service": "checkout", "errors": 3, "requests": 40, "ratio": 0.075}
--
-- source "requests" { topic = "requests", watermark = "5s" }
-- source "errors"   { topic = "errors", watermark = "5s" }

rule "error_ratio" {
    from = { "requests", "errors" },
    window = tumble "1m",
    group_by = { "service" },
    aggregate = {
        requests = count(function(r) return r._from == "requests" end),
        errors = count(function(r) return r._from == "errors" end),
    },
    having = function(g) return g.requests >= 20 and g.errors / g.requests > 0.05 end,
    select = { "service", "requests", "errors", "window_start", "window_end", ratio = function(g) return g.errors / g.requests end },
    to = "service_error_ratio",
}
