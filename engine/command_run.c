#include "command.h"

#include <stdio.h>

#include "mem.h"
#include "notify.h"
#include "properties_kafka.h"
#include "run.h"
#include "serve.h"
#include "status_line.h"

static int run(loaded_t *l, log_t *log) {
    serve_t serve;
    error_t e = {0};
    if (serve_open(&serve, l->config, l->config->http, log, &e)) {
        log_say(log, LOG_ERROR, "http", "%s", e.text);
        return EXIT_FAULT;
    }
    notify_t *notify = notify_open(&serve.pulse, log);
    status_line_t *line = status_line_new(log, notify);
    observers_add(&serve.observers, notify_observer(notify));
    observers_add(&serve.observers, status_line_observer(line));
    run_options_t options = {.log = log,
                             .config = l->config,
                             .plan = l->plan,
                             .rules = l->rules,
                             .script = l->script,
                             .grouped = 1,
                             .observer = serve_observer(&serve)};
    l->script = NULL; /* the engine's now */
    int status = run_engine(&options);
    status_line_free(line);
    notify_close(notify);
    serve_close(&serve);
    return status;
}

int command_run(const options_t *o, log_t *log) {
    loaded_t l;
    faults_t faults = {0};
    mem_keep_buffers();
    error_t e = {0};
    if (load_live(options_get(o, "config"), NULL, log, &l, &faults)) {
        load_print_faults(&faults);
        faults_fini(&faults);
        return EXIT_FAULT;
    }
    int status = EXIT_FAULT;
    if (properties_kafka_brokers(l.config, &e))
        fprintf(stderr, "ananas: %s\n", e.text);
    else
        status = run(&l, log);
    load_fini(&l);
    return status;
}
