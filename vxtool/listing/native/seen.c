#include "info.h"

#include "tell.h"

enum {
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_TRANSPARENT = 0x6558,
    ETHERTYPE_IPV6 = 0x86DD,

    PROTOCOL_ICMP = 1,
    PROTOCOL_IPV4 = 4,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PROTOCOL_IPV6 = 41,
    PROTOCOL_ROUTING = 43,
    PROTOCOL_FRAGMENT = 44,
    PROTOCOL_GRE = 47,
    PROTOCOL_ICMPV6 = 58,

    PORTS_SIZE = 4,
    TCP_SIZE = 20,
    UDP_SIZE = 8,
    ICMP_SIZE = 8,

    MOST_ENCAPSULATIONS = 8,
};

/* A record, or what an IP header or GRE carries, on its way through vx_decode: `base` is where it begins. */
struct reading {
    vx_seen *seen;
    const struct vx_packet *packet;
    size_t base;
    const struct vx_port *ports;
    size_t port_count;
    unsigned depth;
    bool fragmented; /* columns tell of a fragment: only tunnels are looked for from there on */
    vx_end source;   /* of the IP header that was last */
    vx_end destination;
};

static const uint8_t *at_layer(const struct reading *reading, const struct vx_layer *layer) {
    return reading->seen->data + reading->base + layer->offset;
}

/* Let the info column tell of what is at an offset, which layers have up to `limit`. */
static void tell(struct reading *reading, uint8_t tells, size_t offset, size_t limit) {
    vx_seen *seen = reading->seen;
    size_t at = reading->base + offset, end = reading->base + limit;
    if (end < at)
        end = at;
    seen->tells = tells;
    seen->told = seen->data + at;
    seen->told_length = (uint32_t)(end - at);
    seen->told_captured = (uint32_t)((end < seen->captured ? end : seen->captured) - at);
}

static void tell_rest(struct reading *reading, uint8_t tells) {
    tell(reading, tells, reading->packet->payload, reading->packet->limit);
}

/* Of extension headers: the last address of a routing header that is still on its way (RFC 5095, RFC 8754,
 * where the last is the first). */
static const uint8_t *routed_to(const uint8_t *header, size_t size) {
    if (header[3] == 0)
        return NULL;
    if ((header[2] == 4 || header[2] == 2) && size >= 24)
        return header + 8;
    return header[2] == 0 && size >= 24 ? header + 8 + (size - 24) / 16 * 16 : NULL;
}

struct ip_facts {
    uint8_t protocol;
    const uint8_t *fragment; /* IPv6: the fragment header */
    const uint8_t *routed_to;
};

static struct ip_facts look_at_ip(const struct vx_layer *layer, const uint8_t *header) {
    if (layer->kind == VX_IPV4)
        return (struct ip_facts){.protocol = header[9]};
    struct ip_facts facts = {.protocol = header[6]};
    for (size_t at = 40; at < layer->size;) {
        size_t size = vx_ipv6_extension_size(facts.protocol, header + at, layer->size - at);
        if (facts.protocol == PROTOCOL_FRAGMENT)
            facts.fragment = header + at;
        const uint8_t *last = facts.protocol == PROTOCOL_ROUTING ? routed_to(header + at, size) : NULL;
        if (last != NULL)
            facts.routed_to = last;
        facts.protocol = header[at];
        at += size;
    }
    return facts;
}

/* Whether a header is a fragment's that is shown as such. Wireshark does not wait for the others of a first
 * IPv4 fragment that was not captured whole, and shows what is in it. */
static bool is_shown_fragment(const struct reading *reading, const struct vx_layer *layer,
                              const uint8_t *header, const struct ip_facts *facts) {
    if (layer->kind == VX_IPV6)
        return facts->fragment != NULL && (vx_be16(facts->fragment + 2) & 0xFFF9) != 0;
    uint16_t fragment = vx_be16(header + 6);
    if (fragment & 0x1FFF)
        return true;
    size_t total = vx_be16(header + 2);
    return fragment & 0x2000 && total > layer->size &&
           reading->base + layer->offset + total <= reading->seen->captured;
}

/* false: the header is not to be believed, and nothing follows. */
static bool read_ip(struct reading *reading, const struct vx_layer *layer) {
    vx_seen *seen = reading->seen;
    const uint8_t *header = at_layer(reading, layer);
    if (layer->kind == VX_IPV4) {
        size_t total = vx_be16(header + 2);
        if (total != 0 && total < layer->size) {
            if (!reading->fragmented) {
                seen->protocol = "IPv4";
                tell(reading, VX_TELLS_BAD_IPV4, layer->offset, reading->packet->limit);
            }
            return false;
        }
        reading->source = (vx_end){VX_END_IPV4, header + 12};
        reading->destination = (vx_end){VX_END_IPV4, header + 16};
    } else {
        reading->source = (vx_end){VX_END_IPV6, header + 8};
        reading->destination = (vx_end){VX_END_IPV6, header + 24};
    }
    if (reading->fragmented)
        return true;
    struct ip_facts facts = look_at_ip(layer, header);
    if (facts.routed_to != NULL)
        reading->destination.octets = facts.routed_to;
    seen->source = reading->source;
    seen->destination = reading->destination;
    seen->ip = header;
    seen->network = seen->vni;
    seen->is_ipv6 = layer->kind == VX_IPV6;
    seen->protocol = seen->is_ipv6 ? "IPv6" : "IPv4";
    seen->ttl = header[seen->is_ipv6 ? 7 : 8];
    seen->transport = facts.protocol;
    reading->fragmented = is_shown_fragment(reading, layer, header, &facts);
    if (reading->fragmented)
        tell(reading, VX_TELLS_FRAGMENT, layer->offset, reading->packet->limit);
    return true;
}

static void read_mac_ends(vx_seen *seen, const uint8_t *header, size_t captured) {
    if (captured >= 6)
        seen->destination = (vx_end){VX_END_MAC, header};
    if (captured >= 12)
        seen->source = (vx_end){VX_END_MAC, header + 6};
}

/* Cooked headers name the sender only. */
static void read_cooked_end(vx_seen *seen, size_t size, const uint8_t *octets) {
    if (size == 6)
        seen->source = (vx_end){VX_END_MAC, octets};
    else if (size == 4)
        seen->source = (vx_end){VX_END_IPV4, octets};
}

static void read_ports(vx_seen *seen) {
    seen->has_ports = true;
    seen->source_port = vx_be16(seen->told);
    seen->destination_port = vx_be16(seen->told + 2);
}

static void read_payload(vx_seen *seen, size_t size) {
    seen->payload = seen->told + size;
    seen->payload_captured = seen->told_captured - (uint32_t)size;
    seen->payload_length = seen->told_length - (uint32_t)size;
}

static void read_udp(vx_seen *seen) {
    if (seen->told_captured < PORTS_SIZE)
        return;
    seen->tells = VX_TELLS_UDP;
    seen->protocol = "UDP";
    read_ports(seen);
    if (seen->told_captured < UDP_SIZE)
        return;
    seen->header = seen->told;
    read_payload(seen, UDP_SIZE);
}

static void read_tcp(vx_seen *seen) {
    if (seen->told_captured < PORTS_SIZE)
        return;
    seen->tells = VX_TELLS_TCP;
    seen->protocol = "TCP";
    read_ports(seen);
    if (seen->told_captured < TCP_SIZE)
        return;
    uint32_t size = (uint32_t)(seen->told[12] >> 4) * 4;
    if (size < TCP_SIZE || size > seen->told_length)
        return;
    seen->header = seen->told;
    if (size <= seen->told_captured) {
        read_payload(seen, size);
    } else {
        seen->payload = seen->told + seen->told_captured;
        seen->payload_length = seen->told_length - size;
    }
}

static void read_icmp(vx_seen *seen, uint8_t tells, const char *protocol) {
    seen->tells = tells;
    seen->protocol = protocol;
    if (seen->told_captured < ICMP_SIZE)
        return;
    seen->header = seen->told;
    read_payload(seen, ICMP_SIZE);
}

static void read_record(struct reading *reading, enum vx_link link);

/* What a protocol carries that is a packet of its own, as far as it is read: IP in IP, and GRE without
 * surprises (RFC 2784, RFC 2890). true: it was one, and was read. */
static bool read_carried(struct reading *reading) {
    vx_seen *seen = reading->seen;
    size_t at = 0;
    enum vx_link link;
    switch (seen->transport) {
    case PROTOCOL_IPV4:
        link = VX_LINK_IPV4;
        break;
    case PROTOCOL_IPV6:
        link = VX_LINK_IPV6;
        break;
    case PROTOCOL_GRE: {
        if (seen->told_captured < 4 || (seen->told[0] & 0x4F) != 0 || (seen->told[1] & 7) != 0)
            return false;
        unsigned flags = seen->told[0];
        at = 4 + (flags & 0x80 ? 4 : 0) + (flags & 0x20 ? 4 : 0) + (flags & 0x10 ? 4 : 0);
        switch (vx_be16(seen->told + 2)) {
        case ETHERTYPE_IPV4:
            link = VX_LINK_IPV4;
            break;
        case ETHERTYPE_IPV6:
            link = VX_LINK_IPV6;
            break;
        case ETHERTYPE_TRANSPARENT:
            link = VX_LINK_EN10MB;
            break;
        default:
            return false;
        }
        break;
    }
    default:
        return false;
    }
    /* Only what looks like one, so that the header around it can be told of elsewhere. */
    size_t least = link == VX_LINK_IPV4 ? 20 : link == VX_LINK_IPV6 ? 40 : 14;
    if (reading->depth >= MOST_ENCAPSULATIONS || seen->told_captured < at + least)
        return false;
    if (link != VX_LINK_EN10MB && seen->told[at] >> 4 != (link == VX_LINK_IPV4 ? 4 : 6))
        return false;
    struct vx_packet packet;
    struct reading inner = *reading;
    inner.packet = &packet;
    inner.base = (size_t)(seen->told - seen->data) + at;
    inner.depth++;
    if (!vx_decode(seen->data + inner.base, seen->told_captured - at, seen->told_length - at, link,
                   reading->ports, reading->port_count, &packet))
        return false;
    read_record(&inner, link);
    return true;
}

/* What is last. */
static void read_end(struct reading *reading, enum vx_link link) {
    vx_seen *seen = reading->seen;
    const struct vx_packet *packet = reading->packet;
    const struct vx_layer *last = packet->layer_count > 0 ? &packet->layers[packet->layer_count - 1] : NULL;
    enum vx_kind kind = last != NULL ? last->kind : VX_NONE;
    const uint8_t *header = last != NULL ? at_layer(reading, last) : NULL;
    uint16_t ethertype = 0;
    switch (kind) {
    case VX_TCP:
        tell(reading, VX_TELLS_TCP, last->offset, packet->limit);
        read_tcp(seen);
        return;
    case VX_ICMP:
        tell(reading, VX_TELLS_ICMP, last->offset, packet->limit);
        read_icmp(seen, VX_TELLS_ICMP, "ICMP");
        return;
    case VX_ICMPV6:
        tell(reading, VX_TELLS_ICMPV6, last->offset, packet->limit);
        read_icmp(seen, VX_TELLS_ICMPV6, "ICMPv6");
        return;
    case VX_UDP:
        tell(reading, VX_TELLS_UDP, last->offset, packet->limit);
        read_udp(seen);
        /* The codec looks for a tunnel by the port. If there should be one, its header is not whole. */
        for (size_t i = 0; i < reading->port_count; i++)
            if (reading->ports[i].port == seen->destination_port) {
                if (seen->payload_length > 0 && seen->payload_captured > 0 &&
                    vx_be16(header + 4) >= UDP_SIZE) {
                    seen->protocol = reading->ports[i].kind == VX_GENEVE ? "Geneve" : "VxLAN";
                    tell_rest(reading, VX_TELLS_TUNNEL);
                }
                break;
            }
        return;
    case VX_IPV4:
    case VX_IPV6:
        tell_rest(reading, VX_TELLS_IP);
        if (seen->transport == PROTOCOL_TCP)
            read_tcp(seen);
        else if (seen->transport == PROTOCOL_UDP)
            read_udp(seen);
        else if (seen->transport == PROTOCOL_ICMP && kind == VX_IPV4 && seen->told_length > 0)
            read_icmp(seen, VX_TELLS_ICMP, "ICMP");
        else if (seen->transport == PROTOCOL_ICMPV6 && kind == VX_IPV6)
            read_icmp(seen, VX_TELLS_ICMPV6, "ICMPv6");
        else if (!read_carried(reading))
            vx_ip_protocol_of(seen);
        return;
    case VX_ARP:
        seen->protocol = "ARP";
        seen->header = header;
        tell(reading, VX_TELLS_ARP, last->offset, packet->limit);
        vx_arp_protocol_of(seen);
        return;
    case VX_VXLAN:
        seen->protocol = "Ethernet";
        tell_rest(reading, VX_TELLS_CUT_LINK);
        read_mac_ends(seen, seen->told, seen->told_captured);
        return;
    case VX_GENEVE:
        ethertype = vx_be16(header + 2);
        if (ethertype == ETHERTYPE_TRANSPARENT) {
            seen->protocol = "Ethernet";
            tell_rest(reading, VX_TELLS_CUT_LINK);
            read_mac_ends(seen, seen->told, seen->told_captured);
        } else if (ethertype == ETHERTYPE_IPV4 || ethertype == ETHERTYPE_IPV6) {
            break;
        } else {
            seen->protocol = "Geneve";
            tell(reading, VX_TELLS_TUNNEL, last->offset, packet->limit);
        }
        return;
    case VX_ETHERNET:
        ethertype = vx_be16(header + 12);
        break;
    case VX_VLAN:
        ethertype = vx_be16(header + 2);
        break;
    case VX_SLL:
        ethertype = vx_be16(header + 14);
        break;
    case VX_SLL2:
        ethertype = vx_be16(header);
        break;
    default:
        break;
    }
    if (ethertype == ETHERTYPE_IPV4) {
        seen->protocol = "IPv4";
        tell_rest(reading, VX_TELLS_BAD_IPV4);
        if (seen->told_captured >= 16 && seen->told[0] >> 4 == 4 && (seen->told[0] & 15) >= 5 &&
            vx_be16(seen->told + 2) >= (seen->told[0] & 15) * 4)
            seen->source = (vx_end){VX_END_IPV4, seen->told + 12};
    } else if (ethertype == ETHERTYPE_IPV6 || (kind == VX_NONE && link == VX_LINK_IPV6)) {
        seen->protocol = "IPv6";
        tell_rest(reading, VX_TELLS_BAD_IPV6);
        if (seen->told_captured >= 24 && seen->told[0] >> 4 == 6)
            seen->source = (vx_end){VX_END_IPV6, seen->told + 8};
        else if (seen->told_captured > 0 && seen->told[0] >> 4 != 6 && kind != VX_NONE)
            seen->protocol = "0x86dd";
    } else if (kind == VX_NONE) {
        seen->protocol = "IP";
        tell_rest(reading, VX_TELLS_BAD_IP);
    } else if (kind == VX_LOOPBACK) {
        seen->protocol = "N/A";
        tell_rest(reading, VX_TELLS_LINK);
    } else if (ethertype == ETHERTYPE_ARP) {
        seen->protocol = "ARP";
        tell_rest(reading, VX_TELLS_ARP);
    } else {
        tell_rest(reading, VX_TELLS_LINK);
        vx_link_protocol_of(seen, last, ethertype);
    }
}

static void read_record(struct reading *reading, enum vx_link link) {
    vx_seen *seen = reading->seen;
    const struct vx_packet *packet = reading->packet;
    for (size_t i = 0; i < packet->layer_count; i++) {
        const struct vx_layer *layer = &packet->layers[i];
        const uint8_t *header = at_layer(reading, layer);
        switch (layer->kind) {
        case VX_ETHERNET:
            if (!reading->fragmented)
                read_mac_ends(seen, header, layer->size);
            break;
        case VX_SLL:
            read_cooked_end(seen, vx_be16(header + 4), header + 6);
            break;
        case VX_SLL2:
            read_cooked_end(seen, header[11], header + 12);
            break;
        case VX_IPV4:
        case VX_IPV6:
            if (!read_ip(reading, layer))
                return;
            break;
        case VX_VXLAN:
        case VX_GENEVE: {
            const uint8_t *udp = at_layer(reading, layer - 1);
            seen->vni = (int32_t)(vx_be32(header + 4) >> 8);
            if (seen->tunnel == VX_NONE) {
                seen->tunnel = layer->kind;
                seen->outer_source = reading->source;
                seen->outer_destination = reading->destination;
                seen->outer_source_port = vx_be16(udp);
                seen->outer_destination_port = vx_be16(udp + 2);
            }
            break;
        }
        default:
            break;
        }
    }
    if (!reading->fragmented)
        read_end(reading, link);
}

void vx_seen_read(vx_seen *seen, const uint8_t *data, uint32_t captured, uint32_t length, uint32_t link_type,
                  const struct vx_port *ports, size_t port_count) {
    static const struct vx_port usual[] = {{8472, VX_VXLAN}, {4789, VX_VXLAN}, {6081, VX_GENEVE}};
    struct vx_packet *packet = &seen->packet;
    packet->layer_count = packet->problem_count = packet->payload = packet->limit = 0;
    seen->data = data;
    seen->captured = captured;
    seen->length = length;
    seen->source = seen->destination = seen->outer_source = seen->outer_destination =
        (vx_end){VX_END_NONE, NULL};
    seen->tells = VX_TELLS_NOTHING;
    seen->told = data;
    seen->told_captured = captured;
    seen->told_length = length > captured ? length : captured;
    seen->protocol = "";
    seen->tunnel = VX_NONE;
    seen->vni = seen->network = -1;
    seen->outer_source_port = seen->outer_destination_port = 0;
    seen->ip = seen->header = seen->payload = NULL;
    seen->is_ipv6 = seen->has_ports = false;
    seen->ttl = 0;
    seen->transport = VX_NO_TRANSPORT;
    seen->source_port = seen->destination_port = 0;
    seen->payload_captured = seen->payload_length = 0;
    if (!vx_link_known(link_type))
        return;
    struct reading reading = {
        .seen = seen,
        .packet = packet,
        .ports = ports != NULL ? ports : usual,
        .port_count = ports != NULL ? port_count : sizeof usual / sizeof *usual,
    };
    if (vx_decode(data, captured, length, (enum vx_link)link_type, reading.ports, reading.port_count,
                  packet)) {
        read_record(&reading, (enum vx_link)link_type);
        return;
    }
    seen->tells = VX_TELLS_CUT_LINK;
    switch (link_type) {
    case VX_LINK_EN10MB:
        seen->protocol = "Ethernet";
        read_mac_ends(seen, data, captured);
        break;
    case VX_LINK_SLL:
        seen->protocol = "SLL";
        if (captured >= 14)
            read_cooked_end(seen, vx_be16(data + 4), data + 6);
        break;
    case VX_LINK_SLL2:
        seen->protocol = "SLL";
        if (captured >= 18)
            read_cooked_end(seen, data[11], data + 12);
        break;
    default:
        seen->protocol = "N/A";
    }
}

bool vx_segment_of(const vx_seen *seen, vx_segment *segment) {
    if (seen->tells != VX_TELLS_TCP || seen->header == NULL)
        return false;
    const uint8_t *header = seen->header;
    size_t size = (size_t)(header[12] >> 4) * 4;
    segment->is_ipv6 = seen->is_ipv6;
    segment->flags = header[13];
    segment->source = seen->source.octets;
    segment->destination = seen->destination.octets;
    segment->source_port = seen->source_port;
    segment->destination_port = seen->destination_port;
    segment->window = vx_be16(header + 14);
    segment->sequence = vx_be32(header + 4);
    segment->acknowledgement = vx_be32(header + 8);
    segment->payload_length = seen->payload_length;
    segment->options = header + TCP_SIZE;
    segment->options_size = (size < seen->told_captured ? size : seen->told_captured) - TCP_SIZE;
    return true;
}
