/* See quote.h for what is promised, and vxtool/engine/quote.py for the same in plain words. */
#include "quote.h"

#include "usual.h"

enum { ETHERTYPE_TEB = 0x6558 };
enum { HEADER_AH = 51, HEADER_FRAGMENT = 44, MOST_EXTENSIONS = 16 };
enum { DCCP = 33, SCTP = 132, UDP_LITE = 136 };

typedef struct {
    const uint8_t *data;
    size_t size;
} octets;

typedef struct {
    const uint8_t *addresses;
    size_t payload; /* offset */
    uint32_t length;
    uint8_t version;
    uint8_t protocol;
    bool is_tail;
} quoted_ip;

static inline bool has(const octets *bytes, size_t at, size_t size) {
    return at <= bytes->size && size <= bytes->size - at;
}

static void read_ipv6(quoted_ip *ip, const octets *bytes, size_t at) {
    const uint8_t *header = bytes->data + at;
    *ip = (quoted_ip){header + 8, at + 40, 40 + vx_big16(header + 4), 6, header[6], false};
    for (unsigned i = 0; i < MOST_EXTENSIONS && !ip->is_tail && has(bytes, ip->payload, 8); i++) {
        const uint8_t *extension = bytes->data + ip->payload;
        switch (ip->protocol) {
        case 0:
        case 43:
        case 60:
        case 135:
        case 139:
        case 140:
            ip->payload += 8 + (size_t)extension[1] * 8;
            break;
        case HEADER_AH:
            ip->payload += 8 + (size_t)extension[1] * 4;
            break;
        case HEADER_FRAGMENT:
            ip->is_tail = (vx_big16(extension + 2) & 0xfff8) != 0;
            ip->payload += 8;
            break;
        default:
            return;
        }
        ip->protocol = extension[0];
    }
}

static bool read_ip(quoted_ip *ip, const octets *bytes, size_t at) {
    if (!has(bytes, at, 1))
        return false;
    const uint8_t *header = bytes->data + at;
    if (header[0] >> 4 == 4 && has(bytes, at, 20) && (header[0] & 15) >= 5) {
        *ip = (quoted_ip){
            .addresses = header + 12,
            .payload = at + (header[0] & 15) * 4u,
            .length = vx_big16(header + 2),
            .version = 4,
            .protocol = header[9],
            .is_tail = (vx_big16(header + 6) & 0x1fff) != 0,
        };
        return true;
    }
    if (header[0] >> 4 != 6 || !has(bytes, at, 40))
        return false;
    read_ipv6(ip, bytes, at);
    return true;
}

static void copy_addresses(uint8_t to[32], const quoted_ip *ip) {
    memset(to, 0, 32);
    memcpy(to, ip->addresses, ip->version == 6 ? 32 : 8);
}

static bool has_ports(uint8_t protocol) {
    return protocol == VX_TCP || protocol == VX_UDP || protocol == DCCP || protocol == SCTP ||
           protocol == UDP_LITE;
}

static bool is_echo(const quoted_ip *ip, uint8_t type) {
    if (ip->version == 4)
        return ip->protocol == VX_ICMP && (type == 0 || type == 8);
    return ip->protocol == VX_ICMPV6 && (type == 128 || type == 129);
}

static void read_flow(vx_ends *flow, const octets *bytes, const quoted_ip *ip) {
    *flow = (vx_ends){.protocol = ip->protocol, .shape = ip->version == 6 ? VX_KEY_IPV6 : 0};
    copy_addresses(flow->addresses, ip);
    if (ip->is_tail)
        flow->fragment_offset = 1;
    bool with_ports = has_ports(ip->protocol);
    if (ip->is_tail || !has(bytes, ip->payload, with_ports ? 4 : 8))
        return;
    const uint8_t *transport = bytes->data + ip->payload;
    if (with_ports) {
        flow->source_port = (uint16_t)vx_big16(transport);
        flow->destination_port = (uint16_t)vx_big16(transport + 2);
        flow->shape |= VX_KEY_SOURCE_PORT | VX_KEY_DESTINATION_PORT;
    } else if (is_echo(ip, transport[0])) {
        flow->source_port = (uint16_t)vx_big16(transport + 4);
        flow->shape |= VX_KEY_SOURCE_PORT;
    }
}

/* `header`: where that of the tunnel begins. */
static void read_tunnel(vx_quote *quote, const octets *bytes, size_t header, uint8_t kind) {
    if (!has(bytes, header, 8))
        return;
    size_t at = header + 8;
    uint32_t ethertype = ETHERTYPE_TEB;
    if (kind == VX_VXLAN_GPE && bytes->data[header] & VX_GPE_WITH_NEXT)
        ethertype = vx_gpe_ethertype(bytes->data[header + 3]);
    if (kind == VX_GENEVE) {
        if (bytes->data[header] >> 6 != 0)
            return;
        at += (bytes->data[header] & 0x3f) * 4u;
        ethertype = vx_big16(bytes->data + header + 2);
    }
    quote->vni = (int32_t)(vx_big32(bytes->data + header + 4) >> 8);
    if (ethertype == ETHERTYPE_TEB) {
        if (!has(bytes, at, 14))
            return;
        at += 14;
        ethertype = vx_big16(bytes->data + at - 2);
        while ((ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100) && has(bytes, at, 4)) {
            ethertype = vx_big16(bytes->data + at + 2);
            at += 4;
        }
    }
    quoted_ip ip;
    if ((ethertype == VX_ETHERTYPE_IPV4 || ethertype == VX_ETHERTYPE_IPV6) && read_ip(&ip, bytes, at))
        read_flow(&quote->flow, bytes, &ip);
}

void vx_read_quote(vx_quote *quote, const uint8_t *data, size_t size, const uint8_t *wears) {
    const octets bytes = {data, size};
    *quote = (vx_quote){.flow = {.shape = VX_KEY_OPAQUE}, .vni = -1, .wear = VX_PLAIN};
    quoted_ip ip;
    if (!read_ip(&ip, &bytes, 0))
        return;
    quote->version = ip.version;
    quote->length = ip.length;
    copy_addresses(quote->addresses, &ip);
    uint8_t kind = VX_PLAIN;
    if (ip.protocol == VX_UDP && !ip.is_tail && has(&bytes, ip.payload, 4))
        kind = wears[vx_big16(data + ip.payload + 2)];
    quote->wear = kind == VX_VXLAN_GPE ? VX_VXLAN : kind;
    if (kind != VX_PLAIN)
        read_tunnel(quote, &bytes, ip.payload + 8, kind);
    else
        read_flow(&quote->flow, &bytes, &ip);
}
