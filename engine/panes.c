#include "panes.h"
#include "mem.h"
#include <stdlib.h>

void pane_free(pane_t *p) {
    mem_free(p->at);
    mem_free(p);
}

void panes_fini(panes_t *p) {
    for (size_t i = 0; i < p->n; i++)
        pane_free(p->at[i]);
    mem_free(p->at);
    *p = (panes_t){0};
}

/* Index of the first window that does not end before that. */
static size_t position(const panes_t *p, etime_t end) {
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->at[middle]->span.end < end)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

pane_t *panes_open(panes_t *p, span_t span, int fired) {
    if (p->last && p->last->span.end == span.end)
        return p->last;
    size_t i = position(p, span.end);
    if (i < p->n && p->at[i]->span.end == span.end)
        return p->last = p->at[i];
    pane_t *pane = mem_zalloc(sizeof *pane);
    pane->span = span;
    pane->fired = fired;
    mem_grow(&p->at, &p->cap, p->n + 1, sizeof(pane_t *));
    memmove(p->at + i + 1, p->at + i, (p->n - i) * sizeof(pane_t *));
    p->at[i] = pane;
    p->n++;
    p->fired += fired ? 1 : 0;
    return p->last = pane;
}

pane_t *panes_fire(panes_t *p, etime_t wm) {
    if (p->fired == p->n || !window_is_over(p->at[p->fired]->span.end, 0, wm))
        return NULL;
    pane_t *pane = p->at[p->fired++];
    pane->fired = 1;
    return pane;
}

pane_t *panes_take_over(panes_t *p, int64_t lateness, etime_t wm) {
    if (p->fired == 0 || !window_is_over(p->at[0]->span.end, lateness, wm))
        return NULL;
    pane_t *pane = p->at[0];
    p->n--;
    p->fired--;
    memmove(p->at, p->at + 1, p->n * sizeof(pane_t *));
    if (p->last == pane)
        p->last = NULL;
    return pane;
}

int panes_quiet(const panes_t *p, int64_t lateness, etime_t wm) {
    return !(p->fired < p->n && window_is_over(p->at[p->fired]->span.end, 0, wm)) &&
           !(p->fired > 0 && window_is_over(p->at[0]->span.end, lateness, wm));
}

etime_t panes_next_end(const panes_t *p) { return p->fired < p->n ? p->at[p->fired]->span.end : ETIME_MAX; }

void pane_add(pane_t *p, store_entry_t *e) {
    mem_grow(&p->at, &p->cap, p->n + 1, sizeof(store_entry_t *));
    p->at[p->n++] = e;
}

/* Sorting looks at the bytes behind the common prefix (the window's end) first, without going to the entries. */
typedef struct sorted {
    uint64_t lead;
    store_entry_t *entry;
} sorted_t;

#define PREFIX 8

static uint64_t lead_of(slice_t key) {
    uint64_t v = 0;
    size_t n = key.len > PREFIX ? key.len - PREFIX : 0;
    if (n)
        memcpy(&v, key.s + PREFIX, n < sizeof v ? n : sizeof v);
    return __builtin_bswap64(v);
}

static int compare_sorted(const void *a, const void *b) {
    const sorted_t *p = a, *q = b;
    if (p->lead != q->lead)
        return p->lead < q->lead ? -1 : 1;
    slice_t x = entry_key(p->entry), y = entry_key(q->entry);
    int c = memcmp(x.s, y.s, x.len < y.len ? x.len : y.len);
    return c ? c : (x.len > y.len) - (x.len < y.len);
}

void pane_sort(pane_t *p) {
    if (p->n < 2)
        return;
    sorted_t *s = mem_alloc(p->n * sizeof *s);
    for (size_t i = 0; i < p->n; i++) {
        if (i + 8 < p->n)
            __builtin_prefetch((const char *)p->at[i + 8] + 40);
        s[i] = (sorted_t){lead_of(entry_key(p->at[i])), p->at[i]};
    }
    qsort(s, p->n, sizeof *s, compare_sorted);
    for (size_t i = 0; i < p->n; i++)
        p->at[i] = s[i].entry;
    mem_free(s);
}
