#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

struct watch {
    int fd;
    char *path;
    char real[PATH_MAX]; /* where path leads now; "" : nowhere */
    int pending;
    mono_t last; /* last change seen */
    mono_t checked;
};

#define QUIET_MS 60
#define CHECK_MS 500 /* symlinks further up are not seen by inotify */
#define MASK \
    (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB)

static void add(watch_t *w, const char *path) { inotify_add_watch(w->fd, path, MASK | IN_ONLYDIR); }

static void add_below(watch_t *w, const char *path, int depth) {
    DIR *d = depth > 0 ? opendir(path) : NULL;
    if (!d)
        return;
    add(w, path);
    for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
        if (entry->d_name[0] == '.' && (entry->d_name[1] == 0 || entry->d_name[1] == '.'))
            continue;
        char *child = mem_printf("%s/%s", path, entry->d_name);
        struct stat st;
        if (stat(child, &st) == 0 && S_ISDIR(st.st_mode))
            add_below(w, child, depth - 1);
        mem_free(child);
    }
    closedir(d);
}

static void add_all(watch_t *w) {
    char *parent = mem_strdup(w->path);
    char *slash = strrchr(parent, '/');
    struct stat st;
    if (slash == parent)
        slash[1] = 0;
    else if (slash)
        *slash = 0;
    add(w, slash ? parent : ".");
    mem_free(parent);
    if (stat(w->path, &st) == 0 && S_ISDIR(st.st_mode))
        add_below(w, w->path, 6);
    if (!realpath(w->path, w->real))
        w->real[0] = 0;
}

int watch_open(watch_t **out, const char *path, error_t *e) {
    watch_t *w = mem_zalloc(sizeof *w);
    w->path = mem_strdup(path);
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0) {
        int rc = error_set(e, ERR_IO, "cannot watch %s for changes: %s; SIGHUP still reloads", path, strerror(errno));
        mem_free(w->path);
        mem_free(w);
        return rc;
    }
    add_all(w);
    *out = w;
    return 0;
}

void watch_close(watch_t *w) {
    if (!w)
        return;
    close(w->fd);
    mem_free(w->path);
    mem_free(w);
}

static int drain(watch_t *w) {
    char buf[4096] __attribute__((aligned(8)));
    int any = 0;
    while (read(w->fd, buf, sizeof buf) > 0)
        any = 1;
    return any;
}

static int leads_elsewhere(watch_t *w) {
    char real[PATH_MAX];
    if (!realpath(w->path, real))
        real[0] = 0;
    return strcmp(real, w->real) != 0;
}

int watch_changed(watch_t *w, mono_t now) {
    int changed = drain(w);
    if (mono_diff_ms(now, w->checked) >= CHECK_MS) {
        w->checked = now;
        changed |= leads_elsewhere(w);
    }
    if (changed) {
        w->pending = 1;
        w->last = now;
        add_all(w);
        return 0;
    }
    if (!w->pending || mono_diff_ms(now, w->last) < QUIET_MS)
        return 0;
    w->pending = 0;
    return 1;
}
