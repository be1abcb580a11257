#include "script_test.h"

#include <limits.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "script_lua.h"

/* [] -> []: the program's scripts come before what the system has of that name: their loader becomes the second of
 * package.loaders, behind package.preload. */
static void add_loader(lua_State *L) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaders");
    for (int i = (int)lua_objlen(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, script_find_embedded);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 2);
}

/* [] -> [options] */
static void push_options(lua_State *L, const script_test_t *t) {
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    lua_newtable(L);
    lua_pushlstring(L, n > 0 ? program : "ananas", n > 0 ? (size_t)n : 6);
    lua_setfield(L, -2, "program");
    lua_createtable(L, t->n_paths, 0);
    for (int i = 0; i < t->n_paths; i++) {
        lua_pushstring(L, t->paths[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "paths");
    lua_pushstring(L, t->config);
    lua_setfield(L, -2, "config");
    lua_pushstring(L, t->rules);
    lua_setfield(L, -2, "rules");
    lua_pushboolean(L, t->coloured);
    lua_setfield(L, -2, "coloured");
}

typedef struct test_call {
    const script_test_t *test;
    int status;
} test_call_t;

static int run(lua_State *L) {
    test_call_t *call = lua_touserdata(L, 1);
    luaL_openlibs(L);
    add_loader(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "test");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    push_options(L, call->test);
    lua_call(L, 1, 1);
    call->status = (int)lua_tointeger(L, -1);
    return 0;
}

int script_test(const script_test_t *t) {
    test_call_t call = {t, 70};
    lua_State *L = luaL_newstate();
    if (!L)
        return 70;
    if (lua_cpcall(L, run, &call) != 0) {
        fprintf(stderr, "ananas test: %s\n", lua_tostring(L, -1));
        call.status = 70;
    }
    lua_close(L);
    return call.status;
}
