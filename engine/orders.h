/* orders: made-up pizza orders, for the demo and the bench.
 *
 * Owns a generator and its random state; does no I/O and reads no clock. The same seed and the same event times give the
 * same bytes on every machine. An order looks as the public fake producer writes it with Python's json.dumps: ASCII, emoji
 * as surrogate escapes, ", " and ": " between things; key {"shop": ...}. About 830 bytes and 13.8 toppings each. What is
 * popular comes and goes with the event time, so that rushes and trends occur. One thread at a time; the caller closes. */
#ifndef ANANAS_ORDERS_H
#define ANANAS_ORDERS_H
#include "buf.h"
#include "clock.h"

typedef struct orders orders_t;

orders_t *orders_open(uint64_t seed);
void orders_close(orders_t *o);
/* The next order, as if placed at that time. key and value are overwritten. Ids count up from 0. */
void orders_next(orders_t *o, etime_t time, buf_t *key, buf_t *value);
#endif
