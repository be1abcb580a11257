/* placement: which rules need the rows of one key together, and by which columns rows go to the task that has it.
 *
 * A pure function of a plan. Where several tasks share the work, each has some partitions of the sources and runs all
 * rules; a rule whose state belongs to a key has an exchange in front of it: rows leave for the task to which the hash of
 * their distribution columns points. Those are the rule's keys, as far as a cooldown has them among its own; where rows of
 * one key are together already (the producer partitions so, or the rule before is distributed so) nothing is exchanged.
 * The result is freed with placement_fini; its strings are the plan's. Any thread. */
#ifndef ANANAS_PLACEMENT_H
#define ANANAS_PLACEMENT_H
#include "rule.h"

typedef struct place {
    int exchanged;
    names_t by; /* columns of the rule's input, in hash order; the list is ours. n == 0: all rows go to one task */
    int by_record_key; /* the rows' record keys decide instead */
    const char *home;  /* by.n == 0: the name whose hash says which task it is */
    names_t needs;     /* columns that rows must bring; at == NULL: all, with the record. The list is ours */
    int with_key;      /* rows bring their record's key */
    int dense;         /* the moment at which the watermark moves shows in rows that others read: every move is told */
    int combines;      /* rows may be added up before they are sent */
    uint32_t depth;    /* exchanges on the longest way from a source to the rule's output */
} place_t;

typedef struct placement {
    place_t *at; /* per rule of the plan */
    uint32_t n;
} placement_t;

void placement_make(const plan_t *plan, placement_t *out);
void placement_fini(placement_t *p);
/* Does state of the rule stay where it is when the other place takes over from this one? */
int placement_same(const place_t *a, const place_t *b);
#endif
