/* Tests of fragments and their firsts in C that need no Python: made to be run under sanitizers. It includes
 * what allocates, so that each allocation can be made to fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which allocation from now is to fail; 0: none. */
static size_t failing;

static int allowed(void) { return failing == 0 || --failing > 0; }

static void *test_malloc(size_t size) { return allowed() ? malloc(size) : NULL; }

static void *test_calloc(size_t count, size_t size) { return allowed() ? calloc(count, size) : NULL; }

static void *test_realloc(void *old, size_t size) { return allowed() ? realloc(old, size) : NULL; }

#define malloc test_malloc
#define calloc test_calloc
#define realloc test_realloc
#include "tails.c"
#undef malloc
#undef calloc
#undef realloc

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

enum { RECORD_BYTES = 16 + 20 + 20 + 8 };

/* One record: a fragment of the packet `identification`, at an offset of so many units. */
static void put_record(uint8_t *at, uint32_t microseconds, uint32_t identification, unsigned units,
                       bool more) {
    uint32_t front[] = {1000, microseconds, 48, 48};
    memset(at, 0, RECORD_BYTES);
    memcpy(at, front, sizeof front);
    at += 16;
    at[0] = 8;
    at[7] = 3;
    uint8_t *ip = at + 20;
    ip[0] = 0x45;
    ip[3] = 28;
    ip[4] = (uint8_t)(identification >> 8);
    ip[5] = (uint8_t)identification;
    ip[6] = more ? 0x20 : 0;
    ip[7] = (uint8_t)units;
    ip[9] = 17;
}

static const uint32_t HEADER[] = {0xA1B2C3D4, 0x00040002, 0, 0, 262144, 276};

static vx_tails *take(const uint8_t *records, size_t count, int64_t window) {
    vx_tails *tails = vx_tails_new(1, window, 7);
    if (tails == NULL)
        return NULL;
    if (vx_tails_feed(tails, 0, (const uint8_t *)HEADER, sizeof HEADER) < 0 ||
        vx_tails_feed(tails, 0, records, count * RECORD_BYTES) < 0 || vx_tails_end(tails, 0) < 0) {
        vx_tails_free(tails);
        return NULL;
    }
    CHECK(vx_tails_wants(tails) == UINT32_MAX);
    return tails;
}

/* In order, out of it, of a packet whose identification comes round, and too late. */
static void test_pairs(void) {
    uint8_t records[8 * RECORD_BYTES];
    put_record(records, 0, 1, 0, true);
    put_record(records + 1 * RECORD_BYTES, 1, 1, 1, false);
    put_record(records + 2 * RECORD_BYTES, 2, 2, 1, false);
    put_record(records + 3 * RECORD_BYTES, 3, 2, 0, true);
    put_record(records + 4 * RECORD_BYTES, 4, 1, 0, true);
    put_record(records + 5 * RECORD_BYTES, 5, 1, 1, false);
    put_record(records + 6 * RECORD_BYTES, 1006, 1, 1, false);
    put_record(records + 7 * RECORD_BYTES, 1007, 3, 0, false);
    vx_tails *tails = take(records, 8, 1000000);
    CHECK(tails != NULL);
    size_t count;
    const vx_tail *found = vx_tails_found(tails, &count);
    static const vx_tail expected[] = {{2, 1}, {3, 4}, {6, 5}};
    CHECK(count == 3 && memcmp(found, expected, sizeof expected) == 0);
    vx_tails_free(tails);
}

/* More packets than are remembered: the oldest give way, and those that wait for them. */
static void test_limit(void) {
    size_t count = VX_MOST_PIECES / 2 + 10;
    uint8_t *records = malloc(4 * count * RECORD_BYTES);
    CHECK(records != NULL);
    for (size_t i = 0; i < 2 * count; i++) {
        uint8_t *at = records + i * RECORD_BYTES;
        put_record(at, 0, (uint32_t)i & 0xFFFF, 1, false);
        at[16 + 20 + 12] = (uint8_t)(i >> 16); /* another source */
    }
    for (size_t i = 0; i < 2 * count; i++) {
        uint8_t *at = records + (2 * count + i) * RECORD_BYTES;
        put_record(at, 0, (uint32_t)i & 0xFFFF, 0, true);
        at[16 + 20 + 12] = (uint8_t)(i >> 16);
    }
    vx_tails *tails = take(records, 4 * count, 1000000);
    CHECK(tails != NULL);
    size_t found;
    vx_tails_found(tails, &found);
    CHECK(found < 2 * count);
    vx_tails_free(tails);
    free(records);
}

static void test_no_memory(void) {
    enum { COUNT = 2000 };
    uint8_t *records = malloc(COUNT * RECORD_BYTES);
    CHECK(records != NULL);
    for (size_t i = 0; i < COUNT; i++)
        put_record(records + i * RECORD_BYTES, (uint32_t)i, (uint32_t)(i % (COUNT / 2)), i < COUNT / 2, true);
    for (size_t turn = 1;; turn++) {
        failing = turn;
        vx_tails *tails = take(records, COUNT, 1000000000);
        bool failed = failing == 0;
        failing = 0;
        CHECK((tails == NULL) == failed);
        vx_tails_free(tails);
        if (!failed)
            break;
    }
    free(records);
}

int main(void) {
    test_pairs();
    test_limit();
    test_no_memory();
    printf("tails: all well\n");
    return 0;
}
