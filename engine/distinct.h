/* distinct: how many different values, in bounded memory.
 *
 * Exact up to DISTINCT_EXACT values (they are kept as 64-bit hashes, so two of them collide with a chance below 1e-13 at
 * that size), then HyperLogLog with 2^13 registers of a byte and Ertl's improved estimator (O. Ertl, "New cardinality
 * estimation algorithms for HyperLogLog sketches", 2017): relative standard error 1.04/sqrt(8192) = 1.15 %. The result
 * depends only on the set of values, not on their order nor on how it was merged. State is a region of a blob; the hash
 * is fixed for ever, since state outlives the process. One thread. */
#ifndef ANANAS_DISTINCT_H
#define ANANAS_DISTINCT_H
#include "blob.h"

#define DISTINCT_EXACT 1024
#define DISTINCT_BITS 13

/* key: bytes equal for equal values (cell_key). */
void distinct_add(blob_t *b, size_t at, const void *key, size_t len);
void distinct_merge(blob_t *b, size_t at, slice_t other);
uint64_t distinct_count(slice_t state);
uint64_t distinct_hash(const void *key, size_t len);
#endif
