#include "info.h"

enum {
    PROTOCOL_ICMP = 1,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PROTOCOL_ICMPV6 = 58,

    IPV4_PROTOCOL_AT = 9,
    IPV6_NEXT_HEADER_AT = 6,
    FRAGMENT_HEADER = 44,

    TCP_FIN = 1,
    TCP_SYN = 2,
    TCP_ACK = 16,
    TCP_URG = 32,
    TCP_HEADER = 20,

    /* More than any line takes but those that list what a message holds, which ask for room themselves. */
    LINE_ROOM = 1024,
};

/* Writers into room that was made before: each answers where it ended. */

static char *put(char *at, const char *string) {
    size_t size = strlen(string);
    memcpy(at, string, size);
    return at + size;
}

static char *put_number(char *at, uint64_t number) {
    char digits[20];
    size_t first = sizeof digits;
    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    memcpy(at, digits + first, sizeof digits - first);
    return at + sizeof digits - first;
}

static char *put_hex(char *at, uint32_t number, unsigned digits) {
    while (digits-- > 0)
        *at++ = "0123456789abcdef"[number >> (4 * digits) & 15];
    return at;
}

static char *put_ipv4(char *at, const uint8_t *octets) {
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            *at++ = '.';
        uint8_t octet = octets[i];
        if (octet >= 100)
            *at++ = (char)('0' + octet / 100);
        if (octet >= 10)
            *at++ = (char)('0' + octet / 10 % 10);
        *at++ = (char)('0' + octet % 10);
    }
    return at;
}

/* As RFC 5952 and the C library write it: the longest run of zeros, the first of several, is "::", and what
 * has an IPv4 address in its last 32 bits shows it so. */
static char *put_ipv6(char *at, const uint8_t *octets) {
    uint16_t words[8];
    size_t start = 8, longest = 1;
    for (size_t i = 0; i < 8; i++)
        words[i] = vx_be16(octets + 2 * i);
    for (size_t i = 0; i < 8; i++) {
        size_t run = 0;
        while (i + run < 8 && words[i + run] == 0)
            run++;
        if (run > longest) {
            longest = run;
            start = i;
        }
        i += run;
    }
    bool mapped = start == 0 && (longest == 6 || (longest == 5 && words[5] == 0xFFFF));
    for (size_t i = 0; i < 8;) {
        if (i == start) {
            *at++ = ':';
            i += longest;
            if (i == 8)
                *at++ = ':';
            continue;
        }
        if (i > 0)
            *at++ = ':';
        if (mapped && i == 6)
            return put_ipv4(at, octets + 12);
        uint16_t word = words[i++];
        at = put_hex(at, word, word >= 0x1000 ? 4 : word >= 0x100 ? 3 : word >= 0x10 ? 2 : 1);
    }
    return at;
}

static char *put_mac(char *at, const uint8_t *octets) {
    for (size_t i = 0; i < 6; i++) {
        if (i > 0)
            *at++ = ':';
        at = put_hex(at, octets[i], 2);
    }
    return at;
}

/* What is sent to everyone or to a group has a name. */
static char *put_named_mac(char *at, const uint8_t *octets) {
    static const uint8_t broadcast[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    if (memcmp(octets, broadcast, sizeof broadcast) == 0)
        return put(at, "Broadcast");
    return put_mac(at, octets);
}

void vx_end_write(vx_text *text, vx_end end) {
    if (end.kind == VX_END_NONE || !vx_text_room(text, 64))
        return;
    char *start = text->at + text->size, *at = start;
    if (end.kind == VX_END_IPV4)
        at = put_ipv4(at, end.octets);
    else if (end.kind == VX_END_IPV6)
        at = put_ipv6(at, end.octets);
    else
        at = put_named_mac(at, end.octets);
    text->size += (size_t)(at - start);
}

/* Reading. */

static void take_ends(const struct vx_layer *layer, const uint8_t *data, vx_end *source,
                      vx_end *destination) {
    const uint8_t *header = data + layer->offset;
    if (layer->kind == VX_IPV4) {
        *source = (vx_end){VX_END_IPV4, header + 12};
        *destination = (vx_end){VX_END_IPV4, header + 16};
    } else {
        *source = (vx_end){VX_END_IPV6, header + 8};
        *destination = (vx_end){VX_END_IPV6, header + 24};
    }
}

/* The protocol behind an IP header and its extension headers, all within the layer. */
static uint8_t ip_protocol(const struct vx_layer *layer, const uint8_t *header) {
    if (layer->kind == VX_IPV4)
        return header[IPV4_PROTOCOL_AT];
    uint8_t protocol = header[IPV6_NEXT_HEADER_AT];
    for (size_t at = 40; at < layer->size;) {
        size_t size = vx_ipv6_extension_size(protocol, header + at, layer->size - at);
        protocol = header[at];
        at += size;
    }
    return protocol;
}

static void read_transport(vx_seen *seen, const struct vx_layer *layer) {
    const struct vx_packet *packet = &seen->packet;
    const uint8_t *header = seen->data + layer->offset;
    seen->header = header;
    seen->payload = header + layer->size;
    size_t at = layer->offset + layer->size;
    size_t limit = packet->limit > at ? packet->limit : at;
    size_t end = limit < seen->captured ? limit : seen->captured;
    seen->payload_captured = (uint32_t)(end - at);
    seen->payload_length = (uint32_t)(limit - at);
    switch (layer->kind) {
    case VX_TCP:
        seen->tells = VX_TELLS_TCP;
        seen->protocol = "TCP";
        break;
    case VX_UDP:
        seen->tells = VX_TELLS_UDP;
        seen->protocol = "UDP";
        break;
    case VX_ICMP:
        seen->tells = VX_TELLS_ICMP;
        seen->protocol = "ICMP";
        break;
    default:
        seen->tells = VX_TELLS_ICMPV6;
        seen->protocol = "ICMPv6";
    }
    if (layer->kind == VX_TCP || layer->kind == VX_UDP) {
        seen->has_ports = true;
        seen->source_port = vx_be16(header);
        seen->destination_port = vx_be16(header + 2);
    }
}

void vx_seen_read(vx_seen *seen, const uint8_t *data, uint32_t captured, uint32_t length, uint32_t link_type,
                  const struct vx_port *ports, size_t port_count) {
    struct vx_packet *packet = &seen->packet;
    packet->layer_count = packet->problem_count = 0;
    packet->payload = packet->limit = 0;
    seen->data = data;
    seen->captured = captured;
    seen->length = length;
    seen->source = seen->destination = seen->outer_source = seen->outer_destination =
        (vx_end){VX_END_NONE, NULL};
    seen->tells = VX_TELLS_FRAME;
    seen->protocol = "";
    seen->tunnel = VX_NONE;
    seen->vni = -1;
    seen->outer_source_port = seen->outer_destination_port = 0;
    seen->ip = seen->header = seen->payload = NULL;
    seen->is_ipv6 = seen->has_ports = false;
    seen->ttl = 0;
    seen->transport = VX_NO_TRANSPORT;
    seen->source_port = seen->destination_port = 0;
    seen->payload_captured = seen->payload_length = 0;
    if (!vx_link_known(link_type) ||
        !vx_decode(data, captured, length, (enum vx_link)link_type, ports, port_count, packet))
        return;
    const struct vx_layer *ip = NULL;
    for (size_t i = 0; i < packet->layer_count; i++) {
        const struct vx_layer *layer = &packet->layers[i];
        const uint8_t *header = data + layer->offset;
        switch (layer->kind) {
        case VX_ETHERNET:
            seen->source = (vx_end){VX_END_MAC, header + 6};
            seen->destination = (vx_end){VX_END_MAC, header};
            break;
        case VX_SLL:
            if (vx_be16(header + 4) == 6)
                seen->source = (vx_end){VX_END_MAC, header + 6};
            break;
        case VX_SLL2:
            if (header[11] == 6)
                seen->source = (vx_end){VX_END_MAC, header + 12};
            break;
        case VX_IPV4:
        case VX_IPV6:
            ip = layer;
            take_ends(layer, data, &seen->source, &seen->destination);
            seen->tells = VX_TELLS_IP;
            seen->protocol = layer->kind == VX_IPV4 ? "IPv4" : "IPv6";
            break;
        case VX_VXLAN:
        case VX_GENEVE:
            seen->vni = (int32_t)(vx_be32(header + 4) >> 8);
            if (seen->tunnel == VX_NONE) {
                seen->tunnel = layer->kind;
                seen->outer_source = seen->source;
                seen->outer_destination = seen->destination;
                seen->outer_source_port = seen->source_port;
                seen->outer_destination_port = seen->destination_port;
            }
            break;
        case VX_UDP:
            seen->source_port = vx_be16(header);
            seen->destination_port = vx_be16(header + 2);
            break;
        default:
            break;
        }
    }
    if (ip == NULL) {
        const struct vx_layer *last =
            packet->layer_count > 0 ? &packet->layers[packet->layer_count - 1] : NULL;
        if (last != NULL && last->kind == VX_ARP) {
            seen->tells = VX_TELLS_ARP;
            seen->protocol = "ARP";
            seen->header = data + last->offset;
        }
        return;
    }
    seen->ip = data + ip->offset;
    seen->is_ipv6 = ip->kind == VX_IPV6;
    seen->ttl = seen->ip[seen->is_ipv6 ? 7 : 8];
    seen->transport = ip_protocol(ip, seen->ip);
    seen->source_port = seen->destination_port = 0;
    const struct vx_layer *last = &packet->layers[packet->layer_count - 1];
    if (last == ip + 1)
        read_transport(seen, last);
}

bool vx_segment_of(const vx_seen *seen, vx_segment *segment) {
    if (seen->tells != VX_TELLS_TCP)
        return false;
    const uint8_t *header = seen->header;
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
    segment->options = header + TCP_HEADER;
    segment->options_size = (size_t)(header[12] >> 4) * 4 - TCP_HEADER;
    return true;
}

/* Writing. */

static char *put_named_number(char *at, const char *name, uint64_t number) {
    return put_number(put(at, name), number);
}

static char *put_tcp_options(char *at, const uint8_t *option, size_t left, uint8_t flags) {
    while (left > 0) {
        size_t size = vx_tcp_option_size(option, left);
        if (size == 0 || option[0] == 0)
            break;
        switch (option[0]) {
        case 2:
            if (size == 4)
                at = put_named_number(at, " MSS=", vx_be16(option + 2));
            break;
        case 3:
            if (size == 3 && (flags & TCP_SYN))
                at = put_named_number(at, " WS=", UINT64_C(1) << (option[2] < 14 ? option[2] : 14));
            break;
        case 4:
            if (size == 2)
                at = put(at, " SACK_PERM");
            break;
        case 5:
            for (size_t i = 2; i + 8 <= size; i += 8) {
                at = put_named_number(at, " SLE=", vx_be32(option + i));
                at = put_named_number(at, " SRE=", vx_be32(option + i + 4));
            }
            break;
        case 8:
            if (size == 10) {
                at = put_named_number(at, " TSval=", vx_be32(option + 2));
                at = put_named_number(at, " TSecr=", vx_be32(option + 6));
            }
            break;
        default:
            break;
        }
        option += size;
        left -= size;
    }
    return at;
}

static char *put_tcp(char *at, const vx_seen *seen, const vx_stream_note *note) {
    static const char *const names[8] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
    const uint8_t *header = seen->header;
    uint8_t flags = header[13];
    at = put_number(at, seen->source_port);
    at = put(at, " → ");
    at = put_number(at, seen->destination_port);
    at = put(at, " [");
    bool first = true;
    for (unsigned bit = 0; bit < 8; bit++)
        if (flags >> bit & 1) {
            if (!first)
                at = put(at, ", ");
            at = put(at, names[bit]);
            first = false;
        }
    at = put(at, first ? "<None>]" : "]");
    at = put_named_number(at, " Seq=", note != NULL ? note->sequence : vx_be32(header + 4));
    if (flags & TCP_ACK)
        at = put_named_number(at, " Ack=", note != NULL ? note->acknowledgement : vx_be32(header + 8));
    at = put_named_number(at, " Win=", note != NULL ? note->window : vx_be16(header + 14));
    at = put_named_number(at, " Len=", seen->payload_length);
    return put_tcp_options(at, header + TCP_HEADER, (size_t)(header[12] >> 4) * 4 - TCP_HEADER, flags);
}

static char *put_udp(char *at, const vx_seen *seen) {
    at = put_number(at, seen->source_port);
    at = put(at, " → ");
    at = put_number(at, seen->destination_port);
    return put_named_number(at, " Len=", seen->payload_length);
}

static char *put_echo(char *at, const vx_seen *seen, const char *name) {
    const uint8_t *header = seen->header;
    at = put(at, name);
    at = put(at, " id=0x");
    at = put_hex(at, vx_be16(header + 4), 4);
    at = put_named_number(at, ", seq=", vx_be16(header + 6));
    if (seen->is_ipv6)
        return put_named_number(at, ", hop limit=", seen->ttl);
    *at++ = '/';
    at = put_number(at, (uint64_t)header[7] << 8 | header[6]);
    return put_named_number(at, ", ttl=", seen->ttl);
}

static char *put_icmp(char *at, const vx_seen *seen) {
    switch (seen->header[0]) {
    case 0:
        return put_echo(at, seen, "Echo (ping) reply   ");
    case 8:
        return put_echo(at, seen, "Echo (ping) request ");
    default:
        return at;
    }
}

static char *put_icmpv6(char *at, const vx_seen *seen) {
    switch (seen->header[0]) {
    case 128:
        return put_echo(at, seen, "Echo (ping) request");
    case 129:
        return put_echo(at, seen, "Echo (ping) reply");
    default:
        return at;
    }
}

void vx_info_write(vx_text *text, const vx_seen *seen, const vx_stream_note *note) {
    if (!vx_text_room(text, LINE_ROOM))
        return;
    char *start = text->at + text->size, *at = start;
    switch (seen->tells) {
    case VX_TELLS_TCP:
        at = put_tcp(at, seen, note);
        break;
    case VX_TELLS_UDP:
        at = put_udp(at, seen);
        break;
    case VX_TELLS_ICMP:
        at = put_icmp(at, seen);
        break;
    case VX_TELLS_ICMPV6:
        at = put_icmpv6(at, seen);
        break;
    default:
        break;
    }
    text->size += (size_t)(at - start);
}
