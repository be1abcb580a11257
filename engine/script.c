#include "script.h"
#include "mem.h"
#include "script_api.h"
#include "script_rows.h"
#include "script_state.h"
#include "scripts.h"
#include <dlfcn.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>

/* Loading is trusted code plus the top level of rule files. */
#define LOAD_NS 5000000000LL
#define MEMORY_MIN ((size_t)4 << 20)

/* ---- guarded calls ---- */

script_t *script_of(lua_State *L) {
    void *ud;
    lua_getallocf(L, &ud);
    return ud;
}

script_t *script_current(void) {
    watchdog_areas_t *areas = watchdog_inside();
    return areas ? (script_t *)(void *)((char *)areas - offsetof(script_t, areas)) : NULL;
}

static void *allocate(void *ud, void *p, size_t old, size_t size) {
    script_t *s = ud;
    void *q = script_arena_resize(&s->memory, p, old, size);
    /* Compiled code may not survive a NULL: inside a call the state ends here. */
    if (__builtin_expect(!q && size, 0))
        watchdog_leave(WATCHDOG_MEMORY);
    return q;
}

static int panic(lua_State *L) {
    (void)L;
    watchdog_leave(WATCHDOG_PANIC);
    return 0;
}

static void drop_state(script_t *s) {
    watchdog_areas_drop(&s->areas);
    script_arena_fini(&s->memory);
    s->L = NULL;
}

static int stopped(script_t *s, watchdog_end_t how) {
    s->last_ns = watchdog_last_ns();
    switch (how) {
    case WATCHDOG_TIME:
        snprintf(s->error, sizeof s->error, "stopped after %lld ms of CPU time in one evaluation",
                 (long long)(watchdog_last_ns() / 1000000));
        break;
    case WATCHDOG_MEMORY:
        snprintf(s->error, sizeof s->error, "stopped: its memory of %zu MB is used up", s->limits.memory >> 20);
        break;
    default:
        snprintf(s->error, sizeof s->error,
                 "stopped: compiled code met an error that it cannot pass on (a value too large, "
                 "or no memory)");
        break;
    }
    drop_state(s);
    return ERR_RUNAWAY;
}

/* An error may be any value; its metamethods are not asked. */
static void keep_error(script_t *s) {
    int type = lua_type(s->L, -1);
    if (type == LUA_TSTRING)
        snprintf(s->error, sizeof s->error, "%s", lua_tostring(s->L, -1));
    else if (type == LUA_TNUMBER)
        snprintf(s->error, sizeof s->error, "%.14g", lua_tonumber(s->L, -1));
    else
        snprintf(s->error, sizeof s->error, "the error is a %s value", lua_typename(s->L, type));
    lua_settop(s->L, 0);
}

typedef struct call {
    script_t *s;
    int ref, rc;
} call_t;

static void call_body(void *arg) {
    call_t *c = arg;
    lua_State *L = c->s->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->ref);
    c->rc = lua_pcall(L, 0, 0, 0);
}

typedef struct protect {
    script_t *s;
    void (*body)(lua_State *L, void *arg);
    void *arg;
    int rc;
} protect_t;

static int protect_inner(lua_State *L) {
    protect_t *p = lua_touserdata(L, 1);
    lua_settop(L, 0);
    p->body(L, p->arg);
    return 0;
}

static void protect_body(void *arg) {
    protect_t *p = arg;
    p->rc = lua_cpcall(p->s->L, protect_inner, p);
}

int script_protect(script_t *s, void (*body)(lua_State *L, void *arg), void *arg) {
    if (!s->L)
        return ERR_RUNAWAY;
    protect_t p = {s, body, arg, 0};
    watchdog_end_t how = watchdog_run(&s->areas, LOAD_NS, protect_body, &p);
    if (how != WATCHDOG_DONE)
        return stopped(s, how);
    if (p.rc == 0)
        return 0;
    keep_error(s);
    return ERR_SCRIPT;
}

/* ---- drivers ---- */

typedef struct bind {
    const char *name;
    fn_t fn;
    int ref;
} bind_t;

static void bind_body(lua_State *L, void *arg) {
    bind_t *b = arg;
    script_require(L, "door");
    lua_getfield(L, -1, "bind");
    lua_pushstring(L, b->name);
    lua_pushinteger(L, b->fn);
    lua_call(L, 2, 1);
    b->ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static int bind_slow(script_t *s, size_t entry, fn_t fn) {
    bind_t b = {s->entries[entry], fn, 0};
    int rc = script_protect(s, bind_body, &b);
    if (rc != 0)
        return rc == ERR_SCRIPT ? ERR_INTERNAL : rc; /* no error of a row */
    size_t slot = (size_t)fn + 1;
    if (slot >= s->n_bound[entry]) {
        size_t n = slot + 32;
        s->bound[entry] = mem_realloc(s->bound[entry], n * sizeof(int));
        memset(s->bound[entry] + s->n_bound[entry], 0, (n - s->n_bound[entry]) * sizeof(int));
        s->n_bound[entry] = n;
    }
    s->bound[entry][slot] = b.ref;
    return 0;
}

int script_call(script_t *s, int entry, fn_t fn, void *arg) {
    size_t slot = (size_t)fn + 1;
    if (__builtin_expect(!s->L, 0))
        return ERR_RUNAWAY;
    if (__builtin_expect(slot >= s->n_bound[entry] || !s->bound[entry][slot], 0)) {
        int rc = bind_slow(s, (size_t)entry, fn);
        if (rc != 0)
            return rc;
    }
    call_t c = {s, s->bound[entry][slot], 0};
    s->arg = arg;
    s->put = 0;
    watchdog_end_t how = watchdog_run(&s->areas, s->budget_ns, call_body, &c);
    if (__builtin_expect(how != WATCHDOG_DONE, 0))
        return stopped(s, how);
    if (__builtin_expect(c.rc != 0, 0)) {
        keep_error(s);
        return ERR_SCRIPT;
    }
    return 0;
}

typedef struct entry {
    const char *name;
    int found;
} entry_t;

static void entry_body(lua_State *L, void *arg) {
    entry_t *e = arg;
    script_require(L, "door");
    lua_getfield(L, -1, "has");
    lua_pushstring(L, e->name);
    lua_call(L, 1, 1);
    e->found = lua_toboolean(L, -1);
}

int script_entry(script_t *s, const char *name) {
    for (size_t i = 0; i < s->n_entries; i++)
        if (strcmp(s->entries[i], name) == 0)
            return (int)i;
    entry_t e = {name, 0};
    int rc = script_protect(s, entry_body, &e);
    if (rc != 0)
        return rc;
    if (!e.found)
        return ERR_NOT_FOUND;
    size_t i = s->n_entries;
    mem_grow(&s->entries, &s->cap_entries, i + 1, sizeof(char *));
    s->bound = mem_realloc(s->bound, s->cap_entries * sizeof *s->bound);
    s->n_bound = mem_realloc(s->n_bound, s->cap_entries * sizeof *s->n_bound);
    s->entries[i] = mem_strdup(name);
    s->bound[i] = NULL;
    s->n_bound[i] = 0;
    s->n_entries = i + 1;
    return (int)i;
}

typedef struct fn_question {
    fn_t fn;
    char *memo_column;
} fn_question_t;

static void fn_body(lua_State *L, void *arg) {
    fn_question_t *q = arg;
    script_require(L, "door");
    lua_getfield(L, -1, "memo_column");
    lua_pushinteger(L, q->fn);
    lua_call(L, 1, 1);
    script_host_begin();
    if (lua_isstring(L, -1))
        q->memo_column = mem_strdup(lua_tostring(L, -1));
    script_host_end();
}

script_fn_t *script_fn(script_t *s, fn_t fn) {
    size_t i = (size_t)fn;
    if (i < s->n_fns && s->fns[i].n_memo)
        return &s->fns[i];
    if (i >= s->n_fns) {
        size_t n = i + 32;
        s->fns = mem_realloc(s->fns, n * sizeof *s->fns);
        memset(s->fns + s->n_fns, 0, (n - s->n_fns) * sizeof *s->fns);
        s->n_fns = n;
    }
    script_fn_t *f = &s->fns[i];
    fn_question_t q = {fn, NULL};
    script_protect(s, fn_body, &q);
    f->memo_column = q.memo_column;
    f->n_memo = 256;
    f->memo = f->memo_column ? mem_zalloc(f->n_memo * sizeof *f->memo) : NULL;
    return f;
}

/* ---- one function ---- */

typedef struct single {
    const char *name, *text, *memo_column;
    fn_t fn;
} single_t;

static void single_body(lua_State *L, void *arg) {
    single_t *q = arg;
    script_require(L, "door");
    lua_getfield(L, -1, "load");
    lua_pushstring(L, q->name);
    lua_pushstring(L, q->text);
    if (q->memo_column)
        lua_pushstring(L, q->memo_column);
    else
        lua_pushnil(L);
    lua_call(L, 3, 1);
    q->fn = (fn_t)lua_tointeger(L, -1);
}

fn_t script_load_function(script_t *s, const char *name, const char *text, const char *memo_column, error_t *e) {
    single_t q = {name, text, memo_column, FN_NONE};
    int rc = script_protect(s, single_body, &q);
    return rc == 0 ? q.fn : error_set(e, rc, "%s", s->error);
}

/* ---- opening and closing ---- */

int script_find_embedded(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    for (size_t i = 0; i < scripts_count; i++) {
        if (strcmp(scripts_entries[i].name, name) != 0)
            continue;
        lua_pushfstring(L, "@scripts/%s.lua", name);
        if (luaL_loadbuffer(L, scripts_entries[i].text, scripts_entries[i].length, lua_tostring(L, -1)) != 0)
            return lua_error(L);
        return 1;
    }
    lua_pushfstring(L, "\n\tno script '%s' in the program", name);
    return 1;
}

void script_require(lua_State *L, const char *name) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    if (lua_istable(L, -1))
        return;
    lua_pop(L, 1);
    lua_getglobal(L, "require");
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
}

static void set_jit(lua_State *L, int on) {
    if (!on) {
        luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
        return;
    }
    /* Many rules, each with its own traces: the default bounds are for one program. */
    lua_getglobal(L, "require");
    lua_pushliteral(L, "jit.opt");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "start");
    lua_pushliteral(L, "maxtrace=4000");
    lua_pushliteral(L, "maxmcode=4096");
    lua_pushliteral(L, "maxirconst=2000");
    lua_call(L, 3, 0);
    lua_pop(L, 1);
}

static void open_body(lua_State *L, void *arg) {
    script_t *s = arg;
    lua_gc(L, LUA_GCSTOP, 0);
    luaL_openlibs(L);
    lua_gc(L, LUA_GCRESTART, 0);
    set_jit(L, s->limits.jit);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaders");
    lua_createtable(L, 2, 0);
    lua_rawgeti(L, -2, 1); /* package.preload: ffi is there */
    lua_rawseti(L, -2, 1);
    lua_pushcfunction(L, script_find_embedded);
    lua_rawseti(L, -2, 2);
    lua_setfield(L, -3, "loaders");
    lua_pop(L, 1);
    lua_pop(L, 1);
    script_api_register(s, L);
    script_require(L, "sandbox");
    script_require(L, "door");
    script_require(L, "row");
}

/* Drivers find the engine's functions by ffi.C: where the engine is a library that was opened for one caller alone, its
 * names are opened to all. */
static void open_names(void) {
    Dl_info info;
    void *(*self)(script_arena_t *, void *, size_t, size_t) = script_arena_resize;
    void *address;
    memcpy(&address, &self, sizeof address);
    if (dladdr(address, &info) && info.dli_fname)
        dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

int script_open(script_t **out, const script_limits_t *limits, log_t *log, error_t *e) {
    *out = NULL;
    script_t *s = mem_zalloc(sizeof *s);
    s->limits = *limits;
    s->log = log;
    s->budget_ns = limits->time_ms * 1000000LL;
    if (s->limits.memory < MEMORY_MIN)
        s->limits.memory = MEMORY_MIN;
    if (s->limits.jit && !watchdog_code_allowed()) {
        s->limits.jit = 0;
        if (watchdog_first_without_code())
            log_say(log, LOG_WARN, "rules",
                    "rules are not compiled: this system forbids writing machine code "
                    "(MemoryDenyWriteExecute); they run slower, and the same");
    }
    int rc = script_arena_init(&s->memory, s->limits.memory);
    if (rc != 0) {
        error_set(e, rc, "no address space for a Lua state of %zu MB", s->limits.memory >> 20);
        goto fail_memory;
    }
    s->L = lua_newstate(allocate, s);
    if (!s->L) {
        rc = error_set(e, ERR_LIMIT, "no memory for a Lua state");
        goto fail_state;
    }
    lua_atpanic(s->L, panic);
    open_names();
    s->symbols = mem_map(SCRIPT_SYMBOLS * sizeof *s->symbols);
    rc = script_protect(s, open_body, s);
    if (rc == 0) {
        s->where = script_entry(s, "row.where");
        s->where_some = script_entry(s, "row.where_some");
        s->map = script_entry(s, "row.map");
        s->table = script_entry(s, "row.table");
        s->fold = script_entry(s, "row.fold");
        if (s->where < 0 || s->where_some < 0 || s->map < 0 || s->table < 0 || s->fold < 0)
            rc = ERR_INTERNAL;
    }
    if (rc == 0) {
        *out = s;
        return 0;
    }
    error_set(e, rc, "cannot open Lua: %s", s->error);
    script_close(s);
    return rc;
fail_state:
    script_arena_fini(&s->memory);
fail_memory:
    mem_free(s);
    return rc;
}

void script_close(script_t *s) {
    if (!s)
        return;
    /* Where the code areas are not known, only Lua itself can give them back. */
    if (s->L && !watchdog_sees_mmap())
        lua_close(s->L);
    drop_state(s);
    for (size_t i = 0; i < s->n_entries; i++) {
        mem_free(s->entries[i]);
        mem_free(s->bound[i]);
    }
    mem_free(s->entries);
    mem_free(s->bound);
    mem_free(s->n_bound);
    script_rows_fini(s);
    buf_fini(&s->scratch);
    script_texts_free(&s->texts);
    mem_free(s);
}

lua_State *script_lua(script_t *s) { return s->L; }
const char *script_error(const script_t *s) { return s->error; }
size_t script_memory(const script_t *s) { return s->memory.used; }
int64_t script_last_cpu_ns(const script_t *s) { return s->last_ns; }
rule_texts_t *script_texts_slot(script_t *s) { return &s->texts; }
