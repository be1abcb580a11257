-- The three products that sold best in each hour. A product that sells as well as another comes after it by name.
--
--   sales      {"product": "pineapple", "amount": 4, "price": 1.99}
--   output     {"product": "pineapple", "window_start": "...", "window_end": "...", "pieces": 181, "turnover": 360.19}
--
-- source "sales" { topic = "sales", watermark = "10s" }

rule "top_products" {
    from = "sales",
    window = tumble "1h",
    group_by = { "product" },
    aggregate = { pieces = sum("amount"), turnover = sum(function(r) return r.amount * r.price end) },
    top = { n = 3, by = "pieces desc" },
    select = { "product", "window_start", "window_end", "pieces", "turnover" },
    key = { "window_start", "product" },
    to = "top_products",
}
