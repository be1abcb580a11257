/* topics_kafka: which topics there are, and making those that we write to.
 *
 * Blocking calls on a client that the caller owns, each with a bound in time. One thread. */
#ifndef ANANAS_TOPICS_KAFKA_H
#define ANANAS_TOPICS_KAFKA_H
#include <librdkafka/rdkafka.h>

#include "config.h"

typedef enum {
    TOPIC_OUTPUT,
    TOPIC_CHANGELOG,  /* compacted, in small segments, so that restoring stays short */
    TOPIC_REPARTITION /* kept until what was read is deleted */
} topic_kind_t;

typedef struct topic_want {
    const char *name;
    int32_t partitions;  /* -1: the broker's default */
    int16_t replication; /* -1: the broker's default */
    topic_kind_t kind;
    const char *why; /* "written by rule \"x\"", for messages */
} topic_want_t;

/* Makes those that do not exist. One clear error names every topic that could not be made. */
int topics_ensure(rd_kafka_t *rk, const topic_want_t *wants, uint32_t n, int timeout_ms, error_t *e);
/* ERR_INVALID where a topic that holds state is not compacted, or deletes records as well. Where nobody may ask: 0. */
int topics_check_compacted(rd_kafka_t *rk, const char *name, int timeout_ms, error_t *e);
/* Partition count of a topic; 0: it does not exist; negative: error. */
int topics_partitions(rd_kafka_t *rk, const char *name, int timeout_ms, error_t *e);
#endif
