#include "decode_walk.h"
#include <emmintrin.h>

#define FIRST_LIST 1024

#define EIGHT(c) c, c, c, c, c, c, c, c
#define BLOCK_OF(c) EIGHT(c), EIGHT(c), EIGHT(c), EIGHT(c)
const walk_bytes_t walk_bytes = {.kept = {BLOCK_OF(-1), BLOCK_OF(0)},
                                 .padding = {BLOCK_OF(0), BLOCK_OF('"')},
                                 .quote = {BLOCK_OF('"')},
                                 .backslash = {BLOCK_OF('\\')},
                                 .space = {BLOCK_OF(' ')},
                                 .zero = {BLOCK_OF('0')},
                                 .nine = {BLOCK_OF(9)}};

walk_fn walk_best(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? walk_avx2 : walk_sse2;
}

/* From behind '{' (first) or behind a value to the next value, or behind the object's end. */
static int find_member(const char **p, const char *end, int first, slice_t *key, int *escaped, int *closed) {
    const char *s = json_ws(first ? *p + 1 : *p, end);
    *closed = s < end && *s == '}';
    if (*closed) {
        *p = s + 1;
        return JSON_OK;
    }
    if (!first) {
        if (s >= end)
            return JSON_CUT_OFF;
        if (*s != ',')
            return JSON_SYNTAX;
        s = json_ws(s + 1, end);
    }
    if (s >= end)
        return JSON_CUT_OFF;
    if (*s != '"')
        return JSON_SYNTAX;
    int status = json_string(&s, end, key, escaped);
    if (status)
        return status;
    s = json_ws(s, end);
    if (s >= end)
        return JSON_CUT_OFF;
    if (*s != ':')
        return JSON_SYNTAX;
    *p = json_ws(s + 1, end);
    return JSON_OK;
}

const char *walk_member(walk_t *w, shape_node_t *node, shape_edge_t edges[2], const char *p, shape_member_t **out) {
    const char *from = p;
    slice_t key;
    int escaped, closed;
    w->status = find_member(&p, w->end, edges == node->open, &key, &escaped, &closed);
    if (w->status)
        return NULL;
    *out = closed ? NULL : shape_member(node, key, escaped);
    if (w->predicts && *out) /* the end of an object needs no text */
        shape_learn(edges, from, (size_t)(p - from), *out);
    return p;
}

/* Elements are numbered so many at a time, up to one less than that beyond the last. */
#define NUMBERED 8

void walk_list_init(walk_list_t *l, arena_t *a, uint32_t cap) {
    cell_t *cells = arena_array(a, cell_t, cap);
    *l = (walk_list_t){.cells = cells,
                       .at = cells,
                       .full = cells + cap,
                       .origin = arena_array(a, uint32_t, cap + NUMBERED),
                       .sub = arena_array(a, uint32_t, cap + NUMBERED)};
}

void walk_grow(walk_t *w, walk_list_t *l) {
    walk_list_t old = *l;
    uint32_t n = walk_list_n(&old);
    walk_list_init(l, w->arena, n ? n * 2 : FIRST_LIST);
    l->at += n;
    l->start = old.start;
    if (n == 0)
        return;
    memcpy(l->cells, old.cells, n * sizeof *l->cells);
    memcpy(l->origin, old.origin, old.start * sizeof *l->origin);
    memcpy(l->sub, old.sub, old.start * sizeof *l->sub);
}

void walk_number(walk_list_t *l, uint32_t row) {
    uint32_t n = walk_list_n(l) - l->start;
    uint32_t *origin = l->origin + l->start, *sub = l->sub + l->start;
    const __m128i rows = _mm_set1_epi32((int)row);
    __m128i numbers = _mm_setr_epi32(0, 1, 2, 3);
    for (uint32_t at = 0; at < n; at += NUMBERED) {
        for (uint32_t i = 0; i < NUMBERED; i += 4) {
            _mm_storeu_si128((__m128i *)(void *)(origin + at + i), rows);
            _mm_storeu_si128((__m128i *)(void *)(sub + at + i), numbers);
            numbers = _mm_add_epi32(numbers, _mm_set1_epi32(4));
        }
    }
}

const sym_t *walk_intern(walk_t *w, shape_node_t *node, const char *body, size_t len) {
    int status;
    uint32_t known = intern_count(w->intern);
    const sym_t *sym = intern_raw(w->intern, body, len, &status);
    node->missed += !sym || intern_count(w->intern) != known;
    return sym;
}

static cell_t checked_cell(walk_t *w, shape_node_t *node, slice_t value) {
    cell_t c = cell_from_json(value);
    if (c.kind != CELL_STR || !node->interns)
        return c;
    const sym_t *sym = walk_intern(w, node, c.raw, c.len);
    return sym ? (cell_t){.kind = CELL_SYM, .len = c.len, .raw = c.raw, .u.sym = sym} : c;
}

static void take_value(walk_t *w, shape_node_t *node, slice_t value) {
    json_iter_t it;
    if (node->column >= 0 || node->list >= 0)
        walk_put_cell(w, node, checked_cell(w, node, value));
    if (value.s[0] == '[' && node->element) {
        json_iter_open(&it, value);
        while (json_iter_next(&it) > 0)
            take_value(w, node->element, it.value);
    }
    for (size_t i = 0; value.s[0] == '{' && i < node->n_wanted; i++) {
        slice_t member;
        if (json_member(value, node->members[i]->key, &member) == 0)
            take_value(w, node->members[i]->node, member);
    }
}

const char *walk_repeated(walk_t *w, shape_node_t *root, const char *p) {
    const char *from = p;
    w->status = json_skip(&p, w->end, 0);
    if (w->status)
        return NULL;
    take_value(w, root, (slice_t){from, (size_t)(p - from)});
    return p;
}
