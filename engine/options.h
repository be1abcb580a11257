/* options: the command line as one table.
 *
 * Commands and their options are rows of data from which parsing, --help, the man page and shell completion are made.
 * options_parse borrows argv. Any thread. */
#ifndef ANANAS_OPTIONS_H
#define ANANAS_OPTIONS_H
#include "error.h"

typedef enum {
    COMMAND_RUN,
    COMMAND_CHECK,
    COMMAND_REPLAY,
    COMMAND_DIFF,
    COMMAND_TEST,
    COMMAND_DEMO,
    COMMAND_VERSION,
    COMMAND_HELP
} command_t;

/* What `ananas help` tells. */
typedef enum { HELP_COMMANDS, HELP_CONFIG, HELP_RULES, HELP_MAN, HELP_BASH } help_t;

#define OPTIONS_MAX 24
typedef struct options {
    command_t command;
    const char *values[OPTIONS_MAX]; /* by row of the command's options; flags: "1" */
    char **rest;                     /* what is no option */
    int n_rest;
    int help; /* --help was asked for */
} options_t;

/* 0, or ERR_INVALID (wrong usage: *e says what, exit 2). */
int options_parse(int argc, char **argv, options_t *out, error_t *e);
/* Value of --name, or NULL. The command must have such an option. */
const char *options_get(const options_t *o, const char *name);
/* What `ananas help WORD` asks for; HELP_COMMANDS where the word is none of the others, or there is none. */
help_t options_topic(const options_t *o);
/* Text of `ananas --help` (any = 1) or of one command's. */
void options_print_help(const options_t *o, int any);
/* Manual page (roff) and completion (bash) from the same table, on standard output: `ananas help man|bash`. */
void options_print_man(void);
void options_print_completion(void);
#endif
