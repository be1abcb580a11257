/* nearest: the name that somebody may have meant.
 *
 * One rule for all names: at most a third of the letters, and one at any rate, to change, add, drop or swap with a
 * neighbour, upper and lower case alike. scripts/fault.lua has the same for what rules and configurations say. Pure. */
#ifndef ANANAS_NEAREST_H
#define ANANAS_NEAREST_H
#include <stddef.h>

/* The one of n names that is nearest to `name`, the first by bytes of several; NULL: none is near. */
const char *nearest(const char *name, const char *const *names, size_t n);
#endif
