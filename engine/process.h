/* process: free-form detectors with keyed state.
 *
 * Runs `process` and `detect` rules: each row is given to the rule's on_row with the state of its key, each timer to
 * on_timer, in chunks (one call into Lua for many rows). The script answers with bytes: rows emitted, new states, timers,
 * errors. Nothing is applied before the call has returned, so a runaway leaves no trace. Between the rows of a chunk no
 * timer is due: the call stops before a row whose watermark reaches one that an earlier row set.
 *
 * Durable: the state of each key (keystate.h), with order = "event_time" the rows that wait (reorder.h), and a count of
 * the rows that timers emitted, which orders them downstream. One thread (the task's). */
#ifndef ANANAS_PROCESS_H
#define ANANAS_PROCESS_H
#include "op.h"

typedef struct process process_t;

process_t *process_new(const rule_t *rule, store_t *store);
void process_free(process_t *p);
/* 0, or ERR_RUNAWAY: then the rule is to be quarantined, and of *out the rows before the step's stop stand
 * (step_overrun). */
int process_run(process_t *p, step_t *s, const stream_t *in, result_t *out);
void process_rebuild(process_t *p);

size_t process_keys(const process_t *p);    /* keys with state or timers */
size_t process_waiting(const process_t *p); /* rows that wait for their event time */
etime_t process_next(process_t *p);         /* next thing that event time brings; ETIME_MAX: nothing */

/* ---- what a call hands to scripts/process.lua, where the structs are repeated ---- */
typedef struct process_item {
    int64_t time; /* of the row, or of the timer */
    int64_t wm;   /* timers up to here fire before this item */
    uint32_t row, slot;
    const char *name; /* of the timer */
    uint32_t name_len, spare;
} process_item_t;

typedef struct process_slot { /* a key of this call */
    const char *state;
    uint32_t len, spare;
} process_slot_t;

typedef struct process_call {
    const batch_t *rows;
    const process_item_t *items;
    const process_slot_t *slots;
    volatile int32_t *at; /* the driver says which item it is at: each has the budget for itself */
    int64_t due;          /* stop before an item whose wm reaches this */
    uint32_t n_items, n_slots;
    int32_t format;  /* of timestamps in emitted rows, see script_table */
    int32_t ends;    /* the end of bounded input: timers set now do not fire */
    int32_t timers;  /* the rule has an on_timer */
    uint32_t done;   /* out: items that ran */
    const char *out; /* out: answers, see process_answer */
    uint64_t out_len;
} process_call_t;

/* Answers, little-endian, without padding; each begins with one of these as u8:
 *   STATE   u32 slot, u32 len, bytes           (len 0: the state is empty)
 *   WAKE    u32 slot, i64 time, u32 len, name
 *   SLEEP   u32 slot, u32 len, name
 *   EMIT    u32 item, u32 len, JSON object text
 *   PASS    u32 item, u32 len, JSON object text or nothing (the row itself, with these members added)
 *   ERROR   u32 item, u32 len, text */
enum { ANSWER_STATE = 1, ANSWER_WAKE = 2, ANSWER_SLEEP = 3, ANSWER_EMIT = 4, ANSWER_PASS = 5, ANSWER_ERROR = 6 };
#endif
