/* Envelopes under libFuzzer with the sanitizers: a line is one exactly when the plain scanner says that it is an object and
 * each member is of its kind, and its payload is what scanning and unescaping in two steps gives. */
/* needs: error mem arena buf map number timefmt json cell envelope */
#include "cell.h"
#include "envelope.h"
#include "json.h"
#include "mem.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The last payload of the object, plain; s == NULL: null or absent. */
static slice_t payload_of(slice_t object, buf_t *scratch) {
    json_iter_t it;
    slice_t found = {NULL, 0};
    json_iter_open(&it, object);
    while (json_iter_next(&it) > 0) {
        if (!slice_eq(it.key, slice_of("payload")))
            continue;
        cell_t c = cell_from_json(it.value);
        found = c.kind == CELL_NULL ? (slice_t){NULL, 0} : c.kind == CELL_JSON ? it.value : cell_text(&c, scratch);
    }
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = mem_dup(data, size); /* of exact size */
    slice_t line = {copy, size};
    arena_t a;
    envelope_t e;
    buf_t scratch = {0};
    arena_init(&a);
    envelope_parse(line, &a, &e);
    int status = json_valid(copy, size);
    const char *start = json_ws(copy, copy + size);
    if (start == copy + size) {
        if (e.kind != LINE_EMPTY)
            abort();
    } else if (status) {
        if (e.kind != LINE_BAD || strcmp(e.reason, json_reason(status)) != 0)
            abort();
    } else if (*start == '{' && e.kind != LINE_BAD) {
        slice_t expected = payload_of(line, &scratch);
        if (!expected.s != !e.payload.s || !slice_eq(expected, e.payload))
            abort();
    }
    buf_fini(&scratch);
    arena_fini(&a);
    mem_free(copy);
    return 0;
}
