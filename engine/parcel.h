/* parcel: rows, partial aggregates and watermarks on their way to one task, as the body of a data frame.
 *
 * A parcel_t gathers what goes to one partition until it is cut. What repeats is said once per frame: streams (a rule and
 * the columns its rows bring), topics, interned strings; times and offsets are differences. Cells travel exactly as they
 * came: spelling of numbers and strings, nested JSON, null. parcel_read takes a body apart, strictly: it ends with
 * ERR_INVALID at the first thing that does not fit and reads nothing beyond the bytes. One thread (the task's). */
#ifndef ANANAS_PARCEL_H
#define ANANAS_PARCEL_H
#include "batch.h"
#include "error.h"
#include "map.h"

/* Which stream the following items belong to. */
typedef struct parcel_stream {
    slice_t rule;
    uint64_t shape; /* of the partial aggregates: who reads them must have the same */
    uint32_t n_columns;
    const slice_t *columns;
} parcel_stream_t;

typedef struct parcel_level { /* how far a stream or source has come */
    etime_t wm;               /* ETIME_MIN: nowhere yet */
    int idle;
} parcel_level_t;
static inline int parcel_same_level(parcel_level_t a, parcel_level_t b) { return a.wm == b.wm && a.idle == b.idle; }

typedef struct parcel parcel_t;
parcel_t *parcel_new(void);
void parcel_free(parcel_t *p);
void parcel_clear(parcel_t *p); /* nothing was gathered */
size_t parcel_size(const parcel_t *p);
slice_t parcel_body(parcel_t *p); /* valid until the next change */
/* Interned strings have other numbers now (intern_generation). */
void parcel_forget_symbols(parcel_t *p);

/* number: the caller's for this stream, the same as long as the parcel is not cleared and the stream means the same. */
void parcel_put_stream(parcel_t *p, uint32_t number, const parcel_stream_t *s);
void parcel_put_level(parcel_t *p, parcel_level_t level); /* of the stream that was put last */
/* cells: one per column of the stream; topics: names by origin.topic; the key and the record's bytes where they are
 * wanted (the origin's without are left out). */
void parcel_put_row(parcel_t *p, const origin_t *o, uint32_t sub, const cell_t *cells, uint32_t n_cells, int with_key,
                    int with_value, const char *const *topics);
/* Rows added up. last: of how many rows this is the last window. state: as its owner reads it. */
void parcel_put_partial(parcel_t *p, etime_t start, etime_t end, uint64_t last, slice_t state);
void parcel_put_source(parcel_t *p, slice_t source, parcel_level_t level);

typedef struct parcel_reading {
    void *ctx;
    /* Returns a number for the following items, or negative: nobody has use for them. */
    int (*stream)(void *ctx, const parcel_stream_t *s);
    void (*level)(void *ctx, int stream, parcel_level_t level);
    /* Cells and slices borrow from the bytes, the array of cells is gone after the call. */
    void (*row)(void *ctx, int stream, const origin_t *o, uint32_t sub, const cell_t *cells);
    void (*partial)(void *ctx, int stream, etime_t start, etime_t end, uint64_t last, slice_t state);
    void (*source)(void *ctx, slice_t name, parcel_level_t level);
    int32_t (*topic)(void *ctx, slice_t name); /* index or TOPIC_NONE */
    /* Of an escaped body; NULL: there is no room, it becomes a string. */
    const sym_t *(*symbol)(void *ctx, slice_t body);
} parcel_reading_t;
int parcel_read(slice_t body, const parcel_reading_t *r);
#endif
