/* One packet's bytes to its layers, without Python: the twin of vxtool/packet/decoder.py, whose docstring
 * tells how decoding goes.
 *
 * vx_decode checks every length once and hands back views: for each layer where its header begins and how
 * long it is, all of it inside the bytes that were given. Whoever reads fields of a header within that size
 * needs no check of its own. Nothing is allocated; the views are as valid as the bytes are. */
#ifndef VXTOOL_CODEC_H
#define VXTOOL_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vx_kind {
    VX_ETHERNET,
    VX_VLAN,
    VX_SLL,
    VX_SLL2,
    VX_LOOPBACK,
    VX_IPV4,
    VX_IPV6,
    VX_UDP,
    VX_TCP,
    VX_ICMP,
    VX_ICMPV6,
    VX_ARP,
    VX_VXLAN,
    VX_GENEVE,
    /* No layer: what stands in a layer's place in problems, and for "nothing follows". */
    VX_RECORD,
    VX_TCP_OPTION,
    VX_PACKET,
    VX_NONE,
};

enum {
    VX_MAX_LAYERS = 64,
    /* A layer has at most two problems, the record one. */
    VX_MAX_PROBLEMS = 2 * VX_MAX_LAYERS + 2,
    VX_PROBLEM_TEXT = 160,
};

enum vx_link {
    VX_LINK_NULL = 0,
    VX_LINK_EN10MB = 1,
    VX_LINK_RAW_BSD = 12,
    VX_LINK_RAW_OPENBSD = 14,
    VX_LINK_RAW = 101,
    VX_LINK_LOOP = 108,
    VX_LINK_SLL = 113,
    VX_LINK_IPV4 = 228,
    VX_LINK_IPV6 = 229,
    VX_LINK_SLL2 = 276,
};

enum vx_problem_kind {
    VX_SHORT,
    VX_VERSION,
    VX_HEADER,
    VX_TOTAL_LENGTH,
    VX_PAYLOAD_LENGTH,
    VX_LENGTH,
    VX_NO_LENGTH,
    VX_ADDRESS_LENGTHS,
    VX_VNI_FLAG,
    VX_OPTION_LENGTH,
    VX_LAYERS,
};

/* What is wrong, in numbers; vx_problem_text makes the line. */
struct vx_problem {
    enum vx_problem_kind problem;
    enum vx_kind layer;
    size_t offset, expected, found, also_found;
};

/* A header: `size` bytes from `offset` of the record on. */
struct vx_layer {
    enum vx_kind kind;
    size_t offset, size;
};

/* A UDP destination port that is a tunnel: VX_VXLAN or VX_GENEVE. */
struct vx_port {
    uint16_t port;
    enum vx_kind kind;
};

/* A decoded packet. The payload is from `payload` to `limit`, the padding behind it, both cut at the captured
 * end. */
struct vx_packet {
    struct vx_layer layers[VX_MAX_LAYERS];
    struct vx_problem problems[VX_MAX_PROBLEMS];
    size_t layer_count, problem_count, payload, limit;
};

static inline uint16_t vx_be16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static inline uint32_t vx_be32(const uint8_t *at) { return (uint32_t)vx_be16(at) << 16 | vx_be16(at + 2); }

/* The Internet checksum (RFC 1071) of `data`; `sum` is what the words before it add up to. */
uint16_t vx_checksum(const uint8_t *data, size_t size, uint64_t sum);

/* Whether vx_decode knows a link type. */
bool vx_link_known(long long link);

/* Decode `size` bytes of a packet that had `length` bytes on the wire (0: as many). `ports` are searched from
 * the first on; NULL stands for the usual ones. Returns true, or false where the bytes are too few for the
 * link header, which the first problem then tells. */
bool vx_decode(const uint8_t *data, size_t size, size_t length, enum vx_link link,
               const struct vx_port *ports, size_t port_count, struct vx_packet *packet);

/* Write the line for a problem, without a newline, into `text`. */
void vx_problem_text(const struct vx_problem *problem, char text[VX_PROBLEM_TEXT]);

/* Whether an IPv6 next header number is one of the extension headers that are walked over. */
bool vx_ipv6_is_extension(uint8_t kind);

/* The bytes that the extension header `kind` takes, of which `left` are there: 8 where that is cut off. */
size_t vx_ipv6_extension_size(uint8_t kind, const uint8_t *at, size_t left);

/* The bytes that the first TCP option of `left` takes: all for the end of options, 0 for an impossible
 * length. */
size_t vx_tcp_option_size(const uint8_t *at, size_t left);

/* Whether a loopback header that is little-endian or big-endian by guess is big-endian. */
bool vx_loopback_is_big(const uint8_t *at);

#endif
