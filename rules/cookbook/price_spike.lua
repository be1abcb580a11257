-- A price far off its own recent course: an exponentially weighted mean and deviation for each symbol.
--
--   ticks      {"symbol": "ANAN", "price": 17.32}
--   anomaly    {"symbol": "ANAN", "price": 29.00, "score": 41.3, "expected": 17.4}
--
-- source "ticks" { topic = "ticks", watermark = "1s" }

rule "price_spike" {
    from = "ticks",
    where = function(r) return r.price and r.price > 0 end,
    detect = ewma { by = { "symbol" }, value = "price", alpha = 0.1, threshold = 6, warmup = 30, order = "event_time", least_scale = 0.05 },
    cooldown = "1m",
    to = "price_spikes",
}
