/* Sessions. A session's key is (the start it was made with, group key): sessions of a group share no instant, so however a
 * session grows no other can be made with a start inside it, and its entry keeps its place. */
#include "group_run.h"
#include "mem.h"
#include <stdlib.h>

#define TIME_KEY 8

static void set_fired(group_t *g, session_t *x, int fired) {
    if (x->fired && !fired)
        g->sessions.open++;
    else if (!x->fired && fired)
        g->sessions.open--;
    x->fired = fired;
}

static void set_due(group_t *g, session_t *x) {
    sessions_set_due(&g->sessions, x, window_add(x->span.end - 1, x->fired ? g->rule->lateness : 0));
}

static session_t *index_session(group_t *g, slice_t key, span_t span, store_entry_t *e, int fired) {
    session_t *x = sessions_add(&g->sessions, key, span, e);
    g->sessions.open++;
    set_fired(g, x, fired);
    set_due(g, x);
    return x;
}

void group_session_index(group_t *g, store_entry_t *e, const group_head_t *h) {
    slice_t key = entry_key(e);
    index_session(g, (slice_t){key.s + TIME_KEY, key.len - TIME_KEY}, h->span, e, (h->flags & GROUP_FIRED) != 0);
}

static void drop(group_pass_t *p, session_t *x) {
    group_drop(p, x->entry);
    set_fired(p->g, x, 1);
    sessions_remove(&p->g->sessions, x);
}

static int look(group_pass_t *p, session_t *x, uint32_t row) {
    uint32_t tick = batch_origin(p->context.rows, row)->tick;
    return x->fired ? group_candidate(p, OUTCOME_UPDATE, x->entry, tick, 0, 1) : group_look_early(p, x->entry, tick);
}

static int begin(group_pass_t *p, span_t span, slice_t key, uint32_t row) {
    group_t *g = p->g;
    if (group_is_gone(p, span.end)) {
        group_late(p, row);
        return 0;
    }
    int fired = window_is_over(span.end, 0, p->wm);
    int made = 0;
    store_entry_t *e = group_find_or_make(p, span, fired ? GROUP_FIRED : 0, row, &made);
    if (!e)
        return 0;
    session_t *x = index_session(g, key, span, e, fired);
    group_add_row(p, e, row);
    return look(p, x, row);
}

static int same_span(span_t a, span_t b) { return a.start == b.start && a.end == b.end; }

static int touches(const session_t *x, span_t span) { return x && window_touches(x->span, span); }

/* The span of the row and of all sessions from x on that it touches; sessions of a group never touch each other. */
static span_t joined_span(const session_t *x, span_t span) {
    span_t all = span;
    for (; touches(x, span); x = x->next) {
        all.start = x->span.start < all.start ? x->span.start : all.start;
        all.end = x->span.end > all.end ? x->span.end : all.end;
    }
    return all;
}

/* Results of sessions that will not exist in this extent any more. One that was written early stands while its session
 * grows, for that is what sessions do; it goes when sessions merge, and when the session is written again. */
static int retract(group_pass_t *p, const session_t *x, span_t span, span_t all, uint32_t tick) {
    int early = p->g->rule->early, merge = touches(x->next, span), status = 0;
    for (; touches(x, span) && status == 0; x = x->next) {
        int stays = !merge && same_span(x->span, all);
        if (x->fired ? !stays || early : merge && early)
            status = group_candidate(p, OUTCOME_RETRACT, x->entry, tick, 0, stays);
    }
    return status;
}

static void absorb(group_pass_t *p, session_t *x, session_t *other) {
    group_t *g = p->g;
    if (!g->plain)
        outcome_merge(&p->outcome, group_fate(p, other->entry), group_fate(p, x->entry));
    blob_t b = blob_of_entry(g->space, x->entry);
    aggregate_merge(g->aggregate, &b, entry_value(other->entry).s);
    group_head_t theirs = group_head(other->entry), mine = group_head(x->entry);
    if (theirs.flags & GROUP_SPILLED) { /* what it refers to goes with its rows */
        mine.flags |= GROUP_SPILLED;
        group_set_head(g->space, x->entry, &mine);
        theirs.flags &= ~(uint32_t)GROUP_SPILLED;
        group_set_head(g->space, other->entry, &theirs);
    }
    drop(p, other);
}

static void set_span(group_pass_t *p, session_t *x, span_t all) {
    group_t *g = p->g;
    int fired = window_is_over(all.end, 0, p->wm);
    if (same_span(x->span, all) && fired == x->fired)
        return;
    x->span = all;
    set_fired(g, x, fired);
    set_due(g, x);
    group_head_t h = group_head(x->entry);
    h.span = all;
    h.flags = (h.flags & ~(uint32_t)GROUP_FIRED) | (fired ? GROUP_FIRED : 0);
    group_set_head(g->space, x->entry, &h);
}

/* The row joins x and whatever else it touches. Lateness is judged by what it joined, which is still there. */
static int join(group_pass_t *p, session_t *x, span_t span, uint32_t row) {
    span_t all = joined_span(x, span);
    int status = retract(p, x, span, all, batch_origin(p->context.rows, row)->tick);
    if (status)
        return status;
    while (touches(x->next, span))
        absorb(p, x, x->next);
    set_span(p, x, all);
    group_add_row(p, x->entry, row);
    return look(p, x, row);
}

int group_session_row(group_pass_t *p, uint32_t row) {
    group_t *g = p->g;
    window_iter_t it;
    window_first(&it, &g->rule->window, batch_origin(p->context.rows, row)->time);
    buf_clear(&g->key);
    group_time_key(&g->key, it.span.start);
    group_key(p, row, &g->key);
    slice_t key = {g->key.s + TIME_KEY, g->key.len - TIME_KEY};
    session_t *x = sessions_of(&g->sessions, key);
    while (x && !touches(x, it.span))
        x = x->next;
    if (!x && g->until != ETIME_MAX) { /* a version that leaves begins none */
        g->left[row] = 1;
        return 0;
    }
    return x ? join(p, x, it.span, row) : begin(p, it.span, key, row);
}

/* --- the watermark --- */

static int compare_keys(slice_t x, slice_t y) {
    int c = memcmp(x.s, y.s, x.len < y.len ? x.len : y.len);
    return c ? c : (x.len > y.len) - (x.len < y.len);
}

static int compare_closing(const void *a, const void *b) {
    const session_t *x = *(session_t *const *)a, *y = *(session_t *const *)b;
    if (x->span.end != y->span.end)
        return x->span.end < y->span.end ? -1 : 1;
    return compare_keys(session_key(x), session_key(y));
}

/* Where groups are ranked, those of one window have to stand together. */
static int compare_ranked(const void *a, const void *b) {
    const session_t *x = *(session_t *const *)a, *y = *(session_t *const *)b;
    if (x->span.end == y->span.end && x->span.start != y->span.start)
        return x->span.start < y->span.start ? -1 : 1;
    return compare_closing(a, b);
}

static int fire(group_pass_t *p, session_t **at, size_t n, uint32_t tick) {
    group_t *g = p->g;
    int ranked = g->rule->top_n > 0, status = 0;
    uint32_t set = 0;
    qsort(at, n, sizeof(session_t *), ranked ? compare_ranked : compare_closing);
    for (size_t i = 0; i < n && status == 0; i++) {
        session_t *x = at[i];
        if (ranked && (i == 0 || !same_span(x->span, at[i - 1]->span)))
            set = outcome_new_set(&p->outcome);
        status = group_candidate(p, OUTCOME_CLOSE, x->entry, tick, set, 0);
    }
    for (size_t i = 0; i < n; i++) {
        session_t *x = at[i];
        if (window_is_over(x->span.end, g->rule->lateness, p->wm)) {
            drop(p, x);
            continue;
        }
        set_fired(g, x, 1);
        set_due(g, x);
        group_head_t h = group_head(x->entry);
        h.flags |= GROUP_FIRED;
        group_set_head(g->space, x->entry, &h);
    }
    return status;
}

int group_session_quiet(const group_t *g, etime_t wm) { return sessions_next_due(&g->sessions) > wm; }

int group_session_watermark(group_pass_t *p, uint32_t tick) {
    sessions_t *s = &p->g->sessions;
    if (group_session_quiet(p->g, p->wm))
        return 0;
    session_t **at = NULL, *x;
    size_t n = 0, cap = 0;
    while ((x = sessions_take_due(s, p->wm))) {
        if (x->fired) {
            drop(p, x);
            continue;
        }
        mem_grow(&at, &cap, n + 1, sizeof(session_t *));
        at[n++] = x;
    }
    int status = n ? fire(p, at, n, tick) : 0;
    mem_free(at);
    return status;
}
