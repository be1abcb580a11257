/* keystate: layout of an entry's value, little-endian:
 *   u64 touch, varint n, n times (name bytes, u64 at), about bytes, then the state up to the end.
 * touch is kept only where there is a ttl, so that an unchanged state is an unchanged entry. */
#include "keystate.h"

#include <stdlib.h>

#include "mem.h"

#define OUT_OF_AGENDA SIZE_MAX

typedef struct node { /* tag of an entry that something is due to */
    store_entry_t *entry;
    etime_t at; /* never after the time of what is really due */
    size_t pos;
} node_t;

struct keystate {
    space_t *space;
    int64_t ttl;
    node_t **heap; /* by (at, key) */
    size_t n, cap;
    buf_t value; /* scratch */
};

static int slice_compare(slice_t a, slice_t b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.s, b.s, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* ---- agenda ---- */

static int node_before(const node_t *a, const node_t *b) {
    if (a->at != b->at)
        return a->at < b->at;
    return slice_compare(entry_key(a->entry), entry_key(b->entry)) < 0;
}

static void heap_set(keystate_t *k, size_t i, node_t *node) {
    k->heap[i] = node;
    node->pos = i;
}

static void sift_up(keystate_t *k, size_t i, node_t *node) {
    for (; i > 0 && node_before(node, k->heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap_set(k, i, k->heap[(i - 1) / 2]);
    heap_set(k, i, node);
}

static void sift_down(keystate_t *k, size_t i, node_t *node) {
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= k->n)
            break;
        if (child + 1 < k->n && node_before(k->heap[child + 1], k->heap[child]))
            child++;
        if (!node_before(k->heap[child], node))
            break;
        heap_set(k, i, k->heap[child]);
        i = child;
    }
    heap_set(k, i, node);
}

static void agenda_remove(keystate_t *k, node_t *node) {
    if (node->pos == OUT_OF_AGENDA)
        return;
    size_t i = node->pos;
    node_t *last = k->heap[--k->n];
    node->pos = OUT_OF_AGENDA;
    if (last == node)
        return;
    sift_down(k, i, last);
    if (last->pos == i)
        sift_up(k, i, last);
}

static void agenda_forget(keystate_t *k, store_entry_t *e) {
    node_t *node = entry_tag(e);
    if (!node)
        return;
    agenda_remove(k, node);
    entry_set_tag(e, NULL);
    mem_free(node);
}

/* A later time is not moved at once: the node is looked at when its old time comes. */
static void agenda_put(keystate_t *k, store_entry_t *e, etime_t at) {
    node_t *node = entry_tag(e);
    if (!node) {
        node = mem_alloc(sizeof *node);
        *node = (node_t){.entry = e, .at = at, .pos = OUT_OF_AGENDA};
        entry_set_tag(e, node);
    }
    if (node->pos != OUT_OF_AGENDA) {
        if (at < node->at) {
            node->at = at;
            sift_up(k, node->pos, node);
        }
        return;
    }
    node->at = at;
    mem_grow(&k->heap, &k->cap, k->n + 1, sizeof(node_t *));
    sift_up(k, k->n++, node);
}

/* ---- entries ---- */

static etime_t expiry(const keystate_t *k, etime_t touch) {
    return touch > ETIME_MAX - k->ttl ? ETIME_MAX : touch + k->ttl;
}

/* What an entry waits for: *timer tells whether it is a timer. ETIME_MAX: for nothing. */
static etime_t due_of(const keystate_t *k, slice_t value, int *timer) {
    reader_t r = reader_of(value.s, value.len);
    etime_t touch = (etime_t)read_u64(&r);
    *timer = read_varint(&r) > 0;
    if (*timer) {
        read_bytes(&r);
        return (etime_t)read_u64(&r); /* timers are sorted */
    }
    return k->ttl ? expiry(k, touch) : ETIME_MAX;
}

static void agenda_refresh(keystate_t *k, store_entry_t *e) {
    int timer;
    etime_t at = due_of(k, entry_value(e), &timer);
    if (timer || at != ETIME_MAX)
        agenda_put(k, e, at);
    else
        agenda_forget(k, e);
}

keystate_t *keystate_new(space_t *space, int64_t ttl) {
    keystate_t *k = mem_zalloc(sizeof *k);
    k->space = space;
    k->ttl = ttl;
    return k;
}

static void agenda_clear(keystate_t *k) {
    for (store_entry_t *e = space_next(k->space, NULL); e; e = space_next(k->space, e))
        entry_set_tag(e, NULL);
    for (size_t i = 0; i < k->n; i++)
        mem_free(k->heap[i]);
    k->n = 0;
}

void keystate_free(keystate_t *k) {
    if (!k)
        return;
    for (size_t i = 0; i < k->n; i++)
        mem_free(k->heap[i]);
    mem_free(k->heap);
    buf_fini(&k->value);
    mem_free(k);
}

void keystate_rebuild(keystate_t *k) {
    agenda_clear(k);
    for (store_entry_t *e = space_next(k->space, NULL); e; e = space_next(k->space, e))
        agenda_refresh(k, e);
}

store_entry_t *keystate_get(const keystate_t *k, slice_t key) { return store_get(k->space, key.s, key.len); }

void keystate_load(arena_t *a, const store_entry_t *entry, key_view_t *out) {
    *out = (key_view_t){.touch = ETIME_MIN, .about = {"", 0}, .state = {"", 0}};
    if (!entry)
        return;
    slice_t value = entry_value(entry);
    reader_t r = reader_of(arena_dup(a, value.s, value.len), value.len);
    out->touch = (etime_t)read_u64(&r);
    uint64_t n = read_varint(&r);
    out->n_timers = n <= value.len ? (uint32_t)n : 0; /* each takes more than a byte */
    out->timers = arena_array(a, key_timer_t, out->n_timers);
    for (uint32_t i = 0; i < out->n_timers; i++) {
        out->timers[i].name = read_bytes(&r);
        out->timers[i].at = (etime_t)read_u64(&r);
    }
    out->about = read_bytes(&r);
    out->state = read_raw(&r, r.len - r.pos);
}

void keystate_save(keystate_t *k, slice_t key, const key_view_t *v) {
    store_entry_t *e = store_get(k->space, key.s, key.len);
    if (v->n_timers == 0 && v->state.len == 0) {
        if (e) {
            agenda_forget(k, e);
            store_del(k->space, e);
        }
        return;
    }
    buf_t *b = &k->value;
    buf_clear(b);
    buf_add_u64(b, (uint64_t)(k->ttl ? v->touch : 0));
    buf_add_varint(b, v->n_timers);
    for (uint32_t i = 0; i < v->n_timers; i++) {
        buf_add_bytes(b, v->timers[i].name.s, v->timers[i].name.len);
        buf_add_u64(b, (uint64_t)v->timers[i].at);
    }
    buf_add_bytes(b, v->about.s, v->about.len);
    buf_add_slice(b, v->state);
    if (!e) {
        e = store_put(k->space, key.s, key.len, NULL);
        entry_set_tag(e, NULL);
    }
    if (!slice_eq(entry_value(e), buf_slice(b)))
        entry_set(k->space, e, b->s, b->len);
    agenda_refresh(k, e);
}

static int timer_before(const key_timer_t *a, const key_timer_t *b) {
    return a->at != b->at ? a->at < b->at : slice_compare(a->name, b->name) < 0;
}

void key_view_cancel(key_view_t *v, slice_t name) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_timers; i++)
        if (!slice_eq(v->timers[i].name, name))
            v->timers[n++] = v->timers[i];
    v->n_timers = n;
}

void key_view_wake(arena_t *a, key_view_t *v, slice_t name, etime_t at) {
    key_view_cancel(v, name);
    key_timer_t *timers = arena_array(a, key_timer_t, v->n_timers + 1), timer = {at, name};
    uint32_t i = 0;
    for (; i < v->n_timers && timer_before(&v->timers[i], &timer); i++)
        timers[i] = v->timers[i];
    timers[i] = timer;
    for (; i < v->n_timers; i++)
        timers[i + 1] = v->timers[i];
    v->timers = timers;
    v->n_timers++;
}

/* ---- what is due ---- */

/* The first of the agenda, its time made exact; NULL: nothing waits. */
static node_t *agenda_first(keystate_t *k, int *timer) {
    while (k->n) {
        node_t *node = k->heap[0];
        etime_t at = due_of(k, entry_value(node->entry), timer);
        if (at == node->at)
            return node;
        node->at = at;
        sift_down(k, 0, node);
    }
    return NULL;
}

etime_t keystate_next(keystate_t *k) {
    int timer;
    node_t *node = agenda_first(k, &timer);
    return node ? node->at : ETIME_MAX;
}

int keystate_take(keystate_t *k, arena_t *a, etime_t limit, key_due_t *out, etime_t *next) {
    int timer;
    for (node_t *node; (node = agenda_first(k, &timer)) && node->at <= limit;) {
        store_entry_t *e = node->entry;
        if (!timer) {
            agenda_forget(k, e);
            store_del(k->space, e);
            continue;
        }
        agenda_forget(k, e);
        key_view_t v;
        keystate_load(a, e, &v);
        *out = (key_due_t){.entry = e, .key = entry_key(e), .timer = v.timers[0]};
        *next = v.n_timers > 1 ? v.timers[1].at : ETIME_MAX;
        return 1;
    }
    return 0;
}

void keystate_return(keystate_t *k, store_entry_t *entry) { agenda_refresh(k, entry); }

static int due_compare(const void *va, const void *vb) {
    const key_due_t *a = va, *b = vb;
    if (a->timer.at != b->timer.at)
        return a->timer.at < b->timer.at ? -1 : 1;
    int c = slice_compare(a->key, b->key);
    return c ? c : slice_compare(a->timer.name, b->timer.name);
}

uint32_t keystate_timers(keystate_t *k, arena_t *a, key_due_t **out) {
    key_due_t *all = NULL;
    size_t cap = 0, n = 0;
    for (size_t i = 0; i < k->n; i++) {
        store_entry_t *e = k->heap[i]->entry;
        key_view_t v;
        keystate_load(a, e, &v);
        mem_grow(&all, &cap, n + v.n_timers, sizeof *all);
        for (uint32_t t = 0; t < v.n_timers; t++)
            all[n++] = (key_due_t){.entry = e, .key = entry_key(e), .timer = v.timers[t]};
    }
    if (n)
        qsort(all, n, sizeof *all, due_compare);
    *out = arena_dup(a, all, n * sizeof *all);
    mem_free(all);
    return (uint32_t)n;
}

size_t keystate_agenda(const keystate_t *k) { return k->n; }
