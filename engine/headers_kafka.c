#include "headers_kafka.h"

#include <librdkafka/rdkafka.h>

#include "json.h"

slice_t headers_kafka_json(const rd_kafka_message_t *m, arena_t *a) {
    rd_kafka_headers_t *h;
    if (rd_kafka_message_headers(m, &h))
        return (slice_t){NULL, 0};
    buf_t text = {0};
    const char *name;
    const void *value;
    size_t len;
    for (size_t i = 0; rd_kafka_header_get_all(h, i, &name, &value, &len) == 0; i++) {
        buf_add_char(&text, i ? ',' : '{');
        json_write_string(&text, name, strlen(name));
        buf_add_char(&text, ':');
        if (value)
            json_write_string(&text, value, len);
        else
            buf_add_str(&text, "null");
    }
    if (text.len == 0)
        buf_add_char(&text, '{');
    buf_add_char(&text, '}');
    slice_t out = {arena_dup(a, text.s, text.len), text.len};
    buf_fini(&text);
    return out;
}

uint32_t headers_kafka_list(const void *own, arena_t *a, uint32_t more, header_t **out) {
    rd_kafka_headers_t *h;
    uint32_t n = rd_kafka_message_headers(own, &h) ? 0 : (uint32_t)rd_kafka_header_cnt(h);
    header_t *list = *out = arena_array(a, header_t, n + more);
    for (uint32_t i = 0; i < n; i++) {
        const void *value;
        rd_kafka_header_get_all(h, i, &list[i].name, &value, &list[i].value.len);
        list[i].value.s = value;
    }
    return n;
}
