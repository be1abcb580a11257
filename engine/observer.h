/* observer: who wants to know what the loop and the tasks do: the terminal, the service manager, the HTTP side.
 *
 * What a task does is told on that task's thread, what the process does on the loop's; both must return at once. Whoever
 * calls goes through observers.h, which lets one call in at a time, so an observer needs no lock for what only its calls
 * touch; what it keeps of a task it keeps by the task's number. All functions may be NULL. */
#ifndef ANANAS_OBSERVER_H
#define ANANAS_OBSERVER_H
#include "task.h"

typedef struct observer observer_t;

typedef struct reading {      /* how far one input partition was read */
    int32_t topic, partition; /* topic: index into the task's topic names */
    int64_t next, lag;        /* next offset; records that wait on the broker, -1: not known */
} reading_t;

struct observer {
    /* of task `task` */
    void (*wrote)(observer_t *o, int32_t task, const task_t *t, const outbox_t *out); /* a step's, before its commit */
    void (*committing)(observer_t *o, int32_t task); /* begins; it lasts while no broker answers */
    void (*committed)(observer_t *o, int32_t task, int64_t took_ms);
    void (*dropped)(observer_t *o, int32_t task); /* what was written since the last commit never happened */
    void (*stepped)(observer_t *o, int32_t task, uint32_t records, int64_t took_ns);
    void (*readings)(observer_t *o, int32_t task, const reading_t *at, uint32_t n);  /* now and then */
    void (*progress)(observer_t *o, int32_t task, const position_t *at, uint32_t n); /* next offsets, after a step */
    void (*restoring)(observer_t *o, int32_t task);                                  /* no turn until that is done */
    void (*turned)(observer_t *o, int32_t task, const task_t *t);                    /* every turn, between two steps */
    void (*paused)(observer_t *o, int32_t task); /* it does not turn until the group says whose it is */
    void (*closed)(observer_t *o, int32_t task); /* this process has nothing of it any more */
    /* of the process */
    void (*tick)(observer_t *o, uint32_t owned); /* every turn of the loop; how many tasks are this process's */
    void (*reloading)(observer_t *o);            /* asked for; `reloaded` follows, or the task goes */
    /* t: that of the task on whose thread this is; NULL: not on a task's thread */
    void (*reloaded)(observer_t *o, int32_t task, const task_t *t, int ok, const char *text);
    /* Which rules the group runs where they are not those of this process's files; NULL: they are. When it changes. */
    void (*foreign)(observer_t *o, const char *version);
    int (*wants_reload)(observer_t *o); /* somebody asked by HTTP */
    void (*stopping)(observer_t *o);    /* the last commit follows */
    int (*wants_stop)(observer_t *o);   /* the demo has shown all its orders */
};
#endif
