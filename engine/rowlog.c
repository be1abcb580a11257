#include "rowlog.h"
#include <stdlib.h>

typedef struct item {
    row_order_t order;
    slice_t payload;
    uint32_t came; /* how many came before */
} item_t;

typedef struct head { /* before each payload */
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

/* --- chunks --- */

/* A head of this length has no payload: its order.offset is the number of a chunk. References stand in front of rows that
 * came later, but for merged logs. */
#define REFERENCE UINT64_MAX

static head_t head_at(slice_t log, size_t at) {
    head_t h;
    memcpy(&h, log.s + at, sizeof h);
    return h;
}

static size_t item_size(const head_t *h) { return sizeof *h + (h->len == REFERENCE ? 0 : h->len); }

static slice_t chunk_bytes(space_t *chunks, const head_t *h) {
    store_entry_t *e = store_get(chunks, &h->order.offset, sizeof h->order.offset);
    return e ? entry_value(e) : (slice_t){"", 0};
}

int rowlog_spill(blob_t *b, size_t at, rowlog_chunks_t *chunks) {
    slice_t log = region_bytes(b->s, at);
    size_t rows = 0;
    if (log.len < ROWLOG_CHUNK)
        return 0;
    for (size_t i = 0; i < log.len;) {
        head_t h = head_at(log, i);
        rows += h.len == REFERENCE ? 0 : item_size(&h);
        i += item_size(&h);
    }
    if (rows < ROWLOG_CHUNK)
        return 0;
    head_t mine = {.order.offset = (int64_t)chunks->next++, .len = REFERENCE};
    store_entry_t *e = store_put(chunks->space, &mine.order.offset, sizeof mine.order.offset, NULL);
    char *to = entry_resize(chunks->space, e, rows), *kept = b->s + at + BLOB_REGION;
    size_t n_kept = 0;
    for (size_t i = 0; i < log.len;) {
        head_t h = head_at(log, i);
        size_t size = item_size(&h);
        if (h.len == REFERENCE) {
            memmove(kept + n_kept, log.s + i, size);
            n_kept += size;
        } else {
            memcpy(to, log.s + i, size);
            to += size;
        }
        i += size;
    }
    region_resize(b, at, n_kept);
    memcpy(region_extend(b, at, sizeof mine), &mine, sizeof mine);
    region_trim(b, at);
    return 1;
}

void rowlog_drop(slice_t log, space_t *chunks) {
    head_t h;
    for (size_t i = 0; i < log.len; i += item_size(&h)) {
        h = head_at(log, i);
        if (h.len != REFERENCE)
            continue;
        store_entry_t *e = store_get(chunks, &h.order.offset, sizeof h.order.offset);
        if (e)
            store_del(chunks, e);
    }
}

/* --- reading --- */

static uint32_t count_rows(slice_t log, space_t *chunks) {
    uint32_t n = 0;
    head_t h;
    for (size_t i = 0; i < log.len; i += item_size(&h)) {
        h = head_at(log, i);
        n += h.len == REFERENCE ? count_rows(chunk_bytes(chunks, &h), NULL) : 1;
    }
    return n;
}

static uint32_t collect(slice_t log, space_t *chunks, item_t *items) {
    uint32_t n = 0;
    head_t h;
    for (size_t i = 0; i < log.len; i += item_size(&h)) {
        h = head_at(log, i);
        if (h.len == REFERENCE)
            n += collect(chunk_bytes(chunks, &h), NULL, items + n);
        else
            items[n++] = (item_t){h.order, {log.s + i + sizeof h, h.len}, 0};
    }
    return n;
}

static int compare_items(const void *a, const void *b) {
    const item_t *x = a, *y = b;
    int c = row_order_compare(&x->order, &y->order);
    return c ? c : (x->came > y->came) - (x->came < y->came);
}

uint32_t rowlog_read(slice_t log, space_t *chunks, arena_t *a, slice_t **payloads) {
    uint32_t n = count_rows(log, chunks);
    item_t *items = arena_array(a, item_t, n);
    collect(log, chunks, items);
    int sorted = 1;
    for (uint32_t i = 0; i < n; i++) {
        items[i].came = i;
        sorted &= i == 0 || row_order_compare(&items[i - 1].order, &items[i].order) <= 0;
    }
    if (!sorted)
        qsort(items, n, sizeof *items, compare_items);
    *payloads = arena_array(a, slice_t, n);
    for (uint32_t i = 0; i < n; i++)
        (*payloads)[i] = items[i].payload;
    return n;
}
