#include "script_plain.h"
#include "script_api.h"
#include "script_json.h"
#include <math.h>

#define PLAIN_COLUMNS 65536 /* numbers from here on are opened columns, which scripts/row.lua reads */

/* As row_t in scripts/row.lua. */
typedef struct plain_row {
    const batch_t *batch;
    const char *label;
    uint32_t i;
    int32_t layout;
} plain_row_t;

/* ---- reading ---- */

/* [] -> [string]; upvalue 2 holds the strings of known symbols. */
static void push_symbol(lua_State *L, script_t *s, const sym_t *sym) {
    if (sym->id >= SCRIPT_SYMBOLS) {
        lua_pushlstring(L, sym->bytes, sym->len);
        return;
    }
    known_symbol_t *k = &s->symbols[sym->id];
    if (k->sym == sym && k->hash == sym->hash) {
        lua_rawgeti(L, lua_upvalueindex(2), (int)sym->id + 1);
        return;
    }
    lua_pushlstring(L, sym->bytes, sym->len);
    lua_pushvalue(L, -1);
    lua_rawseti(L, lua_upvalueindex(2), (int)sym->id + 1);
    *k = (known_symbol_t){sym, sym->hash, 0};
}

/* [] -> [value]; upvalue 4 holds the nested value read last: its text, its row, itself. */
static void push_nested(lua_State *L, const cell_t *c, uint32_t row) {
    lua_rawgeti(L, lua_upvalueindex(4), 1);
    lua_rawgeti(L, lua_upvalueindex(4), 2);
    int same = lua_touserdata(L, -2) == c->raw && lua_tonumber(L, -1) == (lua_Number)row;
    lua_pop(L, 2);
    if (same) {
        lua_rawgeti(L, lua_upvalueindex(4), 3);
        return;
    }
    script_json_read(L, (slice_t){c->raw, c->len});
    void *raw;
    memcpy(&raw, &c->raw, sizeof(void *));
    lua_pushlightuserdata(L, raw);
    lua_rawseti(L, lua_upvalueindex(4), 1);
    lua_pushnumber(L, (lua_Number)row);
    lua_rawseti(L, lua_upvalueindex(4), 2);
    lua_pushvalue(L, -1);
    lua_rawseti(L, lua_upvalueindex(4), 3);
}

/* [] -> [value] */
static void push_cell(lua_State *L, const cell_t *c, uint32_t row) {
    switch ((cell_kind_t)c->kind) {
    case CELL_NULL: lua_pushnil(L); break;
    case CELL_FALSE: lua_pushboolean(L, 0); break;
    case CELL_TRUE: lua_pushboolean(L, 1); break;
    case CELL_INT: lua_pushnumber(L, (lua_Number)c->u.i); break;
    case CELL_NUM: lua_pushnumber(L, c->u.d); break;
    case CELL_NUMRAW: lua_pushnumber(L, cell_double(c)); break;
    case CELL_SYM: push_symbol(L, script_of(L), c->u.sym); break;
    case CELL_STR: {
        slice_t text;
        script_text(c, &text);
        lua_pushlstring(L, text.s, text.len);
        break;
    }
    case CELL_JSON: push_nested(L, c, row); break;
    }
}

/* [row, name] -> [value]; upvalue 1: column numbers by layout and name, 2: strings of symbols, 3: what answers for other
 * names, 4: see push_nested. */
static int plain_index(lua_State *L) {
    const plain_row_t *r = lua_topointer(L, 1);
    lua_rawgeti(L, lua_upvalueindex(1), r->layout);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    if (lua_isnumber(L, -1) && lua_tointeger(L, -1) < PLAIN_COLUMNS) {
        push_cell(L, batch_cell(r->batch, (uint32_t)lua_tointeger(L, -1), r->i), r->i);
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_call(L, 2, 1);
    return 1;
}

/* ---- asking ---- */

static void put_json(lua_State *L, script_t *s, const rows_arg_t *a, uint32_t row) {
    buf_clear(&s->scratch);
    script_json_write(L, &s->scratch, -1, a->format);
    script_put_json(a->arena, &a->out[row], s->scratch.s, s->scratch.len);
}

/* The value on top as the result of the row. */
static void put_value(lua_State *L, script_t *s, const rows_arg_t *a, uint32_t row) {
    switch (lua_type(L, -1)) {
    case LUA_TNIL: a->out[row] = cell_null(); break;
    case LUA_TBOOLEAN: a->out[row] = cell_bool(lua_toboolean(L, -1)); break;
    case LUA_TNUMBER: {
        double d = lua_tonumber(L, -1);
        if (d == floor(d) && fabs(d) <= 9007199254740992.0)
            a->out[row] = cell_int((int64_t)d);
        else
            a->out[row] = isfinite(d) ? cell_num(d) : cell_null();
        break;
    }
    case LUA_TSTRING: {
        size_t len;
        const char *text = lua_tolstring(L, -1, &len);
        script_put_string(a->arena, &a->out[row], text, len);
        break;
    }
    default:
        /* A timestamp is a cdata: upvalue 1 gives its milliseconds, or nil. */
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_pushvalue(L, -2);
        lua_call(L, 1, 1);
        if (lua_isnumber(L, -1)) {
            a->out[row] = cell_time((etime_t)lua_tonumber(L, -1));
            lua_pop(L, 1);
        } else {
            lua_pop(L, 1);
            put_json(L, s, a, row);
        }
    }
}

static void put_table(lua_State *L, script_t *s, const rows_arg_t *a, uint32_t row) {
    int type = lua_type(L, -1);
    if (type != LUA_TTABLE && type != LUA_TUSERDATA && type <= LUA_TTHREAD) {
        lua_pushfstring(L, "select gave a %s where a table is needed", lua_typename(L, type));
        lua_error(L);
    }
    put_json(L, s, a, row);
    if (a->out[row].kind == CELL_JSON && *a->out[row].raw == '[') {
        lua_pushliteral(L, "select gave a list where a table with names is needed");
        lua_error(L);
    }
}

/* [fn, row, kind] -> []: asks fn of the rows of the question; kind is where, where_some, map or table. */
static int plain_ask(lua_State *L) {
    script_t *s = script_of(L);
    const rows_arg_t *a = s->arg;
    plain_row_t *r;
    const void *row = lua_topointer(L, 2);
    memcpy(&r, &row, sizeof(void *));
    char kind = *luaL_checkstring(L, 3);
    lua_settop(L, 2);
    for (int32_t k = a->first; k < a->n; k++) {
        uint32_t i = a->some ? a->some[k] : (uint32_t)k;
        __atomic_store_n(a->at, k, __ATOMIC_RELAXED); /* the watchdog looks at it */
        r->i = i;
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 2);
        lua_call(L, 1, 1);
        if (kind == 'w')
            a->pass[i] = (uint8_t)lua_toboolean(L, -1);
        else if (kind == 'm')
            put_value(L, s, a, i);
        else
            put_table(L, s, a, i);
        lua_settop(L, 2);
    }
    return 0;
}

/* [columns, strings, other, last] -> [index function] */
static int plain_indexer(lua_State *L) {
    lua_settop(L, 4);
    lua_pushcclosure(L, plain_index, 4);
    return 1;
}

/* [milliseconds of] -> [ask function] */
static int plain_asker(lua_State *L) {
    lua_settop(L, 1);
    lua_pushcclosure(L, plain_ask, 1);
    return 1;
}

void script_plain_register(lua_State *L) {
    lua_pushcfunction(L, plain_indexer);
    lua_setfield(L, -2, "indexer");
    lua_pushcfunction(L, plain_asker);
    lua_setfield(L, -2, "asker");
}
