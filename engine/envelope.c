#include "envelope.h"

#include "cell.h"
#include "json.h"
#include "sink.h"

static void bad(envelope_t *e, const char *reason) {
    e->kind = LINE_BAD;
    e->reason = reason;
}

/* A string's value, or an object's text as it stands; null: absent. 0, or -1: neither. */
static int text_of(slice_t value, arena_t *a, slice_t *out) {
    cell_t c = cell_from_json(value);
    *out = (slice_t){NULL, 0};
    if (c.kind == CELL_NULL)
        return 0;
    if (c.kind == CELL_JSON) {
        *out = value;
        return 0;
    }
    if (!cell_is_string(&c))
        return -1;
    *out = (slice_t){c.raw, c.len};
    if (c.flags & CELL_ESCAPED) {
        char *plain = arena_alloc(a, c.len);
        *out = (slice_t){plain, json_unescape(c.raw, c.len, plain)};
    }
    return 0;
}

static int integer_of(slice_t value, int64_t *out) {
    cell_t c = cell_from_json(value);
    return cell_is_number(&c) && cell_int64(&c, out) ? 0 : -1;
}

/* kcat prints headers as a list of name, value, name, value; rules see an object. */
static int headers_of(slice_t value, arena_t *a, slice_t *out) {
    json_iter_t it;
    buf_t text = {0};
    int n = 0;
    if (json_iter_open(&it, value) || it.is_object)
        return -1;
    while (json_iter_next(&it) > 0) {
        buf_add_char(&text, n == 0 ? '{' : n % 2 ? ':' : ',');
        buf_add_slice(&text, it.value);
        n++;
    }
    if (n % 2)
        buf_add_str(&text, ":null");
    if (n == 0)
        buf_add_char(&text, '{');
    buf_add_char(&text, '}');
    *out = (slice_t){arena_dup(a, text.s, text.len), text.len};
    buf_fini(&text);
    return 0;
}

static int is(slice_t key, const char *name) { return slice_eq(key, slice_of(name)); }

/* NULL, or what is wrong with the member. */
static const char *take_member(envelope_t *e, slice_t key, slice_t value, arena_t *a) {
    if (is(key, "payload"))
        return text_of(value, a, &e->payload) ? "payload must be a string, an object or null" : NULL;
    if (is(key, "key"))
        return text_of(value, a, &e->key) ? "key must be a string, an object or null" : NULL;
    if (is(key, "topic"))
        return text_of(value, a, &e->topic) || !e->topic.s ? "topic must be a string" : NULL;
    if (is(key, "partition"))
        return integer_of(value, &e->partition) || e->partition < 0 || e->partition > INT32_MAX
                   ? "partition must be an integer"
                   : NULL;
    if (is(key, "offset"))
        return integer_of(value, &e->offset) ? "offset must be an integer" : NULL;
    if (is(key, "ts"))
        return integer_of(value, &e->ts) ? "ts must be an integer (epoch ms)" : NULL;
    if (is(key, "headers"))
        return headers_of(value, a, &e->headers) ? "headers must be a list of names and values" : NULL;
    if (is(key, "watermark")) {
        e->kind = LINE_WATERMARK;
        return integer_of(value, &e->watermark) ? "watermark must be an integer (epoch ms)" : NULL;
    }
    if (is(key, "partitions")) {
        e->kind = LINE_PARTITIONS;
        return integer_of(value, &e->partitions) || e->partitions < 0 || e->partitions > 100000
                   ? "partitions must be a small integer"
                   : NULL;
    }
    if (is(key, "idle")) {
        e->kind = LINE_IDLE;
        return is(value, "true") ? NULL : "idle must be true; a partition returns with its next record";
    }
    if (is(key, "mark")) {
        e->kind = LINE_MARK;
        return integer_of(value, &e->mark) ? "mark must be an integer" : NULL;
    }
    if (is(key, "rules")) {
        e->kind = LINE_RULES;
        return text_of(value, a, &e->rules) || !e->rules.s ? "rules must be a path" : NULL;
    }
    return NULL;
}

/* The value of payload, which is nearly all of most lines: checked and unescaped in one go. */
static int take_text(const char **p, const char *end, arena_t *a, slice_t *out) {
    char *text = arena_alloc(a, (size_t)(end - *p));
    size_t len = 0;
    int status = json_text(p, end, text, &len);
    *out = (slice_t){text, len};
    return status;
}

/* *p behind a member's colon. A json_status_t; *reason: the line is JSON so far, but no envelope. */
static int parse_value(envelope_t *e, slice_t key, const char **p, const char *end, arena_t *a, const char **reason) {
    const char *from = *p;
    if (from < end && *from == '"' && is(key, "payload"))
        return take_text(p, end, a, &e->payload);
    int status = json_skip(p, end, 1);
    if (status == 0 && !*reason)
        *reason = take_member(e, key, (slice_t){from, (size_t)(*p - from)}, a);
    return status;
}

/* *p at the '{'; every member once. What is no JSON outweighs what is no envelope. */
static int parse_members(envelope_t *e, const char **p, const char *end, arena_t *a, const char **reason) {
    *p = json_ws(*p + 1, end);
    if (*p < end && **p == '}') {
        ++*p;
        return JSON_OK;
    }
    for (;;) {
        slice_t key;
        int escaped;
        if (*p >= end)
            return JSON_CUT_OFF;
        if (**p != '"')
            return JSON_SYNTAX;
        int status = json_string(p, end, &key, &escaped);
        if (status)
            return status;
        *p = json_ws(*p, end);
        if (*p >= end)
            return JSON_CUT_OFF;
        if (*(*p)++ != ':')
            return JSON_SYNTAX;
        *p = json_ws(*p, end);
        if ((status = parse_value(e, key, p, end, a, reason)))
            return status;
        *p = json_ws(*p, end);
        if (*p >= end)
            return JSON_CUT_OFF;
        char c = *(*p)++;
        if (c == '}')
            return JSON_OK;
        if (c != ',')
            return JSON_SYNTAX;
        *p = json_ws(*p, end);
    }
}

void envelope_parse(slice_t line, arena_t *a, envelope_t *e) {
    *e = (envelope_t){.kind = LINE_RECORD, .offset = -1, .ts = -1};
    const char *end = line.s + line.len, *p = json_ws(line.s, end), *reason = NULL;
    if (p == end) {
        e->kind = LINE_EMPTY;
        return;
    }
    if (*p != '{') {
        int status = json_valid(line.s, line.len);
        bad(e,
            status ? json_reason(status) : "not a JSON object; a line is what `kcat -C -J` prints, or a control line");
        return;
    }
    int status = parse_members(e, &p, end, a, &reason);
    if (status == 0 && json_ws(p, end) != end)
        status = JSON_TRAILING;
    if (status || reason) {
        bad(e, status ? json_reason(status) : reason);
        return;
    }
    if ((e->kind == LINE_RECORD || e->kind == LINE_PARTITIONS || e->kind == LINE_IDLE) && !e->topic.s)
        bad(e, "no topic; a line is what `kcat -C -J` prints, or a control line");
}

static void write_text(buf_t *b, slice_t s) {
    if (s.s)
        json_write_string(b, s.s, s.len);
    else
        buf_add_str(b, "null");
}

void envelope_write(buf_t *b, const out_record_t *r) {
    buf_add_str(b, "{\"topic\":");
    json_write_string(b, r->topic, strlen(r->topic));
    buf_printf(b, ",\"ts\":%lld,\"key\":", (long long)r->time);
    write_text(b, r->key);
    buf_add_str(b, ",\"headers\":[");
    for (uint32_t i = 0; i < r->n_headers; i++) {
        if (i)
            buf_add_char(b, ',');
        json_write_string(b, r->headers[i].name, strlen(r->headers[i].name));
        buf_add_char(b, ',');
        write_text(b, r->headers[i].value);
    }
    buf_add_str(b, "],\"payload\":");
    write_text(b, r->value);
    buf_add_str(b, "}\n");
}
