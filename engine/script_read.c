#include "script_read.h"
#include "mem.h"

static char *string_at(lua_State *L, int i) {
    size_t len;
    const char *s = lua_type(L, i) == LUA_TSTRING ? lua_tolstring(L, i, &len) : NULL;
    return s ? mem_strndup(s, len) : NULL;
}

char *script_read_string(lua_State *L, int t, const char *key) {
    lua_getfield(L, t, key);
    char *s = string_at(L, -1);
    lua_pop(L, 1);
    return s;
}

double script_read_number(lua_State *L, int t, const char *key, double none) {
    lua_getfield(L, t, key);
    double v = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : none;
    lua_pop(L, 1);
    return v;
}

int64_t script_read_int(lua_State *L, int t, const char *key, int64_t none) {
    return (int64_t)script_read_number(L, t, key, (double)none);
}

int script_read_bool(lua_State *L, int t, const char *key) {
    lua_getfield(L, t, key);
    int v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

fn_t script_read_fn(lua_State *L, int t, const char *key) { return (fn_t)script_read_int(L, t, key, FN_NONE); }

names_t script_read_names(lua_State *L, int t, const char *key) {
    names_t out = {0};
    lua_getfield(L, t, key);
    if (lua_istable(L, -1)) {
        uint32_t n = (uint32_t)lua_objlen(L, -1);
        out.at = mem_zalloc((n ? n : 1) * sizeof *out.at);
        for (uint32_t i = 0; i < n; i++) {
            lua_rawgeti(L, -1, (int)i + 1);
            char *s = string_at(L, -1);
            if (s)
                out.at[out.n++] = s;
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    return out;
}

void script_read_text(lua_State *L, int t, const char *key, char *out, size_t size) {
    lua_getfield(L, t, key);
    size_t len = 0;
    const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    if (len >= size)
        len = size - 1;
    if (s)
        memcpy(out, s, len);
    out[len] = 0;
    lua_pop(L, 1);
}

int script_read_choice(lua_State *L, int t, const char *key, const char *const *list) {
    int found = 0;
    lua_getfield(L, t, key);
    const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    for (int i = 0; s && list[i]; i++)
        if (strcmp(s, list[i]) == 0)
            found = i;
    lua_pop(L, 1);
    return found;
}

uint32_t script_read_open(lua_State *L, int t, const char *key) {
    lua_getfield(L, t, key);
    return lua_istable(L, -1) ? (uint32_t)lua_objlen(L, -1) : 0;
}
