#include "script_api.h"
#include "json.h"
#include "script_json.h"
#include "script_plain.h"
#include "script_rows.h"
#include <time.h>

/* ---- by FFI ---- */

static void count_put(size_t len) {
    script_t *s = script_current();
    if (!s)
        return;
    s->put += len;
    if (s->put > s->limits.memory)
        watchdog_leave(WATCHDOG_MEMORY); /* the engine's memory is whole: nothing was begun */
}

static void put(arena_t *a, cell_t *out, cell_t c) {
    count_put(c.len);
    script_host_begin();
    c.raw = arena_dup(a, c.raw, c.len);
    *out = c;
    script_host_end();
}

void script_put_string(arena_t *a, cell_t *out, const char *s, size_t len) {
    cell_t c = cell_str(s, len);
    c.flags = json_plain(s, len) ? CELL_CLEAN : 0;
    put(a, out, c);
}

void script_put_json(arena_t *a, cell_t *out, const char *s, size_t len) {
    put(a, out, (cell_t){.kind = CELL_JSON, .len = (uint32_t)len, .raw = s});
}

int script_layout(const batch_t *b) {
    script_t *s = script_current();
    if (!s)
        return -1;
    script_host_begin();
    int layout = script_layout_of(s, b);
    script_host_end();
    return layout;
}

void script_lookup(const batch_t *b, const char *name, size_t len, uint32_t row, cell_t *out) {
    script_host_begin();
    *out = batch_lookup(b, name, len, row);
    script_host_end();
}

double script_number(const cell_t *c) { return cell_double(c); }

void script_text(const cell_t *c, slice_t *out) {
    script_t *s = script_current();
    *out = (slice_t){"", 0};
    if (!s)
        return;
    script_host_begin();
    *out = cell_text(c, &s->scratch);
    script_host_end();
}

/* ---- the table ---- */

/* A pointer held by a cdata: lua_topointer gives the address of what the cdata holds. */
static const void *pointer_in(lua_State *L, int index) {
    const void *const *holder = lua_topointer(L, index);
    return holder ? *holder : NULL;
}

/* [cell pointer] -> [value]: of a cell with an array or object in it. */
static int api_decode(lua_State *L) {
    const cell_t *c = pointer_in(L, 1);
    script_json_read(L, (slice_t){c->raw, c->len});
    return 1;
}

/* [text] -> [value]: of valid JSON text; raises where it is not. */
static int api_parse(lua_State *L) {
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    const char *p = json_ws(s, s + len), *end = p;
    int status = json_valid(s, len);
    if (status == 0)
        status = json_skip(&end, s + len, 0);
    if (status != 0)
        return luaL_error(L, "%s", json_reason(status));
    script_json_read(L, (slice_t){p, (size_t)(end - p)});
    return 1;
}

/* [value, format?] -> [text] */
static int api_encode(lua_State *L) {
    script_t *s = script_of(L);
    int format = (int)luaL_optinteger(L, 2, TIME_ISO8601);
    buf_clear(&s->scratch);
    script_json_write(L, &s->scratch, 1, format);
    lua_pushlstring(L, s->scratch.s ? s->scratch.s : "", s->scratch.len);
    return 1;
}

/* [row, value] -> []: the value as JSON text into the results of the question being asked. */
static int api_put(lua_State *L) {
    script_t *s = script_of(L);
    const rows_arg_t *a = s->arg;
    lua_Integer row = lua_tointeger(L, 1);
    buf_clear(&s->scratch);
    script_json_write(L, &s->scratch, 2, a->format);
    script_put_json(a->arena, &a->out[row], s->scratch.s, s->scratch.len);
    return 0;
}

/* [level, text] -> []: a line in the log, from a rule. Lines beyond what a person can read are counted and dropped. */
static int api_log(lua_State *L) {
    script_t *s = script_of(L);
    static const char *const names[] = {"debug", "info", "warn", "error", NULL};
    int level = luaL_checkoption(L, 1, NULL, names);
    const char *text = luaL_checkstring(L, 2);
    script_host_begin();
    int64_t second = clock_mono(&clock_system).ns / 1000000000LL;
    if (second != s->log_second) {
        if (s->log_dropped)
            log_say(s->log, LOG_WARN, "rules", "%u more lines from rules in one second were left out", s->log_dropped);
        s->log_second = second;
        s->log_lines = s->log_dropped = 0;
    }
    if (s->log_lines < SCRIPT_LOG_LINES) {
        s->log_lines++;
        log_say(s->log, (log_level_t)level, "rules", "%.1000s", text);
    } else {
        s->log_dropped++;
    }
    script_host_end();
    return 0;
}

/* [name, value] -> []: something that C code has to find again. */
static int api_keep(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_pushfstring(L, "ananas.%s", lua_tostring(L, 1));
    lua_pushvalue(L, 2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return 0;
}

static const luaL_Reg functions[] = {
    {"decode", api_decode}, {"parse", api_parse}, {"encode", api_encode}, {"put", api_put},
    {"log", api_log},       {"keep", api_keep},   {NULL, NULL},
};

void script_api_register(script_t *s, lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_newtable(L);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    lua_pushlightuserdata(L, s->symbols);
    lua_setfield(L, -2, "symbols");
    lua_pushlightuserdata(L, &s->arg);
    lua_setfield(L, -2, "arg");
    lua_pushboolean(L, s->limits.jit);
    lua_setfield(L, -2, "compiled");
    script_plain_register(L);
    lua_setfield(L, -2, "host");
    lua_pop(L, 1);
}
