#include "matcher_memo.h"
#include "mem.h"
#include <string.h>

#define KEEP 1024 /* slots that stay allocated between attempts */

typedef struct memo_slot {
    memo_key_t key;
    uint32_t kind; /* 0: empty */
    uint32_t spare;
} memo_slot_t;

typedef struct history_slot {
    uint32_t before;
    uint32_t id; /* 0: empty */
    uint16_t label;
} history_slot_t;

static uint64_t mix(uint64_t x) { /* the finaliser of splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t memo_hash(const memo_key_t *k, int answer) {
    return mix(mix(k->seq * 2 + (uint64_t)answer) ^ mix(k->mask + 0x9e3779b97f4a7c15u) ^
               ((uint64_t)k->place << 32 | k->history));
}

/* Answers and tried places share the table; they differ in whether kind is MEMO_TRIED. */
static memo_slot_t *memo_find(const memo_t *t, const memo_key_t *k, int answer) {
    size_t i = (size_t)memo_hash(k, answer) & (t->cap - 1);
    for (;; i = (i + 1) & (t->cap - 1)) {
        memo_slot_t *s = &t->slots[i];
        if (!s->kind || ((s->kind != MEMO_TRIED) == answer && s->key.seq == k->seq && s->key.place == k->place &&
                         s->key.history == k->history && s->key.mask == k->mask))
            return s;
    }
}

static void memo_make_room(memo_t *t) {
    if (t->count * 4 < t->cap * 3)
        return;
    memo_t old = *t;
    t->cap = old.cap ? old.cap * 2 : 64;
    t->slots = mem_zalloc(t->cap * sizeof *t->slots);
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].kind)
            *memo_find(t, &old.slots[i].key, old.slots[i].kind != MEMO_TRIED) = old.slots[i];
    mem_free(old.slots);
}

static memo_slot_t *memo_put(memo_t *t, const memo_key_t *k, int answer, int *was_there) {
    memo_make_room(t);
    memo_slot_t *s = memo_find(t, k, answer);
    *was_there = s->kind != 0;
    if (!*was_there) {
        s->key = *k;
        t->count++;
    }
    return s;
}

int memo_try(memo_t *t, const memo_key_t *k) {
    int was_there;
    memo_put(t, k, 0, &was_there)->kind = MEMO_TRIED;
    return was_there;
}

memo_kind_t memo_answer(const memo_t *t, const memo_key_t *k) { return t->cap ? memo_find(t, k, 1)->kind : 0; }

void memo_set_answer(memo_t *t, const memo_key_t *k, int holds) {
    int was_there;
    memo_put(t, k, 1, &was_there)->kind = holds ? MEMO_HOLDS : MEMO_FAILS;
}

void memo_fini(memo_t *t) {
    mem_free(t->slots);
    *t = (memo_t){0};
}

void memo_clear(memo_t *t) {
    if (t->count == 0)
        return;
    if (t->cap > KEEP)
        memo_fini(t);
    else
        memset(t->slots, 0, t->cap * sizeof *t->slots);
    t->count = 0;
}

static history_slot_t *history_find(const history_t *h, uint32_t before, uint16_t label) {
    size_t i = (size_t)mix((uint64_t)before << 16 | label) & (h->cap - 1);
    while (h->slots[i].id && (h->slots[i].before != before || h->slots[i].label != label))
        i = (i + 1) & (h->cap - 1);
    return &h->slots[i];
}

static void history_make_room(history_t *h) {
    if (h->count * 4 < h->cap * 3)
        return;
    history_t old = *h;
    h->cap = old.cap ? old.cap * 2 : 64;
    h->slots = mem_zalloc(h->cap * sizeof *h->slots);
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].id)
            *history_find(h, old.slots[i].before, old.slots[i].label) = old.slots[i];
    mem_free(old.slots);
}

uint32_t history_of(history_t *h, uint32_t before, uint16_t label) {
    history_make_room(h);
    history_slot_t *s = history_find(h, before, label);
    if (!s->id)
        *s = (history_slot_t){before, (uint32_t)++h->count, label};
    return s->id;
}

void history_fini(history_t *h) {
    mem_free(h->slots);
    *h = (history_t){0};
}

void history_clear(history_t *h) {
    if (h->count == 0)
        return;
    if (h->cap > KEEP)
        history_fini(h);
    else
        memset(h->slots, 0, h->cap * sizeof *h->slots);
    h->count = 0;
}
