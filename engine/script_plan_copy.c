#include "mem.h"
#include "script_plan.h"
#include "script_read.h"

/* Each list is zeroed first and counted as it grows: a plan that is half done can be freed. */

static const char *const window_kinds[] = {"none", "tumble", "hop", "cumulate", "session", "record", NULL};
static const char *const agg_kinds[] = {"count_all", "count",          "sum",     "avg",      "min",  "max", "first",
                                        "last",      "count_distinct", "listagg", "quantile", "fold", NULL};
static const char *const skip_kinds[] = {"past_last", "to_next", "to_first", "to_last", NULL};
static const char *const rows_kinds[] = {"one", "all", "all omit empty", "all with unmatched", NULL};
static const char *const time_formats[] = {"iso8601", "sql", "epoch_ms", NULL};
static const char *const modes[] = {"active", "shadow", NULL};

static expr_t read_expr(lua_State *L, int t) {
    return (expr_t){script_read_string(L, t, "column"), script_read_fn(L, t, "fn")};
}

static void read_inputs(lua_State *L, int t, rule_t *r) {
    uint32_t n = script_read_open(L, t, "from");
    int list = lua_gettop(L);
    r->from = mem_zalloc((n + 1) * sizeof *r->from);
    for (; r->n_from < n; r->n_from++) {
        lua_rawgeti(L, list, (int)r->n_from + 1);
        int at = lua_gettop(L);
        r->from[r->n_from] =
            (input_t){script_read_bool(L, at, "is_rule"), (uint32_t)script_read_int(L, at, "index", 0)};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_unnest(lua_State *L, int t, rule_t *r) {
    uint32_t n = script_read_open(L, t, "unnest");
    int list = lua_gettop(L);
    r->unnest = mem_zalloc((n + 1) * sizeof *r->unnest);
    for (; r->n_unnest < n; r->n_unnest++) {
        lua_rawgeti(L, list, (int)r->n_unnest + 1);
        int at = lua_gettop(L);
        r->unnest[r->n_unnest] = (unnest_path_t){script_read_string(L, at, "text"), script_read_string(L, at, "alias")};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_window(lua_State *L, int t, window_spec_t *w) {
    lua_getfield(L, t, "window");
    int at = lua_gettop(L);
    if (lua_istable(L, at)) {
        w->kind = (window_kind_t)script_read_choice(L, at, "kind", window_kinds);
        w->size = script_read_int(L, at, "size", 0);
        w->slide = script_read_int(L, at, "slide", 0);
        w->step = script_read_int(L, at, "step", 0);
        w->gap = script_read_int(L, at, "gap", 0);
        w->offset = script_read_int(L, at, "offset", 0);
    }
    lua_pop(L, 1);
}

static void read_aggs(lua_State *L, int t, rule_t *r) {
    uint32_t n = script_read_open(L, t, "aggs");
    int list = lua_gettop(L);
    r->aggs = mem_zalloc((n + 1) * sizeof *r->aggs);
    for (; r->n_aggs < n; r->n_aggs++) {
        lua_rawgeti(L, list, (int)r->n_aggs + 1);
        int at = lua_gettop(L);
        agg_spec_t *a = &r->aggs[r->n_aggs];
        a->name = script_read_string(L, at, "name");
        a->kind = (agg_kind_t)script_read_choice(L, at, "kind", agg_kinds);
        a->arg = read_expr(L, at);
        a->separator = script_read_string(L, at, "separator");
        a->q = script_read_number(L, at, "q", 0);
        a->fold = script_read_fn(L, at, "fold");
        a->fold_needs = script_read_names(L, at, "fold_needs");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_top(lua_State *L, int t, rule_t *r) {
    lua_getfield(L, t, "top");
    int at = lua_gettop(L);
    if (lua_istable(L, at)) {
        r->top_n = script_read_int(L, at, "n", 0);
        r->top_by = script_read_string(L, at, "by");
        r->top_desc = script_read_bool(L, at, "desc");
    }
    lua_pop(L, 1);
}

static named_fn_t *read_named(lua_State *L, int t, const char *key, uint32_t *n_out) {
    uint32_t n = script_read_open(L, t, key);
    int list = lua_gettop(L);
    named_fn_t *out = mem_zalloc((n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        lua_rawgeti(L, list, (int)i + 1);
        int at = lua_gettop(L);
        out[i] = (named_fn_t){script_read_string(L, at, "name"), script_read_fn(L, at, "fn")};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    *n_out = n;
    return out;
}

static void read_order(lua_State *L, int t, match_spec_t *m) {
    uint32_t n = script_read_open(L, t, "order_by");
    int list = lua_gettop(L);
    m->order_by = mem_zalloc((n + 1) * sizeof *m->order_by);
    for (; m->n_order_by < n; m->n_order_by++) {
        lua_rawgeti(L, list, (int)m->n_order_by + 1);
        int at = lua_gettop(L);
        m->order_by[m->n_order_by] =
            (order_item_t){script_read_string(L, at, "column"), script_read_bool(L, at, "desc")};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_subsets(lua_State *L, int t, match_spec_t *m) {
    uint32_t n = script_read_open(L, t, "subset");
    int list = lua_gettop(L);
    m->subset = mem_zalloc((n + 1) * sizeof *m->subset);
    for (; m->n_subset < n; m->n_subset++) {
        lua_rawgeti(L, list, (int)m->n_subset + 1);
        int at = lua_gettop(L);
        m->subset[m->n_subset] = (subset_spec_t){script_read_string(L, at, "name"), script_read_names(L, at, "vars")};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_match(lua_State *L, int t, rule_t *r) {
    lua_getfield(L, t, "match");
    int at = lua_gettop(L);
    if (lua_istable(L, at)) {
        match_spec_t *m = r->match = mem_zalloc(sizeof *m);
        m->partition_by = script_read_names(L, at, "partition_by");
        read_order(L, at, m);
        m->pattern = script_read_string(L, at, "pattern");
        m->define = read_named(L, at, "define", &m->n_define);
        read_subsets(L, at, m);
        m->measures = read_named(L, at, "measures", &m->n_measures);
        m->skip = (skip_kind_t)script_read_choice(L, at, "skip", skip_kinds);
        m->skip_var = script_read_string(L, at, "skip_var");
        m->rows = (rows_kind_t)script_read_choice(L, at, "rows", rows_kinds);
        m->within = script_read_int(L, at, "within", 0);
        m->emit_timeout = script_read_bool(L, at, "emit_timeout");
        m->lookback = script_read_int(L, at, "lookback", 0);
        m->max_rows = script_read_int(L, at, "max_rows", 0);
        m->max_steps = script_read_int(L, at, "max_steps", 0);
        m->history_free = script_read_bool(L, at, "history_free");
        m->needs = script_read_names(L, at, "needs");
    }
    lua_pop(L, 1);
}

static void read_process(lua_State *L, int t, rule_t *r) {
    lua_getfield(L, t, "process");
    int at = lua_gettop(L);
    if (lua_istable(L, at)) {
        process_spec_t *p = r->process = mem_zalloc(sizeof *p);
        p->by = script_read_names(L, at, "by");
        p->event_order = script_read_bool(L, at, "event_order");
        p->ttl = script_read_int(L, at, "ttl", 0);
        p->on_row = script_read_fn(L, at, "on_row");
        p->on_timer = script_read_fn(L, at, "on_timer");
        p->needs = script_read_names(L, at, "needs");
        p->is_detect = script_read_bool(L, at, "is_detect");
    }
    lua_pop(L, 1);
}

static void read_select(lua_State *L, int t, rule_t *r) {
    uint32_t n = script_read_open(L, t, "select");
    int list = lua_gettop(L);
    r->select = mem_zalloc((n + 1) * sizeof *r->select);
    for (; r->n_select < n; r->n_select++) {
        lua_rawgeti(L, list, (int)r->n_select + 1);
        int at = lua_gettop(L);
        r->select[r->n_select] = (select_item_t){script_read_string(L, at, "name"), read_expr(L, at)};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    r->select_fn = script_read_fn(L, t, "select_fn");
}

static void read_output(lua_State *L, int t, rule_t *r) {
    read_select(L, t, r);
    r->key = script_read_names(L, t, "key");
    r->key_kind = r->key.at ? KEY_COLUMNS : KEY_RECORD;
    r->cooldown = script_read_int(L, t, "cooldown", 0);
    r->to = script_read_string(L, t, "to");
    r->time_format = (time_format_t)script_read_choice(L, t, "time_format", time_formats);
    r->mode = (mode_kind_t)script_read_choice(L, t, "mode", modes);
    r->explain = script_read_bool(L, t, "explain");
    r->provenance = script_read_bool(L, t, "provenance");
    r->open = script_read_bool(L, t, "open");
    r->columns = script_read_names(L, t, "columns");
}

static void read_rule(lua_State *L, int t, rule_t *r) {
    r->name = script_read_string(L, t, "name");
    r->file = script_read_string(L, t, "file");
    r->line = (int)script_read_int(L, t, "line", 0);
    r->index = (uint32_t)script_read_int(L, t, "index", 0);
    read_inputs(L, t, r);
    read_unnest(L, t, r);
    r->where = script_read_fn(L, t, "where");
    read_window(L, t, &r->window);
    r->group_by = script_read_names(L, t, "group_by");
    read_aggs(L, t, r);
    r->having = script_read_fn(L, t, "having");
    read_top(L, t, r);
    r->early = script_read_bool(L, t, "early");
    r->lateness = script_read_int(L, t, "lateness", 0);
    r->late_to = script_read_string(L, t, "late_to");
    read_match(L, t, r);
    read_process(L, t, r);
    read_output(L, t, r);
    r->needs = script_read_names(L, t, "needs");
    r->needs_all = script_read_bool(L, t, "needs_all");
    r->intern = script_read_names(L, t, "intern");
    script_read_text(L, t, "version", r->version, sizeof r->version);
    script_read_text(L, t, "state_hash", r->state_hash, sizeof r->state_hash);
    script_read_text(L, t, "logic_hash", r->logic_hash, sizeof r->logic_hash);
    lua_getfield(L, t, "hashes");
    int hashes = lua_gettop(L);
    script_read_text(L, hashes, "input", r->input_hash, sizeof r->input_hash);
    script_read_text(L, hashes, "where", r->where_hash, sizeof r->where_hash);
    script_read_text(L, hashes, "aggregates", r->aggregates_hash, sizeof r->aggregates_hash);
    script_read_text(L, hashes, "pattern", r->pattern_hash, sizeof r->pattern_hash);
    script_read_text(L, hashes, "code", r->code_hash, sizeof r->code_hash);
    script_read_text(L, hashes, "output", r->output_hash, sizeof r->output_hash);
    lua_pop(L, 1);
}

static void read_functions(lua_State *L, int t, plan_t *p) {
    uint32_t n = script_read_open(L, t, "fns");
    int list = lua_gettop(L);
    p->fns = mem_zalloc((n + 1) * sizeof *p->fns);
    for (; p->n_fns < n; p->n_fns++) {
        lua_rawgeti(L, list, (int)p->n_fns + 1);
        int at = lua_gettop(L);
        p->fns[p->n_fns] = (fn_info_t){script_read_string(L, at, "what"), script_read_string(L, at, "file"),
                                       (int)script_read_int(L, at, "line", 0), (int)script_read_int(L, at, "rule", -1),
                                       script_read_string(L, at, "memo_column")};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void script_plan_copy(lua_State *L, int t, const config_t *config, plan_t *p) {
    p->sources = config->sources;
    p->n_sources = config->n_sources;
    uint32_t n = script_read_open(L, t, "rules");
    int list = lua_gettop(L);
    p->rules = mem_zalloc((n + 1) * sizeof *p->rules);
    for (; p->n_rules < n; p->n_rules++) {
        lua_rawgeti(L, list, (int)p->n_rules + 1);
        read_rule(L, lua_gettop(L), &p->rules[p->n_rules]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    read_functions(L, t, p);
    script_read_text(L, t, "version", p->version, sizeof p->version);
}

void script_plan_faults(lua_State *L, int t, faults_t *faults) {
    int n = (int)lua_objlen(L, t);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, t, i);
        int at = lua_gettop(L);
        char *file = script_read_string(L, at, "file"), *text = script_read_string(L, at, "text");
        faults_add(faults, file ? file : "", (int)script_read_int(L, at, "line", 0), "%s", text ? text : "");
        mem_free(file);
        mem_free(text);
        lua_pop(L, 1);
    }
}
