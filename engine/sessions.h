/* sessions: the sessions of each group, and when the next of them is due.
 *
 * A derived index over the entries of a store space: per group key the sessions by start (usually one), and a heap of
 * due times. A session's due time moves with every row, so the heap holds a lower bound per session that is looked at
 * again when it comes up; only a session that is due earlier than that is pushed anew. Knows nothing of what
 * entries hold. One thread (the task's). */
#ifndef ANANAS_SESSIONS_H
#define ANANAS_SESSIONS_H
#include "map.h"
#include "store.h"
#include "window.h"

typedef struct chain chain_t;

typedef struct session {
    span_t span;
    store_entry_t *entry; /* NULL: taken out, waits for the heap to let it go */
    chain_t *chain;
    struct session *next; /* of the same group, by start */
    etime_t due, bound;   /* bound: a heap item stands there or before; ETIME_MAX: not known */
    uint32_t queued;      /* heap items that point here */
    int fired;
    int taken; /* given by sessions_take_due, and no due time since */
} session_t;

struct chain {
    session_t *first;
    uint32_t len;
    char key[]; /* group key bytes */
};

typedef struct due {
    etime_t at;
    session_t *session;
} due_t;

typedef struct sessions {
    map_t chains; /* by group key */
    due_t *heap;
    size_t n, cap;
    size_t open; /* sessions that have not fired */
} sessions_t;

void sessions_fini(sessions_t *s);
/* First session of a group by start; NULL: none. */
session_t *sessions_of(const sessions_t *s, slice_t key);
session_t *sessions_add(sessions_t *s, slice_t key, span_t span, store_entry_t *e);
void sessions_remove(sessions_t *s, session_t *x);
/* The session has something to do when the watermark reaches that time. */
void sessions_set_due(sessions_t *s, session_t *x, etime_t due);
/* A session whose due time the watermark has reached, out of the heap (no particular order); NULL: none. */
session_t *sessions_take_due(sessions_t *s, etime_t wm);
/* Least due time in the heap, a lower bound; ETIME_MAX: nothing there. */
etime_t sessions_next_due(const sessions_t *s);

static inline slice_t session_key(const session_t *x) { return (slice_t){x->chain->key, x->chain->len}; }
#endif
