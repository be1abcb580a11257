/* checkpoint: output, state and input position take effect together.
 *
 * Exactly once: one transaction holds the anomalies, late and dead-letter records of an interval, the entries of state
 * that it changed, the meta record and the consumed offsets (fenced by the group's generation, KIP-447). At least once:
 * the same writes in an order that loses nothing: output, then state, then offsets, each when the one before has been
 * acknowledged; what they are is taken down at once, and the stream goes on meanwhile. Owns the producer. Whatever is
 * indefinite is not repaired here: the caller throws the checkpoint away, opens a new one and restores. One thread. */
#ifndef ANANAS_CHECKPOINT_H
#define ANANAS_CHECKPOINT_H
#include "changelog_reader.h"
#include "member_kafka.h"
#include "source_kafka.h"
#include "task.h"

typedef struct checkpoint checkpoint_t;

/* member NULL: there is no group (the demo's embedded broker); offsets are then not committed. */
int checkpoint_open(checkpoint_t **out, const config_t *c, kafka_context_t *ctx, member_t *member, int32_t task,
                    error_t *e);
void checkpoint_close(checkpoint_t *cp); /* an open transaction is left to be aborted */
/* Fences whoever ran this task before, and reads its state to the end. committed: the group's offsets. The reader may have
 * read a part of it before; when what it has is not what was committed it reads all of it again. */
int checkpoint_restore(checkpoint_t *cp, const position_t *committed, uint32_t n, const char *const *topics,
                       changelog_reader_t **reader, store_t **store, changelog_found_t *found, error_t *e);
int checkpoint_write(checkpoint_t *cp, const outbox_t *o, error_t *e);
/* Names that positions refer to; what goes round among the tasks, as rollout_save has it. Both outlive the checkpoint. */
void checkpoint_topics(checkpoint_t *cp, const char *const *topics);
void checkpoint_rollout(checkpoint_t *cp, const buf_t *rollout);
/* Everything written, the task's changes and these positions become definite: exactly once, by the time this returns; at
 * least once, as checkpoint_turn goes on (what the last commit left to do is waited for). ERR_ABORTED: nothing of it did,
 * and the task must be rolled back; other errors: not known, throw away and restore. On 0 the task was committed. */
int checkpoint_commit(checkpoint_t *cp, task_t *task, const position_t *at, uint32_t n, error_t *e);
/* 1: a commit is under way. */
int checkpoint_busy(const checkpoint_t *cp);
/* Goes on with it, waiting at most wait_ms for an answer. 1: it has just become definite; 0: not yet, or nothing to do. */
int checkpoint_turn(checkpoint_t *cp, int wait_ms, error_t *e);
/* Until nothing is under way. */
int checkpoint_finish(checkpoint_t *cp, error_t *e);
/* What a reader of the changelog has found when it goes on at *offset with the task's state as of the last commit. 0: not
 * known, as without transactions, where another process may have written meanwhile without this one being fenced. */
int checkpoint_found(const checkpoint_t *cp, task_t *task, const position_t *at, uint32_t n, changelog_found_t *found,
                     int64_t *offset);
/* Versions of rule sets whose texts are in the changelog already, as a restore found them. */
void checkpoint_known_texts(checkpoint_t *cp, const changelog_found_t *found);
int checkpoint_abort(checkpoint_t *cp, error_t *e);
rd_kafka_t *checkpoint_client(const checkpoint_t *cp); /* that writes; for other requests as well */
int64_t checkpoint_last_ms(const checkpoint_t *cp);    /* how long the last commit took */

void texts_save(const rule_texts_t *t, buf_t *b);
int texts_load(reader_t *r, rule_texts_t *out); /* mem_alloc'd; texts_fini */
void texts_fini(rule_texts_t *t);
#endif
