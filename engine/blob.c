#include "blob.h"

typedef struct header {
    uint32_t len, cap;
} header_t;

static header_t header_at(const char *s, size_t at) {
    header_t h;
    memcpy(&h, s + at, sizeof h);
    return h;
}

blob_t blob_of_entry(space_t *sp, store_entry_t *e) {
    char *s = entry_edit(sp, e);
    return (blob_t){.s = s, .len = entry_value(e).len, .space = sp, .entry = e};
}

blob_t blob_of_buf(buf_t *b) { return (blob_t){.s = b->s, .len = b->len, .buf = b}; }

void blob_resize(blob_t *b, size_t len) {
    if (b->entry) {
        b->s = entry_resize(b->space, b->entry, len);
    } else {
        if (len > b->buf->len) {
            buf_reserve(b->buf, len - b->buf->len);
            memset(b->buf->s + b->buf->len, 0, len - b->buf->len);
        }
        b->buf->len = len;
        b->s = b->buf->s;
    }
    b->len = len;
}

void blob_init(blob_t *b, size_t fixed, uint32_t n_regions) {
    size_t len = fixed + (size_t)n_regions * BLOB_REGION;
    blob_resize(b, len);
    memset(b->s, 0, len);
}

size_t region_at(const char *s, size_t fixed, uint32_t k) {
    size_t at = fixed;
    while (k-- > 0)
        at += BLOB_REGION + header_at(s, at).cap;
    return at;
}

int blob_holds(slice_t bytes, size_t fixed, uint32_t n_regions) {
    size_t at = fixed;
    if (bytes.len < fixed)
        return 0;
    for (uint32_t i = 0; i < n_regions; i++) {
        if (bytes.len - at < BLOB_REGION)
            return 0;
        header_t h = header_at(bytes.s, at);
        at += BLOB_REGION;
        if (h.len > h.cap || h.cap > bytes.len - at)
            return 0;
        at += h.cap;
    }
    return at == bytes.len;
}

slice_t region_bytes(const char *s, size_t at) { return (slice_t){s + at + BLOB_REGION, header_at(s, at).len}; }

/* Small regions get what they ask for (most never change again), large ones half as much again. */
static uint32_t grown(uint32_t need) {
    uint32_t cap = need <= 32 ? need : need + need / 2;
    return cap < need ? need : cap;
}

char *region_resize(blob_t *b, size_t at, size_t len) {
    header_t h = header_at(b->s, at);
    if (len > h.cap) {
        uint32_t cap = grown((uint32_t)len);
        size_t tail = at + BLOB_REGION + h.cap, old = b->len, more = cap - h.cap;
        blob_resize(b, old + more);
        memmove(b->s + tail + more, b->s + tail, old - tail);
        h.cap = cap;
    }
    h.len = (uint32_t)len;
    memcpy(b->s + at, &h, sizeof h);
    return b->s + at + BLOB_REGION;
}

char *region_extend(blob_t *b, size_t at, size_t more) {
    size_t len = header_at(b->s, at).len;
    return region_resize(b, at, len + more) + len;
}

void region_set(blob_t *b, size_t at, const void *bytes, size_t len) {
    char *to = region_resize(b, at, len);
    if (len)
        memmove(to, bytes, len);
}

void region_trim(blob_t *b, size_t at) {
    header_t h = header_at(b->s, at);
    size_t tail = at + BLOB_REGION + h.cap, less = h.cap - h.len;
    if (less == 0)
        return;
    memmove(b->s + tail - less, b->s + tail, b->len - tail);
    h.cap = h.len;
    memcpy(b->s + at, &h, sizeof h);
    blob_resize(b, b->len - less);
}
