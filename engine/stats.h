/* stats: a task's counters as one JSON object. One thread, the task's. */
#ifndef ANANAS_STATS_H
#define ANANAS_STATS_H
#include "task.h"

void stats_write(const task_t *t, double seconds, buf_t *b);
#endif
