/* window: which windows an event time belongs to.
 *
 * Pure arithmetic on a window_spec_t: a window is [start, end) in event time, its start is
 * time - floormod(time - offset, size), so that times before 1970 and negative offsets need no case of their own. Near
 * the ends of int64 bounds saturate; windows that then end at the same instant are one. Sessions are only proposed here
 * ([time, time + gap)); merging is the operator's. Any thread; nothing to free. */
#ifndef ANANAS_WINDOW_H
#define ANANAS_WINDOW_H
#include "rule.h"

typedef struct span {
    etime_t start, end; /* [start, end); end is greater than any time inside */
} span_t;

/* The windows of one time, by ascending end: for (int more = window_first(&it, w, t); more; more = window_next(&it)). */
typedef struct window_iter {
    span_t span;        /* the current one */
    int64_t left;       /* windows after the current one */
    int64_t size, step; /* hop: size of each; from end to end */
    int moving;         /* hop: starts move with the ends; cumulate: they stay */
} window_iter_t;

int window_first(window_iter_t *it, const window_spec_t *w, etime_t t);
int window_next(window_iter_t *it);
/* The last of them to end. */
span_t window_last(const window_spec_t *w, etime_t t);

/* a + b without wrapping. */
static inline etime_t window_add(etime_t a, int64_t b) {
    int64_t sum;
    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return b > 0 ? INT64_MAX : INT64_MIN;
}
/* Has the watermark reached the last instant of a window that ends there, and its lateness? Then the window has fired
 * (lateness 0), or a row that comes now is late for it. */
static inline int window_is_over(etime_t end, int64_t lateness, etime_t wm) {
    return wm != ETIME_MIN && wm >= window_add(end - 1, lateness);
}
/* Do two session windows share or touch an instant? */
static inline int window_touches(span_t a, span_t b) { return a.start <= b.end && a.end >= b.start; }
#endif
