#include "reorder.h"

#include <stdlib.h>

#include "mem.h"
#include "rowpack.h"

struct reorder {
    space_t *space;
    const order_item_t *order;
    uint32_t n_order;
    const names_t *needs;
    store_entry_t **heap; /* min-heap by entry key, which sorts as the rows do */
    size_t n, cap;
    buf_t pack; /* scratch */
};

#define RELEASE_NEVER UINT32_MAX

typedef struct turn { /* a row on its way out of this step */
    uint32_t release; /* index of the watermark that lets it go */
    uint32_t row;     /* of the input batch, or of the packs */
    etime_t time;
    slice_t *key; /* s == NULL: not made yet; for ties alone */
    int stored;
} turn_t;

typedef struct passage { /* one run of reorder_run */
    reorder_t *r;
    step_t *s;
    const rule_t *rule;
    const stream_t *in;
    int from; /* column "_from" of the input, or -1 */
    turn_t *turns;
    size_t cap;
    uint32_t n_turns;
    slice_t *packs;
    uint32_t n_packs;
} passage_t;

/* ---- keys: bytes that memcmp sorts as the rows ---- */

static void key_be64(buf_t *b, uint64_t v) {
    unsigned char bytes[8];
    for (int i = 7; i >= 0; i--, v >>= 8)
        bytes[i] = (unsigned char)v;
    buf_add(b, bytes, 8);
}

static uint64_t key_sortable(int64_t v) { return (uint64_t)v ^ ((uint64_t)1 << 63); }

static etime_t key_time(slice_t key) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)key.s[i];
    return (etime_t)(v ^ ((uint64_t)1 << 63));
}

static void key_order_column(buf_t *b, const batch_t *rows, uint32_t row, const order_item_t *o) {
    cell_t c = batch_lookup(rows, o->column, strlen(o->column), row);
    size_t at = b->len;
    cell_key(b, &c);
    for (; o->desc && at < b->len; at++)
        b->s[at] = (char)~b->s[at];
}

/* Derived rows of two upstream rules may share a position, so the input's name comes last. */
static void key_write(buf_t *b, const passage_t *p, uint32_t row) {
    const batch_t *rows = p->in->batch;
    const origin_t *o = batch_origin(rows, row);
    key_be64(b, key_sortable(o->time));
    for (uint32_t i = 0; i < p->r->n_order; i++)
        key_order_column(b, rows, row, &p->r->order[i]);
    if (o->topic >= 0)
        buf_add_str(b, p->s->topics[o->topic]);
    buf_add_char(b, 0);
    key_be64(b, key_sortable(o->partition));
    key_be64(b, key_sortable(o->offset));
    key_be64(b, rows->sub[row]);
    if (p->from >= 0)
        cell_key(b, batch_cell(rows, (uint32_t)p->from, row));
}

/* The same position twice: both rows stay, in order of arrival; what arrives now comes after all that wait. */
static void key_count(buf_t *b, uint32_t n) {
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_add_char(b, (char)(n >> shift));
}

static slice_t turn_key(const passage_t *p, const turn_t *t) {
    if (!t->key->s) {
        buf_t b = {0};
        key_write(&b, p, t->row);
        key_count(&b, UINT32_MAX);
        *t->key = (slice_t){arena_dup(p->s->arena, b.s, b.len), b.len};
        buf_fini(&b);
    }
    return *t->key;
}

static int key_compare(slice_t a, slice_t b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int c = memcmp(a.s, b.s, n);
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* ---- the heap over what waits in the store ---- */

static int entry_before(const store_entry_t *a, const store_entry_t *b) {
    return key_compare(entry_key(a), entry_key(b)) < 0;
}

static void heap_push(reorder_t *r, store_entry_t *e) {
    mem_grow(&r->heap, &r->cap, r->n + 1, sizeof(void *));
    size_t i = r->n++;
    for (; i > 0 && entry_before(e, r->heap[(i - 1) / 2]); i = (i - 1) / 2)
        r->heap[i] = r->heap[(i - 1) / 2];
    r->heap[i] = e;
}

static store_entry_t *heap_pop(reorder_t *r) {
    store_entry_t *top = r->heap[0], *last = r->heap[--r->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= r->n)
            break;
        if (child + 1 < r->n && entry_before(r->heap[child + 1], r->heap[child]))
            child++;
        if (!entry_before(r->heap[child], last))
            break;
        r->heap[i] = r->heap[child];
        i = child;
    }
    r->heap[i] = last;
    return top;
}

reorder_t *reorder_new(space_t *space, const order_item_t *order, uint32_t n_order, const names_t *needs) {
    reorder_t *r = mem_zalloc(sizeof *r);
    r->space = space;
    r->order = order;
    r->n_order = n_order;
    r->needs = needs;
    return r;
}

void reorder_free(reorder_t *r) {
    if (!r)
        return;
    mem_free(r->heap);
    buf_fini(&r->pack);
    mem_free(r);
}

void reorder_rebuild(reorder_t *r) {
    r->n = 0;
    for (store_entry_t *e = space_next(r->space, NULL); e; e = space_next(r->space, e))
        heap_push(r, e);
}

size_t reorder_waiting(const reorder_t *r) { return r->n; }

etime_t reorder_next(const reorder_t *r) { return r->n ? key_time(entry_key(r->heap[0])) : ETIME_MAX; }

/* ---- when each row's turn comes ---- */

static slice_t *new_key(const passage_t *p, slice_t key) {
    slice_t *out = arena_array(p->s->arena, slice_t, 1);
    *out = (slice_t){key.s ? arena_dup(p->s->arena, key.s, key.len) : NULL, key.len};
    return out;
}

/* First watermark from index `from` on that reaches t. */
static uint32_t first_reaching(const stream_t *in, uint32_t from, etime_t t) {
    uint32_t lo = from, hi = in->n_marks;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (in->marks[mid].wm >= t)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo < in->n_marks ? lo : RELEASE_NEVER;
}

/* The input's rows, each judged by the watermark before its tick; late ones are told and left out. */
static void take_fresh(passage_t *p) {
    const stream_t *in = p->in;
    uint32_t mark = 0;
    etime_t wm = in->wm_before;
    for (uint32_t row = 0; row < in->batch->n; row++) {
        const origin_t *o = batch_origin(in->batch, row);
        for (; mark < in->n_marks && in->marks[mark].tick < o->tick; mark++)
            wm = in->marks[mark].wm;
        if (o->time <= wm && wm != ETIME_MIN) {
            step_late(p->s, p->rule, in->batch, row, o->tick);
            continue;
        }
        p->turns[p->n_turns++] = (turn_t){.release = first_reaching(in, mark, o->time),
                                          .row = row,
                                          .time = o->time,
                                          .key = new_key(p, (slice_t){NULL, 0})};
    }
}

/* What the store lets go in this step, in order; the bytes move to the arena. */
static void take_stored(passage_t *p) {
    reorder_t *r = p->r;
    if (p->in->n_marks == 0 || r->n == 0)
        return;
    etime_t last = p->in->marks[p->in->n_marks - 1].wm;
    size_t packs_cap = 0;
    slice_t *packs = NULL;
    uint32_t mark = 0;
    while (r->n && key_time(entry_key(r->heap[0])) <= last) {
        store_entry_t *e = heap_pop(r);
        slice_t key = entry_key(e), value = entry_value(e);
        etime_t time = key_time(key);
        mark = first_reaching(p->in, mark, time);
        mem_grow(&p->turns, &p->cap, p->n_turns + 1, sizeof *p->turns);
        mem_grow(&packs, &packs_cap, p->n_packs + 1, sizeof *packs);
        p->turns[p->n_turns++] =
            (turn_t){.release = mark, .row = p->n_packs, .time = time, .stored = 1, .key = new_key(p, key)};
        packs[p->n_packs++] = (slice_t){arena_dup(p->s->arena, value.s, value.len), value.len};
        store_del(r->space, e);
    }
    if (p->n_packs)
        p->packs = arena_dup(p->s->arena, packs, sizeof *packs * p->n_packs);
    mem_free(packs);
}

static int turn_compare(const void *va, const void *vb, void *ctx) {
    const turn_t *a = va, *b = vb;
    const passage_t *p = ctx;
    if (a->release != b->release)
        return a->release < b->release ? -1 : 1;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    int c = key_compare(turn_key(p, a), turn_key(p, b));
    if (c)
        return c;
    if (a->stored != b->stored)
        return a->stored ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* Streams are mostly in order already. */
static void sort_turns(passage_t *p) {
    for (uint32_t i = 1; i < p->n_turns; i++) {
        if (turn_compare(&p->turns[i - 1], &p->turns[i], p) > 0) {
            qsort_r(p->turns, p->n_turns, sizeof *p->turns, turn_compare, p);
            return;
        }
    }
}

/* ---- what stays ---- */

static void keep_row(passage_t *p, turn_t *t) {
    reorder_t *r = p->r;
    if (store_full(p->s->store)) {
        step_limit(p->s, p->rule, "max_state is reached: a row that waits for its event time is not kept");
        return;
    }
    buf_t key = {0};
    key_write(&key, p, t->row);
    int is_new = 0;
    size_t len = key.len;
    store_entry_t *e = NULL;
    for (uint32_t n = 0; !is_new; n++) {
        key.len = len;
        key_count(&key, n);
        e = store_put(r->space, key.s, key.len, &is_new);
    }
    buf_fini(&key);
    buf_clear(&r->pack);
    rowpack_write(&r->pack, p->in->batch, t->row, r->needs, p->s->topics);
    entry_set(r->space, e, r->pack.s, r->pack.len);
    heap_push(r, e);
}

/* ---- the batch that leaves ---- */

static batch_t *release(const passage_t *p, uint32_t n) {
    arena_t *a = p->s->arena;
    const batch_t *packed = rowpack_read(a, p->packs, p->n_packs, p->r->needs, p->s->topics, NULL);
    row_pick_t *picks = arena_array(a, row_pick_t, n);
    for (uint32_t i = 0; i < n; i++)
        picks[i] = (row_pick_t){p->turns[i].row, p->turns[i].stored};
    origin_t *origins;
    batch_t *out = rowpack_merge(a, p->in->batch, packed, picks, n, &origins);
    for (uint32_t i = 0; i < n; i++)
        origins[i].tick = p->in->marks[p->turns[i].release].tick;
    return out;
}

void reorder_run(reorder_t *r, step_t *s, const rule_t *rule, const stream_t *in, stream_t *out) {
    passage_t p = {.r = r, .s = s, .rule = rule, .in = in, .from = batch_column(in->batch, FROM_COLUMN)};
    mem_grow(&p.turns, &p.cap, (size_t)in->batch->n + 1, sizeof *p.turns);
    take_fresh(&p);
    take_stored(&p);
    sort_turns(&p);
    uint32_t n = p.n_turns;
    while (n > 0 && p.turns[n - 1].release == RELEASE_NEVER)
        n--;
    for (uint32_t i = n; i < p.n_turns; i++)
        keep_row(&p, &p.turns[i]);
    *out = *in;
    out->batch = release(&p, n);
    mem_free(p.turns);
}
