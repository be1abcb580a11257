#include "script_json.h"
#include "json.h"
#include "number.h"
#include <math.h>
#include <stdlib.h>

/* Registry: a function that tells what a userdata or cdata is (scripts/row.lua), the metatable of empty arrays. */
#define UNWRAP "ananas.unwrap"
#define ARRAY "ananas.array"

/* ---- writing ---- */

typedef struct writer {
    lua_State *L;
    buf_t *b;
    time_format_t format;
    int marked; /* times of the outermost object are TIME_MARKED */
    int depth;
} writer_t;

typedef struct member {
    const char *name; /* a string key, kept alive by the table it is in */
    size_t len;
    double number; /* where name is NULL */
} member_t;

static void write_value(writer_t *w, int index);

static int compare_members(const void *x, const void *y) {
    const member_t *a = x, *b = y;
    if (!a->name || !b->name) {
        if (!a->name && !b->name)
            return a->number < b->number ? -1 : a->number > b->number;
        return a->name ? 1 : -1;
    }
    size_t n = a->len < b->len ? a->len : b->len;
    int c = memcmp(a->name, b->name, n);
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

static void fail(writer_t *w, const char *text) {
    /* The error leaves through Lua: host sections of this call end here. */
    script_host_end();
    lua_pushstring(w->L, text); /* no place: the one it would name is the program's */
    lua_error(w->L);
}

/* Between two elements: a rule that overran is stopped here, and so is one whose tables share parts until their text is
 * larger than any memory. */
static void pause_between(const writer_t *w) {
    script_host_pause();
    if (w->b->len > script_of(w->L)->limits.memory)
        watchdog_leave(WATCHDOG_MEMORY);
}

/* The highest index when the table is a list (few holes), 0 when empty, -1 when it is an object. Counts the members. */
static long shape(writer_t *w, int index, size_t *count) {
    lua_State *L = w->L;
    double max = 0;
    int object = 0;
    *count = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        ++*count;
        int type = lua_type(L, -1);
        if (type == LUA_TNUMBER) {
            double k = lua_tonumber(L, -1);
            if (k < 1 || k > 1e9 || floor(k) != k)
                object = 1;
            else if (k > max)
                max = k;
        } else if (type == LUA_TSTRING) {
            object = 1;
        } else {
            lua_pop(L, 1);
            fail(w, "a table to be written has a key that is neither a name nor a number");
        }
    }
    if (object || max > 2.0 * (double)*count + 8)
        return -1;
    return (long)max;
}

static int is_array_mark(lua_State *L, int index) {
    if (!lua_getmetatable(L, index))
        return 0;
    lua_getfield(L, LUA_REGISTRYINDEX, ARRAY);
    int same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static void write_list(writer_t *w, int index, long n) {
    buf_add_char(w->b, '[');
    for (long i = 1; i <= n; i++) {
        if (i > 1)
            buf_add_char(w->b, ',');
        lua_rawgeti(w->L, index, (int)i);
        write_value(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
        pause_between(w);
    }
    buf_add_char(w->b, ']');
}

static void write_object(writer_t *w, int index, size_t count) {
    lua_State *L = w->L;
    /* The list of members is Lua's memory: an error or a stop on the way leaks nothing. */
    member_t *members = lua_newuserdata(L, (count ? count : 1) * sizeof *members);
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        member_t m = {NULL, 0, 0};
        if (lua_type(L, -1) == LUA_TSTRING)
            m.name = lua_tolstring(L, -1, &m.len);
        else
            m.number = lua_tonumber(L, -1);
        members[n++] = m;
    }
    qsort(members, n, sizeof *members, compare_members);
    buf_add_char(w->b, '{');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(w->b, ',');
        if (members[i].name) {
            json_write_string(w->b, members[i].name, members[i].len);
            lua_pushlstring(L, members[i].name, members[i].len);
        } else {
            buf_add_char(w->b, '"');
            number_write_double(w->b, members[i].number);
            buf_add_char(w->b, '"');
            lua_pushnumber(L, members[i].number);
        }
        buf_add_char(w->b, ':');
        lua_rawget(L, index);
        write_value(w, lua_gettop(L));
        lua_pop(L, 1);
        pause_between(w);
    }
    buf_add_char(w->b, '}');
    lua_pop(L, 1);
}

static void write_table(writer_t *w, int index) {
    if (++w->depth > SCRIPT_JSON_DEPTH)
        fail(w, "a table to be written is nested too deep (or inside itself)");
    size_t count;
    long n = shape(w, index, &count);
    if (n > 0)
        write_list(w, index, n);
    else if (n == 0 && is_array_mark(w->L, index))
        buf_add_str(w->b, "[]");
    else
        write_object(w, index, count);
    w->depth--;
}

static void write_time(buf_t *b, etime_t time, time_format_t format) {
    const char *quote = timefmt_quoted(format) ? "\"" : "";
    buf_add_str(b, quote);
    timefmt_write(b, time, format);
    buf_add_str(b, quote);
}

/* Timestamps, frozen tables and rows: what stands for them is asked of scripts/row.lua. */
static void write_wrapped(writer_t *w, int index) {
    lua_State *L = w->L;
    lua_getfield(L, LUA_REGISTRYINDEX, UNWRAP);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 2, 0) != 0)
        fail(w, "a value to be written has no JSON form");
    if (lua_toboolean(L, -1)) {
        write_time(w->b, (etime_t)lua_tonumber(L, -2), w->marked && w->depth == 1 ? TIME_MARKED : w->format);
    } else if (lua_istable(L, -2)) {
        write_table(w, lua_gettop(L) - 1);
    } else {
        fail(w, "a value to be written has no JSON form");
    }
    lua_pop(L, 2);
}

static void write_value(writer_t *w, int index) {
    lua_State *L = w->L;
    if (!lua_checkstack(L, 12))
        fail(w, "a table to be written is nested too deep");
    switch (lua_type(L, index)) {
    case LUA_TNIL: buf_add_str(w->b, "null"); break;
    case LUA_TBOOLEAN: buf_add_str(w->b, lua_toboolean(L, index) ? "true" : "false"); break;
    case LUA_TNUMBER: number_write_double(w->b, lua_tonumber(L, index)); break;
    case LUA_TSTRING: {
        size_t len;
        const char *s = lua_tolstring(L, index, &len);
        json_write_string(w->b, s, len);
        break;
    }
    case LUA_TTABLE: write_table(w, index); break;
    case LUA_TFUNCTION:
    case LUA_TTHREAD: fail(w, "a function has no JSON form"); break;
    default: write_wrapped(w, index); break;
    }
}

void script_json_write(lua_State *L, buf_t *b, int index, int format) {
    writer_t w = {L, b, (time_format_t)(format & ~SCRIPT_MARK_TIMES), format & SCRIPT_MARK_TIMES, 0};
    script_host_begin();
    write_value(&w, index < 0 ? lua_gettop(L) + 1 + index : index);
    script_host_end();
}

/* ---- reading ---- */

static void read_value(lua_State *L, buf_t *scratch, slice_t text);

static void push_body(lua_State *L, buf_t *scratch, slice_t body, int escaped) {
    if (!escaped) {
        lua_pushlstring(L, body.s, body.len);
        return;
    }
    script_host_begin();
    buf_clear(scratch);
    buf_reserve(scratch, body.len + 1);
    scratch->len = json_unescape(body.s, body.len, scratch->s);
    script_host_end();
    lua_pushlstring(L, scratch->s, scratch->len);
}

static void read_nested(lua_State *L, buf_t *scratch, slice_t text) {
    json_iter_t it;
    lua_newtable(L);
    if (json_iter_open(&it, text) != 0)
        return;
    luaL_checkstack(L, 8, "a JSON value is nested too deep");
    int i = 0;
    while (json_iter_next(&it) == 1) {
        i++;
        if (it.is_object)
            push_body(L, scratch, it.key, it.key_escaped);
        read_value(L, scratch, it.value);
        if (it.is_object)
            lua_rawset(L, -3);
        else
            lua_rawseti(L, -2, i);
    }
    if (i == 0 && !it.is_object) {
        lua_getfield(L, LUA_REGISTRYINDEX, ARRAY);
        lua_setmetatable(L, -2);
    }
}

static void read_value(lua_State *L, buf_t *scratch, slice_t text) {
    switch (text.len ? text.s[0] : 'n') {
    case '{':
    case '[': read_nested(L, scratch, text); break;
    case 't': lua_pushboolean(L, 1); break;
    case 'f': lua_pushboolean(L, 0); break;
    case 'n': lua_pushnil(L); break;
    case '"': {
        slice_t body = {text.s + 1, text.len - 2};
        push_body(L, scratch, body, memchr(body.s, '\\', body.len) != NULL);
        break;
    }
    default: lua_pushnumber(L, number_double(text.s, text.len)); break;
    }
}

void script_json_read(lua_State *L, slice_t text) { read_value(L, &script_of(L)->scratch, text); }
