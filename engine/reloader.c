#include "reloader.h"

#include <pthread.h>
#include <stdatomic.h>

#include "mem.h"

struct reloader {
    const config_t *config;
    char *rules;
    log_t *log;
    reloader_check_fn check;
    void *ctx;
    pthread_t thread;
    int running, again;
    _Atomic int done;
    int rc;
    script_t *script;
    plan_t *plan;
    faults_t faults;
    buf_t text;
};

reloader_t *reloader_new(const config_t *config, const char *rules, log_t *log, reloader_check_fn check, void *ctx) {
    reloader_t *r = mem_zalloc(sizeof *r);
    r->config = config;
    r->rules = mem_strdup(rules);
    r->log = log;
    r->check = check;
    r->ctx = ctx;
    return r;
}

static void *load_aside(void *arg) {
    reloader_t *r = arg;
    error_t e = {0};
    r->rc = load_rules(r->config, r->rules, r->log, &r->script, &r->plan, &r->faults);
    if (r->rc == 0 && r->check && (r->rc = r->check(r->ctx, r->plan, &e))) {
        faults_add(&r->faults, r->rules, 0, "%s", e.text);
        script_close(r->script);
        plan_free(r->plan);
    }
    atomic_store(&r->done, 1);
    return NULL;
}

void reloader_start(reloader_t *r) {
    if (r->running) {
        r->again = 1;
        return;
    }
    r->again = 0;
    atomic_store(&r->done, 0);
    r->faults = (faults_t){0};
    if (pthread_create(&r->thread, NULL, load_aside, r)) {
        log_say(r->log, LOG_ERROR, "rules", "cannot start a thread to load the rules; the old ones go on");
        return;
    }
    r->running = 1;
}

static void faults_text(reloader_t *r) {
    buf_clear(&r->text);
    for (size_t i = 0; i < r->faults.n; i++) {
        const fault_t *f = &r->faults.at[i];
        buf_add_str(&r->text, i ? "; " : "");
        fault_write(f, &r->text);
    }
}

reload_state_t reloader_poll(reloader_t *r, script_t **script, plan_t **plan, const char **text) {
    if (!r->running)
        return RELOAD_NOTHING;
    if (!atomic_load(&r->done))
        return RELOAD_BUSY;
    pthread_join(r->thread, NULL);
    r->running = 0;
    faults_text(r);
    faults_fini(&r->faults);
    int stale = r->again;
    if (stale) {
        if (r->rc == 0) {
            script_close(r->script);
            plan_free(r->plan);
        }
        reloader_start(r);
        return RELOAD_BUSY;
    }
    if (r->rc) {
        *text = buf_cstr(&r->text);
        return RELOAD_FAULTY;
    }
    *script = r->script;
    *plan = r->plan;
    return RELOAD_READY;
}

void reloader_free(reloader_t *r) {
    if (!r)
        return;
    if (r->running) {
        pthread_join(r->thread, NULL);
        faults_fini(&r->faults);
        if (r->rc == 0) {
            script_close(r->script);
            plan_free(r->plan);
        }
    }
    buf_fini(&r->text);
    mem_free(r->rules);
    mem_free(r);
}
