/* Tests of the columns in C: made to be run under sanitizers. Frames with what tshark 4.0 says of each
 * (-d udp.port==8472,vxlan, TCP neither analysed nor relative); the same, broken by chance, where all that
 * counts is that nothing is read too far; and no memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which allocation from now is to fail; 0: none. */
static size_t failing;

static int allowed(void) { return failing == 0 || --failing > 0; }

static void *test_malloc(size_t size) { return allowed() ? malloc(size) : NULL; }

static void *test_calloc(size_t count, size_t size) { return allowed() ? calloc(count, size) : NULL; }

#define malloc test_malloc
#define calloc test_calloc
#include "fragments.c"
#undef malloc
#undef calloc

#include "echoes.h"

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

static const struct {
    const char *name;
    const char *columns; /* source, destination, protocol and info */
    const char *frame;
} frames[] = {
    {"syn",
     "172.20.0.1|172.20.0.2|TCP|1111 → 2222 [SYN] Seq=1000 Win=500 Len=0 MSS=1460 SACK_PERM TSval=5 TSecr=0 "
     "WS=128",
     "02000000000202000000000108004500006e123400004011e6f7c0a80001c0a800029c402118005a0000080000000000"
     "050002000000000202000000000108004500003c123400004006105dac140001ac140002045708ae000003e8000007d0"
     "a00201f400000000020405b40402080a000000050000000001030307"},
    {"data", "10.0.0.1|10.0.0.2|TCP|1111 → 2222 [PSH, ACK] Seq=1000 Ack=2000 Win=500 Len=30 TSval=5 TSecr=6",
     "02000000000202000000000108004500005212340000400654700a0000010a000002045708ae000003e8000007d08018"
     "01f4000000000101080a00000005000000067a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"},
    {"sack",
     "10.0.0.1|10.0.0.2|TCP|1111 → 2222 [ACK] Seq=1000 Ack=2000 Win=500 Len=0 SLE=1100 SRE=1200 SLE=1300 "
     "SRE=1400",
     "02000000000202000000000108004500003c12340000400654860a0000010a000002045708ae000003e8000007d0a010"
     "01f400000000010105120000044c000004b00000051400000578"},
    {"udp", "10.0.0.1|10.0.0.2|UDP|1 → 9999 Len=20",
     "02000000000202000000000108004500003012340000401154870a0000010a0000020001270f001c0000787878787878"
     "7878787878787878787878787878"},
    {"arp", "02:00:00:00:00:01|Broadcast|ARP|Who has 10.0.0.2? Tell 10.0.0.1",
     "ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002"},
    {"echo", "10.0.0.1|10.0.0.2|ICMP|Echo (ping) request  id=0x0102, seq=3/768, ttl=64",
     "02000000000202000000000108004500003012340000400154970a0000010a0000020800383c01020003797979797979"
     "7979797979797979797979797979"},
    {"reply", "10.0.0.2|10.0.0.1|ICMP|Echo (ping) reply    id=0x0102, seq=3/768, ttl=64 (request in 6)",
     "02000000000202000000000108004500003012340000400154970a0000020a0000010000403c01020003797979797979"
     "7979797979797979797979797979"},
    {"toobig", "10.0.0.1|10.0.0.2|ICMP|Destination unreachable (Fragmentation needed)",
     "02000000000202000000000108004500007612340000400154510a0000010a0000020304b698000005004500005a1234"
     "00004011e70bc0a80001c0a800029c402118004600000800000000000500020000000002020000000001080045000028"
     "123400004006549a0a0000010a000002045708ae000003e8000007d0501001f400000000"},
    {"ns", "fe80::1|ff02::1:ff00:5|ICMPv6|Neighbor Solicitation for fd00::5 from 02:00:00:00:00:01",
     "02000000000202000000000186dd6000000000203afffe800000000000000000000000000001ff020000000000000000"
     "0001ff00000587007c1100000000fd0000000000000000000000000000050101020000000001"},
    {"na", "fd00::5|fe80::1|ICMPv6|Neighbor Advertisement fd00::5 (sol, ovr) is at 02:00:00:00:00:02",
     "02000000000202000000000186dd6000000000203afffd000000000000000000000000000005fe800000000000000000"
     "00000000000188001b1460000000fd0000000000000000000000000000050201020000000002"},
    {"first", "10.0.0.1|10.0.0.2|IPv4|Fragmented IP protocol (proto=UDP 17, off=0, ID=1234)",
     "02000000000202000000000108004500003c123420004011347b0a0000010a0000020001270f00640000787878787878"
     "7878787878787878787878787878787878787878787878787878"},
    {"last", "10.0.0.1|10.0.0.2|UDP|1 → 9999 Len=92",
     "02000000000202000000000108004500005012340005401154620a0000010a0000027878787878787878787878787878"
     "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"},
    {"first6", "fd00::1|fd00::2|IPv6|IPv6 fragment (off=0 more=y ident=0x00000009 nxt=17)",
     "02000000000202000000000186dd6000000000302c40fd000000000000000000000000000001fd000000000000000000"
     "00000000000211000001000000090001270f006400007878787878787878787878787878787878787878787878787878"
     "787878787878"},
    {"last6", "fd00::1|fd00::2|UDP|1 → 9999 Len=92 [ILLEGAL CHECKSUM (0)]",
     "02000000000202000000000186dd6000000000442c40fd000000000000000000000000000001fd000000000000000000"
     "000000000002110000280000000978787878787878787878787878787878787878787878787878787878787878787878"
     "7878787878787878787878787878787878787878787878787878"},
    {"extended", "fd00::1|fd00::99|UDP|1 → 9999 Len=1 [ILLEGAL CHECKSUM (0)]",
     "02000000000202000000000186dd6000000000310040fd000000000000000000000000000001fd000000000000000000"
     "0000000000023c000104000000002b000104000000001102040100000000fd0000000000000000000000000000990001"
     "270f0009000078"},
    {"igmp",
     "10.0.0.1|10.0.0.2|IGMPv3|Membership Report / Join group 239.1.1.4 for any sources / Join group "
     "239.1.1.3 for source {1.1.1.1}",
     "02000000000202000000000108004500003012340000400254960a0000010a000002220000000000000204000000ef01"
     "010403000001ef01010301010101"},
    {"sctp", "10.0.0.1|10.0.0.2|SCTP|SACK (Ack=0, Arwnd=0) DATA (TSN=0) ",
     "02000000000202000000000108004500004412340000408454000a0000010a00000203e807d000000001000000000300"
     "00100000000000000000000000000003001400000000000000000000000000000000"},
    {"gre", "172.20.0.1|172.20.0.2|TCP|1111 → 2222 [ACK] Seq=1000 Ack=2000 Win=500 Len=0",
     "02000000000202000000000108004500004412340000402f54550a0000010a0000022000080000000005450000281234"
     "000040061071ac140001ac140002045708ae000003e8000007d0501001f400000000"},
    {"geneve", "172.20.0.1|172.20.0.2|UDP|1 → 9999 Len=20",
     "02000000000202000000000108004500006a123400004011e6fbc0a80001c0a800029c4017c100560000020065580000"
     "05000102030100000000020000000002020000000001080045000030123400004011105eac140001ac1400020001270f"
     "001c00007878787878787878787878787878787878787878"},
    {"lldp", "02:00:00:00:00:01|LLDP_Multicast|LLDP|MA/02:00:00:00:00:02 IN/eth0 120 SysN=router ",
     "0180c200000e02000000000188cc02070402000000000204050565746830060200780a06726f757465720000"},
    {"stp",
     "02:00:00:00:00:01|Spanning-tree-(for-bridges)_00|STP|RST. Root = 32768/1/02:00:00:00:00:01  Cost = 4  "
     "Port = 0x8002",
     "0180c20000000200000000010027424203000002023c8001020000000001000000048000020000000002800201001400"
     "02000f0000"},
    {"esp", "10.0.0.1|10.0.0.2|ESP|ESP (SPI=0x12345678)",
     "02000000000202000000000108004500004412340000403254520a0000010a0000021234567800000001000000000000"
     "00000000000000000000000000000000000000000000000000000000000000000000"},
};

enum { FRAMES = sizeof frames / sizeof *frames, MOST_BYTES = 512 };

static size_t unhex(const char *hex, uint8_t *bytes) {
    size_t size = 0;
    for (unsigned octet; sscanf(hex + 2 * size, "%2x", &octet) == 1; size++)
        bytes[size] = (uint8_t)octet;
    return size;
}

/* Chance: the same at each run. */

static uint64_t state = 1;

static uint32_t chance(uint32_t below) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % below;
}

static void write_columns(vx_text *text, const vx_seen *seen) {
    text->size = 0;
    vx_end_write(text, seen->source);
    vx_text_byte(text, '|');
    vx_end_write(text, seen->destination);
    vx_text_byte(text, '|');
    vx_text_string(text, seen->protocol);
    vx_text_byte(text, '|');
    vx_info_write(text, seen, NULL);
}

static void test_columns(void) {
    vx_fragments *fragments = vx_fragments_new(16, 7);
    vx_echoes *echoes = vx_echoes_new(16, 7);
    vx_text text = {0};
    static vx_seen seen;
    for (size_t i = 0; i < FRAMES; i++) {
        uint8_t bytes[MOST_BYTES];
        uint32_t size = (uint32_t)unhex(frames[i].frame, bytes);
        vx_seen_read(&seen, bytes, size, size, VX_LINK_EN10MB, NULL, 0);
        CHECK(vx_fragments_take(fragments, &seen, 0, NULL, 0) >= 0);
        write_columns(&text, &seen);
        vx_echo_write(&text, vx_echoes_take(echoes, &seen, i + 1));
        if (text.size != strlen(frames[i].columns) || memcmp(text.at, frames[i].columns, text.size) != 0) {
            failures++;
            fprintf(stderr, "%s: expected %s\n    found %.*s\n", frames[i].name, frames[i].columns,
                    (int)text.size, text.at);
        }
        checks++;
        CHECK(seen.length == size);
    }
    vx_text_free(&text);
    vx_echoes_free(echoes);
    vx_fragments_free(fragments);
}

static void test_broken_frames(void) {
    static const uint32_t links[] = {VX_LINK_EN10MB, VX_LINK_EN10MB, VX_LINK_EN10MB, VX_LINK_RAW,
                                     VX_LINK_SLL,    VX_LINK_SLL2,   VX_LINK_NULL,   77};
    vx_fragments *fragments = vx_fragments_new(16, 7);
    vx_echoes *echoes = vx_echoes_new(16, 7);
    vx_text text = {0};
    static vx_seen seen;
    vx_segment segment;
    for (unsigned round = 0; round < 200000; round++) {
        uint8_t bytes[MOST_BYTES];
        size_t size = unhex(frames[chance(FRAMES)].frame, bytes);
        /* Often the length fields near the beginning, and often short. */
        for (unsigned changes = chance(4); changes > 0; changes--)
            bytes[chance(2) ? chance((uint32_t)size) : chance(60) % size] = (uint8_t)chance(256);
        uint32_t captured = chance(3) ? (uint32_t)size : chance((uint32_t)size + 1);
        uint32_t length = chance(3) ? (uint32_t)size : captured + chance(100000);
        uint8_t *alone = malloc(captured > 0 ? captured : 1);
        if (alone == NULL)
            abort();
        memcpy(alone, bytes, captured);
        vx_seen_read(&seen, alone, captured, length, links[chance(sizeof links / sizeof *links)], NULL, 0);
        CHECK(seen.told_captured <= seen.told_length);
        CHECK(vx_fragments_take(fragments, &seen, chance(2), NULL, 0) >= 0);
        write_columns(&text, &seen);
        vx_echo_write(&text, vx_echoes_take(echoes, &seen, round));
        if (vx_segment_of(&seen, &segment)) {
            /* All of it may be read. */
            uint64_t sum = vx_checksum(segment.options, segment.options_size, 0);
            sum += vx_checksum(seen.payload, seen.payload_captured, 0);
            CHECK(sum <= 2 * 0xFFFF);
            vx_stream_note note = {.sequence = 1, .notes = chance(1 << 15), .duplicate_of = round};
            vx_notes_write(&text, &note);
            vx_info_write(&text, &seen, &note);
        } else if (seen.payload != NULL) {
            CHECK(vx_checksum(seen.payload, seen.payload_captured, 0) <= 0xFFFF);
        }
        free(alone);
    }
    CHECK(!text.failed);
    vx_text_free(&text);
    vx_echoes_free(echoes);
    vx_fragments_free(fragments);
}

/* A fragment of a UDP datagram of `total` bytes, from `offset` on. */
static uint32_t make_fragment(uint8_t bytes[64], uint16_t identification, unsigned offset, unsigned size,
                              bool more) {
    static const uint8_t header[20] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
    memset(bytes, 0, 64);
    memcpy(bytes, header, sizeof header);
    bytes[3] = (uint8_t)(20 + size);
    bytes[4] = (uint8_t)(identification >> 8);
    bytes[5] = (uint8_t)identification;
    bytes[6] = (uint8_t)((more ? 0x20 : 0) | offset >> 11);
    bytes[7] = (uint8_t)(offset >> 3);
    if (offset == 0)
        memcpy(bytes + 20, "\x00\x01\x27\x0F\x00\x10\x00\x00", 8);
    return 20 + size;
}

static int take_fragment(vx_fragments *fragments, vx_seen *seen, uint64_t stage, uint16_t identification,
                         unsigned offset, unsigned size, bool more) {
    static uint8_t bytes[64];
    uint32_t length = make_fragment(bytes, identification, offset, size, more);
    vx_seen_read(seen, bytes, length, length, VX_LINK_IPV4, NULL, 0);
    return vx_fragments_take(fragments, seen, stage, NULL, 0);
}

static void test_fragments_give_way(void) {
    vx_fragments *fragments = vx_fragments_new(1, 3); /* which are 16 */
    static vx_seen seen;
    for (uint16_t id = 0; id < 20; id++)
        CHECK(take_fragment(fragments, &seen, 0, id, 0, 8, true) == 0);
    CHECK(vx_fragments_forgotten(fragments) == 4);
    CHECK(take_fragment(fragments, &seen, 0, 0, 8, 8, false) == 0); /* gave way; now 4 does */
    CHECK(take_fragment(fragments, &seen, 0, 5, 8, 8, false) == 1);
    CHECK(seen.tells == VX_TELLS_UDP && seen.payload_length == 8 && seen.source_port == 1);
    CHECK(take_fragment(fragments, &seen, 1, 6, 8, 8, false) == 0); /* at another stage */
    CHECK(take_fragment(fragments, &seen, 0, 7, 8, 8, false) == 1);
    vx_fragments_free(fragments);
}

/* Holes may be many, but not without end. */
static void test_too_many_holes(void) {
    vx_fragments *fragments = vx_fragments_new(16, 3);
    static vx_seen seen;
    for (unsigned i = 0; i < VX_FRAGMENT_RANGES; i++)
        CHECK(take_fragment(fragments, &seen, 0, 9, 16 * i, 8, true) == 0);
    CHECK(vx_fragments_forgotten(fragments) == 0);
    for (unsigned i = 0; i + 1 < VX_FRAGMENT_RANGES; i++)
        CHECK(take_fragment(fragments, &seen, 0, 9, 16 * i + 8, 8, true) == 0);
    CHECK(take_fragment(fragments, &seen, 0, 9, 16 * VX_FRAGMENT_RANGES - 8, 8, false) == 1);
    for (unsigned i = 0; i <= VX_FRAGMENT_RANGES; i++)
        CHECK(take_fragment(fragments, &seen, 0, 9, 16 * i, 8, true) == 0);
    CHECK(vx_fragments_forgotten(fragments) == 1);
    vx_fragments_free(fragments);
}

static void test_no_memory(void) {
    for (size_t nth = 1; nth <= 4; nth++) {
        failing = nth;
        CHECK(vx_fragments_new(16, 1) == NULL);
    }
    failing = 0;
    vx_fragments *fragments = vx_fragments_new(16, 1);
    static vx_seen seen;
    failing = 1; /* taking needs none */
    CHECK(take_fragment(fragments, &seen, 0, 1, 0, 8, true) == 0);
    CHECK(take_fragment(fragments, &seen, 0, 1, 8, 8, false) == 1);
    failing = 0;
    vx_fragments_free(fragments);
    vx_fragments_free(NULL);
}

int main(void) {
    test_columns();
    test_broken_frames();
    test_fragments_give_way();
    test_too_many_holes();
    test_no_memory();
    fprintf(stderr, "%u checks, %u failures\n", checks, failures);
    return failures > 0;
}
