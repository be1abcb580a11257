/* conf_kafka: the configuration's `kafka` properties as librdkafka configurations.
 *
 * Three clients are made of them: a group member (who owns what), a reader of assigned partitions, and a producer. The
 * user's properties are passed through; what exactly-once and order depend on is ours and says so when it is overridden.
 * Log lines and errors of librdkafka go to the log, complaints in words (complaint_kafka.h). Any thread. */
#ifndef ANANAS_CONF_KAFKA_H
#define ANANAS_CONF_KAFKA_H
#include <librdkafka/rdkafka.h>

#include "complaint_kafka.h"
#include "config.h"

typedef enum { KAFKA_MEMBER, KAFKA_READER, KAFKA_PRODUCER, KAFKA_ADMIN } kafka_role_t;

typedef struct kafka_context { /* opaque of every client; outlives it */
    log_t *log;
    complaints_t complaints;
} kafka_context_t;

/* Made for one role with its defaults, then the user's properties, then what must hold. transactional_id: NULL for none. */
int conf_kafka(const config_t *c, kafka_role_t role, const char *transactional_id, kafka_context_t *ctx,
               rd_kafka_conf_t **out, error_t *e);
/* A client of conf, which is taken, whether one can be made or not. */
int conf_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **out, error_t *e);
/* The same; where none can be made, conf stays the caller's. */
int conf_kafka_try(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **out, error_t *e);
int conf_kafka_client(const config_t *c, kafka_role_t role, const char *transactional_id, kafka_context_t *ctx,
                      rd_kafka_t **out, error_t *e);
/* Ends a client. One that does not end in a while (librdkafka may wait for ever for a broker's thread when a topic it used
 * was deleted) is left behind, and that is said: nobody else must wait with it. 0: it goes on using its opaque. */
int conf_kafka_end(rd_kafka_t *rk, log_t *log);
const char *conf_kafka_get(const config_t *c, const char *name, const char *absent);
int64_t conf_kafka_transaction_ms(const config_t *c); /* transaction.timeout.ms */
int64_t conf_kafka_int(const config_t *c, const char *name, int64_t absent);
#endif
