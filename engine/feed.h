/* feed: the latest anomalies, for whoever watches.
 *
 * An observer: copies a bounded share of what each commit interval of a task wrote, and shows it once that is
 * committed (what was rolled back is forgotten). What is shown stands in one ring of JSON texts with numbers that rise by
 * one. A reader holds the number it wants next; one that is slower than the ring has lost its place and is told so. Any
 * thread may read. */
#ifndef ANANAS_FEED_H
#define ANANAS_FEED_H
#include "observer.h"

#define FEED_RING 512   /* texts */
#define FEED_SHARE 8    /* per rule and commit interval; the rest is only counted */
#define FEED_VALUE 1024 /* bytes of a value or a key that are shown */

typedef struct feed feed_t;
feed_t *feed_new(void);
void feed_free(feed_t *f);
observer_t *feed_observer(feed_t *f);

uint64_t feed_next(feed_t *f);  /* number of the next text to come */
uint64_t feed_first(feed_t *f); /* of the oldest that is there */
/* Appends "id: N\ndata: {...}\n\n" of text *at and those after it, at most `max` bytes but for the first, and moves *at on.
 * 0, or ERR_LIMIT: the ring has left *at behind. */
int feed_read(feed_t *f, uint64_t *at, size_t max, buf_t *out);
#endif
