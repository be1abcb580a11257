#include "window.h"

__extension__ typedef __int128 wide_t;

static etime_t saturate(wide_t v) {
    if (v < (wide_t)INT64_MIN)
        return INT64_MIN;
    return v > (wide_t)INT64_MAX ? INT64_MAX : (etime_t)v;
}

/* 128-bit division is slow and needed only where a 64-bit difference would wrap. */
static int64_t floormod(etime_t t, int64_t offset, int64_t size) {
    int64_t diff, r;
    if (!__builtin_sub_overflow(t, offset, &diff))
        r = diff % size;
    else
        r = (int64_t)(((wide_t)t - offset) % size);
    return r < 0 ? r + size : r;
}

static span_t span_from(wide_t start, int64_t size) { return (span_t){saturate(start), saturate(start + size)}; }

/* Every window holds t, so its end lies above t and saturates only upwards, its start only downwards. */
int window_first(window_iter_t *it, const window_spec_t *w, etime_t t) {
    wide_t start;
    int64_t done;
    *it = (window_iter_t){0};
    switch (w->kind) {
    case WINDOW_TUMBLE: it->span = span_from((wide_t)t - floormod(t, w->offset, w->size), w->size); return 1;
    case WINDOW_HOP:
        it->left = w->size / w->slide - 1;
        start = (wide_t)t - floormod(t, w->offset, w->slide) - (wide_t)it->left * w->slide;
        it->span = span_from(start, w->size);
        it->size = w->size;
        it->step = w->slide;
        it->moving = 1;
        return 1;
    case WINDOW_CUMULATE:
        done = floormod(t, w->offset, w->size);
        start = (wide_t)t - done;
        it->span = span_from(start, (done / w->step + 1) * w->step);
        it->left = w->size / w->step - done / w->step - 1;
        it->step = w->step;
        return 1;
    case WINDOW_SESSION: it->span = (span_t){t, window_add(t, w->gap)}; return 1;
    case WINDOW_RECORD: it->span = (span_t){t, window_add(t, 1)}; return 1;
    default: return 0;
    }
}

int window_next(window_iter_t *it) {
    if (it->left <= 0)
        return 0;
    it->left--;
    etime_t before = it->span.end;
    it->span.end = window_add(before, it->step);
    if (it->span.end == before)
        return 0;
    if (it->moving)
        it->span.start = saturate((wide_t)before + it->step - it->size);
    return 1;
}

span_t window_last(const window_spec_t *w, etime_t t) {
    window_iter_t it;
    if (!window_first(&it, w, t))
        return (span_t){t, t};
    if (it.left > 0) {
        wide_t end = (wide_t)it.span.end + (wide_t)it.left * it.step;
        it.span.end = saturate(end);
        if (it.moving)
            it.span.start = saturate(end - it.size);
    }
    return it.span;
}
