/* sink: where a task's output goes.
 *
 * A step ends with an outbox: output records in the order of emission. Their bytes live in the step's arena; a sink that
 * needs them longer copies them. One thread. */
#ifndef ANANAS_SINK_H
#define ANANAS_SINK_H
#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "error.h"

typedef struct header {
    const char *name;
    slice_t value;
} header_t;

typedef enum { OUT_ANOMALY, OUT_LATE, OUT_DEAD_LETTER, OUT_MARK, OUT_FRAME } out_kind_t;

typedef struct out_record {
    const char *topic;  /* NULL: an OUT_FRAME, for the group's repartition topic, whose name only the sink knows */
    slice_t key, value; /* s == NULL: none; a tombstone has no value */
    const header_t *headers;
    uint32_t n_headers;
    uint32_t n_own; /* of them, the first: those that a dead letter came with */
    uint32_t tick;
    int32_t rule; /* index in the plan; -1: a dead letter */
    out_kind_t kind;
    int32_t partition; /* of an OUT_FRAME: where it goes. Of all others the key decides */
    etime_t time;
} out_record_t;

typedef struct outbox {
    out_record_t *at;
    size_t n, cap;
} outbox_t;

typedef struct sink sink_t;
struct sink {
    int (*write)(sink_t *s, const out_record_t *records, size_t n, error_t *e);
    int (*flush)(sink_t *s, error_t *e); /* everything written has arrived */
    void (*close)(sink_t *s);
};
static inline int sink_write(sink_t *s, const outbox_t *o, error_t *e) { return s->write(s, o->at, o->n, e); }
static inline int sink_flush(sink_t *s, error_t *e) { return s->flush(s, e); }
static inline void sink_close(sink_t *s) {
    if (s)
        s->close(s);
}

/* The headers of an input record from the JSON object that rules see (record_t.headers), with room for `more` behind them. */
uint32_t headers_list(slice_t object, arena_t *a, uint32_t more, header_t **out);

/* In order of emission: by tick, then rule, then as they were added (within a tick and rule). */
void outbox_sort(outbox_t *o, uint32_t n_ticks);
void outbox_reset(outbox_t *o); /* keeps its room, up to a bound */
void outbox_fini(outbox_t *o);
#endif
