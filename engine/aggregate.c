#include "aggregate_parts.h"
#include "distinct.h"
#include "json.h"
#include "mem.h"
#include "quantile.h"
#include "rowlog.h"
#include "rowpack.h"
#include "total.h"
#include <stdio.h>

static size_t fixed_size(agg_kind_t kind) {
    switch (kind) {
    case AGG_COUNT_ALL:
    case AGG_COUNT: return sizeof(uint64_t);
    case AGG_SUM:
    case AGG_AVG: return TOTAL_SIZE;
    default: return 0;
    }
}

aggregate_t *aggregate_new(const agg_spec_t *specs, uint32_t n, time_format_t format, size_t head, uint32_t regions,
                           int provenance) {
    aggregate_t *a = mem_zalloc(sizeof *a);
    a->specs = specs;
    a->n = n;
    a->format = format;
    a->fixed = head;
    a->regions = regions;
    a->provenance = provenance;
    a->places = mem_zalloc(sizeof *a->places * (n + 1));
    for (uint32_t i = 0; i < n; i++) {
        size_t size = fixed_size(specs[i].kind);
        a->places[i] = size ? (place_t){.offset = a->fixed} : (place_t){.region = a->regions++};
        a->fixed += size;
    }
    if (provenance)
        a->places[n].region = a->regions++;
    return a;
}

void aggregate_free(aggregate_t *a) {
    if (!a)
        return;
    buf_fini(&a->scratch);
    buf_fini(&a->text);
    mem_free(a->places);
    mem_free(a);
}

size_t aggregate_fixed(const aggregate_t *a) { return a->fixed; }

uint32_t aggregate_regions(const aggregate_t *a) { return a->regions; }

void aggregate_init(const aggregate_t *a, blob_t *b) { blob_init(b, a->fixed, a->regions); }

/* --- arguments --- */

column_t aggregate_column(arena_t *a, const batch_t *b, const char *name) {
    int i = batch_column(b, name);
    if (i >= 0)
        return b->columns[i];
    cell_t *cells = arena_array(a, cell_t, b->n);
    size_t len = strlen(name);
    for (uint32_t row = 0; row < b->n; row++)
        cells[row] = batch_lookup(b, name, len, row);
    return (column_t){cells, batch_iota(a, b->n)};
}

int aggregate_args(const aggregate_t *a, agg_context_t *c) {
    column_t *args = arena_array(c->arena, column_t, a->n + 1);
    memset(args, 0, sizeof *args * (a->n + 1));
    c->args = args;
    for (uint32_t i = 0; i < a->n; i++) {
        const agg_spec_t *spec = &a->specs[i];
        if (spec->kind == AGG_COUNT_ALL || spec->kind == AGG_FOLD)
            continue;
        if (spec->arg.column) {
            args[i] = aggregate_column(c->arena, c->rows, spec->arg.column);
            continue;
        }
        cell_t *cells = arena_array(c->arena, cell_t, c->rows->n);
        int status = script_map(c->script, spec->arg.fn, c->rows, c->arena, cells, &c->errors[i]);
        if (status)
            return status;
        args[i] = (column_t){cells, batch_iota(c->arena, c->rows->n)};
    }
    int explain = a->provenance ? batch_column(c->rows, EXPLAIN_COLUMN) : -1;
    if (explain >= 0)
        args[a->n] = c->rows->columns[explain];
    return 0;
}

void aggregate_not_a_number(const aggregate_t *a, const agg_context_t *c, uint32_t i, uint32_t row) {
    eval_errors_t *e = &c->errors[i];
    if (e->count++ > 0)
        return;
    e->first_row = row;
    const cell_t *cell = aggregate_argument(c, i, row);
    const char *what = cell_is_string(cell) ? "a string" : cell->kind == CELL_JSON ? "an array or object" : "a boolean";
    snprintf(e->first, sizeof e->first, "aggregate %s: %s where a number is needed", a->specs[i].name, what);
}

/* --- one value --- */

slice_t aggregate_text(aggregate_t *a, const cell_t *c) {
    if (cell_is_string(c))
        return cell_text(c, &a->scratch);
    buf_clear(&a->scratch);
    if ((c->flags & CELL_TIME) && c->kind == CELL_INT)
        timefmt_write(&a->scratch, c->u.i, a->format);
    else
        cell_write(&a->scratch, c, a->format);
    return buf_slice(&a->scratch);
}

static int compare_saved(const cell_t *x, const cell_t *y) {
    buf_t a = {0}, b = {0};
    cell_save(&a, x);
    cell_save(&b, y);
    int c = a.len != b.len ? (a.len > b.len) - (a.len < b.len) : memcmp(a.s, b.s, a.len);
    buf_fini(&a);
    buf_fini(&b);
    return c;
}

/* Is x to replace y as the least (or greatest)? Equal values in two spellings: the shorter stays, whatever the order. */
int aggregate_better(agg_kind_t kind, const cell_t *x, const cell_t *y) {
    int c = cell_compare(x, y);
    if (c == 0)
        return !(x->kind == CELL_INT && y->kind == CELL_INT) && compare_saved(x, y) < 0;
    return kind == AGG_MIN ? c < 0 : c > 0;
}

static cell_t load_cell(slice_t saved) {
    reader_t r = reader_of(saved.s, saved.len);
    return cell_load(&r);
}

static void save_cell(aggregate_t *a, const cell_t *c) {
    buf_clear(&a->scratch);
    cell_save(&a->scratch, c);
}

static void keep_extreme(aggregate_t *a, blob_t *b, size_t at, agg_kind_t kind, const cell_t *c) {
    slice_t saved = region_bytes(b->s, at);
    if (saved.len) {
        cell_t best = load_cell(saved);
        if (!aggregate_better(kind, c, &best))
            return;
    }
    save_cell(a, c);
    region_set(b, at, a->scratch.s, a->scratch.len);
}

static int comes_first(agg_kind_t kind, const row_order_t *x, const row_order_t *y) {
    int c = row_order_compare(x, y);
    return kind == AGG_FIRST ? c < 0 : c >= 0;
}

static void keep_outermost(aggregate_t *a, blob_t *b, size_t at, agg_kind_t kind, const row_order_t *order,
                           const cell_t *c) {
    slice_t saved = region_bytes(b->s, at);
    row_order_t best;
    if (saved.len) {
        memcpy(&best, saved.s, sizeof best);
        if (!comes_first(kind, order, &best))
            return;
    }
    save_cell(a, c);
    char *s = region_resize(b, at, sizeof *order + a->scratch.len);
    memcpy(s, order, sizeof *order);
    memcpy(s + sizeof *order, a->scratch.s, a->scratch.len);
}

slice_t aggregate_position(aggregate_t *a, const agg_context_t *c, uint32_t row) {
    if (c->args[a->n].cells) {
        const cell_t *e = aggregate_argument(c, a->n, row);
        if (e->kind == CELL_JSON && e->len > 2)
            return (slice_t){e->raw + 1, e->len - 2};
        return (slice_t){NULL, 0};
    }
    const origin_t *o = batch_origin(c->rows, row);
    if (o->topic == TOPIC_NONE)
        return (slice_t){NULL, 0};
    buf_clear(&a->scratch);
    buf_printf(&a->scratch, "[");
    json_write_string(&a->scratch, c->topics[o->topic], strlen(c->topics[o->topic]));
    buf_printf(&a->scratch, ",%d,%lld]", o->partition, (long long)o->offset);
    return buf_slice(&a->scratch);
}

/* --- adding a row --- */

static void add_variable(aggregate_t *a, blob_t *b, const agg_context_t *c, uint32_t i, uint32_t row) {
    const agg_spec_t *spec = &a->specs[i];
    size_t at = region_at(b->s, a->fixed, a->places[i].region);
    row_order_t order;
    slice_t text;
    if (spec->kind == AGG_FOLD) {
        order = row_order_of(c->rows, row);
        buf_clear(&a->scratch);
        rowpack_write(&a->scratch, c->rows, row, &spec->fold_needs, c->topics);
        rowlog_add(b, at, &order, a->scratch.s, a->scratch.len);
        return;
    }
    const cell_t *v = aggregate_argument(c, i, row);
    if (v->kind == CELL_NULL)
        return;
    switch (spec->kind) {
    case AGG_MIN:
    case AGG_MAX: keep_extreme(a, b, at, spec->kind, v); break;
    case AGG_FIRST:
    case AGG_LAST:
        order = row_order_of(c->rows, row);
        keep_outermost(a, b, at, spec->kind, &order, v);
        break;
    case AGG_COUNT_DISTINCT:
        buf_clear(&a->scratch);
        cell_key(&a->scratch, v);
        distinct_add(b, at, a->scratch.s, a->scratch.len);
        break;
    case AGG_QUANTILE:
        if (cell_is_number(v))
            quantile_add(b, at, cell_double(v));
        else
            aggregate_not_a_number(a, c, i, row);
        break;
    default:
        order = row_order_of(c->rows, row);
        text = aggregate_text(a, v);
        rowlog_add(b, at, &order, text.s, text.len);
    }
}

static void count_up(char *state) {
    uint64_t n;
    memcpy(&n, state, sizeof n);
    n++;
    memcpy(state, &n, sizeof n);
}

void aggregate_add(aggregate_t *a, blob_t *b, const agg_context_t *c, uint32_t row) {
    for (uint32_t i = 0; i < a->n; i++) {
        char *state = b->s + a->places[i].offset;
        const cell_t *v;
        switch (a->specs[i].kind) {
        case AGG_COUNT_ALL: count_up(state); break;
        case AGG_COUNT:
            if (aggregate_counts(aggregate_argument(c, i, row)))
                count_up(state);
            break;
        case AGG_SUM:
        case AGG_AVG:
            v = aggregate_argument(c, i, row);
            if (v->kind != CELL_NULL && !total_add(state, v))
                aggregate_not_a_number(a, c, i, row);
            break;
        default: add_variable(a, b, c, i, row);
        }
    }
    if (!a->provenance)
        return;
    slice_t text = aggregate_position(a, c, row);
    row_order_t order = row_order_of(c->rows, row);
    if (text.s)
        rowlog_add(b, region_at(b->s, a->fixed, a->places[a->n].region), &order, text.s, text.len);
}

int aggregate_only_counts(const aggregate_t *a) {
    for (uint32_t i = 0; i < a->n; i++)
        if (a->specs[i].kind != AGG_COUNT_ALL)
            return 0;
    return !a->provenance;
}

void aggregate_add_count(const aggregate_t *a, blob_t *b, uint64_t n) {
    for (uint32_t i = 0; i < a->n; i++) {
        uint64_t v;
        memcpy(&v, b->s + a->places[i].offset, sizeof v);
        v += n;
        memcpy(b->s + a->places[i].offset, &v, sizeof v);
    }
}

/* --- joining two groups --- */

static void merge_region(aggregate_t *a, blob_t *b, uint32_t i, const char *other) {
    size_t at = region_at(b->s, a->fixed, a->places[i].region);
    slice_t theirs = region_bytes(other, region_at(other, a->fixed, a->places[i].region));
    if (theirs.len == 0)
        return;
    cell_t c;
    row_order_t order;
    switch (i < a->n ? a->specs[i].kind : AGG_LISTAGG) {
    case AGG_MIN:
    case AGG_MAX:
        c = load_cell(theirs);
        keep_extreme(a, b, at, a->specs[i].kind, &c);
        break;
    case AGG_FIRST:
    case AGG_LAST:
        memcpy(&order, theirs.s, sizeof order);
        c = load_cell((slice_t){theirs.s + sizeof order, theirs.len - sizeof order});
        keep_outermost(a, b, at, a->specs[i].kind, &order, &c);
        break;
    case AGG_COUNT_DISTINCT: distinct_merge(b, at, theirs); break;
    case AGG_QUANTILE: quantile_merge(b, at, theirs); break;
    default: rowlog_merge(b, at, theirs);
    }
}

void aggregate_merge(aggregate_t *a, blob_t *b, const char *other) {
    uint64_t x, y;
    for (uint32_t i = 0; i < a->n + (a->provenance ? 1u : 0u); i++) {
        size_t at = a->places[i].offset;
        switch (i < a->n ? a->specs[i].kind : AGG_LISTAGG) {
        case AGG_COUNT_ALL:
        case AGG_COUNT:
            memcpy(&x, b->s + at, sizeof x);
            memcpy(&y, other + at, sizeof y);
            x += y;
            memcpy(b->s + at, &x, sizeof x);
            break;
        case AGG_SUM:
        case AGG_AVG: total_merge(b->s + at, other + at); break;
        default: merge_region(a, b, i, other);
        }
    }
}

/* --- long lists --- */

static int keeps_rows(const aggregate_t *a, uint32_t i) {
    return i == a->n ? a->provenance : a->specs[i].kind == AGG_LISTAGG || a->specs[i].kind == AGG_FOLD;
}

int aggregate_spill(const aggregate_t *a, blob_t *b, rowlog_chunks_t *chunks) {
    int spilled = 0;
    for (uint32_t i = 0; i <= a->n; i++)
        if (keeps_rows(a, i))
            spilled |= rowlog_spill(b, region_at(b->s, a->fixed, a->places[i].region), chunks);
    return spilled;
}

void aggregate_drop(const aggregate_t *a, const char *state, rowlog_chunks_t *chunks) {
    for (uint32_t i = 0; i <= a->n; i++)
        if (keeps_rows(a, i))
            rowlog_drop(region_bytes(state, region_at(state, a->fixed, a->places[i].region)), chunks->space);
}

/* --- results --- */

static uint32_t read_log(const agg_context_t *c, slice_t log, slice_t **parts) {
    return rowlog_read(log, c->chunks ? c->chunks->space : NULL, c->arena, parts);
}

cell_t aggregate_text_cell(aggregate_t *a, arena_t *arena, int clean) {
    cell_t c = cell_str(arena_dup(arena, a->text.s, a->text.len), a->text.len);
    if (clean)
        c.flags = CELL_CLEAN;
    return c;
}

static cell_t join_list(aggregate_t *a, const agg_context_t *c, const agg_spec_t *spec, slice_t state) {
    slice_t *parts;
    uint32_t n = read_log(c, state, &parts);
    if (n == 0)
        return cell_null();
    buf_clear(&a->text);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_str(&a->text, spec->separator);
        buf_add_slice(&a->text, parts[i]);
    }
    return aggregate_text_cell(a, c->arena, json_plain(a->text.s, a->text.len));
}

/* Rows that one record unnested to stand at one position: said once. */
cell_t aggregate_join_positions(aggregate_t *a, arena_t *arena, const slice_t *parts, uint32_t n) {
    buf_clear(&a->text);
    slice_t last = {NULL, 0};
    for (uint32_t i = 0; i < n; i++) {
        if (!parts[i].s || (last.s && slice_eq(last, parts[i])))
            continue;
        buf_add_char(&a->text, last.s ? ',' : '[');
        buf_add_slice(&a->text, parts[i]);
        last = parts[i];
    }
    buf_add_str(&a->text, last.s ? "]" : "[]");
    return (cell_t){.kind = CELL_JSON, .len = (uint32_t)a->text.len, .raw = arena_dup(arena, a->text.s, a->text.len)};
}

static int fold_value(const agg_context_t *c, uint32_t i, const agg_spec_t *spec, slice_t state, cell_t *out) {
    slice_t *packs;
    uint32_t n = read_log(c, state, &packs);
    batch_t *rows = rowpack_read(c->arena, packs, n, &spec->fold_needs, c->topics, NULL);
    return script_fold(c->script, spec->fold, rows, c->arena, out, &c->errors[i]);
}

static cell_t copied_cell(arena_t *a, slice_t saved) {
    if (saved.len == 0)
        return cell_null();
    return load_cell((slice_t){arena_dup(a, saved.s, saved.len), saved.len});
}

cell_t aggregate_quantile_cell(slice_t state, double q) {
    double v;
    return quantile_value(state, q, &v) ? cell_num(v) : cell_null();
}

static int region_value(aggregate_t *a, const agg_context_t *c, uint32_t i, slice_t state, cell_t *out) {
    const agg_spec_t *spec = &a->specs[i];
    switch (spec->kind) {
    case AGG_MIN:
    case AGG_MAX: *out = copied_cell(c->arena, state); break;
    case AGG_FIRST:
    case AGG_LAST:
        *out = state.len
                   ? copied_cell(c->arena, (slice_t){state.s + sizeof(row_order_t), state.len - sizeof(row_order_t)})
                   : cell_null();
        break;
    case AGG_COUNT_DISTINCT: *out = cell_int((int64_t)distinct_count(state)); break;
    case AGG_QUANTILE: *out = aggregate_quantile_cell(state, spec->q); break;
    case AGG_FOLD: return fold_value(c, i, spec, state, out);
    default: *out = join_list(a, c, spec, state);
    }
    return 0;
}

int aggregate_values(aggregate_t *a, const char *state, const agg_context_t *c, cell_t *out) {
    int status = 0;
    uint64_t n;
    for (uint32_t i = 0; i < a->n && status == 0; i++) {
        const char *at = state + a->places[i].offset;
        switch (a->specs[i].kind) {
        case AGG_COUNT_ALL:
        case AGG_COUNT:
            memcpy(&n, at, sizeof n);
            out[i] = cell_int((int64_t)n);
            break;
        case AGG_SUM: out[i] = total_sum(at, c->arena); break;
        case AGG_AVG: out[i] = total_average(at); break;
        default:
            status =
                region_value(a, c, i, region_bytes(state, region_at(state, a->fixed, a->places[i].region)), &out[i]);
        }
    }
    if (status == 0 && a->provenance) {
        slice_t *parts, log = region_bytes(state, region_at(state, a->fixed, a->places[a->n].region));
        uint32_t count = read_log(c, log, &parts);
        out[a->n] = aggregate_join_positions(a, c->arena, parts, count);
    }
    return status;
}
