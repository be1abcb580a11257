/* script_watchdog: stopping a rule that does not stop by itself.
 *
 * One thread looks every few milliseconds at the threads that are inside Lua. When one has used up its CPU time on the
 * same evaluation, it gets a signal whose action jumps out of whatever Lua was doing, compiled code and C library alike.
 * What was jumped out of is never entered again: the caller throws the whole lua_State away. So that nothing but Lua's
 * own memory can be torn, the jump waits while the thread is inside a host function (script_host_begin/end), and Lua's
 * machine code areas are known here, since LuaJIT gets them straight from mmap.
 *
 * Owns the thread, the signal and one record per thread that asks rules. CPU time is the asking thread's: a process that
 * is stopped or starved stops nobody. The records of threads free themselves when their thread ends. */
#ifndef ANANAS_SCRIPT_WATCHDOG_H
#define ANANAS_SCRIPT_WATCHDOG_H
#include "script.h"
#include <stdint.h>

/* How a guarded run ended. Anything but WATCHDOG_DONE: the lua_State must be thrown away, not closed. */
typedef enum { WATCHDOG_DONE, WATCHDOG_TIME, WATCHDOG_MEMORY, WATCHDOG_PANIC } watchdog_end_t;

/* Machine code areas of one lua_State. LuaJIT's own bound on them (maxmcode) keeps the number far below this. */
#define WATCHDOG_AREAS 512
typedef struct watchdog_area {
    void *at;
    size_t len;
} watchdog_area_t;
typedef struct watchdog_areas {
    watchdog_area_t at[WATCHDOG_AREAS];
    unsigned n;
} watchdog_areas_t;
void watchdog_areas_drop(watchdog_areas_t *areas);

/* Calls body(arg) with limit_ns of this thread's CPU time for each evaluation (0: no bound). An evaluation ends when body
 * returns or when *watchdog_progress() changes. Not to be nested on a thread. Costs a few nanoseconds. */
watchdog_end_t watchdog_run(watchdog_areas_t *areas, int64_t limit_ns, void (*body)(void *arg), void *arg);
/* The areas given to the run that the thread is in; NULL outside of one. */
watchdog_areas_t *watchdog_inside(void);
/* CPU time that the run before used, as far as the watchdog saw it; of stopped ones. */
int64_t watchdog_last_ns(void);
/* CPU time of the longest evaluation on this thread since this was asked last; what ends between two looks of the watchdog
 * (10 ms) is not seen. */
int64_t watchdog_longest_ns(void);
/* Where the current thread says how far it is; lives as long as the thread. */
volatile int32_t *watchdog_progress(void);
/* Ends the run the thread is in, for reasons other than time. Returns only when there is none. */
void watchdog_leave(watchdog_end_t how);

/* By FFI. 1 when calls from C into Lua and back are nested so deep that the C stack gets short: LuaJIT counts only its own
 * stack, so what takes a callback (gsub, sort) asks here first. */
int script_stack_deep(void);

/* Whether mmap goes through this file: only where it comes before libc in symbol order, as in the program itself.
 * Elsewhere (libananas.so opened late by a spec) the areas of a dropped state stay mapped. */
int watchdog_sees_mmap(void);
/* 1 when the system lets written memory become executable; without that there can be no compiled Lua. */
int watchdog_code_allowed(void);
/* 1 the first time in this process: who finds out says so, and the others need not. */
int watchdog_first_without_code(void);
#endif
