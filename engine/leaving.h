/* leaving: a version of a rule on its way out, after a reload changed its window, keys or aggregates.
 *
 * Its open windows end under its own code; rows that belong to them go to it, the others to the version that came. It
 * keeps its generation alive and is gone when its last window has closed. One thread (the task's). */
#ifndef ANANAS_LEAVING_H
#define ANANAS_LEAVING_H
#include "generation.h"
#include "group.h"
#include "select.h"

typedef struct leaving {
    generation_t *generation; /* a reference of its own */
    const rule_t *rule;       /* in that generation's plan */
    group_t *group;
    select_t *select;
    reign_t reign;
    etime_t until; /* the next one's begin */
    int dead;      /* its code overran its budget */
} leaving_t;

/* Takes group and select over. */
void leaving_init(leaving_t *l, generation_t *g, const rule_t *rule, group_t *group, select_t *select, reign_t reign,
                  etime_t until);
void leaving_fini(leaving_t *l);
/* Runs over the rows that are its own; *in becomes the rows for the versions after it. Writes its output. out->batch NULL:
 * it gave nothing. Where its code overran its budget it is marked dead; what it gave before stands. */
void leaving_run(leaving_t *l, step_t *s, stream_t *in, outbox_t *o, result_t *out);
int leaving_over(const leaving_t *l, etime_t watermark); /* its last window has closed */
void leaving_drop_state(leaving_t *l, store_t *store);
#endif
