/* script_plain: rows and questions without compiled Lua.
 *
 * FFI is slow in the interpreter, so where the JIT is off (a system that forbids writing machine code) reading a column and
 * the loops over rows are C functions; scripts/row.lua takes these instead of its own. Results are the same. On the thread
 * that calls the script. */
#ifndef ANANAS_SCRIPT_PLAIN_H
#define ANANAS_SCRIPT_PLAIN_H
#include "script_state.h"

/* [host] -> [host]: adds indexer and asker to the module. */
void script_plain_register(lua_State *L);
#endif
