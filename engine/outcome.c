#include "outcome.h"
#include <stdlib.h>

static int has_window_columns(const rule_t *r) { return r->window.kind != WINDOW_RECORD; }

uint32_t outcome_before_values(const rule_t *r) { return r->group_by.n + (has_window_columns(r) ? 3u : 0u); }

void outcome_init(outcome_t *o, const rule_t *rule, arena_t *a) {
    *o = (outcome_t){.rule = rule, .arena = a, .bytes = a, .numbered = has_window_columns(rule)};
    o->width = outcome_before_values(rule) + rule->n_aggs + (rule->provenance ? 1u : 0u);
}

uint32_t outcome_new_set(outcome_t *o) { return ++o->sets; }

static void *grown(arena_t *a, const void *old, size_t n, size_t cap, size_t size) {
    void *to = arena_alloc(a, cap * size);
    if (n)
        memcpy(to, old, n * size);
    return to;
}

static void grow_candidates(outcome_t *o, size_t cap) {
    o->cap = cap;
    o->at = grown(o->arena, o->at, o->n, cap, sizeof *o->at);
}

static void grow_rows(outcome_t *o, uint32_t cap) {
    o->cap_rows = cap;
    o->cells = grown(o->arena, o->cells, (size_t)o->n_rows * o->width, (size_t)cap * o->width, sizeof *o->cells);
    o->origins = grown(o->arena, o->origins, o->n_rows, cap, sizeof *o->origins);
    o->subs = grown(o->arena, o->subs, o->n_rows, cap, sizeof *o->subs);
}

void outcome_expect(outcome_t *o, uint32_t rows) {
    if (o->sifts || rows <= OUTCOME_SIFTED)
        return;
    if (o->cap - o->n < rows)
        grow_candidates(o, o->cap * 2 > o->n + rows ? o->cap * 2 : o->n + rows);
    if (o->cap_rows - o->n_rows < rows)
        grow_rows(o, o->cap_rows * 2 > o->n_rows + rows ? o->cap_rows * 2 : o->n_rows + rows);
}

static candidate_t *append(outcome_t *o) {
    if (o->n == o->cap)
        grow_candidates(o, o->cap ? o->cap * 2 : 64);
    candidate_t *c = &o->at[o->n++];
    *c = (candidate_t){0};
    return c;
}

candidate_t *outcome_add(outcome_t *o, outcome_kind_t what, fate_t *fate, const origin_t *origin, uint32_t sub,
                         cell_t **cells) {
    if (o->n_rows == o->cap_rows)
        grow_rows(o, o->cap_rows ? o->cap_rows * 2 : 64);
    candidate_t *c = append(o);
    c->what = what;
    c->fate = fate;
    c->row = o->n_rows++;
    o->origins[c->row] = *origin;
    o->subs[c->row] = sub;
    *cells = o->cells + (size_t)c->row * o->width;
    return c;
}

void outcome_merge(outcome_t *o, fate_t *fate, fate_t *into) {
    candidate_t *c = append(o);
    c->what = OUTCOME_MERGE;
    c->fate = fate;
    c->into = into;
}

/* --- the candidates as a batch: columns are strides through the rows --- */

static const char **column_names(const outcome_t *o, arena_t *a) {
    const rule_t *r = o->rule;
    const char **names = arena_array(a, const char *, o->width + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->group_by.n; i++)
        names[n++] = r->group_by.at[i];
    if (has_window_columns(r)) {
        names[n++] = "window_start";
        names[n++] = "window_end";
        names[n++] = "window_time";
    }
    for (uint32_t i = 0; i < r->n_aggs; i++)
        names[n++] = r->aggs[i].name;
    if (r->provenance)
        names[n++] = EXPLAIN_COLUMN;
    return names;
}

static batch_t *rows_from(const outcome_t *o, arena_t *a, uint32_t from) {
    uint32_t n = o->n_rows - from, *map = arena_array(a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        map[i] = i * o->width;
    column_t *columns = arena_array(a, column_t, o->width);
    for (uint32_t c = 0; c < o->width; c++)
        columns[c] = (column_t){o->cells + (size_t)from * o->width + c, map};
    batch_t *b = arena_array(a, batch_t, 1);
    *b = (batch_t){.n = n,
                   .n_origins = n,
                   .n_columns = o->width,
                   .origin = batch_iota(a, n),
                   .sub = o->subs + from,
                   .origins = o->origins + from,
                   .columns = columns,
                   .names = column_names(o, a)};
    return b;
}

batch_t *outcome_batch(outcome_t *o) {
    if (!o->rows)
        o->rows = rows_from(o, o->arena, 0);
    return o->rows;
}

/* --- having --- */

/* Of the rows in b, which begins with the row `from`, those that nobody was asked about. Rows that only serve a tombstone
 * are not asked. */
static int ask_having(const outcome_t *o, const rule_t *rule, step_t *s, arena_t *a, const batch_t *b, uint32_t from,
                      uint8_t *pass) {
    memset(pass, 1, b->n);
    if (rule->having == FN_NONE || o->n_judged >= o->n)
        return 0;
    uint32_t *asked = arena_array(a, uint32_t, b->n), n = 0;
    for (size_t i = o->n_judged; i < o->n; i++)
        if (o->at[i].what != OUTCOME_MERGE && o->at[i].what != OUTCOME_RETRACT)
            asked[n++] = o->at[i].row - from;
    const batch_t *rows = n == b->n ? b : batch_select(a, b, asked, n);
    uint8_t *answer = arena_array(a, uint8_t, n);
    eval_errors_t errors = {0};
    int status = script_where(s->script, rule->having, rows, answer, &errors);
    if (status) {
        step_overrun(s, batch_origin(rows, script_overrun_row(s->script))->tick);
        return status;
    }
    step_errors(s, rule, rule->having, rows, &errors);
    for (uint32_t i = 0; i < n; i++)
        pass[asked[i]] = answer[i];
    return 0;
}

/* What the rule does not see any more: the candidates from the first row on that is of such a tick. From the end, since
 * ticks only grow and what was kept may be a million rows. */
static void cut(outcome_t *o, const step_t *s) {
    size_t first = o->n;
    for (size_t i = o->n; s->cut && i > 0; i--) {
        if (o->at[i - 1].what == OUTCOME_MERGE)
            continue;
        if (o->origins[o->at[i - 1].row].tick < s->stop)
            break;
        first = i - 1;
    }
    if (first == o->n)
        return;
    o->n_rows = o->at[first].row;
    o->n = first;
    o->n_judged = o->n_judged < o->n ? o->n_judged : o->n;
    o->n_judged_rows = o->n_judged_rows < o->n_rows ? o->n_judged_rows : o->n_rows;
    o->rows = NULL;
}

/* --- sifting --- */

static void keep_bytes(arena_t *a, cell_t *cells, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (cells[i].raw)
            cells[i].raw = arena_dup(a, cells[i].raw, cells[i].len);
}

static void move_row(outcome_t *o, uint32_t from, uint32_t to) {
    cell_t *cells = o->cells + (size_t)to * o->width;
    if (to != from) {
        memcpy(cells, o->cells + (size_t)from * o->width, o->width * sizeof *cells);
        o->origins[to] = o->origins[from];
        o->subs[to] = o->subs[from];
    }
    if (o->bytes != o->arena)
        keep_bytes(o->arena, cells, o->width);
}

static void leave_out(outcome_t *o, const uint8_t *pass, uint32_t from) {
    size_t n = o->n_judged;
    uint32_t row = from;
    for (size_t i = n; i < o->n; i++) {
        candidate_t c = o->at[i];
        if (c.what != OUTCOME_MERGE) {
            if (!pass[c.row - from])
                continue;
            move_row(o, c.row, row);
            c.row = row++;
        }
        o->at[n++] = c;
    }
    o->n = o->n_judged = n;
    o->n_rows = o->n_judged_rows = row;
    o->rows = NULL;
}

void outcome_sift(outcome_t *o, step_t *s) {
    int status;
    do {
        cut(o, s);
        batch_t *b = rows_from(o, s->sieve, o->n_judged_rows);
        uint8_t *pass = arena_array(s->sieve, uint8_t, b->n);
        status = ask_having(o, o->rule, s, s->sieve, b, o->n_judged_rows, pass);
        if (status == 0)
            leave_out(o, pass, o->n_judged_rows);
    } while (status);
    arena_reset(s->sieve);
    o->bytes = s->sieve;
}

void outcome_complete(outcome_t *o, step_t *s) {
    if (o->bytes != o->arena)
        outcome_sift(o, s);
    o->bytes = o->arena;
}

/* --- deciding --- */

typedef struct decision {
    const outcome_t *o;
    const rule_t *rule;
    origin_t *origins; /* of emitted rows, where those of the candidates are not this rule's to number; or NULL */
    const uint8_t *pass;
    uint64_t sequence;
    uint32_t *sel; /* emitted candidate rows, in order */
    uint8_t *kind;
    uint32_t n;
    int plain; /* all of them are ROW_NEW */
} decision_t;

static void emit(decision_t *d, const candidate_t *c, row_kind_t kind) {
    origin_t *origin = &d->o->origins[c->row];
    if (d->origins) {
        d->origins[d->n] = *origin;
        origin = &d->origins[d->n];
    }
    if (d->o->numbered)
        origin->offset = (int64_t)d->sequence++;
    d->sel[d->n] = c->row;
    d->kind[d->n++] = (uint8_t)kind;
    if (kind != ROW_NEW)
        d->plain = 0;
}

static cell_t *window_cells(const decision_t *d, const candidate_t *c) {
    return d->o->cells + (size_t)c->row * d->o->width + d->rule->group_by.n;
}

static int stands_under(const fate_t *f, const cell_t *window) {
    return f->written.start == window[0].u.i && f->written.end == window[1].u.i;
}

/* A tombstone has the key of the result that it takes back. */
static void retract(decision_t *d, const candidate_t *c) {
    if (!c->fate || !(c->fate->flags & GROUP_WRITTEN))
        return;
    if (d->o->numbered) {
        cell_t *window = window_cells(d, c);
        span_t span = c->fate->written;
        window[0] = cell_time(span.start);
        window[1] = cell_time(span.end);
        window[2] = cell_time(span.end - 1);
        d->o->origins[c->row].time = span.end - 1;
    }
    emit(d, c, ROW_TOMBSTONE);
    c->fate->flags &= ~(uint32_t)GROUP_WRITTEN;
}

/* Readers get a row of a group once; what comes later replaces it, which only the topic can show. */
static void write_result(decision_t *d, const candidate_t *c) {
    if (!c->fate) {
        emit(d, c, ROW_NEW);
        return;
    }
    int again = c->what == OUTCOME_UPDATE || (c->fate->flags & GROUP_GIVEN);
    if (d->o->numbered)
        c->fate->written = (span_t){window_cells(d, c)[0].u.i, window_cells(d, c)[1].u.i};
    emit(d, c, again ? ROW_UPDATE : ROW_NEW);
    c->fate->flags |= GROUP_WRITTEN | (again ? 0u : GROUP_GIVEN);
}

/* stands: having holds and, where groups are ranked, the group is among the first. */
static void decide_row(decision_t *d, const candidate_t *c, int stands) {
    int written = c->fate && (c->fate->flags & GROUP_WRITTEN);
    switch (c->what) {
    case OUTCOME_CLOSE:
    case OUTCOME_EARLY:
        if (stands && !written)
            write_result(d, c);
        break;
    case OUTCOME_UPDATE:
        if (!stands)
            retract(d, c);
        else if (c->touched || !written)
            write_result(d, c);
        break;
    case OUTCOME_RETRACT:
        if (written && !(c->touched && stands_under(c->fate, window_cells(d, c))))
            retract(d, c);
        break;
    case OUTCOME_MERGE:
        if (c->fate && c->into)
            c->into->flags |= c->fate->flags & (GROUP_WRITTEN | GROUP_GIVEN);
        break;
    }
}

typedef struct ranked {
    const candidate_t *c;
    const cell_t *by;
    int desc;
} ranked_t;

/* Equal values rank by group key, which is the order the candidates of a set are in. */
static int compare_ranked(const void *a, const void *b) {
    const ranked_t *x = a, *y = b;
    int c = cell_compare(x->by, y->by);
    if (c)
        return x->desc ? -c : c;
    return (x->c > y->c) - (x->c < y->c);
}

/* One window's groups [from, to): emitted in the order of their rank. Tombstones of those that fell out come first. */
static void decide_set(decision_t *d, size_t from, size_t to, uint32_t by) {
    const outcome_t *o = d->o;
    ranked_t *ranked = arena_array(o->arena, ranked_t, to - from);
    size_t n = 0;
    for (size_t i = from; i < to; i++) {
        const candidate_t *c = &o->at[i];
        if (d->pass[c->row])
            ranked[n++] = (ranked_t){c, &o->cells[(size_t)c->row * o->width + by], d->rule->top_desc};
        else
            decide_row(d, c, 0);
    }
    qsort(ranked, n, sizeof *ranked, compare_ranked);
    size_t first = (uint64_t)d->rule->top_n < n ? (size_t)d->rule->top_n : n;
    for (size_t i = first; i < n; i++)
        decide_row(d, ranked[i].c, 0);
    for (size_t i = 0; i < first; i++)
        decide_row(d, ranked[i].c, 1);
}

static size_t set_end(const outcome_t *o, size_t from) {
    size_t to = from;
    while (to < o->n && o->at[to].what != OUTCOME_MERGE && o->at[to].set == o->at[from].set)
        to++;
    return to;
}

/* The emitted rows, placed by this rule's own numbers. */
static batch_t *placed(const decision_t *d, batch_t *b) {
    b->origins = d->origins;
    b->n_origins = d->n;
    b->origin = batch_iota(d->o->arena, d->n);
    return b;
}

void outcome_decide(const outcome_t *all, const rule_t *rule, step_t *s, uint64_t *sequence, result_t *out) {
    outcome_t mine = *all, *o = &mine; /* what one rule does not see any more others do */
    batch_t *b;
    uint8_t *pass = arena_array(o->arena, uint8_t, o->n_rows + 1);
    do {
        cut(o, s);
        b = outcome_batch(o);
    } while (ask_having(o, rule, s, o->arena, b, 0, pass));
    decision_t d = {.o = o,
                    .rule = rule,
                    .origins = o->shared ? arena_array(o->arena, origin_t, b->n) : NULL,
                    .pass = pass,
                    .sequence = *sequence,
                    .plain = 1,
                    .sel = arena_array(o->arena, uint32_t, b->n),
                    .kind = arena_array(o->arena, uint8_t, b->n)};
    int by = rule->top_n > 0 ? batch_column(b, rule->top_by) : -1;
    for (size_t i = 0; i < o->n;) {
        const candidate_t *c = &o->at[i];
        if (c->what != OUTCOME_MERGE && c->set && by >= 0) {
            size_t to = set_end(o, i);
            decide_set(&d, i, to, (uint32_t)by);
            i = to;
            continue;
        }
        decide_row(&d, c, c->what == OUTCOME_MERGE || pass[c->row]);
        i++;
    }
    out->batch = d.n == b->n && d.plain && by < 0 && !o->shared ? b : batch_select(o->arena, b, d.sel, d.n);
    if (o->shared)
        placed(&d, out->batch);
    out->kind = d.plain ? NULL : d.kind;
    *sequence = d.sequence;
}
