/* sink_file: output records as lines of JSON, to a file or standard output. One thread. */
#ifndef ANANAS_SINK_FILE_H
#define ANANAS_SINK_FILE_H
#include "sink.h"

int sink_file_open(sink_t **out, const char *path, error_t *e); /* "-": standard output */
#endif
