/* source_history_kafka: what live topics hold, once, from one time to another.
 *
 * Joins no group and commits nothing. A partition begins at its first record stamped since or later and ends where it
 * ended when this was opened (or before the first record stamped after until); at its end it is idle, so it holds nothing
 * back. Times are the broker's record timestamps. One thread. */
#ifndef ANANAS_SOURCE_HISTORY_KAFKA_H
#define ANANAS_SOURCE_HISTORY_KAFKA_H
#include "buf.h"
#include "config.h"
#include "log.h"
#include "source.h"

typedef struct source_history_options {
    const config_t *config;
    log_t *log;
    const char *const *topics; /* sorted, NULL-terminated */
    int64_t since, until;      /* epoch ms; ETIME_MIN, ETIME_MAX: unbounded */
    buf_t *ends; /* NULL, or the first and the last offset of each partition: found when empty, else obeyed */
} source_history_options_t;

int source_history_open(source_t **out, const source_history_options_t *o, error_t *e);
#endif
