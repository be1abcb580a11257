/* demo_kafka: a broker inside the process and pizza orders flowing into it, for `ananas demo`.
 *
 * Owns librdkafka's mock cluster, a producer and the thread that feeds it. The engine reads it as any broker, by its
 * bootstrap address; it proves nothing about delivery. The mock keeps 5 MiB a partition and drops the oldest beyond that,
 * so the thread never runs further ahead than demo_kafka_progress says the reader has come: whoever reads must call it.
 * Event times: 1/rate apart from now on; without a rate, 1,000 a second that end about now (endless ones: the wall clock). Open, make topics,
 * start, close on one thread; the rest on any. */
#ifndef ANANAS_DEMO_KAFKA_H
#define ANANAS_DEMO_KAFKA_H
#include <stdint.h>

#include "error.h"

typedef struct demo_kafka demo_kafka_t;

typedef struct demo_kafka_options {
    const char *topic; /* where the orders go; made by open */
    int32_t partitions;
    int64_t rate;   /* orders a second; 0: as fast as they are read */
    int64_t orders; /* ends after so many; 0: goes on until close */
    uint64_t seed;
} demo_kafka_options_t;

int demo_kafka_open(demo_kafka_t **out, const demo_kafka_options_t *o, error_t *e);
/* Stops feeding and takes the broker down; its clients should be gone by then. NULL is fine. */
void demo_kafka_close(demo_kafka_t *d);
/* "127.0.0.1:port"; owned by d */
const char *demo_kafka_bootstrap(const demo_kafka_t *d);
/* One more topic. The mock never answers CreateTopics, so what the engine writes to is made here. An existing one is fine. */
int demo_kafka_topic(demo_kafka_t *d, const char *name, int32_t partitions, error_t *e);
/* From here on orders flow. */
int demo_kafka_start(demo_kafka_t *d, error_t *e);

/* The reader's next offset in a partition of the orders' topic. */
void demo_kafka_progress(demo_kafka_t *d, int32_t partition, int64_t next_offset);
int64_t demo_kafka_sent(const demo_kafka_t *d);    /* orders so far */
int64_t demo_kafka_refused(const demo_kafka_t *d); /* of them, not delivered */
/* 1: all `orders` are sent; a reader that has read demo_kafka_sent records has read them all. */
int demo_kafka_done(const demo_kafka_t *d);
#endif
