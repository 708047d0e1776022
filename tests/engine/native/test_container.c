/* Tests of the C capture container that need no Python. It includes the container itself, so that each of its
 * allocations can be made to fail. From the root of the repository:
 *
 *     cc -std=c11 -g -fsanitize=address,undefined -Ivxtool/engine/native tests/engine/native/test_container.c
 * \ -o test_container && ./test_container
 *
 * Chunks are offered from blocks of just their size, which are freed as soon as the container may no longer
 * look at them: so the sanitizers see every byte that is read too far or too late. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which allocation from now is to fail (0: none), and the largest that was asked for. */
static size_t failing;
static size_t largest;

static int allowed(size_t size) {
    if (size > largest)
        largest = size;
    return failing == 0 || --failing > 0;
}

static void *test_malloc(size_t size) { return allowed(size) ? malloc(size) : NULL; }

static void *test_calloc(size_t count, size_t size) {
    return allowed(count * size) ? calloc(count, size) : NULL;
}

static void *test_realloc(void *old, size_t size) { return allowed(size) ? realloc(old, size) : NULL; }

#define malloc test_malloc
#define calloc test_calloc
#define realloc test_realloc
#include "container.c"
#undef malloc
#undef calloc
#undef realloc

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

/* Captures, built byte by byte. */

typedef struct {
    uint8_t bytes[4096];
    size_t size;
    bool big;
} file;

static void put(file *to, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; i++)
        to->bytes[to->size++] = (uint8_t)(value >> 8 * (to->big ? size - 1 - i : i));
}

static void put_bytes(file *to, const void *bytes, size_t size) {
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

static void pad(file *to) {
    while (to->size % 4 != 0)
        put(to, 0, 1);
}

static void pcap_header(file *to, uint32_t magic, uint32_t link_type) {
    put(to, magic, 4);
    put(to, 2, 2);
    put(to, 4, 2);
    put(to, 0, 8);
    put(to, 96, 4);
    put(to, link_type, 4);
}

static void pcap_record(file *to, uint32_t seconds, uint32_t fraction, uint32_t length, const char *data) {
    put(to, seconds, 4);
    put(to, fraction, 4);
    put(to, strlen(data), 4);
    put(to, length, 4);
    put_bytes(to, data, strlen(data));
}

/* Begin a block; end_block sets its two lengths. */
static size_t begin_block(file *to, uint32_t kind) {
    put(to, kind, 4);
    put(to, 0, 4);
    return to->size - 8;
}

static void end_block(file *to, size_t start) {
    pad(to);
    put(to, 0, 4);
    size_t end = to->size;
    to->size = start + 4;
    put(to, end - start, 4);
    to->size = end - 4;
    put(to, end - start, 4);
}

static void put_option(file *to, uint16_t code, const void *value, uint16_t size) {
    put(to, code, 2);
    put(to, size, 2);
    put_bytes(to, value, size);
    pad(to);
}

static void section_block(file *to) {
    size_t start = begin_block(to, 0x0a0d0d0a);
    put(to, 0x1a2b3c4d, 4);
    put(to, 1, 2);
    put(to, 0, 2);
    put(to, UINT64_MAX, 8);
    end_block(to, start);
}

static void interface_block(file *to, uint16_t link_type, uint32_t snaplen, const char *name,
                            uint8_t resolution) {
    size_t start = begin_block(to, 1);
    put(to, link_type, 2);
    put(to, 0, 2);
    put(to, snaplen, 4);
    put_option(to, 2, name, (uint16_t)strlen(name));
    put_option(to, 9, &resolution, 1);
    put_option(to, 0, "", 0);
    end_block(to, start);
}

static void packet_block(file *to, uint32_t interface, uint64_t ticks, const char *data, uint32_t flags) {
    size_t start = begin_block(to, 6);
    put(to, interface, 4);
    put(to, ticks >> 32, 4);
    put(to, ticks & UINT32_MAX, 4);
    put(to, strlen(data), 4);
    put(to, 1000, 4);
    put_bytes(to, data, strlen(data));
    pad(to);
    put(to, 2, 2);
    put(to, 4, 2);
    put(to, flags, 4);
    end_block(to, start);
}

static void simple_block(file *to, uint32_t length, const char *data) {
    size_t start = begin_block(to, 3);
    put(to, length, 4);
    put_bytes(to, data, strlen(data));
    end_block(to, start);
}

static void obsolete_block(file *to, uint16_t interface, uint32_t ticks, const char *data) {
    size_t start = begin_block(to, 2);
    put(to, interface, 2);
    put(to, 7, 2);
    put(to, 0, 4);
    put(to, ticks, 4);
    put(to, strlen(data), 4);
    put(to, strlen(data), 4);
    put_bytes(to, data, strlen(data));
    end_block(to, start);
}

static void statistics_block(file *to, uint32_t interface, uint64_t dropped) {
    size_t start = begin_block(to, 5);
    put(to, interface, 4);
    put(to, 0, 8);
    put(to, 5, 2);
    put(to, 8, 2);
    put(to, dropped, 8);
    end_block(to, start);
}

static void names_block(file *to) {
    size_t start = begin_block(to, 4);
    put_option(to, 1,
               "\xac\x14\x00\x6b"
               "curl-pod",
               13);
    put_option(to, 2,
               "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
               "webpod",
               23);
    put_option(to, 0, "", 0);
    end_block(to, start);
}

/* Everything of pcapng that the container knows, in two sections of both byte orders. */
static file whole_pcapng(void) {
    file made = {.size = 0};
    section_block(&made);
    interface_block(&made, 1, 0, "eth1", 9);
    interface_block(&made, 276, 4, "eth2", 0x8a);
    packet_block(&made, 0, 1754760470282388000, "in", 1);
    packet_block(&made, 1, 3 << 10 | 512, "out!", 2);
    simple_block(&made, 5, "short");
    statistics_block(&made, 1, 41);
    end_block(&made, begin_block(&made, 0x7fff));
    obsolete_block(&made, 1, 1024, "old");
    names_block(&made);
    made.big = true;
    section_block(&made);
    interface_block(&made, 101, 3, "tun0", 6);
    simple_block(&made, 9, "abc");
    packet_block(&made, 0, 1000001, "big", 1 | 4 << 2);
    return made;
}

static file whole_pcap(bool big, uint32_t magic) {
    file made = {.big = big};
    pcap_header(&made, magic, 0x24000000 | 276);
    pcap_record(&made, 1754760470, 282388, 100, "first");
    pcap_record(&made, 1754760470, 1000000, 3, "two");
    pcap_record(&made, UINT32_MAX, UINT32_MAX, 0, "");
    return made;
}

/* All that was read, as text, so that two readings can be compared. */

typedef struct {
    char text[1 << 14];
    size_t size;
    vx_damage damage;
    vx_damage skipped; /* of the first block that was */
} reading;

static void say(reading *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

#include <stdarg.h>

static void say(reading *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(to->text + to->size, sizeof to->text - to->size, format, arguments);
    va_end(arguments);
    if (size > 0 && (size_t)size < sizeof to->text - to->size)
        to->size += (size_t)size;
}

static int take_records(vx_container *container, reading *to, unsigned most) {
    vx_record record;
    int status = 1;
    while (most-- > 0 && (status = vx_container_next(container, &record)) == 1) {
        say(to, "%lld i%u d%u %u/%u ", (long long)record.time_ns, record.interface, record.direction,
            record.captured, record.length);
        for (uint32_t i = 0; i < record.captured; i++)
            say(to, "%02x", record.data[i]);
        say(to, "\n");
    }
    return status;
}

static void say_all(const vx_container *container, reading *to) {
    say(to, "format %d records %llu offset %llu\n", vx_container_format(container),
        (unsigned long long)vx_container_records(container),
        (unsigned long long)vx_container_offset(container));
    for (uint32_t i = 0; i < vx_container_interface_count(container); i++) {
        const vx_interface *interface = vx_container_interface(container, i);
        say(to, "interface %u %u %s %llu %d %u %lld\n", interface->link_type, interface->snaplen,
            interface->name ? interface->name : "-", (unsigned long long)interface->dropped,
            interface->has_dropped, interface->resolution, (long long)interface->offset_seconds);
    }
    for (uint32_t i = 0; i < vx_container_name_count(container); i++) {
        const vx_name *name = vx_container_name(container, i);
        say(to, "name %u %02x%02x%02x%02x..%02x %s\n", name->family, name->address[0], name->address[1],
            name->address[2], name->address[3], name->address[15], name->name);
    }
    to->damage = *vx_container_damage(container);
    to->skipped = *vx_container_first_skipped(container);
    say(to, "damage %d at %llu after %llu: %u, %u\n", to->damage.code, (unsigned long long)to->damage.offset,
        (unsigned long long)to->damage.record, to->damage.value, to->damage.expected);
}

static uint32_t random_state = 1;

/* xorshift32: the same numbers in every run. */
static uint32_t random_below(uint32_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % limit;
}

/* Read in pieces of `cut` bytes (0: of random sizes). With `detached`, the container is now and then told to
 * keep what it has not read, before it has read it. */
static void read_all(const uint8_t *bytes, size_t size, size_t cut, bool detached, reading *to) {
    to->size = 0;
    to->text[0] = '\0';
    to->damage = (vx_damage){.code = VX_DAMAGE_NO_MEMORY};
    vx_container *container = vx_container_new();
    if (container == NULL)
        return;
    int status = 0;
    for (size_t at = 0; at < size && status == 0;) {
        size_t piece = cut > 0 ? cut : 1 + random_below(40);
        piece = piece < size - at ? piece : size - at;
        uint8_t *chunk = malloc(piece);
        if (chunk == NULL)
            abort();
        memcpy(chunk, bytes + at, piece);
        vx_container_offer(container, chunk, piece);
        if (detached)
            status = take_records(container, to, random_below(3));
        if (status >= 0 && detached && random_below(4) > 0)
            status = vx_container_detach(container);
        if (status >= 0)
            status = take_records(container, to, UINT32_MAX);
        free(chunk);
        at += piece;
    }
    vx_container_end(container);
    CHECK((status == 0 ? take_records(container, to, UINT32_MAX) : status) ==
          (vx_container_damage(container)->code == VX_DAMAGE_NONE ? 0 : -1));
    CHECK(take_records(container, to, 1) != 1);
    say_all(container, to);
    vx_container_free(container);
}

static vx_damage damage_of(const file *made) {
    reading read;
    read_all(made->bytes, made->size, made->size, false, &read);
    return read.damage;
}

/* What was wrong with the first block that was skipped: nothing ends the reading. */
static vx_damage skipped_of(const file *made) {
    reading read;
    read_all(made->bytes, made->size, made->size, false, &read);
    CHECK(read.damage.code == VX_DAMAGE_NONE);
    return read.skipped;
}

static void test_pcap_in_both_byte_orders_and_units(void) {
    for (int big = 0; big < 2; big++) {
        for (int nanoseconds = 0; nanoseconds < 2; nanoseconds++) {
            file made = whole_pcap(big, nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
            vx_container *container = vx_container_new();
            vx_record record;
            vx_container_offer(container, made.bytes, made.size);
            CHECK(vx_container_next(container, &record) == 1);
            CHECK(record.time_ns == 1754760470000000000 + (nanoseconds ? 282388 : 282388000));
            CHECK(record.data == made.bytes + 40); /* pointed to, not copied */
            CHECK(record.captured == 5 && record.length == 100 && record.interface == 0 &&
                  record.direction == 0);
            CHECK(vx_container_next(container, &record) == 1);
            CHECK(record.time_ns == 1754760470000000000 + (nanoseconds ? 1000000 : 1000000000));
            CHECK(vx_container_next(container, &record) == 1);
            CHECK(record.time_ns == 4294967295000000000 + 4294967295 * (nanoseconds ? 1 : 1000));
            CHECK(vx_container_next(container, &record) == 0);
            vx_container_end(container);
            CHECK(vx_container_damage(container)->code == VX_DAMAGE_NONE);
            CHECK(vx_container_format(container) == (nanoseconds ? VX_FORMAT_PCAP_NS : VX_FORMAT_PCAP));
            CHECK(vx_container_interface_count(container) == 1);
            CHECK(vx_container_interface(container, 0)->link_type == 276);
            CHECK(vx_container_interface(container, 0)->snaplen == 96);
            CHECK(vx_container_interface(container, 1) == NULL);
            CHECK(vx_container_records(container) == 3 && vx_container_offset(container) == made.size);
            vx_container_free(container);
        }
    }
}

static void test_pcapng_with_every_block(void) {
    file made = whole_pcapng();
    reading read;
    read_all(made.bytes, made.size, made.size, false, &read);
    CHECK(strcmp(read.text, "1754760470282388000 i0 d1 2/1000 696e\n"
                            "3500000000 i1 d2 4/1000 6f757421\n"
                            "3500000000 i0 d0 5/5 73686f7274\n"
                            "1000000000 i1 d0 3/3 6f6c64\n"
                            "1000000000 i2 d0 3/9 616263\n"
                            "1000001000 i2 d3 3/1000 626967\n"
                            "format 3 records 6 offset 500\n"
                            "interface 1 0 eth1 0 0 9 0\n"
                            "interface 276 4 eth2 41 1 138 0\n"
                            "interface 101 3 tun0 0 0 6 0\n"
                            "name 4 ac14006b..00 curl-pod\n"
                            "name 6 fd000000..01 webpod\n"
                            "damage 0 at 0 after 0: 0, 0\n") == 0);
    if (failures > 0)
        fputs(read.text, stderr);
}

static void test_times_are_exact_and_clamped(void) {
    struct {
        uint8_t resolution;
        int64_t offset;
        uint64_t ticks;
        int64_t expected;
    } cases[] = {
        {6, 0, 1, 1000},
        {9, 0, INT64_MAX, INT64_MAX},
        {9, 0, UINT64_MAX, INT64_MAX},
        {0, 0, 9223372036, 9223372036000000000},
        {0, 0, 9223372037, INT64_MAX},
        {12, 0, 1999, 1},
        {28, 0, UINT64_MAX, 1},
        {29, 0, UINT64_MAX, 0},
        {127, 0, UINT64_MAX, 0},
        {BINARY | 0, 0, 2, 2000000000},
        {BINARY | 10, 0, 1, 976562},
        {BINARY | 30, 0, 1, 0},
        {BINARY | 30, 0, 2, 1},
        {BINARY | 32, 0, UINT64_C(1) << 62, 1073741824000000000},
        {BINARY | 63, 0, UINT64_MAX, 1999999999},
        {BINARY | 64, 0, UINT64_MAX, 999999999},
        {BINARY | 93, 0, UINT64_MAX, 1},
        {BINARY | 94, 0, UINT64_MAX, 0},
        {BINARY | 127, 0, UINT64_MAX, 0},
        {BINARY | 0, 0, UINT64_MAX, INT64_MAX},
        {9, 5, 1, 5000000001},
        {9, -5, 1, -4999999999},
        {9, INT64_MAX, 0, INT64_MAX},
        {9, INT64_MIN, 0, INT64_MIN},
        {9, 9223372036, 854775807, INT64_MAX},
        {9, 9223372036, 854775808, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vx_interface interface = {.resolution = cases[i].resolution, .offset_seconds = cases[i].offset};
        int64_t time_ns = interface_time_ns(&interface, cases[i].ticks);
        CHECK(time_ns == cases[i].expected);
        if (time_ns != cases[i].expected)
            fprintf(stderr, "  case %zu: %lld\n", i, (long long)time_ns);
    }
}

static bool is_damage(vx_damage damage, vx_damage_code code, uint64_t offset, uint32_t value,
                      uint32_t expected) {
    return damage.code == code && damage.offset == offset && damage.value == value &&
           damage.expected == expected;
}

static void test_damage_at_the_beginning(void) {
    file made = {.size = 0};
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_EMPTY, 0, 0, 0));
    put_bytes(&made, "abc", 3);
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_CUT_HEADER, 0, 3, 24));
    put_bytes(&made, "d", 1);
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_NOT_CAPTURE, 0, 0x61626364, 0));
    made = (file){.size = 0};
    put(&made, 0xa1b2cd34, 4);
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_MODIFIED_PCAP, 0, 0x34cdb2a1, 0));
    made = whole_pcap(false, 0xa1b2c3d4);
    made.size = 23;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_CUT_HEADER, 0, 23, 24));
    made.bytes[4] = 3;
    made.size = 24;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_BAD_VERSION, 0, 3, 2));
    made = whole_pcapng();
    made.size = 11;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_CUT_HEADER, 0, 11, 12));
    made.size = 27;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_CUT_HEADER, 0, 27, 28));
    made = whole_pcapng();
    made.bytes[8] = 0;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_BAD_BYTE_ORDER, 0, 0x003c2b1a, 0x1a2b3c4d));
    made = whole_pcapng();
    made.bytes[12] = 2;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_BAD_VERSION, 0, 2, 1));
}

static void test_damage_in_pcap(void) {
    file made = whole_pcap(true, 0xa1b2c3d4);
    made.size = 24 + 21 + 15;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_CUT_RECORD, 45, 15, 16));
    made.size = 24 + 21 + 18;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_CUT_RECORD, 45, 18, 19));
    CHECK(damage_of(&made).record == 1);
    made.bytes[24 + 8] = 1;
    made.bytes[24 + 11] = 0;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_CUT_RECORD, 24, 39, 16 + (1 << 24)));
    made.bytes[24 + 11] = 1;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_BAD_RECORD_LENGTH, 24, (1 << 24) + 1, 1 << 24));
}

static void test_damage_in_pcapng(void) {
    file made = {.size = 0};
    section_block(&made);
    packet_block(&made, 0, 0, "no interface", 0);
    CHECK(is_damage(skipped_of(&made), VX_DAMAGE_UNKNOWN_INTERFACE, 28, 0, 0));

    made.size = 28;
    simple_block(&made, 1, "x");
    CHECK(is_damage(skipped_of(&made), VX_DAMAGE_UNKNOWN_INTERFACE, 28, 0, 0));

    made.size = 28;
    statistics_block(&made, 3, 0);
    CHECK(is_damage(skipped_of(&made), VX_DAMAGE_UNKNOWN_INTERFACE, 28, 3, 0));

    made.size = 28;
    end_block(&made, begin_block(&made, 0x1234));
    made.bytes[32] = 13;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_BAD_BLOCK_LENGTH, 28, 13, VX_MAX_BLOCK));
    made.bytes[32] = 8;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_BAD_BLOCK_LENGTH, 28, 8, VX_MAX_BLOCK));
    made.bytes[32] = 12;
    made.bytes[36] = 16;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_BAD_BLOCK_TRAILER, 28, 16, 12));
    made.size--;
    CHECK(is_damage(damage_of(&made), VX_DAMAGE_CUT_RECORD, 28, 11, 12));

    for (uint32_t kind = 1; kind <= 6; kind++) {
        if (kind == 4)
            continue; /* names may be none */
        uint32_t least[] = {0, 8, 20, 4, 0, 12, 20};
        made.size = 28;
        end_block(&made, begin_block(&made, kind));
        CHECK(is_damage(skipped_of(&made), VX_DAMAGE_SHORT_BLOCK, 28, 0, least[kind]));
    }

    made.size = 28;
    interface_block(&made, 1, 0, "eth1", 9);
    size_t packet = made.size;
    packet_block(&made, 0, 0, "1234", 0);
    made.bytes[packet + 20] = 13;
    CHECK(is_damage(skipped_of(&made), VX_DAMAGE_BAD_RECORD_LENGTH, packet, 13, 12));
    made.bytes[packet + 20] = 4;
    made.bytes[packet + 34] = 5;
    CHECK(is_damage(skipped_of(&made), VX_DAMAGE_BAD_OPTION, packet, 5, 4));
    made.bytes[packet + 34] = 3;
    CHECK(is_damage(skipped_of(&made), VX_DAMAGE_BAD_OPTION, packet, 3, 4));

    made.size = packet;
    size_t start = begin_block(&made, 4);
    put_option(&made, 2, "too short", 9);
    end_block(&made, start);
    CHECK(is_damage(skipped_of(&made), VX_DAMAGE_BAD_OPTION, packet, 9, 16));
}

static void test_too_many_interfaces(void) {
    file section = {.size = 0};
    section_block(&section);
    file block = {.size = 0};
    interface_block(&block, 1, 0, "e", 9);
    vx_container *container = vx_container_new();
    vx_record record;
    vx_container_offer(container, section.bytes, section.size);
    CHECK(vx_container_next(container, &record) == 0);
    for (uint32_t i = 0; i < VX_MAX_INTERFACES; i++) {
        vx_container_offer(container, block.bytes, block.size);
        if (vx_container_next(container, &record) != 0)
            break;
    }
    CHECK(vx_container_interface_count(container) == VX_MAX_INTERFACES);
    vx_container_offer(container, block.bytes, block.size);
    CHECK(vx_container_next(container, &record) == 0);
    CHECK(vx_container_skipped(container) == 1);
    CHECK(vx_container_first_skipped(container)->code == VX_DAMAGE_TOO_MANY_INTERFACES);
    CHECK(vx_container_interface_count(container) == VX_MAX_INTERFACES);
    vx_container_free(container);
}

static void test_the_end_is_judged_at_once_after_all_was_read(void) {
    file made = whole_pcap(false, 0xa1b2c3d4);
    vx_container *container = vx_container_new();
    vx_record record;
    vx_container_offer(container, made.bytes, 30);
    CHECK(vx_container_next(container, &record) == 0);
    CHECK(vx_container_damage(container)->code == VX_DAMAGE_NONE);
    vx_container_end(container);
    CHECK(vx_container_damage(container)->code == VX_DAMAGE_CUT_RECORD);
    CHECK(vx_container_next(container, &record) == -1);
    vx_container_free(container);
}

static void test_a_long_claim_takes_no_memory(void) {
    file made = {.size = 0};
    pcap_header(&made, 0xa1b2c3d4, 1);
    put(&made, 0, 8);
    put(&made, VX_MAX_RECORD, 4);
    put(&made, VX_MAX_RECORD, 4);
    put(&made, 0, 8);
    largest = 0;
    reading read;
    read_all(made.bytes, made.size, 7, false, &read);
    CHECK(is_damage(read.damage, VX_DAMAGE_CUT_RECORD, 24, 24, VX_MAX_RECORD + 16));
    CHECK(largest < 1024);
}

/* Reading a capture with a few bytes changed, or cut short, never depends on how the bytes come. */
static void test_cuts_change_nothing(void) {
    for (unsigned round = 0; round < 4000; round++) {
        file made = round % 4 == 0 ? whole_pcap(round & 4, 0xa1b23c4d) : whole_pcapng();
        for (uint32_t changes = round < 8 ? 0 : random_below(4); changes > 0; changes--) {
            uint32_t at = random_below((uint32_t)made.size);
            made.bytes[at] = random_below(2) ? (uint8_t)random_below(256) : (uint8_t)(made.bytes[at] + 4);
        }
        if (random_below(4) == 0)
            made.size = random_below((uint32_t)made.size + 1);
        reading whole;
        reading other;
        read_all(made.bytes, made.size, made.size + 1, false, &whole);
        read_all(made.bytes, made.size, 1, false, &other);
        CHECK(strcmp(whole.text, other.text) == 0);
        read_all(made.bytes, made.size, 0, false, &other);
        CHECK(strcmp(whole.text, other.text) == 0);
        read_all(made.bytes, made.size, 0, true, &other);
        CHECK(strcmp(whole.text, other.text) == 0);
        read_all(made.bytes, made.size, made.size + 1, true, &other);
        CHECK(strcmp(whole.text, other.text) == 0);
    }
}

/* Whichever allocation fails, reading stops, says so, and nothing leaks. */
static void test_every_allocation_can_fail(void) {
    file made = whole_pcapng();
    reading whole;
    reading read;
    read_all(made.bytes, made.size, 7, false, &whole);
    size_t nth = 1;
    for (;; nth++) {
        failing = nth;
        read_all(made.bytes, made.size, 7, false, &read);
        bool failed = failing == 0;
        failing = 0;
        if (!failed)
            break;
        CHECK(read.damage.code == VX_DAMAGE_NO_MEMORY);
    }
    CHECK(nth > 8);
    CHECK(strcmp(whole.text, read.text) == 0);

    vx_container *container = vx_container_new();
    vx_record record;
    vx_container_offer(container, made.bytes, made.size);
    CHECK(vx_container_next(container, &record) == 1);
    failing = 1;
    CHECK(vx_container_detach(container) == -1);
    failing = 0;
    CHECK(vx_container_next(container, &record) == -1);
    CHECK(vx_container_damage(container)->code == VX_DAMAGE_NO_MEMORY);
    vx_container_free(container);
}

int main(void) {
    test_pcap_in_both_byte_orders_and_units();
    test_pcapng_with_every_block();
    test_times_are_exact_and_clamped();
    test_damage_at_the_beginning();
    test_damage_in_pcap();
    test_damage_in_pcapng();
    test_too_many_interfaces();
    test_the_end_is_judged_at_once_after_all_was_read();
    test_a_long_claim_takes_no_memory();
    test_cuts_change_nothing();
    test_every_allocation_can_fail();
    printf("container: %u checks, %u failures\n", checks, failures);
    return failures > 0;
}
