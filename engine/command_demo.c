#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "demo_kafka.h"
#include "display.h"
#include "mem.h"
#include "run.h"
#include "serve.h"
#include "version.h"

typedef struct demo {
    observer_t base; /* paces the producer, and says when all was shown */
    demo_kafka_t *kafka;
    uint64_t read;
} demo_t;

#define DEMO_PARTITIONS 3

static const char config_text[] =
    "kafka { [\"bootstrap.servers\"] = \"%s\", [\"group.id\"] = \"ananas-demo\", [\"linger.ms\"] = 5 }\n"
    "source \"pizzas\" { topic = \"pizzas\", metadata = { orderTimestamp = \"timestamp\" },\n"
    "  event_time = \"orderTimestamp\", watermark = \"5s\", max_ahead = \"none\" }\n"
    "rules \"rules\"\ndelivery \"at_least_once\"\n";

static void on_progress(observer_t *o, int32_t task, const position_t *at, uint32_t n) {
    demo_t *d = (demo_t *)o;
    (void)task;
    d->read = 0;
    for (uint32_t i = 0; i < n; i++) {
        demo_kafka_progress(d->kafka, at[i].partition, at[i].offset);
        d->read += (uint64_t)at[i].offset;
    }
}

static int wants_stop(observer_t *o) {
    const demo_t *d = (const demo_t *)o;
    return demo_kafka_done(d->kafka) && d->read >= (uint64_t)demo_kafka_sent(d->kafka);
}

static int64_t number(const char *s, int64_t absent) { return s ? strtoll(s, NULL, 10) : absent; }

/* The shipped rules: beside the working directory, or where `make install` put them. */
static const char *rules_path(const options_t *o) {
    const char *given = options_get(o, "rules");
    if (given)
        return given;
    return access("rules/pizza.lua", R_OK) == 0 ? "rules/pizza.lua" : ANANAS_DATA "/rules/pizza.lua";
}

static int make_topics(demo_kafka_t *k, const plan_t *plan, error_t *e) {
    int rc = demo_kafka_topic(k, "pizzas.dead-letters", 1, e);
    if (rc == 0)
        rc = demo_kafka_topic(k, "ananas-demo-changelog", 1, e);
    for (uint32_t i = 0; i < plan->n_rules && rc == 0; i++)
        if (plan->rules[i].to)
            rc = demo_kafka_topic(k, plan->rules[i].to, DEMO_PARTITIONS, e);
    return rc;
}

static int show(demo_t *d, const options_t *o, loaded_t *l, log_t *log) {
    char hint[300];
    serve_t serve;
    error_t e = {0};
    const char *http = options_get(o, "http");
    if (serve_open(&serve, l->config, http, log, &e)) {
        log_say(log, LOG_ERROR, "http", "%s", e.text);
        return EXIT_FAULT;
    }
    snprintf(hint, sizeof hint, "Edit %s now: what it finds changes at once. %s%s%sCtrl-C ends.", l->rules,
             http ? "Served at " : "", http ? http : "", http ? ". " : "");
    display_t *display =
        display_new(stdout, "Ananas: anomalies in a stream of pizza orders, through Kafka", hint, "orders");
    if (!log_paints(STDOUT_FILENO)) {
        printf("%s\n", hint);
        fflush(stdout);
    }
    d->base = (observer_t){.progress = on_progress, .wants_stop = wants_stop};
    observers_add(&serve.observers, display_observer(display));
    observers_add(&serve.observers, &d->base);
    run_options_t options = {.log = log,
                             .config = l->config,
                             .plan = l->plan,
                             .rules = l->rules,
                             .script = l->script,
                             .topics_exist = 1,
                             .observer = serve_observer(&serve)};
    l->script = NULL; /* the engine's now */
    int status = run_engine(&options);
    display_paint(display, NULL, 1);
    display_free(display);
    serve_close(&serve);
    return status;
}

static int demo(const options_t *o, log_t *log, demo_t *d, loaded_t *l, error_t *e) {
    int64_t rate = number(options_get(o, "rate"), isatty(STDOUT_FILENO) ? 500 : 0);
    demo_kafka_options_t options = {"pizzas", DEMO_PARTITIONS, rate, number(options_get(o, "orders"), 0), 2022};
    int rc = demo_kafka_open(&d->kafka, &options, e);
    if (rc)
        return rc;
    faults_t faults = {0};
    char *text = mem_printf(config_text, demo_kafka_bootstrap(d->kafka));
    rc = load_all_text("the demo's configuration", text, rules_path(o), log, l, &faults);
    mem_free(text);
    if (rc)
        error_set(e, rc, "the rules have faults");
    load_print_faults(&faults);
    faults_fini(&faults);
    if (rc == 0)
        rc = make_topics(d->kafka, l->plan, e);
    return rc ? rc : demo_kafka_start(d->kafka, e);
}

/* On a terminal the picture is painted in place; only what ends the demo may be said over it. */
static log_t *quiet_log(const options_t *o) {
    int painted = log_paints(STDOUT_FILENO) && log_paints(STDERR_FILENO) && !options_get(o, "log-level");
    return painted ? log_open(STDERR_FILENO, LOG_ERROR, LOG_TEXT) : NULL;
}

int command_demo(const options_t *o, log_t *log) {
    log_t *quiet = quiet_log(o);
    demo_t d = {0};
    loaded_t l = {0};
    error_t e = {0};
    int status = EXIT_FAULT;
    if (quiet)
        log = quiet;
    if (demo(o, log, &d, &l, &e))
        log_say(log, LOG_ERROR, "engine", "%s", e.text);
    else
        status = show(&d, o, &l, log);
    demo_kafka_close(d.kafka);
    load_fini(&l);
    if (quiet)
        log_close(quiet);
    return status;
}
