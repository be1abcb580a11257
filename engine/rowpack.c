/* rowpack: layout of a pack, little-endian:
 *   u8 flags, u64 time, u64 offset, u32 partition, u32 sub, [topic bytes], [key bytes], [value bytes],
 *   varint n (u32 with PACK_COUNT32), n times: name bytes, saved cell.
 * With a list of needs nulls are left out: the reader knows the names. */
#include "rowpack.h"

#include "mem.h"
#include "op.h"

enum { PACK_TOPIC = 1, PACK_KEY = 2, PACK_VALUE = 4, PACK_COUNT32 = 8, PACK_PARTIAL = 16, PACK_MARKED = 32 };

static int needs_all(const names_t *needs) { return !needs || !needs->at; }

static void write_column(buf_t *b, const char *name, const cell_t *c) {
    buf_add_bytes(b, name, strlen(name));
    cell_save(b, c);
}

static uint32_t write_needed(buf_t *b, const batch_t *rows, uint32_t row, const names_t *needs) {
    uint32_t written = 0;
    for (uint32_t i = 0; i < needs->n; i++) {
        const char *name = needs->at[i];
        cell_t c = batch_lookup(rows, name, strlen(name), row);
        if (c.kind == CELL_NULL)
            continue;
        write_column(b, name, &c);
        written++;
    }
    int explain = batch_column(rows, EXPLAIN_COLUMN);
    if (explain >= 0 && names_index(needs, EXPLAIN_COLUMN) < 0) {
        write_column(b, EXPLAIN_COLUMN, batch_cell(rows, (uint32_t)explain, row));
        written++;
    }
    return written;
}

static void write_columns(buf_t *b, const batch_t *rows, uint32_t row, const names_t *needs) {
    if (needs_all(needs)) {
        buf_add_varint(b, rows->n_columns);
        for (uint32_t i = 0; i < rows->n_columns; i++)
            write_column(b, rows->names[i], batch_cell(rows, i, row));
        return;
    }
    /* The count comes first but is known last; a fixed width keeps it patchable. */
    size_t at = b->len;
    buf_add_u32(b, 0);
    uint32_t n = write_needed(b, rows, row, needs);
    memcpy(b->s + at, &n, sizeof n);
}

void rowpack_write(buf_t *b, const batch_t *rows, uint32_t row, const names_t *needs, const char *const *topics) {
    const origin_t *o = batch_origin(rows, row);
    int with_value = needs_all(needs) && rows->open && o->value.s;
    unsigned flags = (o->topic >= 0 ? PACK_TOPIC : 0u) | (o->key.s ? PACK_KEY : 0u) | (with_value ? PACK_VALUE : 0u) |
                     (needs_all(needs) ? 0u : PACK_COUNT32) | (o->flags & ORIGIN_PARTIAL ? PACK_PARTIAL : 0u) |
                     (with_value && o->flags & ORIGIN_MARKED ? PACK_MARKED : 0u);
    buf_add_char(b, (char)flags);
    buf_add_u64(b, (uint64_t)o->time);
    buf_add_u64(b, (uint64_t)o->offset);
    buf_add_u32(b, (uint32_t)o->partition);
    buf_add_u32(b, rows->sub[row]);
    if (o->topic >= 0)
        buf_add_bytes(b, topics[o->topic], strlen(topics[o->topic]));
    if (o->key.s)
        buf_add_bytes(b, o->key.s, o->key.len);
    if (with_value)
        buf_add_bytes(b, o->value.s, o->value.len);
    write_columns(b, rows, row, needs);
}

etime_t rowpack_time(slice_t pack) {
    reader_t r = reader_of(pack.s, pack.len);
    read_u8(&r);
    return (etime_t)read_u64(&r);
}

/* Reading: columns are found by name, starting where the last pack had the same one. */
typedef struct unpacking {
    arena_t *arena;
    uint32_t n; /* rows */
    int fixed;  /* names outside the list are dropped, but for provenance */
    const char **names;
    uint32_t *lens;
    cell_t **cells;
    uint32_t n_columns, cap;
    const char *const *topics;
    int32_t last_topic;
} unpacking_t;

static cell_t *add_column(unpacking_t *u, const char *name, uint32_t len) {
    if (u->n_columns == u->cap) {
        uint32_t cap = u->cap ? u->cap * 2 : 16;
        const char **names = arena_array(u->arena, const char *, cap);
        uint32_t *lens = arena_array(u->arena, uint32_t, cap);
        cell_t **cells = arena_array(u->arena, cell_t *, cap);
        for (uint32_t i = 0; i < u->n_columns; i++) {
            names[i] = u->names[i];
            lens[i] = u->lens[i];
            cells[i] = u->cells[i];
        }
        u->names = names;
        u->lens = lens;
        u->cells = cells;
        u->cap = cap;
    }
    cell_t *cells = arena_array(u->arena, cell_t, u->n);
    memset(cells, 0, sizeof *cells * u->n);
    u->names[u->n_columns] = name;
    u->lens[u->n_columns] = len;
    u->cells[u->n_columns++] = cells;
    return cells;
}

static cell_t *find_column(unpacking_t *u, slice_t name, uint32_t *hint) {
    for (uint32_t k = 0; k < u->n_columns; k++) {
        uint32_t i = (*hint + k) % u->n_columns;
        if (u->lens[i] == name.len && memcmp(u->names[i], name.s, name.len) == 0) {
            *hint = i + 1;
            return u->cells[i];
        }
    }
    if (u->fixed && !slice_eq(name, slice_of(EXPLAIN_COLUMN)))
        return NULL;
    char *copy = arena_alloc(u->arena, name.len + 1);
    memcpy(copy, name.s, name.len);
    copy[name.len] = 0;
    return add_column(u, copy, (uint32_t)name.len);
}

static int32_t find_topic(unpacking_t *u, slice_t name) {
    if (u->last_topic >= 0 && slice_eq(name, slice_of(u->topics[u->last_topic])))
        return u->last_topic;
    for (int32_t i = 0; u->topics && u->topics[i]; i++)
        if (slice_eq(name, slice_of(u->topics[i])))
            return u->last_topic = i;
    return TOPIC_NONE;
}

static void read_row(unpacking_t *u, slice_t pack, uint32_t row, origin_t *o, uint32_t *sub, int *open) {
    reader_t r = reader_of(pack.s, pack.len);
    uint8_t flags = read_u8(&r);
    memset(o, 0, sizeof *o);
    o->time = (etime_t)read_u64(&r);
    o->offset = (int64_t)read_u64(&r);
    o->partition = (int32_t)read_u32(&r);
    o->flags = (flags & PACK_PARTIAL ? ORIGIN_PARTIAL : 0u) | (flags & PACK_MARKED ? ORIGIN_MARKED : 0u);
    *sub = read_u32(&r);
    o->topic = flags & PACK_TOPIC ? find_topic(u, read_bytes(&r)) : TOPIC_NONE;
    if (flags & PACK_KEY)
        o->key = read_bytes(&r);
    if (flags & PACK_VALUE) {
        o->value = read_bytes(&r);
        *open = 1;
    }
    uint64_t n = flags & PACK_COUNT32 ? read_u32(&r) : read_varint(&r);
    uint32_t hint = 0;
    while (n-- > 0 && !r.bad) {
        cell_t *cells = find_column(u, read_bytes(&r), &hint);
        cell_t c = cell_load(&r);
        if (cells && !r.bad)
            cells[row] = c;
    }
}

static batch_t *finish(unpacking_t *u, const origin_t *origins, const uint32_t *sub, int open) {
    const uint32_t *iota = batch_iota(u->arena, u->n);
    column_t *columns = arena_array(u->arena, column_t, u->n_columns);
    for (uint32_t i = 0; i < u->n_columns; i++)
        columns[i] = (column_t){.cells = u->cells[i], .map = iota};
    batch_t *b = arena_array(u->arena, batch_t, 1);
    *b = (batch_t){.n = u->n,
                   .n_origins = u->n,
                   .n_columns = u->n_columns,
                   .open = (uint32_t)open,
                   .origin = iota,
                   .sub = sub,
                   .origins = origins,
                   .columns = columns,
                   .names = u->names};
    return b;
}

batch_t *rowpack_read(arena_t *a, const slice_t *packs, uint32_t n, const names_t *needs, const char *const *topics,
                      const uint32_t *ticks) {
    unpacking_t u = {.arena = a, .n = n, .fixed = !needs_all(needs), .topics = topics, .last_topic = TOPIC_NONE};
    for (uint32_t i = 0; u.fixed && i < needs->n; i++)
        add_column(&u, needs->at[i], (uint32_t)strlen(needs->at[i]));
    origin_t *origins = arena_array(a, origin_t, n);
    uint32_t *sub = arena_array(a, uint32_t, n);
    int open = 0;
    for (uint32_t i = 0; i < n; i++) {
        read_row(&u, packs[i], i, &origins[i], &sub[i], &open);
        origins[i].tick = ticks ? ticks[i] : 0;
    }
    return finish(&u, origins, sub, open);
}

/* ---- merging ---- */

static int names_find(const char **names, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

static column_t merge_column(arena_t *a, const batch_t *fresh, const batch_t *packed, const row_pick_t *picks,
                             const char *name, const batch_t *out) {
    cell_t *cells = arena_array(a, cell_t, out->n);
    int of_packed = batch_column(packed, name), of_fresh = batch_column(fresh, name);
    size_t len = strlen(name);
    for (uint32_t i = 0; i < out->n; i++) {
        const batch_t *b = picks[i].packed ? packed : fresh;
        int column = picks[i].packed ? of_packed : of_fresh;
        cells[i] =
            column >= 0 ? *batch_cell(b, (uint32_t)column, picks[i].row) : batch_lookup(b, name, len, picks[i].row);
    }
    return (column_t){cells, out->origin};
}

static void merge_columns(arena_t *a, const batch_t *fresh, const batch_t *packed, const row_pick_t *picks,
                          batch_t *out) {
    const char **names = arena_array(a, const char *, packed->n_columns + fresh->n_columns);
    uint32_t n = packed->n_columns;
    for (uint32_t i = 0; i < n; i++)
        names[i] = packed->names[i];
    for (uint32_t i = 0; i < fresh->n_columns; i++)
        if (names_find(names, n, fresh->names[i]) < 0)
            names[n++] = fresh->names[i];
    column_t *columns = arena_array(a, column_t, n);
    for (uint32_t i = 0; i < n; i++)
        columns[i] = merge_column(a, fresh, packed, picks, names[i], out);
    out->names = names;
    out->columns = columns;
    out->n_columns = n;
    out->open = packed->open | fresh->open;
}

/* All from one batch: its columns, their maps composed. */
static void select_columns(arena_t *a, const batch_t *from, const row_pick_t *picks, batch_t *out) {
    uint32_t *sel = arena_array(a, uint32_t, out->n);
    for (uint32_t i = 0; i < out->n; i++)
        sel[i] = picks[i].row;
    const batch_t *b = batch_select(a, from, sel, out->n);
    out->names = b->names;
    out->columns = b->columns;
    out->n_columns = b->n_columns;
    out->open = b->open;
}

batch_t *rowpack_merge(arena_t *a, const batch_t *fresh, const batch_t *packed, const row_pick_t *picks, uint32_t n,
                       origin_t **origins) {
    uint32_t *sub = arena_array(a, uint32_t, n), n_packed = 0;
    *origins = arena_array(a, origin_t, n);
    for (uint32_t i = 0; i < n; i++) {
        const batch_t *b = picks[i].packed ? packed : fresh;
        (*origins)[i] = *batch_origin(b, picks[i].row);
        sub[i] = b->sub[picks[i].row];
        n_packed += picks[i].packed != 0;
    }
    batch_t *out = arena_array(a, batch_t, 1);
    *out = (batch_t){.n = n, .n_origins = n, .origin = batch_iota(a, n), .sub = sub, .origins = *origins};
    if (n_packed == 0)
        select_columns(a, fresh, picks, out);
    else if (n_packed == n && packed->n_columns >= fresh->n_columns)
        select_columns(a, packed, picks, out);
    else
        merge_columns(a, fresh, packed, picks, out);
    return out;
}
