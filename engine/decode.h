/* decode: record bytes to a batch, or a reason.
 *
 * Strict: the whole value must be one JSON object in valid UTF-8 with valid escapes, even where no rule looks; only the
 * wanted members become cells. Duplicate members: the last wins. No I/O, no global state, bounded memory; learns the
 * order and spelling of the keys of a source and falls back to the generic path on any deviation. What it returns lives
 * in the given arena and in the records' own bytes, which must stay until the arena is reset. One thread. */
#ifndef ANANAS_DECODE_H
#define ANANAS_DECODE_H
#include "batch.h"
#include "error.h"
#include "intern.h"

typedef enum { META_TIMESTAMP, META_KEY, META_TOPIC, META_PARTITION, META_OFFSET, META_HEADERS } meta_kind_t;

typedef struct decode_column {
    const char *name; /* top-level member, names down to a nested one (batch.h), or the name of a metadata column */
    int meta;         /* -1, or a meta_kind_t */
    int intern;       /* strings become symbols where they fit */
} decode_column_t;

/* "pizzas[].additionalToppings[] as topping" over records: the fast form, one name for the innermost element.
 * Other forms are done by unnest.h on top of the raw cells. */
typedef struct decode_unnest {
    const char *path; /* "pizzas[].additionalToppings[]" */
    int intern;
} decode_unnest_t;

typedef struct decode_spec {
    const decode_column_t *columns;
    uint32_t n_columns;
    const decode_unnest_t *unnests;
    uint32_t n_unnests;
    const char *event_time; /* a member or metadata column name; NULL: the record's timestamp */
    int64_t event_unit_ms;  /* 1, or 1000 when numbers are epoch seconds */
} decode_spec_t;

typedef struct record { /* borrowed from the source until it is told to release */
    int32_t topic;      /* index into the topic names */
    int32_t partition;
    int64_t offset;
    int64_t timestamp;  /* the broker's, epoch ms; -1: none */
    slice_t key, value; /* s == NULL: none */
    slice_t headers;    /* JSON object text {"name":"value",...}; s == NULL: none or not asked for */
    const void
        *own; /* what the source knows it by, to ask for headers that were not asked for; NULL: `headers` is all */
    uint32_t tick;
} record_t;

typedef struct decode_bad {
    uint32_t record;    /* index into the records given */
    const char *reason; /* static text: "not JSON: cut off", "no usable event time", "tombstone", ... */
    int is_tombstone;   /* counted and skipped instead of dead-lettered */
} decode_bad_t;

typedef struct unnested { /* elements of one decode_unnest, in record order */
    uint32_t n;
    const uint32_t *origin; /* element -> origin */
    const uint32_t *sub;    /* number inside its record */
    const cell_t *cells;
} unnested_t;

typedef struct decoded {
    batch_t *batch;       /* one row per good record; open = 1; columns as in the spec */
    unnested_t *unnested; /* one per decode_unnest */
    decode_bad_t *bad;
    uint32_t n_bad;
} decoded_t;

typedef struct decoder decoder_t;
decoder_t *decoder_new(const decode_spec_t *spec, intern_t *intern); /* copies the spec, borrows intern */
void decoder_free(decoder_t *d);
/* Names by record_t.topic, for META_TOPIC columns; borrowed. */
void decoder_name_topics(decoder_t *d, const char *const *names, uint32_t n);
/* 0: every record by the generic way, nothing learned (for tests and measurements). */
void decoder_predict(decoder_t *d, int on);
/* The walk that every x86-64 can take, instead of the widest this processor has (likewise). */
void decoder_narrow(decoder_t *d);
/* latest: event times after it are bad ("event time too far ahead"); ETIME_MAX: no bound. */
void decode_records(decoder_t *d, const record_t *records, uint32_t n, etime_t latest, arena_t *a, decoded_t *out);
/* Event time of a cell: a number (by unit) or a timestamp string. 0 or ERR_INVALID. */
int decode_event_time(const cell_t *c, int64_t unit_ms, etime_t *out);
#endif
