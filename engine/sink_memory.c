#include "sink_memory.h"

#include "json.h"
#include "mem.h"

typedef struct sink_memory {
    sink_t base;
    kept_t *at;
    size_t n, cap;
    char **rules;
    size_t cap_rules;
    uint32_t n_rules;
} sink_memory_t;

static slice_t rule_name(const out_record_t *r) {
    for (uint32_t i = 0; i < r->n_headers; i++)
        if (strcmp(r->headers[i].name, "ananas-rule") == 0)
            return r->headers[i].value;
    return slice_of("(bad records)");
}

static uint32_t rule_of(sink_memory_t *m, slice_t name) {
    for (uint32_t i = 0; i < m->n_rules; i++)
        if (slice_eq(slice_of(m->rules[i]), name))
            return i;
    mem_grow(&m->rules, &m->cap_rules, m->n_rules + 1, sizeof *m->rules);
    m->rules[m->n_rules] = mem_strndup(name.s, name.len);
    return m->n_rules++;
}

static void member(buf_t *b, const char *name, slice_t value) {
    buf_printf(b, ",\"%s\":", name);
    if (value.s)
        json_write_string(b, value.s, value.len);
    else
        buf_add_str(b, "null");
}

static int memory_write(sink_t *s, const out_record_t *records, size_t n, error_t *e) {
    sink_memory_t *m = (sink_memory_t *)s;
    (void)e;
    for (size_t i = 0; i < n; i++) {
        const out_record_t *r = &records[i];
        slice_t name = rule_name(r);
        buf_t b = {0};
        buf_add_str(&b, "{\"rule\":");
        json_write_string(&b, name.s, name.len);
        member(&b, "topic", slice_of(r->topic));
        buf_printf(&b, ",\"ts\":%lld", (long long)r->time);
        member(&b, "key", r->key);
        member(&b, "payload", r->value);
        buf_add_char(&b, '}');
        mem_grow(&m->at, &m->cap, m->n + 1, sizeof *m->at);
        size_t len = b.len;
        m->at[m->n++] = (kept_t){.text = buf_take(&b), .len = len, .time = r->time, .rule = rule_of(m, name)};
    }
    return 0;
}

static int memory_flush(sink_t *s, error_t *e) {
    (void)s;
    (void)e;
    return 0;
}

static void memory_close(sink_t *s) {
    sink_memory_t *m = (sink_memory_t *)s;
    for (size_t i = 0; i < m->n; i++)
        mem_free(m->at[i].text);
    for (uint32_t i = 0; i < m->n_rules; i++)
        mem_free(m->rules[i]);
    mem_free(m->at);
    mem_free(m->rules);
    mem_free(m);
}

int sink_memory_open(sink_t **out) {
    sink_memory_t *m = mem_zalloc(sizeof *m);
    m->base = (sink_t){memory_write, memory_flush, memory_close};
    *out = &m->base;
    return 0;
}

kept_t *sink_memory_records(sink_t *s, size_t *n) {
    sink_memory_t *m = (sink_memory_t *)s;
    *n = m->n;
    return m->at;
}

const char *const *sink_memory_rules(const sink_t *s, uint32_t *n) {
    const sink_memory_t *m = (const sink_memory_t *)s;
    *n = m->n_rules;
    return (const char *const *)m->rules;
}
