/* One record as a packet list sees it: the codec's layers, and what columns and filters ask of them.
 *
 * Where there is a tunnel, "inner" is the innermost frame; all that is said without "outer" is of it.
 * Pointers are into the record's bytes and good as long as these. */
#ifndef VXTOOL_SEEN_H
#define VXTOOL_SEEN_H

#include "codec.h"

enum { VX_END_NONE, VX_END_IPV4, VX_END_IPV6, VX_END_MAC };

/* Who sent it, or to whom. */
typedef struct {
    uint8_t kind;
    const uint8_t *octets; /* 4, 16 or 6 of them */
} vx_end;

enum { VX_NO_TRANSPORT = -1 };

/* What the info column tells of; `told` is where that begins. */
enum {
    VX_TELLS_NOTHING,  /* an unknown link type */
    VX_TELLS_LINK,     /* a frame of neither IP nor ARP: what follows its link header */
    VX_TELLS_CUT_LINK, /* a link header that is not whole */
    VX_TELLS_ARP,
    VX_TELLS_BAD_IPV4, /* what should be an IP header is not */
    VX_TELLS_BAD_IPV6,
    VX_TELLS_BAD_IP,   /* either, on a link that does not say which */
    VX_TELLS_FRAGMENT, /* the IP header of a fragment, the outermost that is one */
    VX_TELLS_IP,       /* what follows the innermost IP header, which is none of these: */
    VX_TELLS_TCP,
    VX_TELLS_UDP,
    VX_TELLS_ICMP,
    VX_TELLS_ICMPV6,
    VX_TELLS_TUNNEL, /* what follows a UDP header, or a tunnel header in which nothing is known */
};

typedef struct {
    const uint8_t *data;
    uint32_t captured;
    uint32_t length; /* on the wire */
    struct vx_packet packet;
    vx_end source; /* as the columns show them: of the innermost IP, or of ARP and frames without IP, MACs */
    vx_end destination;
    uint8_t tells; /* VX_TELLS_TCP and so on */
    const uint8_t *told;
    uint32_t told_captured; /* bytes of it in the record, and */
    uint32_t told_length;   /* on the wire, by the lengths of the headers before it */
    const char
        *protocol;     /* as the column shows it, but for applications: "TCP", "ICMPv6", "ARP", ...; it may */
    char ethertype[8]; /* be this, so one of these is copied by reading again */

    enum vx_kind tunnel; /* of the outermost tunnel: VX_VXLAN, VX_GENEVE, or VX_NONE */
    int32_t vni;         /* the innermost; -1: none */
    int32_t network;     /* the VNI around `ip`: of a fragment, what it carries may have another; -1: none */
    vx_end outer_source; /* the outermost IP; VX_END_NONE where there is no tunnel */
    vx_end outer_destination;
    uint16_t outer_source_port;
    uint16_t outer_destination_port;

    const uint8_t *ip; /* the innermost IP header; NULL: none */
    bool is_ipv6;
    uint8_t ttl;       /* or hop limit */
    int16_t transport; /* the innermost IP's protocol behind extension headers; VX_NO_TRANSPORT: no IP */
    bool has_ports;    /* TCP or UDP, whose ports were captured */
    uint16_t source_port;
    uint16_t destination_port;
    const uint8_t *header;     /* of TCP, UDP, ICMP, ICMPv6 or ARP, but for TCP's options whole; NULL: none */
    const uint8_t *payload;    /* behind that header; NULL: none */
    uint32_t payload_captured; /* bytes of it in the record */
    uint32_t payload_length;   /* on the wire, by the length fields */
} vx_seen;

#endif
