/* script_json: Lua values to JSON text and back.
 *
 * What a rule reads from a nested column becomes tables (null: nil, arrays from 1), what it returns becomes text. Members
 * are written sorted by name, so equal values give equal bytes. Depth is bounded. Text is built in the script's scratch
 * buffer; nothing is kept. On the thread that calls the script. */
#ifndef ANANAS_SCRIPT_JSON_H
#define ANANAS_SCRIPT_JSON_H
#include "script_state.h"

#define SCRIPT_JSON_DEPTH 64

/* [] -> []: appends the JSON text of the value at index; timestamps in the given format (a time_format_t; with
 * SCRIPT_MARK_TIMES those that are members of the value itself TIME_MARKED). Raises a Lua error for what has no JSON form
 * (functions, tables inside themselves). b belongs to the script. */
void script_json_write(lua_State *L, buf_t *b, int index, int format);
/* [] -> [value]: of one validated JSON text. */
void script_json_read(lua_State *L, slice_t text);
#endif
