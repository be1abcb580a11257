/* intern: strings to small numbers, by their raw bytes.
 *
 * A string is looked up by the body as it stood in the record, still escaped; it is unescaped and validated only the
 * first time. Different spellings of one value share one symbol. The table is bounded in entries and bytes: when it is
 * full, intern_raw answers NULL and the caller keeps the string for the batch alone. At a batch boundary a table that
 * misses too often is emptied and starts a new generation; nothing may keep a sym_t across batches. One thread. */
#ifndef ANANAS_INTERN_H
#define ANANAS_INTERN_H
#include "cell.h"

typedef struct intern intern_t;

intern_t *intern_new(uint32_t max_symbols, size_t max_bytes);
void intern_free(intern_t *t);
/* body: a string body validated by json_string's scanning rules or not yet validated (status tells). NULL: full, or
 * *status is a json_status_t because the body is not valid. */
const sym_t *intern_raw(intern_t *t, const char *body, size_t len, int *status);
const sym_t *intern_bytes(intern_t *t, const char *utf8, size_t len);   /* from a plain UTF-8 value; NULL: full */
uint32_t intern_count(const intern_t *t);
uint32_t intern_generation(const intern_t *t);      /* changes when ids start anew: memo tables by id must be dropped */
void intern_between_batches(intern_t *t);           /* may start a new generation */
const sym_t *intern_sym(const intern_t *t, uint32_t id);
#endif
