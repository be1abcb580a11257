#include "select.h"

#include "json.h"
#include "map.h"
#include "mem.h"

struct select {
    const rule_t *rule;
    names_t extras;
    names_t prefixes; /* of a fixed list of columns: `{"id":`, `,"name":`, ... */
    names_t key_prefixes;
    header_t headers[3];
    buf_t text; /* scratch: all values of one step */
    size_t *ends;
    size_t ends_cap;
};

/* `{"a":` for the first name, `,"b":` for those that follow. */
static names_t prefixes_new(const char *const *names, uint32_t n) {
    names_t out = {mem_alloc((n ? n : 1) * sizeof(char *)), n};
    for (uint32_t i = 0; i < n; i++) {
        buf_t b = {0};
        buf_add_char(&b, i ? ',' : '{');
        json_write_string(&b, names[i], strlen(names[i]));
        buf_add_char(&b, ':');
        out.at[i] = buf_take(&b);
    }
    return out;
}

static void prefixes_free(names_t *p) {
    for (uint32_t i = 0; i < p->n; i++)
        mem_free(p->at[i]);
    mem_free(p->at);
}

select_t *select_new(const rule_t *rule, const names_t *extras) {
    select_t *sel = mem_zalloc(sizeof *sel);
    sel->rule = rule;
    sel->extras = *extras;
    sel->prefixes = prefixes_new((const char *const *)rule->columns.at, rule->columns.n);
    sel->key_prefixes = prefixes_new((const char *const *)rule->key.at, rule->key.n);
    sel->headers[0] = (header_t){"ananas-rule", slice_of(rule->name)};
    sel->headers[1] = (header_t){"ananas-rule-version", slice_of(rule->version)};
    return sel;
}

void select_free(select_t *sel) {
    if (!sel)
        return;
    prefixes_free(&sel->prefixes);
    prefixes_free(&sel->key_prefixes);
    buf_fini(&sel->text);
    mem_free(sel->ends);
    mem_free(sel);
}

/* ---- the output batch ---- */

/* A column of that name in b: its own, or one looked up in the records of an open batch. */
static column_t column_named(arena_t *a, const batch_t *b, const char *name) {
    int i = batch_column(b, name);
    if (i >= 0)
        return b->columns[i];
    cell_t *cells = arena_array(a, cell_t, b->n ? b->n : 1);
    size_t len = strlen(name);
    for (uint32_t r = 0; r < b->n; r++)
        cells[r] = batch_lookup(b, name, len, r);
    return (column_t){cells, batch_iota(a, b->n)};
}

static int column_computed(step_t *s, const rule_t *rule, fn_t fn, const batch_t *b, column_t *out) {
    cell_t *cells = arena_array(s->arena, cell_t, b->n ? b->n : 1);
    eval_errors_t errors = {0};
    int rc = script_map(s->script, fn, b, s->arena, cells, &errors);
    if (rc) {
        step_overrun(s, batch_origin(b, script_overrun_row(s->script))->tick);
        return rc;
    }
    step_errors(s, rule, fn, b, &errors);
    *out = (column_t){cells, batch_iota(s->arena, b->n)};
    return 0;
}

static int select_list(select_t *sel, step_t *s, const batch_t *in, batch_t **out) {
    const rule_t *rule = sel->rule;
    int explain = rule->provenance ? batch_column(in, EXPLAIN_COLUMN) : -1;
    uint32_t n = rule->n_select + (explain >= 0);
    column_t *columns = arena_array(s->arena, column_t, n);
    const char **names = arena_array(s->arena, const char *, n);
    for (uint32_t i = 0; i < rule->n_select; i++) {
        const select_item_t *item = &rule->select[i];
        names[i] = item->name;
        if (item->value.fn == FN_NONE) {
            columns[i] = column_named(s->arena, in, item->value.column);
            continue;
        }
        int rc = column_computed(s, rule, item->value.fn, in, &columns[i]);
        if (rc)
            return rc;
    }
    if (explain >= 0) {
        names[n - 1] = EXPLAIN_COLUMN;
        columns[n - 1] = in->columns[explain];
    }
    batch_t *b = arena_dup(s->arena, in, sizeof *in);
    b->columns = columns;
    b->names = names;
    b->n_columns = n;
    b->open = 0;
    *out = b;
    return 0;
}

/* A function that gives a whole row: the table's JSON text becomes the record of a new origin. */
static int select_table(select_t *sel, step_t *s, const result_t *in, result_t *out) {
    const batch_t *b = in->batch;
    cell_t *tables = arena_array(s->arena, cell_t, b->n ? b->n : 1);
    eval_errors_t errors = {0};
    int rc = script_table(s->script, sel->rule->select_fn, b, s->arena, sel->rule->time_format, tables, &errors);
    if (rc) {
        step_overrun(s, batch_origin(b, script_overrun_row(s->script))->tick);
        return rc;
    }
    step_errors(s, sel->rule, sel->rule->select_fn, b, &errors);
    uint8_t *pass = arena_array(s->arena, uint8_t, b->n ? b->n : 1);
    origin_t *origins = arena_array(s->arena, origin_t, b->n ? b->n : 1);
    for (uint32_t i = 0; i < b->n; i++) {
        pass[i] = tables[i].kind == CELL_JSON;
        origins[i] = *batch_origin(b, i);
        origins[i].value = (slice_t){tables[i].raw, tables[i].len};
        origins[i].flags |= ORIGIN_MARKED; /* as script_table says */
    }
    batch_t *all = arena_dup(s->arena, b, sizeof *b);
    all->origins = origins;
    all->n_origins = b->n;
    all->origin = batch_iota(s->arena, b->n);
    all->open = 1;
    int explain = batch_column(b, EXPLAIN_COLUMN);
    all->n_columns = explain >= 0;
    if (explain >= 0) {
        all->columns = &b->columns[explain];
        all->names = &b->names[explain];
    }
    uint32_t kept = 0;
    etime_t *stamps = in->stamps ? arena_array(s->arena, etime_t, b->n ? b->n : 1) : NULL;
    for (uint32_t i = 0; i < b->n; i++)
        if (pass[i]) {
            if (in->kind)
                in->kind[kept] = in->kind[i];
            if (in->keys)
                in->keys[kept] = in->keys[i];
            if (stamps)
                stamps[kept] = in->stamps[i];
            kept++;
        }
    *out = (result_t){batch_filter(s->arena, all, pass), in->kind, in->keys, stamps};
    return 0;
}

/* Keys come from the output columns, or from what select left out. */
static slice_t *keys_of(select_t *sel, step_t *s, const batch_t *before, const batch_t *after) {
    const rule_t *rule = sel->rule;
    uint32_t n = before->n;
    slice_t *keys = arena_array(s->arena, slice_t, n ? n : 1);
    if (rule->key.n == 0) {
        memset(keys, 0, n * sizeof *keys);
        return keys;
    }
    column_t *columns = arena_array(s->arena, column_t, rule->key.n);
    for (uint32_t k = 0; k < rule->key.n; k++) {
        int own = after ? batch_column(after, rule->key.at[k]) : -1;
        columns[k] = own >= 0 ? after->columns[own] : column_named(s->arena, before, rule->key.at[k]);
    }
    buf_t *text = &sel->text;
    buf_clear(text);
    for (uint32_t r = 0; r < n; r++) {
        size_t from = text->len;
        for (uint32_t k = 0; k < rule->key.n; k++) {
            buf_add_str(text, sel->key_prefixes.at[k]);
            cell_write_key(text, &columns[k].cells[columns[k].map[r]], rule->time_format);
        }
        buf_add_char(text, '}');
        keys[r].len = text->len - from;
    }
    const char *at = arena_dup(s->arena, text->s, text->len);
    for (uint32_t r = 0; r < n; r++) {
        keys[r].s = at;
        at += keys[r].len;
    }
    return keys;
}

int select_run(select_t *sel, step_t *s, const result_t *in, result_t *out) {
    const rule_t *rule = sel->rule;
    int wants_keys = ((rule->to && rule->mode == MODE_ACTIVE) || rule->cooldown) && rule->key_kind == KEY_COLUMNS;
    *out = *in;
    if (rule->select_fn != FN_NONE) {
        result_t keyed = *in;
        keyed.keys = wants_keys ? keys_of(sel, s, in->batch, NULL) : NULL;
        return select_table(sel, s, &keyed, out);
    }
    if (rule->n_select) {
        int rc = select_list(sel, s, in->batch, &out->batch);
        if (rc)
            return rc;
    }
    out->keys = wants_keys ? keys_of(sel, s, in->batch, out->batch) : NULL;
    return 0;
}

/* ---- writing ---- */

static int name_in(const names_t *names, slice_t name) {
    for (uint32_t i = 0; i < names->n; i++)
        if (slice_eq(slice_of(names->at[i]), name))
            return 1;
    return 0;
}

typedef struct member {
    slice_t key, value;
    int escaped, hidden;
} member_t;

/* Members of an object in order, each name once: at its first place, with its last value. */
static uint32_t members_of(arena_t *a, slice_t object, const names_t *extras, member_t **out) {
    json_iter_t it;
    uint32_t n = 0, cap = 0;
    member_t *m = NULL;
    map_t seen = {0};
    if (json_iter_open(&it, object) < 0)
        return 0;
    while (json_iter_next(&it) > 0) {
        slice_t name = it.key;
        if (it.key_escaped) {
            char *plain = arena_alloc(a, name.len);
            name = (slice_t){plain, json_unescape(it.key.s, it.key.len, plain)};
        }
        if (n == cap) {
            member_t *more = arena_array(a, member_t, cap = cap ? cap * 2 : 16);
            if (n > 0)
                memcpy(more, m, n * sizeof *m);
            m = more;
        }
        void *before = map_get(&seen, name.s, name.len);
        if (before) {
            m[(size_t)(uintptr_t)before - 1].value = it.value;
            continue;
        }
        m[n] = (member_t){it.key, it.value, it.key_escaped, name_in(extras, name)};
        map_put(&seen, name.s, name.len, (void *)(uintptr_t)(n + 1));
        n++;
    }
    map_fini(&seen);
    *out = m;
    return n;
}

/* A row that was made into a record (merge.c) has its times there as numbers; which they are, its columns know. */
static const cell_t *time_beside(const batch_t *b, uint32_t row, const member_t *m) {
    for (uint32_t c = 0; c < b->n_columns; c++) {
        const cell_t *cell = batch_cell(b, c, row);
        if (cell->flags & CELL_TIME && cell_is_number(cell) && json_name_eq(m->key, m->escaped, slice_of(b->names[c])))
            return cell;
    }
    return NULL;
}

/* Of a row that has times. */
static void write_member_value(buf_t *out, const batch_t *b, uint32_t row, const member_t *m, time_format_t format) {
    const cell_t *beside = time_beside(b, row, m);
    etime_t time;
    if (beside) {
        cell_write(out, beside, format);
    } else if (batch_origin(b, row)->flags & ORIGIN_MARKED && timefmt_marked(m->value.s, m->value.len, &time)) {
        cell_t value = cell_time(time);
        cell_write(out, &value, format);
    } else {
        buf_add_slice(out, m->value);
    }
}

static void write_open_row(step_t *s, const names_t *extras, time_format_t format, const batch_t *b, uint32_t row,
                           buf_t *out) {
    member_t *m = NULL;
    uint32_t n = members_of(s->arena, batch_origin(b, row)->value, extras, &m);
    int times = batch_has_times(b, row);
    char between = '{';
    for (uint32_t i = 0; i < n; i++) {
        if (m[i].hidden)
            continue;
        buf_add_char(out, between);
        buf_add_char(out, '"');
        buf_add_slice(out, m[i].key);
        buf_add(out, "\":", 2);
        if (times)
            write_member_value(out, b, row, &m[i], format);
        else
            buf_add_slice(out, m[i].value);
        between = ',';
    }
    for (uint32_t k = 0; k < extras->n; k++) {
        int col = batch_column(b, extras->at[k]);
        if (col < 0)
            continue;
        buf_add_char(out, between);
        json_write_string(out, extras->at[k], strlen(extras->at[k]));
        buf_add_char(out, ':');
        cell_write(out, batch_cell(b, (uint32_t)col, row), format);
        between = ',';
    }
    if (between == '{')
        buf_add_char(out, '{');
    buf_add_char(out, '}');
}

void select_write_row(step_t *s, const names_t *extras, time_format_t format, const batch_t *b, uint32_t row,
                      buf_t *out) {
    if (b->open && batch_origin(b, row)->value.s) {
        write_open_row(s, extras, format, b, row, out);
        return;
    }
    char between = '{';
    for (uint32_t c = 0; c < b->n_columns; c++) {
        if (batch_is_fact(b->names[c]))
            continue;
        buf_add_char(out, between);
        json_write_string(out, b->names[c], strlen(b->names[c]));
        buf_add_char(out, ':');
        cell_write(out, batch_cell(b, c, row), format);
        between = ',';
    }
    if (between == '{')
        buf_add_char(out, '{');
    buf_add_char(out, '}');
}

static void write_fixed_row(const select_t *sel, const batch_t *b, const column_t *columns, uint32_t row, buf_t *out) {
    for (uint32_t c = 0; c < sel->prefixes.n; c++) {
        buf_add_str(out, sel->prefixes.at[c]);
        cell_write(out, &columns[c].cells[columns[c].map[row]], sel->rule->time_format);
    }
    if (sel->prefixes.n == 0)
        buf_add_char(out, '{');
    if (batch_origin(b, row)->flags & ORIGIN_PARTIAL)
        buf_add_str(out, sel->prefixes.n ? ",\"partial\":true" : "\"partial\":true");
    buf_add_char(out, '}');
}

/* [["topic",0,7],...]: each position at its first place only. A record gives several rows, and the windows and matches that
 * it was in may meet again in one anomaly. Topics' names have no brackets. */
static slice_t each_once(arena_t *a, slice_t list) {
    char *out = arena_alloc(a, list.len + 2);
    size_t n = 0;
    map_t seen = {0};
    out[n++] = '[';
    const char *end = list.s + list.len;
    for (const char *at = list.s + 1, *close; at < end && (close = memchr(at, ']', (size_t)(end - at))) && *at != ']';
         at = close + 1 + (close + 1 < end && close[1] == ',')) {
        size_t len = (size_t)(close + 1 - at);
        if (map_get(&seen, at, len))
            continue;
        map_put(&seen, at, len, out);
        if (n > 1)
            out[n++] = ',';
        memcpy(out + n, at, len);
        n += len;
    }
    out[n++] = ']';
    map_fini(&seen);
    return (slice_t){out, n};
}

static slice_t explain_of(step_t *s, const batch_t *b, int column, uint32_t row) {
    if (column >= 0) {
        const cell_t *c = batch_cell(b, (uint32_t)column, row);
        return each_once(s->arena, (slice_t){c->raw, c->len});
    }
    const origin_t *o = batch_origin(b, row);
    if (o->topic == TOPIC_NONE)
        return (slice_t){"[]", 2};
    buf_t text = {0};
    buf_add(&text, "[[", 2);
    json_write_string(&text, s->topics[o->topic], strlen(s->topics[o->topic]));
    buf_printf(&text, ",%d,%lld]]", o->partition, (long long)o->offset);
    slice_t out = {arena_dup(s->arena, text.s, text.len), text.len};
    buf_fini(&text);
    return out;
}

static void add_record(select_t *sel, step_t *s, const result_t *rows, uint32_t row, int explain, outbox_t *o) {
    const rule_t *rule = sel->rule;
    const origin_t *from = batch_origin(rows->batch, row);
    mem_grow(&o->at, &o->cap, o->n + 1, sizeof *o->at);
    out_record_t *r = &o->at[o->n++];
    *r = (out_record_t){.topic = rule->to,
                        .key = rows->keys ? rows->keys[row] : from->key,
                        .headers = sel->headers,
                        .n_headers = 2,
                        .tick = from->tick,
                        .rule = (int32_t)s->rule_index,
                        .time = rows->stamps ? rows->stamps[row] : from->time};
    if (!rule->explain)
        return;
    header_t *h = arena_dup(s->arena, sel->headers, sizeof sel->headers);
    h[2] = (header_t){"ananas-source", explain_of(s, rows->batch, explain, row)};
    r->headers = h;
    r->n_headers = 3;
}

void select_write(select_t *sel, step_t *s, const result_t *rows, outbox_t *o) {
    const batch_t *b = rows->batch;
    const rule_t *rule = sel->rule;
    int explain = rule->explain ? batch_column(b, EXPLAIN_COLUMN) : -1;
    buf_t *text = &sel->text;
    column_t *columns = arena_array(s->arena, column_t, rule->columns.n ? rule->columns.n : 1);
    if (!rule->open)
        for (uint32_t c = 0; c < rule->columns.n; c++)
            columns[c] = column_named(s->arena, b, rule->columns.at[c]);
    mem_grow(&sel->ends, &sel->ends_cap, b->n, sizeof *sel->ends);
    buf_clear(text);
    for (uint32_t r = 0; r < b->n; r++) {
        if (!rows->kind || rows->kind[r] != ROW_TOMBSTONE) {
            if (rule->open)
                select_write_row(s, &sel->extras, rule->time_format, b, r, text);
            else
                write_fixed_row(sel, b, columns, r, text);
        }
        sel->ends[r] = text->len;
        add_record(sel, s, rows, r, explain, o);
    }
    const char *bytes = arena_dup(s->arena, text->s, text->len);
    size_t from = 0;
    for (uint32_t r = 0; r < b->n; r++) {
        out_record_t *out = &o->at[o->n - b->n + r];
        if (sel->ends[r] > from)
            out->value = (slice_t){bytes + from, sel->ends[r] - from};
        from = sel->ends[r];
    }
}
