/* shot: what one task is at a moment, copied, so that others may look at it; and several of them as one picture.
 *
 * A shot keeps from one look to the next what only the course of events tells: when a partition's event time last rose,
 * counts over time. It is taken between two steps on the task's thread and merged on any; whoever owns shots lets only
 * one of these calls in at a time. What a merge writes is copied into the snapshot's arena. */
#ifndef ANANAS_SHOT_H
#define ANANAS_SHOT_H
#include "observer.h"
#include "snapshot.h"

typedef struct shot shot_t;

shot_t *shot_new(int32_t task, const config_t *config, log_t *log);
void shot_free(shot_t *s);
int32_t shot_task(const shot_t *s);
void shot_take(shot_t *s, const task_t *t, wall_t now);
void shot_readings(shot_t *s, const reading_t *at, uint32_t n);
/* Nothing is known of the task any more, but for what is counted over time. */
void shot_forget(shot_t *s);
int shot_taken(const shot_t *s);
const char *shot_version(const shot_t *s);
/* The tasks that were taken, as one: sums, and of event times the least. n_sources, sources, rules and what is counted in
 * bytes are set in *out. */
void shots_merge(shot_t *const *shots, size_t n, snapshot_t *out);
#endif
