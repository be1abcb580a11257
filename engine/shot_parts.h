/* shot_parts: the body of a shot, shared by its two files.
 *
 * shot.c takes one, shot_merge.c makes one picture of several. Nobody else includes this. Threads as in shot.h. */
#ifndef ANANAS_SHOT_PARTS_H
#define ANANAS_SHOT_PARTS_H
#include <string.h>

#include "shot.h"

typedef struct part_track { /* of one input partition */
    char *topic;
    int32_t partition;
    etime_t max_time;
    wall_t moved;
} part_track_t;

typedef struct rule_track {
    char *name;
    uint64_t emitted; /* when last looked at */
    uint32_t history[SNAPSHOT_HISTORY];
} rule_track_t;

struct shot {
    int32_t task;
    const config_t *config;
    log_t *log;
    int taken;
    arena_t arena; /* what was seen last */
    wall_t at;
    const char *version;
    snapshot_source_t *sources;
    snapshot_rule_t *rules;
    uint32_t n_sources, n_rules;
    uint64_t state_bytes, state_entries, script_bytes;
    /* from one look to the next */
    int64_t slot; /* of the history, wall ms / SNAPSHOT_HISTORY_MS */
    part_track_t *parts;
    size_t n_parts, cap_parts;
    rule_track_t *tracks;
    size_t n_tracks, cap_tracks;
    reading_t *readings;
    uint32_t n_readings;
    size_t cap_readings;
};

/* A copy that lives as long as the arena; of nothing, nothing. */
static inline const char *shot_keep(arena_t *a, const char *text) {
    return text ? arena_dup(a, text, strlen(text) + 1) : NULL;
}
#endif
