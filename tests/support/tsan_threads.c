/* C11 threads for the program under the thread sanitizer, which knows nothing of them: librdkafka starts its threads that
 * way, and what a thread that it has not seen begin calls of it ends in a fault. Here they are POSIX threads. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

typedef struct start {
    thrd_start_t body;
    void *arg;
} start_t;

static void *begin(void *arg) {
    start_t s = *(start_t *)arg;
    free(arg);
    return (void *)(intptr_t)s.body(s.arg); /* NOLINT(performance-no-int-to-ptr) */
}

int thrd_create(thrd_t *thread, thrd_start_t body, void *arg) {
    start_t *s = malloc(sizeof *s);
    if (!s)
        return thrd_nomem;
    *s = (start_t){body, arg};
    if (pthread_create(thread, NULL, begin, s) == 0)
        return thrd_success;
    free(s);
    return thrd_error;
}

int thrd_join(thrd_t thread, int *result) {
    void *value;
    if (pthread_join(thread, &value))
        return thrd_error;
    if (result)
        *result = (int)(intptr_t)value;
    return thrd_success;
}

int thrd_detach(thrd_t thread) { return pthread_detach(thread) ? thrd_error : thrd_success; }
