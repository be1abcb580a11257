#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "mem.h"

typedef enum { PLAIN, GZIP, ZSTD } packing_t;

struct input {
    int fd, is_file, at_end;
    off_t at; /* in a file: where reading goes on, whoever else has the descriptor */
    packing_t packing;
    char *path;
    z_stream gz;
    ZSTD_DStream *zstd;
    buf_t packed; /* compressed bytes not yet taken */
    size_t packed_at;
    int inside;            /* a gzip member or zstd frame has begun and not ended */
    buf_t text;            /* lines; [0, taken) were given out */
    buf_t other;           /* where the text goes on when lines of the batch before stand in the way */
    size_t taken, scanned; /* no newline in [taken, scanned) */
    uint64_t batch, lent;  /* the batch that `text` gave out lines in last */
    uint64_t lines;
};

#define INPUT_BLOCK (512u * 1024)

static int start_packing(input_t *in, error_t *e) {
    const unsigned char *p = (const unsigned char *)in->packed.s;
    size_t n = in->packed.len;
    in->packing = PLAIN;
    if (n >= 2 && p[0] == 0x1f && p[1] == 0x8b)
        in->packing = GZIP;
    if (n >= 4 && p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd)
        in->packing = ZSTD;
    if (in->packing == GZIP && inflateInit2(&in->gz, 15 + 32) != Z_OK)
        return error_set(e, ERR_INTERNAL, "cannot start to read gzip");
    if (in->packing == ZSTD)
        in->zstd = ZSTD_createDStream();
    return 0;
}

/* Reads more raw bytes. 1: some; 0: none now (pipe) or at the end. */
static int read_more(input_t *in, buf_t *into, int wait, error_t *e) {
    struct pollfd p = {.fd = in->fd, .events = POLLIN};
    if (!in->is_file && !wait && poll(&p, 1, 0) == 0)
        return 0;
    buf_reserve(into, INPUT_BLOCK);
    ssize_t n;
    do
        n = in->is_file ? pread(in->fd, into->s + into->len, INPUT_BLOCK, in->at)
                        : read(in->fd, into->s + into->len, INPUT_BLOCK);
    while (n < 0 && errno == EINTR && !wait);
    if (n < 0 && errno == EINTR)
        return 0;
    if (n < 0)
        return error_set(e, ERR_IO, "cannot read %s: %s", in->path, strerror(errno));
    if (n == 0)
        in->at_end = 1;
    into->len += (size_t)n;
    in->at += n;
    return n > 0;
}

int input_open(input_t **out, const char *path, error_t *e) {
    input_t *in = mem_zalloc(sizeof *in);
    struct stat st;
    int rc = 0;
    in->batch = 2; /* neither the one nor the one before it lent anything: lent is 0 */
    in->path = mem_strdup(strcmp(path, "-") == 0 ? "standard input" : path);
    in->fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0) {
        rc = error_set(e, ERR_IO, "cannot open %s: %s", path, strerror(errno));
        goto fail;
    }
    if (fstat(in->fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        rc = error_set(e, ERR_IO, "%s is a folder; --input takes a file or -", path);
        goto fail;
    }
    in->is_file = S_ISREG(st.st_mode);
    in->at = in->is_file ? lseek(in->fd, 0, SEEK_CUR) : 0;
    while (in->packed.len < 4 && !in->at_end)
        if ((rc = read_more(in, &in->packed, 1, e)) < 0)
            goto fail;
    if ((rc = start_packing(in, e)))
        goto fail;
    if (in->packing == PLAIN) { /* what was read to look at is text already */
        in->text = in->packed;
        in->packed = (buf_t){0};
    }
    *out = in;
    return 0;
fail:
    input_close(in);
    return rc;
}

void input_close(input_t *in) {
    if (!in)
        return;
    if (in->packing == GZIP)
        inflateEnd(&in->gz);
    ZSTD_freeDStream(in->zstd);
    if (in->fd >= 0)
        close(in->fd);
    buf_fini(&in->packed);
    buf_fini(&in->text);
    buf_fini(&in->other);
    mem_free(in->path);
    mem_free(in);
}

int input_is_file(const input_t *in) { return in->is_file; }
uint64_t input_line_number(const input_t *in) { return in->lines; }

static int broken(input_t *in, error_t *e, const char *why) {
    return error_set(e, ERR_IO, "%s after line %llu: %s", in->path, (unsigned long long)in->lines, why);
}

static int inflate_more(input_t *in, error_t *e) {
    size_t before = in->packed_at;
    in->gz.next_in = (Bytef *)in->packed.s + in->packed_at;
    in->gz.avail_in = (uInt)(in->packed.len - in->packed_at);
    in->gz.next_out = (Bytef *)in->text.s + in->text.len;
    in->gz.avail_out = INPUT_BLOCK;
    int rc = inflate(&in->gz, Z_NO_FLUSH);
    in->packed_at = in->packed.len - in->gz.avail_in;
    in->text.len += INPUT_BLOCK - in->gz.avail_out;
    if (in->packed_at > before)
        in->inside = rc != Z_STREAM_END;
    if (rc == Z_STREAM_END) /* several members may follow one another */
        rc = inflateReset(&in->gz);
    return rc == Z_OK || rc == Z_BUF_ERROR ? 0 : broken(in, e, in->gz.msg ? in->gz.msg : "damaged gzip data");
}

static int unzstd_more(input_t *in, error_t *e) {
    ZSTD_inBuffer from = {in->packed.s, in->packed.len, in->packed_at};
    ZSTD_outBuffer to = {in->text.s, in->text.len + INPUT_BLOCK, in->text.len};
    size_t rc = ZSTD_decompressStream(in->zstd, &to, &from);
    if (from.pos > in->packed_at || rc == 0)
        in->inside = rc != 0;
    in->packed_at = from.pos;
    in->text.len = to.pos;
    return ZSTD_isError(rc) ? broken(in, e, ZSTD_getErrorName(rc)) : 0;
}

/* Lines that were given out make room: what is copied is the beginning of a line at most. */
static void drop_taken(input_t *in) {
    size_t left = in->text.len - in->taken;
    if (in->lent + 1 == in->batch) { /* what `other` gave out is older than that */
        buf_t text = in->text;
        buf_clear(&in->other);
        buf_add(&in->other, text.s + in->taken, left);
        in->text = in->other;
        in->other = text;
        in->lent = 0;
    } else if (left) {
        memmove(in->text.s, in->text.s + in->taken, left);
    }
    in->text.len = left;
    in->scanned -= in->taken;
    in->taken = 0;
}

/* More text behind what is there. 1: some; 0: none now; negative: error. */
static int fill(input_t *in, int wait, error_t *e) {
    drop_taken(in);
    if (in->packing == PLAIN)
        return read_more(in, &in->text, wait, e);
    size_t before = in->text.len;
    for (;;) {
        buf_reserve(&in->text, INPUT_BLOCK);
        int rc = in->packing == GZIP ? inflate_more(in, e) : unzstd_more(in, e);
        if (rc)
            return rc;
        if (in->text.len > before)
            return 1;
        if (in->packed_at < in->packed.len || in->at_end)
            return 0;
        in->packed.len = in->packed_at = 0;
        if ((rc = read_more(in, &in->packed, wait, e)) <= 0)
            return rc;
    }
}

static slice_t line_between(const char *from, const char *end) {
    return (slice_t){from, (size_t)(end - from) - (end > from && end[-1] == '\r')};
}

static int give(input_t *in, size_t end, size_t next, slice_t *line) {
    *line = line_between(in->text.s + in->taken, in->text.s + end);
    if (in->lines++ == 0 && line->len >= 3 && memcmp(line->s, "\xef\xbb\xbf", 3) == 0) /* a byte order mark */
        *line = (slice_t){line->s + 3, line->len - 3};
    in->taken = in->scanned = next;
    in->lent = in->batch;
    return 1;
}

int input_line(input_t *in, slice_t *line, int wait, int *end, error_t *e) {
    *end = 0;
    for (;;) {
        const char *nl = NULL;
        if (in->text.len > in->scanned)
            nl = memchr(in->text.s + in->scanned, '\n', in->text.len - in->scanned);
        if (nl) {
            size_t at = (size_t)(nl - in->text.s);
            return give(in, at, at + 1, line);
        }
        in->scanned = in->text.len;
        if (in->at_end && in->packed_at == in->packed.len) {
            if (in->inside) /* half a line more would be no record, and the rest is missing */
                return broken(in, e, "it ends in the middle of its compressed data");
            if (in->taken < in->text.len)
                return give(in, in->text.len, in->text.len, line);
            *end = 1;
            return 0;
        }
        if (in->lent == in->batch)
            return 0;
        int rc = fill(in, wait, e);
        if (rc < 0)
            return rc;
        if (rc == 0 && !in->at_end)
            return 0;
        if (rc == 0 && in->packing != PLAIN)
            in->packed_at = in->packed.len;
    }
}

uint32_t input_ready(input_t *in, slice_t *lines, uint32_t max) {
    const char *text = in->text.s, *from = text + in->taken, *at = text + in->scanned, *end = text + in->text.len, *nl;
    uint32_t n = 0;
    if (in->lines == 0) /* the first may begin with a byte order mark */
        return 0;
    while (n < max && at < end && (nl = memchr(at, '\n', (size_t)(end - at)))) {
        lines[n++] = line_between(from, nl);
        from = at = nl + 1;
    }
    if (n) {
        in->taken = in->scanned = (size_t)(from - text);
        in->lent = in->batch;
        in->lines += n;
    }
    return n;
}

void input_batch(input_t *in) { in->batch++; }
