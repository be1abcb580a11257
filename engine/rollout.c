#include "rollout.h"

#include <string.h>

#include "mem.h"

typedef struct bound {
    buf_t rule;
    etime_t end;
} bound_t;

/* Words are numbered: 1 to rounds are "drained", then come the ends, then "switched". */
struct rollout {
    uint32_t number, parallelism;
    uint64_t serial; /* of the last proposal taken up; 0: none */
    int active, untold, switched;
    buf_t version, texts; /* of the set that all switch to; where it is told, and nothing goes round: empty */
    uint32_t rounds, said;
    uint32_t *heard;     /* per task: the last word it said */
    bound_t *bounds;     /* the greatest of any task, by rule */
    frame_bound_t *view; /* the same as others read it */
    uint32_t n_bounds;
    size_t cap_bounds;
    /* The proposal after this one, as far as it is known. There is no other: before the leader proposes again it has to
     * hear of all that they switched. For the same reason the others say nothing but "drained" of it yet. */
    int has_next;
    buf_t next_version, next_texts;
    uint32_t *next_heard;
};

rollout_t *rollout_new(uint32_t number, uint32_t parallelism) {
    rollout_t *r = mem_zalloc(sizeof *r);
    r->number = number;
    r->parallelism = parallelism;
    r->heard = mem_zalloc(parallelism * sizeof *r->heard);
    r->next_heard = mem_zalloc(parallelism * sizeof *r->next_heard);
    return r;
}

static void clear_bounds(rollout_t *r) {
    for (uint32_t i = 0; i < r->n_bounds; i++)
        buf_fini(&r->bounds[i].rule);
    r->n_bounds = 0;
}

void rollout_free(rollout_t *r) {
    if (!r)
        return;
    clear_bounds(r);
    mem_free(r->bounds);
    mem_free(r->view);
    mem_free(r->heard);
    mem_free(r->next_heard);
    buf_fini(&r->version);
    buf_fini(&r->texts);
    buf_fini(&r->next_version);
    buf_fini(&r->next_texts);
    mem_free(r);
}

static void put(buf_t *b, slice_t s) {
    buf_clear(b);
    buf_add_slice(b, s);
}

static uint32_t word_of_ends(const rollout_t *r) { return r->rounds + 1; }
static uint32_t last_word(const rollout_t *r) { return r->rounds + 2; }

/* ---- what comes ---- */

static void clear_next(rollout_t *r) {
    r->has_next = 0;
    buf_clear(&r->next_version);
    buf_clear(&r->next_texts);
    memset(r->next_heard, 0, r->parallelism * sizeof *r->next_heard);
}

static void take_up(rollout_t *r, slice_t version, slice_t texts, uint32_t rounds) {
    put(&r->version, version);
    put(&r->texts, texts);
    r->serial++;
    r->active = 1;
    r->switched = 0;
    r->rounds = rounds;
    r->said = 0;
    memcpy(r->heard, r->next_heard, r->parallelism * sizeof *r->heard);
    clear_bounds(r);
}

void rollout_begin(rollout_t *r, slice_t version, slice_t texts, uint32_t rounds) {
    take_up(r, version, texts, rounds);
    clear_next(r);
    r->untold = 1;
}

void rollout_found(rollout_t *r, slice_t version, slice_t texts) {
    put(&r->version, version);
    put(&r->texts, texts);
    r->serial = 1;
    r->untold = 1;
}

void rollout_join(rollout_t *r, const frame_control_t *c) { r->serial = c->serial; }

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

static int heard_all(const rollout_t *r, uint32_t word) {
    for (uint32_t i = 0; i < r->parallelism; i++)
        if (r->heard[i] < word)
            return 0;
    return 1;
}

static void raise_word(uint32_t *word, uint32_t to) {
    if (*word < to)
        *word = to;
}

static void take_next(rollout_t *r, const frame_control_t *c) {
    if (c->kind == FRAME_DRAINED)
        raise_word(&r->next_heard[c->from], c->round);
    if (c->kind != FRAME_PROPOSAL)
        return;
    r->has_next = 1;
    put(&r->next_version, c->version);
    put(&r->next_texts, c->texts);
}

static void take_word(rollout_t *r, const frame_control_t *c) {
    uint32_t word = c->kind == FRAME_SWITCHED ? last_word(r) : c->kind == FRAME_END ? word_of_ends(r) : c->round;
    raise_word(&r->heard[c->from], word);
    for (uint32_t i = 0; i < c->n_bounds; i++)
        raise_bound(r, c->bounds[i].rule, c->bounds[i].end);
}

static void end(rollout_t *r) {
    r->active = 0;
    clear_bounds(r);
    buf_clear(&r->version);
    buf_clear(&r->texts);
}

static void go_to_next(rollout_t *r, uint32_t rounds) {
    if (r->active || !r->has_next)
        return;
    take_up(r, buf_slice(&r->next_version), buf_slice(&r->next_texts), rounds);
    clear_next(r);
}

void rollout_take(rollout_t *r, const frame_control_t *c, uint32_t rounds) {
    if (c->from >= r->parallelism)
        return;
    if (c->serial == r->serial + 1)
        take_next(r, c);
    else if (c->serial == r->serial && r->active && c->kind != FRAME_PROPOSAL)
        take_word(r, c);
    if (r->active && r->said == last_word(r) && heard_all(r, last_word(r)))
        end(r);
    go_to_next(r, rounds);
}

void rollout_take_rows(rollout_t *r, uint32_t rounds) {
    if (!r->active || r->said != last_word(r))
        return;
    end(r);
    go_to_next(r, rounds);
}

int rollout_active(const rollout_t *r) { return r->active; }
uint64_t rollout_serial(const rollout_t *r) { return r->serial; }

rollout_due_t rollout_due(const rollout_t *r) {
    if (!r->active || r->said == last_word(r) || !heard_all(r, r->said))
        return ROLLOUT_NOTHING;
    return r->said == word_of_ends(r) && !r->switched ? ROLLOUT_SWITCH : ROLLOUT_SAY;
}

int rollout_said_ends(const rollout_t *r) { return r->active && r->said >= word_of_ends(r); }

int rollout_says_ends(const rollout_t *r) { return r->said == r->rounds; }

/* ---- what is said ---- */

int rollout_untold(const rollout_t *r) { return r->untold; }

void rollout_proposal(const rollout_t *r, buf_t *out) {
    frame_control_t c = {.kind = FRAME_PROPOSAL,
                         .from = r->number,
                         .parallelism = r->parallelism,
                         .version = buf_slice(&r->version),
                         .serial = r->serial,
                         .texts = buf_slice(&r->texts)};
    frame_control_write(out, &c);
}

void rollout_told(rollout_t *r) {
    r->untold = 0;
    if (!r->active)
        end(r);
}

int rollout_repeat(const rollout_t *r, const frame_bound_t *ends, uint32_t n, buf_t *out) {
    if (!r->active || r->said == 0)
        return 0;
    int is_end = r->said == word_of_ends(r);
    frame_control_t c = {.kind = is_end                    ? FRAME_END
                                 : r->said == last_word(r) ? FRAME_SWITCHED
                                                           : FRAME_DRAINED,
                         .from = r->number,
                         .parallelism = r->parallelism,
                         .version = buf_slice(&r->version),
                         .serial = r->serial,
                         .round = r->said,
                         .bounds = (frame_bound_t *)(uintptr_t)ends,
                         .n_bounds = is_end ? n : 0};
    frame_control_write(out, &c);
    return 1;
}

void rollout_say(rollout_t *r, const frame_bound_t *ends, uint32_t n, buf_t *out) {
    r->said++;
    rollout_repeat(r, ends, n, out);
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

void rollout_switched(rollout_t *r) { r->switched = 1; }

/* ---- what a start again needs ---- */

static void save_words(const rollout_t *r, const uint32_t *words, buf_t *b) {
    for (uint32_t i = 0; i < r->parallelism; i++)
        buf_add_varint(b, words[i]);
}

static void load_words(const rollout_t *r, uint32_t *words, reader_t *in) {
    for (uint32_t i = 0; i < r->parallelism; i++)
        words[i] = (uint32_t)read_varint(in);
}

void rollout_save(const rollout_t *r, buf_t *b) {
    buf_add_varint(b, r->parallelism);
    buf_add_varint(b, r->serial);
    buf_add_char(b, (char)(r->active | r->untold << 1 | r->switched << 2 | r->has_next << 3));
    buf_add_bytes(b, r->version.s, r->version.len);
    buf_add_bytes(b, r->texts.s, r->texts.len);
    buf_add_varint(b, r->rounds);
    buf_add_varint(b, r->said);
    save_words(r, r->heard, b);
    buf_add_varint(b, r->n_bounds);
    for (uint32_t i = 0; i < r->n_bounds; i++) {
        buf_add_bytes(b, r->bounds[i].rule.s, r->bounds[i].rule.len);
        buf_add_u64(b, (uint64_t)r->bounds[i].end);
    }
    buf_add_bytes(b, r->next_version.s, r->next_version.len);
    buf_add_bytes(b, r->next_texts.s, r->next_texts.len);
    save_words(r, r->next_heard, b);
}

int rollout_load(rollout_t *r, slice_t bytes) {
    reader_t in = reader_of(bytes.s, bytes.len);
    clear_bounds(r);
    if (read_varint(&in) != r->parallelism)
        return ERR_INVALID;
    r->serial = read_varint(&in);
    uint8_t flags = read_u8(&in);
    r->active = flags & 1;
    r->untold = flags >> 1 & 1;
    r->switched = flags >> 2 & 1;
    r->has_next = flags >> 3 & 1;
    put(&r->version, read_bytes(&in));
    put(&r->texts, read_bytes(&in));
    uint64_t rounds = read_varint(&in), said = read_varint(&in);
    load_words(r, r->heard, &in);
    if (in.bad || rounds > UINT32_MAX - 2 || said > rounds + 2 || flags > 15)
        return ERR_INVALID;
    r->rounds = (uint32_t)rounds;
    r->said = (uint32_t)said;
    uint64_t n = read_varint(&in);
    for (uint64_t i = 0; i < n && !in.bad; i++) {
        slice_t rule = read_bytes(&in);
        raise_bound(r, rule, (etime_t)read_u64(&in));
    }
    put(&r->next_version, read_bytes(&in));
    put(&r->next_texts, read_bytes(&in));
    load_words(r, r->next_heard, &in);
    return in.bad || in.pos != in.len ? ERR_INVALID : 0;
}
