/* What of table.h is not in every record's way. */
#define _DEFAULT_SOURCE /* for madvise */
#include "table.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { LEAST_SLOTS = 64, CACHE_LINE = 64, HUGE_PAGE = 1 << 21, SMALL_CHUNKS = 16 };

void *vx_resize(void *array, size_t count, size_t size) {
    return size > 0 && count > SIZE_MAX / size ? NULL : realloc(array, count * size);
}

void vx_pool_init(vx_pool *pool, size_t item_size) {
    *pool =
        (vx_pool){.item_size = (uint32_t)item_size, .shift = vx_pool_shift(item_size), .given_back = VX_NONE};
}

void vx_pool_free(vx_pool *pool) {
    for (uint32_t i = 0; i < pool->block_count; i++)
        free(pool->blocks[i]);
    free(pool->blocks);
    free(pool->chunks);
    vx_pool_init(pool, pool->item_size);
}

/* Space for one more pointer in an array that doubles: 0, or -1. */
static int reserve_pointer(void *array, uint32_t count) {
    void **pointers = *(void ***)array;
    if ((count & (count - 1)) != 0)
        return 0;
    void **grown = vx_resize(pointers, count > 0 ? (size_t)count * 2 : 1, sizeof *grown);
    if (grown == NULL)
        return -1;
    *(void ***)array = grown;
    return 0;
}

static void use_huge_pages(void *at, size_t size) {
#ifdef MADV_HUGEPAGE
    madvise(at, size, MADV_HUGEPAGE); /* advice: nothing is wrong where it is not taken */
#else
    (void)at, (void)size;
#endif
}

void *vx_allocate_block(size_t size) {
    void *block = aligned_alloc(HUGE_PAGE, size);
    if (block != NULL)
        use_huge_pages(block, size);
    return block;
}

void *vx_allocate(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - HUGE_PAGE)
        return NULL;
    if (bytes < HUGE_PAGE)
        return calloc(count, size);
    void *array = vx_allocate_block((bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (array != NULL)
        memset(array, 0, bytes);
    return array;
}

/* A block of at least one chunk, all of whose bytes are whatever they were. */
static int add_block(vx_pool *pool, size_t chunk_size) {
    if (reserve_pointer(&pool->blocks, pool->block_count) < 0)
        return -1;
    bool small = pool->chunk_count < SMALL_CHUNKS;
    size_t alignment = small ? CACHE_LINE : HUGE_PAGE;
    size_t count = small || chunk_size > HUGE_PAGE / 2 ? 1 : VX_STOCK_BLOCK / chunk_size;
    size_t size = (count * chunk_size + alignment - 1) / alignment * alignment;
    void *block = pool->stock != NULL && size == VX_STOCK_BLOCK ? vx_stock_take(pool->stock) : NULL;
    if (block == NULL)
        block = small ? aligned_alloc(alignment, size) : vx_allocate_block(size);
    if (block == NULL)
        return -1;
    pool->blocks[pool->block_count++] = block;
    pool->spare = block;
    pool->spares = (uint32_t)count;
    return 0;
}

int vx_pool_grow(vx_pool *pool) {
    /* The last number is VX_NONE's. */
    if (((uint64_t)pool->chunk_count + 1) << pool->shift >= VX_NONE)
        return -1;
    if (reserve_pointer(&pool->chunks, pool->chunk_count) < 0)
        return -1;
    size_t chunk_size = (size_t)pool->item_size << pool->shift;
    if (pool->spares == 0 && add_block(pool, chunk_size) < 0)
        return -1;
    pool->chunks[pool->chunk_count++] = pool->spare;
    pool->spare += chunk_size;
    pool->spares--;
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

int vx_map_count_another(vx_map *counts, uint64_t key, uint64_t by) {
    bool made;
    uint32_t number = vx_map_intern(counts, &key, sizeof key, &made);
    if (number == VX_NONE)
        return -1;
    vx_count *count = vx_map_at(counts, number);
    count->count += by;
    counts->counted = count;
    return 0;
}
