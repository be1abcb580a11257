#include "source_file.h"

#include <assert.h>

#include "envelope.h"
#include "input.h"
#include "json.h"
#include "mem.h"
#include "task.h"

typedef struct source_file {
    source_t base;
    source_file_options_t options;
    input_t *input;
    arena_t arenas[2]; /* of the polls that are out, by number */
    arena_t *arena;    /* of this poll */
    uint64_t polled, released;
    event_t *known; /* partitions found by reading the file once */
    size_t n_known, cap_known, next_known;
    event_t held; /* a reload or a mark that waits for its own poll */
    int has_held;
    int32_t declare_topic, declare_next, declare_end; /* {"partitions":N} still being told */
    uint64_t unclaimed, unclaimed_of[2]; /* in the polls that are out: what is behind a stop does not count */
    char *path;                          /* of the reload */
} source_file_t;

static int64_t offset_of(const source_file_t *f, const envelope_t *e) {
    return e->offset >= 0 ? e->offset : (int64_t)input_line_number(f->input) - 1;
}

static void know(source_file_t *f, int32_t topic, int32_t partition) {
    for (size_t i = f->n_known; i-- > 0;)
        if (f->known[i].record.topic == topic && f->known[i].record.partition == partition)
            return;
    mem_grow(&f->known, &f->cap_known, f->n_known + 1, sizeof *f->known);
    f->known[f->n_known++] = (event_t){.kind = EVENT_PARTITION, .record = {.topic = topic, .partition = partition}};
}

static int begins(const char *p, const char *end, const char *word) {
    size_t n = strlen(word);
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0;
}

/* Whether a string begins there that could be the name of a member that says where the line belongs. */
static int names_partition(const char *p, const char *end) {
    while ((p = json_quote(p, end)) < end)
        if (begins(p, end, "\"topic\"") || begins(p, end, "\"partition") || begins(p, end, "\"idle\""))
            return 1;
    return 0;
}

/* Whether a line begins as kcat writes them, with a topic and a partition that are known, and says nothing else of either
 * further on: then it cannot tell of a partition, be the rest of it what it may. */
static int is_known(const source_file_t *f, slice_t line) {
    static const char topic[] = "{\"topic\":\"", partition[] = "\",\"partition\":";
    const char *p = line.s, *end = line.s + line.len;
    if (line.len < sizeof topic || memcmp(p, topic, sizeof topic - 1) != 0)
        return 0;
    p += sizeof topic - 1;
    const char *quote = memchr(p, '"', (size_t)(end - p));
    if (!quote || (size_t)(end - quote) < sizeof partition || memcmp(quote, partition, sizeof partition - 1) != 0)
        return 0;
    int32_t t = task_topics_find(f->options.topics, (slice_t){p, (size_t)(quote - p)}), number = 0;
    const char *digits = p = quote + sizeof partition - 1;
    while (p < end && (unsigned)(*p - '0') < 10 && p - digits < 9)
        number = number * 10 + (*p++ - '0');
    if (p == digits || p == end || *p != ',' || names_partition(p, end))
        return 0;
    for (size_t i = f->n_known; i-- > 0;)
        if (f->known[i].record.topic == t && f->known[i].record.partition == number)
            return 1;
    return t < 0;
}

/* Reads the file once for the partitions in it. */
static int find_partitions(source_file_t *f, error_t *e) {
    input_t *in;
    int rc = input_open(&in, f->options.path, e), end = 0;
    if (rc)
        return rc;
    int32_t last_topic = -1, last_partition = -1;
    while (!end) {
        slice_t line;
        if ((rc = input_line(in, &line, 1, &end, e)) < 0)
            break;
        if (rc == 0) {
            input_batch(in);
            arena_reset(f->arena);
            continue;
        }
        if (is_known(f, line))
            continue;
        envelope_t env;
        envelope_parse(line, f->arena, &env);
        if (env.kind != LINE_RECORD && env.kind != LINE_PARTITIONS && env.kind != LINE_IDLE)
            continue;
        int32_t topic = task_topics_find(f->options.topics, env.topic);
        if (topic < 0 || (topic == last_topic && env.partition == last_partition && env.kind == LINE_RECORD))
            continue;
        if (env.kind != LINE_PARTITIONS)
            know(f, last_topic = topic, last_partition = (int32_t)env.partition);
        for (int32_t p = 0; env.kind == LINE_PARTITIONS && p < env.partitions; p++)
            know(f, topic, p);
    }
    arena_reset(f->arena);
    input_close(in);
    return rc < 0 ? rc : 0;
}

/* 1: *ev is an event; 0: the line is none. */
static int event_of(source_file_t *f, slice_t line, event_t *ev) {
    envelope_t e;
    envelope_parse(line, f->arena, &e);
    *ev = (event_t){.record = {.topic = -1,
                               .partition = (int32_t)e.partition,
                               .offset = offset_of(f, &e),
                               .timestamp = e.ts,
                               .key = e.key,
                               .value = e.payload,
                               .headers = e.headers}};
    if (e.topic.s)
        ev->record.topic = task_topics_find(f->options.topics, e.topic);
    switch (e.kind) {
    case LINE_EMPTY: return 0;
    case LINE_BAD:
        ev->kind = EVENT_BAD_LINE;
        ev->reason = e.reason;
        ev->record.offset = (int64_t)input_line_number(f->input);
        ev->record.value = line;
        return 1;
    case LINE_WATERMARK:
        ev->kind = EVENT_WATERMARK;
        ev->time = e.watermark;
        return 1;
    case LINE_RULES:
        mem_free(f->path);
        f->path = mem_strndup(e.rules.s, e.rules.len);
        ev->kind = EVENT_RULES;
        ev->path = f->path;
        return 1;
    case LINE_MARK:
        ev->kind = EVENT_MARK;
        ev->time = e.mark;
        return 1;
    case LINE_PARTITIONS:
        f->declare_topic = ev->record.topic;
        f->declare_next = 0;
        f->declare_end = ev->record.topic >= 0 ? (int32_t)e.partitions : 0;
        return 0;
    case LINE_IDLE: ev->kind = EVENT_IDLE; return ev->record.topic >= 0;
    case LINE_RECORD:
        ev->kind = EVENT_RECORD;
        f->unclaimed_of[(f->polled - 1) % 2] += ev->record.topic < 0;
        return ev->record.topic >= 0;
    }
    return 0;
}

static int raw_event(source_file_t *f, slice_t line, uint64_t number, event_t *ev) {
    if (line.len == 0)
        return 0;
    *ev = (event_t){
        .kind = EVENT_RECORD,
        .record = {
            .topic = f->options.raw_topic, .offset = (int64_t)number - 1, .timestamp = f->options.now, .value = line}};
    return 1;
}

/* The lines that are there without reading more, as records. */
static uint32_t raw_events(source_file_t *f, event_t *events, uint32_t max) {
    slice_t lines[64];
    uint32_t n = 0, given = 1;
    while (n < max && given) {
        uint64_t number = input_line_number(f->input);
        given = input_ready(f->input, lines, max - n < 64 ? max - n : 64);
        for (uint32_t i = 0; i < given; i++)
            n += (uint32_t)raw_event(f, lines[i], ++number, &events[n]);
    }
    return n;
}

static int stands_alone(const event_t *e) { return e->kind == EVENT_RULES || e->kind == EVENT_MARK; }

/* Events that need no line: partitions found or declared, a reload put off. 1: one was given. */
static int pending_event(source_file_t *f, uint32_t n, event_t *ev) {
    if (f->next_known < f->n_known) {
        *ev = f->known[f->next_known++];
        return 1;
    }
    if (f->declare_next < f->declare_end) {
        *ev = (event_t){.kind = EVENT_PARTITION, .record = {.topic = f->declare_topic, .partition = f->declare_next++}};
        return 1;
    }
    if (f->has_held && n == 0) {
        *ev = f->held;
        return 1;
    }
    return 0;
}

static int file_poll(source_t *s, event_t *events, uint32_t max, int timeout_ms, int *end, error_t *e) {
    source_file_t *f = (source_file_t *)s;
    uint32_t n = 0;
    *end = 0;
    assert(f->polled - f->released < 2);
    f->arena = &f->arenas[f->polled++ % 2];
    arena_reset(f->arena);
    f->unclaimed_of[(f->polled - 1) % 2] = 0;
    input_batch(f->input);
    while (n < max) {
        if (pending_event(f, n, &events[n])) {
            if (!stands_alone(&events[n++]))
                continue;
            f->has_held = 0;
            return (int)n;
        }
        if (f->has_held)
            break;
        if (f->options.raw_topic >= 0 && (n += raw_events(f, events + n, max - n)) == max)
            break;
        slice_t line;
        int rc = input_line(f->input, &line, n == 0 && timeout_ms != 0, end, e);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        if (!(f->options.raw_topic >= 0 ? raw_event(f, line, input_line_number(f->input), &events[n])
                                        : event_of(f, line, &events[n])))
            continue;
        if (stands_alone(&events[n])) {
            f->held = events[n];
            f->has_held = 1;
            continue;
        }
        n++;
    }
    return (int)n;
}

/* Arenas and lines go with the polls to come. */
static void file_release(source_t *s) {
    source_file_t *f = (source_file_t *)s;
    f->unclaimed += f->unclaimed_of[f->released++ % 2];
}

static void file_close(source_t *s) {
    source_file_t *f = (source_file_t *)s;
    input_close(f->input);
    arena_fini(&f->arenas[0]);
    arena_fini(&f->arenas[1]);
    mem_free(f->known);
    mem_free(f->path);
    mem_free(f);
}

int source_file_open(source_t **out, const source_file_options_t *o, error_t *e) {
    source_file_t *f = mem_zalloc(sizeof *f);
    f->base = (source_t){file_poll, file_release, file_close};
    f->options = *o;
    arena_init(&f->arenas[0]);
    arena_init(&f->arenas[1]);
    f->arena = &f->arenas[0];
    int rc = input_open(&f->input, o->path, e);
    if (rc == 0 && o->raw_topic < 0 && input_is_file(f->input))
        rc = find_partitions(f, e);
    if (rc) {
        file_close(&f->base);
        return rc;
    }
    *out = &f->base;
    return 0;
}

uint64_t source_file_unclaimed(const source_t *s) { return ((const source_file_t *)s)->unclaimed; }
