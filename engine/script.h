/* script: the one door into Lua.
 *
 * Owns a lua_State with its private memory: opening, the allow-listed environment, budgets of time and memory, and the
 * single protected call through which everything else asks rules something. A question is pure: it reads cells and
 * writes cells, all state stays in C. So a rule that overruns its budget is stopped by dropping the whole state, and the
 * owner opens a new one from the same texts and goes on. No other file of the engine includes lua.h but script_*.c.
 * A script is used by one thread at a time; another thread may open one aside (reload). */
#ifndef ANANAS_SCRIPT_H
#define ANANAS_SCRIPT_H
#include "config.h"
#include "log.h"
#include "rule.h"

typedef struct script script_t;

typedef struct script_limits {
    int64_t time_ms; /* thread CPU time per call; 0: none (trusted work such as loading uses its own bound) */
    size_t memory;   /* bytes of the whole Lua state */
    int jit;         /* 0: interpreter only */
} script_limits_t;

/* Once per process before the first script_open, and at its end: the watchdog thread and its signal. */
int script_watchdog_start(error_t *e);
void script_watchdog_stop(void);

int script_open(script_t **out, const script_limits_t *limits, log_t *log, error_t *e);
void script_close(script_t *s); /* also right after ERR_RUNAWAY: then the state is dropped, not closed */

/* One function by itself, without a rule around it, from a text that returns it (specs, measurements): in the same
 * environment, frozen in the same way. memo_column as in fn_info_t, or NULL. The function's number or negative. */
fn_t script_load_function(script_t *s, const char *name, const char *text, const char *memo_column, error_t *e);

/* Loading. Each reports every fault it finds; 0, or ERR_INVALID when there was one. `from` may be a file or a folder.
 * The rules' texts are kept, so that script_reopen and the changelog can have them. A configuration with faults may come
 * out as well (*out not NULL): what could be read of it, good for checking rules against and for nothing else. */
int script_load_config(script_t *s, const char *path, config_t **out, faults_t *faults);
int script_load_config_text(script_t *s, const char *path, const char *text, size_t len, config_t **out,
                            faults_t *faults);
int script_load_rules(script_t *s, const char *from, const config_t *config, plan_t **out, faults_t *faults);
/* The same from texts (file name, content), as kept by script_texts. */
typedef struct rule_text {
    char *name;
    char *text;
    size_t len;
} rule_text_t;
typedef struct rule_texts {
    rule_text_t *at;
    size_t n;
} rule_texts_t;
const rule_texts_t *script_texts(const script_t *s);
int script_load_texts(script_t *s, const rule_texts_t *texts, const config_t *config, plan_t **out, faults_t *faults);

/* Appends the plan that was loaded last in words, or as one JSON object. 0, ERR_SCRIPT or ERR_RUNAWAY. */
int script_describe(script_t *s, int json, buf_t *out);

/* Appends the tables of what may stand in a file: topic "config" (ananas.lua) or "rules". ERR_NOT_FOUND: no such topic. */
int script_reference(script_t *s, const char *topic, buf_t *out);

/* Driver functions are Lua functions of scripts/<stem>.lua, registered there under a name such as "row.where". */
int script_entry(script_t *s, const char *name);
/* Calls driver(function fn, pointer arg) in the budget. 0; ERR_SCRIPT: a Lua error, see script_error; ERR_RUNAWAY: the
 * script is dead, script_error says which budget. Results are written by the driver through arg. */
int script_call(script_t *s, int entry, fn_t fn, void *arg);
const char *script_error(const script_t *s);
/* After ERR_RUNAWAY of a question over rows: the row that was asked. */
uint32_t script_overrun_row(const script_t *s);
size_t script_memory(const script_t *s);
int64_t script_last_cpu_ns(const script_t *s);

/* Questions over rows. An evaluation that raises gives null (false) for that row and is counted; the first error's text
 * and row are kept. Shape: n = rows->n results. */
typedef struct eval_errors {
    uint32_t count;
    uint32_t first_row;
    char first[400]; /* "file:line: message" */
} eval_errors_t;

/* pass[i] = 1 where fn(row i) is neither nil nor false. Functions with a memo column are asked once per symbol. */
int script_where(script_t *s, fn_t fn, const batch_t *rows, uint8_t *pass, eval_errors_t *errors);
/* The one column that a pure function reads, or NULL: its rows need no other to be asked. */
const char *script_memo_column(script_t *s, fn_t fn);
/* out[i] = fn(row i) as a cell; strings and JSON live in the arena; timestamp(v) gives CELL_TIME. */
int script_map(script_t *s, fn_t fn, const batch_t *rows, arena_t *a, cell_t *out, eval_errors_t *errors);
/* out[i] = JSON object text of the table that fn(row i) returned (members sorted by name, nil omitted, timestamps among
 * them TIME_MARKED, those deeper down in the given format), or null where it raised or gave no table. */
#define SCRIPT_MARK_TIMES 8 /* of a driver: beside a time_format_t, asks for just that */
int script_table(script_t *s, fn_t fn, const batch_t *rows, arena_t *a, time_format_t format, cell_t *out,
                 eval_errors_t *errors);
/* *out = step(...step(init, row 0)..., row n-1) of fold number fn over all rows, in order. */
int script_fold(script_t *s, fn_t fn, const batch_t *rows, arena_t *a, cell_t *out, eval_errors_t *errors);

/* Symbols are remembered by their number: to be called between batches with intern_generation, so that what is remembered
 * of an earlier generation is forgotten. */
void script_symbols(script_t *s, uint32_t generation);

/* C functions that drivers call by FFI and that allocate, lock or change what belongs to the engine are wrapped in these:
 * a rule that overruns meanwhile is stopped at the end, not in the middle. Pairs nest. A long loop pauses now and then,
 * at a place where it may be left for good. Outside of a call they do nothing. */
void script_host_begin(void);
void script_host_end(void);
void script_host_pause(void);

/* For drivers, by FFI (exported by the executable): results that need memory. */
void script_put_string(arena_t *a, cell_t *out, const char *s, size_t len); /* copies */
void script_put_json(arena_t *a, cell_t *out, const char *s, size_t len);   /* copies */
#endif
