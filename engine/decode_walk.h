/* decode_walk: one pass over one record, checking all of it and taking out what is wanted.
 *
 * The same body (decode_walk_body.h) is compiled twice, for SSE2, which every x86-64 has, and for AVX2; walk_best chooses
 * by the processor it runs on. No reads outside the record: vectors are loaded only where so many bytes are left. What it
 * finds goes to arrays of the batch's arena. One decoder's, one thread. */
#ifndef ANANAS_DECODE_WALK_H
#define ANANAS_DECODE_WALK_H
#include "arena.h"
#include "decode_shape.h"
#include "intern.h"
#include "json.h"

/* Beside the statuses of JSON: a member on a path came twice in one object, so elements of the first must not count: what
 * is wanted is then to be taken by walk_repeated. */
#define WALK_REPEATED (-200)
#define WALK_BLOCK 32 /* bytes that are looked at in one go */

/* What the walks compare with, a block of each. It is loaded where it is needed: the compiler would build each block anew
 * from its byte every time. From 32 - n on, kept and padding say what the first n bytes of a block keep and what the others
 * become. */
typedef struct walk_bytes {
    _Alignas(64) char kept[2 * WALK_BLOCK];
    char padding[2 * WALK_BLOCK];
    char quote[WALK_BLOCK], backslash[WALK_BLOCK], space[WALK_BLOCK], zero[WALK_BLOCK], nine[WALK_BLOCK];
} walk_bytes_t;
extern const walk_bytes_t walk_bytes __attribute__((visibility("hidden")));

typedef struct walk_list {     /* elements of one unnest path */
    cell_t *cells, *at, *full; /* the next one goes to at */
    uint32_t *origin, *sub;    /* filled when a record is done, see walk_number */
    uint32_t start;            /* how many there were before the present record */
} walk_list_t;

static inline uint32_t walk_list_n(const walk_list_t *l) { return (uint32_t)(l->at - l->cells); }

typedef struct walk {
    const char *begin, *end; /* of the record's value */
    const char *last,
        *last_string; /* where its last block begins, and the last that may hold a string and what follows;
                                       NULL: it is too short for one */
    arena_t *arena;
    intern_t *intern;
    const intern_short_t *symbols;
    cell_t *const *columns; /* cells of each column, by row */
    walk_list_t *lists;
    uint32_t row;
    int predicts; /* follow and learn layouts */
    int status;   /* why a walk gave NULL */
} walk_t;

/* Takes up a record. */
static inline void walk_begin(walk_t *w, const char *s, size_t len) {
    w->begin = s;
    w->end = s + len;
    w->last = len >= WALK_BLOCK ? w->end - WALK_BLOCK : NULL;
    w->last_string = len >= WALK_BLOCK + 4 ? w->last - 4 : NULL;
    w->status = JSON_CUT_OFF;
}

/* p at '{'. Returns the place behind the object, or NULL with w->status. */
typedef const char *(*walk_fn)(walk_t *w, shape_node_t *root, const char *p);
const char *walk_sse2(walk_t *w, shape_node_t *root, const char *p);
const char *walk_avx2(walk_t *w, shape_node_t *root, const char *p);
walk_fn walk_best(void);
/* The slow way for a record with repeated members, of which the last count. text: the object with what follows it. Returns
 * what a walk_fn does. */
const char *walk_repeated(walk_t *w, shape_node_t *root, const char *p);

/* What the two walks share off the fast way. walk_member: from '{' or behind a value to the next value, or behind the
 * object (*out is NULL), or NULL. */
const char *walk_member(walk_t *w, shape_node_t *node, shape_edge_t edges[2], const char *p, shape_member_t **out);
void walk_grow(walk_t *w, walk_list_t *list);
void walk_list_init(walk_list_t *list, arena_t *a, uint32_t cap);
void walk_number(walk_list_t *list, uint32_t row); /* the present record's elements belong to that row */
const sym_t *walk_intern(walk_t *w, shape_node_t *node, const char *body, size_t len);

/* Eight digits as a number, the first in the lowest byte, by three multiplications. */
static inline uint64_t walk_eight_digits(uint64_t v) {
    v = (v & 0x0f0f0f0f0f0f0f0fu) * 2561 >> 8;
    v = (v & 0x00ff00ff00ff00ffu) * 6553601 >> 16;
    return (v & 0x0000ffff0000ffffu) * 42949672960001u >> 32;
}

/* n digits at p, 1 to 8; eight bytes must be there. */
static inline uint64_t walk_few_digits(const char *p, uint32_t n) {
    uint64_t v;
    memcpy(&v, p, 8);
    return walk_eight_digits(v << (64 - 8 * n));
}

/* Three words straight into each place. A cell built on the stack from its small fields and copied whole by vector waits
 * for those stores every time. */
static inline void walk_write(cell_t *place, uint64_t head, const char *raw, uint64_t payload) {
    char *to = (char *)place;
    memcpy(to, &head, 8);
    memcpy(to + 8, &raw, 8);
    memcpy(to + 16, &payload, 8);
}

static inline void walk_put(walk_t *w, const shape_node_t *node, unsigned kind, unsigned flags, slice_t raw,
                            uint64_t payload) {
    uint64_t head = kind | flags << 8 | (uint64_t)raw.len << 32;
    if (node->list >= 0) {
        walk_list_t *l = &w->lists[node->list];
        if (l->at == l->full)
            walk_grow(w, l);
        walk_write(l->at++, head, raw.s, payload);
    }
    if (node->column >= 0)
        walk_write(&w->columns[node->column][w->row], head, raw.s, payload);
}

static inline void walk_put_cell(walk_t *w, const shape_node_t *node, cell_t c) {
    walk_put(w, node, c.kind, c.flags, (slice_t){c.raw, c.len}, (uint64_t)c.u.i);
}
#endif
