#include "unnest.h"
#include "json.h"
#include "mem.h"

static int is_name_char(char c) { return c && !strchr(".[] \t\n\"", c); }

/* Length of "name.member[].member[]" at s; 0: not one. It must end with "[]". */
static size_t path_length(const char *s) {
    size_t i = 0;
    for (;;) {
        size_t from = i;
        while (is_name_char(s[i]))
            i++;
        if (i == from)
            return 0;
        int brackets = 0;
        while (s[i] == '[' && s[i + 1] == ']') {
            i += 2;
            brackets = 1;
        }
        if (s[i] != '.')
            return brackets ? i : 0;
        i++;
    }
}

int unnest_parse(const char *text, unnest_path_t *out, error_t *e) {
    const char *s = text + strspn(text, " \t\n");
    size_t len = path_length(s);
    const char *rest = s + len, *as = rest + strspn(rest, " \t\n");
    if (len == 0)
        return error_set(e, ERR_INVALID,
                         "unnest \"%s\": not a path like \"orders[].items[] as item\", which ends in []", text);
    if (as == rest || strncmp(as, "as", 2) != 0 || !as[2] || !strchr(" \t\n", as[2]))
        return error_set(e, ERR_INVALID, "unnest \"%s\": the elements need a name: \"%.*s as NAME\"", text, (int)len,
                         s);
    const char *name = as + 2 + strspn(as + 2, " \t\n");
    size_t n = 0;
    while (is_name_char(name[n]))
        n++;
    if (n == 0 || name[n + strspn(name + n, " \t\n")])
        return error_set(e, ERR_INVALID, "unnest \"%s\": one name is wanted after \"as\"", text);
    out->text = mem_strndup(s, len);
    out->alias = mem_strndup(name, n);
    return 0;
}

/* Elements found so far, over the whole batch. */
typedef struct elements {
    arena_t *arena;
    cell_t *cells;
    uint32_t *rows; /* of the input */
    uint32_t n, cap;
} elements_t;

static void add(elements_t *out, uint32_t row, cell_t cell) {
    if (out->n == out->cap) {
        elements_t old = *out;
        out->cap = old.cap ? old.cap * 2 : 256;
        out->cells = arena_array(out->arena, cell_t, out->cap);
        out->rows = arena_array(out->arena, uint32_t, out->cap);
        if (old.n) {
            memcpy(out->cells, old.cells, old.n * sizeof *out->cells);
            memcpy(out->rows, old.rows, old.n * sizeof *out->rows);
        }
    }
    out->cells[out->n] = cell;
    out->rows[out->n++] = row;
}

/* value: checked text; path: what is left of it, "" or ".member..." or "[]...". */
static void collect(elements_t *out, uint32_t row, slice_t value, const char *path) {
    if (!*path) {
        add(out, row, cell_from_json(value));
        return;
    }
    if (*path == '.') {
        size_t n = strcspn(++path, ".[");
        slice_t member;
        if (value.s[0] == '{' && json_member(value, (slice_t){path, n}, &member) == 0)
            collect(out, row, member, path + n);
        return;
    }
    json_iter_t it;
    if (value.s[0] != '[' || json_iter_open(&it, value))
        return;
    while (json_iter_next(&it) > 0)
        collect(out, row, it.value, path + 2);
}

/* Adds the elements to a batch that already has their rows: in the place of a column of that name, else as the last. */
static batch_t *put_column(arena_t *a, batch_t *b, const cell_t *cells, const char *alias) {
    int place = batch_column(b, alias);
    uint32_t at = place < 0 ? b->n_columns : (uint32_t)place;
    column_t *columns = arena_array(a, column_t, b->n_columns + 1);
    const char **names = arena_array(a, const char *, b->n_columns + 1);
    for (uint32_t i = 0; i < b->n_columns; i++) {
        columns[i] = b->columns[i];
        names[i] = b->names[i];
    }
    columns[at] = (column_t){cells, batch_iota(a, b->n)};
    names[at] = alias;
    b->columns = columns;
    b->names = names;
    b->n_columns += place < 0;
    return b;
}

/* Numbers inside each origin; its rows stand together. */
static void number_rows(arena_t *a, batch_t *b) {
    uint32_t *sub = arena_array(a, uint32_t, b->n);
    for (uint32_t i = 0; i < b->n; i++)
        sub[i] = i > 0 && b->origin[i] == b->origin[i - 1] ? sub[i - 1] + 1 : 0;
    b->sub = sub;
}

static batch_t *from_elements(arena_t *a, const batch_t *in, const elements_t *found, const char *alias) {
    batch_t *out = batch_select(a, in, found->rows, found->n);
    number_rows(a, out);
    return put_column(a, out, found->cells, alias);
}

batch_t *unnest_rows(arena_t *a, const batch_t *in, const unnest_path_t *path) {
    size_t n = strcspn(path->text, ".[");
    elements_t found = {.arena = a};
    for (uint32_t i = 0; i < in->n; i++) {
        cell_t c = batch_lookup(in, path->text, n, i);
        if (c.kind == CELL_JSON)
            collect(&found, i, (slice_t){c.raw, c.len}, path->text + n);
    }
    return from_elements(a, in, &found, path->alias);
}

/* Elements of origins whose row a filter has taken away are left out. */
static void find_rows(arena_t *a, const batch_t *in, const unnested_t *u, elements_t *out) {
    uint32_t *row_of = arena_array(a, uint32_t, in->n_origins);
    memset(row_of, 0xff, in->n_origins * sizeof *row_of);
    for (uint32_t i = 0; i < in->n; i++)
        row_of[in->origin[i]] = i;
    for (uint32_t i = 0; i < u->n; i++)
        if (row_of[u->origin[i]] != UINT32_MAX)
            add(out, row_of[u->origin[i]], u->cells[i]);
}

/* The decoder's own batch has one row per origin, in order, and all its columns share the map that says so. */
static int is_decoded(const batch_t *in) {
    if (in->n != in->n_origins)
        return 0;
    for (uint32_t i = 0; i < in->n_columns; i++)
        if (in->columns[i].map != in->origin)
            return 0;
    return 1;
}

batch_t *unnest_decoded(arena_t *a, const batch_t *in, const unnested_t *u, const char *alias) {
    if (!is_decoded(in)) {
        elements_t found = {.arena = a};
        find_rows(a, in, u, &found);
        return from_elements(a, in, &found, alias);
    }
    batch_t *out = arena_dup(a, in, sizeof *out);
    column_t *columns = arena_array(a, column_t, in->n_columns);
    for (uint32_t i = 0; i < in->n_columns; i++)
        columns[i] = (column_t){in->columns[i].cells, u->origin}; /* row and origin are the same here */
    out->n = u->n;
    out->origin = u->origin;
    out->sub = u->sub;
    out->columns = columns;
    return put_column(a, out, u->cells, alias);
}
