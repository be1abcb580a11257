#include "stats.h"

#include "json.h"
#include "number.h"

static void member(buf_t *b, const char *name, uint64_t value) {
    buf_printf(b, "\"%s\":%llu,", name, (unsigned long long)value);
}

static void rule_write(const rule_stats_t *s, buf_t *b) {
    buf_add_char(b, '{');
    member(b, "rows_in", s->rows_in);
    member(b, "emitted", s->emitted);
    member(b, "updates", s->updates);
    member(b, "tombstones", s->tombstones);
    member(b, "late", s->late);
    member(b, "errors", s->errors);
    member(b, "limits", s->limits);
    member(b, "held_back", s->held_back);
    member(b, "skipped", s->skipped);
    member(b, "dropped_windows", s->dropped_windows);
    buf_printf(b, "\"quarantined\":%s}", s->quarantined ? "true" : "false");
}

void stats_write(const task_t *t, double seconds, buf_t *b) {
    const plan_t *plan = task_plan(t);
    source_stats_t sum = {.bad = task_bad_lines(t)};
    for (uint32_t i = 0; i < task_n_sources(t); i++) {
        const source_stats_t *s = task_source_stats(t, i);
        sum.records += s->records;
        sum.bad += s->bad;
        sum.tombstones += s->tombstones;
    }
    buf_add_char(b, '{');
    member(b, "records_in", sum.records);
    member(b, "bad_records", sum.bad);
    member(b, "null_values", sum.tombstones);
    buf_add_str(b, "\"rules\":{");
    for (uint32_t i = 0; i < plan->n_rules; i++) {
        if (i)
            buf_add_char(b, ',');
        json_write_string(b, plan->rules[i].name, strlen(plan->rules[i].name));
        buf_add_char(b, ':');
        rule_write(task_rule_stats(t, i), b);
    }
    etime_t low = task_low_watermark(t);
    buf_add_str(b, "},\"watermark\":");
    if (low == ETIME_MIN)
        buf_add_str(b, "null");
    else
        number_write_int64(b, low);
    buf_add_str(b, ",\"seconds\":");
    number_write_double(b, seconds);
    buf_add_str(b, "}\n");
}
