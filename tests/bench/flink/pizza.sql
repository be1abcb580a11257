-- The four jobs of rules/pizza.lua in Flink SQL: one statement set over one source, read to where the topic ends now.
-- In capitals behind an @: what flink.lua puts in.

SET 'parallelism.default' = '@PARALLELISM';
SET 'table.local-time-zone' = 'UTC';
-- Rows of one order come together, so its group may be forgotten soon; else the state of this job would grow for ever.
SET 'table.exec.state.ttl' = '60 s';

CREATE TABLE pizzas (
  id BIGINT,
  name STRING,
  pizzas ARRAY<ROW<pizzaName STRING, additionalToppings ARRAY<STRING>>>,
  orderTimestamp TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  WATERMARK FOR orderTimestamp AS orderTimestamp - INTERVAL '5' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = '@TOPIC',
  'properties.bootstrap.servers' = '@BROKER',
  'properties.group.id' = '@PREFIXflink',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset',
  'scan.watermark.emit.strategy' = 'on-event',
  'format' = 'json'
);

CREATE TABLE out_filter (
  id BIGINT, name STRING, topping STRING, orderTimestamp TIMESTAMP_LTZ(3)
) WITH (@SINK(pizza_stream_out_filter));

CREATE TABLE out_agg (
  id BIGINT, name STRING, orderTimestamp TIMESTAMP_LTZ(3), nr_bad_items BIGINT, toppings STRING,
  PRIMARY KEY (id, name, orderTimestamp) NOT ENFORCED
) WITH (@UPSERT(pizza_stream_out_agg));

CREATE TABLE out_windows (
  topping STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), window_time TIMESTAMP_LTZ(3), nr_orders BIGINT
) WITH (@SINK(pizza_stream_out_agg_windows));

CREATE TABLE out_trends (
  topping STRING, trend_detail STRING, trend_start TIMESTAMP_LTZ(3)
) WITH (@SINK(pizza_stream_out_trends));

CREATE TEMPORARY VIEW bad_toppings AS
SELECT id, name, topping, orderTimestamp
FROM pizzas
CROSS JOIN UNNEST(pizzas.pizzas) AS p (pizzaName, additionalToppings)
CROSS JOIN UNNEST(p.additionalToppings) AS t (topping)
WHERE topping IN ('🍍 pineapple', '🍓 strawberry', '🍌 banana');

CREATE TEMPORARY VIEW topping_counts AS
SELECT topping, window_time, COUNT(*) AS nr_orders
FROM TABLE(TUMBLE(TABLE bad_toppings, DESCRIPTOR(orderTimestamp), INTERVAL '1' SECOND))
GROUP BY topping, window_start, window_end, window_time;

INSERT INTO out_filter SELECT id, name, topping, orderTimestamp FROM bad_toppings;

INSERT INTO out_agg
SELECT id, name, orderTimestamp, COUNT(*), LISTAGG(topping, ',')
FROM bad_toppings
GROUP BY id, name, orderTimestamp
HAVING COUNT(*) > 3;

INSERT INTO out_windows
SELECT topping, window_start, window_end, window_time, COUNT(*)
FROM TABLE(TUMBLE(TABLE bad_toppings, DESCRIPTOR(orderTimestamp), INTERVAL '5' SECOND))
GROUP BY topping, window_start, window_end, window_time
HAVING COUNT(*) > 10;

INSERT INTO out_trends
SELECT topping, trend_detail, trend_start
FROM topping_counts
MATCH_RECOGNIZE (
  PARTITION BY topping
  ORDER BY window_time
  MEASURES
    LISTAGG(CAST(nr_orders AS STRING), ',') AS trend_detail,
    START_ROW.window_time AS trend_start
  ONE ROW PER MATCH
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (START_ROW NR_UP+ NR_DOWN{2})
  DEFINE
    NR_UP AS NR_UP.nr_orders > LAST(nr_orders, 1),
    NR_DOWN AS NR_DOWN.nr_orders < LAST(nr_orders, 1)
);
