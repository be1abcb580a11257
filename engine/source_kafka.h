/* source_kafka: input events from a broker.
 *
 * Reads exactly the partitions it is told to, from the offsets it is told (no group protocol here: member_kafka.h says
 * who owns what), all partitions in step by the timestamps of their records. Records below a partition's next offset are
 * dropped, so nothing is seen twice. A partition is idle when
 * the broker said that it is at its end and idle_after has passed without a record; while nothing comes, the wall clock
 * is told now and then. A side thread asks brokers for the ends of partitions: that is the lag, and it wakes fetchers
 * that went to sleep on a full queue. One thread, but for
 * source_kafka_lag and source_kafka_wake. */
#ifndef ANANAS_SOURCE_KAFKA_H
#define ANANAS_SOURCE_KAFKA_H
#include "conf_kafka.h"
#include "source.h"

int source_kafka_open(source_t **out, const config_t *c, kafka_context_t *ctx, const char *const *topics,
                      const clock_source_t *clock, error_t *e);
/* One of several tasks, told before the first assignment: of every topic the partitions p with p mod `of` == number are
 * its own. Records of topics[aside] are frames: they come as soon as they are there, in step with nothing; one that has a
 * key is the last event of its poll. */
void source_kafka_share(source_t *s, int32_t number, int32_t of, int32_t aside);
/* yes: nothing comes but partitions and frames, until no. */
void source_kafka_hold(source_t *s, int yes);
/* A poll that waits returns. Any thread. */
void source_kafka_wake(source_t *s);
/* Reads these partitions from now on, and nothing else. Those that were idle stay idle until their next record. */
int source_kafka_assign(source_t *s, const position_t *at, uint32_t n, error_t *e);
/* Next offsets after the last poll, sorted by (topic, partition); borrowed until the next call. */
const position_t *source_kafka_positions(const source_t *s, uint32_t *n);
/* 1, once: a topic has partitions that are not read. */
int source_kafka_grown(source_t *s);
/* Records not read yet, by the last known end; -1: not known. Any thread. */
int64_t source_kafka_lag(source_t *s, int32_t topic, int32_t partition);
/* For questions about offsets and topics: the reader itself, or before there is one a client for that alone. Another one
 * after each assignment; on the thread that assigns. */
rd_kafka_t *source_kafka_client(source_t *s);
#endif
