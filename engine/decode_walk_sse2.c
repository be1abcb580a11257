#include "decode_walk.h"
#include <emmintrin.h>

#define WALK walk_sse2
#define TARGET

typedef struct block {
    __m128i low, high;
} block_t;

static inline __m128i half_of(const char *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline block_t block_load(const char *p) { return (block_t){half_of(p), half_of(p + 16)}; }
static inline uint32_t mask_of(__m128i low, __m128i high) {
    return (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
}
static inline __m128i special_half(__m128i v) {
    __m128i special =
        _mm_or_si128(_mm_cmpeq_epi8(v, half_of(walk_bytes.quote)), _mm_cmpeq_epi8(v, half_of(walk_bytes.backslash)));
    return _mm_or_si128(special, _mm_cmplt_epi8(v, half_of(walk_bytes.space))); /* signed: from 0x80 as well */
}
static inline uint32_t block_special(block_t b) { return mask_of(special_half(b.low), special_half(b.high)); }
static inline uint32_t block_quote(block_t b) {
    __m128i quote = half_of(walk_bytes.quote);
    return mask_of(_mm_cmpeq_epi8(b.low, quote), _mm_cmpeq_epi8(b.high, quote));
}
static inline uint32_t block_same(block_t b, const char *text) {
    block_t t = block_load(text);
    return mask_of(_mm_cmpeq_epi8(b.low, t.low), _mm_cmpeq_epi8(b.high, t.high));
}
static inline block_t block_pad(block_t b, uint64_t n) {
    block_t keep = block_load(walk_bytes.kept + 32 - n), pad = block_load(walk_bytes.padding + 32 - n);
    return (block_t){_mm_or_si128(_mm_and_si128(b.low, keep.low), pad.low),
                     _mm_or_si128(_mm_and_si128(b.high, keep.high), pad.high)};
}
static inline uint64_t block_hash(block_t b, uint64_t seed) {
    __m128i cross = _mm_xor_si128(b.low, _mm_shuffle_epi32(b.high, 0x4e));
    return intern_mix((uint64_t)_mm_cvtsi128_si64(cross), (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(cross, cross)),
                      seed);
}
static inline __m128i digit_half(__m128i v) {
    v = _mm_sub_epi8(v, half_of(walk_bytes.zero));
    return _mm_cmpeq_epi8(_mm_min_epu8(v, half_of(walk_bytes.nine)), v);
}
static inline uint32_t block_digit(block_t b) { return mask_of(digit_half(b.low), digit_half(b.high)); }

#include "decode_walk_body.h"
