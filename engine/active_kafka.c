#include "active_parts.h"
#include "mem.h"

#define ACTIVE_WAIT_MS 250 /* what has to be done at once wakes it */
#define ACTIVE_BUSY_MS 5   /* while a commit has to be followed */
#define TELL_MS 250        /* between two tellings of how far reading has come */

void active_remember(active_t *a) {
    uint32_t n;
    const position_t *at = source_kafka_positions(a->source, &n);
    a->safe = mem_realloc(a->safe, (n + 1) * sizeof *a->safe);
    memcpy(a->safe, at, n * sizeof *at);
    a->n_safe = n;
    buf_clear(&a->safe_meta);
    task_save_meta(a->task, &a->safe_meta);
    parallel_remember(a->parallel);
    a->committed_at = clock_mono(&clock_system);
    a->uncommitted = a->new_rules = 0;
    a->had_leaving = task_hands_over(a->task);
}

static void drop_waiting(active_t *a) {
    if (a->waiting_script)
        script_close(a->waiting_script);
    plan_free(a->waiting_plan);
    a->waiting_script = NULL;
    a->waiting_plan = NULL;
}

static void tell_committed(const active_t *a) {
    if (a->o.observer && a->o.observer->committed)
        a->o.observer->committed(a->o.observer, a->o.task, checkpoint_last_ms(a->checkpoint));
}

static void tell_dropped(const active_t *a) {
    if (a->uncommitted && a->o.observer && a->o.observer->dropped)
        a->o.observer->dropped(a->o.observer, a->o.task);
}

void active_close(active_t *a) {
    if (!a)
        return;
    tell_dropped(a);
    parallel_stop(a->parallel);
    source_close(a->source);
    checkpoint_close(a->checkpoint);
    task_free(a->task);
    parallel_free(a->parallel);
    drop_waiting(a);
    mem_free(a->events);
    mem_free(a->topics);
    mem_free(a->repartition);
    mem_free(a->safe);
    mem_free(a->readings);
    buf_fini(&a->safe_meta);
    mem_free(a);
}

/* ---- going on ---- */

/* The transaction was refused as a whole: everything since the last commit did not happen. */
static int roll_back(active_t *a, error_t *e) {
    log_say(a->o.log, LOG_WARN, "engine", "%s; rolled back to the last commit", e->text);
    int rc = checkpoint_abort(a->checkpoint, e);
    if (rc == 0 && a->o.member)
        rc = member_check_topic(a->o.member, e);
    if (rc)
        return rc;
    if (a->new_rules || a->had_leaving) /* more than positions and state would have to go back */
        return error_set(e, ERR_KAFKA, "the transaction was refused while rules were handing over");
    task_abort(a->task);
    reader_t meta = reader_of(a->safe_meta.s, a->safe_meta.len);
    if (task_load_meta(a->task, &meta, STATE_FORMAT))
        return error_set(e, ERR_INTERNAL, "watermarks of the last commit cannot be read back");
    parallel_forget(a->parallel);
    tell_dropped(a);
    a->uncommitted = a->unwritten;
    a->committed_at = clock_mono(&clock_system);
    return source_kafka_assign(a->source, a->safe, a->n_safe, e);
}

/* The interval counts from the beginning of a commit, but at least a half of it belongs to the stream. */
static void set_clock(active_t *a, mono_t begun) {
    int64_t ended = clock_mono(&clock_system).ns - a->o.config->commit_interval * 500000;
    a->committed_at = begun.ns > ended ? begun : (mono_t){ended};
}

/* Whether what was taken down has become definite. */
static int follow_commit(active_t *a, error_t *e) {
    int rc = checkpoint_turn(a->checkpoint, 0, e);
    if (rc != 1)
        return rc;
    tell_committed(a);
    return parallel_definite(a, e);
}

static int start_commit(active_t *a, error_t *e) {
    mono_t begun = clock_mono(&clock_system);
    int sent = parallel_send(a, e);
    if (sent)
        return sent == ERR_ABORTED ? roll_back(a, e) : sent;
    if (!a->uncommitted) {
        a->committed_at = begun;
        return 0;
    }
    uint32_t n;
    const position_t *at = source_kafka_positions(a->source, &n);
    if (a->o.observer && a->o.observer->committing)
        a->o.observer->committing(a->o.observer, a->o.task);
    int rc = checkpoint_commit(a->checkpoint, a->task, at, n, e);
    if (rc == ERR_ABORTED)
        return roll_back(a, e);
    if (rc)
        return rc;
    active_remember(a);
    a->unwritten = 0;
    set_clock(a, begun);
    if (!checkpoint_busy(a->checkpoint))
        tell_committed(a);
    return 0;
}

static int finish_commit(active_t *a, error_t *e) {
    if (!checkpoint_busy(a->checkpoint))
        return 0;
    int rc = checkpoint_finish(a->checkpoint, e);
    if (rc)
        return rc;
    tell_committed(a);
    return parallel_definite(a, e);
}

int active_commit(active_t *a, error_t *e) {
    int rc = start_commit(a, e);
    return rc ? rc : finish_commit(a, e);
}

changelog_reader_t *active_keep(active_t *a) {
    changelog_from_t from = {0};
    changelog_reader_t *reader = NULL;
    error_t e = {0};
    if (!a->task || a->uncommitted ||
        !checkpoint_found(a->checkpoint, a->task, a->safe, a->n_safe, &from.found, &from.offset))
        return NULL;
    from.store = task_close(a->task);
    a->task = NULL;
    if (changelog_reader_open(&reader, a->o.config, a->o.kafka, a->o.task, &from, &e))
        log_say(a->o.log, LOG_WARN, "engine", "the state is not kept warm: %s", e.text);
    return reader;
}

static uint32_t count_kind(const event_t *events, uint32_t n, event_kind_t kind) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++)
        found += events[i].kind == kind;
    return found;
}

/* A slice is on its way. Where it is decoded on this thread, that is work like any other. */
static int64_t begin_slice(active_t *a, const event_t *events, uint32_t n, wall_t wall, int ahead) {
    gate_enter(a->o.gate);
    mono_t begin = clock_mono(&clock_system);
    task_begin(a->task, events, n, wall, ahead);
    int64_t took_ns = clock_mono(&clock_system).ns - begin.ns;
    gate_leave(a->o.gate);
    return took_ns;
}

/* The earliest slice that was begun, of those events. */
static int finish_slice(active_t *a, const event_t *events, uint32_t n, int64_t *took_ns, error_t *e) {
    gate_enter(a->o.gate);
    mono_t begin = clock_mono(&clock_system);
    int stop = task_next(a->task, e);
    *took_ns += clock_mono(&clock_system).ns - begin.ns;
    gate_leave(a->o.gate); /* writing waits where the producer's queue is full */
    const outbox_t *out = task_outbox(a->task);
    uint32_t records = count_kind(events, n, EVENT_RECORD), idle = count_kind(events, n, EVENT_IDLE);
    uint32_t frames = count_kind(events, n, EVENT_FRAME);
    error_t written = {0};
    int rc = checkpoint_write(a->checkpoint, out, &written);
    a->records += records;
    a->uncommitted |= records > 0 || frames > 0 || idle > 0 || out->n > 0 || store_dirty_count(task_store(a->task)) > 0;
    if (a->o.observer && a->o.observer->wrote)
        a->o.observer->wrote(a->o.observer, a->o.task, a->task, out);
    if (rc && !stop)
        *e = written;
    if (stop || rc)
        return stop ? stop : rc;
    return frames > 0 ? parallel_rows(a, e) : 0;
}

/* The events of a poll. Many of them are a backlog: then they are taken in slices, and while the rules are at work on one
 * the next is decoded. */
static int step(active_t *a, uint32_t n, error_t *e) {
    wall_t wall = clock_wall(&clock_system);
    uint32_t slice = a->ahead && n >= 2 * ACTIVE_SLICE ? ACTIVE_SLICE : n, begun = slice, done = 0;
    int64_t took_ns = begin_slice(a, a->events, slice, wall, slice < n);
    int rc = 0;
    while (rc == 0 && done < n) {
        uint32_t from = done, next = n - begun < slice ? n - begun : slice;
        if (next > 0)
            took_ns += begin_slice(a, a->events + begun, next, wall, 1);
        done = begun;
        begun += next;
        rc = finish_slice(a, a->events + from, done - from, &took_ns, e);
    }
    task_drop(a->task);
    if (a->o.observer && a->o.observer->stepped)
        a->o.observer->stepped(a->o.observer, a->o.task, count_kind(a->events, n, EVENT_RECORD), took_ns);
    return rc;
}

static void log_positions(active_t *a, int64_t took_ns) {
    uint32_t n;
    const position_t *at = source_kafka_positions(a->source, &n);
    buf_t text = {0};
    for (uint32_t i = 0; i < n; i++)
        buf_printf(&text, "%s%s/%d@%lld", i ? ", " : "", a->topics[at[i].topic], at[i].partition,
                   (long long)at[i].offset);
    log_say(a->o.log, LOG_INFO, "rules", "rule set %s takes effect at %s; the stream waited %.1f ms",
            task_plan(a->task)->version, buf_cstr(&text), (double)took_ns / 1e6);
    buf_fini(&text);
}

void active_reload(active_t *a, script_t *script, plan_t *plan) {
    drop_waiting(a);
    if (strcmp(plan->version, task_plan(a->task)->version) == 0) { /* the files have gone back */
        script_close(script);
        plan_free(plan);
        return;
    }
    a->waiting_script = script;
    a->waiting_plan = plan;
}

void active_switch(active_t *a, script_t *script, plan_t *plan, const frame_bound_t *bounds, uint32_t n) {
    mono_t from = clock_mono(&clock_system);
    if (a->parallel)
        task_reload_at(a->task, script, plan, bounds, n);
    else
        task_reload(a->task, script, plan);
    a->uncommitted = a->new_rules = 1;
    log_positions(a, clock_mono(&clock_system).ns - from.ns);
}

/* Just after a commit. */
static void take_waiting(active_t *a) {
    if (!a->waiting_plan)
        return;
    active_switch(a, a->waiting_script, a->waiting_plan, NULL, 0);
    a->waiting_script = NULL;
    a->waiting_plan = NULL;
    if (a->o.observer && a->o.observer->reloaded)
        a->o.observer->reloaded(a->o.observer, a->o.task, a->task, 1, "reloaded");
}

static void tell_readings(active_t *a) {
    mono_t now = clock_mono(&clock_system);
    uint32_t n, k = 0;
    if (!a->o.observer || !a->o.observer->readings || mono_diff_ms(now, a->told_at) < TELL_MS)
        return;
    const position_t *at = source_kafka_positions(a->source, &n);
    a->readings = mem_realloc(a->readings, (n + 1) * sizeof *a->readings);
    for (uint32_t i = 0; i < n; i++)
        if (at[i].topic < a->n_inputs)
            a->readings[k++] = (reading_t){at[i].topic, at[i].partition, at[i].offset,
                                           source_kafka_lag(a->source, at[i].topic, at[i].partition)};
    a->told_at = now;
    a->o.observer->readings(a->o.observer, a->o.task, a->readings, k);
}

/* How long records may be waited for. */
static int wait_ms(const active_t *a) {
    int64_t since = mono_diff_ms(clock_mono(&clock_system), a->committed_at);
    int64_t left = a->o.config->commit_interval - since;
    if (parallel_urgent(a))
        return 0;
    int wait = !a->uncommitted && !(a->parallel && task_unsent(a->task)) ? ACTIVE_WAIT_MS
               : left <= 0                                               ? 0
               : left < ACTIVE_WAIT_MS                                   ? (int)left
                                                                         : ACTIVE_WAIT_MS;
    return checkpoint_busy(a->checkpoint) && wait > ACTIVE_BUSY_MS ? ACTIVE_BUSY_MS : wait;
}

/* What goes round is committed before anything more is read: also where a commit is still under way. */
static int commit_turn(active_t *a, error_t *e) {
    int rc = follow_commit(a, e), urgent = parallel_urgent(a);
    if (rc == 0 && urgent)
        rc = finish_commit(a, e);
    if (rc)
        return rc;
    int due = mono_diff_ms(clock_mono(&clock_system), a->committed_at) >= a->o.config->commit_interval;
    if (checkpoint_busy(a->checkpoint) || !(due || urgent))
        return 0;
    rc = start_commit(a, e);
    if (rc == 0)
        rc = parallel_switch(a, e);
    if (rc == 0)
        take_waiting(a);
    return rc;
}

int active_turn(active_t *a, error_t *e) {
    if (a->parallel && !a->task)
        return parallel_await(a, e);
    int end, rc = parallel_switch(a, e); /* due at once where the task died between a commit and its switch */
    if (rc)
        return rc;
    rc = parallel_turn(a, e);
    if (rc)
        return rc;
    int wait = wait_ms(a);
    int n = source_poll(a->source, a->events, a->ahead ? ACTIVE_EVENTS : ACTIVE_SLICE, wait, &end, e);
    if (n < 0)
        return n;
    int control = parallel_is_control(a, n);
    a->polled = 1;
    if (n > control)
        rc = step(a, (uint32_t)(n - control), e);
    if (rc == 0 && control)
        rc = parallel_control(a, &a->events[n - 1].record, e);
    source_release(a->source);
    if (rc == ERR_ABORTED)
        return roll_back(a, e);
    if (rc)
        return rc;
    if (n > 0 && a->o.observer && a->o.observer->progress) {
        uint32_t k;
        const position_t *at = source_kafka_positions(a->source, &k);
        a->o.observer->progress(a->o.observer, a->o.task, at, k);
    }
    tell_readings(a);
    rc = commit_turn(a, e);
    if (rc == 0 && source_kafka_grown(a->source))
        rc = active_grow(a, e);
    if (rc == 0 && a->o.observer && a->o.observer->turned) /* last: who looks sees rules that were switched to */
        a->o.observer->turned(a->o.observer, a->o.task, a->task);
    return rc;
}

const char *active_version(const active_t *a) { return a->task ? task_plan(a->task)->version : ""; }

void active_wake(active_t *a) { source_kafka_wake(a->source); }

int active_rejoin(active_t *a, int *same, error_t *e) {
    if (!a->task) {
        *same = 0;
        return 0;
    }
    position_t *at = mem_alloc((a->n_safe + 1) * sizeof *at);
    memcpy(at, a->safe, a->n_safe * sizeof *at);
    int rc = active_committed(a, at, a->n_safe, e);
    /* Offsets stay where they are while the clock closes windows: a transaction would find out, plain writes do not. */
    *same = rc == 0 && !a->uncommitted && (a->o.config->delivery == DELIVERY_EXACTLY_ONCE || !a->o.member);
    for (uint32_t i = 0; i < a->n_safe && a->o.member; i++)
        *same &= at[i].offset == a->safe[i].offset;
    mem_free(at);
    return rc;
}
