/* total: sums that can be trusted.
 *
 * Integers are added exactly in 128 bits, other numbers as doubles with Neumaier's compensation ("Rundungsfehleranalyse
 * einiger Verfahren zur Summation endlicher Summen", 1974), so the order of rows changes a float sum by rounding at most
 * and an integer sum not at all. State is TOTAL_SIZE flat bytes, all zero for the sum of nothing. One thread. */
#ifndef ANANAS_TOTAL_H
#define ANANAS_TOTAL_H
#include "arena.h"
#include "cell.h"

#define TOTAL_SIZE 48

/* 1, or 0 when the cell is no number (and nothing changes). */
int total_add(char *state, const cell_t *c);
void total_merge(char *state, const char *other);
uint64_t total_count(const char *state); /* numbers added */
/* null over nothing; an integer while only integers were added. Text that no int64 holds lives in the arena. */
cell_t total_sum(const char *state, arena_t *a);
cell_t total_average(const char *state);
#endif
