/* script_rows: questions over rows, and what is remembered between them.
 *
 * script_where, script_map, script_table and script_fold of script.h; the numbers of column layouts; the answers of pure
 * functions of one column, by symbol. What is remembered ends with the script. On the thread that calls the script. */
#ifndef ANANAS_SCRIPT_ROWS_H
#define ANANAS_SCRIPT_ROWS_H
#include "script_state.h"

int script_layout_of(script_t *s, const batch_t *b);
void script_rows_fini(script_t *s);
#endif
