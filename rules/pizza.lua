-- "No pineapple on pizza": four jobs over one stream of pizza orders.
--
-- An order, as it stands in the topic `pizzas`:
--   {"id": 7, "shop": "Marios Pizza", "name": "Jane Doe", "phoneNumber": "(07) 1234 5678", "address": "1 Main Street",
--    "pizzas": [{"pizzaName": "Diavola", "additionalToppings": ["🍍 pineapple", "🧀 blue cheese"]}],
--    "timestamp": 1659426822541}
--
-- bad_toppings           every prohibited topping that was ordered
-- too_many_bad_toppings  orders with more than three of them
-- topping_rush           a prohibited topping ordered more than ten times within five seconds
-- topping_trend          a prohibited topping whose orders per second go up, and then down twice in a row

local bad = set { "🍍 pineapple", "🍓 strawberry", "🍌 banana" }

rule "bad_toppings" {
  from   = "pizzas",
  unnest = "pizzas[].additionalToppings[] as topping",
  where  = function(r) return bad[r.topping] end,
  select = { "id", "name", "topping", "orderTimestamp" },
  to     = "pizza_stream_out_filter",
}

rule "too_many_bad_toppings" {
  from      = "bad_toppings",
  window    = record(),
  group_by  = { "id", "name", "orderTimestamp" },
  aggregate = { nr_bad_items = count(), toppings = listagg("topping", ",") },
  having    = function(g) return g.nr_bad_items > 3 end,
  key       = { "id" },
  to        = "pizza_stream_out_agg",
}

rule "topping_rush" {
  from      = "bad_toppings",
  window    = tumble "5s",
  group_by  = { "topping" },
  aggregate = { nr_orders = count() },
  having    = function(w) return w.nr_orders > 10 end,
  key       = { "topping", "window_start", "window_end" },
  to        = "pizza_stream_out_agg_windows",
}

rule "topping_counts" {
  from = "bad_toppings", window = tumble "1s", group_by = { "topping" }, aggregate = { nr_orders = count() },
}

rule "topping_trend" {
  from  = "topping_counts",
  match = {
    partition_by = { "topping" },
    pattern  = "START_ROW NR_UP+ NR_DOWN{2}",
    define   = {
      NR_UP   = function(row, m) return row.nr_orders > m.prev().nr_orders end,
      NR_DOWN = function(row, m) return row.nr_orders < m.prev().nr_orders end,
    },
    measures = {
      trend_start  = function(m) return timestamp(m.first("START_ROW").window_time) end,
      trend_detail = function(m) return m.listagg("*", "nr_orders") end,
    },
  },
  key = { "topping", "trend_start" },
  to  = "pizza_stream_out_trends",
}
