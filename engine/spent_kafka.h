/* spent_kafka: messages that nobody needs any more, on their way back to the client that made them.
 *
 * A message is an allocation of a thread of the client's. Freed by another thread it goes back under the lock of the
 * allocator's arena, one by one, against the client, which allocates the next ones from there: they put each other to
 * sleep thousands of times a second. So the reader hands messages over, and the client's thread frees them itself, each
 * time that a broker has answered a fetch and before messages are made of what came. Each broker has a thread; of several,
 * the one that is answered next frees them all.
 *
 * What waits is bounded; above the bound messages are freed where they are. A message keeps all of the answer that it came
 * in, but what waits was still there when the last answer was taken apart: memory grows by the next answer at most.
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
/* No client could be made of conf: frees both, as far as that is possible. */
void spent_unmade(spent_t *s, rd_kafka_conf_t *conf);
/* Once the client is gone. NULL is allowed. */
void spent_free(spent_t *s);
/* Takes the messages; the array stays the caller's. */
void spent_give(spent_t *s, rd_kafka_message_t *const *messages, size_t n);
/* Frees what waits: before the client is closed, which waits for its messages. */
void spent_clear(spent_t *s);

/* A message comes from another core's cache, and has left this one's again when it is given back: waiting for one after
 * the other would take as long as a record's rules do. To be asked for SPENT_AHEAD messages before it is looked at. */
#define SPENT_AHEAD 8
void spent_prefetch(const rd_kafka_message_t *m);
#endif
