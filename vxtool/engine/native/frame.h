/* One record's headers, as the engine needs them: the twin of vxtool/engine/frame.py, which says what each
 * rule is for. Nothing is allocated, and nothing behind the captured bytes is read.
 *
 * A frame is read from the outside in: link header, VLAN tags, IP, and, where it is UDP to a tunnel port, the
 * tunnel header and the inner frame. Two kinds of damage are told apart: a header that the record's original
 * length has no room for is malformed; one that only the capture cut off is cut. */
#ifndef VXTOOL_FRAME_H
#define VXTOOL_FRAME_H

#include "table.h"

/* Directions, as in vxtool/engine/tables.py; those of container.h are the same numbers. */
enum { VX_UNKNOWN, VX_IN, VX_OUT, VX_OTHER, VX_BROADCAST, VX_MULTICAST };
/* What a datagram wears. */
enum { VX_PLAIN, VX_VXLAN, VX_GENEVE };
/* A port's tunnel may be VXLAN-GPE too, which is worn as VXLAN. */
enum { VX_VXLAN_GPE = 3 };
enum { VX_GPE_WITH_NEXT = 0x04 }; /* flag P of VXLAN-GPE */

/* What VXLAN-GPE holds, by its next protocol (draft-ietf-nvo3-vxlan-gpe, section 3.2): IPv4, IPv6, Ethernet,
 * NSH (RFC 8300), MPLS; 0: what is not known. */
uint16_t vx_gpe_ethertype(uint8_t next);
/* What a frame is. */
enum {
    VX_FRAME_NON_IP,
    VX_FRAME_MALFORMED,
    VX_FRAME_CUT,
    VX_FRAME_UNKNOWN_LINK,
    VX_FRAME_TAIL,
    VX_FRAME_DATAGRAM,
};
enum { VX_LINK_ETHERNET = 1, VX_LINK_SLL = 113, VX_LINK_SLL2 = 276 };
enum { VX_ICMP = 1, VX_TCP = 6, VX_UDP = 17, VX_ICMPV6 = 58 };

enum { VX_UDP_HEADER = 8 };
/* Odd things about a tunnel's packet. */
enum {
    VX_INVALID_HEADER = 1, /* VXLAN whose VNI is not valid (the I flag), Geneve of another version */
    VX_GROUP_POLICY = 2,
    VX_RESERVED_BITS = 4,
    VX_NO_TUNNEL = 8, /* to a tunnel's port, and none */
    VX_NESTED = 16,   /* a tunnel inside */
    VX_VERIFIED_CHECKSUM = 32,
    VX_WRONG_CHECKSUM = 64,
};
/* UDP datagrams above this are not verified: such sizes may be super-frames. */
enum { VX_MOST_VERIFIED = 1280 };

/* What a key's shape says. An opaque frame has the outer addresses, identification and UDP length, and the
 * VNI as its transport; one that is no IP has its EtherType in place of a fragment offset. */
enum {
    VX_KEY_OPAQUE = 1,
    VX_KEY_NON_IP = 2,
    VX_KEY_IPV6 = 4, /* addresses of 16 bytes, else of 4 */
    VX_KEY_SOURCE_PORT = 8,
    VX_KEY_DESTINATION_PORT = 16,
    /* Of the flows that were folded (fold.h) alone: what is left of them, and whether the addresses are those
     * of their tunnel. Their protocol is VX_ICMP where it was ICMP that is no echo, else 0. */
    VX_KEY_FOLDED = 32,
    VX_KEY_OUTER = 64,
};
/* In a key's length: its transport is set. */
#define VX_KEY_TRANSPORT (UINT32_C(1) << 31)

/* Between whom. Fields that do not apply are 0, so that equal ends are equal bytes. */
typedef struct {
    uint16_t source_port;
    uint16_t destination_port;
    uint16_t fragment_offset;
    uint8_t protocol;
    uint8_t shape;
    uint8_t addresses[32]; /* source, then destination */
} vx_ends;

/* Which datagram it is: what no hop may change; zeros as in vx_ends. The payload is told apart by a hash of
 * 64 bits, all else exactly. */
typedef struct {
    uint64_t payload; /* hash of up to 64 bytes behind the last parsed header, and of how many they are */
    /* TCP: sequence, acknowledgement, timestamps, all as the wire has them; UDP: length; ICMP: type, code,
     * rest. */
    uint32_t transport[4];
    uint32_t identification;
    uint32_t length; /* of the IP packet where no router may fragment it */
    vx_ends ends;
} vx_key;

/* A key and what is looked up by it. */
typedef struct {
    vx_key key;
    uint32_t tag;      /* of the key's hash */
    uint32_t flow_tag; /* of its flow's, going by one VNI */
} vx_tagged_key;

/* What of a frame is kept with its datagram. What its key says is not repeated. */
typedef struct {
    uint32_t vni;
    uint32_t outer_id;
    uint32_t outer_length; /* of the outermost IP packet as a whole, its fragments together */
    uint32_t inner_length;
    uint32_t payload_length;
    uint16_t outer_header; /* of that packet, extension headers included, one of a fragment not */
    uint16_t source_port;  /* of the tunnel */
    uint16_t mss;
    uint8_t direction;
    uint8_t wear;
    uint8_t outer_ttl;
    uint8_t inner_ttl;
    uint8_t tcp_flags; /* of ICMP echo VX_ECHO_REQUEST or VX_ECHO_REPLY */
    uint8_t options;   /* bytes of TCP options */
} vx_traits;

/* What a flow of ICMP echo was seen to hold, in the place of TCP's flags. */
enum { VX_ECHO_REQUEST = 1, VX_ECHO_REPLY = 2 };

/* The VNI, or -1 where there is none. */
static inline int32_t vx_vni_of(const vx_traits *traits) {
    return traits->wear != VX_PLAIN ? (int32_t)traits->vni : -1;
}

/* Which fragmented packet it is, beside where it was seen. */
typedef struct {
    uint32_t identification;
    uint16_t protocol;
    uint16_t version; /* of IP */
    uint8_t addresses[32];
} vx_fragment;

/* What a tunnel's packet wears. */
typedef struct {
    const uint8_t *addresses; /* 8 bytes of the frame, or 32: source, then destination */
    uint16_t destination_port;
    uint8_t wear;
    bool ipv6;
} vx_outer;

/* One frame. Of one that is neither DATAGRAM nor TAIL, only what the link header says is set. */
typedef struct {
    vx_key *key; /* written to, as are */
    vx_traits *traits;
    uint8_t kind;
    bool malformed; /* also of a DATAGRAM, whose inner headers then are opaque */
    bool cut;
    bool loopback;
    uint8_t odd;      /* VX_INVALID_HEADER and so on */
    bool fragmented;  /* the outermost packet is the first fragment of several: `fragment` is set; so it is of
                         TAIL */
    vx_outer outer;   /* of a DATAGRAM that wears something */
    int64_t index;    /* SLL2 interface index, or -1 */
    uint32_t covered; /* payload bytes of the outermost packet in this record, and */
    uint32_t wire_length; /* its IP length there: where it is a fragment */
    const uint8_t *macs;  /* 12 bytes of the frame, where no direction is known but by them; else NULL */
    vx_fragment fragment;
    const uint8_t *quote; /* of an ICMP error of a packet too big: what stands behind its header; else NULL */
    uint32_t quote_size;  /* captured */
    uint32_t quoted_mtu;
} vx_frame;

/* What hashes are mixed with: made of the seed, so that nobody can make captures whose hashes meet. */
typedef struct {
    uint64_t words[8];
} vx_secrets;

void vx_secrets_init(vx_secrets *secrets, uint64_t seed);

/* What a flow's key has of its datagrams': without what only some of them have. That of a usual one has all.
 */
vx_ends vx_flow_ends(const vx_ends *ends);

static inline bool vx_are_flow_ends(const vx_ends *ends) {
    return !(ends->shape & (VX_KEY_OPAQUE | VX_KEY_NON_IP)) && ends->fragment_offset == 0;
}

/* Whether keys are equal: behind the addresses of IPv4 both have zeros. */
static inline bool vx_same_key(const vx_key *one, const vx_key *other) {
    return vx_same(one, other, offsetof(vx_key, ends) + offsetof(vx_ends, addresses) + 8) &&
           (!(one->ends.shape & VX_KEY_IPV6) ||
            vx_same(one->ends.addresses + 8, other->ends.addresses + 8, 24));
}

/* The hash of a word and two addresses. */
static inline uint64_t vx_hash_addressed(uint64_t word, const uint8_t *addresses, bool ipv6,
                                         const vx_secrets *secrets) {
    const uint64_t *words = secrets->words;
    uint64_t hash = vx_mix(word ^ words[0], vx_load64(addresses) ^ words[1]);
    if (ipv6)
        hash = vx_mix(vx_mix(vx_load64(addresses + 8) ^ words[2], vx_load64(addresses + 16) ^ hash),
                      vx_load64(addresses + 24) ^ words[3]);
    return hash;
}

/* What ends are besides addresses, and two numbers, as words. Compilers make one load of it where they lie in
 * memory, and none where they are in registers: to load a word whose parts have just been written takes long.
 */
static inline uint64_t vx_word_of_ends(uint16_t source_port, uint16_t destination_port,
                                       uint16_t fragment_offset, uint8_t protocol, uint8_t shape) {
    return source_port | (uint64_t)destination_port << 16 | (uint64_t)fragment_offset << 32 |
           (uint64_t)protocol << 48 | (uint64_t)shape << 56;
}

static inline uint64_t vx_word_of(uint32_t low, uint32_t high) { return low | (uint64_t)high << 32; }

/* The hash of ends: of a key's, or of a flow's. */
static inline uint64_t vx_hash_ends(const vx_ends *ends, const vx_secrets *secrets) {
    uint64_t word = vx_word_of_ends(ends->source_port, ends->destination_port, ends->fragment_offset,
                                    ends->protocol, ends->shape);
    return vx_hash_addressed(word, ends->addresses, ends->shape & VX_KEY_IPV6, secrets);
}

/* The tag of a fragmented packet, wherever it was seen. */
static inline uint32_t vx_fragment_tag(uint32_t identification, uint16_t protocol, uint16_t version,
                                       const uint8_t *addresses, const vx_secrets *secrets) {
    uint64_t word = vx_word_of(identification, protocol | (uint32_t)version << 16);
    return vx_tag(vx_hash_addressed(word, addresses, version == 6, secrets));
}

static inline uint32_t vx_flow_tag(uint64_t ends_hash, int32_t vni, const vx_secrets *secrets) {
    return vx_tag(vx_mix(ends_hash ^ (uint32_t)vni, secrets->words[4]));
}

/* `transport` and `numbers`, identification and length, are words. */
static inline uint32_t vx_key_tag(uint64_t ends_hash, uint64_t payload, const uint64_t transport[2],
                                  uint64_t numbers, const vx_secrets *secrets) {
    const uint64_t *words = secrets->words;
    uint64_t hash = vx_mix(payload ^ ends_hash, transport[0] ^ words[5]);
    return vx_tag(vx_mix(hash ^ transport[1] ^ words[6], numbers ^ words[7]));
}

/* Write the tags of a key, that of its flow going by this VNI (-1: none). */
static inline void vx_tag_key(vx_tagged_key *tagged, int32_t vni, const vx_secrets *secrets) {
    const vx_ends *ends = &tagged->key.ends;
    uint64_t hash = vx_hash_ends(ends, secrets);
    const vx_key *key = &tagged->key;
    const uint64_t transport[2] = {vx_word_of(key->transport[0], key->transport[1]),
                                   vx_word_of(key->transport[2], key->transport[3])};
    tagged->tag =
        vx_key_tag(hash, key->payload, transport, vx_word_of(key->identification, key->length), secrets);
    if (VX_RARELY(!vx_are_flow_ends(ends))) {
        vx_ends flow = vx_flow_ends(ends);
        hash = vx_hash_ends(&flow, secrets);
    }
    tagged->flow_tag = vx_flow_tag(hash, vni, secrets);
}

/* What is told of all records. */
typedef struct {
    const uint8_t *wears; /* by UDP destination port, 65,536 of them */
    int64_t budget;       /* bytes that every input captures, from the innermost IP header on */
    uint64_t seed;
    uint64_t no_payload; /* the hash of a key's payload where there is none */
} vx_reading;

void vx_reading_init(vx_reading *reading, const uint8_t *wears, uint64_t seed);

/* How many bytes from the innermost IP header on every record holds that was cut at `snaplen` (0: no limit).
 */
int64_t vx_key_budget(uint32_t snaplen);

/* MSS of a SYN into the traits, whose flags are set; the timestamps (RFC 7323) into the key. */
void vx_read_tcp_options(vx_key *key, vx_traits *traits, const uint8_t *at, const uint8_t *end);

/* An outer UDP checksum that does not fit what was captured, of which all is at hand. */
typedef struct {
    const uint8_t *addresses; /* of IP: 8 bytes, or 32 */
    const uint8_t *udp;
    uint32_t length;          /* as the UDP header has it */
    const uint8_t *transport; /* the innermost TCP, UDP or ICMP header */
    uint8_t protocol;
    bool ipv6;
} vx_checked;

/* VX_VERIFIED_CHECKSUM, and VX_WRONG_CHECKSUM where it is wrong. It is not where the sending machine had left
 * it to its card (linux, udp_set_csum in net/ipv4/udp.c): then it is the sum of the pseudo header alone, or
 * right once the innermost one is filled in, whose field holds a like sum. Such packets come by virtual
 * devices and never were on a wire. */
uint8_t vx_judge_sum(const vx_checked *checked);

/* Read one record: its captured bytes, its original length, and what the container says of its direction. The
 * frame's `key` and `traits` are set. */
void vx_frame_read(vx_frame *frame, const vx_reading *reading, const uint8_t *data, uint32_t captured,
                   uint32_t length, uint32_t link_type, uint8_t direction);

#endif
