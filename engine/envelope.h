/* envelope: one line of recorded input: what `kcat -C -J` prints, or a control line.
 *
 * A line is a JSON object with topic, partition, offset, ts, key, payload and headers; key and payload are strings, or
 * objects written by hand. Control lines: {"topic","partitions":N}, {"topic","partition","idle":true}, {"watermark":MS},
 * {"rules":PATH}, {"mark":N} (comes back in the output where it stood). Pure; strings that need unescaping go to the given arena. One thread. */
#ifndef ANANAS_ENVELOPE_H
#define ANANAS_ENVELOPE_H
#include "arena.h"
#include "buf.h"
#include "clock.h"

typedef enum {
    LINE_RECORD,
    LINE_PARTITIONS,
    LINE_IDLE,
    LINE_WATERMARK,
    LINE_RULES,
    LINE_MARK,
    LINE_EMPTY,
    LINE_BAD
} line_kind_t;

typedef struct envelope {
    line_kind_t kind;
    const char *reason; /* LINE_BAD */
    slice_t topic;
    int64_t partition, partitions, offset, ts; /* offset and ts: -1 when absent */
    slice_t key, payload;                      /* s == NULL: null or absent */
    slice_t headers;                           /* JSON object text; s == NULL: none */
    etime_t watermark;
    slice_t rules;
    int64_t mark;
} envelope_t;

void envelope_parse(slice_t line, arena_t *a, envelope_t *out);
/* The line of an output record: {"topic":..,"ts":..,"key":..,"headers":[..],"payload":..}\n */
struct out_record;
void envelope_write(buf_t *b, const struct out_record *r);
#endif
