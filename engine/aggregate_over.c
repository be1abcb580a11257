/* Groups whose rows are all here, in order (record()): no state is made. */
#include "aggregate_parts.h"
#include "distinct.h"
#include "json.h"
#include "quantile.h"
#include "total.h"

/* Is the text of a value known to be the same inside JSON? Escapes only lengthen. */
static int is_clean(const cell_t *c) {
    if (c->kind == CELL_SYM)
        return c->u.sym->len == c->u.sym->body_len;
    return c->kind == CELL_STR ? c->flags & CELL_CLEAN : c->kind != CELL_JSON;
}

/* A list of symbols only: its length is known before a byte of it is written. 0: it is not one. */
static int symbols_over(const agg_context_t *c, uint32_t i, slice_t separator, const uint32_t *rows, uint32_t n,
                        cell_t *out) {
    size_t len = 0, body = 0;
    for (uint32_t k = 0; k < n; k++) {
        const cell_t *v = aggregate_argument(c, i, rows[k]);
        if (v->kind != CELL_SYM)
            return 0;
        len += v->u.sym->len + separator.len;
        body += v->u.sym->body_len + separator.len;
    }
    if (n == 0)
        return 0;
    char *text = arena_alloc(c->arena, len), *at = text;
    for (uint32_t k = 0; k < n; k++) {
        const sym_t *sym = aggregate_argument(c, i, rows[k])->u.sym;
        memcpy(at, sym->bytes, sym->len);
        memcpy(at + sym->len, separator.s, separator.len);
        at += sym->len + separator.len;
    }
    *out = cell_str(text, len - separator.len);
    if (len == body && json_plain(separator.s, separator.len))
        out->flags = CELL_CLEAN;
    return 1;
}

static cell_t list_over(aggregate_t *a, const agg_context_t *c, uint32_t i, const uint32_t *rows, uint32_t n) {
    int any = 0, clean = 1;
    cell_t symbols;
    slice_t separator = slice_of(a->specs[i].separator);
    if (symbols_over(c, i, separator, rows, n, &symbols))
        return symbols;
    buf_clear(&a->text);
    for (uint32_t k = 0; k < n; k++) {
        const cell_t *v = aggregate_argument(c, i, rows[k]);
        if (v->kind == CELL_NULL)
            continue;
        if (any++)
            buf_add_slice(&a->text, separator);
        buf_add_slice(&a->text, aggregate_text(a, v));
        clean = clean && is_clean(v);
    }
    return any ? aggregate_text_cell(a, c->arena, clean && json_plain(separator.s, separator.len)) : cell_null();
}

static cell_t pick_over(const aggregate_t *a, const agg_context_t *c, uint32_t i, const uint32_t *rows, uint32_t n) {
    const cell_t *best = NULL;
    agg_kind_t kind = a->specs[i].kind;
    for (uint32_t k = 0; k < n; k++) {
        const cell_t *v = aggregate_argument(c, i, rows[k]);
        if (v->kind == CELL_NULL)
            continue;
        if (!best || kind == AGG_LAST || (kind != AGG_FIRST && aggregate_better(kind, v, best)))
            best = v;
    }
    return best ? *best : cell_null();
}

static cell_t total_over(const aggregate_t *a, const agg_context_t *c, uint32_t i, const uint32_t *rows, uint32_t n) {
    char state[TOTAL_SIZE] = {0};
    for (uint32_t k = 0; k < n; k++) {
        const cell_t *v = aggregate_argument(c, i, rows[k]);
        if (v->kind != CELL_NULL && !total_add(state, v))
            aggregate_not_a_number(a, c, i, rows[k]);
    }
    return a->specs[i].kind == AGG_SUM ? total_sum(state, c->arena) : total_average(state);
}

static cell_t sketch_over(aggregate_t *a, const agg_context_t *c, uint32_t i, const uint32_t *rows, uint32_t n) {
    buf_clear(&a->text);
    blob_t b = blob_of_buf(&a->text);
    blob_init(&b, 0, 1);
    for (uint32_t k = 0; k < n; k++) {
        const cell_t *v = aggregate_argument(c, i, rows[k]);
        if (v->kind == CELL_NULL)
            continue;
        if (a->specs[i].kind == AGG_COUNT_DISTINCT) {
            buf_clear(&a->scratch);
            cell_key(&a->scratch, v);
            distinct_add(&b, 0, a->scratch.s, a->scratch.len);
        } else if (cell_is_number(v)) {
            quantile_add(&b, 0, cell_double(v));
        } else {
            aggregate_not_a_number(a, c, i, rows[k]);
        }
    }
    slice_t state = region_bytes(b.s, 0);
    if (a->specs[i].kind == AGG_QUANTILE)
        return aggregate_quantile_cell(state, a->specs[i].q);
    return cell_int((int64_t)distinct_count(state));
}

static cell_t positions_over(aggregate_t *a, const agg_context_t *c, const uint32_t *rows, uint32_t n) {
    slice_t *parts = arena_array(c->arena, slice_t, n);
    for (uint32_t k = 0; k < n; k++) {
        slice_t text = aggregate_position(a, c, rows[k]);
        parts[k] = text.s ? (slice_t){arena_dup(c->arena, text.s, text.len), text.len} : text;
    }
    return aggregate_join_positions(a, c->arena, parts, n);
}

static uint64_t count_over(const agg_context_t *c, uint32_t i, const uint32_t *rows, uint32_t n) {
    uint64_t total = 0;
    for (uint32_t k = 0; k < n; k++)
        total += aggregate_counts(aggregate_argument(c, i, rows[k])) ? 1 : 0;
    return total;
}

int aggregate_one_over(aggregate_t *a, const agg_context_t *c, uint32_t i, const uint32_t *rows, uint32_t n,
                       cell_t *out) {
    switch (a->specs[i].kind) {
    case AGG_COUNT_ALL: *out = cell_int(n); break;
    case AGG_COUNT: *out = cell_int((int64_t)count_over(c, i, rows, n)); break;
    case AGG_SUM:
    case AGG_AVG: *out = total_over(a, c, i, rows, n); break;
    case AGG_COUNT_DISTINCT:
    case AGG_QUANTILE: *out = sketch_over(a, c, i, rows, n); break;
    case AGG_LISTAGG: *out = list_over(a, c, i, rows, n); break;
    case AGG_FOLD:
        return script_fold(c->script, a->specs[i].fold, batch_select(c->arena, c->rows, rows, n), c->arena, out,
                           &c->errors[i]);
    default: *out = pick_over(a, c, i, rows, n);
    }
    return 0;
}

int aggregate_over(aggregate_t *a, const agg_context_t *c, const uint32_t *rows, uint32_t n, cell_t *out) {
    int status = 0;
    for (uint32_t i = 0; i < a->n && status == 0; i++)
        status = aggregate_one_over(a, c, i, rows, n, &out[i]);
    if (status == 0 && a->provenance)
        out[a->n] = positions_over(a, c, rows, n);
    return status;
}
