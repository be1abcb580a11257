/* changelog: state as records of one compacted topic.
 *
 * Partition i holds the state of task i: one record per live entry (key: space and entry key), one meta record (offsets,
 * watermarks, versions), the texts of the rules that open state belongs to, and barriers. Final values only, a tombstone
 * when an entry is gone, so compaction is the snapshot. This file knows the format; changelog_reader.h reads it back, checkpoint.h
 * says when it is written. One thread. */
#ifndef ANANAS_CHANGELOG_H
#define ANANAS_CHANGELOG_H
#include "conf_kafka.h"
#include "sink.h"
#include "store.h"

typedef struct changelog_position {
    char *topic;
    int32_t partition;
    int64_t offset;
} changelog_position_t;

typedef struct changelog_meta {
    int present;
    uint32_t format;
    changelog_position_t *at; /* next offset per input partition */
    uint32_t n;
    buf_t task;       /* task_save_meta */
    buf_t version;    /* of the rule set */
    buf_t rollout;    /* rollout_save; empty where nothing goes round */
    uint64_t entries; /* live ones at that commit */
} changelog_meta_t;

typedef struct changelog_texts {
    char *version;
    buf_t bytes;
} changelog_texts_t;

typedef struct changelog_found { /* what a restore read beside the entries */
    changelog_meta_t meta;
    changelog_texts_t *texts; /* of the rule sets that state belongs to */
    size_t n_texts, cap_texts;
    uint64_t entries; /* records read */
} changelog_found_t;

char *changelog_topic(const config_t *c); /* "<group.id>-changelog" */
int changelog_put_entry(sink_t *s, const char *topic, int32_t task, const char *space, slice_t key, slice_t value,
                        error_t *e);
int changelog_put_meta(sink_t *s, const char *topic, int32_t task, const changelog_meta_t *m, error_t *e);
/* texts.s == NULL: nothing belongs to that version any more. */
int changelog_put_texts(sink_t *s, const char *topic, int32_t task, const char *version, slice_t texts, error_t *e);
int changelog_put_barrier(sink_t *s, const char *topic, int32_t task, slice_t mark, error_t *e);
/* Takes one record into the store and *out. 1: it is the barrier with this mark (mark.s == NULL: none is looked for). */
int changelog_take(const rd_kafka_message_t *m, slice_t mark, store_t *store, changelog_found_t *out, error_t *e);
void changelog_found_fini(changelog_found_t *f);
#endif
