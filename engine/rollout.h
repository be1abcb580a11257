/* rollout: a reload that goes round all tasks, so that all of them switch at one cut of the stream.
 *
 * The leader, the first task, numbers its proposals and tells them to all. A task that has read one stops reading its
 * sources and says so to all ("drained"), with a commit; when it has heard that from all, everything they had sent before
 * has arrived. What arrived may have sent something on to a third task: so there are as many rounds as exchanges follow
 * one another. Then each says where its open windows end, and when a task has heard all of that it switches, with bounds
 * that are the same everywhere. When that is committed it says so ("switched"), and nothing of the new rules is sent
 * before that was heard from all: whoever starts again then does it with rules that understand what comes.
 *
 * What a task says it does not take back: it is part of the committed state before anybody hears it, or at once with it.
 * So a task that starts again goes on where it was, and says its last word once more where it may not have been heard. Of
 * words that come twice the second changes nothing. Words of one task arrive in order; those of several need not: who is
 * behind keeps what others say of the next proposal until it gets there.
 *
 * Pure: takes control frames, says what to do next. The task's thread. */
#ifndef ANANAS_ROLLOUT_H
#define ANANAS_ROLLOUT_H
#include "frame.h"

typedef struct rollout rollout_t;
typedef enum {
    ROLLOUT_NOTHING, /* no rollout, or others are waited for */
    ROLLOUT_SAY,     /* commit, with what rollout_say counts as said */
    ROLLOUT_SWITCH   /* everything is committed: run the new rules, with these bounds, then rollout_switched */
} rollout_due_t;

rollout_t *rollout_new(uint32_t number, uint32_t parallelism);
void rollout_free(rollout_t *r);

/* The leader: all are to run this set. rounds: task_rounds of the rules that run. Only where nothing goes round. */
void rollout_begin(rollout_t *r, slice_t version, slice_t texts, uint32_t rounds);
/* The leader, without state: the set that all begin with. Nothing goes round, but it has to be told. */
void rollout_found(rollout_t *r, slice_t version, slice_t texts);
/* Another task, without state: begins with what was proposed. */
void rollout_join(rollout_t *r, const frame_control_t *c);

/* rounds: task_rounds of the rules that run. */
void rollout_take(rollout_t *r, const frame_control_t *c, uint32_t rounds);
/* A data frame came. Behind everybody's ends only who has heard all say "switched" sends one: for whoever waits for the
 * rest of that it is as good as the rest. What it brings may then be passed on before it is committed as read. */
void rollout_take_rows(rollout_t *r, uint32_t rounds);
int rollout_active(const rollout_t *r);      /* 1: no source is read */
uint64_t rollout_serial(const rollout_t *r); /* of the proposal taken up last */
rollout_due_t rollout_due(const rollout_t *r);
/* 1: others may run the new rules already, or not yet: nothing is to be sent. */
int rollout_said_ends(const rollout_t *r);
int rollout_says_ends(const rollout_t *r); /* 1: the next rollout_say needs ends */

/* The leader: the proposal may not have been told yet. */
int rollout_untold(const rollout_t *r);
void rollout_proposal(const rollout_t *r, buf_t *out); /* as every other task is to read it */
void rollout_told(rollout_t *r);

/* Counts the next word as said, and writes it. ends: the greatest ends of this task's open windows. */
void rollout_say(rollout_t *r, const frame_bound_t *ends, uint32_t n, buf_t *out);
/* The last one once more: 1, or 0 where nothing was said. */
int rollout_repeat(const rollout_t *r, const frame_bound_t *ends, uint32_t n, buf_t *out);

slice_t rollout_texts(const rollout_t *r);
slice_t rollout_version(const rollout_t *r);
const frame_bound_t *rollout_bounds(const rollout_t *r, uint32_t *n);
void rollout_switched(rollout_t *r);

void rollout_save(const rollout_t *r, buf_t *b);
int rollout_load(rollout_t *r, slice_t bytes); /* 0 or ERR_INVALID */
#endif
