-- What the deployment decides; what an anomaly is stands in the rules.

kafka {                                   -- any librdkafka property
  ["bootstrap.servers"] = env("KAFKA_BROKERS", "localhost:9092"),
  ["group.id"] = "ananas",
}

source "pizzas" {
  topic      = "pizzas",
  metadata   = { orderTimestamp = "timestamp" },
  event_time = "orderTimestamp",
  watermark  = "5s",
}

rules "rules"
