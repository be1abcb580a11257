/* select: the last stage of a rule: which columns go out, and how they are written.
 *
 * Turns an operator's result into the rule's output batch (columns in output order, nothing copied that is only passed
 * through), holds back anomalies by cooldown, and writes output records: JSON value, key, headers. One thread. */
#ifndef ANANAS_SELECT_H
#define ANANAS_SELECT_H
#include "op.h"
#include "sink.h"

typedef struct select select_t;

select_t *select_new(const rule_t *rule,
                     const names_t *extras); /* extras: columns of open rows that are no members of the record */
void select_free(select_t *s);
/* The rule's output rows, one per row of in, with their keys. 0, or ERR_RUNAWAY: then it can be asked again about the rows
 * before the step's stop (step_overrun). */
int select_run(select_t *sel, step_t *s, const result_t *in, result_t *out);
/* Appends one output record per row. */
void select_write(select_t *sel, step_t *s, const result_t *rows, outbox_t *o);
/* JSON object of a row with all its columns (late rows, whole-row output). */
void select_write_row(step_t *s, const names_t *extras, time_format_t format, const batch_t *b, uint32_t row,
                      buf_t *out);
#endif
