/* aggregate_parts: what the two ways to an aggregate share: through a state (aggregate.c), and over rows that are all at
 * hand (aggregate_over.c).
 *
 * The layout, one row's argument and text, and how results are put together. Used by nobody else; the threads and owners
 * are those of aggregate.h. */
#ifndef ANANAS_AGGREGATE_PARTS_H
#define ANANAS_AGGREGATE_PARTS_H
#include "aggregate.h"

/* Where an aggregate keeps its state: at an offset of the fixed part, or in a region. */
typedef struct place {
    size_t offset;
    uint32_t region;
} place_t;

struct aggregate {
    const agg_spec_t *specs;
    place_t *places;
    uint32_t n;
    uint32_t regions; /* the caller's included */
    size_t fixed;
    time_format_t format;
    int provenance; /* its log is the last region */
    buf_t scratch, text;
};

/* The i-th aggregate's argument; of i == n the provenance that rows bring along. */
static inline const cell_t *aggregate_argument(const agg_context_t *c, uint32_t i, uint32_t row) {
    const column_t *col = &c->args[i];
    return &col->cells[col->map[row]];
}
static inline int aggregate_counts(const cell_t *c) { return c->kind != CELL_NULL && c->kind != CELL_FALSE; }
void aggregate_not_a_number(const aggregate_t *a, const agg_context_t *c, uint32_t i, uint32_t row);
/* The text of a value inside a list, until the next call: strings as they are, anything else as JSON. */
slice_t aggregate_text(aggregate_t *a, const cell_t *c);
int aggregate_better(agg_kind_t kind, const cell_t *x, const cell_t *y);
/* The positions of a row, until the next call: those its own rows brought along, or its record's, without the outer
 * brackets; s == NULL: it has none. */
slice_t aggregate_position(aggregate_t *a, const agg_context_t *c, uint32_t row);

/* What was gathered in a->text as a cell; clean: it needs no escaping. */
cell_t aggregate_text_cell(aggregate_t *a, arena_t *arena, int clean);
cell_t aggregate_join_positions(aggregate_t *a, arena_t *arena, const slice_t *parts, uint32_t n);
cell_t aggregate_quantile_cell(slice_t state, double q);
#endif
