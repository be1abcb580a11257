/* headers_kafka: a record's headers, as the JSON object that rules see, and as they are. What is made lives in the given
 * arena. Any thread. */
#ifndef ANANAS_HEADERS_KAFKA_H
#define ANANAS_HEADERS_KAFKA_H
#include "arena.h"
#include "sink.h"

struct rd_kafka_message_s;

/* {"name":"value",...} in the order of the record; s == NULL: it has none. */
slice_t headers_kafka_json(const struct rd_kafka_message_s *m, arena_t *a);
/* record_t.own of source_kafka.c: its headers, with room for `more` behind them. Names and values live as the record does. */
uint32_t headers_kafka_list(const void *own, arena_t *a, uint32_t more, header_t **out);
#endif
