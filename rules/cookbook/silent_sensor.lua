-- A sensor that has gone silent. What goes out is its last reading, once, when five minutes of event time have passed
-- without another. When all partitions are silent, event time goes on with the wall clock, so silence is noticed even then.
--
--   readings   {"sensor": "roof-3", "celsius": 21.4}
--   anomaly    {"sensor": "roof-3", "celsius": 21.4, "score": 1, "expected": 300000, "silent_since": 1577872800000}
--
-- source "readings" { topic = "readings", watermark = "10s", idle_after = "30s" }

rule "silent_sensor" {
    from = "readings",
    detect = absence { by = { "sensor" }, after = "5m" },
    select = { "sensor", "celsius", silent_since = function(r) return timestamp(r.silent_since) end },
    to = "silent_sensors",
}
