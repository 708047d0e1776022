/* Tests of packet lists in C that need no Python: made to be run under sanitizers, on captures made by
 * chance. It includes what allocates, so that each allocation can be made to fail.
 *
 * What lines should say is tested against the plain twin, in Python. Here: that nothing is read too far or
 * leaked, whatever the bytes; that it does not matter how they are cut; that no memory has one answer. */
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
#include "line.c"
#include "list.c"
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

enum { MOST_BYTES = 1 << 16, MOST_RECORDS = 64 };

static uint64_t state = 88172645463325252u;

static uint32_t chance(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % below;
}

/* ---- captures ---- */

static uint8_t capture[MOST_BYTES];
static size_t capture_size;

static void put(const void *bytes, size_t size) {
    CHECK(capture_size + size <= MOST_BYTES);
    memcpy(capture + capture_size, bytes, size);
    capture_size += size;
}

/* SLL2, IPv4, UDP, VXLAN, Ethernet, IPv4, TCP with a request in it. */
static size_t make_packet(uint8_t *packet, uint32_t number) {
    static const char *const messages[] = {"", "x", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01"};
    const char *message = messages[chance(4)];
    size_t size = 0, length = strlen(message);
    memset(packet, 0, 20);
    packet[0] = 8;
    packet[7] = (uint8_t)(3 + chance(3));
    packet[10] = (uint8_t)chance(6);
    uint8_t *outer = packet + 20, *udp = outer + 20, *inner = udp + 8 + 8 + 14, *tcp = inner + 20;
    memset(outer, 0, 20 + 8 + 8 + 14 + 20 + 20);
    size = 20 + 20 + 8 + 8 + 14 + 20 + 20 + length;
    size_t total = size - 20;
    outer[0] = 0x45;
    outer[2] = (uint8_t)(total >> 8);
    outer[3] = (uint8_t)total;
    outer[5] = (uint8_t)number;
    if (chance(8) == 0)
        outer[6] = 0x20; /* more fragments */
    if (chance(8) == 0)
        outer[7] = (uint8_t)chance(4);
    outer[8] = 63;
    outer[9] = 17;
    outer[15] = 1;
    outer[19] = (uint8_t)chance(3);
    udp[0] = 0xC3;
    udp[2] = 8472 >> 8;
    udp[3] = 8472 & 0xFF;
    udp[4] = (uint8_t)((total - 20) >> 8);
    udp[5] = (uint8_t)(total - 20);
    udp[8] = 8;
    udp[14] = (uint8_t)chance(3);
    inner[-2] = 8;
    inner[0] = 0x45;
    inner[3] = (uint8_t)(40 + length);
    inner[8] = 64;
    inner[9] = chance(6) == 0 ? 1 : 6;
    inner[15] = (uint8_t)chance(3);
    inner[19] = (uint8_t)chance(3);
    tcp[0] = inner[9] == 1 ? 8 : 0x9C;
    tcp[3] = 80;
    tcp[7] = (uint8_t)chance(40);
    tcp[12] = 0x50;
    tcp[13] = (uint8_t)(chance(2) == 0 ? 0x10 : chance(32));
    memcpy(tcp + 20, message, length);
    for (unsigned i = 0; i < 3 && chance(4) == 0; i++)
        packet[chance((uint32_t)size)] = (uint8_t)chance(256);
    return size;
}

static uint32_t make_capture(void) {
    static const uint32_t header[] = {0xA1B2C3D4, 0x00040002, 0, 0, 262144, 276};
    uint32_t records = 1 + chance(MOST_RECORDS);
    capture_size = 0;
    put(header, sizeof header);
    for (uint32_t i = 0; i < records; i++) {
        uint8_t packet[512];
        uint32_t size = (uint32_t)make_packet(packet, i / 2);
        uint32_t captured = chance(4) == 0 ? chance(size + 1) : size;
        uint32_t front[] = {1000, i * 7, captured, size};
        put(front, sizeof front);
        put(packet, captured);
    }
    return records;
}

/* ---- what a lister asks, and is given ---- */

static int party(void *context, const uint8_t *address, size_t size, vx_party *answer) {
    (void)context;
    (void)size;
    if (address[3] == 0)
        return 0;
    static const char name[] = "pod \"\\\x01\xE2\x80\xAE";
    answer->name = (vx_string){name, sizeof name - 1};
    answer->pod = (vx_string){"default/pod", 11};
    answer->identity = address[3];
    return 1;
}

static int identity(void *context, uint32_t vni, vx_string *name) {
    (void)context;
    *name = (vx_string){"one", 3};
    return vni == 1;
}

static int interface_label(void *context, int64_t index, uint32_t input, uint32_t interface,
                           vx_string *label) {
    (void)context;
    (void)input;
    (void)interface;
    *label = (vx_string){"eth\xE2\x86\x92", 6};
    return index == 3;
}

static int direction(void *context, uint32_t bundle, uint32_t input, uint32_t interface, const uint8_t *macs,
                     uint8_t *way) {
    (void)context;
    (void)bundle;
    (void)input;
    (void)interface;
    (void)macs;
    *way = VX_WAY_OUT;
    return 1;
}

static int message(void *context, const vx_message_asked *asked, vx_message *answer) {
    (void)context;
    (void)asked;
    *answer = (vx_message){{"HTTP", 4}, {"GET /\t\x1b", 7}, 3};
    return 1;
}

static const vx_column columns[] = {
    {VX_SHOW_NUMBER, true, false, 3},
    {VX_SHOW_INPUT, false, false, 0},
    {VX_SHOW_TIME, true, false, 9},
    {VX_SHOW_INTERFACES, false, false, 18},
    {VX_SHOW_INGRESS, false, false, 0},
    {VX_SHOW_EGRESS, false, false, 0},
    {VX_SHOW_LATENCY, true, false, 0},
    {VX_SHOW_OUTCOME, false, false, 0},
    {VX_SHOW_DATAGRAM, true, false, 0},
    {VX_SHOW_SOURCE_NAME, false, true, 15},
    {VX_SHOW_DESTINATION_NAME, false, false, 15},
    {VX_SHOW_VNI, true, false, 8},
    {VX_SHOW_IDENTITY, false, false, 0},
    {VX_SHOW_OUTER_SOURCE, false, false, 0},
    {VX_SHOW_PROTOCOL, false, false, 8},
    {VX_SHOW_LENGTH, true, false, 5},
    {VX_SHOW_STREAM, true, false, 0},
    {VX_SHOW_NOTES, false, false, 0},
    {VX_SHOW_INFO, false, true, 0},
};

/* Every second record is a further sighting of the one before it; some are tails. */
typedef struct {
    uint64_t where[MOST_RECORDS];
    uint32_t bundle[MOST_RECORDS];
    int64_t latency[MOST_RECORDS];
    uint32_t length[MOST_RECORDS];
    int32_t vni[MOST_RECORDS];
    uint64_t sighted[MOST_RECORDS];
    uint64_t first[MOST_RECORDS];
    uint64_t tails[MOST_RECORDS];
    uint64_t heads[MOST_RECORDS];
    vx_list_options options;
} given;

static const uint32_t way_of[] = {0, 1};
static const uint8_t outcome_of[] = {VX_FORWARDED, VX_DROPPED};
static const vx_way ways[] = {{{"eth1", 4},
                               {"eth2", 4},
                               {"eth1\xE2\x86\x92"
                                "eth2",
                                11}},
                              {{"eth1", 4}, {NULL, 0}, {"eth1", 4}}};
static const vx_string paths[] = {{"x.pcap", 6}};

static void make_given(given *all, uint32_t records) {
    size_t datagrams = 0, sighted = 0, tails = 0;
    for (uint64_t number = 1; number <= records; number++) {
        if (chance(8) == 0)
            continue;
        if (number % 2 == 1 || datagrams == 0) {
            all->where[datagrams] = number;
            all->bundle[datagrams] = chance(2);
            all->latency[datagrams] = chance(3) == 0 ? -1 : (int64_t)chance(2000000);
            all->vni[datagrams] = (int32_t)chance(3) - 1;
            all->length[datagrams++] = chance(3000);
        } else if (chance(4) == 0) {
            all->tails[tails] = number;
            all->heads[tails++] = 1 + chance(records);
        } else {
            all->sighted[sighted] = number;
            all->first[sighted++] = chance(8) == 0 ? 1 + chance(records) : number - 1;
        }
    }
    all->options = (vx_list_options){
        .inputs = 1,
        .paths = paths,
        .where = all->where,
        .bundle = all->bundle,
        .latency = all->latency,
        .length = all->length,
        .vni = all->vni,
        .datagram_count = datagrams,
        .sighted = {all->sighted, all->first, sighted},
        .tails = {all->tails, all->heads, tails},
        .way_of = way_of,
        .outcome_of = outcome_of,
        .ways = ways,
        .columns = columns,
        .column_count = sizeof columns / sizeof *columns,
        .format = (uint8_t)chance(3),
        .time = (uint8_t)chance(3),
        .time_digits = (uint8_t)chance(10),
        .all = chance(2) == 0,
        .color = chance(2) == 0,
        .ask_names = chance(2) == 0,
        .ask_identities = true,
        .vni_is_network = chance(2) == 0,
        .vni_is_identity = chance(2) == 0,
        .way_width = 9,
        .tail_width = (uint16_t)(chance(2) * 7),
        .info_room = (uint16_t)(chance(2) * 12),
        .indent = 4,
        .most = chance(4) == 0 ? 1 + chance(10) : 0,
        .seed = 12345,
        .ask = {NULL, party, identity, interface_label, direction, message},
    };
}

/* The text of the capture, in pieces of at most so many bytes, each in a block of its own; NULL: no memory.
 */
static char *list_all(const given *all, size_t most, size_t *size) {
    vx_lister *lister = vx_lister_new(&all->options);
    if (lister == NULL)
        return NULL;
    int status = 0;
    for (size_t at = 0; status == 0 && at < capture_size && vx_lister_wants(lister) == 0;) {
        size_t length = capture_size - at < most ? capture_size - at : most;
        uint8_t *block = malloc(length);
        CHECK(block != NULL);
        memcpy(block, capture + at, length);
        status = vx_lister_feed(lister, 0, block, length);
        free(block);
        at += length;
    }
    if (status == 0)
        status = vx_lister_end(lister, 0);
    CHECK(status == 0 || status == VX_LIST_NO_MEMORY);
    char *text = NULL;
    if (status == 0) {
        vx_text *found = vx_lister_text(lister);
        *size = found->size;
        text = malloc(found->size + 1);
        CHECK(text != NULL);
        if (found->size > 0)
            memcpy(text, found->at, found->size);
    }
    vx_lister_free(lister);
    return text;
}

static void test_cutting(void) {
    for (unsigned round = 0; round < 300; round++) {
        given all;
        make_given(&all, make_capture());
        size_t size, others;
        char *text = list_all(&all, MOST_BYTES, &size), *other = list_all(&all, 1 + chance(100), &others);
        CHECK(text != NULL && other != NULL && size == others && memcmp(text, other, size) == 0);
        free(text);
        free(other);
    }
}

static void test_no_memory(void) {
    for (unsigned round = 0; round < 6; round++) {
        given all;
        make_given(&all, make_capture());
        size_t size, others;
        char *text = list_all(&all, 200, &size);
        CHECK(text != NULL);
        for (size_t turn = 1;; turn++) {
            failing = turn;
            char *other = list_all(&all, 200, &others);
            bool failed = failing == 0;
            failing = 0;
            if (other != NULL)
                CHECK(size == others && memcmp(text, other, size) == 0);
            free(other);
            if (!failed)
                break;
        }
        free(text);
    }
}

static void test_durations(void) {
    static const struct {
        uint64_t nanoseconds;
        const char *text;
    } cases[] = {
        {0, "0 ns"},
        {1400, "1.4 µs"},
        {9949, "9.9 µs"},
        {9950, "10 µs"},
        {999499, "999 µs"},
        {999500, "1 ms"},
        {UINT64_C(59499999999), "59 s"},
        {UINT64_C(59500000000), "1 min"},
        {UINT64_C(125000000000), "2 min 5 s"},
        {INT64_MAX, "153722867 min 17 s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vx_text text = {0};
        vx_duration_write(&text, cases[i].nanoseconds);
        CHECK(text.size == strlen(cases[i].text) && memcmp(text.at, cases[i].text, text.size) == 0);
        vx_text_free(&text);
    }
}

int main(void) {
    test_durations();
    test_cutting();
    test_no_memory();
    printf("list: all well\n");
    return 0;
}
