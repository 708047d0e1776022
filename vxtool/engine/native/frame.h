/* One record's headers, as the engine needs them: the twin of vxtool/engine/frame.py, which says what each
 * rule is for. Nothing is allocated, and nothing behind the captured bytes is read.
 *
 * A frame is read from the outside in: link header, VLAN tags, IP, and, where it is UDP to a tunnel port, the
 * tunnel header and the inner frame. Two kinds of damage are told apart: a header that the record's original
 * length has no room for is malformed; one that only the capture cut off is cut. */
#ifndef VXTOOL_FRAME_H
#define VXTOOL_FRAME_H

#include <stdbool.h>
#include <stdint.h>

/* Directions, as in vxtool/engine/tables.py; those of container.h are the same numbers. */
enum { VX_UNKNOWN, VX_IN, VX_OUT, VX_OTHER, VX_BROADCAST, VX_MULTICAST };
/* What a datagram wears. */
enum { VX_PLAIN, VX_VXLAN, VX_GENEVE };
/* What a frame is. */
enum {
    VX_FRAME_NON_IP,
    VX_FRAME_MALFORMED,
    VX_FRAME_CUT,
    VX_FRAME_UNKNOWN_LINK,
    VX_FRAME_TAIL,
    VX_FRAME_DATAGRAM,
};
enum { VX_LINK_SLL = 113, VX_LINK_SLL2 = 276 };
enum { VX_ICMP = 1, VX_TCP = 6, VX_UDP = 17, VX_ICMPV6 = 58 };

/* What a key's shape says. An opaque frame has the outer addresses, identification and UDP length, and the
 * VNI as its transport; one that is no IP has its EtherType in place of a fragment offset. */
enum {
    VX_KEY_OPAQUE = 1,
    VX_KEY_NON_IP = 2,
    VX_KEY_IPV6 = 4, /* addresses of 16 bytes, else of 4 */
    VX_KEY_SOURCE_PORT = 8,
    VX_KEY_DESTINATION_PORT = 16,
    VX_KEY_TRANSPORT = 32,
};

/* Which datagram it is: what no hop may change. Fields that do not apply are 0, so that equal keys are equal
 * bytes. The payload is told apart by a hash of 64 bits, all else exactly. */
typedef struct {
    uint64_t payload; /* hash of up to 64 bytes behind the last parsed header, and of how many they are */
    uint32_t
        transport[4]; /* TCP: sequence, acknowledgement, timestamps; UDP: length; ICMP: type, code, rest */
    uint32_t identification;
    uint32_t length; /* of the IP packet where no router may fragment it */
    uint16_t source_port;
    uint16_t destination_port;
    uint16_t fragment_offset;
    uint8_t protocol;
    uint8_t shape;
    uint8_t addresses[32]; /* source, then destination */
} vx_key;

/* Which fragmented packet it is, beside where it was seen. */
typedef struct {
    uint32_t identification;
    uint16_t protocol;
    uint16_t version; /* of IP */
    uint8_t addresses[32];
} vx_fragment;

/* Of a frame that is neither DATAGRAM nor TAIL, only what the link header says is set. */
typedef struct {
    vx_key key;
    vx_fragment fragment; /* of a TAIL, and where `fragmented` */
    uint8_t kind;
    uint8_t direction;
    uint8_t wear;
    bool malformed; /* also of a DATAGRAM, whose inner headers then are opaque */
    bool cut;
    bool loopback;
    bool fragmented; /* the outermost packet is the first fragment of several: `fragment` is set; so it is of
                        TAIL */
    bool has_macs;
    bool outer_ipv6;
    uint8_t macs[12]; /* where `has_macs` */
    int64_t index;    /* SLL2 interface index, else -1 */
    uint8_t outer_addresses[32];
    uint32_t vni;
    uint32_t covered;      /* payload bytes of the outermost packet in this record */
    uint32_t wire_length;  /* its IP length in this record */
    uint32_t outer_length; /* and as a whole, its fragments together */
    uint32_t inner_length;
    uint32_t payload_length;
    uint32_t outer_id;
    uint16_t source_port; /* of the tunnel */
    uint16_t destination_port;
    uint16_t mss;
    uint8_t outer_ttl;
    uint8_t inner_ttl;
    uint8_t tcp_flags;
    uint8_t options; /* bytes of TCP options */
} vx_frame;

/* What is told of all records. */
typedef struct {
    const uint8_t *wears; /* by UDP destination port, 65,536 of them */
    int64_t budget;       /* bytes that every input captures, from the innermost IP header on */
    uint64_t seed;
} vx_reading;

/* How many bytes from the innermost IP header on every record holds that was cut at `snaplen` (0: no limit).
 */
int64_t vx_key_budget(uint32_t snaplen);

/* Read one record: its captured bytes, its original length, and what the container says of its direction. */
void vx_frame_read(vx_frame *frame, const vx_reading *reading, const uint8_t *data, uint32_t captured,
                   uint32_t length, uint32_t link_type, uint8_t direction);

#endif
