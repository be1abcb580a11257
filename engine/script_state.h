/* script_state: what a script_t is made of, for script.c, script_rows.c and script_api.c.
 *
 * Everything here belongs to the script and ends with it; nothing in it points into the lua_State but L, so a state that
 * was jumped out of can be thrown away without a look at it. One thread at a time. */
#ifndef ANANAS_SCRIPT_STATE_H
#define ANANAS_SCRIPT_STATE_H
#include "script_arena.h"
#include "script_lua.h"
#include "script_watchdog.h"

/* What a memoised function said of a symbol. */
enum { MEMO_UNKNOWN = 0, MEMO_FALSE = 1, MEMO_TRUE = 2, MEMO_RAISED = 3, MEMO_ASKED = 4 };
typedef struct memo {
    const sym_t *sym;
    uint32_t hash;
    uint32_t answer;
} memo_t;

typedef struct script_fn { /* by fn_t */
    char *memo_column;     /* NULL: none */
    memo_t *memo;          /* by symbol id */
    uint32_t n_memo;
} script_fn_t;

/* Column names of batches that were seen, numbered, so that Lua looks names up once per shape and not per batch. */
typedef struct script_layout {
    uint32_t n;
    uint32_t open;
    char **names;
} script_layout_t;

/* Log lines that rules may write in one second. */
#define SCRIPT_LOG_LINES 20

/* Symbols whose Lua string is known: scripts/row.lua keeps the strings, this says of which symbol each is. */
#define SCRIPT_SYMBOLS 65536
typedef struct known_symbol {
    const sym_t *sym;
    uint32_t hash;
    uint32_t spare;
} known_symbol_t;

struct script {
    lua_State *L; /* NULL: thrown away */
    script_arena_t memory;
    watchdog_areas_t areas;
    script_limits_t limits;
    log_t *log;
    int64_t budget_ns;
    int64_t last_ns; /* CPU time of the last question over rows, or of the call that was stopped */
    char error[600];
    uint32_t overrun_row; /* of the last question over rows that was stopped */

    char **entries; /* names of drivers, by number */
    size_t n_entries, cap_entries;
    int **bound; /* [entry][fn + 1]: registry reference of driver(fn, .), 0: not made yet */
    size_t *n_bound;
    script_fn_t *fns;
    size_t n_fns;

    script_layout_t *layouts;
    size_t n_layouts, cap_layouts;
    known_symbol_t *symbols;
    uint32_t generation; /* of the symbols, once has_generation */
    int has_generation;
    uint32_t *some; /* rows that a memoised function has to be asked of */
    uint32_t cap_some;
    int where, where_some, map, table, fold; /* entries of script_rows.c */

    void *arg;          /* of the call: drivers read it from here, as a pointer that compiled code can use */
    buf_t scratch;      /* of host functions */
    size_t put;         /* bytes that drivers put into the engine's memory in this call */
    int64_t log_second; /* the second that the counts below are of */
    unsigned log_lines, log_dropped;
    rule_texts_t texts;
};

/* The script a state belongs to. */
script_t *script_of(lua_State *L);
/* The script the current thread is calling; NULL outside of a call. */
script_t *script_current(void);
/* What is known of a function; asked of Lua the first time. */
script_fn_t *script_fn(script_t *s, fn_t fn);
#endif
