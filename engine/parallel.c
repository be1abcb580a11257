#include "parallel.h"

#include "active_parts.h"
#include "failpoint.h"
#include "mem.h"
#include "repartition_kafka.h"
#include "rollout.h"

struct parallel {
    uint32_t n;
    rollout_t *rollout;
    buf_t saved;     /* what of it the next meta record has */
    buf_t safe;      /* and the last had */
    buf_t word;      /* counted as said; goes out when the commit that holds it is definite. Empty: none */
    int owed;        /* likewise the proposal */
    int again;       /* after a start: what was said last may not have been heard */
    unsigned serial; /* of the rules that were looked at last */
    int looked;      /* since the last switch the leader has compared its files with what runs */
    purge_t *purge;
    /* while it waits for rules */
    store_t *store;
    position_t *at; /* where it will read */
    uint32_t n_at;
    mono_t others_at; /* since when there are frames of others, but no rules; 0: there are none */
    int said_waiting;
};

#define AWAIT_MS 100
#define RULES_MS 10000 /* frames of several tasks overtake each other by less */
static const char control_key[] = "control";

parallel_t *parallel_new(int32_t task, int32_t parallelism) {
    parallel_t *p = mem_zalloc(sizeof *p);
    p->n = (uint32_t)parallelism;
    p->rollout = rollout_new((uint32_t)task, p->n);
    return p;
}

void parallel_stop(parallel_t *p) {
    if (!p)
        return;
    purge_free(p->purge);
    p->purge = NULL;
}

void parallel_free(parallel_t *p) {
    if (!p)
        return;
    rollout_free(p->rollout);
    store_free(p->store);
    mem_free(p->at);
    buf_fini(&p->saved);
    buf_fini(&p->safe);
    buf_fini(&p->word);
    mem_free(p);
}

static int leads(const active_t *a) { return a->o.task == 0 && a->o.rules; }

static int is_exact(const active_t *a) { return a->o.config->delivery == DELIVERY_EXACTLY_ONCE; }

/* ---- what is sent ---- */

/* The same record to every task from one on. Control frames have a key: reading stops behind them. */
static int send_to(active_t *a, uint32_t first, const buf_t *frame, error_t *e) {
    uint32_t n = a->parallel->n - first;
    outbox_t out = {.at = mem_zalloc((n + 1) * sizeof *out.at), .n = n};
    for (uint32_t i = 0; i < n; i++)
        out.at[i] = (out_record_t){.kind = OUT_FRAME,
                                   .partition = (int32_t)(first + i),
                                   .key = {control_key, sizeof control_key - 1},
                                   .value = buf_slice(frame),
                                   .rule = -1};
    int rc = checkpoint_write(a->checkpoint, &out, e);
    mem_free(out.at);
    return rc;
}

/* The leader has taken it up itself. */
static int tell_proposal(active_t *a, error_t *e) {
    rollout_t *r = a->parallel->rollout;
    buf_t frame = {0};
    if (!rollout_untold(r))
        return 0;
    rollout_proposal(r, &frame);
    int rc = send_to(a, 1, &frame, e);
    buf_fini(&frame);
    rollout_told(r);
    return rc ? rc : FAILPOINT("proposal-written", e);
}

static const char *point_of(slice_t frame) {
    switch (frame_kind(frame)) {
    case FRAME_DRAINED: return "drained-written";
    case FRAME_END: return "ends-written";
    default: return "switched-written";
    }
}

static int tell_word(active_t *a, error_t *e) {
    buf_t *word = &a->parallel->word;
    if (word->len == 0)
        return 0;
    const char *point = point_of(buf_slice(word));
    int rc = send_to(a, 0, word, e);
    buf_clear(word);
    return rc ? rc : FAILPOINT(point, e);
}

static frame_bound_t *ends_of(const active_t *a, uint32_t *n) {
    const plan_t *plan = task_plan(a->task);
    frame_bound_t *ends = mem_alloc((plan->n_rules + 1) * sizeof *ends);
    *n = 0;
    for (uint32_t i = 0; i < plan->n_rules; i++) {
        slice_t rule = slice_of(plan->rules[i].name);
        etime_t end = task_last_end(a->task, rule);
        if (end != ETIME_MIN)
            ends[(*n)++] = (frame_bound_t){rule, end};
    }
    return ends;
}

static void say(active_t *a) {
    uint32_t n;
    frame_bound_t *ends = ends_of(a, &n);
    rollout_say(a->parallel->rollout, ends, n, &a->parallel->word);
    mem_free(ends);
    a->uncommitted = 1;
}

static int close_interval(active_t *a, error_t *e) {
    gate_enter(a->o.gate);
    task_close_interval(a->task);
    gate_leave(a->o.gate);
    const outbox_t *out = task_outbox(a->task);
    a->uncommitted |= out->n > 0;
    return checkpoint_write(a->checkpoint, out, e);
}

static void note_rollout(parallel_t *p) {
    buf_clear(&p->saved);
    rollout_save(p->rollout, &p->saved);
}

int parallel_send(active_t *a, error_t *e) {
    parallel_t *p = a->parallel;
    int rc = 0;
    if (!p || !a->task)
        return 0;
    /* Whoever starts again in the middle would tell its watermarks anew: not to tasks that have switched, nor to those that
     * have no rules yet. */
    int quiet = rollout_active(p->rollout) ? rollout_said_ends(p->rollout) : rollout_untold(p->rollout);
    if (a->polled && !quiet && (a->uncommitted || task_unsent(a->task)))
        rc = close_interval(a, e);
    if (a->polled && rollout_due(p->rollout) == ROLLOUT_SAY)
        say(a);
    if (rc == 0 && is_exact(a))
        rc = tell_proposal(a, e);
    if (rc == 0 && is_exact(a))
        rc = tell_word(a, e);
    p->owed |= rollout_untold(p->rollout);
    note_rollout(p);
    return rc;
}

int parallel_definite(active_t *a, error_t *e) {
    parallel_t *p = a->parallel;
    if (!p || !a->task || is_exact(a))
        return 0;
    int rc = p->owed ? tell_proposal(a, e) : 0;
    a->uncommitted |= p->owed; /* that it was told */
    p->owed = 0;
    return rc ? rc : tell_word(a, e);
}

void parallel_remember(parallel_t *p) {
    if (!p)
        return;
    buf_clear(&p->safe);
    buf_add_slice(&p->safe, buf_slice(&p->saved));
}

void parallel_forget(parallel_t *p) {
    if (!p)
        return;
    rollout_load(p->rollout, buf_slice(&p->safe));
    buf_clear(&p->word);
}

/* ---- what comes ---- */

int parallel_is_control(active_t *a, int n) {
    const event_t *last = n > 0 ? &a->events[n - 1] : NULL;
    return a->parallel && last && last->kind == EVENT_FRAME && last->record.key.s;
}

static int read_control(const record_t *r, frame_control_t *c, error_t *e) {
    if (frame_control_read(r->value, c) == 0)
        return 0;
    return error_set(e, ERR_INVALID,
                     "the record %d@%lld of the repartition topic is no frame of a task: who writes to that topic "
                     "beside this group?",
                     r->partition, (long long)r->offset);
}

static int is_of_files(const active_t *a, slice_t version) {
    buf_t text = {0};
    buf_add_slice(&text, version);
    int same = rulebox_is(a->o.rules, buf_cstr(&text));
    buf_fini(&text);
    return same;
}

/* Who leads may have other files by now: a leader before it proposed these, or they have changed once more. */
static void say_begin(const active_t *a) {
    slice_t version = rollout_version(a->parallel->rollout);
    log_say(a->o.log, LOG_INFO, "rules", "task %d: rule set %.*s goes round; reading stops until every task has it",
            a->o.task, (int)version.len, version.s);
    if (leads(a) && !is_of_files(a, version))
        log_say(a->o.log, LOG_WARN, "rules",
                "rule set %.*s was proposed before and is not that of this process, which leads: it goes round to its "
                "end, then the rules of this process's files do",
                (int)version.len, version.s);
}

static int look_for_begin(const active_t *a, uint64_t was, error_t *e) {
    (void)e; /* a failpoint's */
    if (rollout_serial(a->parallel->rollout) == was)
        return 0;
    say_begin(a);
    return FAILPOINT("proposal-read", e);
}

int parallel_control(active_t *a, const record_t *r, error_t *e) {
    parallel_t *p = a->parallel;
    frame_control_t c;
    int rc = read_control(r, &c, e);
    if (rc)
        return rc;
    uint64_t was = rollout_serial(p->rollout);
    rollout_take(p->rollout, &c, task_rounds(a->task));
    frame_control_fini(&c);
    a->uncommitted = 1;
    return look_for_begin(a, was, e);
}

int parallel_rows(active_t *a, error_t *e) {
    parallel_t *p = a->parallel;
    if (!p)
        return 0;
    uint64_t was = rollout_serial(p->rollout);
    rollout_take_rows(p->rollout, task_rounds(a->task));
    return look_for_begin(a, was, e);
}

int parallel_urgent(const active_t *a) {
    const parallel_t *p = a->parallel;
    return p && a->task && (rollout_untold(p->rollout) || (a->polled && rollout_due(p->rollout) != ROLLOUT_NOTHING));
}

int parallel_switch(active_t *a, error_t *e) {
    parallel_t *p = a->parallel;
    script_t *script;
    plan_t *plan;
    uint32_t n;
    if (!p || a->uncommitted || rollout_due(p->rollout) != ROLLOUT_SWITCH)
        return 0;
    int rc = FAILPOINT("switch-due", e);
    if (rc)
        return rc;
    if (active_load(a, rollout_texts(p->rollout), &script, &plan, e))
        return error_prefix(e, "the rules that the leader proposed do not load in this process");
    const frame_bound_t *bounds = rollout_bounds(p->rollout, &n);
    active_switch(a, script, plan, bounds, n);
    rollout_switched(p->rollout);
    p->looked = 0;
    return FAILPOINT("switched", e);
}

/* ---- the leader ---- */

/* Rules of this process that are not those that run go round. */
static void propose(active_t *a) {
    parallel_t *p = a->parallel;
    buf_t texts = {0}, version = {0};
    p->serial = rulebox_serial(a->o.rules);
    p->looked = 1;
    rulebox_get(a->o.rules, &texts, &version);
    if (!slice_eq(buf_slice(&version), slice_of(task_plan(a->task)->version))) {
        rollout_begin(p->rollout, buf_slice(&version), buf_slice(&texts), task_rounds(a->task));
        a->uncommitted = 1;
        say_begin(a);
    }
    buf_fini(&texts);
    buf_fini(&version);
}

/* What was read and is committed goes from the topic. */
static void purge(active_t *a) {
    parallel_t *p = a->parallel;
    if (checkpoint_busy(a->checkpoint))
        return;
    if (!p->purge)
        p->purge = purge_new(checkpoint_client(a->checkpoint), a->repartition, a->o.task, a->o.log);
    for (uint32_t i = 0; i < a->n_safe; i++)
        if (a->safe[i].topic == a->n_inputs)
            purge_turn(p->purge, a->safe[i].offset, clock_mono(&clock_system));
}

/* What was committed before the start, but perhaps not heard: transactions are heard as a whole. */
static int say_again(active_t *a, error_t *e) {
    parallel_t *p = a->parallel;
    uint32_t n;
    p->again = 0;
    if (is_exact(a))
        return 0;
    frame_bound_t *ends = ends_of(a, &n);
    rollout_repeat(p->rollout, ends, n, &p->word);
    mem_free(ends);
    p->owed = rollout_untold(p->rollout);
    return parallel_definite(a, e);
}

int parallel_turn(active_t *a, error_t *e) {
    parallel_t *p = a->parallel;
    if (!p)
        return 0;
    int rc = p->again ? say_again(a, e) : 0;
    int settled = a->polled && !task_waits(a->task) && !rollout_active(p->rollout) && !rollout_untold(p->rollout);
    int seen = p->looked && p->serial == rulebox_serial(a->o.rules);
    if (leads(a) && settled && !seen)
        propose(a);
    source_kafka_hold(a->source, task_waits(a->task) || rollout_active(p->rollout) || rollout_untold(p->rollout));
    purge(a);
    return rc;
}

/* ---- beginning ---- */

static const buf_t *texts_of(const changelog_found_t *found) {
    for (size_t i = 0; i < found->n_texts; i++)
        if (slice_eq(slice_of(found->texts[i].version), buf_slice(&found->meta.version)))
            return &found->texts[i].bytes;
    return NULL;
}

/* With the rules that the state was made with, whatever the files here say. */
static int go_on(active_t *a, store_t *store, const changelog_found_t *found, error_t *e) {
    const buf_t *texts = texts_of(found);
    script_t *script = NULL;
    plan_t *plan = NULL;
    int rc = texts ? active_load(a, buf_slice(texts), &script, &plan, e)
                   : error_set(e, ERR_INVALID, "the changelog does not hold the text of rule set %.*s",
                               (int)found->meta.version.len, found->meta.version.s);
    if (rc) {
        store_free(store);
        return error_prefix(e, "task %d: the rules that its state was made with cannot run here", a->o.task);
    }
    rc = active_make_task(a, script, plan, store, found, e);
    if (rc == 0 && rollout_load(a->parallel->rollout, buf_slice(&found->meta.rollout)))
        rc = error_set(e, ERR_INVALID, "the changelog's meta record cannot be read");
    return rc;
}

static int lead(active_t *a, store_t *store, const changelog_found_t *found, error_t *e) {
    script_t *script;
    plan_t *plan;
    int rc = active_load(a, a->o.texts, &script, &plan, e);
    if (rc) {
        store_free(store);
        return rc;
    }
    rollout_found(a->parallel->rollout, slice_of(plan->version), a->o.texts);
    return active_make_task(a, script, plan, store, found, e);
}

int parallel_begin(active_t *a, store_t *store, changelog_found_t *found, const position_t *at, uint32_t n,
                   error_t *e) {
    parallel_t *p = a->parallel;
    checkpoint_rollout(a->checkpoint, &p->saved);
    if (!found->meta.present && a->o.task != 0) {
        p->store = store;
        p->at = mem_alloc((n + 1) * sizeof *p->at);
        memcpy(p->at, at, n * sizeof *at);
        p->n_at = n;
        return source_kafka_assign(a->source, &at[n - 1], 1, e); /* frames only: theirs is the last */
    }
    int rc = found->meta.present ? go_on(a, store, found, e) : lead(a, store, found, e);
    if (rc == 0 && rollout_active(p->rollout))
        say_begin(a);
    p->again = found->meta.present; /* nothing that is not committed yet is said */
    note_rollout(p);
    return rc ? rc : source_kafka_assign(a->source, at, n, e);
}

/* Frames are there, but no rules. With transactions a proposal is the first that a task without state hears. Without them
 * others may have heard it before, and the leader died before it reached this one: when it is back it tells it again. */
static int read_on(active_t *a, error_t *e) {
    parallel_t *p = a->parallel;
    mono_t now = clock_mono(&clock_system);
    if (is_exact(a))
        return error_set(
            e, ERR_INVALID,
            "task %d has no state, but others have been at work: its partition of the changelog was emptied",
            a->o.task);
    if (p->others_at.ns == 0)
        p->others_at = now;
    return 0;
}

/* What comes later is read again when the rules are there. */
static void say_waiting(active_t *a) {
    parallel_t *p = a->parallel;
    if (p->said_waiting || p->others_at.ns == 0 || mono_diff_ms(clock_mono(&clock_system), p->others_at) < RULES_MS)
        return;
    p->said_waiting = 1;
    log_say(
        a->o.log, LOG_WARN, "rules",
        "task %d has no state and waits for rules, but others have been at work. It goes on when task 0 has told it "
        "the rules; if that runs, this task's partition of the changelog was emptied: stop all processes, delete the "
        "group's offsets, its changelog and its repartition topic, and start again",
        a->o.task);
}

static int take_first(active_t *a, const record_t *r, error_t *e) {
    parallel_t *p = a->parallel;
    changelog_found_t none = {0};
    frame_control_t c = {0};
    script_t *script;
    plan_t *plan;
    int rc = frame_kind(r->value) == FRAME_DATA ? 0 : read_control(r, &c, e);
    if (rc || c.kind != FRAME_PROPOSAL) {
        frame_control_fini(&c);
        return rc ? rc : read_on(a, e);
    }
    rollout_join(p->rollout, &c);
    if ((rc = active_load(a, c.texts, &script, &plan, e)))
        rc = error_prefix(e, "the rules that the leader proposed do not load in this process");
    frame_control_fini(&c);
    if (rc)
        return rc;
    note_rollout(p);
    rc = active_make_task(a, script, plan, p->store, &none, e);
    p->store = NULL;
    return rc;
}

int parallel_await(active_t *a, error_t *e) {
    parallel_t *p = a->parallel;
    int end, n = source_poll(a->source, a->events, ACTIVE_EVENTS, AWAIT_MS, &end, e), rc = 0;
    if (n < 0)
        return n;
    for (int i = 0; i < n && rc == 0 && !a->task; i++)
        if (a->events[i].kind == EVENT_FRAME)
            rc = take_first(a, &a->events[i].record, e);
    source_release(a->source);
    if (!a->task)
        say_waiting(a);
    if (rc || !a->task)
        return rc;
    rc = source_kafka_assign(a->source, p->at, p->n_at, e);
    if (rc)
        return rc;
    active_remember(a);
    a->uncommitted = a->unwritten = 1; /* where reading began is committed before anything comes */
    return 0;
}
