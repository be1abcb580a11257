/* match_window: the rows of one partition that pattern matching still needs, in memory.
 *
 * A batch whose row i is row `first + i` of the partition, growing at the end and shrinking at the front, so that
 * conditions read it like any other batch. The bytes behind the cells are the packs in the store (rowpack.h), which must
 * live as long as the row is here; the window owns only the arrays. Derived: made again from the packs. One thread. */
#ifndef ANANAS_MATCH_WINDOW_H
#define ANANAS_MATCH_WINDOW_H
#include "batch.h"

typedef struct match_window {
    batch_t batch;
    uint64_t first;
    struct window_column *held;
    column_t *columns; /* of batch, pointing into held from head on */
    const char **names;
    origin_t *origins;
    void **sources;
    uint32_t *subs, *iota;
    size_t head, cap, cap_columns;
} match_window_t;

void match_window_init(match_window_t *w, uint64_t first);
void match_window_fini(match_window_t *w);
/* Row 0 of a batch made by rowpack_read becomes the last row; source: the caller's own. */
void match_window_add(match_window_t *w, const batch_t *row, void *source);
void *match_window_source(const match_window_t *w, uint64_t row);
void match_window_drop(match_window_t *w, uint64_t before);
#endif
