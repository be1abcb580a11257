#include "sink.h"

#include "json.h"
#include "mem.h"

static slice_t text_of(slice_t value, arena_t *a) {
    if (value.s[0] == 'n')
        return (slice_t){NULL, 0};
    if (value.s[0] != '"')
        return value;
    char *text = arena_alloc(a, value.len);
    return (slice_t){text, json_unescape(value.s + 1, value.len - 2, text)};
}

uint32_t headers_list(slice_t object, arena_t *a, uint32_t more, header_t **out) {
    json_iter_t it;
    uint32_t n = 0;
    for (int rc = object.s ? json_iter_open(&it, object) : -1; rc >= 0 && json_iter_next(&it) > 0;)
        n++;
    header_t *list = *out = arena_array(a, header_t, n + more);
    if (n)
        json_iter_open(&it, object);
    for (uint32_t i = 0; i < n && json_iter_next(&it) > 0; i++) {
        char *name = arena_alloc(a, it.key.len + 1);
        name[json_unescape(it.key.s, it.key.len, name)] = 0;
        list[i] = (header_t){name, text_of(it.value, a)};
    }
    return n;
}

/* Rules ran one after the other over all ticks, each in tick order: a stable counting sort by tick interleaves them. */
void outbox_sort(outbox_t *o, uint32_t n_ticks) {
    int sorted = 1;
    for (size_t i = 1; i < o->n && sorted; i++)
        sorted = o->at[i - 1].tick <= o->at[i].tick;
    if (sorted)
        return;
    size_t *start = mem_zalloc(((size_t)n_ticks + 2) * sizeof *start);
    for (size_t i = 0; i < o->n; i++)
        start[o->at[i].tick + 1]++;
    for (uint32_t t = 0; t <= n_ticks; t++)
        start[t + 1] += start[t];
    out_record_t *out = mem_alloc(o->cap * sizeof *out);
    for (size_t i = 0; i < o->n; i++)
        out[start[o->at[i].tick]++] = o->at[i];
    mem_free(start);
    mem_free(o->at);
    o->at = out;
}

/* A window of a million groups must not hold its memory for ever. */
#define OUTBOX_KEEP 65536

void outbox_reset(outbox_t *o) {
    if (o->cap > OUTBOX_KEEP)
        outbox_fini(o);
    else
        o->n = 0;
}

void outbox_fini(outbox_t *o) {
    mem_free(o->at);
    *o = (outbox_t){0};
}
