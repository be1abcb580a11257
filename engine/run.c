#include "run.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "mem.h"
#include "outputs_kafka.h"
#include "reloader.h"
#include "watch.h"
#include "worker.h"

#define VERSION_MAX 64

typedef struct run {
    const run_options_t *o;
    log_t *log;
    kafka_context_t kafka;
    member_t *member;
    worker_t **workers; /* per task; NULL until this process owns it for the first time */
    char *owns;         /* per task */
    int32_t n_tasks, n_owned;
    gate_t *gate;
    char foreign[VERSION_MAX]; /* the rules that run in the group, where they are not this process's; "": they are */
    mono_t foreign_since, looked_at;
    int foreign_said;
    error_t said; /* what went wrong with the group, last time */
    mono_t said_at;
    watch_t *watch;
    reloader_t *reloader;
    rulebox_t *rules;         /* loaded last without a fault: what runs, or would when this process takes over */
    char *awaited;            /* version of the rules that a reload is going round with; NULL: none */
    int asked_by_hand;        /* not by a change in the folder */
    mono_t rest_at, rest_cpu; /* when it was last looked at whether the process rests, and its CPU time then */
    int rests;
    buf_t fault; /* why the rules in the folder do not load, as it was said last; empty: they do */
} run_t;

#define SAY_AGAIN_MS 30000
#define PAUSE_NS 1000000000L
#define LOOP_MS 100
#define REST_MS 5000 /* the process is at rest when it takes less than REST_CPU_MS in so long */
#define REST_CPU_MS 250
#define LOOK_MS 1000    /* between two looks at what the group runs */
#define FOREIGN_MS 5000 /* a reload may be going round before that */

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

static observer_t *observer(const run_t *r) { return r->o->observer; }

static worker_t *worker_of(run_t *r, int32_t task) {
    active_options_t options = {.config = r->o->config,
                                .log = r->log,
                                .member = r->member,
                                .task = task,
                                .observer = r->o->observer,
                                .gate = r->gate};
    if (!r->workers[task])
        r->workers[task] = worker_new(&options, r->rules);
    return r->workers[task];
}

static void say_owned(const run_t *r) {
    if (r->n_tasks == 1 || r->n_owned == 0) {
        log_say(r->log, LOG_INFO, "engine",
                r->n_owned       ? "this process is active"
                : r->n_tasks > 1 ? "standing by: other processes of the group have all tasks"
                                 : "standing by: another process of the group is active");
        return;
    }
    buf_t list = {0};
    for (int32_t i = 0; i < r->n_tasks; i++)
        if (r->owns[i])
            buf_printf(&list, "%s%d", list.len ? ", " : "", i);
    log_say(r->log, LOG_INFO, "engine", "this process is active: it has task%s %s of 0 to %d",
            r->n_owned > 1 ? "s" : "", buf_cstr(&list), r->n_tasks - 1);
    buf_fini(&list);
}

static void own(run_t *r, const int32_t *tasks, uint32_t n) {
    memset(r->owns, 0, (size_t)r->n_tasks);
    r->n_owned = 0;
    for (uint32_t i = 0; i < n; i++)
        if (tasks[i] < r->n_tasks) {
            r->owns[tasks[i]] = 1;
            r->n_owned++;
        }
    for (int32_t i = 0; i < r->n_tasks; i++)
        if (r->owns[i])
            worker_run(worker_of(r, i));
        else if (r->workers[i])
            worker_stand_by(r->workers[i]);
}

static void on_assigned(void *ctx, const int32_t *tasks, uint32_t n) {
    own(ctx, tasks, n);
    say_owned(ctx);
}

/* All commit at the same time, each on its thread; what they have they keep until it is clear who gets it. */
static void on_revoked(void *ctx, int lost) {
    run_t *r = ctx;
    for (int32_t i = 0; i < r->n_tasks; i++)
        if (r->owns[i] && r->workers[i]) {
            if (lost)
                worker_stand_by(r->workers[i]);
            else
                worker_pause(r->workers[i]);
        }
    for (int32_t i = 0; i < r->n_tasks && !lost; i++) {
        error_t e = {0};
        if (r->owns[i] && r->workers[i] && worker_wait(r->workers[i], &e))
            log_say(r->log, LOG_WARN, "engine",
                    "could not commit before handing over: %s; the next owner goes on from the last commit", e.text);
    }
    memset(r->owns, 0, (size_t)r->n_tasks);
    r->n_owned = 0;
    log_say(r->log, LOG_INFO, "engine", lost ? "lost the group; what was not committed is dropped" : "handed over");
}

/* ---- reload ---- */

static void tell_reloaded(run_t *r, int ok, const char *text) {
    if (observer(r) && observer(r)->reloaded)
        observer(r)->reloaded(observer(r), 0, NULL, ok, text);
}

/* A file beside the rules that changes does not make a known fault news; who asks is told again. */
static void tell_fault(run_t *r, const char *text) {
    if (r->asked_by_hand || !slice_eq(buf_slice(&r->fault), slice_of(text)))
        log_say(r->log, LOG_ERROR, "rules", "not reloaded, the old rules go on: %s", text);
    buf_clear(&r->fault);
    buf_add_str(&r->fault, text);
    r->asked_by_hand = 0;
    tell_reloaded(r, 0, text);
}

/* On the loading thread: the topics of a new rule are there before it runs. */
static int check_outputs(void *ctx, const plan_t *plan, error_t *e) {
    const run_t *r = ctx;
    kafka_context_t kafka = {.log = r->log};
    return r->o->topics_exist ? 0 : outputs_ensure(r->o->config, plan, &kafka, &stop_asked, e);
}

static int runs(const run_t *r, int32_t task, char version[VERSION_MAX]) {
    return r->owns[task] && r->workers[task] && worker_version(r->workers[task], version, VERSION_MAX);
}

/* Where there are several tasks, the first is the leader: its worker sees the new rules in the box and has them go round. */
static const char *put_rules(run_t *r, const plan_t *plan) {
    char running[VERSION_MAX];
    int leads = runs(r, 0, running);
    if (leads && strcmp(plan->version, running) == 0)
        return "the rules are what they were";
    if (r->n_tasks == 1)
        return leads ? NULL : "the rules are read when this process becomes active";
    if (!leads)
        return "another process leads: the rules of the one that has task 0 run everywhere, also here";
    mem_free(r->awaited);
    r->awaited = mem_strdup(plan->version);
    return NULL;
}

static void take_rules(run_t *r, script_t *script, plan_t *plan) {
    buf_t texts = {0};
    texts_save(script_texts(script), &texts);
    rulebox_put(r->rules, plan->version, buf_slice(&texts));
    buf_fini(&texts);
    const char *done = put_rules(r, plan);
    if (done && r->fault.len)
        log_say(r->log, LOG_INFO, "rules", "mended: %s", done);
    buf_clear(&r->fault);
    r->asked_by_hand = 0;
    if (done)
        tell_reloaded(r, 1, done);
    if (r->n_tasks == 1 && r->owns[0] && r->workers[0]) {
        worker_reload(r->workers[0], script, plan); /* says so when it takes effect */
        return;
    }
    script_close(script); /* who needs them loads them again */
    plan_free(plan);
}

/* A reload is over for this process when all its tasks run the new rules, or when it does not lead any more. */
static void await_rules(run_t *r) {
    char version[VERSION_MAX];
    if (!r->awaited)
        return;
    for (int32_t i = 0; i < r->n_tasks && r->owns[0]; i++)
        if (r->owns[i] && (!runs(r, i, version) || strcmp(version, r->awaited) != 0))
            return;
    tell_reloaded(
        r, 1, r->owns[0] ? "reloaded" : "task 0 was handed over meanwhile: the rules of the process that has it run");
    mem_free(r->awaited);
    r->awaited = NULL;
}

/* The rules that some task is known to run, and which are not this process's; the leader's count. */
static int find_foreign(run_t *r, char version[VERSION_MAX]) {
    if (r->owns[0])
        return 0;
    for (int32_t i = 0; i < r->n_tasks; i++) {
        if (!r->workers[i])
            continue;
        worker_version(r->workers[i], version, VERSION_MAX);
        if (version[0] && !rulebox_is(r->rules, version))
            return 1;
    }
    return 0;
}

static void tell_foreign(run_t *r, const char *version) {
    r->foreign_said = version != NULL;
    if (version)
        log_say(
            r->log, LOG_WARN, "rules",
            "the rules of this process are not those that the group runs (rule set %s, of the process that %s): they "
            "wait until this one takes over. Give all processes the same files",
            version, r->n_tasks > 1 ? "has task 0" : "is active");
    if (observer(r) && observer(r)->foreign)
        observer(r)->foreign(observer(r), version);
}

static void look_at_group(run_t *r) {
    char version[VERSION_MAX];
    mono_t now = clock_mono(&clock_system);
    if (mono_diff_ms(now, r->looked_at) < LOOK_MS)
        return;
    r->looked_at = now;
    if (!find_foreign(r, version)) {
        if (r->foreign_said)
            tell_foreign(r, NULL);
        r->foreign[0] = 0;
        return;
    }
    if (strcmp(version, r->foreign) != 0) {
        memcpy(r->foreign, version, sizeof version);
        r->foreign_since = now;
        r->foreign_said = 0;
    }
    if (!r->foreign_said && mono_diff_ms(now, r->foreign_since) >= FOREIGN_MS)
        tell_foreign(r, version);
}

static void reload_turn(run_t *r) {
    int asked = atomic_exchange(&reload_asked, 0);
    if (observer(r) && observer(r)->wants_reload && observer(r)->wants_reload(observer(r)))
        asked = 1;
    r->asked_by_hand |= asked;
    if (r->watch && watch_changed(r->watch, clock_mono(&clock_system)))
        asked = 1;
    if (asked && observer(r) && observer(r)->reloading)
        observer(r)->reloading(observer(r));
    if (asked)
        reloader_start(r->reloader);
    await_rules(r);
    look_at_group(r);
    script_t *script;
    plan_t *plan;
    const char *text;
    switch (reloader_poll(r->reloader, &script, &plan, &text)) {
    case RELOAD_READY: take_rules(r, script, plan); return;
    case RELOAD_FAULTY: tell_fault(r, text); return;
    case RELOAD_NOTHING:
    case RELOAD_BUSY: return;
    }
}

/* ---- rest ---- */

/* Keeping buffers is what makes a stream fast; when it has run dry (or all is loaded) they are given back, once. */
static void rest_turn(run_t *r) {
    mono_t now = clock_mono(&clock_system), cpu = clock_process_cpu();
    if (mono_diff_ms(now, r->rest_at) < REST_MS)
        return;
    int rests = mono_diff_ms(cpu, r->rest_cpu) < REST_CPU_MS;
    if (rests && !r->rests)
        mem_give_back();
    r->rests = rests;
    r->rest_at = now;
    r->rest_cpu = cpu;
}

/* ---- the loop ---- */

static void pause_ns(long ns) {
    struct timespec pause = {0, ns};
    nanosleep(&pause, NULL);
}

/* The group may be out of reach for a while; only a person can mend ERR_INVALID. */
static int member_turn(run_t *r, error_t *e) {
    int rc = 0;
    if (r->member)
        rc = member_poll(r->member, LOOP_MS, e);
    else
        pause_ns(LOOP_MS * 1000000L);
    if (rc == 0 || rc == ERR_INVALID)
        return rc;
    mono_t now = clock_mono(&clock_system);
    if (strcmp(r->said.text, e->text) != 0 || mono_diff_ms(now, r->said_at) > SAY_AGAIN_MS) {
        log_say(r->log, LOG_WARN, "engine", "%s", e->text);
        r->said = *e;
        r->said_at = now;
    }
    pause_ns(PAUSE_NS - 1);
    return 0;
}

static int worker_faults(run_t *r, error_t *e) {
    int rc = 0;
    for (int32_t i = 0; i < r->n_tasks && rc == 0; i++)
        if (r->workers[i])
            rc = worker_failure(r->workers[i], e);
    return rc;
}

static int turn(run_t *r, error_t *e) {
    int rc = member_turn(r, e);
    reload_turn(r);
    rest_turn(r);
    if (rc == 0)
        rc = worker_faults(r, e);
    if (observer(r) && observer(r)->tick)
        observer(r)->tick(observer(r), (uint32_t)r->n_owned);
    return rc;
}

static int wants_stop(const run_t *r) {
    if (atomic_load(&stop_asked))
        return 1;
    return observer(r) && observer(r)->wants_stop && observer(r)->wants_stop(observer(r));
}

/* Every task commits, also where one of them, or the group, has failed. */
static int end_workers(run_t *r, error_t *e) {
    int rc = 0;
    for (int32_t i = 0; i < r->n_tasks; i++)
        if (r->workers[i])
            worker_end(r->workers[i]);
    for (int32_t i = 0; i < r->n_tasks; i++) {
        error_t one = {0};
        int failed = r->workers[i] ? worker_wait(r->workers[i], &one) : 0;
        if (failed && rc == 0)
            *e = one;
        rc = rc ? rc : failed;
    }
    return rc;
}

static int loop(run_t *r, error_t *e) {
    int rc = 0;
    while (rc == 0 && !wants_stop(r))
        rc = turn(r, e);
    if (observer(r) && observer(r)->stopping)
        observer(r)->stopping(observer(r));
    error_t ending = {0};
    int ended = end_workers(r, &ending);
    if (rc == 0 && ended)
        *e = ending;
    return rc ? rc : ended;
}

static int open_all(run_t *r, error_t *e) {
    const run_options_t *o = r->o;
    int rc = o->topics_exist ? 0 : outputs_ensure(o->config, o->plan, &r->kafka, &stop_asked, e);
    if (rc)
        return atomic_load(&stop_asked) ? 0 : rc;
    if (watch_open(&r->watch, o->rules, e))
        log_say(r->log, LOG_WARN, "rules", "%s", e->text);
    r->reloader = reloader_new(o->config, o->rules, r->log, check_outputs, r);
    if (r->n_tasks > 1)
        r->gate = gate_new(config_threads(o->config));
    if (!o->grouped) {
        int32_t all = 0;
        own(r, &all, 1);
        return 0;
    }
    member_events_t events = {on_assigned, on_revoked, r};
    char *topic = changelog_topic(o->config);
    rc = member_open(&r->member, o->config, &r->kafka, topic, &events, e);
    mem_free(topic);
    if (rc == 0 && r->n_tasks == 1) /* of several, the state of those is kept that this process had before */
        worker_stand_by(worker_of(r, 0));
    return rc;
}

static void open_rules(run_t *r) {
    buf_t texts = {0};
    r->rules = rulebox_new();
    texts_save(script_texts(r->o->script), &texts);
    rulebox_put(r->rules, r->o->plan->version, buf_slice(&texts));
    buf_fini(&texts);
    script_close(r->o->script);
}

static void close_all(run_t *r) {
    member_close(r->member); /* first: others wait for it */
    r->member = NULL;
    for (int32_t i = 0; i < r->n_tasks; i++)
        worker_free(r->workers[i]);
    reloader_free(r->reloader);
    watch_close(r->watch);
    rulebox_free(r->rules);
    gate_free(r->gate);
    mem_free(r->workers);
    mem_free(r->owns);
    mem_free(r->awaited);
    buf_fini(&r->fault);
}

int run_engine(const run_options_t *o) {
    run_t r = {.o = o, .log = o->log, .kafka = {.log = o->log}, .n_tasks = (int32_t)o->config->parallelism};
    error_t e = {0};
    r.rest_at = clock_mono(&clock_system);
    r.workers = mem_zalloc((size_t)r.n_tasks * sizeof(worker_t *));
    r.owns = mem_zalloc((size_t)r.n_tasks);
    open_rules(&r);
    catch_signals(o->grouped);
    int rc = open_all(&r, &e);
    if (rc == 0)
        rc = loop(&r, &e);
    if (rc) /* before anything is closed: that may take its time */
        log_say(o->log, LOG_ERROR, "engine", "%s", e.text);
    close_all(&r);
    if (rc == 0)
        log_say(o->log, LOG_INFO, "engine", "stopped");
    return rc == 0 ? EXIT_OK : rc <= ERR_INTERNAL ? EXIT_INTERNAL : EXIT_FAULT;
}
