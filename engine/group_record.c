/* record(): the rows of one tick are one record's, so its groups are made, judged and forgotten here without any state. */
#include "group_run.h"
#include "mem.h"
#include <stdlib.h>

typedef struct record_group {
    slice_t key;
    uint32_t *rows;
    uint32_t n, cap;
    uint32_t sub, set; /* number inside the record; what is ranked together */
} record_group_t;

typedef struct record_groups { /* of all records of the step, in order */
    record_group_t *at;
    uint32_t n, cap;
} record_groups_t;

static record_group_t *append(arena_t *a, record_groups_t *all) {
    if (all->n == all->cap) {
        uint32_t cap = all->cap ? all->cap * 2 : 256;
        record_group_t *at = arena_array(a, record_group_t, cap);
        if (all->n)
            memcpy(at, all->at, sizeof *at * all->n);
        all->at = at;
        all->cap = cap;
    }
    return &all->at[all->n++];
}

static cell_t group_cell(const group_pass_t *p, uint32_t i, const record_group_t *g) {
    return p->by[i].cells[p->by[i].map[g->rows[0]]];
}

static uint32_t group_tick(const group_pass_t *p, const record_group_t *g) {
    return batch_origin(p->context.rows, g->rows[0])->tick;
}

static int emit_group(group_pass_t *p, const record_group_t *g) {
    const rule_t *rule = p->g->rule;
    cell_t *cells;
    candidate_t *c =
        outcome_add(&p->outcome, OUTCOME_CLOSE, NULL, batch_origin(p->context.rows, g->rows[0]), g->sub, &cells);
    c->set = g->set;
    for (uint32_t i = 0; i < rule->group_by.n; i++)
        cells[i] = group_cell(p, i, g);
    int status = aggregate_over(p->g->aggregate, &p->context, g->rows, g->n, cells + rule->group_by.n);
    if (status)
        group_overrun(p, group_tick(p, g));
    return status;
}

static int compare_groups(const void *a, const void *b) {
    const record_group_t *x = a, *y = b;
    int c = memcmp(x->key.s, y->key.s, x->key.len < y->key.len ? x->key.len : y->key.len);
    return c ? c : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

static void add_row(arena_t *a, record_group_t *g, uint32_t row) {
    if (g->n == g->cap) {
        uint32_t cap = g->cap ? g->cap * 2 : 8;
        uint32_t *rows = arena_array(a, uint32_t, cap);
        if (g->n)
            memcpy(rows, g->rows, sizeof *rows * g->n);
        g->rows = rows;
        g->cap = cap;
    }
    g->rows[g->n++] = row;
}

/* Several groups: told apart by key, emitted in its order. */
static void many_groups(group_pass_t *p, const uint32_t *rows, uint32_t n, uint32_t set, record_groups_t *all) {
    arena_t *a = p->s->arena;
    record_group_t *groups = arena_array(a, record_group_t, n);
    uint32_t n_groups = 0;
    map_t by_key = {0};
    for (uint32_t i = 0; i < n; i++) {
        buf_clear(&p->g->key);
        buf_add_char(&p->g->key, 0); /* a map key is never empty */
        group_key(p, rows[i], &p->g->key);
        record_group_t *g = map_get(&by_key, p->g->key.s, p->g->key.len);
        if (!g) {
            g = &groups[n_groups++];
            *g = (record_group_t){.key = {arena_dup(a, p->g->key.s, p->g->key.len), p->g->key.len}, .set = set};
            map_put(&by_key, g->key.s, g->key.len, g);
        }
        add_row(a, g, rows[i]);
    }
    map_fini(&by_key);
    qsort(groups, n_groups, sizeof *groups, compare_groups);
    for (uint32_t i = 0; i < n_groups; i++) {
        groups[i].sub = i;
        *append(a, all) = groups[i];
    }
}

/* Do all group_by columns belong to the record as a whole? Then its rows are one group, and nothing is compared. */
static int groups_are_records(const group_pass_t *p) {
    for (uint32_t i = 0; i < p->g->rule->group_by.n; i++)
        if (p->by[i].map != p->context.rows->origin)
            return 0;
    return 1;
}

static int is_one_group(const group_pass_t *p, uint32_t from, uint32_t to) {
    for (uint32_t row = from + 1; row < to; row++)
        if (!group_same_cells(p, from, row))
            return 0;
    return 1;
}

/* Rows of one record stand in order as they come, but where several rules hand them on: then by number inside it. */
static void put_in_order(const batch_t *b, uint32_t *rows, uint32_t n) {
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t k = i; k > 0 && batch_row_order(b, rows[k - 1], b, rows[k]) > 0; k--) {
            uint32_t t = rows[k];
            rows[k] = rows[k - 1];
            rows[k - 1] = t;
        }
}

/* Where the rows of the record that has row `from` end. *one_origin: no other rule hands on rows of it. */
static uint32_t record_end(const batch_t *b, uint32_t from, int *one_origin) {
    uint32_t to = from + 1, tick = batch_origin(b, from)->tick;
    while (to < b->n && b->origin[to] == b->origin[from])
        to++;
    *one_origin = to == b->n || batch_origin(b, to)->tick != tick;
    while (to < b->n && batch_origin(b, to)->tick == tick)
        to++;
    return to;
}

static void collect(group_pass_t *p, record_groups_t *all) {
    const batch_t *b = p->context.rows;
    uint32_t *rows = arena_dup(p->s->arena, batch_iota(p->s->arena, b->n), b->n * sizeof *rows);
    int by_record = groups_are_records(p), one_origin;
    for (uint32_t from = 0, to; from < b->n; from = to) {
        to = record_end(b, from, &one_origin);
        int one_group = (by_record && one_origin) || is_one_group(p, from, to);
        if (!one_origin)
            put_in_order(b, rows + from, to - from);
        uint32_t set = p->g->rule->top_n > 0 ? outcome_new_set(&p->outcome) : 0;
        if (one_group)
            *append(p->s->arena, all) = (record_group_t){.rows = rows + from, .n = to - from, .set = set};
        else
            many_groups(p, rows + from, to - from, set, all);
    }
}

/* The groups as rows of the one column that `having` reads. Nothing is asked: see may_complain. */
static void judged_column(group_pass_t *p, const record_groups_t *all, const char *name, batch_t *b) {
    const rule_t *rule = p->g->rule;
    arena_t *a = p->s->arena;
    cell_t *cells = arena_array(a, cell_t, all->n);
    uint32_t *origin = arena_array(a, uint32_t, all->n);
    int by = names_index(&rule->group_by, name);
    uint32_t agg = 0;
    while (agg < rule->n_aggs && strcmp(rule->aggs[agg].name, name) != 0)
        agg++;
    for (uint32_t i = 0; i < all->n; i++) {
        const record_group_t *g = &all->at[i];
        origin[i] = p->context.rows->origin[g->rows[0]];
        if (by >= 0)
            cells[i] = group_cell(p, (uint32_t)by, g);
        else if (agg < rule->n_aggs)
            aggregate_one_over(p->g->aggregate, &p->context, agg, g->rows, g->n, &cells[i]);
        else
            cells[i] = cell_null();
    }
    column_t *column = arena_array(a, column_t, 1);
    *column = (column_t){cells, batch_iota(a, all->n)};
    const char **names = arena_array(a, const char *, 1);
    names[0] = name;
    *b = (batch_t){.n = all->n,
                   .n_origins = p->context.rows->n_origins,
                   .n_columns = 1,
                   .origin = origin,
                   .sub = origin,
                   .origins = p->context.rows->origins,
                   .columns = column,
                   .names = names};
}

/* Leaving it out must not hide what it would have complained about. */
static int may_complain(agg_kind_t kind) {
    return kind == AGG_SUM || kind == AGG_AVG || kind == AGG_QUANTILE || kind == AGG_FOLD;
}

/* The one column that decides over groups, where the others need not be worked out for those that do not pass; or NULL. */
static const char *deciding_column(const group_pass_t *p) {
    const rule_t *rule = p->g->rule;
    if (rule->having == FN_NONE || rule->n_aggs == 0)
        return NULL;
    for (uint32_t i = 0; i < rule->n_aggs; i++)
        if (may_complain(rule->aggs[i].kind))
            return NULL;
    return script_memo_column(p->s->script, rule->having);
}

static void leave_out(const group_pass_t *p, record_groups_t *all) {
    while (p->s->cut && all->n > 0 && group_tick(p, &all->at[all->n - 1]) >= p->s->stop)
        all->n--;
}

/* *pass stays NULL where all groups have to be worked out first. */
static void judge(group_pass_t *p, record_groups_t *all, uint8_t **pass) {
    const rule_t *rule = p->g->rule;
    const char *column = all->n ? deciding_column(p) : NULL;
    if (!column)
        return;
    batch_t b;
    eval_errors_t errors = {0};
    *pass = arena_array(p->s->arena, uint8_t, all->n);
    judged_column(p, all, column, &b);
    while (script_where(p->s->script, rule->having, &b, *pass, &errors)) {
        group_overrun(p, batch_origin(&b, script_overrun_row(p->s->script))->tick);
        leave_out(p, all);
        b.n = all->n;
    }
    step_errors(p->s, rule, rule->having, &b, &errors);
}

void group_record_rows(group_pass_t *p) {
    record_groups_t all = {0};
    uint8_t *pass = NULL;
    collect(p, &all);
    judge(p, &all, &pass);
    int status = 0;
    for (uint32_t i = 0; i < all.n && status == 0; i++)
        if (!pass || pass[i])
            status = emit_group(p, &all.at[i]);
    if (pass) {
        p->outcome.n_judged = p->outcome.n;
        p->outcome.n_judged_rows = p->outcome.n_rows;
    }
}
