/* State: empty, or a kind byte and then the sorted hashes (little-endian u64), or the registers. */
#include "distinct.h"
#include <math.h>

enum { KIND_EXACT = 1, KIND_SKETCH = 2 };
#define REGISTERS (1u << DISTINCT_BITS)
#define RANK_MOST (64 - DISTINCT_BITS + 1)

static uint64_t load64(const char *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static uint64_t mix(uint64_t h) {
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdULL;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ULL;
    return h ^ (h >> 33);
}

/* Eight bytes at a time through MurmurHash3's finaliser; a short tail is padded and the length goes in last. */
uint64_t distinct_hash(const void *key, size_t len) {
    const char *p = key;
    uint64_t h = 0x9e3779b97f4a7c15ULL;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8)
        h = mix(h ^ load64(p)) + 0x9e3779b97f4a7c15ULL;
    uint64_t tail = 0;
    if (left)
        memcpy(&tail, p, left);
    return mix(mix(h ^ tail) ^ len);
}

static void sketch_put(char *registers, uint64_t hash) {
    uint64_t index = hash >> (64 - DISTINCT_BITS), rest = hash << DISTINCT_BITS;
    unsigned char rank = (unsigned char)(rest ? __builtin_clzll(rest) + 1 : RANK_MOST);
    if ((unsigned char)registers[index] < rank)
        registers[index] = (char)rank;
}

static void to_sketch(blob_t *b, size_t at) {
    slice_t old = region_bytes(b->s, at);
    uint64_t hashes[DISTINCT_EXACT];
    size_t n = old.len ? (old.len - 1) / 8 : 0;
    for (size_t i = 0; i < n; i++)
        hashes[i] = load64(old.s + 1 + 8 * i);
    char *s = region_resize(b, at, 1 + REGISTERS);
    memset(s, 0, 1 + REGISTERS);
    s[0] = KIND_SKETCH;
    for (size_t i = 0; i < n; i++)
        sketch_put(s + 1, hashes[i]);
}

/* Index of the first hash that is not below. */
static size_t position(const char *hashes, size_t n, uint64_t hash) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (load64(hashes + 8 * middle) < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void put(blob_t *b, size_t at, uint64_t hash) {
    slice_t state = region_bytes(b->s, at);
    if (state.len == 0) {
        *region_resize(b, at, 1) = KIND_EXACT;
        state = region_bytes(b->s, at);
    }
    if (state.s[0] == KIND_SKETCH) {
        sketch_put(b->s + at + BLOB_REGION + 1, hash);
        return;
    }
    size_t n = (state.len - 1) / 8, i = position(state.s + 1, n, hash);
    if (i < n && load64(state.s + 1 + 8 * i) == hash)
        return;
    if (n == DISTINCT_EXACT) {
        to_sketch(b, at);
        sketch_put(b->s + at + BLOB_REGION + 1, hash);
        return;
    }
    char *hashes = region_resize(b, at, state.len + 8) + 1;
    memmove(hashes + 8 * (i + 1), hashes + 8 * i, 8 * (n - i));
    memcpy(hashes + 8 * i, &hash, 8);
}

void distinct_add(blob_t *b, size_t at, const void *key, size_t len) { put(b, at, distinct_hash(key, len)); }

void distinct_merge(blob_t *b, size_t at, slice_t other) {
    if (other.len == 0)
        return;
    if (other.s[0] == KIND_EXACT) {
        for (size_t i = 1; i + 8 <= other.len; i += 8)
            put(b, at, load64(other.s + i));
        return;
    }
    slice_t mine = region_bytes(b->s, at);
    if (mine.len == 0 || mine.s[0] == KIND_EXACT)
        to_sketch(b, at);
    char *registers = b->s + at + BLOB_REGION + 1;
    for (size_t i = 0; i < REGISTERS; i++)
        if ((unsigned char)registers[i] < (unsigned char)other.s[1 + i])
            registers[i] = other.s[1 + i];
}

/* sigma and tau of Ertl's estimator: the corrections for empty and for saturated registers. */
static double sigma(double x) {
    if (x == 1)
        return INFINITY;
    double y = 1, z = x, before;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z != before);
    return z;
}

static double tau(double x) {
    if (x == 0 || x == 1)
        return 0;
    double y = 1, z = 1 - x, before;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z != before);
    return z / 3;
}

uint64_t distinct_count(slice_t state) {
    if (state.len == 0)
        return 0;
    if (state.s[0] == KIND_EXACT)
        return (state.len - 1) / 8;
    uint32_t histogram[RANK_MOST + 1] = {0};
    for (size_t i = 0; i < REGISTERS; i++)
        histogram[(unsigned char)state.s[1 + i]]++;
    const double m = REGISTERS;
    double z = m * tau(1 - histogram[RANK_MOST] / m);
    for (int k = RANK_MOST - 1; k >= 1; k--)
        z = 0.5 * (z + histogram[k]);
    z += m * sigma(histogram[0] / m);
    return (uint64_t)llround(m * m / (2 * 0.69314718055994530942 * z));
}
