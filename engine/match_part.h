/* match_part: the partitions of a match rule: rows with equal partition_by columns, and what is known of their matching.
 *
 * Owns two spaces of the store, `keys` (per partition what matcher_save wrote, how many rows it had, when its attempt
 * expires) and `rows` (packs of the rows still needed), and derives from them the matchers and windows of the partitions
 * in use; those not used for long are let go and come back from the store when they are. The agenda says whose attempt
 * expires next. The entry in `keys` outlives the rows: numbers of rows and matches go on in a partition however long it was
 * silent, so each partition that was ever seen costs some tens of bytes for good. One thread (the task's). */
#ifndef ANANAS_MATCH_PART_H
#define ANANAS_MATCH_PART_H
#include "match_window.h"
#include "matcher.h"
#include "op.h"

typedef struct match_part {
    matcher_t *matcher;
    match_window_t window;
    store_entry_t *entry; /* in `keys`; its tag is this */
    uint64_t next;        /* number of the next row */
    uint64_t stored;      /* first row in the store */
    etime_t deadline;     /* as matcher_expires said last, and the agenda knows */
    int touched;          /* in this step */
    size_t cost;          /* in memory, as the bound on it counts */
    struct match_part *newer, *older;
} match_part_t;

typedef struct match_parts match_parts_t;

/* Borrows all; the plan is the rule's matcher_plan_t. */
match_parts_t *match_parts_new(const rule_t *rule, store_t *store, matcher_plan_t *plan);
void match_parts_free(match_parts_t *ps);
void match_parts_rebuild(match_parts_t *ps);

/* The partition of a row, made when there is none; NULL when max_state forbids it (step_limit was told). */
match_part_t *match_part_of(match_parts_t *ps, step_t *s, const batch_t *rows, uint32_t row);
/* Appends a row to it. 0 when max_state forbids it. */
int match_part_feed(match_parts_t *ps, step_t *s, match_part_t *p, const batch_t *rows, uint32_t row);
/* After the matcher has run: puts its next deadline on the agenda. */
void match_part_rest(match_parts_t *ps, match_part_t *p);
/* The partition whose attempt expires first, at or before the watermark, taken off the agenda; NULL: none. */
match_part_t *match_part_due(match_parts_t *ps, step_t *s, etime_t watermark);
/* All partitions, sorted by key, loaded one by one: index from 0; NULL at the end. The first call takes the list. */
match_part_t *match_part_nth(match_parts_t *ps, step_t *s, size_t index);

uint64_t match_parts_count(const match_parts_t *ps); /* partitions that are known */
uint64_t match_parts_rows(const match_parts_t *ps);  /* rows kept: those of open attempts, and what prev may reach */
etime_t match_parts_next(match_parts_t *ps);         /* when the first attempt expires; ETIME_MAX: none does */

/* End of a step: what changed goes to the store, rows nobody needs are freed. */
void match_parts_settle(match_parts_t *ps);
#endif
