/* intern: strings to small numbers, by their raw bytes.
 *
 * A string is looked up by the body as it stood in the record, still escaped; it is unescaped and validated only the
 * first time. Different spellings of one value share one symbol. The table is bounded in entries and bytes: when it is
 * full, intern_raw answers NULL and the caller keeps the string for the batch alone. At a batch boundary a table that
 * misses too often is emptied and starts a new generation. A sym_t lasts until the second boundary after its batch began:
 * one batch may be looked at while the next is being made. One thread; another may read symbols that it was given. */
#ifndef ANANAS_INTERN_H
#define ANANAS_INTERN_H
#include "cell.h"
#include "hash.h"

typedef struct intern intern_t;

intern_t *intern_new(uint32_t max_symbols, size_t max_bytes);
void intern_free(intern_t *t);
/* body: a string body validated by json_string's scanning rules or not yet validated (status tells). NULL: full, or
 * *status is a json_status_t because the body is not valid. */
const sym_t *intern_raw(intern_t *t, const char *body, size_t len, int *status);
const sym_t *intern_bytes(intern_t *t, const char *utf8, size_t len); /* from a plain UTF-8 value; NULL: full */
uint32_t intern_count(const intern_t *t);
uint32_t intern_generation(const intern_t *t); /* changes when ids start anew: memo tables by id must be dropped */
void intern_between_batches(intern_t *t);      /* may start a new generation */
const sym_t *intern_sym(const intern_t *t, uint32_t id);

/* The way for bodies of up to INTERN_SHORT bytes, open to the decoder, which compares them by vector while it scans. The
 * key is the body padded with quotes: what is looked up ends before its first quote, and a body that ends with one (an
 * escaped one) is not kept here, so one comparison tells the length as well, and an empty slot, all zero, is like none.
 * Slots are probed one after the other, INTERN_PROBES at most; an empty one ends the search. Anything not found there goes
 * through intern_raw. The table may move with each intern_raw. */
#define INTERN_SHORT 32
#define INTERN_PROBES 16

typedef struct intern_slot {
    char key[INTERN_SHORT];
    const sym_t *sym; /* NULL: empty */
    uint32_t len;
    uint32_t spare;
    uint64_t spare_line[2];
} intern_slot_t;

typedef struct intern_short {
    intern_slot_t *slots; /* on cache lines of their own */
    uint64_t mask, seed;
} intern_short_t;

const intern_short_t *intern_short(const intern_t *t);
void intern_note_hits(intern_t *t, uint64_t n); /* found without asking: they speak for keeping the table */
/* Over the four words of a padded body: folded crosswise, then one wide multiplication. Those who construct collisions
 * are answered by bounded probing. intern_mix takes a ^ d and b ^ c, which
 * a vector has at once. */
static inline uint64_t intern_mix(uint64_t ad, uint64_t bc, uint64_t seed) {
    return hash_fold(ad ^ seed, bc ^ 0x9e3779b97f4a7c15u);
}
static inline uint64_t intern_hash(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t seed) {
    return intern_mix(a ^ d, b ^ c, seed);
}
#endif
