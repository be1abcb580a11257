/* match_output: the rows that pattern matching gives in one step.
 *
 * Collects rows one at a time, as columns by name, and makes a result of them at the end of the step. Cells, records and
 * keys are copied into the step's arena: the partition's rows may be gone before the output is written. One thread. */
#ifndef ANANAS_MATCH_OUTPUT_H
#define ANANAS_MATCH_OUTPUT_H
#include "op.h"

typedef struct match_output match_output_t;

match_output_t *match_output_new(void);
void match_output_free(match_output_t *o);
void match_output_begin(match_output_t *o, arena_t *a); /* a step */
/* A new row, all its columns null, at the position of o; stamp: the output record's time, time: the row's event time
 * for its readers. */
void match_output_row(match_output_t *o, const origin_t *from, uint32_t sub, etime_t stamp, etime_t time,
                      uint32_t tick);
/* In the last row. name lives as long as the rule or the step. */
void match_output_set(match_output_t *o, const char *name, const cell_t *c);
/* All columns of a row, and its record where the batch is open. */
void match_output_pass(match_output_t *o, const batch_t *rows, uint32_t row);
void match_output_finish(match_output_t *o, result_t *out);
#endif
