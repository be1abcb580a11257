/* quantile: the value below which a share q of the values lies, in bounded memory.
 *
 * Exact up to QUANTILE_EXACT values (then by linear interpolation between neighbours, as SQL's PERCENTILE_CONT), beyond
 * that a DDSketch (C. Masson, J. E. Rim, H. K. Lee, "DDSketch", VLDB 2019): every rank's value within QUANTILE_ERROR of
 * the true one, relatively. At most QUANTILE_BUCKETS buckets per sign are kept; when values spread over more than 17
 * orders of magnitude those nearest to zero share the lowest one. What comes out depends only on the multiset of values.
 * State is a region of a blob. One thread. */
#ifndef ANANAS_QUANTILE_H
#define ANANAS_QUANTILE_H
#include "blob.h"

#define QUANTILE_EXACT 512
#define QUANTILE_BUCKETS 2048
#define QUANTILE_ERROR 0.01

void quantile_add(blob_t *b, size_t at, double value); /* values that are not finite are left out */
void quantile_merge(blob_t *b, size_t at, slice_t other);
/* 1 and *out, or 0 when there were no values. */
int quantile_value(slice_t state, double q, double *out);
#endif
