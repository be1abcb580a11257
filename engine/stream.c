#include "stream.h"

/* Reads one input's timeline forward. */
typedef struct follower {
    const stream_t *in;
    uint32_t next;       /* mark not yet taken */
    etime_t wm;
} follower_t;

static etime_t least(const follower_t *f, uint32_t n) {
    etime_t wm = n ? f[0].wm : ETIME_MIN;
    for (uint32_t i = 1; i < n; i++)
        if (f[i].wm < wm)
            wm = f[i].wm;
    return wm;
}

/* The earliest tick at which any input still moves; 0 when none does. */
static int next_tick(const follower_t *f, uint32_t n, uint32_t *tick) {
    int any = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (f[i].next >= f[i].in->n_marks)
            continue;
        uint32_t t = f[i].in->marks[f[i].next].tick;
        if (!any || t < *tick)
            *tick = t;
        any = 1;
    }
    return any;
}

void stream_min_marks(arena_t *a, const stream_t *const *in, uint32_t n, stream_t *out) {
    follower_t *f = arena_array(a, follower_t, n);
    uint32_t most = 0, n_marks = 0, tick = 0;
    for (uint32_t i = 0; i < n; i++) {
        f[i] = (follower_t){in[i], 0, in[i]->wm_before};
        most += in[i]->n_marks;
    }
    mark_t *marks = arena_array(a, mark_t, most);
    etime_t wm = out->wm_before = least(f, n);
    while (next_tick(f, n, &tick)) {
        for (uint32_t i = 0; i < n; i++) {
            const stream_t *s = f[i].in;
            for (; f[i].next < s->n_marks && s->marks[f[i].next].tick == tick; f[i].next++)
                f[i].wm = s->marks[f[i].next].wm;
        }
        etime_t now = least(f, n);
        if (now > wm)
            marks[n_marks++] = (mark_t){.wm = wm = now, .tick = tick};
    }
    out->marks = marks;
    out->n_marks = n_marks;
}
