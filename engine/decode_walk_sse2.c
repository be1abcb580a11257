#include "decode_walk.h"
#include <emmintrin.h>

#define WALK walk_sse2
#define TARGET

typedef struct block {
    __m128i low, high;
} block_t;

static const unsigned char positions[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                            16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

static inline block_t block_load(const char *p) {
    return (block_t){_mm_loadu_si128((const __m128i *)(const void *)p),
                     _mm_loadu_si128((const __m128i *)(const void *)(p + 16))};
}
static inline uint32_t mask_of(__m128i low, __m128i high) {
    return (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
}
static inline __m128i special_half(__m128i v) {
    __m128i special = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return _mm_or_si128(special, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20))); /* signed: from 0x80 as well */
}
static inline uint32_t block_special(block_t b) { return mask_of(special_half(b.low), special_half(b.high)); }
static inline uint32_t block_quote(block_t b) {
    return mask_of(_mm_cmpeq_epi8(b.low, _mm_set1_epi8('"')), _mm_cmpeq_epi8(b.high, _mm_set1_epi8('"')));
}
static inline uint32_t block_same(block_t b, const char *text) {
    block_t t = block_load(text);
    return mask_of(_mm_cmpeq_epi8(b.low, t.low), _mm_cmpeq_epi8(b.high, t.high));
}
static inline block_t block_keep(block_t b, uint32_t n) {
    block_t at = block_load((const char *)positions);
    __m128i limit = _mm_set1_epi8((char)n);
    return (block_t){_mm_and_si128(b.low, _mm_cmplt_epi8(at.low, limit)),
                     _mm_and_si128(b.high, _mm_cmplt_epi8(at.high, limit))};
}
static inline uint64_t block_word(block_t b, int i) {
    __m128i half = i < 2 ? b.low : b.high;
    return (uint64_t)_mm_cvtsi128_si64(i & 1 ? _mm_unpackhi_epi64(half, half) : half);
}
static inline __m128i digit_half(__m128i v) {
    v = _mm_sub_epi8(v, _mm_set1_epi8('0'));
    return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v);
}
static inline uint32_t block_digit(block_t b) { return mask_of(digit_half(b.low), digit_half(b.high)); }

#include "decode_walk_body.h"
