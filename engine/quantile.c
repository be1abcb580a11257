/* State: empty; or KIND_EXACT, three bytes of padding and the values in order of arrival; or a sketch_t, the counts of the
 * negative values' buckets and those of the positive ones. Bucket i holds the magnitudes in (gamma^(i-1), gamma^i]. */
#include "quantile.h"
#include "mem.h"
#include <math.h>
#include <stdlib.h>

enum { KIND_EXACT = 1, KIND_SKETCH = 2 };
#define EXACT_HEAD 8
#define GAMMA ((1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR))

typedef struct run { /* consecutive buckets */
    int32_t lowest;
    uint32_t n;
} run_t;

typedef struct sketch {
    uint32_t kind, spare;
    uint64_t zeros;
    double min, max;
    run_t run[2]; /* 0: negative values by magnitude, 1: positive ones */
} sketch_t;

static sketch_t sketch_of(const char *s) {
    sketch_t k;
    memcpy(&k, s, sizeof k);
    return k;
}

static uint64_t count_at(const char *counts, size_t i) {
    uint64_t v;
    memcpy(&v, counts + 8 * i, 8);
    return v;
}

static void count_add(char *counts, size_t i, uint64_t n) {
    uint64_t v = count_at(counts, i) + n;
    memcpy(counts + 8 * i, &v, 8);
}

static size_t counts_at(const sketch_t *k, int sign) { return sizeof *k + (sign ? 8 * (size_t)k->run[0].n : 0); }

static int32_t bucket_of(double magnitude) { return (int32_t)ceil(log(magnitude) / log(GAMMA)); }

static double bucket_value(int32_t i) { return 2 * exp(i * log(GAMMA)) / (GAMMA + 1); }

/* The run [lowest, lowest + n) after it was widened to hold bucket i; what falls below the bound joins the lowest. */
static run_t widened(run_t r, int32_t i) {
    if (r.n == 0)
        return (run_t){i, 1};
    int32_t high = r.lowest + (int32_t)r.n - 1, low = r.lowest;
    if (i > high)
        high = i;
    if (i < low)
        low = i;
    if ((int64_t)high - low >= QUANTILE_BUCKETS)
        low = high - QUANTILE_BUCKETS + 1;
    return (run_t){low, (uint32_t)(high - low + 1)};
}

/* Copies the counts aside, lays the run out anew and adds them again: growth is rare once the range is known. */
static void relayout(blob_t *b, size_t at, int sign, run_t to) {
    slice_t state = region_bytes(b->s, at);
    sketch_t k = sketch_of(state.s);
    run_t from = k.run[sign];
    size_t begin = counts_at(&k, sign), old = 8 * (size_t)from.n, fresh = 8 * (size_t)to.n,
           tail = state.len - begin - old;
    char *counts = mem_dup(state.s + begin, old + tail);
    char *s = region_resize(b, at, begin + fresh + tail);
    memset(s + begin, 0, fresh);
    for (uint32_t i = 0; i < from.n; i++) {
        int32_t bucket = from.lowest + (int32_t)i;
        count_add(s + begin, bucket < to.lowest ? 0 : (size_t)(bucket - to.lowest), count_at(counts, i));
    }
    if (tail)
        memcpy(s + begin + fresh, counts + old, tail);
    k.run[sign] = to;
    memcpy(s, &k, sizeof k);
    mem_free(counts);
}

static void bucket_add(blob_t *b, size_t at, int sign, int32_t i, uint64_t n) {
    sketch_t k = sketch_of(b->s + at + BLOB_REGION);
    run_t to = widened(k.run[sign], i);
    if (to.lowest != k.run[sign].lowest || to.n != k.run[sign].n)
        relayout(b, at, sign, to);
    char *s = b->s + at + BLOB_REGION;
    k = sketch_of(s);
    count_add(s + counts_at(&k, sign), i < to.lowest ? 0 : (size_t)(i - to.lowest), n);
}

static void sketch_add(blob_t *b, size_t at, double v) {
    char *s = b->s + at + BLOB_REGION;
    sketch_t k = sketch_of(s);
    if (v < k.min)
        k.min = v;
    if (v > k.max)
        k.max = v;
    if (v == 0)
        k.zeros++;
    memcpy(s, &k, sizeof k);
    if (v != 0)
        bucket_add(b, at, v > 0, bucket_of(fabs(v)), 1);
}

static void to_sketch(blob_t *b, size_t at) {
    slice_t old = region_bytes(b->s, at);
    double values[QUANTILE_EXACT];
    size_t n = old.len ? (old.len - EXACT_HEAD) / 8 : 0;
    if (n)
        memcpy(values, old.s + EXACT_HEAD, 8 * n);
    sketch_t k = {.kind = KIND_SKETCH, .min = INFINITY, .max = -INFINITY};
    region_set(b, at, &k, sizeof k);
    for (size_t i = 0; i < n; i++)
        sketch_add(b, at, values[i]);
}

static uint32_t kind_of(slice_t state) {
    uint32_t kind = 0;
    if (state.len)
        memcpy(&kind, state.s, 4);
    return kind;
}

void quantile_add(blob_t *b, size_t at, double value) {
    if (!isfinite(value))
        return;
    slice_t state = region_bytes(b->s, at);
    if (kind_of(state) != KIND_SKETCH) {
        uint32_t head[2] = {KIND_EXACT, 0};
        size_t n = state.len ? (state.len - EXACT_HEAD) / 8 : 0;
        if (n < QUANTILE_EXACT) {
            char *s = region_resize(b, at, EXACT_HEAD + 8 * (n + 1));
            memcpy(s, head, sizeof head);
            memcpy(s + EXACT_HEAD + 8 * n, &value, 8);
            return;
        }
        to_sketch(b, at);
    }
    sketch_add(b, at, value);
}

void quantile_merge(blob_t *b, size_t at, slice_t other) {
    if (kind_of(other) == KIND_EXACT) {
        for (size_t i = EXACT_HEAD; i + 8 <= other.len; i += 8) {
            double v;
            memcpy(&v, other.s + i, 8);
            quantile_add(b, at, v);
        }
        return;
    }
    if (kind_of(other) != KIND_SKETCH)
        return;
    if (kind_of(region_bytes(b->s, at)) != KIND_SKETCH)
        to_sketch(b, at);
    sketch_t o = sketch_of(other.s), k = sketch_of(b->s + at + BLOB_REGION);
    k.zeros += o.zeros;
    k.min = fmin(k.min, o.min);
    k.max = fmax(k.max, o.max);
    memcpy(b->s + at + BLOB_REGION, &k, sizeof k);
    for (int sign = 0; sign < 2; sign++)
        for (uint32_t i = o.run[sign].n; i-- > 0;) { /* from the top: the bound is known at once */
            uint64_t n = count_at(other.s + counts_at(&o, sign), i);
            if (n)
                bucket_add(b, at, sign, o.run[sign].lowest + (int32_t)i, n);
        }
}

static int compare_doubles(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return (x > y) - (x < y);
}

static uint64_t run_total(const char *s, const sketch_t *k, int sign) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < k->run[sign].n; i++)
        n += count_at(s + counts_at(k, sign), i);
    return n;
}

/* The value of a rank, from the most negative bucket upwards. */
static double rank_value(const char *s, const sketch_t *k, uint64_t rank) {
    double v = k->max;
    uint64_t seen = 0;
    for (uint32_t i = k->run[0].n; i-- > 0;)
        if ((seen += count_at(s + counts_at(k, 0), i)) > rank)
            return fmin(fmax(-bucket_value(k->run[0].lowest + (int32_t)i), k->min), k->max);
    if ((seen += k->zeros) > rank)
        return 0;
    for (uint32_t i = 0; i < k->run[1].n; i++)
        if ((seen += count_at(s + counts_at(k, 1), i)) > rank) {
            v = bucket_value(k->run[1].lowest + (int32_t)i);
            break;
        }
    return fmin(fmax(v, k->min), k->max);
}

static double between(double low, double high, double share) {
    return share > 0 && high != low ? low + (high - low) * share : low;
}

int quantile_value(slice_t state, double q, double *out) {
    if (kind_of(state) == KIND_EXACT) {
        double values[QUANTILE_EXACT];
        size_t n = (state.len - EXACT_HEAD) / 8;
        memcpy(values, state.s + EXACT_HEAD, 8 * n);
        qsort(values, n, sizeof *values, compare_doubles);
        double rank = q * (double)(n - 1);
        size_t low = (size_t)rank;
        *out = between(values[low], values[low + 1 < n ? low + 1 : low], rank - (double)low);
        return 1;
    }
    if (kind_of(state) != KIND_SKETCH)
        return 0;
    sketch_t k = sketch_of(state.s);
    uint64_t n = run_total(state.s, &k, 0) + k.zeros + run_total(state.s, &k, 1);
    double rank = q * (double)(n - 1);
    uint64_t low = (uint64_t)rank;
    if (low == 0)
        *out = rank > 0 ? between(k.min, rank_value(state.s, &k, 1), rank) : k.min;
    else if (low + 1 >= n)
        *out = k.max;
    else
        *out = between(rank_value(state.s, &k, low), rank_value(state.s, &k, low + 1), rank - (double)low);
    return 1;
}
