/* number: JSON numbers in and out, exactly.
 *
 * Parsing follows the JSON grammar, writing gives the shortest text that reads back as the same double (17 digits at
 * most, integers without a fraction below 2^53). No locale. Any thread. */
#ifndef ANANAS_NUMBER_H
#define ANANAS_NUMBER_H
#include "buf.h"

/* Strict JSON number at s; returns its length or 0. *is_int: no fraction and no exponent. */
size_t number_scan(const char *s, size_t len, int *is_int);
/* The text must be a JSON number. 1 and *out when it is a plain integer that fits int64 and whose canonical spelling is
 * this text (so "-0" and "1e3" are not), else 0. */
int number_int64(const char *s, size_t len, int64_t *out);
double number_double(const char *s, size_t len);
/* Powers of ten that are exact: an integer up to NUMBER_EXACT times or by one of them is correctly rounded. */
extern const double number_powers[23];
#define NUMBER_EXACT ((uint64_t)1 << 53)
void number_write_double(buf_t *b, double d); /* NaN and infinities become null */
void number_write_int64(buf_t *b, int64_t v);
void number_write_int128(buf_t *b, __int128 v);
/* Bytes that compare (memcmp) as the numbers do, equal for 1, 1.0 and 1e0, exact for integers beyond 2^53. */
void number_key(buf_t *b, const char *s, size_t len);
void number_key_int64(buf_t *b, int64_t v);
void number_key_double(buf_t *b, double d);
#endif
