/* keystate: what the engine remembers for each key of a `process` rule.
 *
 * An entry of the store holds a key's state (bytes that only the script understands), its timers and the event time of
 * its last touch. The agenda, a heap of the keys by the next thing due to them (a timer, or the end of their ttl), is
 * derived and made again by keystate_rebuild. A key with neither state nor timers has no entry; one whose ttl has passed
 * is dropped, unless a timer still waits. One thread (the task's). */
#ifndef ANANAS_KEYSTATE_H
#define ANANAS_KEYSTATE_H
#include "arena.h"
#include "clock.h"
#include "store.h"

typedef struct keystate keystate_t;

typedef struct key_timer {
    etime_t at;
    slice_t name; /* "" unless the rule gave one; a key has one timer of a name */
} key_timer_t;

typedef struct key_view { /* an entry, read; borrows from the entry's bytes or from an arena */
    etime_t touch;        /* event time of the last touch; ETIME_MIN: never (no entry) */
    key_timer_t *timers;  /* sorted by (at, name) */
    uint32_t n_timers;
    slice_t about; /* what on_timer's rows need of the key: the caller's bytes */
    slice_t state; /* empty: none */
} key_view_t;

typedef struct key_due { /* a timer whose time has come */
    store_entry_t *entry;
    slice_t key;
    key_timer_t timer;
} key_due_t;

/* Borrows the space, of which it is the only user. ttl in ms; 0: state stays. */
keystate_t *keystate_new(space_t *space, int64_t ttl);
void keystate_free(keystate_t *k);
void keystate_rebuild(keystate_t *k);

store_entry_t *keystate_get(const keystate_t *k, slice_t key); /* NULL: nothing is known of the key */
/* Everything in *out lives in the arena: it stays when the entry changes. entry may be NULL. */
void keystate_load(arena_t *a, const store_entry_t *entry, key_view_t *out);
/* Makes, changes or removes the key's entry and puts it into the agenda. An entry that stays the same is not touched. */
void keystate_save(keystate_t *k, slice_t key, const key_view_t *v);
/* Sets (or moves) the timer of that name; arrays come from the arena. */
void key_view_wake(arena_t *a, key_view_t *v, slice_t name, etime_t at);
void key_view_cancel(key_view_t *v, slice_t name);

/* No timer and no ttl is due before this; ETIME_MAX: never. */
etime_t keystate_next(keystate_t *k);
/* Drops the keys whose ttl ended at or before `limit` and takes the first timer due by then, in (time, key, name) order,
 * out of the agenda. 1, or 0 when there is none. The entry is unchanged: keystate_save it without the timer, or
 * keystate_return it as it was. *next: the time of the key's next timer after this one, ETIME_MAX: none. */
int keystate_take(keystate_t *k, arena_t *a, etime_t limit, key_due_t *out, etime_t *next);
void keystate_return(keystate_t *k, store_entry_t *entry);
/* Every timer there is, in (time, key, name) order; the agenda stays as it is. */
uint32_t keystate_timers(keystate_t *k, arena_t *a, key_due_t **out);
size_t keystate_agenda(const keystate_t *k); /* keys that wait for something */
#endif
