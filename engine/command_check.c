#include <stdio.h>

#include "command.h"
#include "load.h"

int command_check(const options_t *o, log_t *log) {
    loaded_t l;
    faults_t faults = {0};
    int rc = load_all(options_get(o, "config"), options_get(o, "rules"), log, &l, &faults);
    load_print_faults(&faults);
    faults_fini(&faults);
    load_fini(&l);
    return rc ? EXIT_FAULT : EXIT_OK;
}
