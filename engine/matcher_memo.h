/* matcher_memo: what one attempt has tried already, and with which labels behind it.
 *
 * Two tables of the matcher. `history` gives equal label sequences equal numbers (0 is the empty one), so that two paths
 * with the same past are recognised exactly, not by a hash. `memo` is a set of places (row, place in the program, open
 * empty iterations, history) and the answers of conditions that look at labels. Both are emptied between attempts and
 * give large memory back then. One thread; the matcher that contains them frees them. */
#ifndef ANANAS_MATCHER_MEMO_H
#define ANANAS_MATCHER_MEMO_H
#include <stddef.h>
#include <stdint.h>

typedef enum { MEMO_TRIED = 1, MEMO_FAILS = 2, MEMO_HOLDS = 3 } memo_kind_t;

typedef struct memo_key {
    uint64_t seq, mask;
    uint32_t place; /* of the program, or a variable */
    uint32_t history;
} memo_key_t;

typedef struct memo {
    struct memo_slot *slots;
    size_t cap, count;
} memo_t;

typedef struct history {
    struct history_slot *slots;
    size_t cap, count;
} history_t;

void memo_fini(memo_t *t);
void memo_clear(memo_t *t);
int memo_try(memo_t *t, const memo_key_t *k);                  /* 1: it was there; else it is now */
memo_kind_t memo_answer(const memo_t *t, const memo_key_t *k); /* MEMO_FAILS, MEMO_HOLDS, or 0 */
void memo_set_answer(memo_t *t, const memo_key_t *k, int holds);

void history_fini(history_t *h);
void history_clear(history_t *h);
uint32_t history_of(history_t *h, uint32_t before, uint16_t label); /* the sequence `before` with one label more */
#endif
