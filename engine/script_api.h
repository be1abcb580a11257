/* script_api: the C functions that trusted Lua (scripts/) sees.
 *
 * One table of functions, the module "host"; rules never see it, only what scripts/sandbox.lua makes of it. Functions that
 * drivers call by FFI are exported by name: script_put_* in script.h, and those below. All run on the thread that calls the
 * script. */
#ifndef ANANAS_SCRIPT_API_H
#define ANANAS_SCRIPT_API_H
#include "script_state.h"

/* [] -> []: makes the module "host" known to require. */
void script_api_register(script_t *s, lua_State *L);

/* What a question over rows hands to its driver; repeated in scripts/row.lua. */
typedef struct rows_arg {
    const batch_t *rows;
    uint8_t *pass;
    cell_t *out;
    arena_t *arena;
    const uint32_t *some; /* where_some: the rows to ask */
    volatile int32_t *at; /* the driver says which row it is at */
    int32_t first, n;     /* rows [first, n); of some, when given */
    int32_t layout, format;
} rows_arg_t;

/* By FFI. The number of the batch's column names, see script_layout_t. */
int script_layout(const batch_t *b);
/* The cell of a name that is no column, see batch_lookup. */
void script_lookup(const batch_t *b, const char *name, size_t len, uint32_t row, cell_t *out);
double script_number(const cell_t *c);
/* UTF-8 of a string cell; valid until the next call. */
void script_text(const cell_t *c, slice_t *out);
#endif
