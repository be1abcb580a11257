/* program: a row pattern as instructions for the matcher.
 *
 * Repetitions are unrolled, permutations become a graph over the sets of items already taken, so a position in the
 * program is all a matcher has to know of where it stands; {- -} is a mark on the VAR instructions inside. SPLIT prefers
 * `a`. An iteration that may be empty is bracketed by MARK and CHECK: CHECK leaves the loop when no row was taken since
 * MARK of the same depth, as an empty iteration past the minimum ends the loop (SQL:2016). Immutable; any thread. */
#ifndef ANANAS_PROGRAM_H
#define ANANAS_PROGRAM_H
#include "pattern.h"

#define PROGRAM_MAX 50000 /* instructions */

typedef enum {
    PROGRAM_VAR,   /* take the row if the condition of var holds */
    PROGRAM_SPLIT, /* a, and if that comes to nothing b */
    PROGRAM_JUMP,  /* a */
    PROGRAM_MARK,  /* an iteration at this depth begins */
    PROGRAM_CHECK, /* to a if it was empty */
    PROGRAM_START, /* goes on only before the first row of the partition */
    PROGRAM_END,   /* goes on only behind the last one */
    PROGRAM_MATCH
} program_op_t;

typedef struct instruction {
    uint8_t op;
    uint8_t excluded; /* VAR inside {- -} */
    uint8_t depth;    /* MARK, CHECK */
    uint8_t spare;
    uint32_t var;
    uint32_t a, b;
    uint32_t memo; /* VAR, SPLIT: dense number, for tables of what was tried */
} instruction_t;

typedef struct program {
    instruction_t *code;
    uint32_t n, n_memo, n_vars;
} program_t;

/* 0, or ERR_LIMIT when the pattern unrolls to more than PROGRAM_MAX instructions (position as in pattern_parse). */
int program_compile(program_t **out, const pattern_t *p, uint32_t *position, error_t *e);
void program_free(program_t *p);
/* ahead[i] = 1 where a VAR with vars[var] != 0 can be reached from instruction i (i included). */
void program_reach(const program_t *p, const uint8_t *vars, uint8_t *ahead);
/* One instruction a line, for tests and for `check`. */
void program_print(const program_t *p, const pattern_t *names, buf_t *out);
#endif
