/* main: argv to a command, and its exit status. The only file that exits. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buf.h"
#include "command.h"
#include "script.h"
#include "version_print.h"

/* The settings and the keys of rules, from the same rows of data that check them. */
static int help_reference(const char *topic, log_t *log) {
    script_limits_t limits = {.memory = 64u << 20, .jit = 0};
    script_t *script = NULL;
    error_t e = {0};
    buf_t text = {0};
    int rc = script_open(&script, &limits, log, &e);
    if (rc == 0)
        rc = script_reference(script, topic, &text);
    if (rc == 0)
        fwrite(text.s, 1, text.len, stdout);
    else
        log_say(log, LOG_ERROR, "engine", "%s", script ? script_error(script) : e.text);
    buf_fini(&text);
    script_close(script);
    return rc ? EXIT_INTERNAL : EXIT_OK;
}

static int help(const options_t *o, log_t *log) {
    switch (options_topic(o)) {
    case HELP_CONFIG:
    case HELP_RULES: return help_reference(o->rest[0], log);
    case HELP_MAN: options_print_man(); break;
    case HELP_BASH: options_print_completion(); break;
    case HELP_COMMANDS: options_print_help(o, 1); break;
    }
    return EXIT_OK;
}

static int dispatch(const options_t *o, log_t *log) {
    switch (o->command) {
    case COMMAND_RUN: return command_run(o, log);
    case COMMAND_CHECK: return command_check(o, log);
    case COMMAND_REPLAY: return command_replay(o, log);
    case COMMAND_DIFF: return command_diff(o, log);
    case COMMAND_TEST: return command_test(o, log);
    case COMMAND_DEMO: return command_demo(o, log);
    case COMMAND_VERSION: return version_print();
    case COMMAND_HELP: return help(o, log);
    }
    return EXIT_INTERNAL;
}

static int with_log(const options_t *o, error_t *e) {
    log_level_t level = LOG_INFO;
    const char *level_name = options_get(o, "log-level"), *format_name = options_get(o, "log-format");
    if (level_name && log_level_parse(level_name, &level))
        return command_usage("--log-level is one of debug, info, warn, error");
    if (format_name && strcmp(format_name, "text") != 0 && strcmp(format_name, "json") != 0)
        return command_usage("--log-format is text or json");
    log_t *log = log_open(STDERR_FILENO, level, format_name && strcmp(format_name, "json") == 0 ? LOG_JSON : LOG_TEXT);
    int status = EXIT_INTERNAL;
    if (script_watchdog_start(e))
        log_say(log, LOG_ERROR, "engine", "%s", e->text);
    else
        status = dispatch(o, log);
    script_watchdog_stop();
    log_close(log);
    return status;
}

int main(int argc, char **argv) {
    options_t o;
    error_t e = {0};
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is a write error, not the end of the process */
    if (options_parse(argc, argv, &o, &e))
        return command_usage(e.text);
    if (o.help) {
        options_print_help(&o, 0);
        return EXIT_OK;
    }
    int status = with_log(&o, &e);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_OK) {
        fputs("ananas: standard output cannot be written\n", stderr);
        status = EXIT_FAULT;
    }
    return status;
}
