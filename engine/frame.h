/* frame: what tasks tell each other, as the bytes of a Kafka record.
 *
 * A data frame carries rows, partial aggregates and watermarks between the halves of rules (exchange.h makes and reads
 * them); a control frame carries one step of a reload, which concerns whoever drives the task. Every frame begins with
 * what it is and ends with a checksum: reading is strict, a torn or foreign one is an error. Owns nothing but what
 * frame_control_fini frees. Any thread. */
#ifndef ANANAS_FRAME_H
#define ANANAS_FRAME_H
#include "buf.h"
#include "clock.h"
#include "error.h"

typedef enum {
    FRAME_DATA,     /* for the task: an EVENT_FRAME of task_step */
    FRAME_PROPOSAL, /* another rule set is to run: version and texts */
    FRAME_DRAINED,  /* the task reads no source any more; round 1, 2, ... as task_rounds asks for */
    FRAME_END,      /* the greatest ends of the task's open windows, of rules that have some */
    FRAME_SWITCHED  /* the task runs the other rule set, and will whatever happens to it */
} frame_kind_t;

/* What a record of the repartition topic is: a frame_kind_t, or ERR_INVALID when it is no whole frame of this format. */
int frame_kind(slice_t bytes);

/* The frame around a body: write the head, the body, then seal. begin: where the head began. */
void frame_head(buf_t *b, frame_kind_t kind, uint32_t from, uint32_t parallelism);
void frame_seal(buf_t *b, size_t begin);
typedef struct frame {
    frame_kind_t kind;
    uint32_t from;        /* the task that wrote it */
    uint32_t parallelism; /* of its topology */
    slice_t body;         /* borrowed */
} frame_t;
int frame_open(slice_t bytes, frame_t *out); /* 0 or ERR_INVALID */

typedef struct frame_bound {
    slice_t rule;
    etime_t end;
} frame_bound_t;
typedef struct frame_control {
    frame_kind_t kind; /* not FRAME_DATA */
    uint32_t from, parallelism;
    slice_t version; /* of the rule set proposed */
    uint64_t serial; /* of the proposal */
    uint32_t round;  /* FRAME_DRAINED */
    slice_t texts;   /* FRAME_PROPOSAL: texts_save's bytes */
    frame_bound_t *bounds;
    uint32_t n_bounds; /* FRAME_END */
} frame_control_t;
void frame_control_write(buf_t *b, const frame_control_t *c);
/* Slices borrow from the bytes; bounds are freed by frame_control_fini. 0 or ERR_INVALID. */
int frame_control_read(slice_t bytes, frame_control_t *out);
void frame_control_fini(frame_control_t *c);

/* 64 bits of a byte string, the same in every process, version and machine: it decides which task has a key. */
uint64_t frame_hash(const void *s, size_t len);
#endif
