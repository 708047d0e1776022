/* See stock.h for what is promised. */
#define _POSIX_C_SOURCE 200809L /* for clock_gettime */
#include "stock.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "deadline.h"
#include "table.h"

enum { MOST_BLOCKS = 4, LEAST_PAGE = 4096 };

struct vx_stock {
    pthread_mutex_t lock;
    pthread_cond_t may_fill;
    void *blocks[MOST_BLOCKS];
    unsigned count;
    unsigned wanted; /* so many are to be there */
    bool closed;
};

vx_stock *vx_stock_new(void) {
    vx_stock *stock = vx_allocate(1, sizeof *stock);
    if (stock == NULL)
        return NULL;
    pthread_mutex_init(&stock->lock, NULL);
    pthread_cond_init(&stock->may_fill, NULL);
    return stock;
}

void vx_stock_free(vx_stock *stock) {
    if (stock == NULL)
        return;
    for (unsigned i = 0; i < stock->count; i++)
        free(stock->blocks[i]);
    pthread_cond_destroy(&stock->may_fill);
    pthread_mutex_destroy(&stock->lock);
    free(stock);
}

void *vx_stock_take(vx_stock *stock) {
    pthread_mutex_lock(&stock->lock);
    void *block = stock->count > 0 ? stock->blocks[--stock->count] : NULL;
    if (stock->wanted < MOST_BLOCKS)
        stock->wanted++;
    pthread_cond_signal(&stock->may_fill);
    pthread_mutex_unlock(&stock->lock);
    return block;
}

/* A block all of whose pages are there; NULL: no memory. */
static void *touched_block(void) {
    uint8_t *block = vx_allocate_block(VX_STOCK_BLOCK);
    for (size_t at = 0; block != NULL && at < VX_STOCK_BLOCK; at += LEAST_PAGE)
        ((volatile uint8_t *)block)[at] = 0;
    return block;
}

bool vx_stock_fill(vx_stock *stock, unsigned milliseconds) {
    struct timespec limit = vx_deadline(milliseconds);
    int status = 0;
    pthread_mutex_lock(&stock->lock);
    while (!stock->closed && status == 0) {
        if (stock->count >= stock->wanted) {
            status = pthread_cond_timedwait(&stock->may_fill, &stock->lock, &limit);
            continue;
        }
        pthread_mutex_unlock(&stock->lock);
        void *block = touched_block();
        pthread_mutex_lock(&stock->lock);
        if (block == NULL)
            stock->closed = true; /* whoever needs memory will hear of it */
        else
            stock->blocks[stock->count++] = block;
    }
    bool goes_on = !stock->closed;
    pthread_mutex_unlock(&stock->lock);
    return goes_on;
}

void vx_stock_close(vx_stock *stock) {
    pthread_mutex_lock(&stock->lock);
    stock->closed = true;
    pthread_cond_signal(&stock->may_fill);
    pthread_mutex_unlock(&stock->lock);
}
