/* rollout: a reload that goes round all tasks, so that all of them switch at one cut of the stream.
 *
 * The leader proposes a rule set to every task. A task that has read the proposal stops reading its sources and says so
 * to all ("drained"), with a commit; when it has heard that from all, everything they had sent before has arrived. What
 * arrived may have sent something on to a third task: so there are as many rounds as exchanges follow one another. Then
 * each says where its open windows end, and when a task has heard all of that it switches, with bounds that are the same
 * everywhere. By the order in which each task's records come, nothing of the new rules can arrive before that, and
 * nothing may be read between the last word of the ends and the switch.
 *
 * A proposal that was committed goes through, whoever leads by then: some tasks may have switched. Proposals are taken in
 * the order in which the leaders' task sent them, one after the other, so that every task takes part in the same ones.
 *
 * Pure: takes control frames, says what to do next; what it knows is part of the task's meta record, so that a task which
 * starts again goes on where it was. Frames that come twice (at least once) change nothing. The task's thread. */
#ifndef ANANAS_ROLLOUT_H
#define ANANAS_ROLLOUT_H
#include "frame.h"

typedef struct rollout rollout_t;
typedef enum {
    ROLLOUT_NOTHING, /* no rollout, or others are waited for */
    ROLLOUT_SAY,     /* commit, with what rollout_say writes sent to every task */
    ROLLOUT_SWITCH   /* everything is committed: run the new rules, with these bounds, then rollout_done */
} rollout_due_t;

rollout_t *rollout_new(uint32_t number, uint32_t parallelism);
void rollout_free(rollout_t *r);

/* running: the version of the rules that run; rounds: task_rounds of them. */
void rollout_take(rollout_t *r, const frame_control_t *c, const char *running, uint32_t rounds);
int rollout_active(const rollout_t *r); /* 1: no source is read */
rollout_due_t rollout_due(const rollout_t *r);
/* 1: others may run the new rules already: nothing of the old ones is to be sent any more. */
int rollout_said_all(const rollout_t *r);
/* Writes what is to be said, and counts it as said. ends: the greatest ends of this task's open windows. */
void rollout_say(rollout_t *r, const frame_bound_t *ends, uint32_t n, buf_t *out);
int rollout_says_ends(const rollout_t *r); /* 1: the next rollout_say needs ends */
slice_t rollout_texts(const rollout_t *r);
slice_t rollout_version(const rollout_t *r);
const frame_bound_t *rollout_bounds(const rollout_t *r, uint32_t *n);
/* Switched. The first proposal of other rules that came in between begins now. */
void rollout_done(rollout_t *r, const char *running, uint32_t rounds);
/* A proposal as every task is to read it. */
void rollout_propose(const rollout_t *r, slice_t version, slice_t texts, buf_t *out);

void rollout_save(const rollout_t *r, buf_t *b); /* nothing where nothing is going on */
int rollout_load(rollout_t *r, slice_t bytes);   /* 0 or ERR_INVALID */
#endif
