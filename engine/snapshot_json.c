#include "snapshot_json.h"

#include "json.h"
#include "number.h"
#include "timefmt.h"

const char *snapshot_phase_name(phase_t phase) {
    static const char *const names[] = {"starting", "standing by", "restoring", "active"};
    return names[phase];
}

/* Members end with a comma; the one that closes the object takes the last comma away. */
static void text_member(buf_t *b, const char *name, const char *text) {
    buf_printf(b, "\"%s\":", name);
    if (text)
        json_write_string(b, text, strlen(text));
    else
        buf_add_str(b, "null");
    buf_add_char(b, ',');
}

static void count_member(buf_t *b, const char *name, uint64_t n) {
    buf_printf(b, "\"%s\":%llu,", name, (unsigned long long)n);
}
static void flag_member(buf_t *b, const char *name, int yes) {
    buf_printf(b, "\"%s\":%s,", name, yes ? "true" : "false");
}

static void time_member(buf_t *b, const char *name, etime_t t) {
    if (t == ETIME_MIN || t == ETIME_MAX)
        buf_printf(b, "\"%s\":null,", name);
    else
        buf_printf(b, "\"%s\":%lld,", name, (long long)t);
}

static void offset_member(buf_t *b, const char *name, int64_t n) {
    if (n < 0)
        buf_printf(b, "\"%s\":null,", name);
    else
        buf_printf(b, "\"%s\":%lld,", name, (long long)n);
}

static void close_with(buf_t *b, char c) {
    if (b->s[b->len - 1] == ',')
        b->len--;
    buf_add_char(b, c);
}

/* ---- sources ---- */

static void write_partition(const snapshot_partition_t *p, int holds, buf_t *b) {
    buf_add_char(b, '{');
    text_member(b, "topic", p->topic);
    offset_member(b, "partition", p->partition);
    offset_member(b, "task", p->task);
    time_member(b, "watermark", p->watermark);
    time_member(b, "max_event_time", p->max_time);
    flag_member(b, "idle", p->idle);
    flag_member(b, "holds_back", holds);
    count_member(b, "records", p->records);
    count_member(b, "bad_records", p->bad);
    offset_member(b, "next_offset", p->next);
    offset_member(b, "lag", p->lag);
    time_member(b, "last_advance", p->moved.ms);
    close_with(b, '}');
}

/* topic NULL: a task of another process; which partition it is, only that one knows. */
static void write_held(buf_t *b, const char *topic, int32_t partition, int32_t task, wall_t since, etime_t watermark,
                       wall_t moved) {
    buf_add_str(b, "\"held_back_by\":{");
    text_member(b, "topic", topic);
    offset_member(b, "partition", partition);
    offset_member(b, "task", task);
    time_member(b, "since", since.ms);
    time_member(b, "watermark", watermark);
    time_member(b, "last_advance", moved.ms);
    close_with(b, '}');
    buf_add_char(b, ',');
}

static void write_holder(const snapshot_source_t *s, buf_t *b) {
    const snapshot_partition_t *p = snapshot_holder(s);
    if (p)
        write_held(b, p->topic, p->partition, p->task, s->held_since, p->watermark, p->moved);
    else if (s->elsewhere >= 0)
        write_held(b, NULL, -1, s->elsewhere, s->held_since, s->levels[s->elsewhere].watermark, s->heard_at);
    else
        buf_add_str(b, "\"held_back_by\":null,");
}

/* Where there are several tasks: how far each has come with it. */
static void write_levels(const snapshot_source_t *s, buf_t *b) {
    buf_add_str(b, "\"tasks\":[");
    for (uint32_t i = 0; i < s->n_levels; i++) {
        const snapshot_level_t *l = &s->levels[i];
        buf_add_char(b, '{');
        count_member(b, "task", i);
        flag_member(b, "here", l->here);
        flag_member(b, "known", l->heard);
        time_member(b, "watermark", l->watermark);
        flag_member(b, "idle", l->idle);
        close_with(b, '}');
        buf_add_char(b, ',');
    }
    close_with(b, ']');
    buf_add_char(b, ',');
}

static void write_source(const snapshot_source_t *s, buf_t *b) {
    buf_add_char(b, '{');
    text_member(b, "name", s->name);
    count_member(b, "records", s->stats.records);
    count_member(b, "bad_records", s->stats.bad);
    count_member(b, "null_records", s->stats.tombstones);
    time_member(b, "watermark", s->watermark);
    flag_member(b, "idle", s->idle);
    write_holder(s, b);
    write_levels(s, b);
    buf_add_str(b, "\"partitions\":[");
    const snapshot_partition_t *holder = snapshot_holder(s);
    for (uint32_t i = 0; i < s->n_parts; i++) {
        write_partition(&s->parts[i], holder && holder == &s->parts[i], b);
        buf_add_char(b, ',');
    }
    close_with(b, ']');
    buf_add_char(b, '}');
}

/* ---- what a rule waits for ---- */

static void say_time(buf_t *b, etime_t t) { timefmt_write(b, t, TIME_ISO8601); }

static void say_source(const snapshot_t *s, const snapshot_source_t *src, buf_t *text) {
    if (src->explicit_only) {
        buf_printf(text, "an explicit watermark of source %s (watermark = \"none\")", src->name);
        return;
    }
    if (src->holder < 0) {
        const char *form = src->n_parts == 0 && src->n_levels == 0 ? "the first record of source %s"
                           : src->holds ? "source %s, of which every partition is idle and which holds its event time "
                                          "then (on_all_idle = \"hold\")"
                                        : "source %s, of which every partition is idle; its event time goes on with "
                                          "the wall clock";
        buf_printf(text, form, src->name);
        return;
    }
    const snapshot_partition_t *p = &src->parts[src->holder];
    buf_printf(text, "%s/%d, ", p->topic, p->partition);
    if (p->watermark == ETIME_MIN) {
        buf_add_str(text, "which gave no record yet");
    } else {
        buf_add_str(text, "whose watermark is at ");
        say_time(text, p->watermark);
    }
    buf_printf(text, "; nothing newer from it for %.1f s, and it holds back source %s for %.1f s",
               (double)(s->at.ms - p->moved.ms) / 1000.0, src->name, (double)(s->at.ms - src->held_since.ms) / 1000.0);
}

static int is_restored_here(const snapshot_t *s, int task) {
    for (uint32_t i = 0; i < s->n_tasks; i++)
        if (s->tasks[i].task == task)
            return 1;
    return 0;
}

static void say_elsewhere(const snapshot_t *s, const snapshot_source_t *src, buf_t *text) {
    int task = src->elsewhere;
    const snapshot_level_t *l = &src->levels[task];
    buf_printf(text, "task %d, which %s: ", task,
               is_restored_here(s, task) ? "is being restored here"
                                         : "another process has (its /rules says which partition)");
    if (l->heard && l->watermark != ETIME_MIN) {
        buf_printf(text, "its watermark of source %s, over partitions %d, %lld, ..., is at ", src->name, task,
                   (long long)task + src->n_levels);
        say_time(text, l->watermark);
    } else {
        buf_printf(text, "%s of source %s", l->heard ? "it has no event time yet" : "it has not said anything yet",
                   src->name);
    }
    buf_printf(text, "; nothing newer from it for %.1f s, and it holds back source %s for %.1f s",
               (double)(s->at.ms - src->heard_at.ms) / 1000.0, src->name,
               (double)(s->at.ms - src->held_since.ms) / 1000.0);
}

/* How far a source has come for a rule: at the tasks that are here, or at all: the least of those that are not idle. */
static etime_t come_to(const snapshot_source_t *src, const snapshot_rule_t *r) {
    etime_t least = ETIME_MAX, most = ETIME_MIN;
    if (!r->view.crosses || !src->n_levels)
        return src->watermark;
    for (uint32_t i = 0; i < src->n_levels; i++) {
        etime_t wm = src->levels[i].watermark;
        most = wm > most ? wm : most;
        if (!src->levels[i].idle && wm < least)
            least = wm;
    }
    return least == ETIME_MAX ? most : least;
}

/* Sources that have not come as far as what is next, each with the partition or the task that holds it back. */
static void write_waits(const snapshot_t *s, const snapshot_rule_t *r, buf_t *b) {
    etime_t next = r->view.next;
    int any = 0;
    if (next == ETIME_MAX && r->view.kept) {
        text_member(b, "waits_for", "open matches wait for further rows; without `within` they have no end");
        return;
    }
    if (next == ETIME_MAX) {
        buf_add_str(b, "\"waits_for\":null,");
        return;
    }
    buf_t text = {0};
    if (r->stats.quarantined)
        buf_add_str(&text, "the rule is quarantined until its text changes; ");
    buf_add_str(&text, r->view.next_end != ETIME_MAX ? "the window fires when event time reaches "
                                                     : "goes on when event time reaches ");
    say_time(&text, next);
    buf_add_str(&text, " and waits for ");
    for (uint32_t i = 0; i < s->n_sources; i++) {
        const snapshot_source_t *src = &s->sources[i];
        if (!r->sources[i] || come_to(src, r) >= next)
            continue;
        if (any++)
            buf_add_str(&text, "; and for ");
        if (r->view.crosses && src->elsewhere >= 0 && !src->explicit_only)
            say_elsewhere(s, src, &text);
        else
            say_source(s, src, &text);
    }
    if (!any)
        buf_add_str(&text, r->view.crosses ? "what the other tasks say with their next commit" : "the next step");
    text_member(b, "waits_for", buf_cstr(&text));
    buf_fini(&text);
}

static void write_error(const snapshot_rule_t *r, buf_t *b) {
    if (!r->error[0]) {
        buf_add_str(b, "\"last_error\":null,");
        return;
    }
    text_member(b, "last_error", r->error);
}

static void write_counters(const rule_stats_t *s, buf_t *b) {
    buf_add_str(b, "\"counters\":{");
    count_member(b, "rows_in", s->rows_in);
    count_member(b, "emitted", s->emitted);
    count_member(b, "updates", s->updates);
    count_member(b, "tombstones", s->tombstones);
    count_member(b, "late", s->late);
    count_member(b, "errors", s->errors);
    count_member(b, "limits", s->limits);
    count_member(b, "held_back", s->held_back);
    count_member(b, "skipped", s->skipped);
    count_member(b, "dropped_windows", s->dropped_windows);
    close_with(b, '}');
    buf_add_char(b, ',');
}

static void write_rule(const snapshot_t *s, const snapshot_rule_t *r, buf_t *b) {
    buf_add_char(b, '{');
    text_member(b, "name", r->name);
    text_member(b, "version", r->version);
    buf_printf(b, "\"defined_at\":");
    buf_t place = {0};
    buf_printf(&place, "%s:%d", r->file, r->line);
    json_write_string(b, place.s, place.len);
    buf_fini(&place);
    buf_add_char(b, ',');
    text_member(b, "to", r->to);
    text_member(b, "mode", r->shadow ? "shadow" : "active");
    text_member(b, "operator", r->view.operator_name);
    text_member(b, "verdict", r->view.verdict);
    flag_member(b, "quarantined", r->stats.quarantined);
    write_counters(&r->stats, b);
    write_error(r, b);
    count_member(b, "open_windows", r->view.open_windows);
    count_member(b, "leaving_versions", r->view.leaving);
    count_member(b, "waiting_rows", r->view.waiting);
    count_member(b, "keys", r->view.keys);
    count_member(b, "match_rows", r->view.kept);
    buf_printf(b, "\"seconds\":%.6f,", (double)r->stats.time_ns / 1e9);
    buf_printf(b, "\"longest_evaluation_seconds\":%.3f,", (double)r->stats.longest_ns / 1e9);
    count_member(b, "state_bytes", r->view.state_bytes);
    count_member(b, "state_entries", r->view.state_entries);
    time_member(b, "watermark", r->view.watermark);
    flag_member(b, "idle", r->view.idle);
    time_member(b, "next_window_end", r->view.next_end);
    write_waits(s, r, b);
    buf_add_str(b, "\"history\":[");
    for (int i = 0; i < SNAPSHOT_HISTORY; i++)
        buf_printf(b, "%s%u", i ? "," : "", r->history[i]);
    buf_add_str(b, "]}");
}

static void write_reload(const snapshot_t *s, buf_t *b) {
    if (!s->reload_at.ms) {
        buf_add_str(b, "\"last_reload\":null,");
        return;
    }
    buf_add_str(b, "\"last_reload\":{");
    time_member(b, "at", s->reload_at.ms);
    flag_member(b, "ok", s->reload_ok);
    text_member(b, "text", s->reload_text);
    close_with(b, '}');
    buf_add_char(b, ',');
}

static void write_tasks(const snapshot_t *s, buf_t *b) {
    count_member(b, "parallelism", (uint64_t)s->parallelism);
    buf_add_str(b, "\"tasks\":[");
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        buf_add_char(b, '{');
        offset_member(b, "task", s->tasks[i].task);
        text_member(b, "phase", snapshot_phase_name(s->tasks[i].phase));
        text_member(b, "version", s->tasks[i].version);
        close_with(b, '}');
        buf_add_char(b, ',');
    }
    close_with(b, ']');
    buf_add_char(b, ',');
}

void snapshot_json_write(const snapshot_t *s, buf_t *b) {
    buf_add_char(b, '{');
    text_member(b, "phase", snapshot_phase_name(s->phase));
    time_member(b, "phase_since", s->phase_since.ms);
    time_member(b, "at", s->at.ms);
    time_member(b, "started", s->started.ms);
    text_member(b, "version", s->version);
    write_reload(s, b);
    count_member(b, "reloads", s->reloads_ok);
    count_member(b, "reloads_refused", s->reloads_failed);
    count_member(b, "commits", s->commits);
    count_member(b, "rollbacks", s->rollbacks);
    count_member(b, "state_bytes", s->state_bytes);
    count_member(b, "history_ms", SNAPSHOT_HISTORY_MS);
    text_member(b, "foreign_rules", s->foreign);
    write_tasks(s, b);
    buf_add_str(b, "\"sources\":[");
    for (uint32_t i = 0; i < s->n_sources; i++) {
        write_source(&s->sources[i], b);
        buf_add_char(b, ',');
    }
    close_with(b, ']');
    buf_add_str(b, ",\"rules\":[");
    for (uint32_t i = 0; i < s->n_rules; i++) {
        write_rule(s, &s->rules[i], b);
        buf_add_char(b, ',');
    }
    close_with(b, ']');
    buf_add_str(b, "}\n");
}
