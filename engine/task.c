#include "task.h"

#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "pipeline.h"
#include "report.h"

typedef struct source_run {
    const source_spec_t *spec;
    int32_t *topics;             /* indexes into the task's topic names */
    decoder_t *decoder;
    names_t extras;              /* names of its metadata columns */
    watermark_t watermark;
    source_stats_t stats;
    record_t *records;           /* of this step */
    size_t n_records, cap;
    decoded_t decoded;
    stream_t out;
} source_run_t;

typedef struct fast_unnest { uint32_t source, index; int used; } fast_unnest_t;

struct task {
    task_options_t options;
    script_t *script;
    plan_t *plan;
    char **topics;               /* sorted by name, NULL-terminated */
    uint32_t n_topics;
    intern_t *intern;
    store_t *store;
    arena_t arena;
    source_run_t *sources;
    pipeline_t *pipelines;
    fast_unnest_t *fast;         /* per rule */
    last_error_t *errors;        /* per rule */
    names_t *extras;             /* per rule: in_extras of its pipeline, for report.c */
    outbox_t outbox;
    step_t step;
    report_t report;
    uint64_t bad_lines;
    etime_t since;
};

#define INTERN_SYMBOLS 65536u
#define INTERN_BYTES (8u << 20)

/* ---- making ---- */

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

char **task_topics_new(const config_t *c) {
    char **topics = NULL;
    size_t cap = 0, n = 0, kept = 0;
    for (uint32_t i = 0; i < c->n_sources; i++)
        for (uint32_t k = 0; k < c->sources[i].topics.n; k++) {
            mem_grow(&topics, &cap, n + 1, sizeof *topics);
            topics[n++] = c->sources[i].topics.at[k];
        }
    mem_grow(&topics, &cap, n + 1, sizeof *topics);
    qsort(topics, n, sizeof *topics, by_name);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(topics[kept - 1], topics[i]) != 0)
            topics[kept++] = topics[i];
    topics[kept] = NULL;
    return topics;
}

static void source_init(task_t *t, source_run_t *s, const source_spec_t *spec) {
    *s = (source_run_t){.spec = spec};
    s->topics = mem_alloc((spec->topics.n + 1) * sizeof *s->topics);
    for (uint32_t i = 0; i < spec->topics.n; i++)
        s->topics[i] = task_topic(t, slice_of(spec->topics.at[i]));
    s->extras = (names_t){mem_alloc((spec->n_metadata + 1) * sizeof(char *)), spec->n_metadata};
    for (uint32_t i = 0; i < spec->n_metadata; i++)
        s->extras.at[i] = spec->metadata[i].name;
    watermark_init(&s->watermark, spec->watermark);
}

static int reads_source(const rule_t *r, uint32_t source) {
    for (uint32_t i = 0; i < r->n_from; i++)
        if (!r->from[i].is_rule && r->from[i].index == source)
            return 1;
    return 0;
}

/* Strings of a column are interned where some predicate can be asked once per distinct value. */
static int wants_intern(const plan_t *p, const char *name) {
    for (uint32_t i = 0; i < p->n_fns; i++)
        if (p->fns[i].memo_column && strcmp(p->fns[i].memo_column, name) == 0)
            return 1;
    return 0;
}

typedef struct wanted { decode_column_t *at; uint32_t n; size_t cap; } wanted_t;

static void want(wanted_t *w, const plan_t *p, const char *name, int meta) {
    for (uint32_t i = 0; i < w->n; i++)
        if (strcmp(w->at[i].name, name) == 0)
            return;
    mem_grow(&w->at, &w->cap, w->n + 1, sizeof *w->at);
    w->at[w->n++] = (decode_column_t){name, meta, wants_intern(p, name)};
}

/* A rule with one path over records: the decoder finds the elements while it reads. */
static int fast_unnest_of(const rule_t *r, const source_run_t *s) {
    if (r->n_unnest != 1 || r->n_from != 1 || r->from[0].is_rule)
        return 0;
    for (uint32_t i = 0; i < s->extras.n; i++) {
        size_t len = strlen(s->extras.at[i]);
        if (strncmp(r->unnest[0].text, s->extras.at[i], len) == 0 && strchr(".[", r->unnest[0].text[len]))
            return 0;
    }
    return 1;
}

static void want_needs(wanted_t *w, const plan_t *p, const rule_t *r) {
    for (uint32_t k = 0; k < r->needs.n; k++) {
        int alias = strcmp(r->needs.at[k], FROM_COLUMN) == 0;
        for (uint32_t u = 0; u < r->n_unnest; u++)
            alias |= strcmp(r->unnest[u].alias, r->needs.at[k]) == 0;
        if (!alias)
            want(w, p, r->needs.at[k], -1);
    }
}

/* What the decoder of a source has to look for: the union of what the rules that read it need. */
static void decoder_make(task_t *t, uint32_t index) {
    source_run_t *s = &t->sources[index];
    wanted_t w = {0};
    decode_unnest_t *unnests = mem_alloc((t->plan->n_rules + 1) * sizeof *unnests);
    uint32_t n_unnests = 0;
    for (uint32_t i = 0; i < s->spec->n_metadata; i++)
        want(&w, t->plan, s->spec->metadata[i].name, (int)s->spec->metadata[i].kind);
    for (uint32_t i = 0; i < t->plan->n_rules; i++) {
        const rule_t *r = &t->plan->rules[i];
        if (!reads_source(r, index))
            continue;
        want_needs(&w, t->plan, r);
        if (!fast_unnest_of(r, s))
            continue;
        uint32_t u = 0;
        while (u < n_unnests && strcmp(unnests[u].path, r->unnest[0].text) != 0)
            u++;
        if (u == n_unnests)
            unnests[n_unnests++] = (decode_unnest_t){r->unnest[0].text, 0};
        unnests[u].intern |= wants_intern(t->plan, r->unnest[0].alias);
        t->fast[i] = (fast_unnest_t){index, u, 1};
    }
    decode_spec_t spec = {w.at, w.n, unnests, n_unnests, s->spec->event_time, s->spec->event_unit_ms};
    decoder_free(s->decoder);
    s->decoder = decoder_new(&spec, t->intern);
    decoder_name_topics(s->decoder, (const char *const *)t->topics, t->n_topics);
    mem_free(w.at);
    mem_free(unnests);
}

/* Columns beside a record's members that a rule's input rows have: of all inputs, each once. */
static names_t input_extras(const task_t *t, const rule_t *r) {
    names_t out = {0};
    size_t cap = 0;
    for (uint32_t i = 0; i < r->n_from; i++) {
        const names_t *in = r->from[i].is_rule ? &t->pipelines[r->from[i].index].extras : &t->sources[r->from[i].index].extras;
        for (uint32_t k = 0; k < in->n; k++)
            if (names_index(&out, in->at[k]) < 0) {
                mem_grow(&out.at, &cap, out.n + 1, sizeof *out.at);
                out.at[out.n++] = in->at[k];
            }
    }
    return out;
}

static void pipelines_make(task_t *t) {
    uint32_t n = t->plan->n_rules;
    t->pipelines = mem_zalloc((n + 1) * sizeof *t->pipelines);
    t->fast = mem_zalloc((n + 1) * sizeof *t->fast);
    t->errors = mem_zalloc((n + 1) * sizeof *t->errors);
    t->extras = mem_zalloc((n + 1) * sizeof *t->extras);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        decoder_make(t, i);
    for (uint32_t i = 0; i < n; i++) {
        names_t extras = input_extras(t, &t->plan->rules[i]);
        pipeline_init(&t->pipelines[i], &t->plan->rules[i], t->store, extras);
        pipeline_rebuild(&t->pipelines[i]);
        t->extras[i] = t->pipelines[i].in_extras;
        mem_free(extras.at);
    }
    t->report = (report_t){t->plan, &t->outbox, t->errors, t->extras};
    t->step = (step_t){.arena = &t->arena, .store = t->store, .script = t->script, .log = t->options.log,
                       .topics = (const char *const *)t->topics, .since = t->since, .task = &t->report};
}

static void pipelines_free(task_t *t) {
    for (uint32_t i = 0; t->plan && i < t->plan->n_rules; i++)
        pipeline_fini(&t->pipelines[i]);
    mem_free(t->pipelines);
    mem_free(t->fast);
    mem_free(t->errors);
    mem_free(t->extras);
}

task_t *task_new(const task_options_t *o, script_t *script, plan_t *plan) {
    task_t *t = mem_zalloc(sizeof *t);
    t->options = *o;
    t->script = script;
    t->plan = plan;
    t->since = ETIME_MIN;
    arena_init(&t->arena);
    t->intern = intern_new(INTERN_SYMBOLS, INTERN_BYTES);
    t->store = o->store ? o->store : store_new((size_t)o->config->max_state);
    t->topics = task_topics_new(o->config);
    while (t->topics[t->n_topics])
        t->n_topics++;
    t->sources = mem_zalloc((o->config->n_sources + 1) * sizeof *t->sources);
    for (uint32_t i = 0; i < o->config->n_sources; i++)
        source_init(t, &t->sources[i], &o->config->sources[i]);
    pipelines_make(t);
    return t;
}

void task_free(task_t *t) {
    if (!t)
        return;
    pipelines_free(t);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        decoder_free(s->decoder);
        watermark_fini(&s->watermark);
        mem_free(s->topics);
        mem_free(s->extras.at);
        mem_free(s->records);
    }
    mem_free(t->sources);
    script_close(t->script);
    plan_free(t->plan);
    store_free(t->store);
    intern_free(t->intern);
    arena_fini(&t->arena);
    outbox_fini(&t->outbox);
    mem_free(t->topics);
    mem_free(t);
}

/* ---- one step ---- */

static void step_begin(task_t *t) {
    arena_reset(&t->arena);
    t->outbox.n = 0;
    intern_between_batches(t->intern);
    script_symbols(t->script, intern_generation(t->intern));
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        t->sources[i].n_records = 0;
}

static int source_has_topic(const source_run_t *s, int32_t topic) {
    for (uint32_t i = 0; i < s->spec->topics.n; i++)
        if (s->topics[i] == topic)
            return 1;
    return 0;
}

/* Each source gets the records of its topics, with the tick of the event. */
static void split_records(task_t *t, const event_t *events, uint32_t n) {
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        mem_grow(&s->records, &s->cap, n, sizeof *s->records);
        for (uint32_t e = 0; e < n; e++) {
            if (events[e].kind != EVENT_RECORD || !source_has_topic(s, events[e].record.topic))
                continue;
            record_t *r = &s->records[s->n_records++];
            *r = events[e].record;
            r->tick = e;
        }
    }
}

static void count_records(task_t *t) {
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        s->stats.records += s->n_records;
        for (size_t r = 0; r < s->n_records; r++)
            s->stats.bytes += s->records[r].value.len;
    }
}

static void dead_letter(task_t *t, const record_t *r, const char *reason) {
    header_t *h = arena_array(&t->arena, header_t, 4);
    char text[64];
    h[0] = (header_t){"ananas-reason", slice_of(reason)};
    h[1] = (header_t){"ananas-topic", slice_of(t->topics[r->topic])};
    int len = snprintf(text, sizeof text, "%d", r->partition);
    h[2] = (header_t){"ananas-partition", {arena_dup(&t->arena, text, (size_t)len), (size_t)len}};
    len = snprintf(text, sizeof text, "%lld", (long long)r->offset);
    h[3] = (header_t){"ananas-offset", {arena_dup(&t->arena, text, (size_t)len), (size_t)len}};
    buf_t topic = {0};
    buf_printf(&topic, "%s.dead-letters", t->topics[r->topic]);
    mem_grow(&t->outbox.at, &t->outbox.cap, t->outbox.n + 1, sizeof *t->outbox.at);
    t->outbox.at[t->outbox.n++] = (out_record_t){.topic = arena_dup(&t->arena, buf_cstr(&topic), topic.len + 1),
                                                 .key = r->key,
                                                 .value = r->value,
                                                 .headers = h,
                                                 .n_headers = 4,
                                                 .tick = r->tick,
                                                 .rule = -1,
                                                 .kind = OUT_DEAD_LETTER,
                                                 .time = r->timestamp};
    buf_fini(&topic);
}

static void take_bad(task_t *t, source_run_t *s) {
    for (uint32_t i = 0; i < s->decoded.n_bad; i++) {
        const decode_bad_t *bad = &s->decoded.bad[i];
        const record_t *r = &s->records[bad->record];
        if (bad->is_tombstone) {
            s->stats.tombstones++;
            continue;
        }
        uint64_t before = s->stats.bad++;
        if (report_due(before, s->stats.bad))
            log_say(t->options.log, LOG_WARN, "engine", "bad record %s/%d@%lld: %s; %llu such from source \"%s\" so far",
                    t->topics[r->topic], r->partition, (long long)r->offset, bad->reason,
                    (unsigned long long)s->stats.bad, s->spec->name);
        if (s->spec->on_bad == BAD_DEAD_LETTER)
            dead_letter(t, r, bad->reason);
    }
}

static void decode_sources(task_t *t, const event_t *events, uint32_t n, wall_t wall) {
    step_begin(t);
    split_records(t, events, n);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        etime_t latest = s->spec->max_ahead == AHEAD_NONE ? ETIME_MAX : wall.ms + s->spec->max_ahead;
        decode_records(s->decoder, s->records, (uint32_t)s->n_records, latest, &t->arena, &s->decoded);
    }
}

/* Where a source stops at bad records: *n becomes the tick of the first, so that nothing after it has any effect. */
static int find_stop(task_t *t, uint32_t *n, error_t *e) {
    int rc = 0;
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        for (uint32_t k = 0; s->spec->on_bad == BAD_STOP && k < s->decoded.n_bad; k++) {
            const decode_bad_t *bad = &s->decoded.bad[k];
            const record_t *r = &s->records[bad->record];
            if (bad->is_tombstone || r->tick >= *n)
                continue;
            *n = r->tick;
            rc = error_set(e, ERR_INVALID, "bad record %s/%d@%lld: %s; source \"%s\" has on_bad_record = \"stop\"",
                           t->topics[r->topic], r->partition, (long long)r->offset, bad->reason, s->spec->name);
        }
    }
    return rc;
}

/* One event's effect on a source's watermark; *good walks the source's decoded rows. 1 when it changed. */
static int watermark_event(source_run_t *s, const event_t *ev, uint32_t tick, uint32_t *good) {
    watermark_t *w = &s->watermark;
    if (ev->kind == EVENT_WATERMARK)
        return watermark_explicit(w, ev->time);
    if (ev->kind == EVENT_CLOCK)
        return s->spec->hold_when_all_idle ? 0 : watermark_clock(w, ev->time);
    if ((ev->kind != EVENT_RECORD && ev->kind != EVENT_PARTITION && ev->kind != EVENT_IDLE) ||
        !source_has_topic(s, ev->record.topic))
        return 0;
    uint32_t part = watermark_add(w, ev->record.topic, ev->record.partition);
    if (ev->kind == EVENT_IDLE)
        return watermark_idle(w, part);
    const batch_t *b = s->decoded.batch;
    if (ev->kind == EVENT_RECORD && *good < b->n && batch_origin(b, *good)->tick == tick)
        return watermark_row(w, part, batch_origin(b, (*good)++)->time);
    return 0;
}

static void advance_watermarks(task_t *t, const event_t *events, uint32_t n) {
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        mark_t *marks = arena_array(&t->arena, mark_t, n ? n : 1);
        uint32_t n_marks = 0, good = 0;
        s->out = (stream_t){.batch = s->decoded.batch, .marks = marks, .wm_before = s->watermark.now};
        for (uint32_t e = 0; e < n; e++)
            if (watermark_event(s, &events[e], e, &good))
                marks[n_marks++] = (mark_t){s->watermark.now, e, (uint32_t)s->watermark.idle};
        s->out.n_marks = n_marks;
    }
}

static const stream_t *input_stream(const task_t *t, input_t in) {
    return in.is_rule ? &t->pipelines[in.index].out : &t->sources[in.index].out;
}

static const char *input_name(const task_t *t, input_t in) {
    return in.is_rule ? t->plan->rules[in.index].name : t->sources[in.index].spec->name;
}

static const names_t *input_columns(const task_t *t, input_t in) {
    return in.is_rule ? &t->pipelines[in.index].extras : &t->sources[in.index].extras;
}

static void rule_input(task_t *t, pipeline_t *p, stream_t *out) {
    const rule_t *r = p->rule;
    if (r->n_from == 1) {
        *out = *input_stream(t, r->from[0]);
        if (r->needs_all || names_index(&r->needs, FROM_COLUMN) >= 0)
            out->batch = merge_name(&t->arena, out->batch, input_name(t, r->from[0]));
        return;
    }
    merge_input_t *in = arena_array(&t->arena, merge_input_t, r->n_from);
    for (uint32_t i = 0; i < r->n_from; i++)
        in[i] = (merge_input_t){input_name(t, r->from[i]), input_stream(t, r->from[i]), input_columns(t, r->from[i])};
    merge_streams(&t->step, in, r->n_from, &p->valve, out);
}

static void quarantine(task_t *t, uint32_t index) {
    const plan_t *plan = t->plan;
    t->pipelines[index].stats.quarantined = 1;
    for (uint32_t i = index + 1; i < plan->n_rules; i++)
        for (uint32_t k = 0; k < plan->rules[i].n_from; k++) {
            input_t in = plan->rules[i].from[k];
            if (in.is_rule && t->pipelines[in.index].stats.quarantined)
                t->pipelines[i].stats.quarantined = 1;
        }
}

/* The script is dead: a new one from the same texts gives every function its old number. */
static void reopen_script(task_t *t) {
    script_t *fresh = NULL;
    plan_t *plan = NULL;
    faults_t faults = {0};
    error_t e = {0};
    if (script_open(&fresh, &t->options.limits, t->options.log, &e) ||
        script_load_texts(fresh, script_texts(t->script), t->options.config, &plan, &faults)) {
        log_say(t->options.log, LOG_ERROR, "engine", "the rules that ran a moment ago do not load again: %s",
                faults.n ? faults.at[0].text : e.text);
        abort();
    }
    script_close(t->script);
    plan_free(plan);
    faults_fini(&faults);
    t->script = t->step.script = fresh;
}

static void rule_overran(task_t *t, pipeline_t *p, const stream_t *in) {
    last_error_t *last = &t->errors[p->rule->index];
    last->count++;
    snprintf(last->text, sizeof last->text, "rule \"%s\" (%s:%d): %s", p->rule->name, p->rule->file, p->rule->line,
             script_error(t->script));
    log_say(t->options.log, LOG_ERROR, "rules",
            "%s; it is quarantined, with the rules that read it, until its text changes", last->text);
    quarantine(t, p->rule->index);
    reopen_script(t);
    pipeline_skip(p, &t->step, in);
}

static void run_rules(task_t *t) {
    for (uint32_t i = 0; i < t->plan->n_rules; i++) {
        pipeline_t *p = &t->pipelines[i];
        stream_t in;
        rule_input(t, p, &in);
        const fast_unnest_t *f = &t->fast[i];
        const unnested_t *fast = f->used ? &t->sources[f->source].decoded.unnested[f->index] : NULL;
        if (p->stats.quarantined)
            pipeline_skip(p, &t->step, &in);
        else if (pipeline_run(p, &t->step, &in, fast, &t->outbox))
            rule_overran(t, p, &in);
    }
}

static void count_bad_lines(task_t *t, const event_t *events, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (events[i].kind != EVENT_BAD_LINE)
            continue;
        uint64_t before = t->bad_lines++;
        if (report_due(before, t->bad_lines))
            log_say(t->options.log, LOG_WARN, "engine", "input line %lld: %s; %llu such so far",
                    (long long)events[i].record.offset, events[i].reason, (unsigned long long)t->bad_lines);
    }
}

int task_step(task_t *t, const event_t *events, uint32_t n, wall_t wall, error_t *e) {
    decode_sources(t, events, n, wall);
    int rc = find_stop(t, &n, e);
    if (rc)
        decode_sources(t, events, n, wall);
    count_bad_lines(t, events, n);
    count_records(t);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        take_bad(t, &t->sources[i]);
    advance_watermarks(t, events, n);
    run_rules(t);
    outbox_sort(&t->outbox, n);
    return rc;
}

int task_finish(task_t *t, error_t *e) {
    event_t end = {.kind = EVENT_WATERMARK, .time = ETIME_MAX};
    return task_step(t, &end, 1, (wall_t){0}, e);
}

void task_since(task_t *t, etime_t since) { t->since = t->step.since = since; }

const outbox_t *task_outbox(const task_t *t) { return &t->outbox; }

/* ---- state ---- */

void task_rebuild(task_t *t) {
    for (uint32_t i = 0; i < t->plan->n_rules; i++)
        pipeline_rebuild(&t->pipelines[i]);
}

void task_commit(task_t *t) { store_commit(t->store); }

void task_abort(task_t *t) {
    store_abort(t->store);
    task_rebuild(t);
}

void task_reload(task_t *t, script_t *script, plan_t *plan) {
    pipelines_free(t);
    script_close(t->script);
    plan_free(t->plan);
    t->script = script;
    t->plan = plan;
    pipelines_make(t);
}

/* Topics by name, then each source's watermark by the source's name, then each rule's valve by the rule's. */
void task_save_meta(const task_t *t, buf_t *b) {
    buf_add_varint(b, t->n_topics);
    for (uint32_t i = 0; i < t->n_topics; i++)
        buf_add_bytes(b, t->topics[i], strlen(t->topics[i]));
    buf_t part = {0};
    buf_add_varint(b, t->options.config->n_sources);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        buf_clear(&part);
        watermark_save(&t->sources[i].watermark, &part);
        buf_add_bytes(b, t->sources[i].spec->name, strlen(t->sources[i].spec->name));
        buf_add_bytes(b, part.s, part.len);
    }
    buf_add_varint(b, t->plan->n_rules);
    for (uint32_t i = 0; i < t->plan->n_rules; i++) {
        buf_clear(&part);
        valve_save(&t->pipelines[i].valve, &part);
        buf_add_bytes(b, t->plan->rules[i].name, strlen(t->plan->rules[i].name));
        buf_add_char(b, (char)t->pipelines[i].stats.quarantined);
        buf_add_bytes(b, part.s, part.len);
    }
    buf_fini(&part);
}

static int load_sources(task_t *t, reader_t *r, const int32_t *remap, uint32_t n_remap) {
    uint64_t n = read_varint(r);
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        slice_t name = read_bytes(r), bytes = read_bytes(r);
        for (uint32_t k = 0; k < t->options.config->n_sources; k++) {
            reader_t part = reader_of(bytes.s, bytes.len);
            if (slice_eq(name, slice_of(t->sources[k].spec->name)) &&
                watermark_load(&t->sources[k].watermark, &part, remap, n_remap))
                return ERR_INVALID;
        }
    }
    return r->bad ? ERR_INVALID : 0;
}

int task_load_meta(task_t *t, reader_t *r) {
    uint64_t n = read_varint(r);
    if (r->bad || n > r->len)
        return ERR_INVALID;
    int32_t *remap = mem_alloc((size_t)(n + 1) * sizeof *remap);
    for (uint64_t i = 0; i < n; i++)
        remap[i] = task_topic(t, read_bytes(r));
    int rc = load_sources(t, r, remap, (uint32_t)n);
    mem_free(remap);
    if (rc)
        return rc;
    n = read_varint(r);
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        slice_t name = read_bytes(r);
        int quarantined = read_u8(r);
        slice_t bytes = read_bytes(r);
        for (uint32_t k = 0; k < t->plan->n_rules; k++) {
            reader_t part = reader_of(bytes.s, bytes.len);
            if (!slice_eq(name, slice_of(t->plan->rules[k].name)))
                continue;
            t->pipelines[k].stats.quarantined = quarantined;
            valve_load(&t->pipelines[k].valve, &part); /* other inputs than then: it starts anew */
        }
    }
    return r->bad ? ERR_INVALID : 0;
}

/* ---- questions ---- */

store_t *task_store(task_t *t) { return t->store; }
const plan_t *task_plan(const task_t *t) { return t->plan; }
const rule_texts_t *task_texts(const task_t *t) { return script_texts(t->script); }
const char *const *task_topics(const task_t *t) { return (const char *const *)t->topics; }
uint32_t task_n_sources(const task_t *t) { return t->options.config->n_sources; }
const watermark_t *task_watermark(const task_t *t, uint32_t source) { return &t->sources[source].watermark; }
const source_stats_t *task_source_stats(const task_t *t, uint32_t source) { return &t->sources[source].stats; }
const rule_stats_t *task_rule_stats(const task_t *t, uint32_t rule) { return &t->pipelines[rule].stats; }
const last_error_t *task_rule_error(const task_t *t, uint32_t rule) { return &t->errors[rule]; }
uint64_t task_bad_lines(const task_t *t) { return t->bad_lines; }

int32_t task_topics_find(const char *const *topics, slice_t name) {
    for (int32_t i = 0; topics[i]; i++)
        if (slice_eq(slice_of(topics[i]), name))
            return i;
    return -1;
}

int32_t task_topic(const task_t *t, slice_t name) { return task_topics_find((const char *const *)t->topics, name); }

etime_t task_low_watermark(const task_t *t) {
    etime_t low = ETIME_MAX;
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        if (t->sources[i].watermark.now < low)
            low = t->sources[i].watermark.now;
    return low;
}
