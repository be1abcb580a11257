/* sink_kafka: output records to a broker, with or without transactions.
 *
 * Owns the producer. Writing copies what librdkafka needs and returns at once; a full queue is waited for (backpressure).
 * What a topic refuses for good is an error that names topic and reason. A record larger than the client may send is cut
 * (dead letters, marked by a header) or dropped, counted and said (anomalies). One thread. */
#ifndef ANANAS_SINK_KAFKA_H
#define ANANAS_SINK_KAFKA_H
#include "conf_kafka.h"
#include "sink.h"

int sink_kafka_open(sink_t **out, const config_t *c, kafka_context_t *ctx, const char *transactional_id, error_t *e);
rd_kafka_t *sink_kafka_client(sink_t *s);
/* One record that is not an anomaly (changelog), to a partition. */
int sink_kafka_put(sink_t *s, const char *topic, int32_t partition, slice_t key, slice_t value, error_t *e);
/* The first delivery that failed for good since the last call; 0: none. */
int sink_kafka_failure(sink_t *s, error_t *e);
uint64_t sink_kafka_dropped(const sink_t *s);
#endif
