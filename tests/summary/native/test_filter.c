/* Tests of filter.c that need no Python: `make native-test` runs them under sanitizers.
 *
 * What filters mean is held by tests/summary; here it is seen that no program, however wrong, reads out of
 * bounds, and that an allocation may fail. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The allocations of filter.c, of which one may be told to fail. */
static size_t allocations_left = SIZE_MAX;

static bool allocation_fails(void) {
    if (allocations_left == 0)
        return true;
    allocations_left--;
    return false;
}

static void *test_malloc(size_t size) { return allocation_fails() ? NULL : malloc(size); }
static void *test_calloc(size_t count, size_t size) {
    return allocation_fails() ? NULL : calloc(count, size);
}
#define malloc test_malloc
#define calloc test_calloc
#include "filter.c"
#undef malloc
#undef calloc

#include <stdio.h>

static unsigned checks;
static unsigned failures;

static void check(bool good, const char *what, size_t number) {
    checks++;
    if (!good) {
        failures++;
        printf("failed: %s (%zu)\n", what, number);
    }
}

/* A program as it is put together. */
typedef struct {
    uint8_t bytes[8 + 8 * VX_TEST_SIZE + 64];
    size_t size;
} maker;

static void put(uint8_t *at, size_t size, uint64_t value) {
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

static void begin(maker *made, uint16_t count, const char *texts) {
    memset(made, 0, sizeof *made);
    put(made->bytes, 2, 1);
    put(made->bytes + 2, 2, count);
    put(made->bytes + 4, 4, strlen(texts));
    memcpy(made->bytes + 8 + (size_t)count * VX_TEST_SIZE, texts, strlen(texts));
    made->size = 8 + (size_t)count * VX_TEST_SIZE + strlen(texts);
}

static uint8_t *lay(maker *made, uint16_t number, uint8_t field, uint16_t if_true, uint16_t if_false,
                    uint64_t low, uint64_t high) {
    uint8_t *at = made->bytes + 8 + (size_t)number * VX_TEST_SIZE;
    at[0] = field;
    put(at + 4, 2, if_true);
    put(at + 6, 2, if_false);
    put(at + 8, 8, UINT64_MAX);
    put(at + 24, 8, low);
    put(at + 40, 8, high);
    return at;
}

/* Load it from a block of just its size. */
static int load(const uint8_t *bytes, size_t size, vx_filter **filter) {
    uint8_t *block = malloc(size > 0 ? size : 1);
    if (block == NULL)
        abort();
    if (size > 0)
        memcpy(block, bytes, size);
    int result = vx_filter_new(block, size, filter);
    free(block);
    return result;
}

/* A line whose parts are in blocks of just their sizes, that the sanitizers see every byte read too far. */
typedef struct {
    vx_seen seen;
    vx_stream_note note;
    vx_facts facts;
    uint8_t *blocks[6];
    char *names[7];
} line;

static uint8_t *block_of(size_t size, uint8_t fill) {
    uint8_t *block = malloc(size);
    if (block == NULL)
        abort();
    memset(block, fill, size);
    return block;
}

static char *name_of(const char *text) {
    char *name = (char *)block_of(strlen(text) + 1, 0);
    memcpy(name, text, strlen(text));
    return name;
}

static void make_line(line *made, int16_t transport, bool is_ipv6, bool known) {
    static const size_t ends[] = {4, 16, 6};
    memset(made, 0, sizeof *made);
    size_t header = transport == TCP ? 20 : transport == VX_NO_TRANSPORT ? 28 : 8;
    made->blocks[0] = block_of(header, 0x41);
    made->blocks[1] = block_of(is_ipv6 ? 40 : 20, 0x45);
    for (size_t i = 0; i < 4; i++)
        made->blocks[2 + i] = block_of(ends[i % 2 == 0 && !is_ipv6 ? 0 : i % 3], 10);
    static const char *const names[] = {"TCP", "default/curl", "web", "worker-1", "worker-2", "eth1", "eth2"};
    for (size_t i = 0; i < 7; i++)
        made->names[i] = name_of(names[i]);
    vx_seen *seen = &made->seen;
    seen->transport = transport;
    seen->is_ipv6 = is_ipv6;
    seen->header = made->blocks[0];
    seen->tunnel = known ? VX_VXLAN : VX_NONE;
    seen->vni = known ? 36705 : -1;
    if (transport != VX_NO_TRANSPORT)
        seen->ip = made->blocks[1];
    vx_end *all[] = {&seen->source, &seen->destination, &seen->outer_source, &seen->outer_destination};
    for (size_t i = 0; i < 4; i++) {
        size_t which = i % 2 == 0 && !is_ipv6 ? 0 : i % 3;
        *all[i] = (vx_end){.kind = (uint8_t)(which + 1), .octets = made->blocks[2 + i]};
    }
    seen->has_ports = transport == TCP || transport == UDP;
    vx_facts *facts = &made->facts;
    facts->seen = seen;
    facts->note = known ? &made->note : NULL;
    facts->latency_ns = facts->source_identity = facts->destination_identity = known ? 5 : -1;
    facts->protocol = made->names[0];
    if (known) {
        facts->source_pod = made->names[1];
        facts->destination_pod = made->names[2];
        facts->source_node = made->names[3];
        facts->destination_node = made->names[4];
        facts->ingress = made->names[5];
        facts->egress = made->names[6];
    }
}

static void free_made(line *made) {
    for (size_t i = 0; i < 6; i++)
        free(made->blocks[i]);
    for (size_t i = 0; i < 7; i++)
        free(made->names[i]);
}

enum { LINES = 10 };
static const int16_t transports[] = {TCP, UDP, ICMP, ICMPV6, VX_NO_TRANSPORT};

static size_t asked_of_all(const vx_filter *filter) {
    size_t held = 0;
    for (size_t i = 0; i < LINES; i++) {
        line made;
        make_line(&made, transports[i / 2], i % 4 < 2, i % 2 == 0);
        held += vx_filter_holds(filter, &made.facts);
        free_made(&made);
    }
    return held;
}

static void test_an_empty_program_wants_all(void) {
    maker made;
    vx_filter *filter;
    begin(&made, 0, "");
    check(load(made.bytes, made.size, &filter) == 0, "an empty program is one", 0);
    check(asked_of_all(filter) == LINES, "it wants every line", 0);
    check(!vx_filter_asks(filter, 0, VX_FIELDS - 1), "it asks for nothing", 0);
    vx_filter_free(filter);
    vx_filter_free(NULL);
}

/* `tcp && !(ingress == eth*)`, as two tests. */
static void make_good(maker *made) {
    begin(made, 2, "eth*");
    uint8_t *at = lay(made, 0, VX_FIELD_PROTOCOLS, 1, VX_REJECT, 1, INT64_MAX);
    put(at + 8, 8, VX_HAS_TCP);
    lay(made, 1, VX_FIELD_INGRESS, VX_REJECT, VX_ACCEPT, 0, 4);
}

static void test_a_program_of_two_tests(void) {
    maker made;
    vx_filter *filter;
    make_good(&made);
    check(load(made.bytes, made.size, &filter) == 0, "a good program is taken", 0);
    check(asked_of_all(filter) == 1, "TCP of which no interface is known", 0);
    check(vx_filter_asks(filter, VX_FIELD_INGRESS, VX_FIELD_EGRESS), "it asks for an interface", 0);
    check(!vx_filter_asks(filter, VX_FIELD_POD, VX_FIELD_DESTINATION_NODE), "it asks for no pod or node", 0);
    vx_filter_free(filter);
}

static void test_every_wrong_program_is_refused(void) {
    maker good, made;
    vx_filter *filter;
    make_good(&good);
    for (size_t size = 0; size < good.size; size++) {
        check(load(good.bytes, size, &filter) == VX_FILTER_MALFORMED, "a program that is cut off", size);
        check(filter == NULL, "there is no filter", size);
    }
    good.bytes[good.size] = 0;
    check(load(good.bytes, good.size + 1, &filter) == VX_FILTER_MALFORMED, "a byte too many", 0);
    static const struct {
        size_t at, size;
        uint64_t value;
        const char *what;
    } wrong[] = {
        {0, 2, 2, "another version"},
        {2, 2, 1, "fewer tests than bytes"},
        {2, 2, 0xFFFF, "more tests than bytes"},
        {4, 4, 5, "more text than bytes"},
        {4, 4, UINT32_MAX, "text without end"},
        {8, 1, VX_FIELDS, "no such field"},
        {8, 1, 255, "no such field"},
        {9, 1, 2, "no such quantifier"},
        {12, 2, 0, "it leads back to itself"},
        {14, 2, 2, "it leads behind the last"},
        {14, 2, 0xFFFD, "it leads nowhere"},
        {8 + 48 + 4, 2, 0, "it leads back"},
        {8 + 48 + 4, 2, 1, "it leads back to itself"},
        {8 + 48 + 2, 1, 3, "no such part of a text"},
        {8 + 48 + 24, 8, 1, "text behind the end"},
        {8 + 48 + 24, 8, 5, "text from behind the end on"},
        {8 + 48 + 24, 8, UINT64_MAX, "text from far on"},
        {8 + 48 + 40, 8, 5, "text over the end"},
        {8 + 48 + 40, 8, UINT64_MAX, "text that never ends"},
        {8 + 48, 1, VX_FIELD_ENDS, "an end of no kind"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        made = good;
        put(made.bytes + wrong[i].at, wrong[i].size, wrong[i].value);
        check(load(made.bytes, made.size, &filter) == VX_FILTER_MALFORMED, wrong[i].what, i);
    }
}

static void test_too_many_tests_are_refused(void) {
    size_t size = 8 + (VX_MOST_TESTS + 1) * (size_t)VX_TEST_SIZE;
    uint8_t *bytes = calloc(size, 1);
    if (bytes == NULL)
        abort();
    for (size_t i = 0; i < VX_MOST_TESTS + 1; i++) {
        put(bytes + 8 + i * VX_TEST_SIZE + 4, 2, VX_ACCEPT);
        put(bytes + 8 + i * VX_TEST_SIZE + 6, 2, VX_REJECT);
    }
    vx_filter *filter;
    put(bytes, 2, 1);
    put(bytes + 2, 2, VX_MOST_TESTS + 1);
    check(load(bytes, size, &filter) == VX_FILTER_MALFORMED, "one test too many", 0);
    put(bytes + 2, 2, VX_MOST_TESTS);
    check(load(bytes, size - VX_TEST_SIZE, &filter) == 0, "as many as may be", 0);
    vx_filter_free(filter);
    free(bytes);
}

/* Programs with any bytes in them are refused, or are asked without harm. */
static void test_random_bytes(void) {
    maker good, made;
    make_good(&good);
    uint64_t state = 88172645463325252u;
    size_t taken = 0;
    for (size_t round = 0; round < 100000; round++) {
        made = good;
        for (size_t changes = 1 + round % 4; changes > 0; changes--) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            made.bytes[state % made.size] = (uint8_t)(state >> 40);
        }
        vx_filter *filter;
        if (load(made.bytes, made.size, &filter) != 0)
            continue;
        taken++;
        if (taken % 16 == 0)
            asked_of_all(filter);
        vx_filter_free(filter);
    }
    check(taken > 1000, "some random programs are taken", taken);
}

/* Every field, with every choice and way, of every kind of line. */
static void test_every_field(void) {
    maker made;
    vx_filter *filter;
    for (unsigned field = 0; field < VX_FIELDS; field++)
        for (unsigned choice = 0; choice < 256; choice += choice < 20 ? 1 : 19)
            for (unsigned how = 0; how < 4; how++) {
                begin(&made, 1, "e*1");
                bool text = field >= VX_FIELD_FIRST_TEXT;
                uint8_t *at = lay(&made, 0, (uint8_t)field, VX_ACCEPT, VX_REJECT, 0, text ? 3 : UINT64_MAX);
                at[2] = (uint8_t)choice;
                at[3] = (uint8_t)how;
                if (load(made.bytes, made.size, &filter) == 0)
                    asked_of_all(filter);
                vx_filter_free(filter);
            }
}

static void test_memory_may_end(void) {
    maker made;
    vx_filter *filter;
    make_good(&made);
    for (size_t allowed = 0; allowed < 3; allowed++) {
        allocations_left = allowed;
        check(vx_filter_new(made.bytes, made.size, &filter) == VX_FILTER_NO_MEMORY, "no memory is told",
              allowed);
        check(filter == NULL, "there is no filter", allowed);
    }
    allocations_left = SIZE_MAX;
}

int main(void) {
    test_an_empty_program_wants_all();
    test_a_program_of_two_tests();
    test_every_wrong_program_is_refused();
    test_too_many_tests_are_refused();
    test_random_bytes();
    test_every_field();
    test_memory_may_end();
    printf("%u checks, %u failures\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
