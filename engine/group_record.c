/* record(): the rows of one tick are one record's, so its groups are made, judged and forgotten here without any state. */
#include "group_run.h"
#include "mem.h"
#include <stdlib.h>

typedef struct record_group {
    slice_t key;
    uint32_t *rows;
    uint32_t n, cap;
} record_group_t;

static int emit_group(group_pass_t *p, const uint32_t *rows, uint32_t n, uint32_t sub, uint32_t set) {
    const rule_t *rule = p->g->rule;
    cell_t *cells;
    candidate_t *c = outcome_add(&p->outcome, OUTCOME_CLOSE, NULL, batch_origin(p->context.rows, rows[0]), sub, &cells);
    c->set = set;
    for (uint32_t i = 0; i < rule->group_by.n; i++)
        cells[i] = p->by[i].cells[p->by[i].map[rows[0]]];
    return aggregate_over(p->g->aggregate, &p->context, rows, n, cells + rule->group_by.n);
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
static int many_groups(group_pass_t *p, const uint32_t *rows, uint32_t n, uint32_t set) {
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
            *g = (record_group_t){.key = {arena_dup(a, p->g->key.s, p->g->key.len), p->g->key.len}};
            map_put(&by_key, g->key.s, g->key.len, g);
        }
        add_row(a, g, rows[i]);
    }
    map_fini(&by_key);
    qsort(groups, n_groups, sizeof *groups, compare_groups);
    int status = 0;
    for (uint32_t i = 0; i < n_groups && status == 0; i++)
        status = emit_group(p, groups[i].rows, groups[i].n, i, set);
    return status;
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

int group_record_rows(group_pass_t *p) {
    const batch_t *b = p->context.rows;
    uint32_t *rows = arena_array(p->s->arena, uint32_t, b->n);
    int status = 0;
    for (uint32_t from = 0, to; from < b->n && status == 0; from = to) {
        uint32_t tick = batch_origin(b, from)->tick;
        int one_group = 1, one_origin = 1;
        for (to = from; to < b->n && batch_origin(b, to)->tick == tick; to++) {
            rows[to] = to;
            one_origin &= b->origin[to] == b->origin[from];
            one_group = one_group && group_same_cells(p, from, to);
        }
        if (!one_origin)
            put_in_order(b, rows + from, to - from);
        uint32_t set = p->g->rule->top_n > 0 ? outcome_new_set(&p->outcome) : 0;
        status =
            one_group ? emit_group(p, rows + from, to - from, 0, set) : many_groups(p, rows + from, to - from, set);
    }
    return status;
}
