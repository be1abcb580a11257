/* report: what went wrong inside a step, counted and said.
 *
 * Implements the step_* functions of op.h. The first failure of a rule is logged, then the 10th, 100th
 * and so on: a rule that fails on every record must not drown the log, nor fail in silence. One thread. */
#ifndef ANANAS_REPORT_H
#define ANANAS_REPORT_H
#include "op.h"
#include "sink.h"
#include "task.h"

typedef struct report { /* what a step's reports need beside the step; step->task points to it */
    const plan_t *plan;
    outbox_t *outbox;
    last_error_t *errors;  /* per rule */
    const names_t *extras; /* per rule: of its input rows, see select.h */
} report_t;

int report_due(uint64_t before, uint64_t now); /* a power of ten was reached */
#endif
