#include "match_window.h"
#include "mem.h"

typedef struct window_column {
    char *name;
    cell_t *cells;
} window_column_t;

void match_window_init(match_window_t *w, uint64_t first) { *w = (match_window_t){.first = first}; }

void match_window_fini(match_window_t *w) {
    for (uint32_t i = 0; i < w->batch.n_columns; i++) {
        mem_free(w->held[i].name);
        mem_free(w->held[i].cells);
    }
    mem_free(w->held);
    mem_free(w->columns);
    mem_free(w->names);
    mem_free(w->origins);
    mem_free(w->sources);
    mem_free(w->subs);
    mem_free(w->iota);
}

/* Points the batch at the arrays, which may have moved. */
static void bind(match_window_t *w) {
    for (uint32_t i = 0; i < w->batch.n_columns; i++) {
        w->columns[i] = (column_t){w->held[i].cells + w->head, w->iota};
        w->names[i] = w->held[i].name;
    }
    w->batch.columns = w->columns;
    w->batch.names = w->names;
    w->batch.origin = w->iota;
    w->batch.sub = w->subs + w->head;
    w->batch.origins = w->origins + w->head;
}

static void to_front(match_window_t *w) {
    uint32_t n = w->batch.n;
    for (uint32_t i = 0; i < w->batch.n_columns; i++)
        memmove(w->held[i].cells, w->held[i].cells + w->head, n * sizeof(cell_t));
    memmove(w->origins, w->origins + w->head, n * sizeof *w->origins);
    memmove(w->sources, w->sources + w->head, n * sizeof *w->sources);
    memmove(w->subs, w->subs + w->head, n * sizeof *w->subs);
    w->head = 0;
}

static void grow(match_window_t *w) {
    size_t cap = w->cap ? w->cap * 2 : 8;
    for (uint32_t i = 0; i < w->batch.n_columns; i++)
        w->held[i].cells = mem_realloc(w->held[i].cells, cap * sizeof(cell_t));
    w->origins = mem_realloc(w->origins, cap * sizeof *w->origins);
    w->sources = mem_realloc(w->sources, cap * sizeof *w->sources);
    w->subs = mem_realloc(w->subs, cap * sizeof *w->subs);
    w->iota = mem_realloc(w->iota, cap * sizeof *w->iota);
    for (size_t i = w->cap; i < cap; i++)
        w->iota[i] = (uint32_t)i;
    w->cap = cap;
}

static uint32_t column_of(match_window_t *w, const char *name, uint32_t hint) {
    uint32_t n = w->batch.n_columns;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = hint + k < n ? hint + k : hint + k - n;
        if (strcmp(w->held[i].name, name) == 0)
            return i;
    }
    size_t cap = w->cap_columns;
    mem_grow(&w->held, &cap, (size_t)n + 1, sizeof *w->held);
    if (cap != w->cap_columns) {
        w->columns = mem_realloc(w->columns, cap * sizeof *w->columns);
        w->names = mem_realloc(w->names, cap * sizeof *w->names);
        w->cap_columns = cap;
    }
    w->held[n] = (window_column_t){mem_strdup(name), mem_zalloc((w->cap ? w->cap : 1) * sizeof(cell_t))};
    w->batch.n_columns++;
    return n;
}

void match_window_add(match_window_t *w, const batch_t *row, void *source) {
    uint32_t n_columns = w->batch.n_columns;
    int moved = w->head + w->batch.n == w->cap;
    if (moved) {
        if (w->head > w->batch.n)
            to_front(w);
        else
            grow(w);
    }
    size_t at = w->head + w->batch.n;
    for (uint32_t i = 0; i < n_columns; i++)
        w->held[i].cells[at].kind = CELL_NULL;
    for (uint32_t i = 0; i < row->n_columns; i++) {
        uint32_t c = column_of(w, row->names[i], i < w->batch.n_columns ? i : 0);
        w->held[c].cells[at] = *batch_cell(row, i, 0);
    }
    w->sources[at] = source;
    w->origins[at] = *batch_origin(row, 0);
    w->subs[at] = row->sub[0];
    w->batch.open |= row->open;
    w->batch.n++;
    w->batch.n_origins = w->batch.n;
    if (moved || w->batch.n_columns != n_columns)
        bind(w);
}

void *match_window_source(const match_window_t *w, uint64_t row) {
    return w->sources[w->head + (size_t)(row - w->first)];
}

void match_window_drop(match_window_t *w, uint64_t before) {
    if (before <= w->first)
        return;
    uint64_t n = before - w->first;
    if (n > w->batch.n)
        n = w->batch.n;
    w->head += (size_t)n;
    w->first += n;
    w->batch.n -= (uint32_t)n;
    w->batch.n_origins = w->batch.n;
    if (w->cap)
        bind(w);
}
