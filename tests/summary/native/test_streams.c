/* Tests of streams that need no Python: made to be run under sanitizers, each allocation made to fail. What
 * is told is tested against the twin and against tshark, in Python. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which allocation from now is to fail; 0: none. */
static size_t failing;

static int allowed(void) { return failing == 0 || --failing > 0; }

static void *test_calloc(size_t count, size_t size) { return allowed() ? calloc(count, size) : NULL; }

static void *test_realloc(void *old, size_t size) { return allowed() ? realloc(old, size) : NULL; }

static void *test_aligned_alloc(size_t alignment, size_t size) {
    return allowed() ? aligned_alloc(alignment, size) : NULL;
}

#define calloc test_calloc
#define realloc test_realloc
#define aligned_alloc test_aligned_alloc
#include "table.c"
#undef calloc
#undef realloc
#undef aligned_alloc

#include "streams.h"

static unsigned checks;
static unsigned failures;

#define CHECK(expression)                                                                                    \
    do {                                                                                                     \
        checks++;                                                                                            \
        if (!(expression)) {                                                                                 \
            failures++;                                                                                      \
            fprintf(stderr, "%s:%d: not so: %s\n", __func__, __LINE__, #expression);                         \
        }                                                                                                    \
    } while (0)

/* Chance: the same at each run. */

static uint64_t state = 1;

static uint32_t chance(uint32_t below) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % below;
}

/* The options end where the block ends, so that the sanitizer sees each byte that is read too far. */
typedef struct {
    vx_segment segment;
    uint8_t addresses[2][16];
    uint8_t *options;
} chance_segment;

static void make(chance_segment *to, uint32_t ports) {
    static int64_t time_ns;
    time_ns += chance(4) * 1000000;
    memset(to->addresses, 1, sizeof to->addresses);
    unsigned way = chance(2);
    to->addresses[way][3] = 2;
    uint16_t port = (uint16_t)chance(ports);
    size_t size = chance(12);
    to->options = malloc(size > 0 ? size : 1);
    for (size_t i = 0; i < size; i++)
        to->options[i] = (uint8_t)chance(5);
    to->segment = (vx_segment){
        .time_ns = time_ns,
        .network = (int32_t)chance(2) - 1,
        .is_ipv6 = chance(2) != 0,
        .flags = (uint8_t)(chance(8) == 0 ? chance(256) : 16),
        .source = to->addresses[0],
        .destination = to->addresses[1],
        .source_port = way == 0 ? port : 80,
        .destination_port = way == 0 ? 80 : port,
        .window = (uint16_t)chance(3),
        .sequence = UINT32_MAX - 2000 + chance(4000),
        .acknowledgement = UINT32_MAX - 2000 + chance(4000),
        .payload_length = chance(3) * chance(50),
        .options = to->options,
        .options_size = size,
    };
}

static void test_any_segments(void) {
    vx_streams *streams = vx_streams_new(10, 1);
    CHECK(streams != NULL);
    for (unsigned i = 0; i < 200000; i++) {
        chance_segment each;
        make(&each, 20);
        vx_stream_note note, again;
        CHECK(vx_streams_take(streams, &each.segment, &note) == 0);
        CHECK(vx_streams_look(streams, &each.segment, &again) == 0);
        CHECK(again.stream == note.stream && again.sequence == note.sequence &&
              again.acknowledgement == note.acknowledgement && again.progress == note.progress &&
              again.notes == 0 && again.duplicate_number == 0);
        free(each.options);
    }
    CHECK(vx_streams_forgotten(streams) > 0);
    vx_streams_free(streams);
}

/* Streams that give way also give back their holes: the memory does not grow. */
static void test_holes_are_given_back(void) {
    vx_streams *streams = vx_streams_new(2, 1);
    uint8_t from[4] = {10, 0, 0, 1}, to[4] = {10, 0, 0, 2};
    for (uint32_t i = 0; i < 100000; i++) {
        vx_segment segment = {
            .network = -1,
            .flags = 16,
            .source = from,
            .destination = to,
            .source_port = (uint16_t)(i / 4),
            .destination_port = 80,
            .window = 1,
            .sequence = i % 4 * 100,
            .payload_length = 10,
        };
        vx_stream_note note;
        if (i == 1000)
            failing = 1; /* from now no memory is asked for */
        CHECK(vx_streams_take(streams, &segment, &note) == 0);
        CHECK(note.stream == i / 4 && note.notes == (i % 4 > 0 ? VX_LOST_SEGMENT : 0));
    }
    CHECK(failing == 1);
    failing = 0;
    CHECK(vx_streams_forgotten(streams) == 100000 / 4 - 2);
    vx_streams_free(streams);
}

static void test_a_million_streams(void) {
    vx_streams *streams = vx_streams_new(1000000, 1);
    uint8_t from[4] = {10}, to[4] = {10, 255, 255, 255};
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 1000000; i++) {
            memcpy(from + 1, &i, 3);
            vx_segment segment = {
                .network = -1, .flags = 2, .source = from, .destination = to, .sequence = round};
            vx_stream_note note;
            if (vx_streams_take(streams, &segment, &note) < 0 || note.stream != round * 1000000 + i)
                CHECK(false);
        }
    CHECK(vx_streams_forgotten(streams) == 0);
    vx_streams_free(streams);
}

static void test_no_memory(void) {
    unsigned failed = 0, passed = 0;
    for (size_t fail = 1; passed == 0 && fail < 100; fail++) {
        state = 7;
        failing = fail;
        vx_streams *streams = vx_streams_new(3000, 1);
        int answer = streams != NULL ? 0 : -1;
        for (unsigned i = 0; answer == 0 && i < 6000; i++) {
            chance_segment each;
            make(&each, 3000);
            vx_stream_note note;
            answer = vx_streams_take(streams, &each.segment, &note);
            free(each.options);
        }
        if (answer == 0 && failing > 0)
            passed++;
        else {
            CHECK(answer == -1);
            failed++;
        }
        failing = 0;
        vx_streams_free(streams);
    }
    CHECK(passed == 1);
    CHECK(failed > 20);
}

static void test_options(void) {
    static const struct {
        uint8_t flags;
        size_t size;
        uint8_t options[8];
        uint32_t window;
    } cases[] = {
        {18, 3, {3, 3, 7}, 100 << 7},
        {18, 3, {3, 3, 200}, 100 << 14},          /* RFC 7323, 2.3: at most 14 */
        {18, 6, {1, 1, 1, 3, 3, 1}, 200},         /* behind no operations */
        {18, 7, {2, 4, 5, 180, 3, 3, 2}, 400},    /* behind the MSS */
        {18, 4, {0, 3, 3, 7}, 100},               /* behind the end */
        {18, 2, {3, 3}, 100},                     /* cut off */
        {18, 5, {4, 1, 3, 3, 7}, 100},            /* behind one of an impossible length */
        {18, 5, {4, 0, 3, 3, 7}, 100},            /* likewise */
        {18, 8, {3, 4, 7, 0, 2, 4, 5, 180}, 100}, /* not its length */
        {18, 1, {3}, 100},
        {18, 0, {0}, 100},
    };
    uint8_t from[4] = {10, 0, 0, 1}, to[4] = {10, 0, 0, 2}, scale[3] = {3, 3, 0};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        vx_streams *streams = vx_streams_new(1, 1);
        vx_stream_note note;
        uint8_t *options = malloc(cases[i].size > 0 ? cases[i].size : 1);
        memcpy(options, cases[i].options, cases[i].size);
        vx_segment there = {.network = -1, .flags = 2, .source = from, .destination = to, .source_port = 1};
        there.options = scale;
        there.options_size = sizeof scale;
        vx_segment back = {.network = -1, .source = to, .destination = from, .destination_port = 1};
        back.flags = cases[i].flags;
        back.window = 100;
        back.options = options;
        back.options_size = cases[i].size;
        CHECK(vx_streams_take(streams, &there, &note) == 0);
        CHECK(vx_streams_take(streams, &back, &note) == 0);
        CHECK(note.window == 100); /* a SYN's is never scaled */
        back.flags = 16;
        back.options_size = 0;
        CHECK(vx_streams_take(streams, &back, &note) == 0);
        CHECK(note.window == cases[i].window);
        free(options);
        vx_streams_free(streams);
    }
}

int main(void) {
    test_any_segments();
    test_holes_are_given_back();
    test_a_million_streams();
    test_no_memory();
    test_options();
    vx_streams_free(NULL);
    printf("streams: %u checks, %u failures\n", checks, failures);
    return failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
