/* reload: what a new set of rules means for the state of the one that runs.
 *
 * A pure function of two plans: it compares fields and hashes (rule.h) and says of each rule what becomes of its state, and
 * why, in words. It changes nothing; the task carries the verdicts out between two batches. Both plans stay as they are; the
 * result is freed with verdicts_fini. Any thread. */
#ifndef ANANAS_RELOAD_H
#define ANANAS_RELOAD_H
#include "rule.h"

typedef enum {
    VERDICT_UNCHANGED, /* the same version: nothing happens */
    VERDICT_ADDED,     /* no rule of that name was there */
    VERDICT_REMOVED,   /* its open windows and buffered rows are dropped, counted and named */
    VERDICT_KEPT,      /* the state goes on under the new code */
    VERDICT_HANDOVER, /* window, keys or aggregates: open windows end under the old version, later ones belong to the new */
    VERDICT_REBUILT, /* pattern, conditions, skip mode: matched again over the rows that are held */
    VERDICT_RESET    /* the state means nothing any more: source, event time, or an upstream that was reset */
} verdict_kind_t;

typedef struct verdict {
    verdict_kind_t kind;
    int old_index, new_index; /* of the plans' rules; -1: not there */
    int lets_go; /* the new version reads what the rows held so far lack: they are dropped, counted and named */
    char *rule;
    char *reason; /* "window", "where, select", "upstream `x` was reset"; "" where there is nothing to say */
} verdict_t;

typedef struct verdicts {
    verdict_t *at; /* rules of the new plan in its order, then the removed ones by name */
    uint32_t n;
} verdicts_t;

void reload_diff(const plan_t *old, const plan_t *new, verdicts_t *out);
void verdicts_fini(verdicts_t *v);
const char *verdict_name(verdict_kind_t kind); /* "unchanged", ... */
#endif
