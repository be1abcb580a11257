#include "clock.h"
#include <time.h>

static wall_t system_wall(void *ctx) {
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (wall_t){(int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000};
}

static mono_t read_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (mono_t){(int64_t)t.tv_sec * 1000000000 + t.tv_nsec};
}

static mono_t system_mono(void *ctx) {
    (void)ctx;
    return read_ns(CLOCK_MONOTONIC);
}

const clock_source_t clock_system = {system_wall, system_mono, 0};

mono_t clock_thread_cpu(void) { return read_ns(CLOCK_THREAD_CPUTIME_ID); }
mono_t clock_process_cpu(void) { return read_ns(CLOCK_PROCESS_CPUTIME_ID); }
