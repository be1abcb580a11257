/* decode_walk_body: the walk, over blocks of 32 bytes.
 *
 * Included by decode_walk_sse2.c and decode_walk_avx2.c alone, each of which defines before
 *   WALK          the name of its walk,
 *   TARGET        the attribute of every function here,
 *   block_t       32 bytes, and on it block_load(p), block_pad(b, n) (quotes for the rest),
 *   masks         block_special(b) (quote, backslash, control or non-ASCII), block_quote(b), block_digit(b), block_same(b, text),
 *   block_hash(b, seed)  the hash that the table of symbols has of a padded body.
 * Runs on the thread of the decoder that calls it; owns nothing. */
#include "number.h"

#define BLOCK WALK_BLOCK
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define INLINE static inline __attribute__((always_inline)) TARGET

TARGET static const char *walk_array(walk_t *w, shape_node_t *node, const char *p, int depth);
TARGET static const char *walk_elements(walk_t *w, shape_node_t *node, const char *p, int depth, int behind);
TARGET static const char *walk_object(walk_t *w, shape_node_t *node, const char *p, int depth);

TARGET static __attribute__((noinline, cold)) const char *fail(walk_t *w, int status) {
    w->status = status;
    return NULL;
}

/* The last bytes of a record, fewer than a block, are looked at in the block that ends where the record does (w->last),
 * where it is a block long. */

/* Where fewer bytes are left than a block has, or the text is longer than one. */
TARGET static __attribute__((noinline)) int follows_slowly(const walk_t *w, const shape_edge_t *e, const char *p) {
    if (e->len == 0 || w->end - p < e->len)
        return 0;
    if (p <= w->last || !w->last)
        return memcmp(p, e->text, e->len) == 0;
    size_t shift = (size_t)(p - w->last);
    uint32_t same = block_same(block_load(w->last), e->before + (sizeof e->before - shift)) >> shift;
    return (~same & e->mask) == 0;
}

INLINE int follows(const walk_t *w, const shape_edge_t *e, const char *p, const char *last) {
    if (LIKELY(p <= last)) {
        if (~block_same(block_load(p), e->text) & e->mask)
            return 0;
        if (LIKELY(e->len - 1 < BLOCK)) /* none is learned where it is 0 */
            return 1;
    }
    return follows_slowly(w, e, p);
}

/* --- strings --- */

/* Near the end: the next byte that is not plain ASCII inside a string, or the end. */
TARGET static __attribute__((noinline)) const char *pass_tail(const walk_t *w, const char *p) {
    const char *end = w->end;
    if (w->last) {
        uint32_t special = (uint32_t)((uint64_t)block_special(block_load(w->last)) >> (p - w->last));
        return special ? p + __builtin_ctz(special) : end;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80)
        p++;
    return p;
}

/* The most usual of them. */
INLINE int is_short_escape(char c) { return c == 'n' || c == '"' || c == '\\' || c == '/'; }

/* Behind the closing quote of the string body at p, whatever is in it. *escaped, where it is wanted: there is a backslash. */
TARGET static __attribute__((noinline)) const char *pass_rest(walk_t *w, const char *p, int *escaped) {
    const char *end = w->end;
    int any = 0;
    for (;;) {
        uint32_t special = 0;
        while (LIKELY(end - p >= BLOCK) && (special = block_special(block_load(p))) == 0)
            p += BLOCK;
        p = LIKELY(special) ? p + __builtin_ctz(special) : pass_tail(w, p);
        if (LIKELY(p < end && *p == '"')) {
            *escaped = any;
            return p + 1;
        }
        if (end - p >= 2 && *p == '\\' && is_short_escape(p[1])) {
            any = 1;
            p += 2;
            continue;
        }
        const char *from = p;
        int status = p < end ? json_special(&from, end, &any) : JSON_CUT_OFF;
        if (status)
            return fail(w, status);
        p = from;
    }
}

/* The same of a string that nobody reads, which is mostly plain. */
INLINE const char *pass_body(walk_t *w, const char *p) {
    int escaped;
    const char *last = w->last;
    while (LIKELY(p <= last)) {
        uint32_t special = block_special(block_load(p));
        if (LIKELY(special)) {
            p += __builtin_ctz(special);
            if (LIKELY(*p == '"'))
                return p + 1;
            if (*p != '\\' || p > last || !is_short_escape(p[1]))
                break;
            p += 2;
            continue;
        }
        p += BLOCK;
    }
    return pass_rest(w, p, &escaped);
}

/* The symbol whose body begins there, where the first slot has it. Known strings are not scanned for what would be wrong in
 * them: their bytes are those of a body that was checked. A block from body on must be there. */
INLINE const sym_t *symbol_at_once(const intern_short_t *t, const char *body, uint64_t *len) {
    block_t b = block_load(body);
    uint32_t quote = block_quote(b);
    if (!quote)
        return NULL;
    uint64_t n = *len = (uint64_t)__builtin_ctz(quote);
    b = block_pad(b, n);
    const intern_slot_t *s = &t->slots[block_hash(b, t->seed) & t->mask];
    return LIKELY(block_same(b, s->key) == UINT32_MAX) ? s->sym : NULL;
}

/* The same, in any slot. */
TARGET static __attribute__((noinline)) const sym_t *known_symbol(const intern_short_t *t, const char *body,
                                                                  uint64_t *len) {
    block_t b = block_load(body);
    uint32_t quote = block_quote(b);
    if (!quote)
        return NULL;
    uint64_t n = *len = (uint64_t)__builtin_ctz(quote);
    b = block_pad(b, n);
    uint64_t h = block_hash(b, t->seed);
    for (uint64_t i = 0; i < INTERN_PROBES; i++) {
        const intern_slot_t *s = &t->slots[(h + i) & t->mask];
        if (!s->sym || block_same(b, s->key) == UINT32_MAX)
            return s->sym;
    }
    return NULL;
}

/* p at the opening quote. */
TARGET static __attribute__((noinline)) const char *new_string(walk_t *w, shape_node_t *node, const char *p) {
    int escaped = 0;
    const char *body = p + 1, *behind = pass_rest(w, body, &escaped);
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
    if (!LIKELY(p < w->last))
        return new_string(w, node, p);
    if (node->interns) {
        uint64_t len;
        const sym_t *sym = symbol_at_once(w->symbols, p + 1, &len);
        if (!sym)
            sym = known_symbol(w->symbols, p + 1, &len);
        if (!LIKELY(sym != NULL))
            return new_string(w, node, p);
        walk_put(w, node, CELL_SYM, 0, (slice_t){p + 1, len}, (uint64_t)(uintptr_t)sym);
        return p + len + 2;
    }
    uint32_t special = block_special(block_load(p + 1)), len = special ? (uint32_t)__builtin_ctz(special) : 0;
    if (!LIKELY(special && p[1 + len] == '"'))
        return new_string(w, node, p);
    walk_put(w, node, CELL_STR, CELL_CLEAN, (slice_t){p + 1, len}, 0);
    return p + len + 2;
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

INLINE int starts_number(char c) { return (unsigned)(c - '0') < 10 || c == '-'; }

/* Behind any number, found in one block without a loop; an exponent, a long one and whatever is wrong go the plain way. */
INLINE const char *pass_number(walk_t *w, const char *p) {
    if (LIKELY(p <= w->last)) {
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
    if (LIKELY(p < end && *p == '"'))
        return pass_body(w, p + 1);
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
    if (p >= end || *p != '"')
        return fail(w, p < end ? JSON_SYNTAX : JSON_CUT_OFF);
    p = pass_body(w, p + 1);
    if (!p)
        return NULL;
    if (p < end && (unsigned char)*p <= ' ')
        p = json_ws(p, end);
    if (p >= end || *p != ':')
        return fail(w, p < end ? JSON_SYNTAX : JSON_CUT_OFF);
    return pass_ws(p + 1, end);
}

INLINE int ends_value(char c) { return c == ',' || c == ']' || c == '}'; }

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
        } else if (end - p >= 2 && (unsigned)(*p - '0') < 10 && ends_value(p[1])) {
            p++; /* a digit alone */
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
    if (LIKELY(p < w->end && *p == '"'))
        return pass_body(w, p + 1);
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
    uint64_t v = n <= 8 ? walk_few_digits(first, n)
                        : walk_few_digits(first, n - 8) * powers[8] + walk_few_digits(first + n - 8, 8);
    if (p[len] != '.') {
        if ((p[len] | 0x20) == 'e')
            return NULL;
        walk_put(w, node, CELL_INT, 0, (slice_t){p, len}, minus ? 0 - v : v);
        return p + len;
    }
    f = (uint32_t)__builtin_ctzll(~(digits >> (len + 1)));
    if (f == 0 || f > 8 || n > 10)
        return NULL;
    v = v * powers[f] + walk_few_digits(p + len + 1, f);
    len += 1 + f;
    if (v > NUMBER_EXACT || (p[len] | 0x20) == 'e')
        return NULL;
    double d = (double)v / number_powers[f];
    d = minus ? -d : d;
    memcpy(&bits, &d, sizeof bits);
    walk_put(w, node, CELL_NUM, 0, (slice_t){p, len}, bits);
    return p + len;
}

/* The same of an integer, where the record ends within a block. */
TARGET static __attribute__((noinline)) const char *int_at_end(walk_t *w, const shape_node_t *node, const char *p) {
    if (!w->last || p - w->begin < 8)
        return NULL;
    uint32_t minus = *p == '-';
    uint64_t digits = (uint64_t)block_digit(block_load(w->last)) >> (p + minus - w->last), v, before;
    uint32_t n = (uint32_t)__builtin_ctzll(~digits);
    const char *first = p + minus, *behind = first + n;
    if (n == 0 || n > 16 || (*first == '0' && (n > 1 || minus)))
        return NULL;
    if (behind < w->end && (*behind == '.' || (*behind | 0x20) == 'e'))
        return NULL;
    memcpy(&v, behind - 8, 8); /* what stands before the digits is shifted or masked away */
    if (n <= 8) {
        v = walk_eight_digits(v & (UINT64_MAX << (64 - 8 * n)));
    } else {
        memcpy(&before, behind - 16, 8);
        v = walk_eight_digits(v) + walk_eight_digits(before & (UINT64_MAX << (128 - 8 * n))) * 100000000;
    }
    walk_put(w, node, CELL_INT, 0, (slice_t){p, (size_t)(behind - p)}, minus ? 0 - v : v);
    return behind;
}

/* A number as it came, with its value beside it where that is quickly found. */
INLINE const char *wanted_number(walk_t *w, shape_node_t *node, const char *p) {
    int64_t i;
    const char *from = p, *behind = LIKELY(p <= w->last) ? short_number(w, node, p) : int_at_end(w, node, p);
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

/* From one string to the next, both quotes included, as json.dumps and as compact writers put them. */
#define LOOSE 0x22202c22u
#define TIGHT 0x222c22u

/* Known strings, one after the other, from the opening quote of the first. *behind: the place is behind the last of the
 * array's, or at least of those that stand like this; else it is at one that is not known at once. A function of its own: it
 * must keep everything in registers. */
TARGET static __attribute__((noinline)) const char *known_strings(const walk_t *w, walk_list_t *l, const char *p,
                                                                  int *behind) {
    const intern_short_t *symbols = w->symbols;
    const char *last = w->last_string;
    cell_t *cell = l->at, *full = l->full;
    int is_behind = 0;
    while (LIKELY(p <= last && cell < full)) {
        uint32_t separator;
        uint64_t len;
        const sym_t *sym = symbol_at_once(symbols, p + 1, &len);
        if (!LIKELY(sym != NULL))
            break;
        walk_write(cell++, CELL_SYM | len << 32, p + 1, (uint64_t)(uintptr_t)sym);
        p += len + 1;
        memcpy(&separator, p, sizeof separator);
        if (LIKELY(separator == LOOSE)) {
            p += 3;
            continue;
        }
        if ((separator & 0xffffff) == TIGHT) {
            p += 2;
            continue;
        }
        is_behind = 1;
        p++;
        break;
    }
    l->at = cell;
    *behind = is_behind;
    return p;
}

/* The hot case of an array: strings that are known. p at '['. */
INLINE const char *walk_strings(walk_t *w, shape_node_t *node, const char *p, int depth) {
    int behind;
    const char *s = p + 1;
    if (LIKELY(*s == '"' && depth < JSON_DEPTH_MAX)) {
        s = known_strings(w, &w->lists[node->element->list], s, &behind);
        if (LIKELY(behind && *s == ']'))
            return s + 1;
        return walk_elements(w, node, s, depth, behind);
    }
    return walk_array(w, node, p, depth);
}

/* p at '{'; returns the place behind the object. */
INLINE const char *members(walk_t *w, shape_node_t *node, const char *p, int depth) {
    shape_edge_t *edges = node->open;
    const char *end = w->end, *last = w->last;
    uint64_t seen = 0;
    if (depth >= JSON_DEPTH_MAX)
        return fail(w, JSON_TOO_DEEP);
    for (;;) {
        shape_member_t *m;
        if (p < end && *p == '}')
            return p + 1;
        if (LIKELY(follows(w, &edges[0], p, last))) {
            p += edges[0].len;
            m = edges[0].to;
        } else if (follows(w, &edges[1], p, last)) {
            p += edges[1].len;
            m = edges[1].to;
        } else {
            p = walk_member(w, node, edges, p, &m);
            if (!p || !m)
                return p;
        }
        edges = m->next;
        shape_node_t *value = m->node;
        if (!value) {
            p = pass_value(w, p, depth + 1);
        } else if (seen & value->path_bit) {
            return fail(w, WALK_REPEATED);
        } else {
            seen |= value->path_bit;
            if (value->holds_symbols && p < last && *p == '[')
                p = walk_strings(w, value, p, depth + 1);
            else
                p = walk_value(w, value, p, depth + 1);
        }
        if (!p)
            return NULL;
    }
}

TARGET static __attribute__((noinline)) const char *walk_object(walk_t *w, shape_node_t *node, const char *p,
                                                                int depth) {
    return members(w, node, p, depth);
}

/* Elements of an array that are objects, one after the other: behind one of them, not always the last, or NULL. */
TARGET static __attribute__((noinline)) const char *walk_objects(walk_t *w, shape_node_t *element, const char *p,
                                                                 int depth) {
    for (;;) {
        p = members(w, element, p, depth);
        if (!p || w->end - p < 3 || p[0] != ',')
            return p;
        if (p[1] == ' ' && p[2] == '{')
            p += 2;
        else if (p[1] == '{')
            p += 1;
        else
            return p;
    }
}

/* The elements from p on, or, behind one of them, those that follow it. */
TARGET static __attribute__((noinline)) const char *walk_elements(walk_t *w, shape_node_t *node, const char *p,
                                                                  int depth, int behind) {
    shape_node_t *element = node->element;
    const char *end = w->end;
    for (;; behind = 0) {
        if (!behind && element->lists_symbols && p < end && *p == '"')
            p = known_strings(w, &w->lists[element->list], p, &behind);
        if (!behind && element->enters_objects && p < end && *p == '{')
            p = walk_objects(w, element, p, depth + 1);
        else if (!behind)
            p = walk_value(w, element, p, depth + 1);
        if (!p)
            return NULL;
        if (p < end && *p == ']')
            return p + 1;
        int more = next_element(w, &p);
        if (more <= 0)
            return more < 0 ? NULL : p;
    }
}

TARGET static __attribute__((noinline)) const char *walk_array(walk_t *w, shape_node_t *node, const char *p,
                                                               int depth) {
    const char *end = w->end;
    if (depth >= JSON_DEPTH_MAX)
        return fail(w, JSON_TOO_DEEP);
    p++;
    if (p < end && (unsigned char)*p <= ' ')
        p = json_ws(p, end);
    if (p < end && *p == ']')
        return p + 1;
    return walk_elements(w, node, p, depth, 0);
}

TARGET const char *WALK(walk_t *w, shape_node_t *root, const char *p) { return walk_object(w, root, p, 0); }
