#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "mem.h"
#include "standby_kafka.h"

typedef enum { WANT_NOTHING, WANT_RUN, WANT_PAUSE, WANT_STANDBY, WANT_END } want_t;

struct worker {
    active_options_t o;
    kafka_context_t kafka; /* of its clients */
    rulebox_t *rules;
    pthread_t thread;
    int has_thread;
    pthread_mutex_t lock;
    pthread_cond_t told, done;
    want_t want;
    unsigned asked, carried; /* numbers of what was told, and of what has been carried out */
    int opening;             /* inside active_open */
    int no_commit;           /* an end that gives up what is not committed */
    int commit_rc;           /* of the last pause or end */
    error_t commit_error;
    error_t failure; /* code 0: none */
    char version[64];
    script_t *script; /* a rule set that waits to be taken */
    plan_t *plan;
    active_t *active; /* set under the lock; else the thread's own, as all below */
    standby_t *standby;
    int told_of;     /* the observer, and it has not heard since that the task is gone */
    unsigned run;    /* number of the WANT_RUN that active was opened or taken up again for */
    mono_t retry_at; /* after a failure: not before this */
    error_t said;    /* why it started again, last time */
    mono_t said_at, fenced_at;
    int fenced; /* how often since fenced_at */
    buf_t texts;
};

#define RETRY_MS 1000
#define STANDBY_MS 20
#define SAY_AGAIN_MS 30000
#define FENCED_TIMES 5
#define FENCED_WITHIN_MS 30000

static void set_active(worker_t *w, active_t *a) {
    pthread_mutex_lock(&w->lock);
    w->active = a;
    w->version[0] = 0;
    if (a)
        snprintf(w->version, sizeof w->version, "%s", active_version(a));
    pthread_mutex_unlock(&w->lock);
}

/* Who heard that a task is restored hears that it is gone, also where opening it never succeeded. */
static void tell_restoring(worker_t *w) {
    w->told_of = 1;
    if (w->o.observer && w->o.observer->restoring)
        w->o.observer->restoring(w->o.observer, w->o.task);
}

static void tell_closed(worker_t *w) {
    if (w->told_of && w->o.observer && w->o.observer->closed)
        w->o.observer->closed(w->o.observer, w->o.task);
    w->told_of = 0;
}

static void close_active(worker_t *w) {
    active_t *a = w->active;
    if (!a)
        return;
    set_active(w, NULL);
    active_close(a);
    mem_give_back(); /* before as much is taken again, between what others took meanwhile */
    tell_closed(w);
}

/* ---- running ---- */

static int told_something_else(worker_t *w, unsigned run) {
    pthread_mutex_lock(&w->lock);
    int yes = w->asked != run;
    pthread_mutex_unlock(&w->lock);
    return yes;
}

/* What was opened for an earlier owning may be another's work by now. */
static int open_active(worker_t *w, unsigned run, error_t *e) {
    active_options_t o = w->o;
    active_t *a = NULL;
    w->run = run;
    tell_restoring(w);
    rulebox_get(w->rules, &w->texts, NULL);
    o.texts = buf_slice(&w->texts);
    o.warm = standby_reader(w->standby);
    pthread_mutex_lock(&w->lock);
    int late = w->asked != run;
    w->opening = !late;
    pthread_mutex_unlock(&w->lock);
    if (late)
        return 0;
    int rc = active_open(&a, &o, e);
    pthread_mutex_lock(&w->lock);
    w->opening = 0;
    pthread_mutex_unlock(&w->lock);
    if (rc)
        return rc;
    set_active(w, a);
    if (told_something_else(w, run))
        close_active(w);
    return 0;
}

/* The group gave the task back. Nobody else had it in between when its offsets are where they were left. */
static int take_up_again(worker_t *w, unsigned run, error_t *e) {
    int same = 0, rc = active_rejoin(w->active, &same, e);
    if (rc)
        return rc;
    if (same)
        log_say(w->o.log, LOG_INFO, "engine", "nobody else had task %d meanwhile; it goes on where it was", w->o.task);
    else
        close_active(w);
    w->run = run;
    return 0;
}

static void take_rules(worker_t *w) {
    pthread_mutex_lock(&w->lock);
    script_t *script = w->script;
    plan_t *plan = w->plan;
    w->script = NULL;
    w->plan = NULL;
    pthread_mutex_unlock(&w->lock);
    if (plan)
        active_reload(w->active, script, plan);
}

static void put_version(worker_t *w, const char *version, size_t len) {
    if (strlen(w->version) == len && memcmp(version, w->version, len) == 0) /* only this thread writes it */
        return;
    pthread_mutex_lock(&w->lock);
    snprintf(w->version, sizeof w->version, "%.*s", (int)len, version);
    pthread_mutex_unlock(&w->lock);
}

static int turn(worker_t *w, unsigned run, error_t *e) {
    int rc = 0;
    if (w->active && w->run != run)
        rc = take_up_again(w, run, e);
    if (rc == 0 && !w->active)
        rc = open_active(w, run, e);
    if (rc || !w->active)
        return rc;
    take_rules(w);
    rc = active_turn(w->active, e);
    if (rc == 0)
        put_version(w, active_version(w->active), strlen(active_version(w->active)));
    return rc;
}

/* A process that was replaced learns so from the group. Who is fenced again and again as the owner has a stranger for a
 * rival. */
static int has_rival(worker_t *w, error_t *e) {
    mono_t now = clock_mono(&clock_system);
    if (w->fenced == 0 || mono_diff_ms(now, w->fenced_at) > FENCED_WITHIN_MS) {
        w->fenced = 0;
        w->fenced_at = now;
    }
    if (told_something_else(w, w->run) || ++w->fenced < FENCED_TIMES)
        return 0;
    return error_set(
        e, ERR_INVALID,
        "a process that is no member of this group keeps taking over the transactional id \"%s-%d\", which "
        "is this group's. "
        "Stop it, or give this group another group.id",
        w->o.config->group_id, w->o.task);
}

static void fail(worker_t *w, const error_t *e) {
    pthread_mutex_lock(&w->lock);
    w->failure = *e;
    w->failure.code = ERR_INVALID;
    pthread_mutex_unlock(&w->lock);
}

/* Anything indefinite: throw away what this task holds and restore. Only a person can mend ERR_INVALID. */
static void recover(worker_t *w, int rc, error_t *e) {
    close_active(w);
    mono_t now = clock_mono(&clock_system);
    w->retry_at = now;
    w->retry_at.ns += (int64_t)RETRY_MS * 1000000;
    int gone = rc != ERR_INVALID && w->o.member && member_check_topic(w->o.member, e);
    if (rc == ERR_INVALID || gone || (rc == ERR_FENCED && has_rival(w, e))) {
        fail(w, e);
        return;
    }
    if (strcmp(w->said.text, e->text) == 0 && mono_diff_ms(now, w->said_at) <= SAY_AGAIN_MS)
        return;
    if (w->o.config->parallelism > 1)
        log_say(w->o.log, LOG_WARN, "engine", "task %d: %s; starting it again from the last commit", w->o.task,
                e->text);
    else
        log_say(w->o.log, LOG_WARN, "engine", "%s; starting again from the last commit", e->text);
    w->said = *e;
    w->said_at = now;
}

/* ---- what it is told ---- */

static void nap(worker_t *w, unsigned run, int64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms * 1000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&w->lock);
    while (w->asked == run && pthread_cond_timedwait(&w->told, &w->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&w->lock);
}

static int has_failed(worker_t *w) {
    pthread_mutex_lock(&w->lock);
    int failed = w->failure.code != 0;
    pthread_mutex_unlock(&w->lock);
    return failed;
}

static void run(worker_t *w, unsigned number) {
    while (!told_something_else(w, number)) {
        error_t e = {0};
        int64_t wait = mono_diff_ms(w->retry_at, clock_mono(&clock_system));
        if (wait > 0 || has_failed(w)) {
            nap(w, number, wait > 0 ? wait : RETRY_MS);
            continue;
        }
        int rc = turn(w, number, &e);
        if (rc)
            recover(w, rc, &e);
    }
}

static int commit(worker_t *w, error_t *e) {
    pthread_mutex_lock(&w->lock);
    int skip = w->no_commit;
    pthread_mutex_unlock(&w->lock);
    int rc = w->active && !skip ? active_commit(w->active, e) : 0;
    if (rc)
        close_active(w);
    return rc;
}

/* Another process has the task, or may have it soon: the state is kept and read along, so that taking over is quick. */
static void stand_by(worker_t *w, unsigned number) {
    active_t *a = w->active;
    if (a) {
        set_active(w, NULL);
        standby_keep(w->standby, active_keep(a));
        active_close(a);
    }
    tell_closed(w);
    while (!told_something_else(w, number)) {
        standby_turn(w->standby, STANDBY_MS);
        slice_t version = standby_version(w->standby);
        put_version(w, version.s ? version.s : "", version.len);
    }
}

static void carry_out(worker_t *w, want_t want, unsigned number) {
    error_t e = {0};
    int rc = 0;
    if (want == WANT_RUN)
        run(w, number);
    if (want == WANT_PAUSE || want == WANT_END)
        rc = commit(w, &e);
    if (want == WANT_PAUSE && w->o.observer && w->o.observer->paused)
        w->o.observer->paused(w->o.observer, w->o.task);
    if (want == WANT_STANDBY)
        stand_by(w, number);
    pthread_mutex_lock(&w->lock);
    w->carried = number;
    if (want != WANT_RUN && want != WANT_STANDBY) {
        w->commit_rc = rc;
        w->commit_error = e;
    }
    pthread_cond_broadcast(&w->done);
    pthread_mutex_unlock(&w->lock);
    if (want == WANT_END) /* nobody need wait for memory to be freed: the next owner may begin */
        close_active(w);
}

static void *worker_main(void *arg) {
    worker_t *w = arg;
    want_t want = WANT_NOTHING;
    char name[16]; /* as the system allows */
    snprintf(name, sizeof name, "task %d", w->o.task);
    pthread_setname_np(pthread_self(), name);
    while (want != WANT_END) {
        pthread_mutex_lock(&w->lock);
        while (w->asked == w->carried)
            pthread_cond_wait(&w->told, &w->lock);
        want = w->want;
        unsigned number = w->asked;
        pthread_mutex_unlock(&w->lock);
        carry_out(w, want, number);
    }
    return NULL;
}

static void tell(worker_t *w, want_t want) {
    pthread_mutex_lock(&w->lock);
    if (w->has_thread && w->want != WANT_END && !(want == w->want)) {
        w->want = want;
        w->asked++;
        pthread_cond_broadcast(&w->told);
        if (w->active)
            active_wake(w->active);
    }
    pthread_mutex_unlock(&w->lock);
}

void worker_run(worker_t *w) { tell(w, WANT_RUN); }
void worker_pause(worker_t *w) { tell(w, WANT_PAUSE); }
void worker_stand_by(worker_t *w) { tell(w, WANT_STANDBY); }
void worker_end(worker_t *w) { tell(w, WANT_END); }

int worker_wait(worker_t *w, error_t *e) {
    pthread_mutex_lock(&w->lock);
    while (w->asked != w->carried && !(w->opening && w->want != WANT_END))
        pthread_cond_wait(&w->done, &w->lock);
    int rc = w->asked == w->carried ? w->commit_rc : 0;
    if (rc)
        *e = w->commit_error;
    pthread_mutex_unlock(&w->lock);
    return rc;
}

void worker_reload(worker_t *w, script_t *script, plan_t *plan) {
    pthread_mutex_lock(&w->lock);
    script_t *old_script = w->script;
    plan_t *old_plan = w->plan;
    w->script = script;
    w->plan = plan;
    if (w->active)
        active_wake(w->active);
    pthread_mutex_unlock(&w->lock);
    if (old_plan) {
        script_close(old_script);
        plan_free(old_plan);
    }
}

int worker_failure(worker_t *w, error_t *e) {
    pthread_mutex_lock(&w->lock);
    int rc = w->failure.code;
    if (rc)
        *e = w->failure;
    pthread_mutex_unlock(&w->lock);
    return rc;
}

int worker_version(worker_t *w, char *out, size_t size) {
    pthread_mutex_lock(&w->lock);
    snprintf(out, size, "%s", w->version);
    int yes = w->active != NULL && w->version[0];
    pthread_mutex_unlock(&w->lock);
    return yes;
}

/* The program's signals are the loop's, which looks at what they set. */
static int start_thread(worker_t *w) {
    sigset_t ours, before;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ours, &before);
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

worker_t *worker_new(const active_options_t *o, rulebox_t *rules) {
    worker_t *w = mem_zalloc(sizeof *w);
    pthread_condattr_t monotonic;
    w->o = *o;
    w->kafka.log = o->log;
    w->o.kafka = &w->kafka;
    w->rules = rules;
    w->o.rules = rules;
    w->standby = standby_new(o->config, &w->kafka, o->task);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->told, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&w->done, NULL);
    w->has_thread = start_thread(w) == 0;
    if (!w->has_thread)
        error_set(&w->failure, ERR_INTERNAL, "cannot start a thread for task %d", o->task);
    return w;
}

void worker_free(worker_t *w) {
    if (!w)
        return;
    if (w->has_thread) {
        pthread_mutex_lock(&w->lock);
        w->no_commit = 1;
        pthread_mutex_unlock(&w->lock);
        tell(w, WANT_END);
        pthread_join(w->thread, NULL);
    }
    if (w->plan) {
        script_close(w->script);
        plan_free(w->plan);
    }
    standby_free(w->standby);
    pthread_cond_destroy(&w->told);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->lock);
    buf_fini(&w->texts);
    mem_free(w);
}
