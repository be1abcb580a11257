#include "merge.h"

#include "select.h"

/* Ticks at which any input's watermark or idleness changes, put through the valve. */
static void merge_marks(step_t *s, const merge_input_t *in, uint32_t n, valve_t *valve, stream_t *out) {
    uint32_t total = 0;
    uint32_t *at = arena_array(s->arena, uint32_t, n);
    for (uint32_t i = 0; i < n; i++) {
        at[i] = 0;
        total += in[i].stream->n_marks;
    }
    mark_t *marks = arena_array(s->arena, mark_t, total ? total : 1);
    uint32_t count = 0;
    for (;;) {
        uint32_t tick = UINT32_MAX;
        for (uint32_t i = 0; i < n; i++)
            if (at[i] < in[i].stream->n_marks && in[i].stream->marks[at[i]].tick < tick)
                tick = in[i].stream->marks[at[i]].tick;
        if (tick == UINT32_MAX)
            break;
        int changed = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (at[i] == in[i].stream->n_marks || in[i].stream->marks[at[i]].tick != tick)
                continue;
            const mark_t *m = &in[i].stream->marks[at[i]++];
            changed |= valve_put(valve, i, m->wm, (int)m->idle);
        }
        if (changed)
            marks[count++] = (mark_t){valve->now, tick, (uint32_t)valve->idle};
    }
    out->marks = marks;
    out->n_marks = count;
}

/* A row of a fixed list of columns among rows that are whole records becomes a record itself. */
static const batch_t *as_records(step_t *s, const merge_input_t *in) {
    const batch_t *b = in->stream->batch;
    origin_t *origins = arena_array(s->arena, origin_t, b->n ? b->n : 1);
    buf_t text = {0};
    for (uint32_t r = 0; r < b->n; r++) {
        buf_clear(&text);
        select_write_row(s, in->extras, TIME_EPOCH_MS, b, r, &text);
        origins[r] = *batch_origin(b, r);
        origins[r].flags &= ~(uint32_t)ORIGIN_MARKED;
        origins[r].value = (slice_t){arena_dup(s->arena, text.s, text.len), text.len};
    }
    buf_fini(&text);
    batch_t *out = arena_dup(s->arena, b, sizeof *b);
    out->origins = origins;
    out->n_origins = b->n;
    out->origin = batch_iota(s->arena, b->n);
    return out;
}

static int any_open(const merge_input_t *in, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (in[i].stream->batch->open)
            return 1;
    return 0;
}

static uint32_t union_names(step_t *s, const batch_t *const *b, uint32_t n, const char ***out) {
    uint32_t most = 1, count = 0;
    for (uint32_t i = 0; i < n; i++)
        most += b[i]->n_columns;
    const char **names = arena_array(s->arena, const char *, most);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t c = 0; c < b[i]->n_columns; c++) {
            uint32_t k = 0;
            while (k < count && strcmp(names[k], b[i]->names[c]) != 0)
                k++;
            if (k == count && strcmp(b[i]->names[c], FROM_COLUMN) != 0)
                names[count++] = b[i]->names[c];
        }
    names[count++] = FROM_COLUMN;
    *out = names;
    return count;
}

/* Which row comes next: by tick, then input. UINT32_MAX: none left. */
static uint32_t next_input(const batch_t *const *b, const uint32_t *at, uint32_t n) {
    uint32_t best = UINT32_MAX, tick = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (at[i] == b[i]->n)
            continue;
        uint32_t t = batch_origin(b[i], at[i])->tick;
        if (best == UINT32_MAX || t < tick) {
            best = i;
            tick = t;
        }
    }
    return best;
}

static batch_t *merge_batches(step_t *s, const merge_input_t *in, const batch_t *const *b, uint32_t n, int open) {
    arena_t *a = s->arena;
    uint32_t rows = 0;
    for (uint32_t i = 0; i < n; i++)
        rows += b[i]->n;
    const char **names;
    uint32_t n_columns = union_names(s, b, n, &names);
    int **source = arena_array(a, int *, n);
    for (uint32_t i = 0; i < n; i++) {
        source[i] = arena_array(a, int, n_columns);
        for (uint32_t c = 0; c < n_columns; c++)
            source[i][c] = batch_column(b[i], names[c]);
    }
    cell_t **cells = arena_array(a, cell_t *, n_columns);
    column_t *columns = arena_array(a, column_t, n_columns);
    const uint32_t *iota = batch_iota(a, rows);
    for (uint32_t c = 0; c < n_columns; c++) {
        cells[c] = arena_array(a, cell_t, rows ? rows : 1);
        columns[c] = (column_t){cells[c], iota};
    }
    origin_t *origins = arena_array(a, origin_t, rows ? rows : 1);
    uint32_t *sub = arena_array(a, uint32_t, rows ? rows : 1);
    uint32_t *at = arena_array(a, uint32_t, n);
    memset(at, 0, n * sizeof *at);
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t i = next_input(b, at, n), row = at[i]++;
        origins[r] = *batch_origin(b[i], row);
        sub[r] = b[i]->sub[row];
        for (uint32_t c = 0; c + 1 < n_columns; c++) {
            if (source[i][c] >= 0)
                cells[c][r] = *batch_cell(b[i], (uint32_t)source[i][c], row);
            else
                cells[c][r] = b[i]->open ? batch_lookup(b[i], names[c], strlen(names[c]), row) : cell_null();
        }
        cells[n_columns - 1][r] = cell_str(in[i].name, strlen(in[i].name));
    }
    batch_t *out = arena_alloc(a, sizeof *out);
    *out = (batch_t){.n = rows,
                     .n_origins = rows,
                     .n_columns = n_columns,
                     .open = (uint32_t)open,
                     .origin = iota,
                     .sub = sub,
                     .origins = origins,
                     .columns = columns,
                     .names = names};
    return out;
}

void merge_streams(step_t *s, const merge_input_t *in, uint32_t n, valve_t *valve, stream_t *out) {
    out->wm_before = valve->now;
    out->idle_before = valve->idle;
    merge_marks(s, in, n, valve, out);
    int open = any_open(in, n);
    const batch_t **b = arena_array(s->arena, const batch_t *, n);
    for (uint32_t i = 0; i < n; i++) {
        b[i] = in[i].stream->batch;
        if (open && !b[i]->open)
            b[i] = as_records(s, &in[i]);
    }
    out->batch = merge_batches(s, in, b, n, open);
}

batch_t *merge_rows(step_t *s, const batch_t *const *b, uint32_t n, const char *name) {
    merge_input_t *in = arena_array(s->arena, merge_input_t, n);
    int open = 0;
    for (uint32_t i = 0; i < n; i++) {
        in[i] = (merge_input_t){.name = name};
        open |= (int)b[i]->open;
    }
    return merge_batches(s, in, b, n, open);
}

batch_t *merge_name(arena_t *a, const batch_t *in, const char *name) {
    cell_t *cell = arena_alloc(a, sizeof *cell);
    *cell = cell_str(name, strlen(name));
    uint32_t *zero = arena_array(a, uint32_t, in->n ? in->n : 1);
    memset(zero, 0, in->n * sizeof *zero);
    batch_t *out = arena_dup(a, in, sizeof *in);
    column_t *columns = arena_array(a, column_t, in->n_columns + 1);
    const char **names = arena_array(a, const char *, in->n_columns + 1);
    memcpy(columns, in->columns, in->n_columns * sizeof *columns);
    memcpy(names, in->names, in->n_columns * sizeof *names);
    int earlier = batch_column(in, FROM_COLUMN); /* the input of the rule that gave these rows, which asked, too */
    uint32_t at = earlier >= 0 ? (uint32_t)earlier : out->n_columns++;
    columns[at] = (column_t){cell, zero};
    names[at] = FROM_COLUMN;
    out->columns = columns;
    out->names = names;
    return out;
}
