/* store: all durable state of a task, byte keys to byte values, with an undo log.
 *
 * Keys live in spaces (one per rule and kind of state; named, so that state outlives positions in a plan). The first
 * change of an entry after a commit saves its preimage: the list of those is both the undo log (store_abort) and what
 * a commit has to write (store_dirty). Operators keep derived indexes of their own and rebuild them from the store after
 * an abort or a restore. Bytes are counted against max_state. One thread (the task's). */
#ifndef ANANAS_STORE_H
#define ANANAS_STORE_H
#include "buf.h"
#include "error.h"

/* Of keys, values and what a task saves beside them (task_save_meta). Later ones are refused, earlier ones read. */
#define STATE_FORMAT 3

typedef struct store store_t;
typedef struct store_entry store_entry_t;
typedef struct space space_t;

store_t *store_new(size_t max_bytes); /* 0: unbounded */
void store_free(store_t *s);

/* The space of that name, made when absent. Names are stable across restarts: "<rule>/<state hash>/<kind>". */
space_t *store_space(store_t *s, const char *name);
const char *space_name(const space_t *sp);
size_t space_count(const space_t *sp);
size_t space_bytes(const space_t *sp);
/* Drops a space with all its entries (each becomes a tombstone in the changelog). */
void store_drop_space(store_t *s, space_t *sp);
space_t *store_next_space(store_t *s, space_t *after); /* NULL to begin; sorted by name */

store_entry_t *store_get(space_t *sp, const void *key, size_t len);
/* Gets or makes (value empty); *is_new may be NULL. Counts as a change when made. */
store_entry_t *store_put(space_t *sp, const void *key, size_t len, int *is_new);
void store_del(space_t *sp, store_entry_t *e);

slice_t entry_key(const store_entry_t *e);
slice_t entry_value(const store_entry_t *e);
/* The value's bytes for change in place; saves the preimage at the first call after a commit. Valid until the next resize. */
char *entry_edit(space_t *sp, store_entry_t *e);
/* Changes the length (new bytes zeroed) and returns the bytes for change. */
char *entry_resize(space_t *sp, store_entry_t *e, size_t len);
void entry_set(space_t *sp, store_entry_t *e, const void *value, size_t len);
/* A pointer of the operator's own (an index node); survives nothing: rebuild sets it again. */
void entry_set_tag(store_entry_t *e, void *tag);
void *entry_tag(const store_entry_t *e);
void store_forget_tags(store_t *s); /* their owners are gone */

/* All entries of a space in key order (memcmp, shorter first): a sorted snapshot in *out, mem_alloc'd. Returns the count. */
size_t space_sorted(space_t *sp, store_entry_t ***out);
/* Unsorted walk; the space must not change meanwhile. */
store_entry_t *space_next(space_t *sp, store_entry_t *after);

/* Dirty entries since the last commit: fn gets the final value (value.s == NULL: deleted). Sorted by (space, key). */
typedef int (*store_dirty_fn)(void *ctx, const char *space, slice_t key, slice_t value);
int store_dirty(store_t *s, store_dirty_fn fn, void *ctx);
size_t store_dirty_count(const store_t *s);
void store_commit(store_t *s); /* forgets preimages */
void store_abort(store_t *s);  /* back to the last commit; operators must rebuild */
/* Restore path: sets an entry without making it dirty; value.s == NULL removes. */
void store_restore(store_t *s, const char *space, slice_t key, slice_t value);

size_t store_bytes(const store_t *s);
size_t store_count(const store_t *s);
int store_full(const store_t *s); /* max_bytes reached: new keys are to be refused and counted */
#endif
