/* headers_kafka: a record's headers as the JSON object that rules see. The text lives in the given arena. Any thread. */
#ifndef ANANAS_HEADERS_KAFKA_H
#define ANANAS_HEADERS_KAFKA_H
#include <librdkafka/rdkafka.h>

#include "arena.h"
#include "buf.h"

/* {"name":"value",...} in the order of the record; s == NULL: it has none. */
slice_t headers_kafka_json(const rd_kafka_message_t *m, arena_t *a);
#endif
