/* Pools of equal items, and open-addressing hash tables over them.
 *
 * A pool hands out items by number, from chunks that never move, so that a number and a pointer both stay
 * good until the item is given back. An index finds an item's number by a hash of its key; it knows nothing
 * of keys, so the caller compares them. A map is the two together for keys of a fixed size that lie first in
 * the item.
 *
 * Hashes are keyed by a seed, so that nobody can make a capture whose keys all meet in one place. Nothing
 * that is counted depends on the seed.
 *
 * Every allocation of the engine goes through vx_allocate and vx_resize. Where there is no memory, functions
 * answer VX_NONE, NULL or -1, and what they were called on can still be freed. */
#ifndef VXTOOL_TABLE_H
#define VXTOOL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "stock.h"

/* The number of no item. */
#define VX_NONE UINT32_MAX

/* What a record hardly ever meets: kept out of the way of what all of them go through. A third of the
 * instructions of taking a record were for saving registers that only such code needs. */
#define VX_RARE __attribute__((noinline))
#define VX_RARELY(condition) __builtin_expect(!!(condition), 0)

/* Of what only prefetches: gcc takes such a function to be without effect, and its calls for needless. */
#define VX_ALWAYS_INLINE inline __attribute__((always_inline))

/* `count` items of `size` bytes, all zero; NULL where there is no memory. Freed with free(). */
void *vx_allocate(size_t count, size_t size);
/* A block of such a multiple of huge pages, its bytes whatever they were; NULL where there is no memory.
 * Freed with free(). */
void *vx_allocate_block(size_t size);
/* As realloc. */
void *vx_resize(void *array, size_t count, size_t size);

/* Hashing: two words at a time are multiplied to 128 bits, whose halves are folded into one. */

static inline uint64_t vx_mix(uint64_t one, uint64_t other) {
    __extension__ unsigned __int128 product = (unsigned __int128)one * other;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t vx_load64(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint64_t vx_load32(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint64_t vx_hash(const void *bytes, size_t size, uint64_t seed) {
    /* Odd constants without a pattern: digits of pi. */
    const uint64_t first = UINT64_C(0x243f6a8885a308d3), second = UINT64_C(0x13198a2e03707345);
    const uint8_t *at = bytes;
    size_t left = size;
    for (; left > 16; left -= 16, at += 16)
        seed = vx_mix(vx_load64(at) ^ first, vx_load64(at + 8) ^ seed);
    uint64_t low, high;
    if (left >= 8) {
        low = vx_load64(at);
        high = vx_load64(at + left - 8);
    } else if (left >= 4) {
        low = vx_load32(at);
        high = vx_load32(at + left - 4);
    } else {
        low = left > 0 ? (uint64_t)at[0] << 16 | (uint64_t)at[left >> 1] << 8 | at[left - 1] : 0;
        high = 0;
    }
    return vx_mix(second ^ size, vx_mix(low ^ first, high ^ seed));
}

/* Whether these bytes are equal. As memcmp, but compiled to a few words where the size is known. */
static inline bool vx_same(const void *one, const void *other, size_t size) {
    const uint8_t *first = one, *second = other;
    uint64_t differing = 0;
    for (; size >= 8; size -= 8, first += 8, second += 8)
        differing |= vx_load64(first) ^ vx_load64(second);
    for (; size >= 4; size -= 4, first += 4, second += 4)
        differing |= vx_load32(first) ^ vx_load32(second);
    for (; size > 0; size--, first++, second++)
        differing |= (uint64_t)(*first ^ *second);
    return differing == 0;
}

/* Pools. Chunks begin at a cache line, so that items whose size is a multiple of one share none. The first
 * few chunks are allocated one by one; later ones come from blocks that the kernel can back with huge pages,
 * without which walking page tables took a third of the time at a million flows. */

typedef struct {
    uint8_t **chunks;
    vx_stock *stock; /* where blocks may lie ready, or NULL */
    void **blocks;   /* what was allocated, to be freed */
    uint8_t *spare;  /* of the last block: where its next chunk begins, and */
    uint32_t spares; /* how many are left of it */
    uint32_t block_count;
    uint32_t chunk_count;
    uint32_t item_size;
    uint32_t shift; /* a chunk holds 2^shift items */
    uint32_t used;  /* items 0 to used - 1 have been handed out at least once */
    uint32_t
        given_back; /* the first of a list of items to hand out again: each begins with the next's number */
} vx_pool;

enum { VX_CHUNK_BYTES = 1 << 16 };

/* How many items of this size a chunk holds, as a power of two; an item larger than a chunk has one of its
 * own. */
static inline uint32_t vx_pool_shift(size_t item_size) {
    return item_size < VX_CHUNK_BYTES ? 63 - (uint32_t)__builtin_clzll(VX_CHUNK_BYTES / item_size) : 0;
}

void vx_pool_init(vx_pool *pool, size_t item_size);
void vx_pool_free(vx_pool *pool);
/* One more chunk: 0, or -1. */
int vx_pool_grow(vx_pool *pool);

static inline void *vx_pool_at(const vx_pool *pool, uint32_t number) {
    uint32_t mask = (UINT32_C(1) << pool->shift) - 1;
    return pool->chunks[number >> pool->shift] + (size_t)(number & mask) * pool->item_size;
}

/* The same with the item's size, which compiles to half of the instructions where that is a constant. */
static inline void *vx_pool_item(const vx_pool *pool, uint32_t number, size_t item_size) {
    uint32_t shift = vx_pool_shift(item_size);
    uint32_t mask = (UINT32_C(1) << shift) - 1;
    return pool->chunks[number >> shift] + (size_t)(number & mask) * item_size;
}

static inline uint32_t vx_pool_take_unused(vx_pool *pool) {
    if (VX_RARELY(pool->used >> pool->shift == pool->chunk_count) && vx_pool_grow(pool) < 0)
        return VX_NONE;
    return pool->used++;
}

/* The number of an item whose bytes are whatever they were; VX_NONE: no memory. */
static inline uint32_t vx_pool_take(vx_pool *pool) {
    uint32_t number = pool->given_back;
    if (number == VX_NONE)
        return vx_pool_take_unused(pool);
    memcpy(&pool->given_back, vx_pool_at(pool, number), sizeof pool->given_back);
    return number;
}

/* The same with the item's size. */
static inline uint32_t vx_pool_take_item(vx_pool *pool, size_t item_size) {
    uint32_t number = pool->given_back;
    if (number == VX_NONE)
        return vx_pool_take_unused(pool);
    memcpy(&pool->given_back, vx_pool_item(pool, number, item_size), sizeof pool->given_back);
    return number;
}

/* Of an item that is at hand. */
static inline void vx_pool_give_back_at(vx_pool *pool, uint32_t number, void *item) {
    memcpy(item, &pool->given_back, sizeof pool->given_back);
    pool->given_back = number;
}

static inline void vx_pool_give_back(vx_pool *pool, uint32_t number) {
    vx_pool_give_back_at(pool, number, vx_pool_at(pool, number));
}

/* Indexes: linear probing from where the tag says. While they are small they are at most an eighth full:
 * whether the first slot is the right one is then nearly always foreseen, and that made up a fifth of the
 * time of a record. Later they are at most half full, since waiting for memory is all that counts. */
enum { VX_SMALL_INDEX = 1 << 14 };

typedef struct {
    uint32_t tag;        /* half of the key's hash */
    uint32_t number_up1; /* the item's number plus one; 0: empty */
} vx_slot;

typedef struct {
    vx_slot *slots;
    uint32_t mask; /* slots less one; without slots 0 */
    uint32_t used;
} vx_index;

static inline uint32_t vx_tag(uint64_t hash) { return (uint32_t)(hash >> 32); }

void vx_index_free(vx_index *index);
/* Twice the slots: 0, or -1. */
int vx_index_grow(vx_index *index);

/* The items that may have the key of this tag, one after the other, then VX_NONE. *at is where to look next,
 * and to begin with the tag; after an answer the item's slot is the one before it. */
static inline uint32_t vx_index_next(const vx_index *index, uint32_t tag, uint32_t *at) {
    if (index->slots == NULL)
        return VX_NONE;
    for (;;) {
        vx_slot slot = index->slots[*at & index->mask];
        ++*at;
        if (slot.number_up1 == 0)
            return VX_NONE;
        if (slot.tag == tag)
            return slot.number_up1 - 1;
    }
}

/* Have room for one more item: 0, or -1. */
static inline int vx_index_reserve(vx_index *index) {
    uint32_t most = index->mask < VX_SMALL_INDEX ? index->mask / 8 : index->mask / 2;
    return VX_RARELY(index->slots == NULL || index->used > most) ? vx_index_grow(index) : 0;
}

/* Add an item whose key is not yet there, for which there is room. */
static inline void vx_index_add(vx_index *index, uint32_t tag, uint32_t number) {
    uint32_t at = tag & index->mask;
    while (index->slots[at].number_up1 != 0)
        at = (at + 1) & index->mask;
    index->slots[at] = (vx_slot){tag, number + 1};
    index->used++;
}

/* The slot of an item that is there. */
static inline vx_slot *vx_index_slot(const vx_index *index, uint32_t tag, uint32_t number) {
    uint32_t at = tag & index->mask;
    while (index->slots[at].number_up1 != number + 1)
        at = (at + 1) & index->mask;
    return &index->slots[at];
}

/* Take out the item of this slot, and let those that had to step aside for it move up. */
static inline void vx_index_remove(vx_index *index, vx_slot *slot) {
    uint32_t mask = index->mask, hole = (uint32_t)(slot - index->slots);
    for (uint32_t at = (hole + 1) & mask; index->slots[at].number_up1 != 0; at = (at + 1) & mask) {
        uint32_t home = index->slots[at].tag & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            index->slots[hole] = index->slots[at];
            hole = at;
        }
    }
    index->slots[hole].number_up1 = 0;
    index->used--;
}

/* Maps. The key's size is given at each call, so that comparing and hashing are compiled for it. */

typedef struct {
    vx_index index;
    vx_pool pool;
    uint64_t seed;
    void *counted; /* of counts: the one that was counted up last; NULL: none. It does not move */
} vx_map;

void vx_map_init(vx_map *map, size_t item_size, uint64_t seed);
void vx_map_free(vx_map *map);

/* How many items there are in a map from which none is ever removed: they are numbered from 0. */
static inline uint32_t vx_map_count(const vx_map *map) { return map->pool.used; }

static inline void *vx_map_at(const vx_map *map, uint32_t number) { return vx_pool_at(&map->pool, number); }

/* Of a key whose tag is known already. */
static inline uint32_t vx_map_find_tagged(const vx_map *map, const void *key, size_t size, uint32_t tag) {
    uint32_t at = tag, number;
    while ((number = vx_index_next(&map->index, tag, &at)) != VX_NONE)
        if (vx_same(vx_map_at(map, number), key, size))
            break;
    return number;
}

static inline uint32_t vx_map_find(const vx_map *map, const void *key, size_t size) {
    return vx_map_find_tagged(map, key, size, vx_tag(vx_hash(key, size, map->seed)));
}

/* Add an item with this key, which is not there yet: all zero behind the key. VX_NONE: no memory. */
static inline uint32_t vx_map_add(vx_map *map, const void *key, size_t size, uint32_t tag) {
    if (vx_index_reserve(&map->index) < 0)
        return VX_NONE;
    uint32_t number = vx_pool_take(&map->pool);
    if (number == VX_NONE)
        return VX_NONE;
    vx_index_add(&map->index, tag, number);
    uint8_t *item = vx_map_at(map, number);
    memcpy(item, key, size);
    memset(item + size, 0, map->pool.item_size - size);
    return number;
}

/* The item with this key, made where there is none: all zero behind the key. VX_NONE: no memory. */
static inline uint32_t vx_map_intern(vx_map *map, const void *key, size_t size, bool *made) {
    uint32_t tag = vx_tag(vx_hash(key, size, map->seed));
    uint32_t number = vx_map_find_tagged(map, key, size, tag);
    *made = number == VX_NONE;
    return *made ? vx_map_add(map, key, size, tag) : number;
}

/* Fetch the slot where an item of this tag is likely to stand, which takes as long as a hundred instructions
 * where it lies in memory. */
static VX_ALWAYS_INLINE void vx_index_prefetch(const vx_index *index, uint32_t tag) {
    if (index->slots != NULL)
        __builtin_prefetch(&index->slots[tag & index->mask]);
}

/* The item that most likely has this tag, going by that slot alone; VX_NONE: there is none. */
static inline uint32_t vx_index_guess(const vx_index *index, uint32_t tag) {
    if (index->slots == NULL)
        return VX_NONE;
    vx_slot slot = index->slots[tag & index->mask];
    return slot.number_up1 > 0 && slot.tag == tag ? slot.number_up1 - 1 : VX_NONE;
}

/* Whether an item with this key would be one too many. */
static inline bool vx_is_too_many(const vx_map *map, const void *key, size_t size, uint64_t most) {
    return VX_RARELY(vx_map_count(map) >= most) && vx_map_find(map, key, size) == VX_NONE;
}

static inline void vx_map_remove(vx_map *map, uint32_t number, size_t size) {
    uint64_t hash = vx_hash(vx_map_at(map, number), size, map->seed);
    vx_index_remove(&map->index, vx_index_slot(&map->index, vx_tag(hash), number));
    vx_pool_give_back(&map->pool, number);
}

/* Counts by number. */

typedef struct {
    uint64_t key;
    uint64_t count;
} vx_count;

int vx_map_count_another(vx_map *counts, uint64_t key, uint64_t by);

/* 0, or -1: no memory. */
static inline int vx_map_count_up(vx_map *counts, uint64_t key, uint64_t by) {
    /* Nearly always it is the one before: packets come in few sizes. */
    vx_count *last = counts->counted;
    if (last == NULL || last->key != key)
        return vx_map_count_another(counts, key, by);
    last->count += by;
    return 0;
}

#endif
