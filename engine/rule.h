/* rule: loaded rules as an immutable plan.
 *
 * The Lua loader checks what the user wrote and describes it; script_plan.c copies that description into these structs.
 * Nothing here refers to Lua but by number (fn_t: a function of the script that loaded the plan, in load order, so that
 * loading the same texts again gives the same numbers). A plan is never changed after loading; plan_free frees all of
 * it. Any thread may read it. */
#ifndef ANANAS_RULE_H
#define ANANAS_RULE_H
#include "buf.h"
#include "clock.h"
#include "error.h"
#include "timefmt.h"
#include "unnest.h"

typedef int32_t fn_t;
#define FN_NONE (-1)

typedef struct names { /* a list of strings */
    char **at;
    uint32_t n;
} names_t;

typedef struct expr { /* a column, or a function of the row */
    char *column;     /* NULL when fn is set */
    fn_t fn;
} expr_t;

typedef struct fn_info { /* what the loader found out about a function */
    char *what;          /* "where", "having", "select.pct", "define.NR_UP": for messages */
    char *file;
    int line;
    int rule;          /* index of the rule it belongs to */
    char *memo_column; /* pure function of this one column: may be asked once per distinct value; else NULL */
} fn_info_t;

typedef enum { WINDOW_NONE, WINDOW_TUMBLE, WINDOW_HOP, WINDOW_CUMULATE, WINDOW_SESSION, WINDOW_RECORD } window_kind_t;
typedef struct window_spec {
    window_kind_t kind;
    int64_t size, slide, step, gap, offset; /* ms; slide of a tumbling window equals its size */
} window_spec_t;

typedef enum {
    AGG_COUNT_ALL,
    AGG_COUNT,
    AGG_SUM,
    AGG_AVG,
    AGG_MIN,
    AGG_MAX,
    AGG_FIRST,
    AGG_LAST,
    AGG_COUNT_DISTINCT,
    AGG_LISTAGG,
    AGG_QUANTILE,
    AGG_FOLD
} agg_kind_t;
typedef struct agg_spec {
    char *name;
    agg_kind_t kind;
    expr_t arg;         /* not for COUNT_ALL; for FOLD unused */
    char *separator;    /* LISTAGG */
    double q;           /* QUANTILE, 0..1 */
    fn_t fold;          /* FOLD: the driver's number for (init, step, merge) */
    names_t fold_needs; /* FOLD: columns its step reads; at == NULL: all */
} agg_spec_t;

typedef enum { SKIP_PAST_LAST, SKIP_TO_NEXT, SKIP_TO_FIRST, SKIP_TO_LAST } skip_kind_t;
typedef enum { ROWS_ONE, ROWS_ALL, ROWS_ALL_OMIT_EMPTY, ROWS_ALL_WITH_UNMATCHED } rows_kind_t;
typedef struct order_item {
    char *column;
    int desc;
} order_item_t;
typedef struct named_fn {
    char *name;
    fn_t fn;
} named_fn_t;
typedef struct subset_spec {
    char *name;
    names_t vars;
} subset_spec_t;
typedef struct match_spec {
    names_t partition_by;
    order_item_t *order_by; /* after event time */
    uint32_t n_order_by;
    char *pattern;
    named_fn_t *define;
    uint32_t n_define;
    subset_spec_t *subset;
    uint32_t n_subset;
    named_fn_t *measures; /* sorted by name */
    uint32_t n_measures;
    skip_kind_t skip;
    char *skip_var;
    rows_kind_t rows;
    int64_t within;              /* ms; 0: none */
    int emit_timeout;            /* on_timeout = "emit" */
    int64_t lookback;            /* rows */
    int64_t max_rows, max_steps; /* of one attempt; 0: the matcher's own bounds */
    int history_free;            /* the loader proved that no condition looks at labels or at earlier mapped rows */
    names_t needs;               /* columns that conditions, measures and output read; at == NULL: all of the row */
} match_spec_t;

typedef struct process_spec {
    names_t by;
    int event_order; /* order = "event_time" */
    int64_t ttl;     /* ms; 0: none */
    fn_t on_row, on_timer;
    names_t needs; /* as above */
    int is_detect; /* output is the input row's columns plus what was emitted */
} process_spec_t;

typedef struct select_item {
    char *name;
    expr_t value;
} select_item_t;
typedef enum { MODE_ACTIVE, MODE_SHADOW } mode_kind_t;
typedef enum { KEY_RECORD, KEY_COLUMNS } key_kind_t;

typedef struct input {
    int is_rule;
    uint32_t index;
} input_t; /* of plan->rules or plan->sources */

typedef struct rule {
    char *name, *file;
    int line;
    uint32_t index; /* in plan->rules: topological order, ties by name */
    input_t *from;
    uint32_t n_from;
    unnest_path_t *unnest;
    uint32_t n_unnest;
    fn_t where;
    window_spec_t window;
    names_t group_by;
    agg_spec_t *aggs; /* sorted by name */
    uint32_t n_aggs;
    fn_t having;
    int64_t top_n; /* 0: none */
    char *top_by;
    int top_desc;
    int early;
    int64_t lateness; /* ms */
    char *late_to;
    match_spec_t *match;     /* or NULL */
    process_spec_t *process; /* or NULL */
    select_item_t *select;
    uint32_t n_select; /* 0 with select_fn == FN_NONE: all columns */
    fn_t select_fn;
    key_kind_t key_kind;
    names_t key;      /* KEY_COLUMNS; may be empty: key is null */
    int64_t cooldown; /* ms; 0: none */
    char *to;         /* NULL: only feeds other rules */
    time_format_t time_format;
    mode_kind_t mode;
    int explain;
    int provenance;  /* this rule or one that reads it explains: positions travel in the column "_explain" */
    int open;        /* output has all members of its records, not a fixed list */
    names_t columns; /* output columns in output order; when open: those beside the members of the record */
    names_t needs;   /* input columns any clause or function of this rule or of its readers uses; not the roots
                                   of unnest paths, unless something else reads them */
    int needs_all;   /* some function uses its row in a way that hides which columns */
    names_t intern;  /* those of them (or of unnest's columns) that are compared or grouped by: worth interning */
    /* Hex hashes. A function counts by its code, its constants and what it captured, never by its place in a file. */
    char version[33];    /* of all of the rule, and of its upstream rules' versions */
    char state_hash[33]; /* of what shapes its state (input, unnest, window, keys, aggregates): names its spaces */
    char logic_hash[33]; /* of what decides which rows reach the state: where, and upstream's versions */
    char input_hash[33]; /* of the sources its rows come from, through every rule between */
    char where_hash[33], aggregates_hash[33];
    char pattern_hash[33]; /* match: pattern, conditions, skip mode, within, lookback */
    char code_hash[33];    /* process and detect */
    char output_hash[33];  /* having, top, lateness, measures, select, key, to, ...: what becomes of results */
} rule_t;

typedef enum { START_EARLIEST, START_LATEST } start_kind_t;
typedef enum { BAD_DEAD_LETTER, BAD_SKIP, BAD_STOP } bad_kind_t;
#define WATERMARK_NONE (-1) /* watermark = "none": explicit watermarks only */
#define AHEAD_NONE (-1)
typedef struct metadata_column {
    char *name;
    meta_kind_t kind;
} metadata_column_t;
typedef struct source_spec {
    char *name;
    names_t topics;
    metadata_column_t *metadata; /* sorted by name */
    uint32_t n_metadata;
    char *event_time; /* NULL: the record's timestamp */
    int64_t event_unit_ms;
    int64_t watermark;  /* bound in ms, or WATERMARK_NONE */
    int64_t idle_after; /* ms */
    int hold_when_all_idle;
    int64_t max_ahead; /* ms, or AHEAD_NONE */
    start_kind_t start;
    bad_kind_t on_bad;
    names_t partitioned_by;
    char *file;
    int line;
} source_spec_t;

typedef struct plan {
    source_spec_t *sources; /* sorted by name; borrowed from the configuration */
    uint32_t n_sources;
    rule_t *rules; /* topological order */
    uint32_t n_rules;
    fn_info_t *fns; /* by fn_t */
    uint32_t n_fns;
    char version[33]; /* of the whole set */
} plan_t;

void plan_free(plan_t *p);
void names_free(names_t *n);
int plan_rule(const plan_t *p, const char *name); /* index or -1 */
int names_index(const names_t *n, const char *s); /* index or -1 */

/* Faults found while loading: all of them, each at its place. */
typedef struct fault {
    char *file;
    int line;
    char *text;
} fault_t;
typedef struct faults {
    fault_t *at;
    size_t n, cap;
} faults_t;
void faults_add(faults_t *f, const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void fault_write(const fault_t *f, buf_t *b); /* "file:line: text", or "file: text" where it is no line's */
void faults_fini(faults_t *f);
#endif
