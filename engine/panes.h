/* panes: the open windows of a rule, by when they end.
 *
 * A derived index over the entries of a store space: for each open window the entries of its groups. It says which
 * windows a watermark closes without looking at any other, and knows nothing of what entries hold. Windows that have
 * fired and wait for late rows stand in front of those that have not. Sessions have an index of their own (sessions.h).
 * One thread (the task's). */
#ifndef ANANAS_PANES_H
#define ANANAS_PANES_H
#include "store.h"
#include "window.h"

typedef struct pane {
    span_t span;
    int fired;
    store_entry_t **at; /* the groups, in no order until pane_sort */
    size_t n, cap;
} pane_t;

typedef struct panes {
    pane_t **at; /* by end */
    size_t n, cap;
    size_t fired; /* how many of them, from the front, have fired */
    pane_t *last; /* found last */
} panes_t;

void panes_fini(panes_t *p);
/* The window that ends there, made when absent. A new one counts as fired when `fired` says so. */
pane_t *panes_open(panes_t *p, span_t span, int fired);
/* The first window that has not fired and whose end the watermark has reached; it counts as fired from now on. */
pane_t *panes_fire(panes_t *p, etime_t wm);
/* Takes out the first fired window whose lateness is over; the caller frees it with pane_free. */
pane_t *panes_take_over(panes_t *p, int64_t lateness, etime_t wm);
int panes_quiet(const panes_t *p, int64_t lateness, etime_t wm); /* would both give NULL? */
/* End of the next window to fire; ETIME_MAX when none is open. */
etime_t panes_next_end(const panes_t *p);

void pane_add(pane_t *p, store_entry_t *e);
void pane_sort(pane_t *p); /* by entry key */
void pane_free(pane_t *p);
#endif
