/* display: what the engine does, at a glance, on a terminal.
 *
 * An observer that keeps counts per rule and the latest anomaly of each, and paints them in place a few times a second;
 * where the stream is no terminal it prints a plain line now and then. No colour with NO_COLOR. It shows one task, that of the demo;
 * called through observers.h. */
#ifndef ANANAS_DISPLAY_H
#define ANANAS_DISPLAY_H
#include <stdio.h>

#include "observer.h"

typedef struct display display_t;
/* title: first line; hint: last line or NULL. */
display_t *display_new(FILE *out, const char *title, const char *hint, const char *unit);
void display_free(display_t *d);
observer_t *display_observer(display_t *d);
void display_paint(display_t *d, const task_t *t, int last);
uint64_t display_records(const display_t *d);
#endif
