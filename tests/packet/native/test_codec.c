/* Tests of the C codec that need no Python. From the root of the repository:
 *
 *     cc -std=c11 -g -fsanitize=address,undefined -Ivxtool/packet/native tests/packet/native/test_codec.c \
 *         vxtool/packet/native/codec.c -o test_codec && ./test_codec
 *
 * Packets are decoded from blocks of just their size, so that the sanitizers see every byte read too far. */
#include "codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned checks;
static unsigned failures;

static void check(bool good, const char *what, size_t number) {
    checks++;
    if (!good) {
        failures++;
        printf("failed: %s (%zu)\n", what, number);
    }
}

/* A ping through VXLAN as tcpdump -i any records it: SLL2, IPv4, UDP 8472, VXLAN, Ethernet, IPv4, ICMP. */
static const uint8_t ping[] = {
    0x08, 0x00, 0,    0,    0,    0,    0,    3,    0,   1,    0,    6,    0x52, 0x54, 0,    0,    0,    1,
    0,    0,    0x45, 0,    0,    0x56, 0,    1,    0,   0,    0x40, 0x11, 0,    0,    192,  168,  10,   100,
    192,  168,  20,   100,  0xc8, 0x0d, 0x21, 0x18, 0,   0x42, 0,    0,    8,    0,    0,    0,    0,    0x8f,
    0x61, 0,    2,    0,    0,    0,    0,    2,    2,   0,    0,    0,    0,    1,    0x08, 0x00, 0x45, 0,
    0,    0x24, 0x1c, 0x2a, 0x40, 0,    0x40, 1,    0,   0,    172,  20,   0,    107,  172,  20,   2,    4,
    8,    0,    0,    0,    0x0b, 0x54, 0,    1,    'p', 'i',  'n',  'g',  'd',  'a',  't',  'a',
};

/* An IPv6 TCP segment behind hop-by-hop, fragment and authentication headers, with TCP options. */
static const uint8_t chain[] = {
    0x60, 0, 0, 0, 0, 60,   0, 64, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0, 0, 0, 0, 0, 0, 1,  0,
    0,    0, 0, 0, 0, 0,    0, 0,  0, 0, 0, 0, 0, 0, 2, 44, 0,  1, 4, 0, 0, 0, 0, 51, 0,
    0,    1, 0, 0, 0, 7,    6, 1,  0, 0, 0, 0, 0, 0, 0, 0,  0,  0, 0, 1, 0, 2, 0, 0,  0,
    0,    0, 0, 0, 0, 0x80, 2, 0,  0, 0, 0, 0, 0, 1, 1, 8,  10, 0, 0, 0, 1, 0, 0, 0,  2,
};

/* Decode a copy in a block of its own, and check what holds for every packet. */
static bool decode_block(const uint8_t *data, size_t size, size_t length, enum vx_link link,
                         struct vx_packet *packet) {
    uint8_t *block = malloc(size ? size : 1);
    if (!block)
        abort();
    if (size)
        memcpy(block, data, size);
    bool good = vx_decode(block, size, length, link, NULL, 0, packet);
    size_t at = 0;
    for (size_t i = 0; good && i < packet->layer_count; i++) {
        check(packet->layers[i].offset == at, "layers follow each other", i);
        at += packet->layers[i].size;
    }
    if (good) {
        check(at == packet->payload && at <= size, "the payload follows the layers", at);
        check(packet->limit >= packet->payload, "the limit is behind the payload's begin", packet->limit);
    }
    check(good || packet->problem_count > 0, "a refusal has its reason", size);
    for (size_t i = 0; i < packet->problem_count; i++) {
        char text[VX_PROBLEM_TEXT];
        vx_problem_text(&packet->problems[i], text);
        check(strstr(text, " at offset ") && strstr(text, ": expected ") && strstr(text, ", found "),
              "a problem says where, what was expected and what was there", i);
    }
    free(block);
    return good;
}

static void test_layers_of_a_ping(void) {
    static const enum vx_kind kinds[] = {VX_SLL2, VX_IPV4, VX_UDP, VX_VXLAN, VX_ETHERNET, VX_IPV4, VX_ICMP};
    struct vx_packet packet;
    check(decode_block(ping, sizeof ping, 0, VX_LINK_SLL2, &packet), "a ping decodes", 0);
    check(packet.layer_count == 7 && packet.problem_count == 0, "it has seven layers", packet.layer_count);
    for (size_t i = 0; i < packet.layer_count; i++)
        check(packet.layers[i].kind == kinds[i], "the layers are those of the ping", i);
    check(packet.payload == sizeof ping - 8 && packet.limit == sizeof ping, "8 bytes are payload",
          packet.payload);
}

static void test_ipv6_chain(void) {
    struct vx_packet packet;
    check(decode_block(chain, sizeof chain, 0, VX_LINK_RAW, &packet), "a chain decodes", 0);
    check(packet.layer_count == 2 && packet.layers[0].size == 68 && packet.layers[1].kind == VX_TCP,
          "extension headers belong to the IPv6 layer", packet.layers[0].size);
}

static void test_cuts(void) {
    struct vx_packet packet;
    for (size_t size = 0; size <= sizeof ping; size++)
        check(decode_block(ping, size, sizeof ping, VX_LINK_SLL2, &packet) == (size >= 20),
              "only a cut link header is refused", size);
    for (size_t size = 0; size <= sizeof chain; size++)
        check(decode_block(chain, size, 0, VX_LINK_RAW, &packet), "raw IP is never refused", size);
}

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void test_damage(void) {
    static const enum vx_link links[] = {VX_LINK_NULL, VX_LINK_EN10MB, VX_LINK_RAW,  VX_LINK_LOOP,
                                         VX_LINK_SLL,  VX_LINK_IPV4,   VX_LINK_IPV6, VX_LINK_SLL2};
    uint32_t state = 1;
    uint8_t data[sizeof ping + sizeof chain];
    struct vx_packet packet;
    for (size_t round = 0; round < 200000; round++) {
        bool first = round % 2;
        size_t size = first ? sizeof ping : sizeof chain;
        memcpy(data, first ? ping : chain, size);
        for (uint32_t hits = next_random(&state) % 5; hits > 0; hits--)
            data[next_random(&state) % size] = (uint8_t)next_random(&state);
        enum vx_link link = first ? VX_LINK_SLL2 : VX_LINK_RAW;
        if (next_random(&state) % 4 == 0)
            link = links[next_random(&state) % 8];
        decode_block(data, next_random(&state) % 2 ? size : next_random(&state) % size,
                     next_random(&state) % 2 ? 0 : 100000, link, &packet);
    }
}

static void test_layers_end(void) {
    uint8_t data[14 + 400] = {[12] = 0x81};
    for (size_t at = 14; at < sizeof data; at += 4)
        data[at + 2] = 0x81;
    struct vx_packet packet;
    decode_block(data, sizeof data, 0, VX_LINK_EN10MB, &packet);
    check(packet.layer_count == VX_MAX_LAYERS && packet.problem_count == 1 &&
              packet.problems[0].problem == VX_LAYERS,
          "too many layers are a problem", packet.layer_count);
}

static void test_checksum(void) {
    /* The example of RFC 1071, section 3, and of a header with a printed checksum. */
    static const uint8_t words[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    static const uint8_t header[] = {0x45, 0, 0,    0x73, 0, 0, 0x40, 0,    0x40, 0x11,
                                     0,    0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,    0xc7};
    check(vx_checksum(words, sizeof words, 0) == (uint16_t)~0xddf2u, "RFC 1071's example", 0);
    check(vx_checksum(header, sizeof header, 0) == 0xb861, "an IPv4 header's", 0);
    check(vx_checksum(words, 3, 0) == (uint16_t)~0xf201u, "an odd byte counts as the high one", 0);
}

int main(void) {
    test_layers_of_a_ping();
    test_ipv6_chain();
    test_cuts();
    test_damage();
    test_layers_end();
    test_checksum();
    printf("codec: %u checks, %u failures\n", checks, failures);
    return failures > 0;
}
