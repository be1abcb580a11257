#include "decode_walk.h"
#include <immintrin.h>

#define WALK walk_avx2
#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt")))

typedef __m256i block_t;

TARGET static inline block_t block_load(const char *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
TARGET static inline uint32_t block_quote(block_t v) {
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, block_load(walk_bytes.quote)));
}
TARGET static inline uint32_t block_special(block_t v) {
    block_t special = _mm256_or_si256(_mm256_cmpeq_epi8(v, block_load(walk_bytes.quote)),
                                      _mm256_cmpeq_epi8(v, block_load(walk_bytes.backslash)));
    /* signed: from 0x80 as well */
    special = _mm256_or_si256(special, _mm256_cmpgt_epi8(block_load(walk_bytes.space), v));
    return (uint32_t)_mm256_movemask_epi8(special);
}
TARGET static inline uint32_t block_same(block_t v, const char *text) {
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, block_load(text)));
}
TARGET static inline block_t block_pad(block_t v, uint64_t n) {
    return _mm256_or_si256(_mm256_and_si256(v, block_load(walk_bytes.kept + 32 - n)),
                           block_load(walk_bytes.padding + 32 - n));
}
TARGET static inline uint64_t block_hash(block_t v, uint64_t seed) {
    __m128i high = _mm_shuffle_epi32(_mm256_extracti128_si256(v, 1), 0x4e);
    __m128i cross = _mm_xor_si128(_mm256_castsi256_si128(v), high);
    return intern_mix((uint64_t)_mm_cvtsi128_si64(cross), (uint64_t)_mm_extract_epi64(cross, 1), seed);
}
TARGET static inline uint32_t block_digit(block_t v) {
    v = _mm256_sub_epi8(v, block_load(walk_bytes.zero));
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(v, block_load(walk_bytes.nine)), v));
}

#include "decode_walk_body.h"
