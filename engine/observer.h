/* observer: who wants to know what the loop does: the terminal's display, the HTTP side.
 *
 * Called on the loop's thread and must return at once. All functions may be NULL. */
#ifndef ANANAS_OBSERVER_H
#define ANANAS_OBSERVER_H
#include "task.h"

typedef struct observer observer_t;

typedef struct reading {      /* how far one input partition was read */
    int32_t topic, partition; /* topic: index into the task's topic names */
    int64_t next, lag;        /* next offset; records that wait on the broker, -1: not known */
} reading_t;

struct observer {
    void (*wrote)(observer_t *o, const task_t *t, const outbox_t *out); /* output of a step, before its commit */
    void (*committing)(observer_t *o);                                  /* begins; it lasts while no broker answers */
    void (*committed)(observer_t *o, const task_t *t, int64_t took_ms);
    void (*dropped)(observer_t *o); /* what was written since the last commit never happened */
    void (*stepped)(observer_t *o, const task_t *t, uint32_t records, int64_t took_ns);
    void (*readings)(observer_t *o, const reading_t *at, uint32_t n); /* now and then */
    void (*restoring)(observer_t *o);                                 /* no turn until that is done */
    void (*tick)(observer_t *o, const task_t *t);                     /* every turn of the loop; t NULL: standing by */
    void (*reloading)(observer_t *o); /* asked for; `reloaded` follows, or the task goes */
    void (*reloaded)(observer_t *o, const task_t *t, int ok, const char *text);
    int (*wants_reload)(observer_t *o);                                /* somebody asked by HTTP */
    void (*stopping)(observer_t *o);                                   /* the last commit follows */
    int (*wants_stop)(observer_t *o);                                  /* the demo has shown all its orders */
    void (*progress)(observer_t *o, const position_t *at, uint32_t n); /* next offsets, after a step */
};
#endif
