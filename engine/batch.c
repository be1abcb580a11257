#include "batch.h"
#include "json.h"

int batch_is_fact(const char *name) { return strcmp(name, EXPLAIN_COLUMN) == 0 || strcmp(name, FROM_COLUMN) == 0; }

int batch_column(const batch_t *b, const char *name) {
    for (uint32_t i = 0; i < b->n_columns; i++)
        if (strcmp(b->names[i], name) == 0)
            return (int)i;
    return -1;
}

static int find_member(slice_t object, const char *name, size_t len, slice_t *value) {
    const char *down = memchr(name, BATCH_DOWN, len);
    size_t n = down ? (size_t)(down - name) : len;
    if (object.s[0] != '{' && json_ws(object.s, object.s + object.len)[0] != '{')
        return -1;
    if (json_member(object, (slice_t){name, n}, value))
        return -1;
    return down ? find_member(*value, down + 1, len - n - 1, value) : 0;
}

int batch_has_times(const batch_t *b, uint32_t row) {
    for (uint32_t c = 0; c < b->n_columns; c++) {
        const cell_t *cell = batch_cell(b, c, row);
        if (cell->flags & CELL_TIME && cell_is_number(cell))
            return 1;
    }
    return b->open && batch_origin(b, row)->flags & ORIGIN_MARKED;
}

cell_t batch_member(const origin_t *o, slice_t value) {
    etime_t time;
    if (o->flags & ORIGIN_MARKED && timefmt_marked(value.s, value.len, &time))
        return cell_time(time);
    return cell_from_json(value);
}

cell_t batch_lookup(const batch_t *b, const char *name, size_t len, uint32_t row) {
    for (uint32_t i = 0; i < b->n_columns; i++)
        if (strlen(b->names[i]) == len && memcmp(b->names[i], name, len) == 0)
            return *batch_cell(b, i, row);
    const origin_t *o = batch_origin(b, row);
    slice_t value;
    if (!b->open || !o->value.s || find_member(o->value, name, len, &value))
        return cell_null();
    return batch_member(o, value);
}

static const uint32_t *compose(arena_t *a, const uint32_t *map, const uint32_t *sel, uint32_t n) {
    uint32_t *out = arena_array(a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        out[i] = map[sel[i]];
    return out;
}

batch_t *batch_select(arena_t *a, const batch_t *b, const uint32_t *sel, uint32_t n) {
    batch_t *out = arena_alloc(a, sizeof *out);
    column_t *columns = arena_array(a, column_t, b->n_columns);
    *out = *b;
    out->n = n;
    out->origin = compose(a, b->origin, sel, n);
    for (uint32_t i = 0; i < b->n_columns; i++) {
        columns[i].cells = b->columns[i].cells;
        columns[i].map = b->columns[i].map == b->origin ? out->origin : NULL;
        for (uint32_t j = 0; j < i && !columns[i].map; j++) /* columns mostly share one map: composed once */
            if (b->columns[j].map == b->columns[i].map)
                columns[i].map = columns[j].map;
        if (!columns[i].map)
            columns[i].map = compose(a, b->columns[i].map, sel, n);
    }
    out->sub = compose(a, b->sub, sel, n);
    out->columns = columns;
    return out;
}

batch_t *batch_first(arena_t *a, const batch_t *b, uint32_t n) {
    batch_t *out = arena_dup(a, b, sizeof *b);
    out->n = n;
    return out;
}

batch_t *batch_filter(arena_t *a, const batch_t *b, const uint8_t *pass) {
    uint32_t *sel = arena_array(a, uint32_t, b->n), n = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        sel[n] = i;
        n += pass[i] != 0;
    }
    if (n == b->n)
        return arena_dup(a, b, sizeof *b);
    return batch_select(a, b, sel, n);
}

/* Four at a time by hand: gcc -O2 leaves the plain loop scalar, and every step calls this. */
typedef uint32_t four_t __attribute__((vector_size(16)));

const uint32_t *batch_iota(arena_t *a, uint32_t n) {
    uint32_t *out = arena_array(a, uint32_t, n), i = 0;
    four_t next = {0, 1, 2, 3};
    for (; i + 4 <= n; i += 4, next += 4)
        memcpy(out + i, &next, sizeof next);
    for (; i < n; i++)
        out[i] = i;
    return out;
}

static int order(int64_t a, int64_t b) { return (a > b) - (a < b); }

int batch_row_order(const batch_t *a, uint32_t i, const batch_t *b, uint32_t j) {
    const origin_t *x = batch_origin(a, i), *y = batch_origin(b, j);
    int c = order(x->time, y->time);
    if (c == 0)
        c = order(x->topic, y->topic);
    if (c == 0)
        c = order(x->partition, y->partition);
    if (c == 0)
        c = order(x->offset, y->offset);
    return c ? c : order(a->sub[i], b->sub[j]);
}
