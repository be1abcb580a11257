/* profile: where the processor's time of a run goes, by stage and rule.
 *
 * A stop-watch that is handed from stage to stage: each lap charges the thread's time since the last one to a stage, and
 * to a rule where the stage is one's. It owns its table of laps and borrows nothing. Whoever drives a task makes and frees
 * it; where the pointer is NULL nothing is measured. One thread, the one that runs the task. */
#ifndef ANANAS_PROFILE_H
#define ANANAS_PROFILE_H
#include "buf.h"

typedef struct profile profile_t;

typedef enum {
    PROFILE_START, /* before the first record */
    PROFILE_INPUT, /* reading, lines, envelopes */
    PROFILE_DECODE,
    PROFILE_WATERMARK, /* and what is counted and refused before */
    PROFILE_WHERE,     /* of a rule: its input, unnest and where */
    PROFILE_OPERATOR,  /* of a rule: group, match or process */
    PROFILE_SELECT,    /* of a rule: select, cooldown, what is handed to the sink */
    PROFILE_WRITE,     /* the sink */
    PROFILE_COMMIT,
    PROFILE_STAGES
} profile_stage_t;

profile_t *profile_new(void);
void profile_free(profile_t *p);
/* The time since the last lap (the first: since profile_new) was spent in that stage. rule: NULL, or a name, copied. */
void profile_take(profile_t *p, profile_stage_t stage, const char *rule);
static inline void profile_lap(profile_t *p, profile_stage_t stage, const char *rule) {
    if (p)
        profile_take(p, stage, rule);
}
/* Time that another thread spent; NULL likewise. */
void profile_add(profile_t *p, profile_stage_t stage, int64_t ns);
/* A table: nanoseconds per record and the share of the whole, stages in the order of a record's way. */
void profile_write(const profile_t *p, uint64_t records, buf_t *b);
#endif
