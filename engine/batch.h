/* batch: rows as columns.
 *
 * A batch is a view: origins (what is known of a record as a whole), rows (each an origin and a number inside it) and
 * named columns, where the cell of row i is cells[map[i]]. Filtering composes maps and copies no cell. Everything a batch
 * points to belongs to the arena it was made in (or to the records behind it) and lives until that arena is reset.
 * Lua reads column_t by FFI, so its layout is repeated in scripts/row.lua. One thread. */
#ifndef ANANAS_BATCH_H
#define ANANAS_BATCH_H
#include "arena.h"
#include "cell.h"

#define EXPLAIN_COLUMN "_explain" /* provenance, see op.h */
#define FROM_COLUMN "_from"       /* the input a row came from, where a function asks for it; never goes on */
/* Between the names of a column that is a member of nested objects; no byte of UTF-8, so no member's name has it. Such a
 * column is null where any of the names on the way is missing or no object; scripts/uses.lua says which there are. */
#define BATCH_DOWN '\xff'
#define TOPIC_NONE (-1) /* origin of a row that no single record made (a window, a match) */

enum {
    ORIGIN_PARTIAL = 1, /* a window that was cut at its beginning, when a reload handed it over */
    ORIGIN_MARKED = 2 /* a rule made the value: members that are timestamps stand there TIME_MARKED, no other ones do */
};

typedef struct origin {
    etime_t time;   /* event time */
    int64_t offset; /* of the record; for derived rows a number that keeps their order */
    int32_t topic;  /* index into the task's topic names, which are sorted by name; TOPIC_NONE */
    int32_t partition;
    uint32_t tick;  /* which input event of this step it belongs to, see stream.h */
    uint32_t flags; /* ORIGIN_... */
    slice_t key;    /* the record's key as it came; s == NULL: none */
    slice_t value;  /* the record's value as it came (validated JSON object); s == NULL for derived rows */
} origin_t;

typedef struct column {
    const cell_t *cells;
    const uint32_t *map;
} column_t;

typedef struct batch {
    uint32_t n; /* rows */
    uint32_t n_origins, n_columns;
    uint32_t open;          /* 1: names that are no column are members of origin.value */
    const uint32_t *origin; /* per row */
    const uint32_t *sub;    /* per row: number inside its origin, for order */
    const origin_t *origins;
    const column_t *columns;
    const char *const *names; /* of the columns; NULL-terminated strings that outlive the batch */
} batch_t;

static inline const origin_t *batch_origin(const batch_t *b, uint32_t row) { return &b->origins[b->origin[row]]; }
static inline const cell_t *batch_cell(const batch_t *b, uint32_t col, uint32_t row) {
    return &b->columns[col].cells[b->columns[col].map[row]];
}
int batch_column(const batch_t *b, const char *name); /* index, or -1 */
/* Is any of the row's times one that only time_format says how to write? */
int batch_has_times(const batch_t *b, uint32_t row);
/* A member of that origin's value as a cell. */
cell_t batch_member(const origin_t *o, slice_t value);
int batch_is_fact(const char *name); /* a column about the row, which is not written with it */
/* The cell of a name that may be no column: looked up in the record of an open batch, else null. */
cell_t batch_lookup(const batch_t *b, const char *name, size_t len, uint32_t row);
/* The rows with pass[i] != 0, in order, as a new batch in the arena. */
batch_t *batch_filter(arena_t *a, const batch_t *b, const uint8_t *pass);
/* The rows sel[0..n), in that order. */
batch_t *batch_select(arena_t *a, const batch_t *b, const uint32_t *sel, uint32_t n);
/* The first n rows; shares everything else with b. */
batch_t *batch_first(arena_t *a, const batch_t *b, uint32_t n);
const uint32_t *batch_iota(arena_t *a, uint32_t n); /* 0, 1, 2, ... */
/* Order of rows where time matters: event time, topic, partition, offset, number inside the record. */
int batch_row_order(const batch_t *a, uint32_t i, const batch_t *b, uint32_t j);
#endif
