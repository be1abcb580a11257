/* observers: several observers as one.
 *
 * The list borrows its members; every call goes to each of them in the order they were added. A question (reload? stop?)
 * is asked of all and answered yes when one says so. Any thread may call: one call is let in at a time. */
#ifndef ANANAS_OBSERVERS_H
#define ANANAS_OBSERVERS_H
#include <pthread.h>

#include "observer.h"

#define OBSERVERS_MAX 6

typedef struct observers {
    observer_t base;
    pthread_mutex_t lock; /* around every call */
    observer_t *at[OBSERVERS_MAX];
    int n;
} observers_t;

/* Returns the observer that stands for the list; o must outlive its use. */
observer_t *observers_init(observers_t *o);
void observers_fini(observers_t *o);
void observers_add(observers_t *o, observer_t *one); /* NULL: nothing is added */
#endif
