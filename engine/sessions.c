#include "sessions.h"
#include "mem.h"

static void free_chains(sessions_t *s) {
    for (map_slot_t *slot = map_next(&s->chains, NULL); slot; slot = map_next(&s->chains, slot)) {
        chain_t *c = slot->value;
        for (session_t *x = c->first, *next; x; x = next) {
            next = x->next;
            mem_free(x);
        }
        mem_free(c);
    }
}

void sessions_fini(sessions_t *s) {
    for (size_t i = 0; i < s->n; i++)
        if (!s->heap[i].session->entry && --s->heap[i].session->queued == 0)
            mem_free(s->heap[i].session);
    free_chains(s);
    map_fini(&s->chains);
    mem_free(s->heap);
    *s = (sessions_t){0};
}

session_t *sessions_of(const sessions_t *s, slice_t key) {
    chain_t *c = map_get(&s->chains, key.s, key.len);
    return c ? c->first : NULL;
}

session_t *sessions_add(sessions_t *s, slice_t key, span_t span, store_entry_t *e) {
    chain_t *c = map_get(&s->chains, key.s, key.len);
    if (!c) {
        c = mem_alloc(sizeof *c + key.len);
        c->first = NULL;
        c->len = (uint32_t)key.len;
        if (key.len)
            memcpy(c->key, key.s, key.len);
        map_put(&s->chains, c->key, c->len, c);
    }
    session_t *x = mem_zalloc(sizeof *x);
    x->span = span;
    x->entry = e;
    x->chain = c;
    x->bound = ETIME_MAX;
    session_t **at = &c->first;
    while (*at && (*at)->span.start < span.start)
        at = &(*at)->next;
    x->next = *at;
    *at = x;
    return x;
}

void sessions_remove(sessions_t *s, session_t *x) {
    chain_t *c = x->chain;
    session_t **at = &c->first;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    if (!c->first) {
        map_del(&s->chains, c->key, c->len);
        mem_free(c);
    }
    x->chain = NULL;
    x->entry = NULL;
    if (x->queued == 0)
        mem_free(x);
}

static void sift_up(sessions_t *s, size_t i) {
    while (i > 0 && s->heap[(i - 1) / 2].at > s->heap[i].at) {
        due_t t = s->heap[i];
        s->heap[i] = s->heap[(i - 1) / 2];
        s->heap[(i - 1) / 2] = t;
        i = (i - 1) / 2;
    }
}

static void sift_down(sessions_t *s, size_t i) {
    for (;;) {
        size_t least = i, left = 2 * i + 1;
        for (size_t k = left; k < left + 2 && k < s->n; k++)
            if (s->heap[k].at < s->heap[least].at)
                least = k;
        if (least == i)
            return;
        due_t t = s->heap[i];
        s->heap[i] = s->heap[least];
        s->heap[least] = t;
        i = least;
    }
}

static void push(sessions_t *s, session_t *x) {
    mem_grow(&s->heap, &s->cap, s->n + 1, sizeof *s->heap);
    s->heap[s->n] = (due_t){x->due, x};
    x->queued++;
    if (x->due < x->bound)
        x->bound = x->due;
    sift_up(s, s->n++);
}

static session_t *pop(sessions_t *s) {
    session_t *x = s->heap[0].session;
    s->heap[0] = s->heap[--s->n];
    sift_down(s, 0);
    x->queued--;
    x->bound = ETIME_MAX;
    return x;
}

void sessions_set_due(sessions_t *s, session_t *x, etime_t due) {
    x->due = due;
    x->taken = 0;
    if (due < x->bound)
        push(s, x);
}

session_t *sessions_take_due(sessions_t *s, etime_t wm) {
    while (s->n > 0 && s->heap[0].at <= wm) {
        etime_t at = s->heap[0].at;
        session_t *x = pop(s);
        if (!x->entry) {
            if (x->queued == 0)
                mem_free(x);
        } else if (x->taken) {
            continue; /* a second item for the same time */
        } else if (x->due <= wm && at == x->due) {
            x->taken = 1;
            return x;
        } else {
            push(s, x); /* it grew since */
        }
    }
    return NULL;
}

etime_t sessions_next_due(const sessions_t *s) { return s->n ? s->heap[0].at : ETIME_MAX; }
