#include "group_run.h"
#include "mem.h"

#define NUMBERS_KEY "seq"
#define FLOOR_KEY "floor"
#define TIME_KEY 8

group_t *group_new(const rule_t *rule, store_t *store) { return group_new_from(rule, store, REIGN_FIRST); }

/* Versions of one shape may be there at once (a change taken back while it still leaves), so the reign is in the name. */
static char *name_version(const rule_t *rule, reign_t reign) {
    if (reign.begin == ETIME_MIN)
        return mem_strdup(rule->state_hash);
    if (reign.number == 0)
        return mem_printf("%s@%lld", rule->state_hash, (long long)reign.begin);
    return mem_printf("%s@%lld.%u", rule->state_hash, (long long)reign.begin, reign.number);
}

group_t *group_new_from(const rule_t *rule, store_t *store, reign_t reign) {
    group_t *g = mem_zalloc(sizeof *g);
    char *version = name_version(rule, reign);
    char *name = mem_printf("%s/%s/group", rule->name, version);
    g->rule = rule;
    g->begin = reign.begin;
    g->until = g->next_pending = ETIME_MAX;
    g->floor = ETIME_MIN;
    g->space = store_space(store, name);
    mem_free(name);
    name = mem_printf("%s/%s/group-rows", rule->name, version);
    g->chunks.space = store_space(store, name);
    g->aggregate =
        aggregate_new(rule->aggs, rule->n_aggs, rule->time_format, sizeof(group_head_t), 1, rule->provenance);
    g->counting = aggregate_only_counts(g->aggregate) && !rule->early;
    g->plain = !rule->early && rule->lateness == 0;
    mem_free(name);
    mem_free(version);
    return g;
}

void group_free(group_t *g) {
    if (!g)
        return;
    panes_fini(&g->panes);
    sessions_fini(&g->sessions);
    aggregate_free(g->aggregate);
    mem_free(g->slots);
    mem_free(g->pending);
    buf_fini(&g->key);
    buf_fini(&g->saved);
    mem_free(g);
}

/* --- beside the groups, under keys shorter than any of theirs --- */

int group_is_state(const store_entry_t *e) { return entry_key(e).len >= TIME_KEY; }

group_numbers_t group_read_numbers(const group_t *g) {
    group_numbers_t n = {0};
    store_entry_t *e = store_get(g->space, NUMBERS_KEY, strlen(NUMBERS_KEY));
    if (e && entry_value(e).len == sizeof n)
        memcpy(&n, entry_value(e).s, sizeof n);
    return n;
}

void group_write_numbers(group_t *g, const group_numbers_t *n) {
    group_numbers_t before = group_read_numbers(g);
    if (n->sequence != before.sequence || n->chunk != before.chunk)
        entry_set(g->space, store_put(g->space, NUMBERS_KEY, strlen(NUMBERS_KEY), NULL), n, sizeof *n);
}

/* Rules that take late rows for longer than before would make windows anew that were given up already, and write what they
 * make of their last rows over the right results. So the lateness that the state was kept by stands with it; where it is
 * another one now, windows that were given up until then are not opened again. */
typedef struct group_floor {
    int64_t lateness;
    etime_t floor;
} group_floor_t;

static void group_floor(group_t *g, etime_t wm) {
    if (g->gathers || g->rule->window.kind == WINDOW_RECORD)
        return;
    group_floor_t f = {g->rule->lateness, ETIME_MIN};
    const store_entry_t *e = store_get(g->space, FLOOR_KEY, strlen(FLOOR_KEY));
    int known = e && entry_value(e).len == sizeof f;
    if (known)
        memcpy(&f, entry_value(e).s, sizeof f);
    g->floor = f.floor;
    if (known && f.lateness == g->rule->lateness)
        return;
    if (known && wm != ETIME_MIN) {
        etime_t gone = wm == ETIME_MAX ? wm : window_add(wm, 1) - f.lateness;
        g->floor = gone > f.floor ? gone : f.floor;
    }
    f = (group_floor_t){g->rule->lateness, g->floor};
    entry_set(g->space, store_put(g->space, FLOOR_KEY, strlen(FLOOR_KEY), NULL), &f, sizeof f);
}

static const group_t *state_of(const group_t *g) { return g->lead ? g->lead : g; }

/* --- indexes --- */

void group_rebuild(group_t *g) {
    panes_fini(&g->panes);
    sessions_fini(&g->sessions);
    g->run++;
    g->walked = 0;
    for (store_entry_t *e = space_next(g->space, NULL); e; e = space_next(g->space, e)) {
        if (!group_is_state(e))
            continue;
        group_head_t h = group_head(e);
        entry_set_tag(e, NULL);
        if (g->rule->window.kind == WINDOW_SESSION)
            group_session_index(g, e, &h);
        else
            group_pane_index(g, e, &h);
    }
}

void group_leave(group_t *g, etime_t until) { g->until = until; }

void group_drop_state(group_t *g, store_t *store) {
    store_drop_space(store, g->space);
    store_drop_space(store, g->chunks.space);
    g->space = g->chunks.space = NULL;
}

const uint8_t *group_left(const group_t *g) { return g->left; }

etime_t group_last_end(const group_t *group) {
    const group_t *g = state_of(group);
    etime_t last = g->panes.n ? g->panes.at[g->panes.n - 1]->span.end : ETIME_MIN;
    for (map_slot_t *slot = map_next(&g->sessions.chains, NULL); slot; slot = map_next(&g->sessions.chains, slot))
        for (const session_t *x = ((const chain_t *)slot->value)->first; x; x = x->next)
            last = x->span.end > last ? x->span.end : last;
    return last;
}

size_t group_open_windows(const group_t *group) {
    const group_t *g = state_of(group);
    size_t n = g->sessions.open;
    for (size_t i = g->panes.fired; i < g->panes.n; i++)
        n += g->panes.at[i]->n;
    return n;
}

etime_t group_next_end(const group_t *group) {
    const group_t *g = state_of(group);
    if (g->rule->window.kind != WINDOW_SESSION)
        return panes_next_end(&g->panes);
    etime_t due = sessions_next_due(&g->sessions);
    return due == ETIME_MAX ? due : due + 1;
}

/* --- keys --- */

static int same_cell(const cell_t *x, const cell_t *y) {
    if (x == y)
        return 1;
    if (x->kind != y->kind)
        return 0;
    switch (x->kind) {
    case CELL_NULL:
    case CELL_FALSE:
    case CELL_TRUE: return 1;
    case CELL_INT: return x->u.i == y->u.i;
    case CELL_NUM: return x->u.d == y->u.d;
    case CELL_SYM: return x->u.sym == y->u.sym;
    default: return x->len == y->len && x->flags == y->flags && memcmp(x->raw, y->raw, x->len) == 0;
    }
}

static const cell_t *by_cell(const group_pass_t *p, uint32_t i, uint32_t row) {
    return &p->by[i].cells[p->by[i].map[row]];
}

int group_same_cells(const group_pass_t *p, uint32_t a, uint32_t b) {
    for (uint32_t i = 0; i < p->g->rule->group_by.n; i++)
        if (!same_cell(by_cell(p, i, a), by_cell(p, i, b)))
            return 0;
    return 1;
}

void group_key(const group_pass_t *p, uint32_t row, buf_t *out) {
    for (uint32_t i = 0; i < p->g->rule->group_by.n; i++)
        cell_key(out, by_cell(p, i, row));
}

void group_time_key(buf_t *out, etime_t t) {
    uint64_t v = __builtin_bswap64((uint64_t)t ^ (uint64_t)1 << 63);
    buf_add(out, &v, sizeof v);
}

/* --- a group's state --- */

group_head_t group_head(const store_entry_t *e) {
    group_head_t h;
    memcpy(&h, entry_value(e).s, sizeof h);
    return h;
}

void group_set_head(space_t *sp, store_entry_t *e, const group_head_t *h) { memcpy(entry_edit(sp, e), h, sizeof *h); }

static void tell_refused(step_t *s, const rule_t *rule) {
    step_limit(s, rule, "max_state is reached: a row of a new group was left out");
}

static void refuse(group_pass_t *p) {
    tell_refused(p->s, p->rule);
    p->refused++;
}

store_entry_t *group_find_or_make(group_pass_t *p, span_t span, uint32_t flags, uint32_t row, int *made) {
    group_t *g = p->g;
    store_entry_t *e;
    if (store_full(p->s->store)) {
        e = store_get(g->space, g->key.s, g->key.len);
        if (!e)
            refuse(p);
        return e;
    }
    e = store_put(g->space, g->key.s, g->key.len, made);
    if (!*made)
        return e;
    blob_t b = blob_of_entry(g->space, e);
    aggregate_init(g->aggregate, &b);
    group_head_t h = {.flags = flags, .span = span};
    memcpy(b.s, &h, sizeof h);
    buf_clear(&g->saved);
    for (uint32_t i = 0; i < g->rule->group_by.n; i++)
        cell_save_key(&g->saved, by_cell(p, i, row));
    region_set(&b, aggregate_fixed(g->aggregate), g->saved.s, g->saved.len);
    return e;
}

void group_add_row(group_pass_t *p, store_entry_t *e, uint32_t row) {
    blob_t b = blob_of_entry(p->g->space, e);
    aggregate_add(p->g->aggregate, &b, &p->context, row);
    if (b.len < ROWLOG_CHUNK || !aggregate_spill(p->g->aggregate, &b, &p->g->chunks))
        return;
    group_head_t h = group_head(e);
    h.flags |= GROUP_SPILLED;
    group_set_head(p->g->space, e, &h);
}

/* --- where a session's result stands ---
 * An early result has the window columns that its session had then; they are kept behind the group's cells. */

static int keeps_written(const group_t *g) { return g->rule->early && g->rule->window.kind == WINDOW_SESSION; }

/* Of the region of the group's cells, behind them: nothing, or a span. */
static slice_t behind_cells(const group_t *g, const store_entry_t *e) {
    slice_t saved = region_bytes(entry_value(e).s, aggregate_fixed(g->aggregate));
    reader_t r = reader_of(saved.s, saved.len);
    for (uint32_t i = 0; i < g->rule->group_by.n; i++)
        cell_load(&r);
    return (slice_t){saved.s + r.pos, saved.len - r.pos};
}

static span_t group_written(const group_t *g, const store_entry_t *e) {
    span_t span = group_head(e).span;
    slice_t kept = keeps_written(g) ? behind_cells(g, e) : (slice_t){NULL, 0};
    if (kept.len == sizeof span)
        memcpy(&span, kept.s, sizeof span);
    return span;
}

static void keep_written(group_t *g, store_entry_t *e, span_t span) {
    span_t before = group_written(g, e);
    if (before.start == span.start && before.end == span.end && behind_cells(g, e).len)
        return;
    slice_t saved = region_bytes(entry_value(e).s, aggregate_fixed(g->aggregate)), kept = behind_cells(g, e);
    buf_clear(&g->saved);
    buf_add(&g->saved, saved.s, saved.len - kept.len);
    buf_add(&g->saved, (const char *)&span, sizeof span);
    blob_t b = blob_of_entry(g->space, e);
    region_set(&b, aggregate_fixed(g->aggregate), g->saved.s, g->saved.len);
}

fate_t *group_fate(group_pass_t *p, store_entry_t *e) {
    if (p->g->plain)
        return NULL;
    fate_t *f = entry_tag(e);
    if (f)
        return f;
    f = arena_alloc(p->s->arena, sizeof *f);
    *f = (fate_t){e, group_head(e).flags & (GROUP_WRITTEN | GROUP_GIVEN), group_written(p->g, e), p->fates};
    p->fates = f;
    entry_set_tag(e, f);
    return f;
}

void group_drop(group_pass_t *p, store_entry_t *e) {
    fate_t *f = entry_tag(e);
    if (f)
        f->entry = NULL;
    entry_set_tag(e, NULL);
    if (group_head(e).flags & GROUP_SPILLED)
        aggregate_drop(p->g->aggregate, entry_value(e).s, &p->g->chunks);
    store_del(p->g->space, e);
}

void group_overrun(group_pass_t *p, uint32_t tick) {
    step_overrun(p->s, tick);
    p->context.script = p->s->script;
}

/* --- candidates --- */

static void fill_group_cells(group_pass_t *p, const store_entry_t *e, cell_t *out) {
    group_t *g = p->g;
    slice_t saved = region_bytes(entry_value(e).s, aggregate_fixed(g->aggregate));
    reader_t r = reader_of(arena_dup(p->outcome.bytes, saved.s, saved.len), saved.len);
    for (uint32_t i = 0; i < g->rule->group_by.n; i++)
        out[i] = cell_load(&r);
}

/* The first window of a version that took over, where it does not begin on a boundary of its own. */
static int group_is_cut(const group_t *g, span_t span) {
    window_iter_t it;
    if (span.start != g->begin || g->rule->window.kind != WINDOW_TUMBLE)
        return 0;
    window_first(&it, &g->rule->window, span.start);
    return it.span.start != span.start;
}

int group_candidate(group_pass_t *p, outcome_kind_t what, store_entry_t *e, uint32_t tick, uint32_t set, int touched) {
    group_t *g = p->g;
    span_t span = group_head(e).span;
    origin_t origin = {
        .time = span.end - 1, .topic = TOPIC_NONE, .tick = tick, .flags = group_is_cut(g, span) ? ORIGIN_PARTIAL : 0};
    cell_t *cells;
    candidate_t *c = outcome_add(&p->outcome, what, group_fate(p, e), &origin, 0, &cells);
    c->set = set;
    c->touched = touched;
    fill_group_cells(p, e, cells);
    uint32_t n = g->rule->group_by.n;
    cells[n] = cell_time(span.start);
    cells[n + 1] = cell_time(span.end);
    cells[n + 2] = cell_time(span.end - 1);
    agg_context_t context = p->context;
    context.arena = p->outcome.bytes;
    int status = aggregate_values(g->aggregate, entry_value(e).s, &context, cells + n + 3);
    if (status)
        group_overrun(p, tick);
    else if (outcome_is_full(&p->outcome))
        outcome_sift(&p->outcome, p->s);
    p->context.script = p->s->script; /* made anew where `having` overran; rows behind go into the state all the same */
    return status;
}

int group_look_early(group_pass_t *p, store_entry_t *e, uint32_t tick) {
    if (!p->g->rule->early || p->g->rule->top_n > 0)
        return 0;
    if (!entry_tag(e) && (group_head(e).flags & GROUP_WRITTEN))
        return 0;
    return group_candidate(p, OUTCOME_EARLY, e, tick, 0, 0);
}

void group_late(group_pass_t *p, uint32_t row) {
    uint32_t tick = batch_origin(p->context.rows, row)->tick;
    step_late(p->s, p->rule, p->context.rows, row, tick);
    if (!p->g->readers)
        return;
    if (p->n_late == p->cap_late) {
        uint32_t cap = p->cap_late ? p->cap_late * 2 : 64;
        group_late_row_t *late = arena_array(p->s->arena, group_late_row_t, cap);
        if (p->n_late)
            memcpy(late, p->late, sizeof *late * p->n_late);
        p->late = late;
        p->cap_late = cap;
    }
    p->late[p->n_late++] = (group_late_row_t){row, tick};
}

/* --- one run --- */

/* What was written is part of the state; a fate ends with its step. */
static void settle(group_pass_t *p) {
    for (fate_t *f = p->fates; f; f = f->next) {
        if (!f->entry)
            continue;
        group_head_t h = group_head(f->entry);
        uint32_t flags = (h.flags & GROUP_STATE_FLAGS) | f->flags;
        if (flags != h.flags) {
            h.flags = flags;
            group_set_head(p->g->space, f->entry, &h);
        }
        if (keeps_written(p->g) && f->flags & GROUP_WRITTEN)
            keep_written(p->g, f->entry, f->written);
        entry_set_tag(f->entry, NULL);
    }
}

static int prepare(group_pass_t *p) {
    const rule_t *rule = p->g->rule;
    arena_t *a = p->s->arena;
    column_t *by = arena_array(a, column_t, rule->group_by.n);
    for (uint32_t i = 0; i < rule->group_by.n; i++)
        by[i] = aggregate_column(a, p->context.rows, rule->group_by.at[i]);
    p->by = by;
    p->context.errors = arena_array(a, eval_errors_t, rule->n_aggs);
    memset(p->context.errors, 0, sizeof *p->context.errors * rule->n_aggs);
    outcome_init(&p->outcome, rule, a);
    return aggregate_args(p->g->aggregate, &p->context);
}

/* Until now nothing has happened: where an argument overruns, the rows before it are all there is. */
static void prepare_some(group_pass_t *p, stream_t *in) {
    for (;;) {
        p->context.rows = in->batch;
        if (prepare(p) == 0)
            return;
        group_overrun(p, batch_origin(in->batch, script_overrun_row(p->s->script))->tick);
        step_cut(p->s, in);
    }
}

/* The watermarks before a tick. Mostly nothing closes at the last of them: then nothing does at the others. */
static int pass_marks(group_pass_t *p, const stream_t *in, uint32_t *m, uint32_t tick) {
    int sessions = p->g->rule->window.kind == WINDOW_SESSION, status = 0;
    uint32_t to = *m;
    while (to < in->n_marks && in->marks[to].tick < tick)
        to++;
    if (to > *m && (sessions ? group_session_quiet : group_pane_quiet)(p->g, in->marks[to - 1].wm)) {
        p->wm = in->marks[to - 1].wm;
        *m = to;
    }
    for (; *m < to && status == 0; ++*m) {
        p->wm = in->marks[*m].wm;
        status =
            sessions ? group_session_watermark(p, in->marks[*m].tick) : group_pane_watermark(p, in->marks[*m].tick);
    }
    return status;
}

/* What was added up elsewhere and came before this tick is over. */
static int pass_partials(group_pass_t *p, const stream_t *in, uint32_t *m, uint32_t tick) {
    int status = 0;
    for (; p->partial < p->g->n_partials && p->g->partials[p->partial].tick <= tick && status == 0; p->partial++) {
        status = pass_marks(p, in, m, p->g->partials[p->partial].tick);
        if (status == 0)
            group_merge(p, &p->g->partials[p->partial]);
    }
    return status;
}

static uint32_t partial_tick(const group_pass_t *p) {
    return p->partial < p->g->n_partials ? p->g->partials[p->partial].tick : UINT32_MAX;
}

/* The first watermark that fires a window which is open now; looked for again only when that changes. */
typedef struct firing {
    etime_t end;
    uint32_t mark;
} firing_t;

static uint32_t firing_tick(const group_pass_t *p, const stream_t *in, uint32_t m, firing_t *f) {
    etime_t end = group_pane_next_end(p->g);
    if (end < f->end || f->mark < m)
        f->mark = m;
    f->end = end;
    while (f->mark < in->n_marks && !window_is_over(end, 0, in->marks[f->mark].wm))
        f->mark++;
    return f->mark < in->n_marks ? in->marks[f->mark].tick : UINT32_MAX;
}

static int walk(group_pass_t *p, const stream_t *in) {
    int sessions = p->g->rule->window.kind == WINDOW_SESSION, status = 0;
    int counting = p->g->counting && !sessions;
    uint32_t m = 0, row = 0, n = in->batch->n;
    firing_t firing = {.end = ETIME_MIN};
    while (row < n && status == 0) {
        status = pass_partials(p, in, &m, stream_tick(in, row));
        if (status == 0)
            status = pass_marks(p, in, &m, stream_tick(in, row));
        if (status == 0)
            status = sessions ? group_session_row(p, row) : group_pane_row(p, row);
        row++;
        /* Rows of a window that stays open need no watermark. */
        if (counting && row < n && partial_tick(p) == UINT32_MAX)
            row = group_pane_count(p, row, firing_tick(p, in, m, &firing));
    }
    if (status == 0)
        status = pass_partials(p, in, &m, UINT32_MAX);
    if (status == 0)
        status = pass_marks(p, in, &m, UINT32_MAX);
    group_pane_settle(p);
    return status;
}

static void report_errors(const group_pass_t *p, step_t *s, const rule_t *rule) {
    for (uint32_t i = 0; i < rule->n_aggs; i++) {
        int fold = rule->aggs[i].kind == AGG_FOLD;
        step_errors(s, rule, fold ? rule->aggs[i].fold : rule->aggs[i].arg.fn, fold ? NULL : p->context.rows,
                    &p->context.errors[i]);
    }
}

/* A run that has done nothing yet but ask for arguments. */
static group_pass_t *begin_pass(group_t *g, const rule_t *rule, step_t *s, stream_t *in) {
    group_pass_t *p = arena_alloc(s->arena, sizeof *p);
    *p = (group_pass_t){.g = g, .s = s, .rule = rule, .wm = in->wm_before};
    p->context = (agg_context_t){.topics = s->topics, .arena = s->arena, .script = s->script};
    prepare_some(p, in);
    return p;
}

/* Rows and watermarks go into the state and leave candidates; nothing is decided yet. */
static void take_rows(group_pass_t *p, const stream_t *in) {
    group_t *g = p->g;
    g->run++;
    g->pass = p;
    g->walked = p->s->number;
    p->outcome.shared = g->readers != NULL;
    p->outcome.sifts = g->plain && !p->outcome.shared && g->rule->having != FN_NONE;
    group_pane_slots(g, in->batch->n);
    if (g->until != ETIME_MAX) {
        g->left = arena_array(p->s->arena, uint8_t, in->batch->n + 1);
        memset(g->left, 0, in->batch->n);
    }
    group_numbers_t numbers = group_read_numbers(g);
    g->chunks.next = numbers.chunk;
    p->context.chunks = &g->chunks;
    if (g->rule->window.kind == WINDOW_RECORD)
        group_record_rows(p);
    else
        walk(p, in);
    outcome_complete(&p->outcome, p->s);
    g->n_partials = 0;
    numbers.chunk = g->chunks.next;
    group_write_numbers(g, &numbers);
}

/* What the walk told the rule that it walked for. */
static void tell_again(const group_pass_t *p, step_t *s, const rule_t *rule) {
    for (uint32_t i = 0; i < p->n_late; i++)
        step_late(s, rule, p->context.rows, p->late[i].row, p->late[i].tick);
    for (uint32_t i = 0; i < p->refused; i++)
        tell_refused(s, rule);
}

static void decide(group_t *g, group_pass_t *p, step_t *s, result_t *out) {
    if (p->outcome.shared && p->outcome.n == 0) {
        out->batch = outcome_batch(&p->outcome);
        return;
    }
    group_numbers_t numbers = group_read_numbers(g);
    outcome_decide(&p->outcome, g->rule, s, &numbers.sequence, out);
    settle(p);
    group_write_numbers(g, &numbers);
}

/* The first of the rules that share a state takes the rows in, whichever that is; but not one that was stopped on the way
 * to them, for the others were not. */
int group_run(group_t *g, step_t *s, const stream_t *all, result_t *out) {
    stream_t in = *all;
    group_t *owner = g->lead ? g->lead : g;
    *out = (result_t){0};
    group_floor(g, in.wm_before);
    if (group_shares(g) && owner->walked == s->number) {
        tell_again(owner->pass, s, g->rule);
    } else {
        group_pass_t *p = begin_pass(owner, g->rule, s, &in);
        if (s->cut && group_shares(g)) {
            group_part(g);
            p->g = owner = g;
        }
        take_rows(p, &in);
    }
    group_pass_t *p = owner->pass;
    decide(g, p, s, out);
    report_errors(p, s, g->rule);
    return s->overrun[0] ? ERR_RUNAWAY : 0;
}
