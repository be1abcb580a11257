#include "emission.h"

#include "json.h"
#include "mem.h"
#include "number.h"
#include "rowpack.h"
#include "select.h"

/* ---- timestamps ----
 * What a rule emits goes to the rules that read it and to its topic, each with a time_format of its own: so timestamps stand
 * TIME_MARKED in the texts here (ORIGIN_MARKED), which no value that came from elsewhere may be by chance. */

static int is_marked(slice_t value) {
    etime_t time;
    return timefmt_marked(value.s, value.len, &time);
}

/* A by column's value. Only a number that somebody spelt as a mark loses its spelling. */
static void write_by(buf_t *b, const cell_t *c) {
    size_t from = b->len;
    cell_write(b, c, TIME_MARKED);
    if (cell_is_number(c) && !(c->flags & CELL_TIME) && is_marked((slice_t){b->s + from, b->len - from})) {
        b->len = from;
        number_write_double(b, cell_double(c));
    }
}

/* ---- what a timer needs to know ---- */

static slice_t explain_of(step_t *s, const batch_t *in, uint32_t row);

void emission_about(buf_t *b, step_t *s, const rule_t *rule, const batch_t *rows, uint32_t row) {
    const process_spec_t *p = rule->process;
    if (p->is_detect) {
        rowpack_write(b, rows, row, &p->needs, s->topics);
        return;
    }
    buf_t text = {0};
    for (uint32_t i = 0; i < p->by.n; i++) {
        buf_clear(&text);
        cell_t c = batch_lookup(rows, p->by.at[i], strlen(p->by.at[i]), row);
        write_by(&text, &c);
        buf_add_bytes(b, text.s, text.len);
    }
    if (rule->provenance) {
        slice_t explain = explain_of(s, rows, row);
        buf_add_bytes(b, explain.s, explain.len);
    }
    buf_fini(&text);
}

/* ---- object texts ---- */

static void write_member(buf_t *b, slice_t key, slice_t value) {
    buf_add_char(b, b->s[b->len - 1] == '{' ? '"' : ',');
    if (b->s[b->len - 1] == ',')
        buf_add_char(b, '"');
    buf_add_slice(b, key);
    buf_add(b, "\":", 2);
    buf_add_slice(b, value);
}

static int has_member(slice_t object, slice_t name) {
    slice_t value;
    return object.len > 0 && json_member(object, name, &value) == 0;
}

/* Appends the members of an object but those that `without` has, too. */
static void copy_members(buf_t *b, slice_t object, slice_t without) {
    json_iter_t it;
    if (json_iter_open(&it, object) != 0)
        return;
    while (json_iter_next(&it) == 1)
        if (!has_member(without, it.key))
            write_member(b, it.key, it.value);
}

/* Appends the members that a function gave. */
static void add_given(buf_t *b, slice_t object, time_format_t format) {
    json_iter_t it;
    buf_t text = {0};
    if (json_iter_open(&it, object) != 0)
        return;
    while (json_iter_next(&it) == 1) {
        cell_t c = batch_member(&(origin_t){.flags = ORIGIN_MARKED}, it.value);
        buf_clear(&text);
        cell_write(&text, &c, format);
        write_member(b, it.key, buf_slice(&text));
    }
    buf_fini(&text);
}

/* A value that went through a Lua number has lost its spelling; where it is still the same number, the key's own is it. */
static slice_t own_spelling(slice_t emitted, slice_t own) {
    cell_t a = cell_from_json(emitted), b = cell_from_json(own);
    int same = !is_marked(emitted) && cell_is_number(&a) && cell_is_number(&b) && cell_double(&a) == cell_double(&b);
    return same ? own : emitted;
}

typedef struct member {
    slice_t key, value;
} member_t;

static slice_t quoted_body(arena_t *a, const char *name) {
    buf_t b = {0};
    json_write_string(&b, name, strlen(name));
    slice_t body = {arena_dup(a, b.s + 1, b.len - 2), b.len - 2};
    buf_fini(&b);
    return body;
}

static int member_before(const member_t *a, const member_t *b) {
    size_t n = a->key.len < b->key.len ? a->key.len : b->key.len;
    int c = memcmp(a->key.s, b->key.s, n);
    return c ? c < 0 : a->key.len < b->key.len;
}

static slice_t row_value(step_t *s, const batch_t *in, uint32_t row, const char *name) {
    cell_t c = batch_lookup(in, name, strlen(name), row);
    buf_t text = {0};
    write_by(&text, &c);
    slice_t out = {arena_dup(s->arena, text.s, text.len), text.len};
    buf_fini(&text);
    return out;
}

/* The by columns of an emission, sorted by name. */
static member_t *by_members(step_t *s, const rule_t *rule, const batch_t *in, const emission_t *e) {
    const names_t *by = &rule->process->by;
    member_t *m = arena_array(s->arena, member_t, by->n);
    reader_t r = reader_of(e->about.s, e->about.len);
    for (uint32_t i = 0; i < by->n; i++) {
        member_t one = {quoted_body(s->arena, by->at[i]), {0}};
        one.value = e->row == EMISSION_NO_ROW ? read_bytes(&r) : row_value(s, in, e->row, by->at[i]);
        uint32_t k = i;
        for (; k > 0 && member_before(&one, &m[k - 1]); k--)
            m[k] = m[k - 1];
        m[k] = one;
    }
    return m;
}

/* Emitted members, which are sorted by name, and the by columns among them. */
static void write_emitted(buf_t *b, step_t *s, const rule_t *rule, const batch_t *in, const emission_t *e) {
    const member_t *by = by_members(s, rule, in, e);
    uint32_t n = rule->process->by.n, k = 0;
    json_iter_t it;
    buf_add_char(b, '{');
    int more = json_iter_open(&it, e->json) == 0;
    while (more && json_iter_next(&it) == 1) {
        member_t m = {it.key, it.value};
        for (; k < n && member_before(&by[k], &m); k++)
            write_member(b, by[k].key, by[k].value);
        if (k < n && slice_eq(by[k].key, m.key))
            m.value = own_spelling(m.value, by[k++].value);
        write_member(b, m.key, m.value);
    }
    for (; k < n; k++)
        write_member(b, by[k].key, by[k].value);
    buf_add_char(b, '}');
}

/* The row as it came, with what was added behind: of its columns beside the record those that the input is made of, and
 * not what else was decoded because some rule looks at it. */
static void write_passed(buf_t *b, step_t *s, time_format_t format, const batch_t *in, const emission_t *e) {
    const names_t *extras = step_extras(s);
    if (e->json.len == 0) {
        select_write_row(s, extras, format, in, e->row, b);
        return;
    }
    buf_t row = {0};
    select_write_row(s, extras, format, in, e->row, &row);
    buf_add_char(b, '{');
    copy_members(b, buf_slice(&row), e->json);
    add_given(b, e->json, format);
    buf_add_char(b, '}');
    buf_fini(&row);
}

static int any_marked(slice_t object) {
    json_iter_t it;
    if (object.len == 0 || !memmem(object.s, object.len, TIME_MARK, strlen(TIME_MARK)) || json_iter_open(&it, object))
        return 0;
    while (json_iter_next(&it) == 1)
        if (is_marked(it.value))
            return 1;
    return 0;
}

/* The text of an emission as the next rule reads it. Gives the origin's flags. */
static uint32_t write_text(buf_t *b, step_t *s, const rule_t *rule, const batch_t *in, const emission_t *e) {
    if (!e->pass) {
        write_emitted(b, s, rule, in, e);
        return ORIGIN_MARKED;
    }
    if (!batch_has_times(in, e->row) && !any_marked(e->json)) {
        write_passed(b, s, rule->time_format, in, e);
        return 0;
    }
    write_passed(b, s, TIME_EPOCH_MS, in, &(emission_t){.row = e->row});
    int foreign = any_marked(buf_slice(b)); /* the row's own numbers, spelt so where they came from */
    buf_clear(b);
    write_passed(b, s, foreign ? rule->time_format : TIME_MARKED, in, e);
    return foreign ? 0 : ORIGIN_MARKED;
}

/* ---- batches ---- */

static int same_record(const origin_t *a, const origin_t *b) {
    return a->time == b->time && a->topic == b->topic && a->partition == b->partition && a->offset == b->offset;
}

/* Positions behind a row that comes from one record: [[topic, partition, offset]]. */
static slice_t position_text(step_t *s, const origin_t *o) {
    if (o->topic < 0)
        return (slice_t){"[]", 2};
    buf_t text = {0};
    buf_add(&text, "[[", 2);
    json_write_string(&text, s->topics[o->topic], strlen(s->topics[o->topic]));
    buf_printf(&text, ",%d,%lld]]", o->partition, (long long)o->offset);
    slice_t out = {arena_dup(s->arena, text.s, text.len), text.len};
    buf_fini(&text);
    return out;
}

/* Of a row of the input: what travels with it, else its own position. */
static slice_t explain_of(step_t *s, const batch_t *in, uint32_t row) {
    int column = batch_column(in, EXPLAIN_COLUMN);
    const cell_t *c = column >= 0 ? batch_cell(in, (uint32_t)column, row) : NULL;
    return c && c->kind == CELL_JSON ? (slice_t){c->raw, c->len} : position_text(s, batch_origin(in, row));
}

static cell_t explain_cell(slice_t text) {
    return (cell_t){.kind = CELL_JSON, .raw = text.s, .len = (uint32_t)text.len};
}

/* A timer of a process kept that of the key's last row behind the by columns. */
static slice_t explain_of_timer(const rule_t *rule, slice_t about) {
    reader_t r = reader_of(about.s, about.len);
    for (uint32_t i = 0; i < rule->process->by.n; i++)
        read_bytes(&r);
    slice_t text = read_bytes(&r);
    return r.bad || text.len == 0 ? (slice_t){"[]", 2} : text;
}

/* The rows of one record keep together: their numbers inside it go on counting. */
static void number_rows(const batch_t *in, const emission_t *e, uint32_t n, origin_t *origins, uint32_t *sub) {
    for (uint32_t i = 0; i < n; i++) {
        origin_t *o = &origins[i];
        if (e[i].row == EMISSION_NO_ROW) {
            *o = (origin_t){.topic = TOPIC_NONE, .offset = e[i].order};
            sub[i] = 0;
        } else {
            *o = *batch_origin(in, e[i].row);
            int next = i > 0 && e[i - 1].row != EMISSION_NO_ROW && same_record(batch_origin(in, e[i - 1].row), o);
            sub[i] = next ? sub[i - 1] + 1 : in->sub[e[i].row];
        }
        o->time = e[i].time;
        o->tick = e[i].tick;
        o->value = (slice_t){0};
        o->flags = 0;
    }
}

static batch_t *records(step_t *s, const rule_t *rule, const batch_t *in, const emission_t *e, uint32_t n) {
    origin_t *origins = arena_array(s->arena, origin_t, n);
    uint32_t *sub = arena_array(s->arena, uint32_t, n);
    number_rows(in, e, n, origins, sub);
    buf_t text = {0};
    for (uint32_t i = 0; i < n; i++) {
        buf_clear(&text);
        origins[i].flags = write_text(&text, s, rule, in, &e[i]);
        origins[i].value = (slice_t){arena_dup(s->arena, text.s, text.len), text.len};
    }
    buf_fini(&text);
    batch_t *b = arena_array(s->arena, batch_t, 1);
    *b =
        (batch_t){.n = n, .n_origins = n, .open = 1, .origin = batch_iota(s->arena, n), .sub = sub, .origins = origins};
    column_t *columns = arena_array(s->arena, column_t, 1);
    const char **names = arena_array(s->arena, const char *, 1);
    b->columns = columns;
    b->names = names;
    if (rule->provenance) {
        cell_t *cells = arena_array(s->arena, cell_t, n);
        for (uint32_t i = 0; i < n; i++)
            cells[i] = explain_cell(e[i].row == EMISSION_NO_ROW ? explain_of_timer(rule, e[i].about)
                                                                : explain_of(s, in, e[i].row));
        columns[0] = (column_t){cells, b->origin};
        names[0] = EXPLAIN_COLUMN;
        b->n_columns = 1;
    }
    return b;
}

/* Members of the texts as columns behind those of the rows (or in their place), in order of first sight; then, where it is
 * asked for and not there yet, provenance. */
static void add_columns(step_t *s, const rule_t *rule, batch_t *b, const emission_t *e) {
    uint32_t most = b->n_columns + 1;
    json_iter_t it;
    for (uint32_t i = 0; i < b->n; i++)
        for (int more = json_iter_open(&it, e[i].json) == 0; more && json_iter_next(&it) == 1;)
            most++;
    column_t *columns = arena_array(s->arena, column_t, most);
    const char **names = arena_array(s->arena, const char *, most);
    cell_t **cells = arena_array(s->arena, cell_t *, most);
    for (uint32_t c = 0; c < b->n_columns; c++) {
        columns[c] = b->columns[c];
        names[c] = b->names[c];
        cells[c] = NULL;
    }
    b->columns = columns;
    b->names = names;
    const origin_t marked = {.flags = ORIGIN_MARKED};
    for (uint32_t i = 0; i < b->n; i++) {
        for (int more = json_iter_open(&it, e[i].json) == 0; more && json_iter_next(&it) == 1;) {
            char *name = arena_alloc(s->arena, it.key.len + 1);
            memcpy(name, it.key.s, it.key.len);
            name[it.key.len] = 0;
            int found = batch_column(b, name);
            uint32_t c = found >= 0 ? (uint32_t)found : b->n_columns++;
            if (found < 0 || !cells[c]) {
                cells[c] = arena_array(s->arena, cell_t, b->n);
                memset(cells[c], 0, sizeof(cell_t) * b->n);
                names[c] = name;
                columns[c] = (column_t){cells[c], batch_iota(s->arena, b->n)};
            }
            cells[c][i] = batch_member(&marked, it.value);
        }
    }
    if (rule->provenance && batch_column(b, EXPLAIN_COLUMN) < 0) {
        cell_t *explain = arena_array(s->arena, cell_t, b->n);
        for (uint32_t i = 0; i < b->n; i++)
            explain[i] = explain_cell(position_text(s, batch_origin(b, i)));
        names[b->n_columns] = EXPLAIN_COLUMN;
        columns[b->n_columns++] = (column_t){explain, b->origin};
    }
}

static batch_t *judged(step_t *s, const rule_t *rule, const batch_t *in, const emission_t *e, uint32_t n) {
    row_pick_t *picks = arena_array(s->arena, row_pick_t, n);
    slice_t *packs = arena_array(s->arena, slice_t, n);
    uint32_t n_packs = 0;
    for (uint32_t i = 0; i < n; i++) {
        picks[i] = (row_pick_t){e[i].row, 0};
        if (e[i].row == EMISSION_NO_ROW) {
            picks[i] = (row_pick_t){n_packs, 1};
            packs[n_packs++] = e[i].about;
        }
    }
    const batch_t *packed = rowpack_read(s->arena, packs, n_packs, &rule->process->needs, s->topics, NULL);
    origin_t *origins;
    batch_t *b = rowpack_merge(s->arena, in, packed, picks, n, &origins);
    for (uint32_t i = 0; i < n; i++) {
        origins[i].time = e[i].time;
        origins[i].tick = e[i].tick;
    }
    add_columns(s, rule, b, e);
    return b;
}

batch_t *emission_batch(step_t *s, const rule_t *rule, const batch_t *in, const emission_t *e, uint32_t n) {
    return rule->process->is_detect ? judged(s, rule, in, e, n) : records(s, rule, in, e, n);
}
