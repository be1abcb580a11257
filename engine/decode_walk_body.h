/* decode_walk_body: the walk, over blocks of 32 bytes.
 *
 * Included by decode_walk_sse2.c and decode_walk_avx2.c alone, each of which defines before
 *   WALK          the name of its walk,
 *   TARGET        the attribute of every function here,
 *   block_t       32 bytes, and on it block_load(p), block_keep(b, n) (the rest zeroed),
 *   masks         block_special(b) (quote, backslash, control or non-ASCII), block_quote(b), block_digit(b), block_same(b, text),
 *   block_word(b, i)  the i-th 8 bytes.
 * Runs on the thread of the decoder that calls it; owns nothing. */
#include "json.h"
#include "number.h"

#define BLOCK 32
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define INLINE static inline __attribute__((always_inline)) TARGET

TARGET static const char *walk_array(walk_t *w, shape_node_t *node, const char *p, int depth);
TARGET static const char *walk_object(walk_t *w, shape_node_t *node, const char *p, int depth);

TARGET static __attribute__((noinline, cold)) const char *fail(walk_t *w, int status) {
    w->status = status;
    return NULL;
}

/* The last bytes of a record, fewer than a block, come from a block that ends where the record does: the answers for the
 * `left` bytes from p on, as a mask from bit 0. Only where the record is a block long. */
INLINE int has_last_block(const walk_t *w) { return w->end - w->begin >= BLOCK; }

INLINE int follows(const walk_t *w, const shape_edge_t *e, const char *p, const char *end) {
    int64_t left = end - p;
    if (LIKELY(left >= BLOCK && e->len)) {
        if (~block_same(block_load(p), e->text) & e->mask[0])
            return 0;
        return LIKELY(e->len <= BLOCK) || ((size_t)left >= e->len && memcmp(p, e->text, e->len) == 0);
    }
    if (e->len == 0 || left < e->len)
        return 0;
    if (!has_last_block(w))
        return memcmp(p, e->text, e->len) == 0;
    size_t shift = (size_t)(BLOCK - left);
    uint32_t same = block_same(block_load(end - BLOCK), e->before + (sizeof e->before - shift)) >> shift;
    return (~same & e->mask[0]) == 0;
}

/* --- strings --- */

/* Near the end: the next byte that is not plain ASCII inside a string, or the end. */
TARGET static __attribute__((noinline)) const char *pass_tail(const walk_t *w, const char *p) {
    const char *end = w->end;
    if (has_last_block(w)) {
        uint32_t special = (uint32_t)((uint64_t)block_special(block_load(end - BLOCK)) >> (BLOCK - (end - p)));
        return special ? p + __builtin_ctz(special) : end;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80)
        p++;
    return p;
}

/* Behind the closing quote of the string body at p. */
INLINE const char *pass_body(walk_t *w, const char *p, int *escaped) {
    const char *end = w->end;
    for (;;) {
        uint32_t special = 0;
        while (LIKELY(end - p >= BLOCK) && (special = block_special(block_load(p))) == 0)
            p += BLOCK;
        p = LIKELY(special) ? p + __builtin_ctz(special) : pass_tail(w, p);
        if (LIKELY(p < end && *p == '"'))
            return p + 1;
        if (end - p >= 2 && *p == '\\' && (p[1] == 'n' || p[1] == '"' || p[1] == '\\' || p[1] == '/')) {
            *escaped = 1;
            p += 2;
            continue;
        }
        int status = p < end ? json_special(&p, end, escaped) : JSON_CUT_OFF;
        if (status)
            return fail(w, status);
    }
}

/* The slots after the first one. */
TARGET static __attribute__((noinline)) const sym_t *probe_on(const intern_short_t *t, const char *body, uint32_t n,
                                                              uint64_t h) {
    block_t b = block_keep(block_load(body), n);
    for (uint64_t i = 1; i < INTERN_PROBES; i++) {
        const intern_slot_t *s = &t->slots[(h + i) & t->mask];
        if (!s->sym || (s->len == n && block_same(b, s->key) == UINT32_MAX))
            return s->sym;
    }
    return NULL;
}

/* Known strings are not scanned for what would be wrong in them: their bytes are those of a body that was checked. A block
 * from body on must be there. */
INLINE const sym_t *known_symbol(const intern_short_t *t, const char *body, uint32_t *len) {
    block_t b = block_load(body);
    uint32_t quote = block_quote(b);
    if (!quote)
        return NULL;
    uint32_t n = *len = (uint32_t)__builtin_ctz(quote);
    b = block_keep(b, n);
    uint64_t h = intern_hash(block_word(b, 0), block_word(b, 1), block_word(b, 2), block_word(b, 3), t->seed);
    const intern_slot_t *s = &t->slots[h & t->mask];
    if (LIKELY(s->len == n && block_same(b, s->key) == UINT32_MAX))
        return s->sym; /* an empty slot looks like the empty string, and says NULL */
    return s->sym ? probe_on(t, body, n, h) : NULL;
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
    if (node->interns && w->end - p > BLOCK) {
        uint32_t len;
        const sym_t *sym = known_symbol(w->symbols, p + 1, &len);
        if (LIKELY(sym != NULL)) {
            walk_put(w, node, CELL_SYM, 0, (slice_t){p + 1, len}, (uint64_t)(uintptr_t)sym);
            return p + len + 2;
        }
    }
    return new_string(w, node, p);
}

/* --- numbers and the rest --- */

/* Eight digits as a number, the first in the lowest byte, by three multiplications. */
INLINE uint64_t eight_digits(uint64_t v) {
    v = (v & 0x0f0f0f0f0f0f0f0fu) * 2561 >> 8;
    v = (v & 0x00ff00ff00ff00ffu) * 6553601 >> 16;
    return (v & 0x0000ffff0000ffffu) * 42949672960001u >> 32;
}

/* n digits at p, 1 to 8; eight bytes must be there. */
INLINE uint64_t few_digits(const char *p, uint32_t n) {
    uint64_t v;
    memcpy(&v, p, 8);
    return eight_digits(v << (64 - 8 * n));
}

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

INLINE int starts_number(char c) { return (unsigned)(c - '0') < 10 || c == '-'; }

/* Behind any number, found in one block without a loop; an exponent, a long one and whatever is wrong go the plain way. */
INLINE const char *pass_number(walk_t *w, const char *p) {
    if (LIKELY(w->end - p >= BLOCK)) {
        uint64_t digits = block_digit(block_load(p));
        uint32_t at = *p == '-', n = (uint32_t)__builtin_ctzll(~(digits >> at));
        int wrong = n == 0 || (n > 1 && p[at] == '0');
        at += n;
        if (at < BLOCK && p[at] == '.') {
            n = (uint32_t)__builtin_ctzll(~(digits >> (at + 1)));
            wrong |= n == 0;
            at += 1 + n;
        }
        if (LIKELY(!wrong && at < BLOCK && (p[at] | 0x20) != 'e'))
            return p + at;
    }
    int status = json_number(&p, w->end);
    return status ? fail(w, status) : p;
}

INLINE const char *pass_ws(const char *p, const char *end) {
    if (p < end && *p == ' ')
        p++;
    return p < end && (unsigned char)*p <= ' ' ? json_ws(p, end) : p;
}

INLINE int is_word(const char *p, const char *end, const char *word, int len) {
    return end - p >= len && memcmp(p, word, (size_t)len) == 0;
}

/* Any value but an object or array. */
INLINE const char *pass_scalar(walk_t *w, const char *p) {
    const char *end = w->end;
    int escaped;
    if (LIKELY(p < end && *p == '"'))
        return pass_body(w, p + 1, &escaped);
    if (p < end && starts_number(*p))
        return pass_number(w, p);
    if (is_word(p, end, "true", 4) || is_word(p, end, "null", 4))
        return p + 4;
    if (is_word(p, end, "false", 5))
        return p + 5;
    int status = json_skip(&p, end, 0);
    return status ? fail(w, status) : p;
}

/* From the opening quote of a member's name to its value. */
INLINE const char *pass_name(walk_t *w, const char *p) {
    const char *end = w->end;
    int escaped;
    if (p >= end || *p != '"')
        return fail(w, p < end ? JSON_SYNTAX : JSON_CUT_OFF);
    p = pass_body(w, p + 1, &escaped);
    if (!p)
        return NULL;
    if (p < end && (unsigned char)*p <= ' ')
        p = json_ws(p, end);
    if (p >= end || *p != ':')
        return fail(w, p < end ? JSON_SYNTAX : JSON_CUT_OFF);
    return pass_ws(p + 1, end);
}

/* Nothing in it is wanted, all of it is checked. The open containers are a number, the innermost in bit 0: is it an object? */
_Static_assert(JSON_DEPTH_MAX <= 64, "one bit for each open container");
TARGET static __attribute__((noinline)) const char *pass_container(walk_t *w, const char *p, int depth) {
    const char *end = w->end;
    const int outside = depth;
    uint64_t objects = 0;
    for (;;) {
        if (p < end && (*p == '{' || *p == '[')) {
            if (depth++ >= JSON_DEPTH_MAX)
                return fail(w, JSON_TOO_DEEP);
            objects = objects << 1 | (*p == '{');
            p = pass_ws(p + 1, end);
            if (p < end && *p != (objects & 1 ? '}' : ']')) {
                if ((objects & 1) && !(p = pass_name(w, p)))
                    return NULL;
                continue;
            }
        } else if (!(p = pass_scalar(w, p))) {
            return NULL;
        }
        for (;;) { /* behind a value, or at the end of an empty container */
            if (p < end && (unsigned char)*p <= ' ')
                p = json_ws(p, end);
            if (p >= end)
                return fail(w, JSON_CUT_OFF);
            char c = *p++;
            if (c == ',')
                break;
            if (c != (objects & 1 ? '}' : ']'))
                return fail(w, JSON_SYNTAX);
            objects >>= 1;
            if (--depth == outside)
                return p;
        }
        p = pass_ws(p, end);
        if ((objects & 1) && !(p = pass_name(w, p)))
            return NULL;
    }
}

/* A learned text may be the beginning of one with more white space, so there may be some here. */
TARGET static __attribute__((noinline)) const char *pass_other(walk_t *w, const char *p, int depth) {
    if (p < w->end && (unsigned char)*p <= ' ')
        p = json_ws(p, w->end);
    if (p < w->end && (*p == '{' || *p == '['))
        return pass_container(w, p, depth);
    return pass_scalar(w, p);
}

INLINE const char *pass_value(walk_t *w, const char *p, int depth) {
    int escaped;
    if (LIKELY(p < w->end && *p == '"'))
        return pass_body(w, p + 1, &escaped);
    if (p < w->end && starts_number(*p))
        return pass_number(w, p);
    return pass_other(w, p, depth);
}

/* A number of at most 16 digits before and 8 behind the point, in one block and without a loop. Behind it, or NULL: it is
 * longer, has an exponent, is spelled in an unusual way, or is none. */
INLINE const char *short_number(walk_t *w, const shape_node_t *node, const char *p) {
    static const uint64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    uint64_t digits = block_digit(block_load(p)), bits;
    uint32_t minus = *p == '-', n = (uint32_t)__builtin_ctzll(~(digits >> minus)), len = minus + n, f;
    const char *first = p + minus;
    if (n == 0 || n > 16 || (*first == '0' && (n > 1 || (minus && p[len] != '.'))))
        return NULL;
    uint64_t v = n <= 8 ? few_digits(first, n) : few_digits(first, n - 8) * powers[8] + few_digits(first + n - 8, 8);
    if (p[len] != '.') {
        if ((p[len] | 0x20) == 'e')
            return NULL;
        walk_put(w, node, CELL_INT, 0, (slice_t){p, len}, minus ? 0 - v : v);
        return p + len;
    }
    f = (uint32_t)__builtin_ctzll(~(digits >> (len + 1)));
    if (f == 0 || f > 8 || n > 10)
        return NULL;
    v = v * powers[f] + few_digits(p + len + 1, f);
    len += 1 + f;
    if (v > NUMBER_EXACT || (p[len] | 0x20) == 'e')
        return NULL;
    double d = (double)v / number_powers[f];
    d = minus ? -d : d;
    memcpy(&bits, &d, sizeof bits);
    walk_put(w, node, CELL_NUM, 0, (slice_t){p, len}, bits);
    return p + len;
}

/* A number as it came, with its value beside it where that is quickly found. */
INLINE const char *wanted_number(walk_t *w, shape_node_t *node, const char *p) {
    int64_t i;
    const char *from = p, *behind = LIKELY(w->end - p >= BLOCK) ? short_number(w, node, p) : NULL;
    if (LIKELY(behind != NULL))
        return behind;
    if ((behind = pass_int(p, w->end, &i))) {
        walk_put(w, node, CELL_INT, 0, (slice_t){p, (size_t)(behind - p)}, (uint64_t)i);
        return behind;
    }
    p = pass_number(w, p);
    if (p)
        walk_put_cell(w, node, cell_from_json((slice_t){from, (size_t)(p - from)}));
    return p;
}

/* --- containers --- */

/* What is neither string nor number, taken apart where it is on a path. */
TARGET static __attribute__((noinline)) const char *other_value(walk_t *w, shape_node_t *node, const char *p,
                                                                int depth) {
    const char *from = p = json_ws(p, w->end);
    if (p >= w->end)
        return fail(w, JSON_CUT_OFF);
    if (*p == '"')
        return wanted_string(w, node, p);
    if (starts_number(*p))
        return wanted_number(w, node, p);
    if (*p == '[' && node->is_path && node->element)
        p = walk_array(w, node, p, depth);
    else if (*p == '{' && node->is_path && node->n_wanted)
        p = walk_object(w, node, p, depth);
    else
        p = pass_other(w, p, depth);
    if (p && !node->only_path)
        walk_put_cell(w, node, cell_from_json((slice_t){from, (size_t)(p - from)}));
    return p;
}

INLINE const char *opened_object(walk_t *w, shape_node_t *node, const char *p, int depth) {
    const char *from = p;
    p = walk_object(w, node, p, depth);
    if (p && !node->only_path)
        walk_put(w, node, CELL_JSON, 0, (slice_t){from, (size_t)(p - from)}, 0);
    return p;
}

INLINE const char *walk_value(walk_t *w, shape_node_t *node, const char *p, int depth) {
    if (p >= w->end)
        return fail(w, JSON_CUT_OFF);
    if (node->enters_arrays && *p == '[')
        return walk_array(w, node, p, depth);
    if (node->opens && *p == '{')
        return opened_object(w, node, p, depth);
    if (*p == '"')
        return wanted_string(w, node, p);
    if (starts_number(*p))
        return wanted_number(w, node, p);
    return other_value(w, node, p, depth);
}

/* Behind an element: moves to the next one (1), behind the end (0), or fails (-1). */
INLINE int next_element(walk_t *w, const char **p) {
    const char *s = *p;
    if (w->end - s >= 3 && s[0] == ',' && s[1] == ' ' && (unsigned char)s[2] > ' ') {
        *p = s + 2;
        return 1;
    }
    s = json_ws(s, w->end);
    if (s >= w->end)
        return w->status = JSON_CUT_OFF, -1;
    char c = *s++;
    *p = c == ',' ? json_ws(s, w->end) : s;
    return c == ',' ? 1 : c == ']' ? 0 : (w->status = JSON_SYNTAX, -1);
}

/* The hot case of an array: known strings, one after the other as json.dumps or a compact writer puts them. Stops behind
 * an element (*behind = 1) or before one that is anything else. */
INLINE const char *known_elements(walk_t *w, const shape_node_t *element, const char *p, int *behind) {
    walk_list_t *l = &w->lists[element->list];
    const intern_short_t symbols = *w->symbols;
    const uint32_t cap = l->cap, start = l->start, row = w->row;
    cell_t *cells = l->cells;
    uint32_t *origin = l->origin, *sub = l->sub, n = l->n;
    const char *end = w->end;
    while (end - p > BLOCK + 3 && *p == '"' && n < cap) {
        uint32_t len;
        const sym_t *sym = known_symbol(&symbols, p + 1, &len);
        if (!LIKELY(sym != NULL))
            break;
        walk_write(&cells[n], CELL_SYM | (uint64_t)len << 32, p + 1, (uint64_t)(uintptr_t)sym);
        origin[n] = row;
        sub[n] = n - start;
        n++;
        p += len + 2;
        if (p[0] != ',') {
            *behind = 1;
            break;
        }
        p += p[1] == ' ' ? 2 : 1;
    }
    l->n = n;
    return p;
}

TARGET static __attribute__((noinline)) const char *walk_array(walk_t *w, shape_node_t *node, const char *p,
                                                               int depth) {
    shape_node_t *element = node->element;
    const char *end = w->end;
    if (depth >= JSON_DEPTH_MAX)
        return fail(w, JSON_TOO_DEEP);
    p++;
    if (p < end && (unsigned char)*p <= ' ')
        p = json_ws(p, end);
    if (p < end && *p == ']')
        return p + 1;
    for (;;) {
        int behind = 0;
        if (element->lists_symbols)
            p = known_elements(w, element, p, &behind);
        if (!behind) {
            if (element->enters_objects && p < end && *p == '{')
                p = walk_object(w, element, p, depth + 1);
            else
                p = walk_value(w, element, p, depth + 1);
            if (!p)
                return NULL;
        }
        if (p < end && *p == ']')
            return p + 1;
        int more = next_element(w, &p);
        if (more <= 0)
            return more < 0 ? NULL : p;
    }
}

/* Whether a member on a path comes again in this object: what its first value gave must not count. */
INLINE int repeated(const shape_node_t *node, uint64_t *seen) {
    int again = (*seen & node->path_bit) != 0;
    *seen |= node->path_bit;
    return again;
}

TARGET static __attribute__((noinline)) const char *walk_object(walk_t *w, shape_node_t *node, const char *p,
                                                                int depth) {
    shape_edge_t *edges = node->open;
    const char *end = w->end;
    uint64_t seen = 0;
    if (depth >= JSON_DEPTH_MAX)
        return fail(w, JSON_TOO_DEEP);
    for (int first = 1;; first = 0) {
        shape_member_t *m;
        if (LIKELY(follows(w, &edges[0], p, end))) {
            p += edges[0].len;
            m = edges[0].to;
        } else if (follows(w, &edges[1], p, end)) {
            p += edges[1].len;
            m = edges[1].to;
        } else {
            int status = walk_member(w, node, edges, &p, first, &m);
            if (status)
                return fail(w, status);
        }
        if (!m)
            return p;
        edges = m->next;
        if (!m->node)
            p = pass_value(w, p, depth + 1);
        else if (m->node->is_path && repeated(m->node, &seen))
            return fail(w, WALK_REPEATED);
        else
            p = walk_value(w, m->node, p, depth + 1);
        if (!p)
            return NULL;
    }
}

TARGET const char *WALK(walk_t *w, shape_node_t *root, const char *p) { return walk_object(w, root, p, 0); }
