#include "command.h"
#include "run.h"

int command_run(const options_t *o, log_t *log) {
    loaded_t l;
    faults_t faults = {0};
    if (load_all(options_get(o, "config"), NULL, log, &l, &faults)) {
        load_print_faults(&faults);
        faults_fini(&faults);
        return EXIT_FAULT;
    }
    run_options_t options = {.log = log, .config = l.config, .plan = l.plan, .rules = l.rules, .grouped = 1};
    int status = run_engine(&options);
    load_fini(&l);
    return status;
}
