#include "sink_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "envelope.h"
#include "mem.h"

typedef struct sink_file {
    sink_t base;
    int fd;
    char *path;
    buf_t text;
} sink_file_t;

#define SINK_FILE_BLOCK (64u * 1024)

static int write_all(sink_file_t *f, error_t *e) {
    size_t at = 0;
    while (at < f->text.len) {
        ssize_t n = write(f->fd, f->text.s + at, f->text.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(e, ERR_IO, "cannot write %s: %s", f->path, strerror(errno));
        at += (size_t)n;
    }
    buf_clear(&f->text);
    return 0;
}

static int file_write(sink_t *s, const out_record_t *records, size_t n, error_t *e) {
    sink_file_t *f = (sink_file_t *)s;
    for (size_t i = 0; i < n; i++) {
        envelope_write(&f->text, &records[i]);
        if (f->text.len >= SINK_FILE_BLOCK) {
            int rc = write_all(f, e);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int file_flush(sink_t *s, error_t *e) { return write_all((sink_file_t *)s, e); }

static void file_close(sink_t *s) {
    sink_file_t *f = (sink_file_t *)s;
    if (f->fd >= 0)
        close(f->fd);
    buf_fini(&f->text);
    mem_free(f->path);
    mem_free(f);
}

int sink_file_open(sink_t **out, const char *path, error_t *e) {
    sink_file_t *f = mem_zalloc(sizeof *f);
    f->base = (sink_t){file_write, file_flush, file_close};
    int is_stdout = strcmp(path, "-") == 0;
    f->path = mem_strdup(is_stdout ? "standard output" : path);
    f->fd = is_stdout ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        int rc = error_set(e, ERR_IO, "cannot open %s for writing: %s", path, strerror(errno));
        file_close(&f->base);
        return rc;
    }
    *out = &f->base;
    return 0;
}
