/* Tumbling, hopping and cumulating windows. A group's key is (window end, group key), so that entries of one window sort
 * by group key. */
#include "group_run.h"
#include "hash.h"
#include "mem.h"

static uint64_t symbol_hash(const sym_t *sym) { return (uint64_t)(uintptr_t)sym >> 3; }

static uint64_t cell_hash(const cell_t *c) {
    switch (c->kind) {
    case CELL_INT:
    case CELL_NUM: return (uint64_t)c->u.i; /* of a double, its bits */
    case CELL_SYM: return symbol_hash(c->u.sym);
    case CELL_STR:
    case CELL_NUMRAW: return c->len ? hash_bytes(c->raw, c->len, 0) : 0;
    default: return c->kind;
    }
}

#define MIX 0x9e3779b97f4a7c15ULL

static uint64_t cells_hash(const group_pass_t *p, uint32_t row) {
    uint64_t h = 0;
    for (uint32_t i = 0; i < p->g->rule->group_by.n; i++)
        h = h * 31 + cell_hash(&p->by[i].cells[p->by[i].map[row]]);
    return h;
}

static group_slot_t *slot_for(group_t *g, const pane_t *pane, uint64_t hash) {
    return &g->slots[((hash + (uint64_t)pane->span.end) * MIX) >> g->slot_shift];
}

void group_pane_slots(group_t *g, uint32_t rows) {
    uint32_t n = g->n_slots ? g->n_slots : GROUP_SLOTS_LEAST;
    if (g->misses > rows / 8 && n < GROUP_SLOTS_MOST)
        n *= 2;
    g->misses = 0;
    if (n == g->n_slots)
        return;
    mem_free(g->slots);
    mem_free(g->pending);
    g->slots = mem_zalloc(n * sizeof *g->slots);
    g->pending = mem_alloc(n * sizeof *g->pending);
    g->n_slots = n;
    g->slot_shift = 64 - (uint32_t)__builtin_ctz(n);
}

static void count_pending(group_t *g, group_slot_t *slot) {
    if (slot->pending++ == 0)
        g->pending[g->n_pending++] = (uint16_t)(slot - g->slots);
}


static void make_key(const group_pass_t *p, etime_t end, uint32_t row) {
    buf_clear(&p->g->key);
    group_time_key(&p->g->key, end);
    group_key(p, row, &p->g->key);
}

/* The group of g->key. */
static store_entry_t *find_or_make(group_pass_t *p, pane_t *pane, uint32_t row) {
    int made = 0;
    store_entry_t *e = group_find_or_make(p, pane->span, pane->fired ? GROUP_FIRED : 0, row, &made);
    if (made)
        pane_add(pane, e);
    return e;
}

/* Between two versions of a rule: whose window is it? A tumbling one is cut where the new version begins. */
static int belongs(const group_t *g, span_t *span) {
    if (span->end > g->until)
        return 0;
    if (span->start >= g->begin)
        return 1;
    if (g->rule->window.kind != WINDOW_TUMBLE || span->end <= g->begin)
        return 0;
    span->start = g->begin;
    return 1;
}

static void add_count(group_t *g, store_entry_t *e, uint64_t n) {
    blob_t b = blob_of_entry(g->space, e);
    aggregate_add_count(g->aggregate, &b, n);
}

/* From window to window the key differs in its time only. */
static void add_to_windows(group_pass_t *p, const group_slot_t *slot) {
    group_t *g = p->g;
    buf_t time = {0};
    make_key(p, 0, slot->row);
    window_iter_t it;
    int more = window_first(&it, &g->rule->window, batch_origin(p->context.rows, slot->row)->time);
    for (; more; more = window_next(&it)) {
        if (window_is_over(it.span.end, 0, slot->wm) || !belongs(g, &it.span))
            continue;
        buf_clear(&time);
        group_time_key(&time, it.span.end);
        memcpy(g->key.s, time.s, time.len);
        store_entry_t *e = find_or_make(p, panes_open(&g->panes, it.span, 0), slot->row);
        if (e)
            add_count(g, e, slot->pending);
    }
    buf_fini(&time);
}

static void add_pending(group_pass_t *p, group_slot_t *slot) {
    if (slot->pane)
        add_count(p->g, slot->entry, slot->pending);
    else
        add_to_windows(p, slot);
    slot->pending = 0;
}

void group_pane_settle(group_pass_t *p) {
    group_t *g = p->g;
    for (uint32_t i = 0; i < g->n_pending; i++)
        if (g->slots[g->pending[i]].pending)
            add_pending(p, &g->slots[g->pending[i]]);
    g->n_pending = 0;
    g->next_pending = ETIME_MAX;
}

etime_t group_pane_next_end(const group_t *g) {
    etime_t end = panes_next_end(&g->panes);
    return g->next_pending < end ? g->next_pending : end;
}

/* A late row changed a fired window: its group's result goes out again; where groups are ranked, any may have moved. */
static int update(group_pass_t *p, pane_t *pane, store_entry_t *e, uint32_t tick) {
    if (p->g->rule->top_n == 0)
        return group_candidate(p, OUTCOME_UPDATE, e, tick, 0, 1);
    uint32_t set = outcome_new_set(&p->outcome);
    int status = 0;
    pane_sort(pane);
    for (size_t i = 0; i < pane->n && status == 0; i++)
        status = group_candidate(p, OUTCOME_UPDATE, pane->at[i], tick, set, pane->at[i] == e);
    return status;
}

static const void *only_symbol(const group_pass_t *p, uint32_t row) {
    if (p->g->rule->group_by.n != 1)
        return NULL;
    const cell_t *c = &p->by[0].cells[p->by[0].map[row]];
    return c->kind == CELL_SYM ? c->u.sym : NULL;
}

static int add_to_pane(group_pass_t *p, pane_t *pane, uint64_t hash, uint32_t row) {
    group_t *g = p->g;
    group_slot_t *slot = slot_for(g, pane, hash);
    store_entry_t *e;
    if (slot->run == g->run && slot->pane == pane && group_same_cells(p, slot->row, row)) {
        e = slot->entry;
    } else {
        make_key(p, pane->span.end, row);
        e = find_or_make(p, pane, row);
        if (!e)
            return 0;
        if (slot->run == g->run)
            g->misses++;
        if (slot->pending)
            group_pane_settle(p);
        *slot = (group_slot_t){.run = g->run, .row = row, .pane = pane, .entry = e, .symbol = only_symbol(p, row)};
    }
    if (g->counting && !pane->fired) {
        count_pending(g, slot);
        return 0;
    }
    group_add_row(p, e, row);
    if (g->gathers)
        group_count_last(p, e, row);
    uint32_t tick = batch_origin(p->context.rows, row)->tick;
    return pane->fired ? update(p, pane, e, tick) : group_look_early(p, e, tick);
}

/* --- windows that overlap, where rows are only counted ---
 * Rows of one slice, the time between two ends, go to the same windows: they are counted together first. That lasts until
 * one of those windows closes, or the run is over, and then goes to each of them. */

static int overlapping(const group_t *g) {
    return g->plain && (g->rule->window.kind == WINDOW_HOP || g->rule->window.kind == WINDOW_CUMULATE);
}

static int holds_slice(const group_pass_t *p, const group_slot_t *slot, etime_t end, uint32_t row) {
    return slot->pending && slot->end == end && group_same_cells(p, slot->row, row);
}

/* One of two neighbours: what has to give way goes to its windows early, and may come again. */
static group_slot_t *slice_slot(group_t *g, etime_t end, uint64_t hash) {
    return &g->slots[((hash + (uint64_t)end) * MIX) >> g->slot_shift];
}

static group_slot_t *other_slot(group_t *g, const group_slot_t *slot) { return &g->slots[(slot - g->slots) ^ 1]; }

static void begin_slice(group_pass_t *p, group_slot_t *slot, window_iter_t it, uint32_t row) {
    group_t *g = p->g;
    *slot = (group_slot_t){.run = g->run, .row = row, .symbol = only_symbol(p, row), .end = it.span.end, .wm = p->wm};
    while (window_is_over(it.span.end, 0, p->wm) && window_next(&it))
        ;
    if (it.span.end < g->next_pending)
        g->next_pending = it.span.end;
}

static void take_slot(group_pass_t *p, group_slot_t *slot, window_iter_t it, uint32_t row) {
    group_t *g = p->g;
    if (slot->pending) {
        g->misses++;
        add_pending(p, slot);
    }
    if (g->n_pending == g->n_slots) /* slots that were taken more than once stand there as often */
        group_pane_settle(p);
    begin_slice(p, slot, it, row);
}

static int slice_row(group_pass_t *p, uint32_t row) {
    group_t *g = p->g;
    etime_t t = batch_origin(p->context.rows, row)->time;
    window_iter_t it;
    window_first(&it, &g->rule->window, t);
    if (window_is_over(it.span.end, 0, p->wm) && window_is_over(window_last(&g->rule->window, t).end, 0, p->wm)) {
        if (t >= g->begin)
            group_late(p, row);
        return 0;
    }
    group_slot_t *slot = slice_slot(g, it.span.end, cells_hash(p, row)), *other = other_slot(g, slot);
    if (!holds_slice(p, slot, it.span.end, row)) {
        if (holds_slice(p, other, it.span.end, row) || (slot->pending && !other->pending))
            slot = other;
        if (!holds_slice(p, slot, it.span.end, row))
            take_slot(p, slot, it, row);
    }
    count_pending(g, slot);
    return 0;
}

/* The same loop as below, through a slice. */
static uint32_t count_slice(group_pass_t *p, uint32_t row, uint32_t tick) {
    group_t *g = p->g;
    const batch_t *b = p->context.rows;
    const window_spec_t *w = &g->rule->window;
    window_iter_t it;
    window_first(&it, w, batch_origin(b, row)->time);
    etime_t end = it.span.end, start = window_add(end, w->kind == WINDOW_HOP ? -w->slide : -w->step);
    const column_t by = p->by[0];
    for (; row < b->n; row++) {
        const origin_t *o = batch_origin(b, row);
        const cell_t *c = &by.cells[by.map[row]];
        if (o->tick > tick || o->time < start || o->time >= end || c->kind != CELL_SYM)
            break;
        group_slot_t *slot = slice_slot(g, end, cell_hash(c));
        if (slot->symbol != c->u.sym || slot->end != end)
            slot = other_slot(g, slot);
        if (!slot->pending || slot->symbol != c->u.sym || slot->end != end)
            break;
        slot->pending++;
    }
    return row;
}

/* The loop that most rows of most rules go through: an open window, one interned column, a group seen before. */
uint32_t group_pane_count(group_pass_t *p, uint32_t row, uint32_t tick) {
    group_t *g = p->g;
    const batch_t *b = p->context.rows;
    const pane_t *pane = g->panes.last;
    if (g->rule->group_by.n != 1)
        return row;
    if (overlapping(g))
        return count_slice(p, row, tick);
    if (!pane || pane->fired || g->rule->window.kind != WINDOW_TUMBLE)
        return row;
    const column_t by = p->by[0];
    const uint32_t *origin = b->origin, n = b->n, run = g->run;
    const origin_t *origins = b->origins;
    const span_t span = pane->span;
    for (; row < n; row++) {
        const origin_t *o = &origins[origin[row]];
        const cell_t *c = &by.cells[by.map[row]];
        if (o->tick > tick || o->time < span.start || o->time >= span.end || c->kind != CELL_SYM)
            break;
        group_slot_t *slot = slot_for(g, pane, symbol_hash(c->u.sym));
        if (slot->symbol != c->u.sym || slot->pane != pane || slot->run != run)
            break;
        count_pending(g, slot);
    }
    return row;
}

int group_pane_row(group_pass_t *p, uint32_t row) {
    group_t *g = p->g;
    if (g->counting && overlapping(g))
        return slice_row(p, row);
    etime_t t = batch_origin(p->context.rows, row)->time;
    pane_t *last = g->panes.last;
    uint64_t hash = cells_hash(p, row);
    /* The usual case: the window of the row before, and it is open. */
    if (last && !last->fired && g->rule->window.kind == WINDOW_TUMBLE && t >= last->span.start && t < last->span.end)
        return add_to_pane(p, last, hash, row);
    int taken = 0, status = 0;
    window_iter_t it;
    for (int more = window_first(&it, &g->rule->window, t); more && status == 0; more = window_next(&it)) {
        if (group_is_gone(p, it.span.end))
            continue;
        taken = 1;
        if (!belongs(g, &it.span))
            continue;
        status = add_to_pane(p, panes_open(&g->panes, it.span, window_is_over(it.span.end, 0, p->wm)), hash, row);
    }
    if (!taken && t >= g->begin) /* what is older is the leaving version's to count */
        group_late(p, row);
    return status;
}

static int fire(group_pass_t *p, pane_t *pane, uint32_t tick) {
    uint32_t set = outcome_new_set(&p->outcome); /* whether it is ranked is each rule's own matter */
    int status = 0;
    pane_sort(pane);
    outcome_expect(&p->outcome, (uint32_t)pane->n);
    for (size_t i = 0; i < pane->n && status == 0; i++) {
        store_entry_t *e = pane->at[i];
        if (i + 4 < pane->n)
            __builtin_prefetch(pane->at[i + 4]);
        status = group_candidate(p, OUTCOME_CLOSE, e, tick, set, 0);
        if (p->g->rule->lateness > 0) {
            group_head_t h = group_head(e);
            h.flags |= GROUP_FIRED;
            group_set_head(p->g->space, e, &h);
        }
    }
    return status;
}

int group_pane_quiet(const group_t *g, etime_t wm) {
    return panes_quiet(&g->panes, g->rule->lateness, wm) && !(g->n_pending && window_is_over(g->next_pending, 0, wm));
}

int group_pane_watermark(group_pass_t *p, uint32_t tick) {
    panes_t *panes = &p->g->panes;
    pane_t *pane;
    int status = 0;
    if (p->g->n_pending && window_is_over(group_pane_next_end(p->g), 0, p->wm))
        group_pane_settle(p);
    while (status == 0 && (pane = panes_fire(panes, p->wm)))
        status = fire(p, pane, tick);
    while ((pane = panes_take_over(panes, p->g->rule->lateness, p->wm))) {
        for (size_t i = 0; i < pane->n; i++)
            group_drop(p, pane->at[i]);
        pane_free(pane);
        p->g->run++; /* slots may point to it */
    }
    return status;
}

void group_pane_index(group_t *g, store_entry_t *e, const group_head_t *h) {
    pane_add(panes_open(&g->panes, h->span, (h->flags & GROUP_FIRED) != 0), e);
}
