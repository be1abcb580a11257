/* buf: a growing string of bytes, and slices that borrow from one.
 *
 * The caller owns a buf_t (often on its stack, zero-initialised) and ends it with buf_fini. One thread at a time. */
#ifndef ANANAS_BUF_H
#define ANANAS_BUF_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct slice {
    const char *s; /* NULL: absent (SQL NULL), which is not the same as empty */
    size_t len;
} slice_t;

typedef struct buf {
    char *s;
    size_t len, cap;
} buf_t;

void buf_fini(buf_t *b);
void buf_reserve_slow(buf_t *b, size_t more);
void buf_printf(buf_t *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NUL-terminates without counting the NUL; the pointer is valid until the next change. */
const char *buf_cstr(buf_t *b);
char *buf_take(buf_t *b); /* the caller owns the NUL-terminated bytes; b is empty again */

static inline void buf_clear(buf_t *b) { b->len = 0; }
static inline void buf_reserve(buf_t *b, size_t more) {
    if (b->cap - b->len < more)
        buf_reserve_slow(b, more);
}
static inline void buf_add(buf_t *b, const void *s, size_t len) {
    if (len == 0)
        return;
    buf_reserve(b, len);
    memcpy(b->s + b->len, s, len);
    b->len += len;
}
static inline void buf_add_char(buf_t *b, char c) {
    buf_reserve(b, 1);
    b->s[b->len++] = c;
}
static inline void buf_add_str(buf_t *b, const char *s) { buf_add(b, s, strlen(s)); }
static inline void buf_add_slice(buf_t *b, slice_t s) { buf_add(b, s.s, s.len); }
static inline slice_t buf_slice(const buf_t *b) { return (slice_t){b->s, b->len}; }

/* Fixed-width little-endian and LEB128 integers, for state and changelog records. */
void buf_add_u32(buf_t *b, uint32_t v);
void buf_add_u64(buf_t *b, uint64_t v);
void buf_add_varint(buf_t *b, uint64_t v);
void buf_add_bytes(buf_t *b, const void *s, size_t len); /* varint length, then the bytes */

/* Reads what the above wrote. A reader that ran past the end has bad = 1 and gives zeros from then on. */
typedef struct reader {
    const char *s;
    size_t len, pos;
    int bad;
} reader_t;
static inline reader_t reader_of(const void *s, size_t len) { return (reader_t){(const char *)s, len, 0, 0}; }
uint8_t read_u8(reader_t *r);
uint32_t read_u32(reader_t *r);
uint64_t read_u64(reader_t *r);
uint64_t read_varint(reader_t *r);
slice_t read_bytes(reader_t *r); /* varint length, then the bytes (borrowed) */
slice_t read_raw(reader_t *r, size_t len);

static inline slice_t slice_of(const char *s) { return (slice_t){s, s ? strlen(s) : 0}; }
static inline int slice_eq(slice_t a, slice_t b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.s, b.s, a.len) == 0);
}
#endif
