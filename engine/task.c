#include <stdio.h>

#include "mem.h"
#include "script_watchdog.h"
#include "task_parts.h"

/* ---- one step ---- */

static void step_begin(task_t *t, const intake_step_t *in) {
    arena_reset(&t->arena);
    outbox_reset(&t->outbox);
    t->step.number++;
    script_symbols(t->generation->script, in->symbols);
    if (!t->dispatch)
        return;
    dispatch_symbols(t->dispatch, in->symbols);
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++)
        if (t->pipelines[i].exchange)
            exchange_begin(t->pipelines[i].exchange);
}

static int source_has_topic(const source_run_t *s, int32_t topic) {
    for (uint32_t i = 0; i < s->spec->topics.n; i++)
        if (s->topics[i] == topic)
            return 1;
    return 0;
}

static void count_records(task_t *t) {
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        s->stats.records += s->in->n;
        for (size_t r = 0; r < s->in->n; r++)
            s->stats.bytes += s->in->records[r].value.len;
    }
}

static void dead_letter(task_t *t, const record_t *r, const char *reason) {
    header_t *list, *h;
    uint32_t n =
        r->own ? t->options.own_headers(r->own, &t->arena, 4, &list) : headers_list(r->headers, &t->arena, 4, &list);
    char text[64];
    h = list + n; /* behind those that it came with */
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
                                                 .headers = list,
                                                 .n_headers = n + 4,
                                                 .n_own = n,
                                                 .tick = r->tick,
                                                 .rule = -1,
                                                 .kind = OUT_DEAD_LETTER,
                                                 .time = r->timestamp};
    buf_fini(&topic);
}

static void take_bad_record(task_t *t, source_run_t *s, const decode_bad_t *bad) {
    const record_t *r = &s->in->records[bad->record];
    if (bad->is_tombstone) {
        s->stats.tombstones++;
        return;
    }
    uint64_t before = s->stats.bad++;
    if (report_due(before, s->stats.bad))
        log_say(t->options.log, LOG_WARN, "engine", "bad record %s/%d@%lld: %s; %llu such from source \"%s\" so far",
                t->topics[r->topic], r->partition, (long long)r->offset, bad->reason, (unsigned long long)s->stats.bad,
                s->spec->name);
    if (s->spec->on_bad == BAD_DEAD_LETTER)
        dead_letter(t, r, bad->reason);
}

static void take_bad(task_t *t) {
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        for (uint32_t k = 0; k < s->in->decoded.n_bad; k++)
            take_bad_record(t, s, &s->in->decoded.bad[k]);
    }
}

/* Where a source stops at bad records: *n becomes the tick of the first, so that nothing after it has any effect. */
static int find_stop(task_t *t, uint32_t *n, error_t *e) {
    int rc = 0;
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        for (uint32_t k = 0; s->spec->on_bad == BAD_STOP && k < s->in->decoded.n_bad; k++) {
            const decode_bad_t *bad = &s->in->decoded.bad[k];
            const record_t *r = &s->in->records[bad->record];
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
    const batch_t *b = s->in->decoded.batch;
    if (ev->kind == EVENT_RECORD) {
        if (!source_has_topic(s, ev->record.topic))
            return 0;
        uint32_t part = watermark_add(w, ev->record.topic, ev->record.partition);
        if (*good == b->n || b->origins[*good].tick != tick) /* the decoder's rows are its origins */
            return 0;
        return watermark_row(w, part, b->origins[(*good)++].time);
    }
    if (ev->kind == EVENT_WATERMARK)
        return watermark_explicit(w, ev->time);
    if (ev->kind == EVENT_CLOCK) /* time passes only where all are idle, at every task */
        return s->spec->hold_when_all_idle || (s->everywhere.n && !s->everywhere.idle) ? 0
                                                                                       : watermark_clock(w, ev->time);
    if ((ev->kind != EVENT_PARTITION && ev->kind != EVENT_IDLE) || !source_has_topic(s, ev->record.topic))
        return 0;
    uint32_t part = watermark_add(w, ev->record.topic, ev->record.partition);
    return ev->kind == EVENT_IDLE ? watermark_idle(w, part) : 0;
}

static void advance_watermarks(task_t *t, const event_t *events, uint32_t n) {
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        mark_t *marks = arena_array(&t->arena, mark_t, n + t->n_words + 1);
        uint32_t n_marks = 0, good = 0, word = 0;
        s->out = (stream_t){.batch = s->in->decoded.batch,
                            .marks = marks,
                            .wm_before = s->watermark.now,
                            .idle_before = s->watermark.idle};
        for (uint32_t e = 0; e < n; e++) {
            uint32_t tick = task_tick(t, e);
            int was_idle = s->watermark.idle;
            if (events[e].kind == EVENT_FRAME) {
                for (; word < t->n_words && t->words[word].event == e; word++)
                    if (task_hear(t, i, &t->words[word]))
                        marks[n_marks++] = (mark_t){s->watermark.now, t->words[word].tick, (uint32_t)s->watermark.idle};
                continue;
            }
            int moved = watermark_event(s, &events[e], tick, &good);
            if (t->dispatch && (moved || was_idle != s->watermark.idle)) {
                task_follow(t, s);
                moved = 1;
            }
            if (moved)
                marks[n_marks++] = (mark_t){s->watermark.now, tick, (uint32_t)s->watermark.idle};
        }
        s->out.n_marks = n_marks;
    }
}

const stream_t *task_input(const task_t *t, input_t in) {
    return in.is_rule ? &t->pipelines[in.index].out : &t->sources[in.index].out;
}

const char *task_input_name(const task_t *t, input_t in) {
    return in.is_rule ? task_rules(t)->rules[in.index].name : t->sources[in.index].spec->name;
}

const names_t *task_input_extras(const task_t *t, input_t in) {
    return in.is_rule ? &t->pipelines[in.index].extras : &t->sources[in.index].extras;
}

etime_t task_input_watermark(const task_t *t, input_t in, int *idle) {
    if (in.is_rule) {
        *idle = t->pipelines[in.index].idle;
        return t->pipelines[in.index].wm;
    }
    *idle = t->sources[in.index].watermark.idle;
    return t->sources[in.index].watermark.now;
}

static void rule_input(task_t *t, pipeline_t *p, stream_t *out) {
    const rule_t *r = p->rule;
    if (r->n_from == 1) {
        *out = *task_input(t, r->from[0]);
        if (r->needs_all || names_index(&r->needs, FROM_COLUMN) >= 0)
            out->batch = merge_name(&t->arena, out->batch, task_input_name(t, r->from[0]));
        return;
    }
    merge_input_t *in = arena_array(&t->arena, merge_input_t, r->n_from);
    for (uint32_t i = 0; i < r->n_from; i++)
        in[i] = (merge_input_t){task_input_name(t, r->from[i]), task_input(t, r->from[i]),
                                task_input_extras(t, r->from[i])};
    merge_streams(&t->step, in, r->n_from, &p->valve, out);
}

/* Where a rule stopped in this step, those that read it stop as well. */
static void stop_with_inputs(task_t *t, pipeline_t *p) {
    p->cut = 0;
    p->stop = UINT32_MAX;
    for (uint32_t k = 0; k < p->rule->n_from; k++) {
        input_t in = p->rule->from[k];
        const pipeline_t *up = in.is_rule ? &t->pipelines[in.index] : NULL;
        if (!up || !up->cut)
            continue;
        p->cut = 1;
        p->stop = up->stop < p->stop ? up->stop : p->stop;
    }
}

static void say_overrun(task_t *t, const pipeline_t *p) {
    last_error_t *last = &t->errors[p->rule->index];
    last->count++;
    snprintf(last->text, sizeof last->text, "rule \"%s\" (%s:%d): %.400s", p->rule->name, p->rule->file, p->rule->line,
             t->step.overrun);
    log_say(t->options.log, LOG_ERROR, "rules",
            "%s; it is quarantined, with the rules that read it, until its text changes", last->text);
}

/* After the watermarks: a partition takes part from the tick of its first record on, and not before. */
static void count_bad(task_t *t) {
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        watermark_t *w = &s->watermark;
        for (uint32_t k = 0; k < s->in->decoded.n_bad; k++) {
            const record_t *r = &s->in->records[s->in->decoded.bad[k].record];
            int part = s->in->decoded.bad[k].is_tombstone ? -1 : watermark_find(w, r->topic, r->partition);
            if (part >= 0)
                w->parts[part].bad++;
        }
    }
}

/* Where the time goes is for people to see: no result depends on it. */
static void count_time(pipeline_t *p, mono_t *from) {
    mono_t now = clock_mono(&clock_system);
    int64_t longest = watchdog_longest_ns();
    p->stats.time_ns += (uint64_t)(now.ns - from->ns);
    if (longest > p->stats.longest_ns)
        p->stats.longest_ns = longest;
    *from = now;
}

static void run_rules(task_t *t) {
    share_step(&t->share, t->pipelines, task_rules(t)->n_rules);
    mono_t from = clock_mono(&clock_system);
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++) {
        pipeline_t *p = &t->pipelines[i];
        stream_t in;
        rule_input(t, p, &in);
        stop_with_inputs(t, p);
        const fast_unnest_t *f = &t->fast[i];
        const unnested_t *fast = f->used ? &t->sources[f->source].in->decoded.unnested[f->index] : NULL;
        if (p->stats.quarantined)
            pipeline_skip(p, &t->step, &in);
        else if (pipeline_run(p, &t->step, &in, fast, &t->outbox))
            say_overrun(t, p);
        t->share.due |= p->cut && !p->stats.quarantined;
        p->stats.quarantined |= p->cut;
        count_time(p, &from);
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

/* A stop is what is told; a torn frame behind it is not. */
static int read_frames(task_t *t, const event_t *events, uint32_t n, uint32_t *n_ticks, int stop, error_t *e) {
    error_t untold = {0};
    if (!t->dispatch)
        return 0;
    int torn = task_read_frames(t, events, n, n_ticks, stop ? &untold : e);
    if (torn)
        return torn;
    task_renumber(t);
    return 0;
}

void task_begin(task_t *t, const event_t *events, uint32_t n, wall_t wall, int ahead) {
    intake_begin(t->intake, events, n, wall, ahead && !t->dispatch && t->options.ahead);
    profile_lap(t->options.profile, PROFILE_DECODE, NULL);
}

void task_drop(task_t *t) { intake_drop(t->intake); }

int task_next(task_t *t, error_t *e) {
    intake_step_t *in = intake_take(t->intake);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        t->sources[i].in = &in->parts[i];
    const event_t *events = in->events;
    uint32_t n = in->n;
    int rc = find_stop(t, &n, e);
    if (rc)
        intake_cut(t->intake, n);
    step_begin(t, in);
    uint32_t n_ticks = n;
    profile_add(t->options.profile, PROFILE_DECODE, in->ahead_ns);
    profile_lap(t->options.profile, PROFILE_DECODE, NULL);
    int torn = read_frames(t, events, n, &n_ticks, rc, e);
    if (torn)
        return torn;
    count_bad_lines(t, events, n);
    count_records(t);
    take_bad(t);
    advance_watermarks(t, events, n);
    count_bad(t);
    profile_lap(t->options.profile, PROFILE_WATERMARK, NULL);
    run_rules(t);
    outbox_sort(&t->outbox, n_ticks);
    if (t->dispatch)
        dispatch_take(t->dispatch, &t->outbox);
    t->stepped = 1;
    return rc;
}

int task_step(task_t *t, const event_t *events, uint32_t n, wall_t wall, error_t *e) {
    intake_begin(t->intake, events, n, wall, 0);
    return task_next(t, e);
}

int task_finish(task_t *t, error_t *e) {
    event_t end = {.kind = EVENT_WATERMARK, .time = ETIME_MAX};
    return task_step(t, &end, 1, (wall_t){0}, e);
}

void task_since(task_t *t, etime_t since) { t->since = t->step.since = since; }

const outbox_t *task_outbox(const task_t *t) { return &t->outbox; }

etime_t task_last_end(const task_t *t, slice_t rule) {
    int i = plan_rule_named(task_rules(t), rule);
    return i < 0 ? ETIME_MIN : pipeline_last_end(&t->pipelines[i]);
}

/* ---- state ---- */

void task_rebuild(task_t *t) {
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++)
        pipeline_rebuild(&t->pipelines[i]);
    share_settle(&t->share, t->pipelines, task_rules(t)->n_rules);
}

void task_commit(task_t *t) { store_commit(t->store); }

void task_abort(task_t *t) {
    store_abort(t->store);
    task_rebuild(t);
    task_drop_sent(t);
}

/* ---- questions ---- */

store_t *task_store(task_t *t) { return t->store; }
const plan_t *task_plan(const task_t *t) { return task_rules(t); }
const rule_texts_t *task_texts(const task_t *t) { return script_texts(t->generation->script); }
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
