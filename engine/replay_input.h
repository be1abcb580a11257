/* replay_input: the options that say what a replay reads, for every command that replays. One thread. */
#ifndef ANANAS_REPLAY_INPUT_H
#define ANANAS_REPLAY_INPUT_H
#include "options.h"
#include "replay.h"

/* Whether the options make sense by themselves, which wants neither configuration nor input: a fault is wrong usage. */
int replay_input_check(const options_t *o, error_t *e);
/* --now, or the machine's clock. */
int replay_input_now(const options_t *o, wall_t *out, error_t *e);
/* Opens the source that --input, --raw or --from-topic, --since and --until ask for. path: in place of --input when it
 * is not NULL. r->task, r->config and r->now are set. */
int replay_input_open(const options_t *o, const char *path, replay_t *r, error_t *e);
#endif
