/* The decoder under libFuzzer with the sanitizers: with and without learned layouts, on wide and narrow vectors, an input
 * must be accepted by all or by none, exactly when it is a JSON object by the plain scanner, and give the same cells. */
/* needs: error mem arena buf map number timefmt json cell intern batch decode decode_shape decode_walk decode_walk_sse2 decode_walk_avx2 */
#include "decode.h"
#include "json.h"
#include "mem.h"
#include "number.h"
#include <stdio.h>
#include <stdlib.h>

#define WAYS 4

typedef struct way {
    decoder_t *decoder;
    intern_t *intern;
    arena_t arena;
    buf_t text;      /* all that came of the input */
} way_t;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_way(way_t *w, int i) {
    static const decode_column_t columns[] = {{"id", -1, 1},           {"name", -1, 0},      {"pizzas", -1, 1},
                                              {"t", -1, 0},            {"a\xff" "b", -1, 1}, {"a\xff" "d\xff" "e", -1, 0},
                                              {"id\xff" "name", -1, 1}, {"t\xff" "t", -1, 0}};
    static const decode_unnest_t unnests[] = {{"pizzas[].additionalToppings[]", 1}, {"t[]", 0}, {"a.b[].c[][]", 1}};
    const decode_spec_t spec = {columns, 8, unnests, 3, NULL, 1};
    w->intern = intern_new(i == 0 ? 16 : 4096, 1 << 20);
    w->decoder = decoder_new(&spec, w->intern);
    decoder_predict(w->decoder, i < 2);
    if (i & 1)
        decoder_narrow(w->decoder);
    arena_init(&w->arena);
}

/* A value beside the text is that text's. */
static void check_number(const cell_t *c) {
    int64_t i;
    double d = c->kind == CELL_NUM ? number_double(c->raw, c->len) : 0;
    if (c->kind == CELL_INT && (!number_int64(c->raw, c->len, &i) || i != c->u.i))
        abort();
    if (c->kind == CELL_NUM && memcmp(&d, &c->u.d, sizeof d) != 0)
        abort();
}

static void decode(way_t *w, slice_t value) {
    decoded_t out;
    record_t record = {.value = value};
    arena_reset(&w->arena);
    buf_clear(&w->text);
    intern_between_batches(w->intern);
    decode_records(w->decoder, &record, 1, ETIME_MAX, &w->arena, &out);
    if (out.n_bad)
        buf_add_str(&w->text, out.bad[0].reason);
    for (uint32_t i = 0; out.batch->n && i < out.batch->n_columns; i++) {
        check_number(batch_cell(out.batch, i, 0));
        cell_write(&w->text, batch_cell(out.batch, i, 0), TIME_ISO8601);
        buf_add_char(&w->text, '\n');
    }
    for (uint32_t u = 0; u < 3; u++)
        for (uint32_t i = 0; i < out.unnested[u].n; i++) {
            buf_printf(&w->text, "%u.%u: ", u, out.unnested[u].sub[i]);
            check_number(&out.unnested[u].cells[i]);
            cell_write(&w->text, &out.unnested[u].cells[i], TIME_ISO8601);
        }
    buf_add_char(&w->text, out.n_bad ? '-' : '+');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static way_t ways[WAYS];
    static int opened;
    for (int i = 0; !opened && i < WAYS; i++)
        open_way(&ways[i], i);
    opened = 1;
    char *copy = mem_dup(data, size);   /* of exact size */
    for (int i = 0; i < WAYS; i++) {
        decode(&ways[i], (slice_t){copy, size});
        if (!slice_eq(buf_slice(&ways[i].text), buf_slice(&ways[0].text))) {
            fprintf(stderr, "way %d: %s\nway 0: %s\n", i, buf_cstr(&ways[i].text), buf_cstr(&ways[0].text));
            abort();
        }
    }
    const char *start = json_ws(copy, copy + size);
    int good = json_valid(copy, size) == JSON_OK && *start == '{';
    if (good != (ways[0].text.s[ways[0].text.len - 1] == '+'))
        abort();
    mem_free(copy);
    return 0;
}
