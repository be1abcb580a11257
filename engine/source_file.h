/* source_file: recorded records from a file or standard input, no broker.
 *
 * Every partition that occurs in a file takes part from the start (the file is read once for that); on a pipe a
 * partition takes part from its first record or as declared. A source of bare lines stands for partition 0 of the
 * source's first topic; its records carry `now` as their timestamp. One thread. */
#ifndef ANANAS_SOURCE_FILE_H
#define ANANAS_SOURCE_FILE_H
#include "source.h"

typedef struct source_file_options {
    const char *path;          /* "-": standard input */
    const char *const *topics; /* of the task: sorted, NULL-terminated */
    int32_t raw_topic;         /* bare lines of this topic; -1: envelopes */
    int64_t now;               /* epoch ms */
} source_file_options_t;

int source_file_open(source_t **out, const source_file_options_t *o, error_t *e);
uint64_t source_file_unclaimed(const source_t *s); /* records of topics that no source reads */
#endif
