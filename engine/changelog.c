#include "changelog.h"

#include <stdio.h>

#include "clock.h"
#include "mem.h"
#include "sink_kafka.h"

/* First byte of a record's key. */
enum { KIND_ENTRY = 'e', KIND_META = 'm', KIND_TEXTS = 't', KIND_BARRIER = 'b' };

char *changelog_topic(const config_t *c) { return mem_printf("%s-changelog", c->group_id); }

int changelog_put_entry(sink_t *s, const char *topic, int32_t task, const char *space, slice_t key, slice_t value,
                        error_t *e) {
    buf_t k = {0};
    buf_add_char(&k, KIND_ENTRY);
    buf_add_bytes(&k, space, strlen(space));
    buf_add_slice(&k, key);
    if (value.s && value.len == 0) /* an empty value is not a tombstone */
        value.s = "";
    int rc = sink_kafka_put(s, topic, task, buf_slice(&k), value, e);
    buf_fini(&k);
    return rc;
}

int changelog_put_meta(sink_t *s, const char *topic, int32_t task, const changelog_meta_t *m, error_t *e) {
    buf_t v = {0};
    char kind = KIND_META;
    buf_add_u32(&v, STATE_FORMAT);
    buf_add_varint(&v, m->n);
    for (uint32_t i = 0; i < m->n; i++) {
        buf_add_bytes(&v, m->at[i].topic, strlen(m->at[i].topic));
        buf_add_u32(&v, (uint32_t)m->at[i].partition);
        buf_add_u64(&v, (uint64_t)m->at[i].offset);
    }
    buf_add_bytes(&v, m->version.s, m->version.len);
    buf_add_bytes(&v, m->task.s, m->task.len);
    buf_add_u64(&v, m->entries);
    if (m->rollout.len)
        buf_add_bytes(&v, m->rollout.s, m->rollout.len);
    int rc = sink_kafka_put(s, topic, task, (slice_t){&kind, 1}, buf_slice(&v), e);
    buf_fini(&v);
    return rc;
}

int changelog_put_texts(sink_t *s, const char *topic, int32_t task, const char *version, slice_t texts, error_t *e) {
    buf_t key = {0};
    buf_add_char(&key, KIND_TEXTS);
    buf_add_str(&key, version);
    int rc = sink_kafka_put(s, topic, task, buf_slice(&key), texts, e);
    buf_fini(&key);
    return rc;
}

int changelog_put_barrier(sink_t *s, const char *topic, int32_t task, slice_t mark, error_t *e) {
    char kind = KIND_BARRIER;
    return sink_kafka_put(s, topic, task, (slice_t){&kind, 1}, mark, e);
}

static void meta_clear(changelog_meta_t *m) {
    for (uint32_t i = 0; i < m->n; i++)
        mem_free(m->at[i].topic);
    mem_free(m->at);
    buf_fini(&m->task);
    buf_fini(&m->version);
    buf_fini(&m->rollout);
    *m = (changelog_meta_t){0};
}

void changelog_found_fini(changelog_found_t *f) {
    meta_clear(&f->meta);
    for (size_t i = 0; i < f->n_texts; i++) {
        mem_free(f->texts[i].version);
        buf_fini(&f->texts[i].bytes);
    }
    mem_free(f->texts);
    f->texts = NULL;
    f->n_texts = f->cap_texts = 0;
}

/* The last of a version counts; without a value it is gone. */
static void take_texts(changelog_found_t *f, slice_t version, slice_t value) {
    size_t i = 0;
    while (i < f->n_texts && !slice_eq(slice_of(f->texts[i].version), version))
        i++;
    if (i == f->n_texts) {
        mem_grow(&f->texts, &f->cap_texts, f->n_texts + 1, sizeof *f->texts);
        f->texts[f->n_texts++] = (changelog_texts_t){mem_strndup(version.s, version.len), {0}};
    }
    buf_clear(&f->texts[i].bytes);
    buf_add_slice(&f->texts[i].bytes, value);
    if (value.s)
        return;
    mem_free(f->texts[i].version);
    buf_fini(&f->texts[i].bytes);
    f->texts[i] = f->texts[--f->n_texts];
}

static int read_meta(changelog_meta_t *m, slice_t value, error_t *e) {
    reader_t r = reader_of(value.s, value.len);
    meta_clear(m);
    uint32_t format = m->format = read_u32(&r);
    if (format > STATE_FORMAT)
        return error_set(e, ERR_INVALID,
                         "the state in the changelog has format %u, written by a newer ananas; this one reads up to "
                         "%d. Run the newer one",
                         format, STATE_FORMAT);
    uint64_t n = read_varint(&r);
    m->at = mem_zalloc((size_t)((n < value.len ? n : value.len) + 1) * sizeof *m->at);
    for (uint64_t i = 0; i < n && !r.bad; i++) {
        slice_t topic = read_bytes(&r);
        m->at[m->n++] = (changelog_position_t){mem_strndup(topic.s ? topic.s : "", topic.len), (int32_t)read_u32(&r),
                                               (int64_t)read_u64(&r)};
    }
    buf_add_slice(&m->version, read_bytes(&r));
    buf_add_slice(&m->task, read_bytes(&r));
    m->entries = read_u64(&r);
    if (r.pos < r.len)
        buf_add_slice(&m->rollout, read_bytes(&r));
    m->present = 1;
    return r.bad ? error_set(e, ERR_INVALID, "the changelog's meta record is damaged") : 0;
}

static int not_ours(const rd_kafka_message_t *m, error_t *e) {
    const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : "?";
    return error_set(e, ERR_INVALID,
                     "topic \"%s\" holds a record that is no state of this program (partition %d, offset %lld): "
                     "somebody else writes there. Stop that; to start over then, delete the topic and this group's "
                     "offsets",
                     topic, m->partition, (long long)m->offset);
}

int changelog_take(const rd_kafka_message_t *m, slice_t mark, store_t *store, changelog_found_t *out, error_t *e) {
    const char *key = m->key;
    slice_t value = {m->payload, m->payload ? m->len : 0};
    if (!key || m->key_len == 0)
        return 0;
    out->entries++;
    if (key[0] == KIND_BARRIER)
        return mark.s && slice_eq(value, mark);
    if (key[0] == KIND_META)
        return read_meta(&out->meta, value, e);
    if (key[0] == KIND_TEXTS) {
        take_texts(out, (slice_t){key + 1, m->key_len - 1}, value);
        return 0;
    }
    reader_t r = reader_of(key + 1, m->key_len - 1);
    slice_t space = read_bytes(&r);
    if (key[0] != KIND_ENTRY || r.bad)
        return not_ours(m, e);
    char *name = mem_strndup(space.s, space.len);
    store_restore(store, name, (slice_t){key + 1 + r.pos, m->key_len - 1 - r.pos}, value);
    mem_free(name);
    return 0;
}
