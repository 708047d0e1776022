/* See frame.h for what is promised, and vxtool/engine/frame.py for the same in plain words. */
#include "frame.h"

#include "usual.h"

/* Link types, https://www.tcpdump.org/linktypes.html */
enum {
    LINK_NULL = 0,
    LINK_RAW_BSD = 12,
    LINK_RAW_OPENBSD = 14,
    LINK_RAW = 101,
    LINK_LOOP = 108,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
};
enum { ETHERTYPE_TEB = 0x6558 };
enum { ARPHRD_LOOPBACK = 772 };
enum { HEADER_AH = 51, HEADER_FRAGMENT = 44, HEADER_NONE = 59, MOST_EXTENSIONS = 16 };
enum { DCCP = 33, SCTP = 132, UDP_LITE = 136 };
enum { DEEPEST_IP = 102 };

/* How reading a header went: it is there, or it is not and why. */
typedef enum { READ, CUT, MALFORMED } reading;

/* The captured bytes of one record, and where it ended before it was clipped. Offsets are signed and wide:
 * they are sums of what headers claim. */
typedef struct {
    const uint8_t *data;
    int64_t captured;
    int64_t end;
} octets;

typedef struct {
    const uint8_t *addresses; /* source, then destination */
    int64_t length;
    int64_t header;
    int64_t payload; /* offset */
    uint32_t identification;
    uint32_t fragment_offset;
    uint8_t fragment_header; /* bytes that only a fragment has: the whole datagram is shorter by them */
    uint8_t version;
    uint8_t ttl;
    uint8_t protocol;
    bool dont_fragment;
    bool more_fragments;
} ip_header;

static inline uint16_t get16(const octets *bytes, int64_t at) {
    return (uint16_t)(bytes->data[at] << 8 | bytes->data[at + 1]);
}

static inline uint32_t get32(const octets *bytes, int64_t at) {
    return (uint32_t)get16(bytes, at) << 16 | get16(bytes, at + 2);
}

static inline reading need(const octets *bytes, int64_t at, int64_t size) {
    if (at + size <= bytes->captured)
        return READ;
    return at + size > bytes->end ? MALFORMED : CUT;
}

/* Nothing behind `end` belongs to the packet: it is padding, or an outer layer's. */
static inline void limit(octets *bytes, int64_t end) {
    bytes->end = end;
    if (bytes->captured > end)
        bytes->captured = end;
}

static inline int64_t at_least_0(int64_t value) { return value < 0 ? 0 : value; }

static inline int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

/* IP. */

/* Bytes of a packet whose length only the record tells: what records claim beyond that is no packet's, and
 * with a tunnel's headers around it would not fit 32 bits. */
#define LONGEST_TOLD INT32_MAX

static inline reading read_ipv4(ip_header *ip, octets *bytes, int64_t at) {
    reading status = need(bytes, at, 20);
    if (status != READ)
        return status;
    const uint8_t *header = bytes->data + at;
    ip->header = (header[0] & 15) * 4;
    if (ip->header < 20)
        return MALFORMED;
    /* Linux writes 0 where the packet is longer than 65,535 bytes (BIG TCP): the record tells the length. */
    ip->length = get16(bytes, at + 2);
    if (ip->length == 0)
        ip->length = least(bytes->end - at, LONGEST_TOLD);
    if (ip->length < ip->header || at + ip->length > bytes->end)
        return MALFORMED;
    limit(bytes, at + ip->length);
    status = need(bytes, at, ip->header);
    if (status != READ)
        return status;
    uint16_t flags = get16(bytes, at + 6);
    ip->identification = get16(bytes, at + 4);
    ip->dont_fragment = flags & 0x4000;
    ip->more_fragments = flags & 0x2000;
    ip->fragment_offset = (flags & 0x1fffU) * 8;
    ip->ttl = header[8];
    ip->protocol = header[9];
    ip->addresses = header + 12;
    ip->payload = at + ip->header;
    return READ;
}

static bool is_extension(uint8_t protocol) {
    switch (protocol) {
    case 0:   /* hop by hop */
    case 43:  /* routing */
    case 60:  /* destination options */
    case 135: /* mobility */
    case 139: /* HIP */
    case 140: /* shim6 */
        return true;
    default:
        return false;
    }
}

/* Walk over the extension headers from *at on. */
static reading skip_extensions(ip_header *ip, const octets *bytes, int64_t *at) {
    for (int i = 0; i < MOST_EXTENSIONS; i++) {
        bool extension = is_extension(ip->protocol);
        if (!extension && ip->protocol != HEADER_AH && ip->protocol != HEADER_FRAGMENT)
            return READ;
        reading status = need(bytes, *at, 8);
        if (status != READ)
            return status;
        const uint8_t *header = bytes->data + *at;
        uint8_t is = ip->protocol;
        ip->protocol = header[0];
        if (is != HEADER_FRAGMENT) {
            *at += 8 + header[1] * (extension ? 8 : 4);
            continue;
        }
        uint16_t flags = get16(bytes, *at + 2);
        ip->fragment_offset = flags & 0xfff8U;
        ip->more_fragments = flags & 1;
        ip->identification = get32(bytes, *at + 4);
        *at += 8;
        ip->fragment_header = ip->fragment_offset > 0 || ip->more_fragments ? 8 : 0;
        if (ip->fragment_offset > 0)
            return READ;
    }
    return MALFORMED;
}

static inline reading read_ipv6(ip_header *ip, octets *bytes, int64_t at) {
    reading status = need(bytes, at, 40);
    if (status != READ)
        return status;
    const uint8_t *header = bytes->data + at;
    int64_t payload_length = get16(bytes, at + 4);
    ip->protocol = header[6];
    ip->ttl = header[7];
    ip->addresses = header + 8;
    /* 0 with something behind it is a jumbogram (RFC 2675), with or without its option (BIG TCP). */
    if (payload_length == 0 && ip->protocol != HEADER_NONE)
        payload_length = least(bytes->end - at, LONGEST_TOLD) - 40;
    ip->length = 40 + payload_length;
    if (at + ip->length > bytes->end)
        return MALFORMED;
    limit(bytes, at + ip->length);
    ip->identification = 0;
    ip->dont_fragment = true;
    ip->more_fragments = false;
    ip->fragment_offset = 0;
    int64_t behind = at + 40;
    status = skip_extensions(ip, bytes, &behind);
    if (status != READ)
        return status;
    if (behind > bytes->end)
        return MALFORMED;
    ip->header = behind - at;
    ip->payload = behind;
    return READ;
}

static inline reading read_ip(ip_header *ip, octets *bytes, int64_t at) {
    reading status = need(bytes, at, 1);
    if (status != READ)
        return status;
    ip->fragment_header = 0;
    ip->version = bytes->data[at] >> 4;
    if (ip->version == 4)
        return read_ipv4(ip, bytes, at);
    return ip->version == 6 ? read_ipv6(ip, bytes, at) : MALFORMED;
}

/* Write both addresses to `to`, zeros behind those of IPv4. */
static inline void copy_addresses(uint8_t to[32], const ip_header *ip) {
    if (ip->version == 4) {
        memcpy(to, ip->addresses, 8);
        memset(to + 8, 0, 24);
    } else {
        memcpy(to, ip->addresses, 32);
    }
}

/* The innermost packet: its key, and what TCP says of sizes. */

void vx_read_tcp_options(vx_key *key, vx_traits *traits, const uint8_t *at, const uint8_t *end) {
    while (at < end) {
        uint8_t kind = at[0];
        if (kind == 0)
            return;
        if (kind == 1) {
            at++;
            continue;
        }
        if (end - at < 2 || at[1] < 2 || at[1] > end - at)
            return;
        uint8_t size = at[1];
        if (kind == 2 && size == 4 && traits->tcp_flags & 2)
            traits->mss = (uint16_t)vx_big16(at + 2);
        else if (kind == 8 && size == 10)
            memcpy(key->transport + 2, at + 2, 8);
        at += size;
    }
}

static inline void take_ports(vx_ends *ends, const octets *bytes, int64_t at) {
    ends->source_port = get16(bytes, at);
    ends->destination_port = get16(bytes, at + 2);
    ends->shape |= VX_KEY_SOURCE_PORT | VX_KEY_DESTINATION_PORT;
}

static inline reading read_tcp(vx_frame *frame, const octets *bytes, const ip_header *ip, int64_t *behind) {
    int64_t at = ip->payload;
    reading status = need(bytes, at, 20);
    if (status != READ)
        return status;
    int64_t size = (bytes->data[at + 12] >> 4) * 4;
    if (size < 20)
        return MALFORMED;
    status = need(bytes, at, size);
    if (status != READ)
        return status;
    *behind = at + size;
    frame->traits->tcp_flags = bytes->data[at + 13];
    frame->traits->options = (uint8_t)(size - 20);
    frame->traits->payload_length = (uint32_t)(ip->length - ip->header - size);
    memcpy(frame->key->transport, bytes->data + at + 4, 8);
    frame->key->length |= VX_KEY_TRANSPORT;
    take_ports(&frame->key->ends, bytes, at);
    if (size > 20)
        vx_read_tcp_options(frame->key, frame->traits, bytes->data + at + 20, bytes->data + *behind);
    return READ;
}

static reading read_icmp(vx_frame *frame, const octets *bytes, const ip_header *ip, int64_t *behind) {
    int64_t at = ip->payload;
    reading status = need(bytes, at, 8);
    if (status != READ)
        return status;
    *behind = at + 8;
    uint8_t kind = bytes->data[at];
    frame->key->transport[0] = kind;
    frame->key->transport[1] = bytes->data[at + 1];
    frame->key->transport[2] = get32(bytes, at + 4);
    frame->key->length |= VX_KEY_TRANSPORT;
    bool echo = ip->version == 4 ? kind == 0 || kind == 8 : kind == 128 || kind == 129;
    if (echo) {
        frame->key->ends.source_port = get16(bytes, at + 4);
        frame->key->ends.shape |= VX_KEY_SOURCE_PORT;
        frame->traits->tcp_flags = kind == 8 || kind == 128 ? VX_ECHO_REQUEST : VX_ECHO_REPLY;
    }
    uint8_t code = bytes->data[at + 1];
    if (ip->version == 4 ? kind == 3 && code == 4 : kind == 2 && code == 0) { /* RFC 1191, RFC 4443 */
        frame->quote = bytes->data + *behind;
        frame->quote_size = (uint32_t)(bytes->captured - *behind);
        frame->quoted_mtu = ip->version == 4 ? get16(bytes, at + 6) : get32(bytes, at + 4);
    }
    return READ;
}

/* Where the transport header ends, and what of it identifies the datagram. */
static inline reading read_transport(vx_frame *frame, const octets *bytes, const ip_header *ip,
                                     int64_t *behind) {
    int64_t at = ip->payload;
    reading status;
    switch (ip->protocol) {
    case VX_TCP:
        return read_tcp(frame, bytes, ip, behind);
    case VX_UDP:
        status = need(bytes, at, 8);
        if (status != READ)
            return status;
        *behind = at + 8;
        frame->traits->payload_length = (uint32_t)(ip->length - ip->header - 8);
        frame->key->transport[0] = get16(bytes, at + 4);
        frame->key->length |= VX_KEY_TRANSPORT;
        take_ports(&frame->key->ends, bytes, at);
        return READ;
    case VX_ICMP:
    case VX_ICMPV6:
        if ((ip->protocol == VX_ICMP) != (ip->version == 4))
            return READ;
        return read_icmp(frame, bytes, ip, behind);
    case DCCP:
    case SCTP:
    case UDP_LITE:
        status = need(bytes, at, 4);
        if (status == READ)
            take_ports(&frame->key->ends, bytes, at);
        return status;
    default:
        return READ;
    }
}

static inline void describe(vx_frame *frame, const octets *bytes, const ip_header *ip,
                            const vx_reading *told) {
    vx_key *key = frame->key;
    key->ends.shape = ip->version == 6 ? VX_KEY_IPV6 : 0;
    key->ends.protocol = ip->protocol;
    key->identification = ip->identification;
    key->ends.fragment_offset = (uint16_t)ip->fragment_offset;
    /* A router may fragment IPv4 without DF, and then the length of a fragment is not the datagram's. */
    key->length = ip->dont_fragment ? (uint32_t)ip->length : 0;
    copy_addresses(key->ends.addresses, ip);
    int64_t behind = ip->payload;
    int64_t taken = VX_KEY_PAYLOAD;
    if (ip->fragment_offset == 0) {
        reading status = read_transport(frame, bytes, ip, &behind);
        if (status != READ) {
            /* A router passes such a packet on all the same: it counts, without ports. */
            frame->malformed |= status == MALFORMED;
            frame->cut |= status == CUT;
            taken = 0;
        }
    }
    int64_t header = behind - ip->payload + ip->header;
    taken = at_least_0(least(least(taken, bytes->captured - behind), told->budget - header));
    key->payload = vx_hash(bytes->data + (taken > 0 ? behind : 0), (size_t)taken, told->seed);
}

/* Link headers. */

static inline reading skip_vlan_tags(const octets *bytes, uint16_t *ethertype, int64_t *at) {
    while (*ethertype == 0x8100 || *ethertype == 0x88a8 || *ethertype == 0x9100) {
        reading status = need(bytes, *at, 4);
        if (status != READ)
            return status;
        *ethertype = get16(bytes, *at + 2);
        *at += 4;
    }
    return READ;
}

/* SLL and SLL2 packet types (linux/if_packet.h, PACKET_*) as directions. */
static inline uint8_t direction_of(uint32_t packet_type) {
    static const uint8_t directions[] = {VX_IN, VX_BROADCAST, VX_MULTICAST, VX_OTHER, VX_OUT};
    return packet_type < sizeof directions ? directions[packet_type] : VX_UNKNOWN;
}

/* What a whole SLL2 header says but for the EtherType. */
static inline void read_sll2(vx_frame *frame, const uint8_t *header) {
    frame->index = vx_big32(header + 4);
    frame->loopback = vx_big16(header + 8) == ARPHRD_LOOPBACK;
    frame->traits->direction = direction_of(header[10]);
}

static reading read_raw(const octets *bytes, uint16_t *ethertype) {
    reading status = need(bytes, 0, 1);
    if (status != READ)
        return status;
    uint8_t version = bytes->data[0] >> 4;
    if (version != 4 && version != 6)
        return MALFORMED;
    *ethertype = version == 4 ? VX_ETHERTYPE_IPV4 : VX_ETHERTYPE_IPV6;
    return READ;
}

static reading read_loopback(const octets *bytes, uint16_t *ethertype, int64_t *at) {
    reading status = need(bytes, 0, 4);
    if (status != READ)
        return status;
    /* The address family, in the byte order of the machine that captured: small either way round. */
    uint32_t family = get32(bytes, 0);
    if (family >= 0x10000)
        family = family << 24 | (family & 0xff00) << 8 | (family >> 8 & 0xff00) | family >> 24;
    bool ipv6 = family == 10 || family == 24 || family == 28 || family == 30;
    *ethertype = family == 2 ? VX_ETHERTYPE_IPV4 : ipv6 ? VX_ETHERTYPE_IPV6 : 0;
    *at = 4;
    return READ;
}

/* The EtherType behind the link header, and where what follows begins. */
static reading read_link(vx_frame *frame, const octets *bytes, uint32_t link_type, uint16_t *ethertype,
                         int64_t *at) {
    reading status;
    *at = 0;
    *ethertype = 0;
    switch (link_type) {
    case VX_LINK_SLL2:
        status = need(bytes, 0, VX_SLL2_HEADER);
        if (status != READ)
            return status;
        read_sll2(frame, bytes->data);
        *ethertype = get16(bytes, 0);
        *at = VX_SLL2_HEADER;
        return skip_vlan_tags(bytes, ethertype, at);
    case VX_LINK_ETHERNET:
        status = need(bytes, 0, 14);
        if (status != READ)
            return status;
        if (frame->traits->direction == VX_UNKNOWN)
            frame->macs = bytes->data;
        *ethertype = get16(bytes, 12);
        *at = 14;
        return skip_vlan_tags(bytes, ethertype, at);
    case VX_LINK_SLL:
        status = need(bytes, 0, 16);
        if (status != READ)
            return status;
        frame->traits->direction = direction_of(get16(bytes, 0));
        frame->loopback = get16(bytes, 2) == ARPHRD_LOOPBACK;
        *ethertype = get16(bytes, 14);
        *at = 16;
        return skip_vlan_tags(bytes, ethertype, at);
    case LINK_RAW:
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
    case LINK_IPV4:
    case LINK_IPV6:
        return read_raw(bytes, ethertype);
    case LINK_NULL:
    case LINK_LOOP:
        return read_loopback(bytes, ethertype, at);
    default:
        frame->kind = VX_FRAME_UNKNOWN_LINK;
        return READ;
    }
}

/* Checksums. */

static bool is_left_to_card(const vx_checked *checked) {
    vx_sum pseudo = vx_pseudo_sum(checked->addresses, checked->ipv6, checked->length);
    if (vx_load16(checked->udp + 6) == vx_fold(pseudo))
        return true;
    if (checked->protocol != VX_TCP && checked->protocol != VX_UDP)
        return false;
    const uint8_t *field = checked->transport + (checked->protocol == VX_TCP ? 16 : 6);
    vx_sum sum = vx_add_octets(pseudo, checked->udp, (size_t)(checked->transport - checked->udp));
    vx_add_word(&sum, ~vx_load16(field) & UINT16_MAX);
    return vx_fold(sum) == UINT16_MAX;
}

uint8_t vx_judge_sum(const vx_checked *checked) {
    return is_left_to_card(checked) ? VX_VERIFIED_CHECKSUM : VX_VERIFIED_CHECKSUM | VX_WRONG_CHECKSUM;
}

/* Tunnels. */

uint16_t vx_gpe_ethertype(uint8_t next) {
    static const uint16_t known[] = {0, VX_ETHERTYPE_IPV4, VX_ETHERTYPE_IPV6, ETHERTYPE_TEB, 0x894f, 0x8847};
    return next < sizeof known / sizeof *known ? known[next] : 0;
}

/* What is odd about the header of a tunnel. */
static uint8_t odd_header(const uint8_t *header, uint8_t wear) {
    if (wear == VX_GENEVE) /* RFC 8926, section 3.4 */
        return (header[1] & 0x3f) != 0 || header[7] != 0 ? VX_RESERVED_BITS : 0;
    if (wear == VX_VXLAN_GPE) { /* draft-ietf-nvo3-vxlan-gpe, section 3.1: flags R R Ver Ver I P B O */
        uint8_t left = (header[0] & 0xc0) | header[1] | header[2] | header[7];
        left |= header[0] & VX_GPE_WITH_NEXT ? 0 : header[3];
        return (uint8_t)(((header[0] & 0x38) == 0x08 ? 0 : VX_INVALID_HEADER) |
                         (left != 0 ? VX_RESERVED_BITS : 0));
    }
    /* RFC 7348, section 5; draft-smith-vxlan-group-policy, section 2 */
    bool policy = header[0] & 0x80;
    uint8_t reserved = header[0] & 0x77;
    reserved |= header[7] | (policy ? header[1] & 0xb7 : header[1] | header[2] | header[3]);
    return (uint8_t)((header[0] & 0x08 ? 0 : VX_INVALID_HEADER) | (policy ? VX_GROUP_POLICY : 0) |
                     (reserved != 0 ? VX_RESERVED_BITS : 0));
}

/* Whether the innermost UDP datagram at `at` is a tunnel's, going by its header. */
static bool is_nested(const octets *bytes, int64_t at, uint8_t wear) {
    if (wear == VX_PLAIN || get16(bytes, at + 4) < 16 || at + 16 > bytes->captured)
        return false;
    const uint8_t *header = bytes->data + at + 8;
    if (wear != VX_GENEVE)
        return header[0] & 0x08;
    uint16_t ethertype = get16(bytes, at + 10);
    return header[0] >> 6 == 0 &&
           (ethertype == ETHERTYPE_TEB || ethertype == VX_ETHERTYPE_IPV4 || ethertype == VX_ETHERTYPE_IPV6);
}

/* What is odd about the innermost packet of a tunnel's, and its checksum where that can be told. */
static void look_inside(vx_frame *frame, const octets *bytes, const ip_header *outer, const ip_header *inner,
                        const vx_reading *told) {
    if (inner->fragment_offset > 0 || frame->cut || frame->malformed)
        return;
    uint8_t wear = inner->protocol == VX_UDP ? told->wears[get16(bytes, inner->payload + 2)] : VX_PLAIN;
    if (is_nested(bytes, inner->payload, wear))
        frame->odd |= VX_NESTED;
    const uint8_t *udp = bytes->data + outer->payload;
    int64_t length = get16(bytes, outer->payload + 4), frame_end = outer->payload + length;
    bool came_in = frame->traits->direction != VX_UNKNOWN && frame->traits->direction != VX_OUT;
    bool has_one = inner->protocol == VX_TCP || inner->protocol == VX_UDP ||
                   inner->protocol == (inner->version == 4 ? VX_ICMP : VX_ICMPV6);
    if (!came_in || frame->loopback || frame->fragmented || !has_one || wear != VX_PLAIN ||
        inner->more_fragments || vx_load16(udp + 6) == 0 || length == 0 || length > VX_MOST_VERIFIED ||
        frame_end > bytes->captured || inner->payload - inner->header + inner->length != frame_end)
        return;
    vx_checked checked = {
        .addresses = outer->addresses,
        .udp = udp,
        .length = (uint32_t)length,
        .transport = bytes->data + inner->payload,
        .protocol = inner->protocol,
        .ipv6 = outer->version == 6,
    };
    bool right = vx_is_summed_up(checked.addresses, checked.ipv6, udp, checked.length);
    frame->odd |= right ? VX_VERIFIED_CHECKSUM : vx_judge_sum(&checked);
}

static reading read_inner(vx_frame *frame, octets *bytes, int64_t at, uint16_t ethertype,
                          const ip_header *outer, const vx_reading *told) {
    int64_t start = at;
    reading status;
    if (ethertype == ETHERTYPE_TEB) {
        status = need(bytes, at, 14);
        if (status != READ)
            return status;
        ethertype = get16(bytes, at + 12);
        at += 14;
        status = skip_vlan_tags(bytes, &ethertype, &at);
        if (status != READ)
            return status;
    }
    if (ethertype == VX_ETHERTYPE_IPV4 || ethertype == VX_ETHERTYPE_IPV6) {
        ip_header ip;
        status = read_ip(&ip, bytes, at);
        if (status != READ)
            return status;
        frame->traits->inner_ttl = ip.ttl;
        frame->traits->inner_length = (uint32_t)ip.length;
        describe(frame, bytes, &ip, told);
        look_inside(frame, bytes, outer, &ip, told);
        return READ;
    }
    int64_t taken = at_least_0(least(least(VX_KEY_PAYLOAD, bytes->captured - start), told->budget));
    frame->key->ends.shape = VX_KEY_NON_IP;
    frame->key->ends.fragment_offset = ethertype;
    frame->key->length = frame->traits->inner_length;
    frame->key->payload = vx_hash(bytes->data + (taken > 0 ? start : 0), (size_t)taken, told->seed);
    return READ;
}

/* Read the tunnel header and the inner frame. *tunnel false: this is no tunnel packet after all. */
static inline reading read_tunnel(vx_frame *frame, octets *bytes, const ip_header *ip, uint8_t wear,
                                  const vx_reading *told, bool *tunnel) {
    int64_t udp = ip->payload;
    int64_t header = udp + 8;
    /* A UDP length of 0 is that of a datagram over 65,535 bytes (RFC 2675, BIG TCP). */
    int64_t udp_length = get16(bytes, udp + 4);
    if (udp_length == 0)
        udp_length = bytes->end - udp;
    *tunnel = false;
    if (udp_length < 16 || (!frame->fragmented && udp + udp_length > bytes->end)) {
        frame->malformed = true;
        frame->odd |= VX_NO_TUNNEL;
        return READ;
    }
    reading status = need(bytes, header, 8);
    if (status != READ)
        return status;
    uint16_t ethertype = ETHERTYPE_TEB;
    int64_t inner = header + 8;
    if (wear == VX_GENEVE) {
        ethertype = get16(bytes, header + 2);
        inner += (bytes->data[header] & 0x3f) * 4;
        if (bytes->data[header] >> 6 != 0) {
            frame->malformed = true;
            frame->odd |= VX_INVALID_HEADER;
            return READ;
        }
    } else if (wear == VX_VXLAN_GPE) {
        if (bytes->data[header] & VX_GPE_WITH_NEXT)
            ethertype = vx_gpe_ethertype(bytes->data[header + 3]);
    }
    int64_t frame_end = udp + udp_length; /* beyond this record where the outer packet is fragmented */
    if (inner > frame_end) {
        frame->malformed = true;
        frame->odd |= VX_NO_TUNNEL;
        return READ;
    }
    frame->odd |= odd_header(bytes->data + header, wear);
    *tunnel = true;
    if (wear == VX_VXLAN_GPE)
        wear = VX_VXLAN;
    frame->traits->wear = wear;
    frame->traits->vni = get32(bytes, header + 4) >> 8;
    frame->traits->source_port = get16(bytes, udp);
    frame->outer = (vx_outer){ip->addresses, get16(bytes, udp + 2), wear, ip->version == 6};
    frame->traits->outer_id = ip->identification;
    if (frame->fragmented) {
        frame->traits->outer_length = (uint32_t)(ip->header - ip->fragment_header + udp_length);
        /* The first fragment holds the headers; what it does not hold follows in the tails. */
        bytes->end = frame_end;
    } else {
        limit(bytes, frame_end);
    }
    frame->traits->inner_length =
        (uint32_t)at_least_0(frame_end - inner - (ethertype == ETHERTYPE_TEB ? 14 : 0));
    frame->traits->inner_ttl = 0;
    status = read_inner(frame, bytes, inner, ethertype, ip, told);
    if (status != READ) {
        frame->malformed |= status == MALFORMED;
        frame->cut |= status == CUT;
        /* Told apart by what is outside, since the inside cannot be read. */
        vx_key *key = frame->key;
        key->ends.shape = (uint8_t)(VX_KEY_OPAQUE | (ip->version == 6 ? VX_KEY_IPV6 : 0));
        key->identification = ip->identification;
        key->length = (uint32_t)udp_length;
        key->ends.source_port = frame->traits->source_port;
        key->transport[0] = frame->traits->vni;
        copy_addresses(key->ends.addresses, ip);
    }
    return READ;
}

static inline reading read_outermost(vx_frame *frame, octets *bytes, int64_t at, const vx_reading *told) {
    ip_header ip;
    reading status = read_ip(&ip, bytes, at);
    if (status != READ)
        return status;
    frame->traits->outer_ttl = frame->traits->inner_ttl = ip.ttl;
    frame->wire_length = (uint32_t)ip.length;
    frame->traits->outer_length = frame->traits->inner_length = (uint32_t)(ip.length - ip.fragment_header);
    frame->covered = (uint32_t)(ip.length - ip.header);
    frame->traits->outer_header = (uint16_t)(ip.header - ip.fragment_header);
    if (ip.fragment_offset > 0 || ip.more_fragments) {
        frame->fragment.identification = ip.identification;
        frame->fragment.protocol = ip.protocol;
        frame->fragment.version = ip.version;
        copy_addresses(frame->fragment.addresses, &ip);
        if (ip.fragment_offset > 0) {
            describe(frame, bytes, &ip, told);
            frame->kind = VX_FRAME_TAIL;
            return READ;
        }
        frame->fragmented = true;
    }
    if (ip.protocol == VX_UDP) {
        status = need(bytes, ip.payload, 8);
        if (status != READ)
            return status;
        uint8_t wear = told->wears[get16(bytes, ip.payload + 2)];
        bool tunnel = false;
        if (wear != VX_PLAIN) {
            status = read_tunnel(frame, bytes, &ip, wear, told, &tunnel);
            if (status != READ)
                return status;
        }
        if (tunnel) {
            frame->kind = VX_FRAME_DATAGRAM;
            return READ;
        }
    }
    describe(frame, bytes, &ip, told);
    frame->kind = VX_FRAME_DATAGRAM;
    return READ;
}

void vx_reading_init(vx_reading *reading, const uint8_t *wears, uint64_t seed) {
    *reading = (vx_reading){.wears = wears, .seed = seed, .no_payload = vx_hash(wears, 0, seed)};
}

int64_t vx_key_budget(uint32_t snaplen) {
    return snaplen > 0 ? at_least_0((int64_t)snaplen - DEEPEST_IP) : 1 << 30;
}

void vx_secrets_init(vx_secrets *secrets, uint64_t seed) {
    for (size_t i = 0; i < sizeof secrets->words / sizeof *secrets->words; i++) {
        /* splitmix64 */
        uint64_t word = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
        secrets->words[i] = word ^ word >> 31;
    }
}

vx_ends vx_flow_ends(const vx_ends *ends) {
    if (ends->shape & VX_KEY_OPAQUE)
        return (vx_ends){.shape = VX_KEY_OPAQUE};
    if (ends->shape & VX_KEY_NON_IP)
        return (vx_ends){.shape = VX_KEY_NON_IP, .fragment_offset = ends->fragment_offset};
    vx_ends flow = *ends;
    if (flow.fragment_offset > 0)
        flow.fragment_offset = 1;
    return flow;
}

void vx_frame_read(vx_frame *frame, const vx_reading *told, const uint8_t *data, uint32_t captured,
                   uint32_t length, uint32_t link_type, uint8_t direction) {
    octets bytes = {data, captured, length > captured ? length : captured};
    frame->kind = VX_FRAME_NON_IP;
    frame->malformed = frame->cut = frame->loopback = frame->fragmented = false;
    frame->odd = 0;
    frame->index = -1;
    frame->macs = NULL;
    frame->quote = NULL;
    frame->traits->direction = direction;
    uint16_t ethertype;
    int64_t at;
    reading status = read_link(frame, &bytes, link_type, &ethertype, &at);
    if (status == READ && (ethertype == VX_ETHERTYPE_IPV4 || ethertype == VX_ETHERTYPE_IPV6)) {
        *frame->key = (vx_key){0};
        *frame->traits = (vx_traits){.direction = frame->traits->direction};
        status = read_outermost(frame, &bytes, at, told);
    }
    if (status != READ)
        frame->kind = status == MALFORMED ? VX_FRAME_MALFORMED : VX_FRAME_CUT;
}
