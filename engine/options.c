#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "nearest.h"

typedef struct option_row {
    const char *name;
    char letter;     /* 0: none */
    const char *arg; /* NULL: a flag */
    const char *doc;
} option_row_t;

typedef struct command_row {
    command_t command;
    const char *name, *args, *doc, *more;
    const option_row_t *options; /* ends with a row without a name */
    int max_rest;
} command_row_t;

#define OPTION_CONFIG \
    { "config", 'c', "FILE", "configuration (default: ananas.lua)" }
#define OPTION_LOG                                                                               \
    {"log-format", 0, "text|json", "form of the log lines on standard error (default: text)"}, { \
        "log-level", 0, "LEVEL", "debug, info, warn or error (default: info)"                    \
    }
#define OPTION_END \
    { NULL, 0, NULL, NULL }

static const option_row_t run_options[] = {OPTION_CONFIG, OPTION_LOG, OPTION_END};
static const option_row_t check_options[] = {
    OPTION_CONFIG,
    {"rules", 0, "PATH", "rules to check instead of those of the configuration"},
    {"against", 0, "OLD", "folder or file of the rules that run now: print what a reload would do to each rule"},
    {"json", 0, NULL, "print the plan, or the faults, as JSON"},
    OPTION_LOG,
    OPTION_END};
static const option_row_t replay_options[] = {
    OPTION_CONFIG,
    {"rules", 0, "PATH", "rules to run instead of those of the configuration"},
    {"input", 'i', "FILE",
     "records as `kcat -C -J` prints them; gzip and zstd are recognised; - is standard input (default)"},
    {"raw", 0, "SOURCE", "the input is bare payload lines of this source"},
    {"output", 'o', "FILE", "where the output records go, one JSON object a line; - is standard output (default)"},
    {"no-flush", 0, NULL, "do not close the windows that are open at the end of the input"},
    {"now", 0, "TIME", "wall clock for max_ahead, epoch ms or ISO 8601 (default: when the replay starts)"},
    {"stats", 0, "FILE", "write counters as one JSON object"},
    {"profile", 0, NULL, "print time per stage on standard error at the end"},
    {"from-topic", 0, NULL, "read the sources' topics from the broker, without joining the group or committing"},
    {"since", 0, "TIME", "with --from-topic: from records stamped then on, or that long ago (6h)"},
    {"until", 0, "TIME", "with --from-topic: up to records stamped then, or that long ago"},
    OPTION_LOG,
    OPTION_END};
static const option_row_t diff_options[] = {
    OPTION_CONFIG,
    {"input", 'i', "FILE", "records as for replay; - is standard input (default)"},
    {"raw", 0, "SOURCE", "the input is bare payload lines of this source"},
    {"no-flush", 0, NULL, "do not close the windows that are open at the end of the input"},
    {"now", 0, "TIME", "wall clock for max_ahead, epoch ms or ISO 8601 (default: when it starts)"},
    {"from-topic", 0, NULL, "read the sources' topics from the broker"},
    {"since", 0, "TIME", "with --from-topic: from records stamped then on, or that long ago"},
    {"until", 0, "TIME", "with --from-topic: up to records stamped then, or that long ago"},
    OPTION_LOG,
    OPTION_END};
static const option_row_t test_options[] = {OPTION_CONFIG, OPTION_LOG, OPTION_END};
static const option_row_t demo_options[] = {
    {"orders", 0, "N", "end after N orders (default: run until interrupted)"},
    {"rate", 0, "N", "orders per second (default: 500 on a terminal, else as fast as it goes)"},
    {"rules", 0, "PATH", "rules to run (default: rules/pizza.lua)"},
    {"http", 0, "ADDRESS", "serve the page and metrics there, host:port or unix:/path"},
    OPTION_LOG,
    OPTION_END};
static const option_row_t version_options[] = {OPTION_END};
static const option_row_t help_options[] = {OPTION_END};

static const command_row_t commands[] = {
    {COMMAND_RUN, "run", "", "read topics, ask the rules, write anomalies, until SIGTERM or SIGINT",
     "Stopping commits and never closes a window early. SIGHUP, or a change in the rules folder, reloads the rules.",
     run_options, 0},
    {COMMAND_CHECK, "check", "", "load configuration and rules, report every fault, print the plan", "", check_options,
     0},
    {COMMAND_REPLAY, "replay", "", "the same engine over recorded records, without a broker; deterministic",
     "Control lines: {\"topic\":T,\"partitions\":N}, {\"topic\":T,\"partition\":P,\"idle\":true}, {\"watermark\":MS}, "
     "{\"rules\":PATH}.",
     replay_options, 0},
    {COMMAND_DIFF, "diff", "OLD NEW", "run two rule sets over the same records and show the anomalies of only one",
     "A line with - is an anomaly of OLD only, with + of NEW only; totals per rule follow.", diff_options, 2},
    {COMMAND_TEST, "test", "[PATH...]", "run the rules' tests (*_spec.lua)",
     "Without a path: the specs beside the configured rules.", test_options, 1000},
    {COMMAND_DEMO, "demo", "", "an embedded broker, generated pizza orders and the shipped rules, live", "",
     demo_options, 0},
    {COMMAND_VERSION, "version", "", "print the versions of ananas and its libraries", "", version_options, 0},
    {COMMAND_HELP, "help", "[COMMAND]",
     "print help, or: what may stand in files (config, rules), a manual page (man), completion (bash)", "",
     help_options, 1}};
#define N_COMMANDS (int)(sizeof commands / sizeof *commands)

static const command_row_t *row_of(command_t c) {
    for (int i = 0; i < N_COMMANDS; i++)
        if (commands[i].command == c)
            return &commands[i];
    return &commands[0];
}

static const command_row_t *row_named(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return row_of(COMMAND_VERSION);
    return NULL;
}

/* getopt's own forms of the rows: value i + 256 is row i; the last one is --help. */
static void getopt_tables(const command_row_t *c, struct option *longs, char *shorts) {
    int n = 0;
    *shorts++ = ':';
    for (; c->options[n].name; n++) {
        longs[n] =
            (struct option){c->options[n].name, c->options[n].arg ? required_argument : no_argument, NULL, 256 + n};
        if (c->options[n].letter) {
            *shorts++ = c->options[n].letter;
            *shorts++ = ':';
        }
    }
    longs[n] = (struct option){"help", no_argument, NULL, 'h'};
    longs[n + 1] = (struct option){0};
    *shorts++ = 'h';
    *shorts = 0;
}

static int no_command(const char *name, error_t *e) {
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    const char *near = nearest(name, names, N_COMMANDS);
    if (near)
        return error_set(e, ERR_INVALID, "no command \"%s\"; did you mean `ananas %s`?", name, near);
    return error_set(e, ERR_INVALID, "no command \"%s\"; see `ananas --help`", name);
}

/* name: without the dashes. */
static int unknown_option(const command_row_t *c, const char *word, const char *name, error_t *e) {
    const char *names[OPTIONS_MAX];
    size_t n = 0;
    for (const option_row_t *r = c->options; r->name; r++) {
        if (strcmp(name, r->name) == 0)
            return error_set(e, ERR_INVALID, "--%s takes no value; see `ananas %s --help`", r->name, c->name);
        names[n++] = r->name;
    }
    const char *near = strlen(name) > 3 ? nearest(name, names, n) : NULL;
    if (near)
        return error_set(e, ERR_INVALID, "`ananas %s` has no option %s; did you mean --%s?", c->name, word, near);
    return error_set(e, ERR_INVALID, "`ananas %s` has no option %s; see `ananas %s --help`", c->name, word, c->name);
}

/* `word` as it was written, --name=value or --name. */
static int no_option(const command_row_t *c, const char *word, error_t *e) {
    const char *from = strncmp(word, "--", 2) == 0 ? word + 2 : "";
    char *name = mem_printf("%.*s", (int)strcspn(from, "="), from);
    int rc = unknown_option(c, word, name, e);
    mem_free(name);
    return rc;
}

static int row_of_letter(const command_row_t *c, int letter) {
    for (int i = 0; c->options[i].name; i++)
        if (c->options[i].letter == letter)
            return i;
    return -1;
}

static int parse_options(const command_row_t *c, int argc, char **argv, options_t *out, error_t *e) {
    struct option longs[OPTIONS_MAX + 2];
    char shorts[2 * OPTIONS_MAX + 4];
    getopt_tables(c, longs, shorts);
    opterr = 0;
    optind = 1;
    for (;;) {
        int got = getopt_long(argc, argv, shorts, longs, NULL);
        if (got < 0)
            break;
        if (got == 'h') {
            out->help = 1;
            continue;
        }
        if (got == ':')
            return error_set(e, ERR_INVALID, "%s needs a value; see `ananas %s --help`", argv[optind - 1], c->name);
        int row = got >= 256 ? got - 256 : row_of_letter(c, got);
        if (got == '?' || row < 0)
            return no_option(c, argv[optind - 1], e);
        out->values[row] = c->options[row].arg ? optarg : "1";
    }
    out->rest = argv + optind;
    out->n_rest = argc - optind;
    return 0;
}

/* What `ananas help` knows beside the commands. */
static const struct {
    const char *name;
    help_t topic;
} topics[] = {{"config", HELP_CONFIG}, {"rules", HELP_RULES}, {"man", HELP_MAN}, {"bash", HELP_BASH}};

help_t options_topic(const options_t *o) {
    for (size_t i = 0; o->n_rest && i < sizeof topics / sizeof *topics; i++)
        if (strcmp(topics[i].name, o->rest[0]) == 0)
            return topics[i].topic;
    return HELP_COMMANDS;
}

int options_parse(int argc, char **argv, options_t *out, error_t *e) {
    *out = (options_t){.command = COMMAND_HELP};
    if (argc < 2)
        return error_set(e, ERR_INVALID, "which command? see `ananas --help`");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return 0;
    const command_row_t *c = row_named(argv[1]);
    if (!c)
        return no_command(argv[1], e);
    out->command = c->command;
    int rc = parse_options(c, argc - 1, argv + 1, out, e);
    if (rc || out->help)
        return rc;
    if (out->n_rest > c->max_rest)
        return error_set(e, ERR_INVALID, "`ananas %s` takes no \"%s\"; see `ananas %s --help`", c->name,
                         out->rest[c->max_rest], c->name);
    if (c->command == COMMAND_HELP && out->n_rest && !row_named(out->rest[0]) && options_topic(out) == HELP_COMMANDS)
        return no_command(out->rest[0], e);
    if (c->command == COMMAND_DIFF && out->n_rest != 2)
        return error_set(e, ERR_INVALID, "`ananas diff` takes two rule sets, OLD and NEW; see `ananas diff --help`");
    return 0;
}

const char *options_get(const options_t *o, const char *name) {
    const command_row_t *c = row_of(o->command);
    for (int i = 0; c->options[i].name; i++)
        if (strcmp(c->options[i].name, name) == 0)
            return o->values[i];
    return NULL;
}

static void print_option(const option_row_t *r) {
    char left[64];
    if (r->letter)
        snprintf(left, sizeof left, "-%c, --%s %s", r->letter, r->name, r->arg ? r->arg : "");
    else
        snprintf(left, sizeof left, "    --%s %s", r->name, r->arg ? r->arg : "");
    printf("  %-26s %s\n", left, r->doc);
}

static void print_command(const command_row_t *c) {
    printf("usage: ananas %s%s%s%s\n\n%s\n", c->name, c->options[0].name ? " [OPTION...]" : "", *c->args ? " " : "",
           c->args, c->doc);
    if (*c->more)
        printf("%s\n", c->more);
    printf("\n");
    for (const option_row_t *r = c->options; r->name; r++)
        print_option(r);
    printf("  %-26s %s\n", "-h, --help", "print this");
}

void options_print_help(const options_t *o, int any) {
    const command_row_t *named = o->n_rest ? row_named(o->rest[0]) : NULL;
    if (!any || named) {
        print_command(named ? named : row_of(o->command));
        return;
    }
    printf("usage: ananas COMMAND [OPTION...]\n\nFinds anomalies in Kafka topics with rules written in Lua.\n\n");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].doc);
    printf("\n`ananas COMMAND --help` tells a command's options.\n"
           "Exit status: 0 done; 1 a fault in configuration, rules, tests or input; 2 wrong usage; 70 or above an "
           "internal failure.\n");
}

void options_print_man(void) {
    printf(".TH ANANAS 1\n.SH NAME\nananas \\- find anomalies in Kafka topics with rules written in Lua\n.SH SYNOPSIS\n"
           ".B ananas\n.I COMMAND\n[\\fIOPTION\\fR...]\n.SH COMMANDS\n");
    for (int i = 0; i < N_COMMANDS; i++) {
        const command_row_t *c = &commands[i];
        printf(".SS ananas %s %s\n%s.\n%s\n", c->name, c->args, c->doc, c->more);
        for (const option_row_t *r = c->options; r->name; r++)
            printf(".TP\n\\fB\\-\\-%s\\fR %s\n%s\n", r->name, r->arg ? r->arg : "", r->doc);
    }
    printf(".SH EXIT STATUS\n0 done; 1 a fault in configuration, rules, tests or input under a stop policy; 2 wrong "
           "usage; "
           "70 or above an internal failure.\n.SH SIGNALS\nSIGTERM, SIGINT: stop reading, commit, exit 0. SIGHUP: "
           "reload the rules.\n");
}

void options_print_completion(void) {
    printf("_ananas() {\n  local cur=${COMP_WORDS[COMP_CWORD]}\n  if [ \"$COMP_CWORD\" = 1 ]; then\n    "
           "COMPREPLY=($(compgen -W '");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("%s%s", i ? " " : "", commands[i].name);
    printf("' -- \"$cur\"))\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n");
    for (int i = 0; i < N_COMMANDS; i++) {
        printf("  %s) COMPREPLY=($(compgen -f -W '--help", commands[i].name);
        for (const option_row_t *r = commands[i].options; r->name; r++)
            printf(" --%s", r->name);
        printf("' -- \"$cur\")) ;;\n");
    }
    printf("  esac\n}\ncomplete -F _ananas ananas\n");
}
