/* emission: the rows that a process rule gave, as a batch.
 *
 * What on_row and on_timer emitted comes as JSON object text. For `process` each text becomes the record of a row of its
 * own, with the `by` columns added where the rule left them out (their values exactly as they came); its timestamps stay such
 * (ORIGIN_MARKED). For `detect` the row is the one that was judged, with the text's members as further columns. Everything
 * lives in the step's arena. One thread. */
#ifndef ANANAS_EMISSION_H
#define ANANAS_EMISSION_H
#include "op.h"

#define EMISSION_NO_ROW UINT32_MAX

typedef struct emission {
    uint32_t row; /* of the input; EMISSION_NO_ROW: a timer's */
    uint32_t tick;
    etime_t time;  /* event time */
    int64_t order; /* a timer's: number among those of the rule, ever */
    int pass;      /* the row itself, json: what is added (may be empty) */
    slice_t json;
    slice_t about; /* a timer's: what emission_about kept of the key's last row */
} emission_t;

/* What on_timer's rows will need of a row: for `process` the by columns as JSON texts, for `detect` the row, packed. */
void emission_about(buf_t *b, step_t *s, const rule_t *rule, const batch_t *rows, uint32_t row);
/* The emissions in their order. */
batch_t *emission_batch(step_t *s, const rule_t *rule, const batch_t *in, const emission_t *e, uint32_t n);
#endif
