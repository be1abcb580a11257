/* parallel: what a task that is one of several has besides: rules that go round, frames before a commit, their purge.
 *
 * active_kafka.c calls these at fixed places of a turn; where there is one task they do nothing. Which rules run is
 * agreed on through the repartition topic (rollout.h): the first task, the leader, proposes those of its process; a task
 * without state waits for a proposal before it reads anything. What is said about that is part of the transaction that
 * makes it true; without transactions it is sent when that has become definite, and once more after a start again. The
 * thread of the task. */
#ifndef ANANAS_PARALLEL_H
#define ANANAS_PARALLEL_H
#include "active_kafka.h"

typedef struct parallel parallel_t;

parallel_t *parallel_new(int32_t task, int32_t parallelism);
void parallel_stop(parallel_t *p); /* before the source that it borrows is closed */
void parallel_free(parallel_t *p);
/* Goes on where the state is; without state the leader begins with the rules of its process, the others wait. Takes the
 * store over. */
int parallel_begin(active_t *a, store_t *store, changelog_found_t *found, const position_t *at, uint32_t n, error_t *e);
/* One turn of waiting for the first proposal. */
int parallel_await(active_t *a, error_t *e);

int parallel_turn(active_t *a, error_t *e);  /* before a poll */
int parallel_is_control(active_t *a, int n); /* 1: the last of n events is a control frame */
int parallel_control(active_t *a, const record_t *r, error_t *e);
int parallel_rows(active_t *a, error_t *e);     /* data frames came, and are worked on */
int parallel_urgent(const active_t *a);         /* 1: a commit is due now */
int parallel_send(active_t *a, error_t *e);     /* before a commit: frames, and what is to be said */
int parallel_definite(active_t *a, error_t *e); /* a commit without transactions has ended */
/* After a commit, and before anything is read: to new rules, when that is due. */
int parallel_switch(active_t *a, error_t *e);
void parallel_remember(parallel_t *p); /* committed */
void parallel_forget(parallel_t *p);   /* rolled back */
#endif
