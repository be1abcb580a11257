/* unnest: arrays inside rows become rows (SQL's CROSS JOIN UNNEST).
 *
 * A path is `name.member[].member[] as alias`; a list of paths applies one after the other, later ones may start from an
 * earlier alias. A missing or non-array value gives no rows, a null element a row with null. Works on any batch; the
 * decoder has a faster way for one path over records. One thread. */
#ifndef ANANAS_UNNEST_H
#define ANANAS_UNNEST_H
#include "batch.h"
#include "decode.h"
#include "error.h"

typedef struct unnest_path {
    char *text; /* without the alias: "pizzas[].additionalToppings[]" */
    char *alias;
} unnest_path_t;

int unnest_parse(const char *text, unnest_path_t *out, error_t *e); /* out->text/alias are mem_alloc'd */
/* A new batch in the arena: the input's columns (maps composed) and one more column named alias. */
batch_t *unnest_rows(arena_t *a, const batch_t *in, const unnest_path_t *path);
/* The same from what the decoder found already. */
batch_t *unnest_decoded(arena_t *a, const batch_t *in, const unnested_t *u, const char *alias);
#endif
