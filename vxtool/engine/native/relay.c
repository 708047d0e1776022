/* See relay.h for what is promised. */
#define _POSIX_C_SOURCE 200809L /* for clock_gettime */
#include "relay.h"

#include <pthread.h>
#include <stdlib.h>

#include "deadline.h"

enum { BATCHES = 32, HALF = BATCHES / 2 };

/* More of them than the cache of one core holds: to write to one that lies in the other's takes a third
 * longer.
 *
 * Batches from `taken` to `passed` are full. Both count on, and are taken modulo BATCHES. */
struct vx_relay {
    pthread_mutex_t lock;
    pthread_cond_t may_fill;
    pthread_cond_t may_take;
    unsigned passed;
    unsigned taken;
    bool flushed; /* what was passed so far is all that comes soon */
    bool ended;
    bool stopped;
    bool filler_waits;
    bool taker_waits;
    vx_batch *batches[BATCHES];
};

vx_batch *vx_batch_new(void) { return vx_allocate(1, sizeof(vx_batch)); }

void vx_batch_free(vx_batch *batch) {
    if (batch == NULL)
        return;
    free(batch->news.items);
    free(batch);
}

void vx_batch_clear(vx_batch *batch) { batch->count = batch->news.count = 0; }

vx_relay *vx_relay_new(void) {
    vx_relay *relay = vx_allocate(1, sizeof *relay);
    if (relay == NULL)
        return NULL;
    pthread_mutex_init(&relay->lock, NULL);
    pthread_cond_init(&relay->may_fill, NULL);
    pthread_cond_init(&relay->may_take, NULL);
    for (unsigned i = 0; i < BATCHES; i++) {
        relay->batches[i] = vx_batch_new();
        if (relay->batches[i] == NULL) {
            vx_relay_free(relay);
            return NULL;
        }
    }
    return relay;
}

void vx_relay_free(vx_relay *relay) {
    if (relay == NULL)
        return;
    for (unsigned i = 0; i < BATCHES; i++)
        vx_batch_free(relay->batches[i]);
    pthread_cond_destroy(&relay->may_take);
    pthread_cond_destroy(&relay->may_fill);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}

static unsigned full(const vx_relay *relay) { return relay->passed - relay->taken; }

static void wake_taker(vx_relay *relay) {
    if (relay->taker_waits)
        pthread_cond_signal(&relay->may_take);
}

vx_batch *vx_relay_empty(vx_relay *relay) {
    pthread_mutex_lock(&relay->lock);
    if (full(relay) == BATCHES) {
        wake_taker(relay);
        relay->filler_waits = true;
        while (full(relay) > HALF && !relay->stopped)
            pthread_cond_wait(&relay->may_fill, &relay->lock);
        relay->filler_waits = false;
    }
    vx_batch *batch = relay->stopped ? NULL : relay->batches[relay->passed % BATCHES];
    pthread_mutex_unlock(&relay->lock);
    if (batch != NULL)
        vx_batch_clear(batch);
    return batch;
}

void vx_relay_pass(vx_relay *relay) {
    pthread_mutex_lock(&relay->lock);
    relay->passed++;
    relay->flushed = false;
    if (full(relay) >= HALF)
        wake_taker(relay);
    pthread_mutex_unlock(&relay->lock);
}

void vx_relay_flush(vx_relay *relay) {
    pthread_mutex_lock(&relay->lock);
    relay->flushed = true;
    wake_taker(relay);
    pthread_mutex_unlock(&relay->lock);
}

void vx_relay_end(vx_relay *relay) {
    pthread_mutex_lock(&relay->lock);
    relay->ended = true;
    wake_taker(relay);
    pthread_mutex_unlock(&relay->lock);
}

/* Whether the next batch may be taken: not one by one where more come soon, for each wait costs more than a
 * batch. */
static bool is_ready(const vx_relay *relay) {
    return full(relay) >= HALF || (full(relay) > 0 && (relay->flushed || relay->ended));
}

vx_batch *vx_relay_full(vx_relay *relay, unsigned milliseconds, bool *ended) {
    pthread_mutex_lock(&relay->lock);
    if (full(relay) == 0 && !relay->ended && !relay->stopped) {
        struct timespec limit = vx_deadline(milliseconds);
        int status = 0;
        relay->taker_waits = true;
        while (!is_ready(relay) && !relay->ended && !relay->stopped && status == 0)
            status = pthread_cond_timedwait(&relay->may_take, &relay->lock, &limit);
        relay->taker_waits = false;
    }
    vx_batch *batch = full(relay) > 0 && !relay->stopped ? relay->batches[relay->taken % BATCHES] : NULL;
    *ended = batch == NULL && (relay->ended || relay->stopped);
    pthread_mutex_unlock(&relay->lock);
    return batch;
}

void vx_relay_return(vx_relay *relay) {
    pthread_mutex_lock(&relay->lock);
    relay->taken++;
    if (relay->filler_waits && full(relay) <= HALF)
        pthread_cond_signal(&relay->may_fill);
    pthread_mutex_unlock(&relay->lock);
}

void vx_relay_stop(vx_relay *relay) {
    pthread_mutex_lock(&relay->lock);
    relay->stopped = true;
    if (relay->filler_waits)
        pthread_cond_signal(&relay->may_fill);
    wake_taker(relay);
    pthread_mutex_unlock(&relay->lock);
}
