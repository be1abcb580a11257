/* sink_memory: output records kept as text, to be compared.
 *
 * Each record is one string (rule, topic, event time, key, value; no version header, which differs whenever a rule's text
 * does). Owned by the sink until it is closed. One thread. */
#ifndef ANANAS_SINK_MEMORY_H
#define ANANAS_SINK_MEMORY_H
#include "sink.h"

typedef struct kept {
    char *text; /* JSON object */
    size_t len;
    etime_t time;
    uint32_t rule; /* index into sink_memory_rules */
    int same;      /* for whoever compares */
} kept_t;

int sink_memory_open(sink_t **out);
kept_t *sink_memory_records(sink_t *s, size_t *n);
const char *const *sink_memory_rules(const sink_t *s, uint32_t *n); /* names, in order of first sight */
#endif
