/* A store_dirty_fn for specs: LuaJIT's callbacks cannot take structs by value. Writes space, key and value, each with its
 * length, into the buf_t; a deleted value as the length 0xffffffff. Compiled by the spec that wants it. */
#include "store.h"

static void add(buf_t *b, slice_t s) {
    uint32_t len = s.s ? (uint32_t)s.len : UINT32_MAX;
    size_t need = b->len + 4 + s.len;
    if (need > b->cap)
        return; /* the spec reserves enough; it sees the cut */
    memcpy(b->s + b->len, &len, 4);
    if (s.s && s.len)
        memcpy(b->s + b->len + 4, s.s, s.len);
    b->len = need;
}

int store_collect(void *ctx, const char *space, slice_t key, slice_t value) {
    add(ctx, slice_of(space));
    add(ctx, key);
    add(ctx, value);
    return 0;
}

int store_refuse(void *ctx, const char *space, slice_t key, slice_t value) {
    (void)space, (void)key, (void)value;
    ++*(int *)ctx;
    return -4;
}
