/* pattern: the text of a row pattern (SQL:2016 row pattern syntax) as a tree.
 *
 * Owns the grammar and its error texts: variables, concatenation, |, ( ), the quantifiers * + ? {n} {n,} {,m} {n,m} {,}
 * each reluctant with a ? behind, {- -}, ^, $, () and PERMUTE(...). It knows nothing of rows or conditions; program.h
 * turns the tree into instructions. A pattern is immutable once parsed; any thread; free with pattern_free. */
#ifndef ANANAS_PATTERN_H
#define ANANAS_PATTERN_H
#include "buf.h"
#include "error.h"

#define PATTERN_NONE UINT32_MAX /* no node; as `max`: no upper bound */
#define PATTERN_MAX_DEPTH 60    /* groups inside groups */
#define PATTERN_MAX_VARIABLES 4096
#define PATTERN_MAX_REPEAT 100000 /* the largest number inside { } */

typedef enum {
    PATTERN_EMPTY,     /* () */
    PATTERN_VARIABLE,  /* var */
    PATTERN_START,     /* ^ */
    PATTERN_END,       /* $ */
    PATTERN_CONCAT,    /* children in order */
    PATTERN_ALTERNATE, /* children in order of preference */
    PATTERN_REPEAT,    /* child, min, max, reluctant */
    PATTERN_EXCLUDE,   /* child */
    PATTERN_PERMUTE    /* children */
} pattern_kind_t;

typedef struct pattern_node {
    pattern_kind_t kind;
    int reluctant;
    uint32_t var;         /* PATTERN_VARIABLE */
    uint32_t min, max;    /* PATTERN_REPEAT */
    uint32_t child, next; /* first child, next sibling */
    uint32_t position;    /* byte in the text, from 1 */
    int nullable;         /* may match no row at all */
} pattern_node_t;

typedef struct pattern pattern_t;

/* 0, or ERR_INVALID with the byte position inside text (from 1) in *position (may be NULL) and words in e:
 * "position 7: expected ')', found the end of the pattern". */
int pattern_parse(pattern_t **out, const char *text, uint32_t *position, error_t *e);
void pattern_free(pattern_t *p);

uint32_t pattern_root(const pattern_t *p);
const pattern_node_t *pattern_node(const pattern_t *p, uint32_t node);
/* Variables in the order in which they first occur. */
uint32_t pattern_variables(const pattern_t *p);
const char *pattern_variable(const pattern_t *p, uint32_t var);
uint32_t pattern_variable_position(const pattern_t *p, uint32_t var);
int pattern_find(const pattern_t *p, const char *name); /* index, or -1 */
/* The same pattern with the fewest blanks and parentheses: two texts that mean the same tree print alike. */
void pattern_print(const pattern_t *p, buf_t *out);
#endif
