/* decode_shape: what a decoder looks for in a record, and what it has learned of how records are written.
 *
 * A tree of the wanted members and array elements. On each object node hangs what is known of its members, wanted or
 * not, and after each member the one or two texts that usually come next (separator, key, colon, as written), so that a
 * record of a known layout is followed by comparing bytes. What is learned is only ever a faster way to the same answer:
 * a text is followed when it stands there byte for byte. Memory is bounded. Owned by one decoder, one thread. */
#ifndef ANANAS_DECODE_SHAPE_H
#define ANANAS_DECODE_SHAPE_H
#include "buf.h"
#include "map.h"

#define SHAPE_TEXT 64     /* longer separators and keys are not predicted */
#define SHAPE_MEMBERS 256 /* known members of one object node */

typedef struct shape_node shape_node_t;
typedef struct shape_member shape_member_t;

typedef struct shape_edge {
    char before[32];       /* so that a block that ends with a part of the text can be loaded */
    char text[SHAPE_TEXT]; /* zero-padded */
    uint32_t len;          /* 0: nothing learned */
    uint32_t mask;         /* bits of the first 32 bytes that count */
    shape_member_t *to;
} shape_edge_t;

struct shape_member {
    shape_edge_t next[2]; /* the newer first */
    slice_t key;          /* string body as written */
    shape_node_t *node;   /* NULL: not wanted */
};

struct shape_node {
    shape_edge_t open[2];     /* from '{' to behind the first colon */
    shape_member_t **members; /* the wanted ones first */
    size_t n_members, n_wanted, cap_members;
    map_t by_key;                      /* body as written -> member */
    shape_member_t stranger;           /* stands for every member beyond SHAPE_MEMBERS */
    shape_node_t *element;             /* of an array; NULL: its elements are not wanted one by one */
    int column, list;                  /* where the value goes as a cell; -1: nowhere */
    int is_path;                       /* something in it goes somewhere, or it is an element of a list */
    int only_path;                     /* and the value itself goes nowhere */
    int enters_arrays, enters_objects; /* only_path, and there is something in them */
    int opens;                         /* an object's members go somewhere, and perhaps itself */
    int lists_symbols;                 /* an element of which known strings go to a list and nowhere else */
    int holds_symbols;                 /* an array of such elements, and the array itself goes nowhere */
    uint64_t path_bit;                 /* among the path members of the parent; 0: no path */
    int wants_symbols, interns;        /* asked for, and worth it at present */
    uint64_t asked, missed;            /* strings looked up and not found at once, of late */
    uint32_t pause, paused;            /* batches without interning: the last length, and what is left of it */
};

shape_node_t *shape_new(void);
void shape_free(shape_node_t *node);
/* The node of that member (unescaped name), made when absent. */
shape_node_t *shape_want(shape_node_t *node, const char *name, size_t len);
/* The same of a column's name, which may lead down through nested objects (batch.h); those on the way become paths. */
shape_node_t *shape_want_member(shape_node_t *root, const char *name);
/* The node where the elements of "a.b[].c[]" arrive, made when absent; NULL: not such a path. Marks it as a path. */
shape_node_t *shape_want_path(shape_node_t *root, const char *path);
/* To be called when columns and lists have been placed in the tree. */
void shape_settle(shape_node_t *node);
/* The member of that body, learned when it is new. Never NULL. */
shape_member_t *shape_member(shape_node_t *node, slice_t body, int escaped);
void shape_learn(shape_edge_t edges[2], const char *text, size_t len, shape_member_t *to);
/* Judges what was learned: whether interning still pays, and whether keys never end. */
void shape_between_batches(shape_node_t *node);
#endif
