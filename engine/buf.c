#include "buf.h"
#include "mem.h"
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_fini(buf_t *b) {
    mem_free(b->s);
    *b = (buf_t){0};
}

void buf_reserve_slow(buf_t *b, size_t more) {
    size_t need;
    if (__builtin_add_overflow(b->len, more, &need))
        abort();
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    b->s = mem_realloc(b->s, cap);
    b->cap = cap;
}

void buf_printf(buf_t *b, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n > 0) {
        buf_reserve(b, (size_t)n + 1);
        vsnprintf(b->s + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

const char *buf_cstr(buf_t *b) {
    buf_reserve(b, 1);
    b->s[b->len] = 0;
    return b->s;
}

char *buf_take(buf_t *b) {
    buf_cstr(b);
    char *s = b->s;
    *b = (buf_t){0};
    return s;
}

static void add_le(buf_t *b, uint64_t v, size_t bytes) {
    buf_reserve(b, bytes);
    for (size_t i = 0; i < bytes; i++)
        b->s[b->len + i] = (char)(unsigned char)(v >> (8 * i));
    b->len += bytes;
}

void buf_add_u32(buf_t *b, uint32_t v) { add_le(b, v, 4); }

void buf_add_u64(buf_t *b, uint64_t v) { add_le(b, v, 8); }

void buf_add_varint(buf_t *b, uint64_t v) {
    while (v >= 0x80) {
        buf_add_char(b, (char)(unsigned char)(v | 0x80));
        v >>= 7;
    }
    buf_add_char(b, (char)(unsigned char)v);
}

void buf_add_bytes(buf_t *b, const void *s, size_t len) {
    buf_add_varint(b, len);
    buf_add(b, s, len);
}

/* The next bytes; NULL: there are not so many. */
static inline const char *take(reader_t *r, size_t len) {
    if (r->bad || len > r->len - r->pos) {
        r->bad = 1;
        return NULL;
    }
    const char *s = r->s + r->pos;
    r->pos += len;
    return s;
}

uint8_t read_u8(reader_t *r) {
    const char *s = take(r, 1);
    return s ? (uint8_t)*s : 0;
}

/* What is not there stays zero. */
static inline void take_into(reader_t *r, void *v, size_t len) {
    const char *s = take(r, len);
    if (s)
        memcpy(v, s, len);
}

uint32_t read_u32(reader_t *r) {
    uint32_t v = 0;
    take_into(r, &v, sizeof v);
    return le32toh(v);
}

uint64_t read_u64(reader_t *r) {
    uint64_t v = 0;
    take_into(r, &v, sizeof v);
    return le64toh(v);
}

uint64_t read_varint(reader_t *r) {
    if (!r->bad && r->pos < r->len && (unsigned char)r->s[r->pos] < 0x80)
        return (unsigned char)r->s[r->pos++];
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t byte = read_u8(r);
        if (shift == 63 && byte > 1)
            break;
        v |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return r->bad ? 0 : v;
    }
    r->bad = 1;
    return 0;
}

slice_t read_bytes(reader_t *r) { return read_raw(r, read_varint(r)); }

slice_t read_raw(reader_t *r, size_t len) {
    const char *s = take(r, len);
    return s ? (slice_t){s, len} : (slice_t){"", 0};
}
