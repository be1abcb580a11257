#include "nearest.h"

#include <ctype.h>
#include <string.h>

#include "mem.h"

static int lower(const char *s, size_t i) { return tolower((unsigned char)s[i]); }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Edit distance with swaps of neighbours (optimal string alignment). Only two rows before the one in work are looked at;
 * rows: room for three of m + 1. */
static size_t distance(const char *a, size_t n, const char *b, size_t m, size_t *rows) {
    size_t *before = rows, *last = rows + m + 1, *row = rows + 2 * (m + 1);
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (lower(a, i - 1) != lower(b, j - 1)));
            if (i > 1 && j > 1 && lower(a, i - 1) == lower(b, j - 2) && lower(a, i - 2) == lower(b, j - 1))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[m];
}

const char *nearest(const char *name, const char *const *names, size_t n) {
    size_t len = strlen(name), allowed = len / 3 > 1 ? len / 3 : 1, best = allowed + 1;
    size_t *rows = mem_alloc(3 * (len + allowed + 1) * sizeof *rows);
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(names[i]);
        if (other + allowed < len || other > len + allowed || strcmp(name, names[i]) == 0)
            continue;
        size_t d = distance(name, len, names[i], other, rows);
        if (d < best || (found && d == best && strcmp(names[i], found) < 0)) {
            best = d;
            found = names[i];
        }
    }
    mem_free(rows);
    return found;
}
