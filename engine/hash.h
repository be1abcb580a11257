/* hash: 64 bits of a byte string, fast for short keys.
 *
 * Folded 64x64 -> 128 bit multiplications over 16 bytes at a time (the construction of wyhash). For tables in this
 * process only: the value may change between versions and must never be written anywhere. A table whose keys strangers
 * choose passes a random seed. Any thread. */
#ifndef ANANAS_HASH_H
#define ANANAS_HASH_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 hash_wide_t;

static inline uint64_t hash_fold(uint64_t a, uint64_t b) {
    hash_wide_t r = (hash_wide_t)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}
static inline uint64_t hash_load8(const char *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}
static inline uint64_t hash_load4(const char *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* Two overlapping loads cover every length from 4 to 16; shorter keys take first, middle and last byte. */
static inline uint64_t hash_bytes(const void *key, size_t len, uint64_t seed) {
    const uint64_t k0 = 0xa0761d6478bd642fULL, k1 = 0xe7037ed1a0b428dbULL, k2 = 0x8ebc6af09c88c6e3ULL;
    const char *p = (const char *)key;
    size_t left = len;
    seed ^= k0;
    while (left > 16) {
        seed = hash_fold(hash_load8(p) ^ k1, hash_load8(p + 8) ^ seed);
        p += 16;
        left -= 16;
    }
    uint64_t a = 0, b = 0;
    if (left >= 8) {
        a = hash_load8(p);
        b = hash_load8(p + left - 8);
    } else if (left >= 4) {
        a = hash_load4(p);
        b = hash_load4(p + left - 4);
    } else if (left > 0) {
        a = (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[left >> 1] << 8 |
            (unsigned char)p[left - 1];
    }
    return hash_fold(k2 ^ len, hash_fold(a ^ k1, b ^ seed));
}
#endif
