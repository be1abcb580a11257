#include "run.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "active_kafka.h"
#include "command.h"
#include "mem.h"
#include "outputs_kafka.h"
#include "reloader.h"
#include "standby_kafka.h"
#include "watch.h"

typedef struct run {
    const run_options_t *o;
    log_t *log;
    kafka_context_t kafka;
    member_t *member;
    active_t *active; /* while this process owns the task */
    standby_t *standby;
    int owns;
    mono_t retry_at; /* after a failure: not before this */
    error_t said;    /* why it started again, last time */
    mono_t said_at, fenced_at;
    int fenced; /* how often since fenced_at */
    watch_t *watch;
    reloader_t *reloader;
    buf_t texts; /* of the rules loaded last without a fault: what runs, or would when this process takes over */
} run_t;

#define RETRY_MS 1000
#define SAY_AGAIN_MS 30000
#define FENCED_TIMES 5
#define FENCED_WITHIN_MS 30000
#define STANDBY_MS 20

/* Signals only set flags; the loop looks at them between two steps. */
static _Atomic int stop_asked, reload_asked;

static void on_signal(int sig) { atomic_store(sig == SIGHUP ? &reload_asked : &stop_asked, 1); }

static void on_hangup_stop(int sig) {
    (void)sig;
    atomic_store(&stop_asked, 1);
}

/* A sidecar has no terminal, so SIGHUP reloads; what runs outside a group is somebody's demo and ends with the terminal. */
static void catch_signals(int grouped) {
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    if (!grouped)
        sa.sa_handler = on_hangup_stop;
    sigaction(SIGHUP, &sa, NULL);
}

/* ---- what the group says ---- */

static void on_assigned(void *ctx, const int32_t *tasks, uint32_t n) {
    run_t *r = ctx;
    (void)tasks;
    r->owns = n > 0;
    log_say(r->log, LOG_INFO, "engine",
            n ? "this process is active" : "standing by: another process of the group is active");
}

static void on_revoked(void *ctx, int lost) {
    run_t *r = ctx;
    error_t e = {0};
    r->owns = 0;
    int failed = r->active && !lost ? active_commit(r->active, &e) : 0;
    if (failed)
        log_say(r->log, LOG_WARN, "engine",
                "could not commit before handing over: %s; the next owner goes on from the last commit", e.text);
    else if (r->active && !lost)
        standby_keep(r->standby, active_keep(r->active));
    log_say(r->log, LOG_INFO, "engine", lost ? "lost the group; what was not committed is dropped" : "handed over");
    active_close(r->active);
    r->active = NULL;
}

/* ---- reload ---- */

static void tell_reloaded(run_t *r, int ok, const char *text) {
    if (r->o->observer && r->o->observer->reloaded)
        r->o->observer->reloaded(r->o->observer, r->active ? active_task(r->active) : NULL, ok, text);
}

/* On the loading thread: the topics of a new rule are there before it runs. */
static int check_outputs(void *ctx, const plan_t *plan, error_t *e) {
    const run_t *r = ctx;
    kafka_context_t kafka = {.log = r->log};
    return r->o->topics_exist ? 0 : outputs_ensure(r->o->config, plan, &kafka, &stop_asked, e);
}

static void take_rules(run_t *r, script_t *script, plan_t *plan) {
    buf_clear(&r->texts);
    texts_save(script_texts(script), &r->texts);
    if (!r->active || strcmp(plan->version, task_plan(active_task(r->active))->version) == 0) {
        tell_reloaded(
            r, 1, r->active ? "the rules are what they were" : "the rules are read when this process becomes active");
        script_close(script); /* a standby loads them again when it takes over */
        plan_free(plan);
        return;
    }
    active_reload(r->active, script, plan); /* says so when it takes effect */
}

static int reload_turn(run_t *r) {
    int asked = atomic_exchange(&reload_asked, 0);
    if (r->watch && watch_changed(r->watch, clock_mono(&clock_system)))
        asked = 1;
    if (r->o->observer && r->o->observer->wants_reload && r->o->observer->wants_reload(r->o->observer))
        asked = 1;
    if (asked && r->o->observer && r->o->observer->reloading)
        r->o->observer->reloading(r->o->observer);
    if (asked)
        reloader_start(r->reloader);
    script_t *script;
    plan_t *plan;
    const char *text;
    switch (reloader_poll(r->reloader, &script, &plan, &text)) {
    case RELOAD_READY: take_rules(r, script, plan); return 0;
    case RELOAD_FAULTY:
        log_say(r->log, LOG_ERROR, "rules", "not reloaded, the old rules go on: %s", text);
        tell_reloaded(r, 0, text);
        return 0;
    case RELOAD_NOTHING:
    case RELOAD_BUSY: break;
    }
    return 0;
}

/* ---- the loop ---- */

static int activate(run_t *r, error_t *e) {
    active_options_t options = {.config = r->o->config,
                                .texts = buf_slice(&r->texts),
                                .log = r->log,
                                .kafka = &r->kafka,
                                .member = r->member,
                                .observer = r->o->observer,
                                .warm = standby_reader(r->standby)};
    if (mono_diff_ms(clock_mono(&clock_system), r->retry_at) < 0)
        return 0;
    if (r->o->observer && r->o->observer->restoring)
        r->o->observer->restoring(r->o->observer);
    return active_open(&r->active, &options, e);
}

/* A member that was replaced learns so from the group. Who is fenced again and again as the owner has a stranger for a rival. */
static int has_rival(run_t *r, error_t *e) {
    mono_t now = clock_mono(&clock_system);
    if (r->fenced == 0 || mono_diff_ms(now, r->fenced_at) > FENCED_WITHIN_MS) {
        r->fenced = 0;
        r->fenced_at = now;
    }
    if (!r->owns || ++r->fenced < FENCED_TIMES)
        return 0;
    return error_set(e, ERR_INVALID,
                     "a process that is no member of this group keeps taking over the transactional id \"%s-0\", which "
                     "is this group's. "
                     "Stop it, or give this group another group.id",
                     r->o->config->group_id);
}

/* Anything indefinite: throw away what this process holds and restore. Only a person can mend ERR_INVALID. */
static int recover(run_t *r, int rc, error_t *e) {
    active_close(r->active);
    r->active = NULL;
    if (rc != ERR_INVALID && r->member && member_check_topic(r->member, e))
        return ERR_INVALID;
    if (rc == ERR_INVALID || (rc == ERR_FENCED && has_rival(r, e)))
        return ERR_INVALID;
    mono_t now = clock_mono(&clock_system);
    if (strcmp(r->said.text, e->text) != 0 || mono_diff_ms(now, r->said_at) > SAY_AGAIN_MS) {
        log_say(r->log, LOG_WARN, "engine", "%s; starting again from the last commit", e->text);
        r->said = *e;
        r->said_at = now;
    }
    r->retry_at = clock_mono(&clock_system);
    r->retry_at.ns += (int64_t)RETRY_MS * 1000000;
    return 0;
}

static int turn(run_t *r, error_t *e) {
    int rc = r->member ? member_poll(r->member, e) : 0;
    if (rc == 0)
        rc = reload_turn(r);
    if (rc == 0 && r->owns && !r->active)
        rc = activate(r, e);
    if (rc == 0 && r->active) {
        rc = active_turn(r->active, e);
    } else if (rc == 0) {
        standby_turn(r->standby, STANDBY_MS);
    }
    if (r->o->observer && r->o->observer->tick)
        r->o->observer->tick(r->o->observer, r->active ? active_task(r->active) : NULL);
    return rc ? recover(r, rc, e) : 0;
}

static int wants_stop(const run_t *r) {
    if (atomic_load(&stop_asked))
        return 1;
    return r->o->observer && r->o->observer->wants_stop && r->o->observer->wants_stop(r->o->observer);
}

static int loop(run_t *r, error_t *e) {
    int rc = 0;
    while (rc == 0 && !wants_stop(r))
        rc = turn(r, e);
    if (r->o->observer && r->o->observer->stopping)
        r->o->observer->stopping(r->o->observer);
    if (rc == 0 && r->active)
        rc = active_commit(r->active, e);
    return rc;
}

static int open_all(run_t *r, error_t *e) {
    const run_options_t *o = r->o;
    int rc = o->topics_exist ? 0 : outputs_ensure(o->config, o->plan, &r->kafka, &stop_asked, e);
    if (rc)
        return atomic_load(&stop_asked) ? 0 : rc;
    if (watch_open(&r->watch, o->rules, e))
        log_say(r->log, LOG_WARN, "rules", "%s", e->text);
    r->standby = standby_new(o->config, &r->kafka, 0);
    r->reloader = reloader_new(o->config, o->rules, r->log, check_outputs, r);
    r->owns = !o->grouped;
    if (!o->grouped)
        return 0;
    member_events_t events = {on_assigned, on_revoked, r};
    char *topic = changelog_topic(o->config);
    rc = member_open(&r->member, o->config, &r->kafka, topic, &events, e);
    mem_free(topic);
    return rc;
}

int run_engine(const run_options_t *o) {
    run_t r = {.o = o, .log = o->log, .kafka = {.log = o->log}};
    error_t e = {0};
    texts_save(o->texts, &r.texts);
    catch_signals(o->grouped);
    int rc = open_all(&r, &e);
    if (rc == 0)
        rc = loop(&r, &e);
    if (rc) /* before anything is closed: that may take its time */
        log_say(o->log, LOG_ERROR, "engine", "%s", e.text);
    active_close(r.active);
    r.active = NULL;
    r.owns = 0;
    member_close(r.member);
    standby_free(r.standby);
    reloader_free(r.reloader);
    watch_close(r.watch);
    buf_fini(&r.texts);
    if (rc == 0) {
        log_say(o->log, LOG_INFO, "engine", "stopped");
        return EXIT_OK;
    }
    return rc <= ERR_INTERNAL ? EXIT_INTERNAL : EXIT_FAULT;
}
