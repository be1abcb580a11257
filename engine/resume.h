/* resume: where reading a partition goes on after a start.
 *
 * Decides from what the broker, the group and the changelog say; never starts over in silence. Pure: no I/O, so every
 * case is a row in its spec. Any thread. */
#ifndef ANANAS_RESUME_H
#define ANANAS_RESUME_H
#include "config.h"

#define RESUME_NONE (-1)

typedef struct resume_facts {
    const char *topic;
    int32_t partition;
    int64_t low, high; /* offsets that exist: [low, high) */
    int64_t committed; /* by the group; RESUME_NONE */
    int64_t state;     /* next offset according to the changelog's meta record; RESUME_NONE */
    int has_state;     /* the changelog has a meta record at all */
    start_kind_t start;
    delivery_t delivery;
    const char *changelog; /* topic name, for messages */
    const char *group;
} resume_facts_t;

/* 0 and the offset, or ERR_INVALID with what happened and what to do. *note: a sentence worth logging, or NULL. */
int resume_offset(const resume_facts_t *f, int64_t *offset, const char **note, error_t *e);
#endif
