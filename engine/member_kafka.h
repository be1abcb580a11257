/* member_kafka: who owns which task, by Kafka's own group protocol.
 *
 * Every process of a group subscribes to the changelog topic, which has one partition per task: owning partition i means
 * running task i. Its records are never fetched this way. Revoking calls back before it takes effect, so that the owner
 * commits first; a lost membership says so, so that the owner aborts. One thread. */
#ifndef ANANAS_MEMBER_KAFKA_H
#define ANANAS_MEMBER_KAFKA_H
#include "conf_kafka.h"

typedef struct member member_t;
typedef struct member_events {
    void (*assigned)(void *ctx, const int32_t *tasks, uint32_t n);
    void (*revoked)(void *ctx, int lost); /* all tasks; called before they are given up */
    void *ctx;
} member_events_t;

int member_open(member_t **out, const config_t *c, kafka_context_t *ctx, const char *topic,
                const member_events_t *events, error_t *e);
/* Serves the protocol, waiting so long at most; the callbacks run in here. 0, or an error that ends membership. */
int member_poll(member_t *m, int wait_ms, error_t *e);
void member_close(member_t *m); /* leaves the group */
/* After a failure: ERR_INVALID where the topic is gone, and with it the state; 0 where it is there or nobody answers. */
int member_check_topic(const member_t *m, error_t *e);
rd_kafka_t *member_client(member_t *m);
/* Fresh group metadata for a transaction; freed with rd_kafka_consumer_group_metadata_destroy. */
rd_kafka_consumer_group_metadata_t *member_metadata(member_t *m);
#endif
