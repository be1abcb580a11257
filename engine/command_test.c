#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "load.h"
#include "script_test.h"

/* Where the rules are, and with them their specs: as the configuration says, else "rules". Its faults are the tests' to
 * tell: they run the rules themselves. */
static int run_beside_rules(const char *config, log_t *log, script_test_t *t) {
    loaded_t l = {0};
    faults_t faults = {0};
    if (config && t->n_paths == 0)
        load_all(config, NULL, log, &l, &faults);
    t->rules = l.config && l.config->rules ? l.config->rules : "rules";
    int status = script_test(t);
    faults_fini(&faults);
    load_fini(&l);
    return status;
}

int command_test(const options_t *o, log_t *log) {
    const char *config = options_get(o, "config");
    if (!config && access("ananas.lua", R_OK) == 0)
        config = "ananas.lua";
    script_test_t t = {.paths = o->rest, .n_paths = o->n_rest, .config = config};
    t.coloured = log_colours(STDOUT_FILENO);
    return run_beside_rules(config, log, &t);
}
