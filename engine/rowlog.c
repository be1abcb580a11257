#include "rowlog.h"
#include <stdlib.h>

typedef struct item {
    row_order_t order;
    slice_t payload;
} item_t;

typedef struct head {        /* before each payload */
    row_order_t order;
    uint64_t len;
} head_t;

int row_order_compare(const row_order_t *a, const row_order_t *b) {
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    if (a->topic != b->topic)
        return a->topic < b->topic ? -1 : 1;
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return (a->sub > b->sub) - (a->sub < b->sub);
}

void rowlog_add(blob_t *b, size_t at, const row_order_t *order, const void *payload, size_t len) {
    head_t h = {*order, len};
    char *s = region_extend(b, at, sizeof h + len);
    memcpy(s, &h, sizeof h);
    if (len)
        memcpy(s + sizeof h, payload, len);
}

void rowlog_merge(blob_t *b, size_t at, slice_t other) {
    if (other.len)
        memcpy(region_extend(b, at, other.len), other.s, other.len);
}

/* Items stand in memory in the order they came, which breaks ties. */
static int compare_items(const void *a, const void *b) {
    const item_t *x = a, *y = b;
    int c = row_order_compare(&x->order, &y->order);
    return c ? c : (x->payload.s > y->payload.s) - (x->payload.s < y->payload.s);
}

uint32_t rowlog_read(slice_t state, arena_t *a, slice_t **payloads) {
    uint32_t n = 0;
    head_t h;
    for (size_t i = 0; i < state.len; i += sizeof h + h.len, n++)
        memcpy(&h, state.s + i, sizeof h);
    item_t *items = arena_array(a, item_t, n);
    int sorted = 1;
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++, at += sizeof h + h.len) {
        memcpy(&h, state.s + at, sizeof h);
        items[i] = (item_t){h.order, {state.s + at + sizeof h, h.len}};
        if (i > 0 && row_order_compare(&items[i - 1].order, &items[i].order) > 0)
            sorted = 0;
    }
    if (!sorted)
        qsort(items, n, sizeof *items, compare_items);
    *payloads = arena_array(a, slice_t, n);
    for (uint32_t i = 0; i < n; i++)
        (*payloads)[i] = items[i].payload;
    return n;
}
