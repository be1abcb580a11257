#include "rollout.h"

#include <string.h>

#include "mem.h"

typedef struct bound {
    buf_t rule;
    etime_t end;
} bound_t;

typedef struct proposal {
    buf_t version, texts;
} proposal_t;

struct rollout {
    uint32_t number, parallelism;
    int active;
    buf_t version, texts;  /* of the set that all switch to */
    uint32_t rounds, said; /* said: rounds + 1: the ends, too */
    uint32_t *heard;       /* per task: the last round it said, rounds + 1: its ends */
    bound_t *bounds;       /* the greatest of any task, by rule */
    frame_bound_t *view;   /* the same as others read it */
    uint32_t n_bounds;
    size_t cap_bounds;
    /* Proposals that came meanwhile. All of them, in the order of the leader's: when a task is done with one is its own
     * affair, and if the last were to replace the others, it would depend on that which of them a task takes part in. */
    proposal_t *queue;
    uint32_t n_queue;
    size_t cap_queue;
};

rollout_t *rollout_new(uint32_t number, uint32_t parallelism) {
    rollout_t *r = mem_zalloc(sizeof *r);
    r->number = number;
    r->parallelism = parallelism;
    r->heard = mem_zalloc(parallelism * sizeof *r->heard);
    return r;
}

static void clear_bounds(rollout_t *r) {
    for (uint32_t i = 0; i < r->n_bounds; i++)
        buf_fini(&r->bounds[i].rule);
    r->n_bounds = 0;
}

static void drop_first(rollout_t *r) {
    buf_fini(&r->queue[0].version);
    buf_fini(&r->queue[0].texts);
    r->n_queue--;
    memmove(r->queue, r->queue + 1, r->n_queue * sizeof *r->queue);
}

static void clear_queue(rollout_t *r) {
    while (r->n_queue)
        drop_first(r);
}

void rollout_free(rollout_t *r) {
    if (!r)
        return;
    clear_bounds(r);
    clear_queue(r);
    mem_free(r->queue);
    mem_free(r->bounds);
    mem_free(r->view);
    mem_free(r->heard);
    buf_fini(&r->version);
    buf_fini(&r->texts);
    mem_free(r);
}

static void put(buf_t *b, slice_t s) {
    buf_clear(b);
    buf_add_slice(b, s);
}

/* ---- frames ---- */

static void begin(rollout_t *r, slice_t version, slice_t texts, uint32_t rounds) {
    put(&r->version, version);
    put(&r->texts, texts);
    r->active = 1;
    r->rounds = rounds;
    r->said = 0;
    memset(r->heard, 0, r->parallelism * sizeof *r->heard);
    clear_bounds(r);
}

static void enqueue(rollout_t *r, slice_t version, slice_t texts) {
    mem_grow(&r->queue, &r->cap_queue, r->n_queue + 1, sizeof *r->queue);
    proposal_t *p = &r->queue[r->n_queue++];
    *p = (proposal_t){0};
    buf_add_slice(&p->version, version);
    buf_add_slice(&p->texts, texts);
}

static void raise_bound(rollout_t *r, slice_t rule, etime_t end) {
    uint32_t i = 0;
    while (i < r->n_bounds && !slice_eq(buf_slice(&r->bounds[i].rule), rule))
        i++;
    if (i == r->n_bounds) {
        mem_grow(&r->bounds, &r->cap_bounds, r->n_bounds + 1, sizeof *r->bounds);
        r->bounds[r->n_bounds] = (bound_t){.end = end};
        buf_add_slice(&r->bounds[r->n_bounds++].rule, rule);
    }
    if (r->bounds[i].end < end)
        r->bounds[i].end = end;
}

void rollout_take(rollout_t *r, const frame_control_t *c, const char *running, uint32_t rounds) {
    if (c->from >= r->parallelism)
        return;
    if (c->kind == FRAME_PROPOSAL && r->active) {
        enqueue(r, c->version, c->texts);
    } else if (c->kind == FRAME_PROPOSAL && !slice_eq(c->version, slice_of(running))) {
        begin(r, c->version, c->texts, rounds);
    }
    if (c->kind == FRAME_PROPOSAL || !r->active || !slice_eq(c->version, buf_slice(&r->version)))
        return;
    uint32_t round = c->kind == FRAME_END ? r->rounds + 1 : c->round;
    if (r->heard[c->from] < round)
        r->heard[c->from] = round;
    for (uint32_t i = 0; i < c->n_bounds; i++)
        raise_bound(r, c->bounds[i].rule, c->bounds[i].end);
}

int rollout_active(const rollout_t *r) { return r->active; }

rollout_due_t rollout_due(const rollout_t *r) {
    if (!r->active)
        return ROLLOUT_NOTHING;
    for (uint32_t i = 0; i < r->parallelism; i++)
        if (r->heard[i] < r->said)
            return ROLLOUT_NOTHING;
    return r->said > r->rounds ? ROLLOUT_SWITCH : ROLLOUT_SAY;
}

int rollout_said_all(const rollout_t *r) { return r->active && r->said > r->rounds; }

int rollout_says_ends(const rollout_t *r) { return r->said == r->rounds; }

void rollout_say(rollout_t *r, const frame_bound_t *ends, uint32_t n, buf_t *out) {
    frame_control_t c = {.kind = rollout_says_ends(r) ? FRAME_END : FRAME_DRAINED,
                         .from = r->number,
                         .parallelism = r->parallelism,
                         .version = buf_slice(&r->version),
                         .round = r->said + 1,
                         .bounds = (frame_bound_t *)(uintptr_t)ends,
                         .n_bounds = rollout_says_ends(r) ? n : 0};
    frame_control_write(out, &c);
    r->said++;
}

slice_t rollout_texts(const rollout_t *r) { return buf_slice(&r->texts); }
slice_t rollout_version(const rollout_t *r) { return buf_slice(&r->version); }

const frame_bound_t *rollout_bounds(const rollout_t *r, uint32_t *n) {
    rollout_t *w = (rollout_t *)(uintptr_t)r; /* the view is made again for who asks */
    w->view = mem_realloc(w->view, (r->n_bounds + 1) * sizeof *w->view);
    for (uint32_t i = 0; i < r->n_bounds; i++)
        w->view[i] = (frame_bound_t){buf_slice(&r->bounds[i].rule), r->bounds[i].end};
    *n = r->n_bounds;
    return r->view;
}

void rollout_done(rollout_t *r, const char *running, uint32_t rounds) {
    r->active = 0;
    clear_bounds(r);
    while (r->n_queue && !r->active) {
        const proposal_t *next = &r->queue[0];
        if (!slice_eq(buf_slice(&next->version), slice_of(running)))
            begin(r, buf_slice(&next->version), buf_slice(&next->texts), rounds);
        drop_first(r);
    }
}

void rollout_propose(const rollout_t *r, slice_t version, slice_t texts, buf_t *out) {
    frame_control_t c = {
        .kind = FRAME_PROPOSAL, .from = r->number, .parallelism = r->parallelism, .version = version, .texts = texts};
    frame_control_write(out, &c);
}

/* ---- what a start again needs ---- */

void rollout_save(const rollout_t *r, buf_t *b) {
    if (!r->active)
        return;
    buf_add_bytes(b, r->version.s, r->version.len);
    buf_add_bytes(b, r->texts.s, r->texts.len);
    buf_add_varint(b, r->rounds);
    buf_add_varint(b, r->said);
    buf_add_varint(b, r->parallelism);
    for (uint32_t i = 0; i < r->parallelism; i++)
        buf_add_varint(b, r->heard[i]);
    buf_add_varint(b, r->n_bounds);
    for (uint32_t i = 0; i < r->n_bounds; i++) {
        buf_add_bytes(b, r->bounds[i].rule.s, r->bounds[i].rule.len);
        buf_add_u64(b, (uint64_t)r->bounds[i].end);
    }
    buf_add_varint(b, r->n_queue);
    for (uint32_t i = 0; i < r->n_queue; i++) {
        buf_add_bytes(b, r->queue[i].version.s, r->queue[i].version.len);
        buf_add_bytes(b, r->queue[i].texts.s, r->queue[i].texts.len);
    }
}

int rollout_load(rollout_t *r, slice_t bytes) {
    reader_t in = reader_of(bytes.s, bytes.len);
    r->active = 0;
    clear_bounds(r);
    clear_queue(r);
    if (bytes.len == 0)
        return 0;
    slice_t version = read_bytes(&in), texts = read_bytes(&in);
    uint64_t rounds = read_varint(&in), said = read_varint(&in), n = read_varint(&in);
    if (in.bad || n != r->parallelism || said > rounds + 1 || rounds > UINT32_MAX)
        return ERR_INVALID;
    begin(r, version, texts, (uint32_t)rounds);
    r->said = (uint32_t)said;
    for (uint32_t i = 0; i < r->parallelism; i++)
        r->heard[i] = (uint32_t)read_varint(&in);
    n = read_varint(&in);
    for (uint64_t i = 0; i < n && !in.bad; i++) {
        slice_t rule = read_bytes(&in);
        raise_bound(r, rule, (etime_t)read_u64(&in));
    }
    n = read_varint(&in);
    for (uint64_t i = 0; i < n && !in.bad; i++) {
        slice_t next = read_bytes(&in), its_texts = read_bytes(&in);
        if (!in.bad)
            enqueue(r, next, its_texts);
    }
    return in.bad || in.pos != in.len ? ERR_INVALID : 0;
}
