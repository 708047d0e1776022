#include "codec.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    ETHERNET_SIZE = 14,
    VLAN_SIZE = 4,
    SLL_SIZE = 16,
    SLL2_SIZE = 20,
    LOOPBACK_SIZE = 4,
    IPV4_SIZE = 20,
    IPV6_SIZE = 40,
    UDP_SIZE = 8,
    TCP_SIZE = 20,
    ICMP_SIZE = 8,
    ARP_SIZE = 28,
    VXLAN_SIZE = 8,
    GENEVE_SIZE = 8,
    EXTENSION_SIZE = 8,

    ETHERTYPE_SMALLEST = 0x0600,
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_ETHERNET = 0x6558,
    ETHERTYPE_VLAN = 0x8100,
    ETHERTYPE_IPV6 = 0x86DD,
    ETHERTYPE_QINQ = 0x88A8,
    ETHERTYPE_QINQ_OLD = 0x9100,

    HOP_BY_HOP = 0,
    ROUTING = 43,
    FRAGMENT = 44,
    AUTHENTICATION = 51,
    NO_NEXT_HEADER = 59,
    DESTINATION_OPTIONS = 60,
    MOBILITY = 135,

    OPTION_PAD1 = 0,
    OPTION_JUMBO = 0xC2,
    LARGEST_LENGTH = 0xFFFF,
    VNI_VALID = 0x08,
};

static const struct vx_port usual_ports[] = {{8472, VX_VXLAN}, {4789, VX_VXLAN}, {6081, VX_GENEVE}};

/* The state of decoding, named as in decoder.py. */
struct walk {
    const uint8_t *data;
    size_t size, at, limit;
    bool partial;
    const struct vx_port *ports;
    size_t port_count;
    struct vx_packet *packet;
};

static const char *layer_name(enum vx_kind kind) {
    static const char *const names[] = {
        [VX_ETHERNET] = "Ethernet", [VX_VLAN] = "Vlan",
        [VX_SLL] = "SLL",           [VX_SLL2] = "SLL2",
        [VX_LOOPBACK] = "Loopback", [VX_IPV4] = "IPv4",
        [VX_IPV6] = "IPv6",         [VX_UDP] = "UDP",
        [VX_TCP] = "TCP",           [VX_ICMP] = "ICMP",
        [VX_ICMPV6] = "ICMPv6",     [VX_ARP] = "ARP",
        [VX_VXLAN] = "VXLAN",       [VX_GENEVE] = "Geneve",
        [VX_RECORD] = "record",     [VX_TCP_OPTION] = "TCP option",
        [VX_PACKET] = "packet",     [VX_NONE] = "nothing",
    };
    return names[kind];
}

uint16_t vx_checksum(const uint8_t *data, size_t size, uint64_t sum) {
    /* Words of 16 bits into 64: no carry is lost below 2^48 words. */
    size_t at = 0;
    for (; at + 2 <= size; at += 2)
        sum += vx_be16(data + at);
    if (at < size)
        sum += (uint64_t)data[at] << 8;
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

static void complain(struct walk *walk, struct vx_problem problem) {
    struct vx_packet *packet = walk->packet;
    if (packet->problem_count < VX_MAX_PROBLEMS)
        packet->problems[packet->problem_count++] = problem;
}

static void complain_short(struct walk *walk, enum vx_kind layer, size_t offset, size_t expected,
                           size_t found) {
    complain(
        walk,
        (struct vx_problem){
            .problem = VX_SHORT, .layer = layer, .offset = offset, .expected = expected, .found = found});
}

static void complain_version(struct walk *walk, enum vx_kind layer, size_t expected, size_t found) {
    complain(
        walk,
        (struct vx_problem){
            .problem = VX_VERSION, .layer = layer, .offset = walk->at, .expected = expected, .found = found});
}

/* The captured bytes from here to the limit. */
static size_t bytes_left(const struct walk *walk) {
    size_t end = walk->limit < walk->size ? walk->limit : walk->size;
    return end - walk->at;
}

static bool need(struct walk *walk, enum vx_kind layer, size_t size) {
    if (bytes_left(walk) >= size)
        return true;
    complain_short(walk, layer, walk->at, size, bytes_left(walk));
    return false;
}

/* A header whose first `least` bytes say that it has `size`. */
static bool need_header(struct walk *walk, enum vx_kind layer, size_t least, size_t size) {
    if (size < least) {
        complain(
            walk,
            (struct vx_problem){
                .problem = VX_HEADER, .layer = layer, .offset = walk->at, .expected = least, .found = size});
        return false;
    }
    return need(walk, layer, size);
}

bool vx_ipv6_is_extension(uint8_t kind) {
    return kind == HOP_BY_HOP || kind == ROUTING || kind == FRAGMENT || kind == AUTHENTICATION ||
           kind == DESTINATION_OPTIONS || kind == MOBILITY;
}

size_t vx_ipv6_extension_size(uint8_t kind, const uint8_t *at, size_t left) {
    if (kind == FRAGMENT || left < EXTENSION_SIZE)
        return EXTENSION_SIZE;
    return kind == AUTHENTICATION ? ((size_t)at[1] + 2) * 4 : ((size_t)at[1] + 1) * 8;
}

size_t vx_tcp_option_size(const uint8_t *at, size_t left) {
    if (at[0] == 0)
        return left;
    if (at[0] == 1)
        return 1;
    if (left < 2 || at[1] < 2 || at[1] > left)
        return 0;
    return at[1];
}

bool vx_loopback_is_big(const uint8_t *at) { return at[2] != 0 || at[3] != 0; }

/* The size of the header at the cursor, or 0 where there is none: then the reason is among the problems. */
static size_t header_size(struct walk *walk, enum vx_kind kind) {
    static const size_t least[] = {
        [VX_ETHERNET] = ETHERNET_SIZE, [VX_VLAN] = VLAN_SIZE,         [VX_SLL] = SLL_SIZE,
        [VX_SLL2] = SLL2_SIZE,         [VX_LOOPBACK] = LOOPBACK_SIZE, [VX_IPV4] = IPV4_SIZE,
        [VX_IPV6] = IPV6_SIZE,         [VX_UDP] = UDP_SIZE,           [VX_TCP] = TCP_SIZE,
        [VX_ICMP] = ICMP_SIZE,         [VX_ICMPV6] = ICMP_SIZE,       [VX_ARP] = ARP_SIZE,
        [VX_VXLAN] = VXLAN_SIZE,       [VX_GENEVE] = GENEVE_SIZE,
    };
    if (!need(walk, kind, least[kind]))
        return 0;
    const uint8_t *header = walk->data + walk->at;
    size_t size = least[kind];
    switch (kind) {
    case VX_IPV4:
        if (header[0] >> 4 != 4) {
            complain_version(walk, kind, 4, header[0] >> 4);
            return 0;
        }
        size = (size_t)(header[0] & 0x0F) * 4;
        return need_header(walk, kind, IPV4_SIZE, size) ? size : 0;
    case VX_IPV6:
        if (header[0] >> 4 != 6) {
            complain_version(walk, kind, 6, header[0] >> 4);
            return 0;
        }
        return size;
    case VX_TCP:
        size = (size_t)(header[12] >> 4) * 4;
        return need_header(walk, kind, TCP_SIZE, size) ? size : 0;
    case VX_GENEVE:
        if (header[0] >> 6 != 0) {
            complain_version(walk, kind, 0, header[0] >> 6);
            return 0;
        }
        size = GENEVE_SIZE + (size_t)(header[0] & 0x3F) * 4;
        return need(walk, kind, size) ? size : 0;
    case VX_ARP:
        if (header[4] != 6 || header[5] != 4) {
            complain(walk, (struct vx_problem){.problem = VX_ADDRESS_LENGTHS,
                                               .layer = kind,
                                               .offset = walk->at,
                                               .found = header[4],
                                               .also_found = header[5]});
            return 0;
        }
        return size;
    default:
        return size;
    }
}

static enum vx_kind by_ethertype(uint16_t ethertype) {
    switch (ethertype) {
    case ETHERTYPE_IPV4:
        return VX_IPV4;
    case ETHERTYPE_IPV6:
        return VX_IPV6;
    case ETHERTYPE_ARP:
        return VX_ARP;
    case ETHERTYPE_VLAN:
    case ETHERTYPE_QINQ:
    case ETHERTYPE_QINQ_OLD:
        return VX_VLAN;
    default:
        return VX_NONE;
    }
}

/* An ethertype of a frame or tag, where small ones are lengths that draw the limit closer. */
static enum vx_kind framed(struct walk *walk, uint16_t ethertype) {
    if (ethertype < ETHERTYPE_SMALLEST && walk->at + ethertype < walk->limit)
        walk->limit = walk->at + ethertype;
    return by_ethertype(ethertype);
}

static enum vx_kind by_family(uint32_t family) {
    switch (family) {
    case 2:
        return VX_IPV4;
    case 10:
    case 24:
    case 28:
    case 30:
        return VX_IPV6;
    default:
        return VX_NONE;
    }
}

static enum vx_kind by_geneve_type(uint16_t type) {
    switch (type) {
    case ETHERTYPE_ETHERNET:
        return VX_ETHERNET;
    case ETHERTYPE_IPV4:
        return VX_IPV4;
    case ETHERTYPE_IPV6:
        return VX_IPV6;
    default:
        return VX_NONE;
    }
}

static enum vx_kind by_protocol(uint8_t protocol, enum vx_kind ip) {
    switch (protocol) {
    case 1:
        return ip == VX_IPV4 ? VX_ICMP : VX_NONE;
    case 6:
        return VX_TCP;
    case 17:
        return VX_UDP;
    case 58:
        return ip == VX_IPV6 ? VX_ICMPV6 : VX_NONE;
    default:
        return VX_NONE;
    }
}

static enum vx_kind by_port(const struct walk *walk, uint16_t port) {
    for (size_t i = 0; i < walk->port_count; i++)
        if (walk->ports[i].port == port)
            return walk->ports[i].kind;
    return VX_NONE;
}

/* Apply the length that a header claims for itself and what it carries. Returns false where it is impossible:
 * decoding then stops. `least` is the size of what has been parsed. */
static bool claim_length(struct walk *walk, enum vx_kind layer, size_t start, size_t claimed, size_t least,
                         const struct vx_problem *too_small) {
    size_t whole = walk->limit - start;
    if (claimed == 0) {
        /* Beyond 65,535 bytes a length of 0 is the right one (BIG TCP, RFC 2675). */
        if (whole > LARGEST_LENGTH)
            return true;
        if (!walk->partial)
            complain(walk, (struct vx_problem){
                               .problem = VX_NO_LENGTH, .layer = layer, .offset = start, .found = whole});
        walk->partial = true;
    } else if (claimed < least) {
        complain(walk, *too_small);
        return false;
    } else if (claimed > whole) {
        if (!walk->partial)
            complain_short(walk, layer, start, claimed, whole);
        walk->partial = true;
    } else {
        walk->limit = start + claimed;
    }
    return true;
}

static enum vx_kind after_ipv4(struct walk *walk, const uint8_t *header, size_t start) {
    size_t total = vx_be16(header + 2), size = walk->at - start;
    struct vx_problem too_small = {
        .problem = VX_TOTAL_LENGTH, .layer = VX_IPV4, .offset = start, .expected = size, .found = total};
    if (!claim_length(walk, VX_IPV4, start, total, size, &too_small))
        return VX_NONE;
    uint16_t fragment = vx_be16(header + 6);
    walk->partial = walk->partial || (fragment & 0x2000);
    return fragment & 0x1FFF ? VX_NONE : by_protocol(header[9], VX_IPV4);
}

/* The jumbo payload option among the options of a hop-by-hop header, or 0 (RFC 2675, section 2). */
static uint32_t jumbo_length(const uint8_t *options, size_t size) {
    size_t at = 0;
    while (at + 2 <= size) {
        if (options[at] == OPTION_PAD1) {
            at++;
            continue;
        }
        if (options[at] == OPTION_JUMBO && options[at + 1] == 4 && at + 6 <= size)
            return vx_be32(options + at + 2);
        at += 2 + (size_t)options[at + 1];
    }
    return 0;
}

static enum vx_kind after_ipv6(struct walk *walk, const uint8_t *header, size_t start,
                               struct vx_layer *layer) {
    uint8_t protocol = header[6];
    size_t declared = vx_be16(header + 4);
    bool extended = false, later = false, more = false;
    while (vx_ipv6_is_extension(protocol) && !later) {
        const uint8_t *extension = walk->data + walk->at;
        size_t left = bytes_left(walk), size = vx_ipv6_extension_size(protocol, extension, left);
        if (size > left)
            break;
        if (protocol == HOP_BY_HOP && !extended && declared == 0)
            declared = jumbo_length(extension + 2, size - 2);
        if (protocol == FRAGMENT) {
            later = (vx_be16(extension + 2) & 0xFFF8) != 0;
            more = more || (extension[3] & 1);
        }
        extended = true;
        protocol = extension[0];
        walk->at += size;
    }
    layer->size = walk->at - start;
    if (declared != 0 || extended || protocol != NO_NEXT_HEADER) {
        struct vx_problem too_small = {.problem = VX_PAYLOAD_LENGTH,
                                       .layer = VX_IPV6,
                                       .offset = start,
                                       .expected = layer->size - IPV6_SIZE,
                                       .found = declared};
        size_t claimed = declared ? IPV6_SIZE + declared : 0;
        if (!claim_length(walk, VX_IPV6, start, claimed, layer->size, &too_small))
            return VX_NONE;
    } else {
        walk->limit = walk->at;
    }
    walk->partial = walk->partial || more;
    if (later)
        return VX_NONE;
    if (vx_ipv6_is_extension(protocol)) {
        size_t left = bytes_left(walk);
        complain_short(walk, VX_IPV6, walk->at, vx_ipv6_extension_size(protocol, walk->data + walk->at, left),
                       left);
    }
    return by_protocol(protocol, VX_IPV6);
}

static enum vx_kind after_udp(struct walk *walk, const uint8_t *header, size_t start) {
    size_t claimed = vx_be16(header + 4);
    struct vx_problem too_small = {
        .problem = VX_LENGTH, .layer = VX_UDP, .offset = start, .expected = UDP_SIZE, .found = claimed};
    if (!claim_length(walk, VX_UDP, start, claimed, UDP_SIZE, &too_small))
        return VX_NONE;
    return by_port(walk, vx_be16(header + 2));
}

static void check_tcp_options(struct walk *walk, const uint8_t *header, size_t start, size_t size) {
    size_t at = TCP_SIZE;
    while (at < size) {
        size_t taken = vx_tcp_option_size(header + at, size - at);
        if (taken == 0) {
            if (size - at < 2)
                complain_short(walk, VX_TCP_OPTION, start + at, 2, size - at);
            else
                complain(walk, (struct vx_problem){.problem = VX_OPTION_LENGTH,
                                                   .layer = VX_TCP_OPTION,
                                                   .offset = start + at,
                                                   .expected = size - at,
                                                   .found = header[at + 1]});
            return;
        }
        at += taken;
    }
}

/* What follows a layer whose header has been taken, after what its lengths say has been applied. */
static enum vx_kind after(struct walk *walk, struct vx_layer *layer, bool loop) {
    size_t start = layer->offset;
    const uint8_t *header = walk->data + start;
    switch (layer->kind) {
    case VX_ETHERNET:
        return framed(walk, vx_be16(header + 12));
    case VX_VLAN:
        return framed(walk, vx_be16(header + 2));
    case VX_SLL:
        return by_ethertype(vx_be16(header + 14));
    case VX_SLL2:
        return by_ethertype(vx_be16(header));
    case VX_LOOPBACK: {
        uint32_t little =
            (uint32_t)header[3] << 24 | (uint32_t)header[2] << 16 | (uint32_t)header[1] << 8 | header[0];
        return by_family(loop || vx_loopback_is_big(header) ? vx_be32(header) : little);
    }
    case VX_IPV4:
        return after_ipv4(walk, header, start);
    case VX_IPV6:
        return after_ipv6(walk, header, start, layer);
    case VX_UDP:
        return after_udp(walk, header, start);
    case VX_TCP:
        check_tcp_options(walk, header, start, layer->size);
        return VX_NONE;
    case VX_ARP:
        walk->limit = walk->at;
        return VX_NONE;
    case VX_VXLAN:
        if (!(header[0] & VNI_VALID))
            complain(walk,
                     (struct vx_problem){
                         .problem = VX_VNI_FLAG, .layer = VX_VXLAN, .offset = start, .found = header[0]});
        return VX_ETHERNET;
    case VX_GENEVE:
        return by_geneve_type(vx_be16(header + 2));
    default:
        return VX_NONE;
    }
}

static enum vx_kind link_layer(enum vx_link link, const uint8_t *data, size_t size) {
    switch (link) {
    case VX_LINK_NULL:
    case VX_LINK_LOOP:
        return VX_LOOPBACK;
    case VX_LINK_EN10MB:
        return VX_ETHERNET;
    case VX_LINK_SLL:
        return VX_SLL;
    case VX_LINK_SLL2:
        return VX_SLL2;
    case VX_LINK_IPV4:
        return VX_IPV4;
    case VX_LINK_IPV6:
        return VX_IPV6;
    case VX_LINK_RAW:
    case VX_LINK_RAW_BSD:
    case VX_LINK_RAW_OPENBSD:
        /* Bytes of neither version go to IPv4, which says what is wrong with them. */
        return size > 0 && data[0] >> 4 == 6 ? VX_IPV6 : VX_IPV4;
    }
    return VX_NONE;
}

bool vx_link_known(long long link) {
    static const uint8_t any = 0;
    return link >= 0 && link <= VX_LINK_SLL2 && link_layer((enum vx_link)link, &any, 1) != VX_NONE;
}

bool vx_decode(const uint8_t *data, size_t size, size_t length, enum vx_link link,
               const struct vx_port *ports, size_t port_count, struct vx_packet *packet) {
    packet->layer_count = 0;
    packet->problem_count = 0;
    struct walk walk = {
        .data = data,
        .size = size,
        .limit = length > size ? length : size,
        .ports = ports ? ports : usual_ports,
        .port_count = ports ? port_count : sizeof usual_ports / sizeof *usual_ports,
        .packet = packet,
    };
    if (walk.limit > size)
        complain_short(&walk, VX_RECORD, 0, walk.limit, size);
    enum vx_kind following = link_layer(link, data, size);
    while (following != VX_NONE) {
        if (packet->layer_count == VX_MAX_LAYERS) {
            complain(&walk, (struct vx_problem){.problem = VX_LAYERS,
                                                .layer = VX_PACKET,
                                                .offset = walk.at,
                                                .expected = VX_MAX_LAYERS});
            break;
        }
        size_t taken = header_size(&walk, following);
        if (taken == 0) {
            if (packet->layer_count == 0 && following != VX_IPV4 && following != VX_IPV6) {
                packet->problems[0] = packet->problems[packet->problem_count - 1];
                return false;
            }
            break;
        }
        struct vx_layer *layer = &packet->layers[packet->layer_count++];
        *layer = (struct vx_layer){.kind = following, .offset = walk.at, .size = taken};
        walk.at += taken;
        following = after(&walk, layer, link == VX_LINK_LOOP);
    }
    packet->payload = walk.at;
    packet->limit = walk.limit;
    return true;
}

/* What does not fit is left out. */
__attribute__((format(printf, 3, 4))) static void write_rest(char *rest, size_t room, const char *format,
                                                             ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(rest, room, format, values);
    va_end(values);
}

void vx_problem_text(const struct vx_problem *problem, char text[VX_PROBLEM_TEXT]) {
    int used = snprintf(text, VX_PROBLEM_TEXT, "%s at offset %zu: expected ", layer_name(problem->layer),
                        problem->offset);
    if (used < 0 || used >= VX_PROBLEM_TEXT)
        return;
    char *rest = text + used;
    size_t room = (size_t)(VX_PROBLEM_TEXT - used), expected = problem->expected, found = problem->found;
    switch (problem->problem) {
    case VX_SHORT:
        write_rest(rest, room, "%zu bytes, found %zu", expected, found);
        break;
    case VX_VERSION:
        write_rest(rest, room, "version %zu, found %zu", expected, found);
        break;
    case VX_HEADER:
        write_rest(rest, room, "a header of at least %zu bytes, found %zu", expected, found);
        break;
    case VX_TOTAL_LENGTH:
        write_rest(rest, room, "a total length of at least %zu, found %zu", expected, found);
        break;
    case VX_PAYLOAD_LENGTH:
        write_rest(rest, room, "a payload length of at least %zu, found %zu", expected, found);
        break;
    case VX_LENGTH:
        write_rest(rest, room, "a length of at least %zu, found %zu", expected, found);
        break;
    case VX_NO_LENGTH:
        write_rest(rest, room, "a length, found 0 in a packet of %zu bytes", found);
        break;
    case VX_ADDRESS_LENGTHS:
        write_rest(rest, room, "address lengths 6 and 4, found %zu and %zu", found, problem->also_found);
        break;
    case VX_VNI_FLAG:
        write_rest(rest, room, "flag 0x08 (VNI), found flags 0x%02zx", found);
        break;
    case VX_OPTION_LENGTH:
        write_rest(rest, room, "a length from 2 to %zu, found %zu", expected, found);
        break;
    case VX_LAYERS:
        write_rest(rest, room, "at most %zu layers, found more", expected);
        break;
    }
}
