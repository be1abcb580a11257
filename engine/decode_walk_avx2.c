#include "decode_walk.h"
#include <immintrin.h>

#define WALK walk_avx2
#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt")))

typedef __m256i block_t;

static const unsigned char positions[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                            16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

TARGET static inline block_t block_load(const char *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
TARGET static inline uint32_t block_special(block_t v) {
    block_t special =
        _mm256_or_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('"')), _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\')));
    special = _mm256_or_si256(special, _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v)); /* signed: from 0x80 as well */
    return (uint32_t)_mm256_movemask_epi8(special);
}
TARGET static inline uint32_t block_quote(block_t v) {
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('"')));
}
TARGET static inline uint32_t block_same(block_t v, const char *text) {
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, block_load(text)));
}
TARGET static inline block_t block_keep(block_t v, uint32_t n) {
    return _mm256_and_si256(v, _mm256_cmpgt_epi8(_mm256_set1_epi8((char)n), block_load((const char *)positions)));
}
TARGET static inline uint64_t block_word(block_t v, int i) {
    __m128i half = i < 2 ? _mm256_castsi256_si128(v) : _mm256_extracti128_si256(v, 1);
    return (uint64_t)_mm_cvtsi128_si64(i & 1 ? _mm_unpackhi_epi64(half, half) : half);
}
TARGET static inline uint32_t block_digit(block_t v) {
    v = _mm256_sub_epi8(v, _mm256_set1_epi8('0'));
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(9)), v));
}

#include "decode_walk_body.h"
