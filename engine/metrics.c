#include "metrics.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "number.h"
#include "version.h"

typedef struct subject { /* what one sample is about */
    const snapshot_t *all;
    const snapshot_source_t *source;
    const snapshot_partition_t *part;
    const snapshot_rule_t *rule;
} subject_t;

typedef struct metric {
    const char *name, *type, *help;
    double (*value)(const subject_t *s); /* ABSENT: there is no sample */
} metric_t;

#define ABSENT (-1e300)
#define READ(name, expr) \
    static double name(const subject_t *s) { return (double)(expr); }

static double seconds_or_absent(etime_t t) { return t == ETIME_MIN || t == ETIME_MAX ? ABSENT : (double)t / 1000.0; }
static double behind(const subject_t *s, etime_t t) {
    return t == ETIME_MIN || t == ETIME_MAX ? ABSENT : (double)(s->all->at.ms - t) / 1000.0;
}

READ(source_records, s->source->stats.records)
READ(source_bad, s->source->stats.bad)
READ(source_null, s->source->stats.tombstones)
READ(source_bytes, s->source->stats.bytes)
READ(source_watermark, seconds_or_absent(s->source->watermark))
READ(source_lag, behind(s, s->source->watermark))
READ(source_idle, s->source->idle)

static const metric_t source_metrics[] = {
    {"ananas_source_records_total", "counter", "Records read.", source_records},
    {"ananas_source_bad_records_total", "counter", "Records that could not be used.", source_bad},
    {"ananas_source_null_records_total", "counter", "Records without a value, which are skipped.", source_null},
    {"ananas_source_read_bytes_total", "counter", "Bytes of the values of records read.", source_bytes},
    {"ananas_source_watermark_timestamp_seconds", "gauge", "Event time that the source has reached.", source_watermark},
    {"ananas_source_watermark_lag_seconds", "gauge", "How far event time is behind the wall clock.", source_lag},
    {"ananas_source_idle", "gauge", "1 while all partitions of the source are idle.", source_idle}};

READ(part_records, s->part->records)
READ(part_bad, s->part->bad)
READ(part_watermark, seconds_or_absent(s->part->watermark))
READ(part_watermark_lag, behind(s, s->part->watermark))
READ(part_lag, s->part->lag < 0 ? ABSENT : (double)s->part->lag)
READ(part_offset, s->part->next < 0 ? ABSENT : (double)s->part->next)
READ(part_idle, s->part->idle)
READ(part_holds, s->part == snapshot_holder(s->source))

static const metric_t part_metrics[] = {
    {"ananas_partition_records_total", "counter", "Records with an event time that were read from the partition.",
     part_records},
    {"ananas_partition_bad_records_total", "counter", "Records of the partition that could not be used.", part_bad},
    {"ananas_partition_watermark_timestamp_seconds", "gauge", "Event time that the partition has reached.",
     part_watermark},
    {"ananas_partition_watermark_lag_seconds", "gauge", "How far the partition's event time is behind the wall clock.",
     part_watermark_lag},
    {"ananas_partition_consumer_lag_records", "gauge", "Records on the broker that were not read yet.", part_lag},
    {"ananas_partition_next_offset", "gauge", "Offset of the next record to read.", part_offset},
    {"ananas_partition_idle", "gauge", "1 while the partition is idle and does not hold the watermark.", part_idle},
    {"ananas_partition_holds_watermark", "gauge", "1 where this partition holds the source's watermark back.",
     part_holds}};

READ(rule_rows, s->rule->stats.rows_in)
READ(rule_emitted, s->rule->stats.emitted)
READ(rule_updates, s->rule->stats.updates)
READ(rule_tombstones, s->rule->stats.tombstones)
READ(rule_late, s->rule->stats.late)
READ(rule_errors, s->rule->stats.errors)
READ(rule_limits, s->rule->stats.limits)
READ(rule_held, s->rule->stats.held_back)
READ(rule_skipped, s->rule->stats.skipped)
READ(rule_dropped, s->rule->stats.dropped_windows)
READ(rule_quarantined, s->rule->stats.quarantined)
READ(rule_windows, s->rule->view.open_windows)
READ(rule_leaving, s->rule->view.leaving)
READ(rule_waiting, s->rule->view.waiting)
READ(rule_keys, s->rule->view.keys)
READ(rule_kept, s->rule->view.kept)
READ(rule_time, (double)s->rule->stats.time_ns / 1e9)
READ(rule_longest, (double)s->rule->stats.longest_ns / 1e9)
READ(rule_bytes, s->rule->view.state_bytes)
READ(rule_entries, s->rule->view.state_entries)
READ(rule_watermark, seconds_or_absent(s->rule->view.watermark))
READ(rule_next, seconds_or_absent(s->rule->view.next_end))

static const metric_t rule_metrics[] = {
    {"ananas_rule_rows_total", "counter", "Rows that reached the rule.", rule_rows},
    {"ananas_rule_emitted_total", "counter", "Rows that the rule gave.", rule_emitted},
    {"ananas_rule_updates_total", "counter", "Results that were written again for late rows.", rule_updates},
    {"ananas_rule_tombstones_total", "counter", "Results that no longer stood and were taken back.", rule_tombstones},
    {"ananas_rule_late_rows_total", "counter", "Rows too late for every window they belong to.", rule_late},
    {"ananas_rule_errors_total", "counter", "Evaluations of the rule's functions that raised an error.", rule_errors},
    {"ananas_rule_limits_total", "counter", "Things given up because a bound was reached.", rule_limits},
    {"ananas_rule_held_back_total", "counter", "Anomalies held back by cooldown.", rule_held},
    {"ananas_rule_skipped_rows_total", "counter", "Rows that the rule did not see while it was quarantined.",
     rule_skipped},
    {"ananas_rule_dropped_windows_total", "counter", "Open windows that a reload dropped.", rule_dropped},
    {"ananas_rule_quarantined", "gauge", "1 while the rule is stopped for overrunning its budget.", rule_quarantined},
    {"ananas_rule_open_windows", "gauge", "Groups of windows that have not fired.", rule_windows},
    {"ananas_rule_leaving_versions", "gauge", "Older versions of the rule whose windows are still open.", rule_leaving},
    {"ananas_rule_waiting_rows", "gauge", "Rows that wait for their event time.", rule_waiting},
    {"ananas_rule_keys", "gauge", "Keys with state or timers; of match: partitions.", rule_keys},
    {"ananas_rule_match_rows", "gauge", "Rows kept for matches that are not decided.", rule_kept},
    {"ananas_rule_time_seconds_total", "counter", "Time that the engine and the rule's functions spent on it.",
     rule_time},
    {"ananas_rule_longest_evaluation_seconds", "gauge",
     "CPU time of the longest evaluation, from 10 ms up; the budget is ananas_evaluation_budget_seconds.",
     rule_longest},
    {"ananas_rule_state_bytes", "gauge", "Bytes of state that the rule keeps.", rule_bytes},
    {"ananas_rule_state_entries", "gauge", "Entries of state that the rule keeps.", rule_entries},
    {"ananas_rule_watermark_timestamp_seconds", "gauge", "Event time that the rule's input has reached.",
     rule_watermark},
    {"ananas_rule_next_window_end_timestamp_seconds", "gauge", "End of the window that fires next.", rule_next}};

READ(all_active, s->all->phase == PHASE_ACTIVE)
READ(all_state, s->all->state_bytes)
READ(all_entries, s->all->state_entries)
READ(all_state_max, s->all->state_max ? (double)s->all->state_max : ABSENT)
READ(all_script, s->all->script_bytes)
READ(all_script_max, s->all->script_max)
READ(all_budget, s->all->budget)
READ(all_commits, s->all->commits)
READ(all_rollbacks, s->all->rollbacks)
READ(all_reload_time, s->all->reload_at.ms ? (double)s->all->reload_at.ms / 1000.0 : ABSENT)
READ(all_reload_ok, !s->all->reload_at.ms || s->all->reload_ok)
READ(all_started, (double)s->all->started.ms / 1000.0)

static const metric_t all_metrics[] = {
    {"ananas_active", "gauge", "1 while this process owns the task; 0 while it stands by or restores.", all_active},
    {"ananas_state_bytes", "gauge", "Bytes of state of all rules.", all_state},
    {"ananas_state_entries", "gauge", "Entries of state of all rules.", all_entries},
    {"ananas_state_limit_bytes", "gauge", "Most bytes of state that there may be (max_state).", all_state_max},
    {"ananas_script_memory_bytes", "gauge", "Memory of the rules' Lua state.", all_script},
    {"ananas_script_memory_limit_bytes", "gauge", "Most memory that it may have.", all_script_max},
    {"ananas_evaluation_budget_seconds", "gauge", "CPU time after which an evaluation is stopped (budget).",
     all_budget},
    {"ananas_commits_total", "counter", "Commits of output, state and positions.", all_commits},
    {"ananas_rollbacks_total", "counter", "Times that everything since the last commit was taken back.", all_rollbacks},
    {"ananas_last_reload_timestamp_seconds", "gauge", "When rules were last reloaded, or were to be.", all_reload_time},
    {"ananas_last_reload_successful", "gauge", "0 when the last reload was refused.", all_reload_ok},
    {"process_start_time_seconds", "gauge", "When the process started.", all_started}};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- writing ---- */

static void write_head(buf_t *b, const char *name, const char *type, const char *help) {
    const char *const parts[] = {"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"};
    for (size_t i = 0; i < COUNT(parts); i++)
        buf_add_str(b, parts[i]);
}

static void write_value(buf_t *b, double v) {
    buf_add_char(b, ' ');
    if (v == (double)(int64_t)v)
        number_write_int64(b, (int64_t)v);
    else
        number_write_double(b, v);
    buf_add_char(b, '\n');
}

static void write_label(buf_t *b, int first, const char *name, const char *value) {
    buf_add_char(b, first ? '{' : ',');
    buf_add_str(b, name);
    buf_add_str(b, "=\"");
    for (; *value; value++) {
        if (*value == '\n') {
            buf_add_str(b, "\\n");
            continue;
        }
        if (*value == '"' || *value == '\\')
            buf_add_char(b, '\\');
        buf_add_char(b, *value);
    }
    buf_add_char(b, '"');
}

static void write_labels(buf_t *b, const subject_t *s) {
    char number[16];
    if (s->source)
        write_label(b, 1, "source", s->source->name);
    if (s->part) {
        snprintf(number, sizeof number, "%d", s->part->partition);
        write_label(b, 0, "topic", s->part->topic);
        write_label(b, 0, "partition", number);
    }
    if (s->rule)
        write_label(b, 1, "rule", s->rule->name);
    if (s->source || s->rule)
        buf_add_char(b, '}');
}

static void write_sample(buf_t *b, const metric_t *m, const subject_t *s) {
    double v = m->value(s);
    if (v == ABSENT)
        return;
    buf_add_str(b, m->name);
    write_labels(b, s);
    write_value(b, v);
}

static void write_sources(const snapshot_t *s, buf_t *b) {
    for (size_t m = 0; m < COUNT(source_metrics); m++) {
        write_head(b, source_metrics[m].name, source_metrics[m].type, source_metrics[m].help);
        for (uint32_t i = 0; i < s->n_sources; i++)
            write_sample(b, &source_metrics[m], &(subject_t){s, &s->sources[i], NULL, NULL});
    }
    for (size_t m = 0; m < COUNT(part_metrics); m++) {
        write_head(b, part_metrics[m].name, part_metrics[m].type, part_metrics[m].help);
        for (uint32_t i = 0; i < s->n_sources; i++)
            for (uint32_t k = 0; k < s->sources[i].n_parts; k++)
                write_sample(b, &part_metrics[m], &(subject_t){s, &s->sources[i], &s->sources[i].parts[k], NULL});
    }
}

static void write_rules(const snapshot_t *s, buf_t *b) {
    for (size_t m = 0; m < COUNT(rule_metrics); m++) {
        write_head(b, rule_metrics[m].name, rule_metrics[m].type, rule_metrics[m].help);
        for (uint32_t i = 0; i < s->n_rules; i++)
            write_sample(b, &rule_metrics[m], &(subject_t){s, NULL, NULL, &s->rules[i]});
    }
    write_head(b, "ananas_rule_info", "gauge", "Version of the rule, and what the last reload did to it.");
    for (uint32_t i = 0; i < s->n_rules; i++) {
        const char *verdict = s->rules[i].view.verdict ? s->rules[i].view.verdict : "loaded";
        char word[32]; /* the verdict alone: its reason would make a series of every reload */
        snprintf(word, sizeof word, "%.*s", (int)strcspn(verdict, ":"), verdict);
        buf_add_str(b, "ananas_rule_info");
        write_label(b, 1, "rule", s->rules[i].name);
        write_label(b, 0, "version", s->rules[i].version);
        write_label(b, 0, "verdict", word);
        write_label(b, 0, "mode", s->rules[i].shadow ? "shadow" : "active");
        buf_add_str(b, "} 1\n");
    }
}

static void write_histogram(const char *name, const char *help, const double *bounds, const histogram_t *h, buf_t *b) {
    uint64_t below = 0;
    write_head(b, name, "histogram", help);
    for (int i = 0; i < SNAPSHOT_BUCKETS; i++) {
        below += h->counts[i];
        buf_printf(b, "%s_bucket{le=\"%g\"} %llu\n", name, bounds[i], (unsigned long long)below);
    }
    buf_printf(b, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name, (unsigned long long)h->n, name,
               h->sum, name, (unsigned long long)h->n);
}

static void write_process(buf_t *b) {
    struct rusage use;
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lu %lu", &size, &resident) == 2) {
        write_head(b, "process_resident_memory_bytes", "gauge", "Memory of the process that is in RAM.");
        buf_printf(b, "process_resident_memory_bytes %llu\n",
                   (unsigned long long)resident * (unsigned long long)sysconf(_SC_PAGESIZE));
    }
    if (f)
        fclose(f);
    if (getrusage(RUSAGE_SELF, &use))
        return;
    write_head(b, "process_cpu_seconds_total", "counter", "CPU time of the process.");
    buf_printf(b, "process_cpu_seconds_total %.3f\n",
               (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                   (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
}

void metrics_write(const snapshot_t *s, buf_t *b) {
    for (size_t m = 0; m < COUNT(all_metrics); m++) {
        subject_t all = {s, NULL, NULL, NULL};
        write_head(b, all_metrics[m].name, all_metrics[m].type, all_metrics[m].help);
        write_sample(b, &all_metrics[m], &all);
    }
    write_head(b, "ananas_reloads_total", "counter", "Reloads of the rules, by result.");
    buf_printf(b, "ananas_reloads_total{result=\"ok\"} %llu\nananas_reloads_total{result=\"refused\"} %llu\n",
               (unsigned long long)s->reloads_ok, (unsigned long long)s->reloads_failed);
    write_head(b, "ananas_reload_verdicts_total", "counter", "What reloads did to rules.");
    for (int i = 0; i < SNAPSHOT_VERDICTS; i++)
        buf_printf(b, "ananas_reload_verdicts_total{verdict=\"%s\"} %llu\n", snapshot_verdicts[i],
                   (unsigned long long)s->verdicts[i]);
    write_head(b, "ananas_build_info", "gauge", "Version of the program.");
    buf_printf(b, "ananas_build_info{version=\"%s\",revision=\"%s\"} 1\n", ANANAS_VERSION, ANANAS_REVISION);
    write_histogram("ananas_commit_duration_seconds", "How long commits took.", snapshot_bounds, &s->commit_time, b);
    write_histogram("ananas_step_duration_seconds", "How long the rules took for the records of one poll.",
                    snapshot_bounds, &s->step_time, b);
    write_histogram("ananas_output_delay_seconds",
                    "From an anomaly's event time to its commit; of at most 8192 anomalies a commit.",
                    snapshot_delay_bounds, &s->delay, b);
    write_sources(s, b);
    write_rules(s, b);
    write_process(b);
}

void metrics_write_now(int64_t beat_ms, uint32_t connections, uint32_t readers, buf_t *b) {
    write_head(b, "ananas_loop_beat_age_seconds", "gauge", "How long ago the loop last turned.");
    buf_printf(b, "ananas_loop_beat_age_seconds %.3f\n", (double)beat_ms / 1000.0);
    write_head(b, "ananas_http_connections", "gauge", "Connections to the listener, this one included.");
    buf_printf(b, "ananas_http_connections %u\n", connections);
    write_head(b, "ananas_http_event_readers", "gauge", "Connections that read /events.");
    buf_printf(b, "ananas_http_event_readers %u\n", readers);
}
