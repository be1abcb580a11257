/* sink_kafka: output records to a broker, with or without transactions.
 *
 * Owns the producer. Writing copies what librdkafka needs and returns at once; a full queue is waited for (backpressure).
 * What a topic refuses for good is an error that names topic and reason. A record larger than the client may send is cut
 * (dead letters, marked by a header) or dropped, counted and said (anomalies).
 *
 * What is under way is counted in lots, so that a commit can wait for the records before it while others follow. One thread. */
#ifndef ANANAS_SINK_KAFKA_H
#define ANANAS_SINK_KAFKA_H
#include "conf_kafka.h"
#include "sink.h"

int sink_kafka_open(sink_t **out, const config_t *c, kafka_context_t *ctx, const char *transactional_id, error_t *e);
rd_kafka_t *sink_kafka_client(sink_t *s);
/* One record that is not an anomaly (changelog), to a partition. */
int sink_kafka_put(sink_t *s, const char *topic, int32_t partition, slice_t key, slice_t value, error_t *e);
/* What sink_kafka_put is given from here on is kept back, and written by sink_kafka_let_go. */
void sink_kafka_keep(sink_t *s);
int sink_kafka_let_go(sink_t *s, error_t *e);
/* Records written from here on are another lot than those before. Those before the last parting have to be acknowledged. */
void sink_kafka_part(sink_t *s);
/* How many have not been acknowledged yet: of those before the last parting, of those of sink_kafka_put. */
uint64_t sink_kafka_open_before(const sink_t *s);
uint64_t sink_kafka_open_puts(const sink_t *s);
/* The first delivery that failed for good since the last call; 0: none. */
int sink_kafka_failure(sink_t *s, error_t *e);
/* After ERR_ABORTED: ERR_INVALID where the transaction was refused for a reason that somebody has to mend; 0: try again. */
int sink_kafka_refusal(sink_t *s, error_t *e);
int sink_kafka_for_good(rd_kafka_resp_err_t err);       /* trying again would end the same way */
const char *sink_kafka_advice(rd_kafka_resp_err_t err); /* what to do then: ". Allow ..." or "" */
int sink_kafka_fatal(rd_kafka_resp_err_t err);          /* of a fatal error: ERR_FENCED, or ERR_KAFKA */
int64_t sink_kafka_put_offset(const sink_t *s);         /* of the last put that was acknowledged; -1: none */
uint64_t sink_kafka_dropped(const sink_t *s);
#endif
