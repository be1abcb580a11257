/* Groups that one place adds up and another merges. A partial state is a group's state without its head; its first region
 * holds the group_by cells, from which the key follows. */
#include "group_run.h"
#include "mem.h"

void group_gather(group_t *g) {
    g->gathers = 1;
    /* Rows of a window that are counted in bulk are told from the count; without one each row is looked at. */
    g->counting = g->counting && g->rule->n_aggs > 0 && g->rule->window.kind == WINDOW_TUMBLE;
}

void group_count_last(group_pass_t *p, store_entry_t *e, uint32_t row) {
    group_head_t h = group_head(e);
    etime_t t = batch_origin(p->context.rows, row)->time;
    if (window_last(&p->g->rule->window, t).end != h.span.end)
        return;
    h.last++;
    group_set_head(p->g->space, e, &h);
}

static uint64_t last_of(const group_t *g, const group_head_t *h, const char *value) {
    uint64_t n;
    if (!g->counting)
        return h->last;
    memcpy(&n, value + sizeof(group_head_t), sizeof n); /* all its rows: a tumbling window is its rows' only one */
    return n;
}

void group_ship(group_t *g, void (*one)(void *ctx, const group_partial_t *p), void *ctx) {
    store_entry_t **all;
    size_t n = space_sorted(g->space, &all);
    for (size_t i = 0; i < n; i++) {
        slice_t value = entry_value(all[i]);
        group_head_t h = group_head(all[i]);
        group_partial_t p = {.span = h.span,
                             .last = last_of(g, &h, value.s),
                             .cells = region_bytes(value.s, aggregate_fixed(g->aggregate)),
                             .state = {value.s + sizeof h, value.len - sizeof h}};
        one(ctx, &p);
    }
    for (size_t i = 0; i < n; i++)
        store_del(g->space, all[i]);
    mem_free(all);
    panes_fini(&g->panes);
    g->run++; /* slots point to what is gone */
}

size_t group_gathered(const group_t *g) { return space_bytes(g->space); }

void group_take(group_t *g, const group_partial_t *partials, uint32_t n) {
    g->partials = partials;
    g->n_partials = n;
}

/* The state with room for a head, and its group key; 0 when it does not hold together. */
static int unpack(group_t *g, const group_partial_t *x) {
    static const group_head_t none;
    group_head_t h = none;
    h.span = x->span;
    buf_clear(&g->saved);
    buf_add(&g->saved, &h, sizeof h);
    buf_add_slice(&g->saved, x->state);
    if (!blob_holds(buf_slice(&g->saved), aggregate_fixed(g->aggregate), aggregate_regions(g->aggregate)))
        return 0;
    slice_t cells = region_bytes(g->saved.s, aggregate_fixed(g->aggregate));
    reader_t r = reader_of(cells.s, cells.len);
    buf_clear(&g->key);
    group_time_key(&g->key, x->span.end);
    for (uint32_t i = 0; i < g->rule->group_by.n; i++) {
        cell_t c = cell_load(&r);
        cell_key(&g->key, &c);
    }
    return !r.bad;
}

void group_merge(group_pass_t *p, const group_partial_t *x) {
    group_t *g = p->g;
    if (window_is_over(x->span.end, 0, p->wm)) {
        p->s->stats->late += x->last;
        return;
    }
    if (!unpack(g, x)) {
        step_fault(p->s, g->rule, "a partial aggregate of another task does not hold together; it was left out");
        return;
    }
    if (store_full(p->s->store) && !store_get(g->space, g->key.s, g->key.len)) {
        step_limit(p->s, g->rule, "max_state is reached: rows of a new group were left out");
        return;
    }
    int made;
    store_entry_t *e = store_put(g->space, g->key.s, g->key.len, &made);
    if (made) {
        entry_set(g->space, e, g->saved.s, g->saved.len);
        pane_add(panes_open(&g->panes, x->span, 0), e);
        return;
    }
    blob_t b = blob_of_entry(g->space, e);
    aggregate_merge(g->aggregate, &b, g->saved.s);
}
