/* What of table.h is not in every record's way. */
#include "table.h"

#include <stdlib.h>

enum { LEAST_SLOTS = 16 };

void *vx_allocate(size_t count, size_t size) { return calloc(count, size); }

void *vx_resize(void *array, size_t count, size_t size) {
    return size > 0 && count > SIZE_MAX / size ? NULL : realloc(array, count * size);
}

void vx_pool_init(vx_pool *pool, size_t item_size) {
    *pool =
        (vx_pool){.item_size = (uint32_t)item_size, .shift = vx_pool_shift(item_size), .given_back = VX_NONE};
}

void vx_pool_free(vx_pool *pool) {
    for (uint32_t i = 0; i < pool->chunk_count; i++)
        free(pool->chunks[i]);
    free(pool->chunks);
    vx_pool_init(pool, pool->item_size);
}

int vx_pool_grow(vx_pool *pool) {
    /* The last number is VX_NONE's. */
    if (((uint64_t)pool->chunk_count + 1) << pool->shift >= VX_NONE)
        return -1;
    if ((pool->chunk_count & (pool->chunk_count - 1)) == 0) {
        size_t capacity = pool->chunk_count > 0 ? (size_t)pool->chunk_count * 2 : 1;
        uint8_t **grown = vx_resize(pool->chunks, capacity, sizeof *grown);
        if (grown == NULL)
            return -1;
        pool->chunks = grown;
    }
    uint8_t *chunk = vx_resize(NULL, (size_t)1 << pool->shift, pool->item_size);
    if (chunk == NULL)
        return -1;
    pool->chunks[pool->chunk_count++] = chunk;
    return 0;
}

void vx_index_free(vx_index *index) {
    free(index->slots);
    *index = (vx_index){0};
}

int vx_index_grow(vx_index *index) {
    uint64_t slots = index->slots == NULL ? LEAST_SLOTS : ((uint64_t)index->mask + 1) * 2;
    if (slots > UINT32_C(1) << 31)
        return -1;
    vx_index grown = {vx_allocate(slots, sizeof *grown.slots), (uint32_t)slots - 1, 0};
    if (grown.slots == NULL)
        return -1;
    for (uint64_t i = 0; index->slots != NULL && i <= index->mask; i++)
        if (index->slots[i].number_up1 != 0)
            vx_index_add(&grown, index->slots[i].tag, index->slots[i].number_up1 - 1);
    free(index->slots);
    *index = grown;
    return 0;
}

void vx_map_init(vx_map *map, size_t item_size, uint64_t seed) {
    *map = (vx_map){.seed = seed};
    vx_pool_init(&map->pool, item_size);
}

void vx_map_free(vx_map *map) {
    vx_index_free(&map->index);
    vx_pool_free(&map->pool);
}
