/* script_lua: what the script_*.c files know of each other.
 *
 * The other files of the engine see script.h alone. script.c owns the lua_State; script_plan.c and script_config.c load
 * through it, script_api.c registers what Lua may call. Each binding states its stack effect [before] -> [after]. One
 * thread at a time, as for script.h. */
#ifndef ANANAS_SCRIPT_LUA_H
#define ANANAS_SCRIPT_LUA_H
#include "script.h"
#include <lauxlib.h>
#include <lua.h>

/* The state, for reading values that a protected call left on it. */
lua_State *script_lua(script_t *s);

/* Runs body(L, arg) as a protected call in the budget of loading (5 s of thread CPU). body may raise Lua errors and may
 * leave nothing on the stack. 0; ERR_SCRIPT: it raised, see script_error; ERR_RUNAWAY: the state is dead. body must not
 * hold C memory that nobody else knows of: a runaway never returns to it. */
int script_protect(script_t *s, void (*body)(lua_State *L, void *arg), void *arg);

/* [name] -> [chunk], or [name] -> [message]: a package loader of the scripts that are compiled into the program. Raises. */
int script_find_embedded(lua_State *L);

/* [] -> [module]: what require(name) gives for a script compiled into the program. Raises. */
void script_require(lua_State *L, const char *name);

/* script_plan.c: the texts that were loaded are kept here, by the script that loaded them. */
rule_texts_t *script_texts_slot(script_t *s);
void script_texts_free(rule_texts_t *texts); /* frees what is in it; for script_close */
#endif
