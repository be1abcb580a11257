/* source: where a task's input events come from.
 *
 * An input event is a record or a control event; the order in which a source gives them is the order of ticks, and
 * everything the engine computes follows from that order alone. run, replay, demo, test and diff differ only in the
 * source and sink they plug in. The bytes of an event are the source's until source_release; two polls may be out at a
 * time. One thread polls and releases; others may look at the bytes. */
#ifndef ANANAS_SOURCE_H
#define ANANAS_SOURCE_H
#include "decode.h"

typedef enum {
    EVENT_RECORD,
    EVENT_PARTITION, /* record.topic/partition takes part from now on */
    EVENT_IDLE,      /* record.topic/partition has nothing more for now */
    EVENT_WATERMARK, /* every source is at least at `time` */
    EVENT_CLOCK,     /* wall clock is at `time`: moves sources of which all partitions are idle */
    EVENT_RULES,     /* another rule set (path) takes effect here; always the only event of its poll */
    EVENT_MARK,      /* `time` is a number to be told in the output; always the only event of its poll */
    EVENT_BAD_LINE,  /* an input line that is no envelope; record.value is the line, reason says why */
    EVENT_FRAME /* record.value is a frame of another task (frame.h), record.partition and offset say where it stood */
} event_kind_t;

typedef struct event {
    event_kind_t kind;
    record_t record; /* RECORD, PARTITION, IDLE, BAD_LINE, FRAME */
    etime_t time;
    const char *path;
    const char *reason;
} event_t;

typedef struct position {
    int32_t topic; /* index into the task's topic names */
    int32_t partition;
    int64_t offset; /* the next one to read */
} position_t;

typedef struct source source_t;
struct source {
    /* Up to max events; waits at most timeout_ms for the first. Count, 0: nothing now, or a negative ERR_*. *end = 1
     * when there will be no more. */
    int (*poll)(source_t *s, event_t *events, uint32_t max, int timeout_ms, int *end, error_t *e);
    void (*release)(source_t *s); /* of the polls that are out, the events of the earliest are no longer looked at */
    void (*close)(source_t *s);
};

static inline int source_poll(source_t *s, event_t *events, uint32_t max, int timeout_ms, int *end, error_t *e) {
    return s->poll(s, events, max, timeout_ms, end, e);
}
static inline void source_release(source_t *s) { s->release(s); }
static inline void source_close(source_t *s) {
    if (s)
        s->close(s);
}
#endif
