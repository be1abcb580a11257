#include "report.h"

#include <stdarg.h>
#include <stdio.h>

#include "mem.h"
#include "select.h"

int report_due(uint64_t before, uint64_t now) {
    uint64_t step = 1;
    while (step <= before && step < UINT64_MAX / 10)
        step *= 10;
    return step <= now;
}

static void keep(const step_t *s, const char *text) {
    const report_t *r = s->task;
    last_error_t *last = &r->errors[s->rule_index];
    last->count++;
    snprintf(last->text, sizeof last->text, "%.599s", text);
}

/* The text behind "place:line: " where the place is none of the user's: a driver of the engine (which the message names
 * when the function handed its last call over to it), or a script within the program. Else the text; *placed: it has a
 * place of its own. */
static const char *without_own_place(const char *text, const char *file, int *placed) {
    static const char *const drivers[] = {"row.", "process.", "match.", "scripts/"};
    const char *at = strstr(text, ".lua:");
    at = at ? at + 4 : strchr(text, ':');
    size_t digits = at ? strspn(at + 1, "0123456789") : 0;
    *placed = digits > 0 && strncmp(at + 1 + digits, ": ", 2) == 0;
    for (size_t i = 0; *placed && i < sizeof drivers / sizeof *drivers; i++) {
        size_t len = strlen(drivers[i]);
        if (strncmp(text, drivers[i], len) != 0 || strncmp(file, drivers[i], len) == 0)
            continue;
        *placed = 0;
        return at + 1 + digits + 2;
    }
    return text;
}

void step_errors(step_t *s, const rule_t *rule, fn_t fn, const batch_t *rows, const eval_errors_t *e) {
    if (e->count == 0)
        return;
    report_t *r = s->task;
    uint64_t before = s->stats->errors;
    s->stats->errors += e->count;
    const fn_info_t *f = fn >= 0 && (uint32_t)fn < r->plan->n_fns ? &r->plan->fns[fn] : NULL;
    const char *file = f ? f->file : rule->file;
    int placed;
    const char *why = without_own_place(e->first, file ? file : "", &placed);
    char text[700], from[200] = "", place[200] = "";
    if (!placed && file)
        snprintf(from, sizeof from, "%s:%d: ", file, f ? f->line : rule->line);
    if (rows && e->first_row < rows->n) {
        const origin_t *o = batch_origin(rows, e->first_row);
        if (o->topic != TOPIC_NONE)
            snprintf(place, sizeof place, " (record %s/%d@%lld)", s->topics[o->topic], o->partition,
                     (long long)o->offset);
        else
            snprintf(place, sizeof place, " (row of event time %lld)", (long long)o->time);
    }
    snprintf(text, sizeof text, "%s of rule \"%s\" failed: %s%s%s", f ? f->what : "function", rule->name, from, why,
             place);
    keep(s, text);
    if (report_due(before, s->stats->errors))
        log_say(s->log, LOG_WARN, "rules", "%s; %llu so far", text, (unsigned long long)s->stats->errors);
}

void step_overrun(step_t *s, uint32_t tick) {
    if (!s->overrun[0])
        snprintf(s->overrun, sizeof s->overrun, "%s", script_error(s->script));
    if (!s->cut || tick < s->stop)
        s->stop = tick;
    s->cut = 1;
    if (!s->generation)
        return;
    generation_reopen(s->generation);
    s->script = s->generation->script;
}

uint32_t step_rows_before_stop(const step_t *s, const batch_t *b) {
    uint32_t n = b->n;
    while (s->cut && n > 0 && batch_origin(b, n - 1)->tick >= s->stop)
        n--;
    return n;
}

void step_cut(step_t *s, stream_t *in) {
    uint32_t n = step_rows_before_stop(s, in->batch);
    if (n < in->batch->n)
        in->batch = batch_first(s->arena, in->batch, n);
    while (s->cut && in->n_marks > 0 && in->marks[in->n_marks - 1].tick >= s->stop)
        in->n_marks--;
}

static void say(step_t *s, const rule_t *rule, uint64_t *count, const char *fmt, va_list ap) {
    char what[400], text[600];
    vsnprintf(what, sizeof what, fmt, ap);
    snprintf(text, sizeof text, "rule \"%s\": %s", rule->name, what);
    keep(s, text);
    uint64_t before = (*count)++;
    if (report_due(before, *count))
        log_say(s->log, LOG_WARN, "rules", "%s; %llu such so far", text, (unsigned long long)*count);
}

void step_fault(step_t *s, const rule_t *rule, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(s, rule, &s->stats->errors, fmt, ap);
    va_end(ap);
}

void step_limit(step_t *s, const rule_t *rule, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(s, rule, &s->stats->limits, fmt, ap);
    va_end(ap);
}

const names_t *step_extras(const step_t *s) {
    const report_t *r = s->task;
    return &r->extras[s->rule_index];
}

void step_late(step_t *s, const rule_t *rule, const batch_t *rows, uint32_t row, uint32_t tick) {
    s->stats->late++;
    if (!rule->late_to || rule->mode == MODE_SHADOW)
        return;
    report_t *r = s->task;
    const origin_t *o = batch_origin(rows, row);
    buf_t text = {0};
    select_write_row(s, step_extras(s), rule->time_format, rows, row, &text);
    header_t *h = arena_array(s->arena, header_t, 3);
    h[0] = (header_t){"ananas-rule", slice_of(rule->name)};
    h[1] = (header_t){"ananas-rule-version", slice_of(rule->version)};
    h[2] = (header_t){"ananas-reason", slice_of("late")};
    outbox_t *out = r->outbox;
    mem_grow(&out->at, &out->cap, out->n + 1, sizeof *out->at);
    out->at[out->n++] = (out_record_t){.topic = rule->late_to,
                                       .key = o->key,
                                       .value = {arena_dup(s->arena, text.s, text.len), text.len},
                                       .headers = h,
                                       .n_headers = 3,
                                       .tick = tick,
                                       .rule = (int32_t)s->rule_index,
                                       .kind = OUT_LATE,
                                       .time = o->time};
    buf_fini(&text);
}
