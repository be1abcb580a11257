/* cell: one JSON value inside a column, 24 bytes.
 *
 * A cell borrows: raw points into the record, the batch's arena or a symbol, all of which outlive the batch. raw is the
 * JSON text exactly as it came (strings without their quotes), so a value that is only passed through is written back
 * byte for byte. Lua reads cells by FFI, so the layout is repeated in scripts/row.lua; a spec compares the two.
 * Any thread. */
#ifndef ANANAS_CELL_H
#define ANANAS_CELL_H
#include "buf.h"
#include "clock.h"
#include "timefmt.h"

typedef enum {
    CELL_NULL = 0, /* null or absent */
    CELL_FALSE = 1,
    CELL_TRUE = 2,
    CELL_INT = 3,    /* u.i; canonical integer, raw may be NULL */
    CELL_NUM = 4,    /* u.d; raw, when there, is its spelling */
    CELL_NUMRAW = 5, /* raw only: not parsed yet, or an integer beyond int64 */
    CELL_SYM = 6,    /* u.sym: interned string */
    CELL_STR = 7,    /* raw/len: string body, see flags */
    CELL_JSON = 8    /* raw/len: text of an array or object */
} cell_kind_t;

enum {
    CELL_ESCAPED = 1, /* STR: raw is a JSON string body with escapes in it; without the flag raw is UTF-8 as is */
    CELL_CLEAN = 2,   /* STR: raw needs no escaping either way (both forms are the same bytes) */
    CELL_TIME = 4     /* INT/NUM: a timestamp, written by the rule's time_format */
};

typedef struct sym { /* an interned string; lives as long as its table's generation */
    uint32_t id;
    uint32_t len;      /* of bytes */
    uint32_t body_len; /* of body */
    uint32_t hash;
    const char *bytes; /* UTF-8 value */
    const char *body;  /* JSON string body, canonical escapes */
} sym_t;

typedef struct cell {
    uint8_t kind, flags;
    uint16_t spare;
    uint32_t len; /* of raw */
    const char *raw;
    union {
        int64_t i;
        double d;
        const sym_t *sym;
    } u;
} cell_t;

static inline cell_t cell_null(void) { return (cell_t){0}; }
static inline cell_t cell_bool(int b) { return (cell_t){.kind = b ? CELL_TRUE : CELL_FALSE}; }
static inline cell_t cell_int(int64_t i) { return (cell_t){.kind = CELL_INT, .u.i = i}; }
static inline cell_t cell_num(double d) { return (cell_t){.kind = CELL_NUM, .u.d = d}; }
static inline cell_t cell_time(etime_t t) { return (cell_t){.kind = CELL_INT, .flags = CELL_TIME, .u.i = t}; }
static inline cell_t cell_str(const char *s, size_t len) {
    return (cell_t){.kind = CELL_STR, .len = (uint32_t)len, .raw = s};
}
static inline int cell_is_number(const cell_t *c) { return c->kind >= CELL_INT && c->kind <= CELL_NUMRAW; }
static inline int cell_is_string(const cell_t *c) { return c->kind == CELL_SYM || c->kind == CELL_STR; }

/* From validated JSON text of one value (no surrounding white space). */
cell_t cell_from_json(slice_t text);
double cell_double(const cell_t *c);           /* numbers only */
int cell_int64(const cell_t *c, int64_t *out); /* 1 when the number is an integer that fits (1.0 and 1e3 too) */
/* UTF-8 value of a string cell; unescapes into scratch when it must (scratch may be NULL only for SYM/clean cells). */
slice_t cell_text(const cell_t *c, buf_t *scratch);
/* Group-key bytes: order-preserving, self-delimiting, 1 == 1.0, 1 != "1". */
void cell_key(buf_t *b, const cell_t *c);
/* SQL-like order: numbers by value, strings by bytes; null < false < true < numbers < strings < JSON. */
int cell_compare(const cell_t *a, const cell_t *b);
/* JSON text; timestamps by format. */
void cell_write(buf_t *b, const cell_t *c, time_format_t format);
/* The same, but equal values give equal bytes whatever their spelling: for record keys. */
void cell_write_key(buf_t *b, const cell_t *c, time_format_t format);
/* Compact self-contained bytes for state: what cell_load reads back with raw borrowed from the reader's bytes. */
void cell_save(buf_t *b, const cell_t *c);
void cell_save_key(buf_t *b, const cell_t *c); /* the same, but a string has one spelling, whichever row came first */
cell_t cell_load(reader_t *r);
#endif
