#include "match_output.h"
#include "mem.h"

typedef struct output_column {
    const char *name;
    cell_t *cells;
} output_column_t;

struct match_output {
    arena_t *arena;
    output_column_t *columns;
    size_t n_columns, cap_columns;
    origin_t *origins;
    uint32_t *subs;
    etime_t *stamps;
    uint32_t n;
    size_t cap;
    uint32_t open;
};

match_output_t *match_output_new(void) { return mem_zalloc(sizeof(match_output_t)); }

static void clear(match_output_t *o) {
    for (size_t i = 0; i < o->n_columns; i++)
        mem_free(o->columns[i].cells);
    mem_free(o->columns);
    mem_free(o->origins);
    mem_free(o->subs);
    mem_free(o->stamps);
    *o = (match_output_t){0};
}

void match_output_free(match_output_t *o) {
    if (!o)
        return;
    clear(o);
    mem_free(o);
}

void match_output_begin(match_output_t *o, arena_t *a) {
    clear(o);
    o->arena = a;
}

static slice_t keep(match_output_t *o, slice_t s) {
    return s.s ? (slice_t){arena_dup(o->arena, s.s, s.len), s.len} : s;
}

static void grow(match_output_t *o) {
    size_t cap = o->cap ? o->cap * 2 : 16;
    for (size_t i = 0; i < o->n_columns; i++)
        o->columns[i].cells = mem_realloc(o->columns[i].cells, cap * sizeof(cell_t));
    o->origins = mem_realloc(o->origins, cap * sizeof *o->origins);
    o->subs = mem_realloc(o->subs, cap * sizeof *o->subs);
    o->stamps = mem_realloc(o->stamps, cap * sizeof *o->stamps);
    o->cap = cap;
}

void match_output_row(match_output_t *o, const origin_t *from, uint32_t sub, etime_t stamp, etime_t time,
                      uint32_t tick) {
    if (o->n == o->cap)
        grow(o);
    uint32_t i = o->n++;
    o->origins[i] = *from;
    o->origins[i].time = time;
    o->origins[i].tick = tick;
    o->origins[i].key = keep(o, from->key);
    o->origins[i].value = (slice_t){0};
    o->subs[i] = sub;
    o->stamps[i] = stamp;
    for (size_t c = 0; c < o->n_columns; c++)
        o->columns[c].cells[i] = cell_null();
}

void match_output_set(match_output_t *o, const char *name, const cell_t *c) {
    size_t i = 0;
    while (i < o->n_columns && o->columns[i].name != name && strcmp(o->columns[i].name, name) != 0)
        i++;
    if (i == o->n_columns) {
        mem_grow(&o->columns, &o->cap_columns, i + 1, sizeof *o->columns);
        o->columns[i] =
            (output_column_t){arena_dup(o->arena, name, strlen(name) + 1), mem_zalloc(o->cap * sizeof(cell_t))};
        o->n_columns++;
    }
    cell_t *to = &o->columns[i].cells[o->n - 1];
    *to = *c;
    if (c->raw && c->len)
        to->raw = arena_dup(o->arena, c->raw, c->len);
}

void match_output_pass(match_output_t *o, const batch_t *rows, uint32_t row) {
    for (uint32_t c = 0; c < rows->n_columns; c++)
        match_output_set(o, rows->names[c], batch_cell(rows, c, row));
    if (!rows->open)
        return;
    o->open = 1;
    o->origins[o->n - 1].value = keep(o, batch_origin(rows, row)->value);
}

void match_output_finish(match_output_t *o, result_t *out) {
    arena_t *a = o->arena;
    uint32_t n = o->n, n_columns = (uint32_t)o->n_columns;
    const uint32_t *iota = batch_iota(a, n ? n : 1);
    column_t *columns = arena_array(a, column_t, n_columns ? n_columns : 1);
    const char **names = arena_array(a, const char *, n_columns ? n_columns : 1);
    for (uint32_t i = 0; i < n_columns; i++) {
        columns[i] = (column_t){arena_dup(a, o->columns[i].cells, n * sizeof(cell_t)), iota};
        names[i] = o->columns[i].name;
    }
    batch_t *b = arena_array(a, batch_t, 1);
    *b = (batch_t){.n = n,
                   .n_origins = n,
                   .n_columns = n_columns,
                   .open = o->open,
                   .origin = iota,
                   .sub = arena_dup(a, o->subs, n * sizeof *o->subs),
                   .origins = arena_dup(a, o->origins, n * sizeof *o->origins),
                   .columns = columns,
                   .names = names};
    *out = (result_t){.batch = b, .stamps = arena_dup(a, o->stamps, n * sizeof *o->stamps)};
    clear(o);
}
