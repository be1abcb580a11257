/* script_read: fields of a Lua table as C values.
 *
 * For script_plan.c and script_config.c, which copy what scripts/ has checked already: a field that is absent or of another
 * type gives the value for "none", never an error. What is returned is mem_alloc'd and the caller's. Stack effect of
 * all but the last: [] -> []. On the thread that calls the script, inside script_protect. */
#ifndef ANANAS_SCRIPT_READ_H
#define ANANAS_SCRIPT_READ_H
#include "script_lua.h"

/* t is the index of the table, as written before the call. */
char *script_read_string(lua_State *L, int t, const char *key); /* NULL: none */
int64_t script_read_int(lua_State *L, int t, const char *key, int64_t none);
double script_read_number(lua_State *L, int t, const char *key, double none);
int script_read_bool(lua_State *L, int t, const char *key);
fn_t script_read_fn(lua_State *L, int t, const char *key);
names_t script_read_names(lua_State *L, int t, const char *key); /* at == NULL where there is no list */
/* Copies at most size - 1 bytes of a string field. */
void script_read_text(lua_State *L, int t, const char *key, char *out, size_t size);
/* The number of the string among those of a NULL-terminated list; 0 where it is none of them. */
int script_read_choice(lua_State *L, int t, const char *key, const char *const *list);

/* [] -> [list]: opens a list; gives its length, 0 where there is none. Elements are read with lua_rawgeti from 1. */
uint32_t script_read_open(lua_State *L, int t, const char *key);
#endif
