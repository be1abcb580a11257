/* repartition_kafka: the topic through which the tasks of a group send each other rows.
 *
 * "<group.id>-repartition" has one partition per task, like the changelog: their number is the parallelism that the state
 * was made with. Nothing in it expires; what a task has read and committed is deleted now and then. The frames in it are
 * frame.h's. The purge has a thread, that of its task; the rest any. */
#ifndef ANANAS_REPARTITION_KAFKA_H
#define ANANAS_REPARTITION_KAFKA_H
#include <librdkafka/rdkafka.h>

#include "clock.h"
#include "config.h"
#include "log.h"

char *repartition_topic(const config_t *c); /* mem_free */
/* Whether the changelog and that topic have as many partitions as there are tasks. 0, ERR_INVALID with what to do, or
 * another error while brokers do not answer. */
int repartition_check(rd_kafka_t *rk, const config_t *c, int timeout_ms, error_t *e);

typedef struct purge purge_t;
/* Of partition `task`. client outlives it. */
purge_t *purge_new(rd_kafka_t *client, const char *topic, int32_t task, log_t *log);
void purge_free(purge_t *p);
/* Everything below `offset` is read and committed. Asks the broker to delete it, at most so often; waits for nothing. */
void purge_turn(purge_t *p, int64_t offset, mono_t now);
#endif
