/* decode_walk_body: the walk, over blocks of 32 bytes.
 *
 * Included by decode_walk_sse2.c and decode_walk_avx2.c alone, each of which defines before
 *   WALK          the name of its walk,
 *   TARGET        the attribute of every function here,
 *   block_t       32 bytes, and on it block_load(p), block_keep(b, n) (the rest zeroed),
 *   masks         block_special(b) (quote, backslash, control or non-ASCII), block_quote(b), block_same(b, text),
 *   block_word(b, i)  the i-th 8 bytes.
 * Runs on the thread of the decoder that calls it; owns nothing. */
#include "json.h"
#include "number.h"

#define BLOCK 32
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define INLINE static inline __attribute__((always_inline)) TARGET

TARGET static const char *walk_value(walk_t *w, shape_node_t *node, const char *p, int depth);

TARGET static __attribute__((noinline, cold)) const char *fail(walk_t *w, int status) {
    w->status = status;
    return NULL;
}

INLINE int follows(const shape_edge_t *e, const char *p, const char *end) {
    if (LIKELY(end - p >= BLOCK && e->len)) {
        uint32_t same = block_same(block_load(p), e->text);
        if ((same & e->mask[0]) != e->mask[0])
            return 0;
        if (LIKELY(e->len <= BLOCK))
            return 1;
    }
    return e->len && (size_t)(end - p) >= e->len && memcmp(p, e->text, e->len) == 0;
}

/* --- strings --- */

/* Behind the closing quote of the string body at p. */
INLINE const char *pass_body(walk_t *w, const char *p, int *escaped) {
    const char *end = w->end;
    for (;;) {
        uint32_t special = 0;
        while (end - p >= BLOCK && (special = block_special(block_load(p))) == 0)
            p += BLOCK;
        if (LIKELY(special))
            p += __builtin_ctz(special);
        else
            while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80)
                p++;
        if (p >= end)
            return fail(w, JSON_CUT_OFF);
        if (LIKELY(*p == '"'))
            return p + 1;
        int status = json_special(&p, end, escaped);
        if (status)
            return fail(w, status);
    }
}

/* Known strings are not scanned for what would be wrong in them: their bytes are those of a body that was checked. */
INLINE const sym_t *known_symbol(const walk_t *w, const char *body, uint32_t *len) {
    if (w->end - body < BLOCK)
        return NULL;
    block_t b = block_load(body);
    uint32_t quote = block_quote(b);
    if (!quote)
        return NULL;
    uint32_t n = (uint32_t)__builtin_ctz(quote);
    b = block_keep(b, n);
    const intern_short_t *t = w->symbols;
    uint64_t h = intern_hash(block_word(b, 0), block_word(b, 1), block_word(b, 2), block_word(b, 3), t->seed);
    for (uint64_t i = 0; i < INTERN_PROBES; i++) {
        const intern_slot_t *s = &t->slots[(h + i) & t->mask];
        if (LIKELY(s->len == n && s->sym && block_same(b, s->key) == UINT32_MAX)) {
            *len = n;
            return s->sym;
        }
        if (!s->sym)
            return NULL;
    }
    return NULL;
}

/* p at the opening quote. */
TARGET static __attribute__((noinline)) const char *new_string(walk_t *w, shape_node_t *node, const char *p) {
    int escaped = 0;
    const char *body = p + 1, *behind = pass_body(w, body, &escaped);
    if (!behind)
        return NULL;
    slice_t raw = {body, (size_t)(behind - 1 - body)};
    const sym_t *sym = node->interns ? walk_intern(w, node, raw.s, raw.len) : NULL;
    if (sym)
        walk_put(w, node, CELL_SYM, 0, raw, (uint64_t)(uintptr_t)sym);
    else
        walk_put(w, node, CELL_STR, escaped ? CELL_ESCAPED : CELL_CLEAN, raw, 0);
    return behind;
}

INLINE const char *wanted_string(walk_t *w, shape_node_t *node, const char *p) {
    if (node->interns) {
        uint32_t len;
        const sym_t *sym = known_symbol(w, p + 1, &len);
        if (LIKELY(sym != NULL)) {
            walk_put(w, node, CELL_SYM, 0, (slice_t){p + 1, len}, (uint64_t)(uintptr_t)sym);
            return p + len + 2;
        }
    }
    return new_string(w, node, p);
}

/* --- numbers and the rest --- */

/* Behind a plain integer of at most 18 digits; NULL: something else, to be looked at closely. */
INLINE const char *pass_int(const char *p, const char *end, int64_t *out) {
    const char *s = p + (*p == '-'), *digits = s;
    uint64_t v = 0;
    while (s < end && (unsigned)(*s - '0') < 10)
        v = v * 10 + (uint64_t)(*s++ - '0');
    if (s == digits || s - digits > 18 || (*digits == '0' && s - p > 1))
        return NULL;
    if (s < end && (*s == '.' || *s == 'e' || *s == 'E'))
        return NULL;
    *out = *p == '-' ? -(int64_t)v : (int64_t)v;
    return s;
}

INLINE int starts_number(char c) {
    return (unsigned)(c - '0') < 10 || c == '-';
}

INLINE const char *pass_value(walk_t *w, const char *p, int depth) {
    int escaped, status;
    int64_t i;
    if (p >= w->end)
        return fail(w, JSON_CUT_OFF);
    if (*p == '"')
        return pass_body(w, p + 1, &escaped);
    if (starts_number(*p)) {
        const char *behind = pass_int(p, w->end, &i);
        if (LIKELY(behind != NULL))
            return behind;
    }
    status = json_skip(&p, w->end, depth);
    return status ? fail(w, status) : p;
}

INLINE const char *wanted_number(walk_t *w, shape_node_t *node, const char *p) {
    int64_t i;
    const char *from = p, *behind = pass_int(p, w->end, &i);
    if (LIKELY(behind != NULL)) {
        walk_put(w, node, CELL_INT, 0, (slice_t){p, (size_t)(behind - p)}, (uint64_t)i);
        return behind;
    }
    int status = json_number(&p, w->end);
    if (status)
        return fail(w, status);
    walk_put_cell(w, node, cell_from_json((slice_t){from, (size_t)(p - from)}));
    return p;
}

TARGET static const char *other_value(walk_t *w, shape_node_t *node, const char *p, int depth) {
    const char *from = p;
    int status = json_skip(&p, w->end, depth);
    if (status)
        return fail(w, status);
    walk_put_cell(w, node, cell_from_json((slice_t){from, (size_t)(p - from)}));
    return p;
}

/* --- containers --- */

/* Behind an element: moves to the next one (1), behind the end (0), or fails (-1). */
INLINE int next_element(walk_t *w, const char **p) {
    const char *s = *p;
    if (s < w->end && (unsigned char)*s <= ' ')
        s = json_ws(s, w->end);
    if (s >= w->end)
        return w->status = JSON_CUT_OFF, -1;
    char c = *s++;
    if (c == ',') {
        if (s < w->end && *s == ' ')
            s++;
        *p = s < w->end && (unsigned char)*s <= ' ' ? json_ws(s, w->end) : s;
        return 1;
    }
    *p = s;
    return c == ']' ? 0 : (w->status = JSON_SYNTAX, -1);
}

TARGET static const char *walk_array(walk_t *w, shape_node_t *node, const char *p, int depth) {
    shape_node_t *element = node->element;
    int more;
    if (depth >= JSON_DEPTH_MAX)
        return fail(w, JSON_TOO_DEEP);
    p++;
    if (p < w->end && (unsigned char)*p <= ' ')
        p = json_ws(p, w->end);
    if (p < w->end && *p == ']')
        return p + 1;
    do {
        if (p < w->end && *p == '"')
            p = wanted_string(w, element, p);
        else
            p = walk_value(w, element, p, depth + 1);
        if (!p)
            return NULL;
        more = next_element(w, &p);
    } while (more > 0);
    return more < 0 ? NULL : p;
}

TARGET static const char *walk_object(walk_t *w, shape_node_t *node, const char *p, int depth) {
    shape_edge_t *edges = node->open;
    uint64_t seen = 0;
    if (depth >= JSON_DEPTH_MAX)
        return fail(w, JSON_TOO_DEEP);
    for (int first = 1;; first = 0) {
        shape_member_t *m;
        if (LIKELY(w->predicts && follows(&edges[0], p, w->end))) {
            p += edges[0].len;
            m = edges[0].to;
        } else if (w->predicts && follows(&edges[1], p, w->end)) {
            p += edges[1].len;
            m = edges[1].to;
        } else {
            int status = walk_member(w, node, edges, &p, first, &m);
            if (status)
                return fail(w, status);
        }
        if (!m)
            return p;
        if (p < w->end && (unsigned char)*p <= ' ')
            p = json_ws(p, w->end);   /* a learned text may be the beginning of one with more white space */
        edges = m->next;
        if (!m->node) {
            p = pass_value(w, p, depth + 1);
        } else {
            if (m->node->is_path) {
                if (seen & m->node->path_bit && !w->careful)
                    return fail(w, WALK_REPEATED);
                seen |= m->node->path_bit;
            }
            p = walk_value(w, m->node, p, depth + 1);
        }
        if (!p)
            return NULL;
    }
}

/* In a careful walk nothing goes to lists. */
TARGET static const char *walk_value(walk_t *w, shape_node_t *node, const char *p, int depth) {
    if (p >= w->end)
        return fail(w, JSON_CUT_OFF);
    if (*p == '"')
        return wanted_string(w, node, p);
    if (starts_number(*p))
        return wanted_number(w, node, p);
    int enters = node->is_path && !w->careful;
    int is_array = *p == '[' && node->element, is_object = *p == '{' && node->n_wanted;
    if (!enters || !(is_array || is_object))
        return other_value(w, node, p, depth);
    const char *from = p;
    p = is_array ? walk_array(w, node, p, depth) : walk_object(w, node, p, depth);
    if (p && (node->column >= 0 || node->list >= 0))
        walk_put(w, node, CELL_JSON, 0, (slice_t){from, (size_t)(p - from)}, 0);
    return p;
}

TARGET const char *WALK(walk_t *w, shape_node_t *root, const char *p) {
    return walk_object(w, root, p, 0);
}
