/* complaint_kafka: what librdkafka complains about, said in words that tell what to do.
 *
 * Connections that fail are tried again for ever, so the same fault comes up many times a second from several clients:
 * each kind is said at once, then at most every half minute with how often it came. That no broker can be reached is said
 * with the reason of the last failed connection. Belongs to a kafka_context_t; any thread. */
#ifndef ANANAS_COMPLAINT_KAFKA_H
#define ANANAS_COMPLAINT_KAFKA_H
#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdint.h>

#include "log.h"

#define COMPLAINT_KINDS 8
#define COMPLAINT_SIZE 600

typedef struct complaints { /* all zero at first */
    _Atomic int busy;
    struct {
        int code;
        int64_t said_ms; /* wall clock; 0: this place is free */
        uint64_t more;   /* times since */
    } at[COMPLAINT_KINDS];
    char reason[COMPLAINT_SIZE];  /* of the last connection that failed, explained; "": none */
    char said[COMPLAINT_SIZE];    /* the reason that was said last */
    char refused[COMPLAINT_SIZE]; /* what a transaction could not take up last */
} complaints_t;

/* A failed connection, as librdkafka logs it: remembered, said when no broker is left. */
void complaint_hear(complaints_t *c, const char *reason);
void complaint_say(complaints_t *c, log_t *log, int code, const char *reason);
/* "BROKER: WHAT. WHAT TO DO" of a reason as librdkafka words it. */
void complaint_explain(const char *reason, char out[COMPLAINT_SIZE]);
/* ". REASON" of the last connection that failed, to end an error's text; "" where none did. */
void complaint_last(complaints_t *c, char out[COMPLAINT_SIZE]);
/* What a transaction could not take up, as librdkafka logs it, and that again: it names the topic, which errors do not. */
void complaint_refuse(complaints_t *c, const char *text);
void complaint_refused(complaints_t *c, char out[COMPLAINT_SIZE]);
#endif
