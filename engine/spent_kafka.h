/* spent_kafka: messages that nobody needs any more, on their way back to the client that made them.
 *
 * A message is an allocation of a thread of the client's. Freed by another thread it goes back under the lock of the
 * allocator's arena, one by one, against the client, which allocates the next ones from there: they put each other to sleep
 * thousands of times a second. So the reader hands messages over, and the client's thread frees them itself, each time that
 * a broker has answered a fetch and before messages are made of what came. What waits for that is bounded; above the bound
 * messages are freed where they are.
 *
 * Belongs to one client and to the thread that reads from it; the client's threads take from it by themselves. */
#ifndef ANANAS_SPENT_KAFKA_H
#define ANANAS_SPENT_KAFKA_H
#include <librdkafka/rdkafka.h>

#include "error.h"

typedef struct spent spent_t;

/* What may wait: messages, and bytes of their values and keys. */
#define SPENT_MESSAGES 16384
#define SPENT_BYTES ((size_t)8 << 20)

/* For the client that will be made of conf. */
int spent_new(spent_t **out, rd_kafka_conf_t *conf, error_t *e);
/* Once the client is gone, or was never made. NULL is allowed. */
void spent_free(spent_t *s);
/* Takes the messages; the array stays the caller's. */
void spent_give(spent_t *s, rd_kafka_message_t *const *messages, size_t n);
/* Frees what waits: before the client is closed, which waits for its messages. */
void spent_clear(spent_t *s);

/* It comes from another core's cache, and has left this one's again when it is given back: waiting for one message after the
 * other would take as long as a record's rules do. */
void spent_prefetch(const rd_kafka_message_t *m);
#endif
