/* input: lines of a file or of standard input, plain, gzip or zstd.
 *
 * Lines are borrowed in batches, without a copy: those of a batch stay until the second batch after it begins. Compression
 * is recognised by the first bytes. A pipe gives what has arrived. One thread. */
#ifndef ANANAS_INPUT_H
#define ANANAS_INPUT_H
#include "buf.h"
#include "error.h"

typedef struct input input_t;

int input_open(input_t **out, const char *path, error_t *e); /* "-": standard input */
void input_close(input_t *in);
int input_is_file(const input_t *in); /* may be read twice */
/* A new batch: of the lines given so far only those of the batch before it are still looked at. */
void input_batch(input_t *in);
/* The next line without its end. 1; 0: none in this batch (the buffer has to move, or a pipe is empty); or a negative
 * error. *end = 1 with 0: no more lines. wait: whether an empty pipe may be waited for. */
int input_line(input_t *in, slice_t *line, int wait, int *end, error_t *e);
/* As many whole lines as are there, up to max, without reading more. */
uint32_t input_ready(input_t *in, slice_t *lines, uint32_t max);
uint64_t input_line_number(const input_t *in); /* of the last line given, from 1 */
#endif
