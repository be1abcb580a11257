/* changelog_reader: a task's state read back from its partition of the changelog, and kept up to date.
 *
 * Owns the client that reads, the store that it fills and what it found beside the entries, until they are taken. A
 * standby polls it while another process owns the task; who takes over reads on to the barrier of its own transaction, so
 * that only the tail is left. What was read for longer than the broker keeps tombstones is thrown away and read again.
 * One thread. */
#ifndef ANANAS_CHANGELOG_READER_H
#define ANANAS_CHANGELOG_READER_H
#include "changelog.h"

typedef struct changelog_reader changelog_reader_t;

typedef struct changelog_from { /* where to go on, instead of from the beginning */
    store_t *store;             /* taken over */
    changelog_found_t found;    /* likewise */
    int64_t offset;             /* everything before is in the store */
} changelog_from_t;

/* from: NULL, or taken over also where this fails. */
int changelog_reader_open(changelog_reader_t **out, const config_t *c, kafka_context_t *ctx, int32_t task,
                          changelog_from_t *from, error_t *e);
void changelog_reader_close(changelog_reader_t *r);
/* Takes what has come, waiting at most that long for the first of it. */
int changelog_reader_poll(changelog_reader_t *r, int wait_ms, error_t *e);
/* Reads on until the barrier with this mark: the state is that of the last commit before it. */
int changelog_reader_finish(changelog_reader_t *r, slice_t mark, error_t *e);
/* What was read; the caller's from now on. */
store_t *changelog_reader_take(changelog_reader_t *r, changelog_found_t *found);
/* Of the rules that the task ran at the last commit read; empty: not known. */
slice_t changelog_reader_version(const changelog_reader_t *r);
uint64_t changelog_reader_records(const changelog_reader_t *r); /* read by this reader */
#endif
