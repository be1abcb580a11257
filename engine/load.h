/* load: configuration and rules from the user's files into a script, a plan and a configuration.
 *
 * Faults are printed one a line as file:line: message on standard error. A configuration outlives every plan loaded with
 * it. One thread; a reload loads on a thread of its own. */
#ifndef ANANAS_LOAD_H
#define ANANAS_LOAD_H
#include "log.h"
#include "script.h"

typedef struct loaded {
    config_t *config;
    script_t *script; /* taken over by the task */
    plan_t *plan;     /* likewise */
    char *rules;      /* path the rules came from */
} loaded_t;

script_limits_t load_limits(const config_t *c);
/* config_path NULL: ananas.lua; rules NULL: those of the configuration (relative to its folder). 0 or ERR_INVALID with
 * everything in *faults. */
int load_all(const char *config_path, const char *rules, log_t *log, loaded_t *out, faults_t *faults);
/* The same for those who will talk to brokers, or say whether that would go well: the properties of `kafka` are looked at,
 * too. */
int load_live(const char *config_path, const char *rules, log_t *log, loaded_t *out, faults_t *faults);
/* The same from a configuration's text; name stands for its path in messages. */
int load_all_text(const char *name, const char *text, const char *rules, log_t *log, loaded_t *out, faults_t *faults);
/* Another rule set for the same configuration. */
int load_rules(const config_t *config, const char *rules, log_t *log, script_t **script, plan_t **plan,
               faults_t *faults);
void load_fini(loaded_t *l); /* what was not taken over */
void load_print_faults(const faults_t *f);
#endif
