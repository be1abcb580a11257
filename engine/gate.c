#include "gate.h"

#include <pthread.h>

#include "mem.h"

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t left;
    int places;
};

gate_t *gate_new(int places) {
    gate_t *g = mem_zalloc(sizeof *g);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->left, NULL);
    g->places = places;
    return g;
}

void gate_free(gate_t *g) {
    if (!g)
        return;
    pthread_cond_destroy(&g->left);
    pthread_mutex_destroy(&g->lock);
    mem_free(g);
}

void gate_enter(gate_t *g) {
    if (!g)
        return;
    pthread_mutex_lock(&g->lock);
    while (g->places == 0)
        pthread_cond_wait(&g->left, &g->lock);
    g->places--;
    pthread_mutex_unlock(&g->lock);
}

void gate_leave(gate_t *g) {
    if (!g)
        return;
    pthread_mutex_lock(&g->lock);
    g->places++;
    pthread_cond_signal(&g->left);
    pthread_mutex_unlock(&g->lock);
}
