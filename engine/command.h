/* command: one function per command of the program.
 *
 * Each gets the parsed command line and the log and returns the exit status: 0 done, 1 a fault in what the user wrote or
 * sent, 2 wrong usage, 70 and above an internal failure. Results go to standard output, everything else to the log. */
#ifndef ANANAS_COMMAND_H
#define ANANAS_COMMAND_H
#include <stdio.h>

#include "log.h"
#include "options.h"

enum { EXIT_OK = 0, EXIT_FAULT = 1, EXIT_USAGE = 2, EXIT_INTERNAL = 70 };

/* Says what is wrong with the command line; the status of that. */
static inline int command_usage(const char *text) {
    fprintf(stderr, "ananas: %s\n", text);
    return EXIT_USAGE;
}

int command_run(const options_t *o, log_t *log);
int command_check(const options_t *o, log_t *log);
int command_replay(const options_t *o, log_t *log);
int command_diff(const options_t *o, log_t *log);
int command_test(const options_t *o, log_t *log);
int command_demo(const options_t *o, log_t *log);
#endif
