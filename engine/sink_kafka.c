#include "sink_kafka.h"

#include <stdio.h>

#include "map.h"
#include "mem.h"

typedef struct sink_kafka sink_kafka_t;

typedef struct lot { /* opaque of its records */
    sink_kafka_t *sink;
    uint64_t open; /* not acknowledged */
} lot_t;

enum { LOT_PUTS = 2, LOTS };

struct sink_kafka {
    sink_t base;
    rd_kafka_t *rk;
    kafka_context_t *ctx;
    map_t topics; /* name -> rd_kafka_topic_t */
    int64_t max_bytes;
    uint64_t dropped;
    error_t failure; /* first delivery that failed since it was asked for */
    lot_t lots[LOTS];
    int lot;            /* of records that are written now: 0 or 1 */
    int keep;           /* puts are kept back */
    int64_t put_offset; /* of the last one acknowledged */
    buf_t kept;
    buf_t repartition; /* name of the topic that frames go to */
};

#define SINK_FLUSH_S 30
#define ASK_MS 2000
#define SINK_ENVELOPE_BYTES 512 /* what a record costs beside key and value */

/* Trying again would end the same way: somebody has to change the topic, its rights or the rule. */
int sink_kafka_for_good(rd_kafka_resp_err_t err) {
    return err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED || err == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
           err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

const char *sink_kafka_advice(rd_kafka_resp_err_t err) {
    switch (err) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return ". Raise max.message.bytes of the topic, or set message.max.bytes in kafka{} to at most that";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return ". Allow this client to write to it";
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return ". Allow this client to write and describe transactional ids that begin with its group.id";
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED: return ". Allow this client to read the group";
    case RD_KAFKA_RESP_ERR_INVALID_RECORD: return ". Is it compacted, and the rule has no key?";
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return ". It was deleted: start again to have it made, or make it by hand";
    default: return "";
    }
}

int sink_kafka_fatal(rd_kafka_resp_err_t err) {
    return err == RD_KAFKA_RESP_ERR__FENCED || err == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
                   err == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH
               ? ERR_FENCED
               : ERR_KAFKA;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    (void)rk;
    (void)opaque;
    lot_t *lot = m->_private;
    sink_kafka_t *s = lot->sink;
    lot->open--;
    if (!m->err && lot == &s->lots[LOT_PUTS])
        s->put_offset = m->offset;
    if (!m->err || s->failure.code || m->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        m->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        return;
    error_set(&s->failure, sink_kafka_for_good(m->err) ? ERR_INVALID : ERR_KAFKA,
              "topic \"%s\" did not take a record: %s%s", m->rkt ? rd_kafka_topic_name(m->rkt) : "?",
              rd_kafka_err2str(m->err), sink_kafka_advice(m->err));
}

static rd_kafka_topic_t *topic_of(sink_kafka_t *s, slice_t name, error_t *e) {
    rd_kafka_topic_t *t = map_get(&s->topics, name.s, name.len);
    if (t)
        return t;
    char *text = mem_strndup(name.s, name.len);
    t = rd_kafka_topic_new(s->rk, text, NULL);
    if (t)
        map_put(&s->topics, rd_kafka_topic_name(t), name.len, t);
    else
        error_set(e, ERR_KAFKA, "topic \"%s\": %s", text, rd_kafka_err2str(rd_kafka_last_error()));
    mem_free(text);
    return t;
}

static rd_kafka_headers_t *headers_new(const out_record_t *r, uint32_t first, int cut) {
    rd_kafka_headers_t *h = rd_kafka_headers_new(r->n_headers + 1);
    for (uint32_t i = first; i < r->n_headers; i++)
        rd_kafka_header_add(h, r->headers[i].name, -1, r->headers[i].value.s, (ssize_t)r->headers[i].value.len);
    if (cut)
        rd_kafka_header_add(h, "ananas-cut", -1, "true", 4);
    return h;
}

static int64_t own_headers_bytes(const out_record_t *r) {
    size_t n = 0;
    for (uint32_t i = 0; i < r->n_own; i++)
        n += strlen(r->headers[i].name) + r->headers[i].value.len + 10; /* two lengths */
    return (int64_t)n;
}

/* Produces until the queue has room. Takes the headers. */
static int produce(lot_t *lot, rd_kafka_topic_t *t, int32_t partition, slice_t key, slice_t value, int64_t time,
                   rd_kafka_headers_t *headers, error_t *e) {
    sink_kafka_t *s = lot->sink;
    for (;;) {
        rd_kafka_vu_t vu[8];
        size_t n = 0;
        vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = t};
        vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition};
        vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY};
        vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)key.s, key.len}};
        vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value.s, value.len}};
        vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = lot};
        if (time >= 0)
            vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = time};
        if (headers)
            vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers};
        rd_kafka_error_t *err = rd_kafka_produceva(s->rk, vu, n);
        if (!err) {
            lot->open++;
            return 0;
        }
        rd_kafka_resp_err_t code = rd_kafka_error_code(err);
        rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(s->rk, NULL, 0);
        int aborted = code == RD_KAFKA_RESP_ERR__STATE;
        int rc = error_set(e,
                           fatal                       ? sink_kafka_fatal(fatal)
                           : aborted                   ? ERR_ABORTED
                           : sink_kafka_for_good(code) ? ERR_INVALID
                                                       : ERR_KAFKA,
                           "cannot write to topic \"%s\": %s%s", rd_kafka_topic_name(t), rd_kafka_error_string(err),
                           sink_kafka_advice(code));
        rd_kafka_error_destroy(err);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            if (headers)
                rd_kafka_headers_destroy(headers);
            return rc;
        }
        rd_kafka_poll(s->rk, 10);
    }
}

/* What cannot be sent must not be lost in silence: rows of another task's are in it. */
static int write_frame(sink_kafka_t *s, const out_record_t *r, error_t *e) {
    rd_kafka_topic_t *t = topic_of(s, buf_slice(&s->repartition), e);
    if (!t)
        return ERR_KAFKA;
    if ((int64_t)(r->key.len + r->value.len + SINK_ENVELOPE_BYTES) > s->max_bytes)
        return error_set(e, ERR_INVALID,
                         "%zu bytes between tasks (rows, or the text of all rules) are more than message.max.bytes "
                         "(%lld): raise it in kafka{}",
                         r->value.len, (long long)s->max_bytes);
    return produce(&s->lots[s->lot], t, r->partition, r->key, r->value, -1, NULL, e);
}

static int write_one(sink_kafka_t *s, const out_record_t *r, error_t *e) {
    if (r->kind == OUT_FRAME)
        return write_frame(s, r, e);
    rd_kafka_topic_t *t = topic_of(s, slice_of(r->topic), e);
    if (!t)
        return ERR_KAFKA;
    slice_t key = r->key, value = r->value;
    int64_t own = own_headers_bytes(r);
    int cut = (int64_t)(key.len + value.len + SINK_ENVELOPE_BYTES) + own > s->max_bytes;
    if (cut && r->kind != OUT_DEAD_LETTER) {
        if (s->dropped++ == 0)
            log_say(s->ctx->log, LOG_ERROR, "kafka",
                    "an anomaly of %zu bytes for topic \"%s\" is larger than message.max.bytes (%lld) and was dropped; "
                    "raise it here "
                    "and on the topic",
                    value.len, r->topic, (long long)s->max_bytes);
        return 0;
    }
    if (cut && (int64_t)key.len + SINK_ENVELOPE_BYTES > s->max_bytes / 2)
        key.len = (size_t)(s->max_bytes / 4);
    uint32_t first = cut && own > s->max_bytes / 4 ? r->n_own : 0;
    int64_t room = s->max_bytes - SINK_ENVELOPE_BYTES - (first ? 0 : own) - (int64_t)key.len;
    if (cut && (int64_t)value.len > room)
        value.len = (size_t)room;
    return produce(&s->lots[s->lot], t, RD_KAFKA_PARTITION_UA, key, value, r->time, headers_new(r, first, cut), e);
}

static int kafka_write(sink_t *base, const out_record_t *records, size_t n, error_t *e) {
    sink_kafka_t *s = (sink_kafka_t *)base;
    for (size_t i = 0; i < n; i++) {
        int rc = write_one(s, &records[i], e);
        if (rc)
            return rc;
        if ((i & 1023) == 1023)
            rd_kafka_poll(s->rk, 0);
    }
    rd_kafka_poll(s->rk, 0);
    return 0;
}

int sink_kafka_put(sink_t *base, const char *topic, int32_t partition, slice_t key, slice_t value, error_t *e) {
    sink_kafka_t *s = (sink_kafka_t *)base;
    if (s->keep) {
        buf_add_bytes(&s->kept, topic, strlen(topic));
        buf_add_u32(&s->kept, (uint32_t)partition);
        buf_add_bytes(&s->kept, key.s, key.len);
        buf_add_char(&s->kept, value.s != NULL);
        buf_add_bytes(&s->kept, value.s, value.len);
        return 0;
    }
    rd_kafka_topic_t *t = topic_of(s, slice_of(topic), e);
    return t ? produce(&s->lots[LOT_PUTS], t, partition, key, value, -1, NULL, e) : ERR_KAFKA;
}

void sink_kafka_keep(sink_t *base) { ((sink_kafka_t *)base)->keep = 1; }

int sink_kafka_let_go(sink_t *base, error_t *e) {
    sink_kafka_t *s = (sink_kafka_t *)base;
    reader_t r = reader_of(s->kept.s, s->kept.len);
    int rc = 0;
    s->keep = 0;
    while (rc == 0 && r.pos < r.len) {
        slice_t name = read_bytes(&r);
        int32_t partition = (int32_t)read_u32(&r);
        slice_t key = read_bytes(&r);
        int present = read_u8(&r);
        slice_t value = read_bytes(&r);
        rd_kafka_topic_t *t = topic_of(s, name, e);
        rc = t ? produce(&s->lots[LOT_PUTS], t, partition, key, present ? value : (slice_t){NULL, 0}, -1, NULL, e)
               : ERR_KAFKA;
    }
    buf_clear(&s->kept);
    return rc;
}

void sink_kafka_part(sink_t *base) {
    sink_kafka_t *s = (sink_kafka_t *)base;
    s->lot = !s->lot;
}

uint64_t sink_kafka_open_before(const sink_t *base) {
    const sink_kafka_t *s = (const sink_kafka_t *)base;
    return s->lots[!s->lot].open;
}

uint64_t sink_kafka_open_puts(const sink_t *base) { return ((const sink_kafka_t *)base)->lots[LOT_PUTS].open; }

static int kafka_flush(sink_t *base, error_t *e) {
    sink_kafka_t *s = (sink_kafka_t *)base;
    int64_t seconds = 0;
    while (rd_kafka_flush(s->rk, 1000) == RD_KAFKA_RESP_ERR__TIMED_OUT && !s->failure.code)
        if (++seconds >= SINK_FLUSH_S)
            return error_set(e, ERR_KAFKA, "the brokers took no records for %d s", SINK_FLUSH_S);
    return sink_kafka_failure(base, e);
}

int sink_kafka_failure(sink_t *base, error_t *e) {
    sink_kafka_t *s = (sink_kafka_t *)base;
    int code = s->failure.code;
    if (code && e)
        *e = s->failure;
    s->failure.code = 0;
    return code;
}

static int is_there(const rd_kafka_metadata_t *m, const char *name) {
    for (int i = 0; i < m->topic_cnt; i++)
        if (strcmp(m->topics[i].topic, name) == 0)
            return 1;
    return 0;
}

/* The topics that were written to and are gone. All are asked for: asking for one may make it. */
static void name_missing(const sink_kafka_t *s, char out[COMPLAINT_SIZE]) {
    const rd_kafka_metadata_t *m;
    size_t len = 0;
    out[0] = 0;
    if (rd_kafka_metadata(s->rk, 1, NULL, &m, ASK_MS))
        return;
    for (map_slot_t *slot = map_next(&s->topics, NULL); slot; slot = map_next(&s->topics, slot)) {
        const char *name = rd_kafka_topic_name(slot->value);
        if (!is_there(m, name) && len < COMPLAINT_SIZE)
            len += (size_t)snprintf(out + len, COMPLAINT_SIZE - len, "%stopic \"%s\"", len ? ", " : "", name);
    }
    rd_kafka_metadata_destroy(m);
}

/* In the state that only an abort ends, any transactional call gives the reason and does nothing. */
int sink_kafka_refusal(sink_t *base, error_t *e) {
    sink_kafka_t *s = (sink_kafka_t *)base;
    char what[COMPLAINT_SIZE];
    rd_kafka_error_t *err = rd_kafka_begin_transaction(s->rk);
    rd_kafka_resp_err_t code = rd_kafka_error_code(err);
    int refused = err && sink_kafka_for_good(code);
    complaint_refused(&s->ctx->complaints, what);
    if (refused && !*what && code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        name_missing(s, what); /* what names it comes beside the call that fails, perhaps after it */
    if (refused)
        error_set(e, ERR_INVALID, "a transaction was refused: %s%s%s%s", what, *what ? ": " : "",
                  rd_kafka_error_string(err), sink_kafka_advice(code));
    if (err)
        rd_kafka_error_destroy(err);
    return refused ? ERR_INVALID : 0;
}

static void kafka_close(sink_t *base) {
    sink_kafka_t *s = (sink_kafka_t *)base;
    for (map_slot_t *slot = map_next(&s->topics, NULL); slot; slot = map_next(&s->topics, slot))
        rd_kafka_topic_destroy(slot->value);
    map_fini(&s->topics);
    buf_fini(&s->kept);
    buf_fini(&s->repartition);
    if (s->rk) {
        rd_kafka_purge(s->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(s->rk, 100);
        conf_kafka_end(s->rk, s->ctx->log);
    }
    mem_free(s);
}

int sink_kafka_open(sink_t **out, const config_t *c, kafka_context_t *ctx, const char *transactional_id, error_t *e) {
    sink_kafka_t *s = mem_zalloc(sizeof *s);
    rd_kafka_conf_t *conf;
    s->base = (sink_t){kafka_write, kafka_flush, kafka_close};
    s->ctx = ctx;
    s->put_offset = -1;
    for (int i = 0; i < LOTS; i++)
        s->lots[i].sink = s;
    buf_printf(&s->repartition, "%s-repartition", c->group_id);
    s->max_bytes = conf_kafka_int(c, "message.max.bytes", 1000000);
    int rc = conf_kafka(c, KAFKA_PRODUCER, transactional_id, ctx, &conf, e);
    if (rc == 0) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rc = conf_kafka_new(RD_KAFKA_PRODUCER, conf, &s->rk, e);
    }
    if (rc) {
        buf_fini(&s->repartition);
        mem_free(s);
        return rc;
    }
    *out = &s->base;
    return 0;
}

rd_kafka_t *sink_kafka_client(sink_t *s) { return ((sink_kafka_t *)s)->rk; }
int64_t sink_kafka_put_offset(const sink_t *s) { return ((const sink_kafka_t *)s)->put_offset; }
uint64_t sink_kafka_dropped(const sink_t *s) { return ((const sink_kafka_t *)s)->dropped; }
