/* task_view: what of a task is worth showing, rule by rule.
 *
 * Reads a task between two steps and changes nothing in it; the strings it gives are the task's. Cheap enough for a few
 * times a second. The task's thread. */
#ifndef ANANAS_TASK_VIEW_H
#define ANANAS_TASK_VIEW_H
#include "exchange.h"
#include "task.h"

typedef struct rule_view {
    const char *verdict;       /* of the last reload, in words; NULL: nothing was reloaded */
    const char *operator_name; /* "group", "match", "process" or "rows" */
    uint64_t open_windows;     /* groups of windows that have not fired, of all versions */
    uint64_t leaving;          /* versions before this one whose windows are still open */
    uint64_t waiting;          /* rows that wait for their event time */
    uint64_t keys;             /* keys with state or timers, of process; partitions, of match */
    uint64_t kept;             /* rows kept for matches that may still come of them */
    uint64_t state_bytes, state_entries;
    etime_t next;      /* the watermark at which something happens next; ETIME_MAX: nothing is due */
    etime_t next_end;  /* end of the window that fires then; ETIME_MAX: it is no window */
    etime_t watermark; /* of its input; ETIME_MIN: none yet */
    int idle;          /* all of its input is */
    int crosses;       /* 1: its rows come from all tasks, so that others may hold it back */
} rule_view_t;

void task_view_rule(const task_t *t, uint32_t rule, rule_view_t *out);
uint64_t task_view_script_bytes(const task_t *t); /* memory of the rules' Lua state */
uint64_t task_view_state_bytes(const task_t *t);
uint64_t task_view_state_entries(const task_t *t);
/* What the task has sent to others: of a rule (NULL: it has no exchange), and all of it (NULL: it is the only task). */
const exchange_stats_t *task_view_exchange(const task_t *t, uint32_t rule);
const dispatch_stats_t *task_view_dispatch(const task_t *t);
/* How far each task has come with a source, as this one knows; NULL: it is the only task. */
const valve_t *task_view_everywhere(const task_t *t, uint32_t source);
#endif
