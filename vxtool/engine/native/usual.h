/* Nearly every frame of a tunnel has one shape: IP without options, extensions or fragments, UDP, VXLAN,
 * Ethernet, again such an IP, TCP or UDP. Where routers fragment, it is that in two or more. Then every field
 * lies where it always lies, and is read from there instead of by a walk from header to header: a third of
 * the instructions. Anything out of the ordinary is left to vx_frame_read. Both versions of IP are compiled
 * apart, outside and inside, so that offsets are constants; and all of it is compiled into those who call it,
 * which saved a sixth of them again. */
#ifndef VXTOOL_USUAL_H
#define VXTOOL_USUAL_H

#include "frame.h"

enum { VX_ETHERTYPE_IPV4 = 0x0800, VX_ETHERTYPE_IPV6 = 0x86dd };
enum { VX_SLL2_HEADER = 20, VX_ETHERNET_HEADER = 14 };
enum { VX_TUNNEL_HEADER = 8, VX_TCP_LEAST = 20 };
enum { VX_KEY_PAYLOAD = 64 };
/* Timestamps alone, as Linux aligns them (RFC 7323, appendix A). */
enum { VX_TIMESTAMPS_ALONE = 0x0101080a, VX_TIMESTAMPS_SIZE = 12 };

static VX_ALWAYS_INLINE uint32_t vx_big16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static VX_ALWAYS_INLINE uint32_t vx_big32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static VX_ALWAYS_INLINE int64_t vx_usual_header(int version) { return version == 4 ? 20 : 40; }

/* Whether an IP packet has just this header, and is no fragment. With `may_be_first`, one of IPv4 may be the
 * first of several: all but its tails are the same to who does not ask for the others. */
static VX_ALWAYS_INLINE bool vx_is_usual_ip(const uint8_t *ip, int version, bool may_be_first) {
    static const uint8_t whole[] = {0xff, 0, 0, 0, 0, 0, 0x3f, 0xff};
    static const uint8_t first[] = {0xff, 0, 0, 0, 0, 0, 0x1f, 0xff};
    static const uint8_t header[] = {0x45, 0, 0, 0, 0, 0, 0, 0};
    if (version == 4)
        return (vx_load64(ip) & vx_load64(may_be_first ? first : whole)) == vx_load64(header);
    return ip[0] >> 4 == 6;
}

/* Whether a VXLAN header has the flag of a valid VNI, and nothing else but that: reserved bits and those of
 * extensions are 0. */
static VX_ALWAYS_INLINE bool vx_is_usual_vxlan(const uint8_t *at) {
    static const uint8_t fixed[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff};
    static const uint8_t header[] = {0x08, 0, 0, 0, 0, 0, 0, 0};
    return (vx_load64(at) & vx_load64(fixed)) == vx_load64(header);
}

static VX_ALWAYS_INLINE uint16_t vx_load16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Sums of 16-bit words (RFC 1071), in the machine's own order and eight bytes at a time: what is carried is
 * counted, and then belongs at the other end, since 2^64 - 1 is a multiple of 2^16 - 1. */
typedef struct {
    uint64_t low;
    uint64_t carried;
} vx_sum;

static VX_ALWAYS_INLINE void vx_add_word(vx_sum *sum, uint64_t word) {
    sum->low += word;
    sum->carried += sum->low < word;
}

static VX_ALWAYS_INLINE void vx_add_32(vx_sum *sum, const uint8_t *at) {
    vx_add_word(sum, vx_load64(at));
    vx_add_word(sum, vx_load64(at + 8));
    vx_add_word(sum, vx_load64(at + 16));
    vx_add_word(sum, vx_load64(at + 24));
}

static VX_ALWAYS_INLINE vx_sum vx_add_octets(vx_sum sum, const uint8_t *at, size_t length) {
    for (const uint8_t *end = at + (length & ~(size_t)31); at != end; at += 32)
        vx_add_32(&sum, at);
    if (length & 16) {
        vx_add_word(&sum, vx_load64(at));
        vx_add_word(&sum, vx_load64(at + 8));
        at += 16;
    }
    if (length & 8) {
        vx_add_word(&sum, vx_load64(at));
        at += 8;
    }
    if (length & 4) {
        vx_add_word(&sum, vx_load32(at));
        at += 4;
    }
    if (length & 2) {
        vx_add_word(&sum, vx_load16(at));
        at += 2;
    }
    if (length & 1) {
        const uint8_t last[2] = {*at, 0};
        vx_add_word(&sum, vx_load16(last));
    }
    return sum;
}

static VX_ALWAYS_INLINE uint32_t vx_fold(vx_sum wide) {
    uint64_t sum = (wide.low & UINT32_MAX) + (wide.low >> 32) + wide.carried;
    sum = (sum & UINT16_MAX) + (sum >> 16);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    return (uint32_t)((sum & UINT16_MAX) + (sum >> 16));
}

/* The sum of the pseudo header of a UDP datagram (RFC 768; RFC 8200, section 8.1). */
static VX_ALWAYS_INLINE vx_sum vx_pseudo_sum(const uint8_t *addresses, bool ipv6, uint32_t length) {
    const uint8_t rest[4] = {0, VX_UDP, (uint8_t)(length >> 8), (uint8_t)length};
    vx_sum sum = {.low = vx_load32(rest)};
    if (ipv6)
        vx_add_32(&sum, addresses);
    else
        vx_add_word(&sum, vx_load64(addresses));
    return sum;
}

/* Whether its checksum is right. */
static VX_ALWAYS_INLINE bool vx_is_summed_up(const uint8_t *addresses, bool ipv6, const uint8_t *udp,
                                             uint32_t length) {
    return vx_fold(vx_add_octets(vx_pseudo_sum(addresses, ipv6, length), udp, length)) == UINT16_MAX;
}

/* How a usual packet went. */
typedef enum { VX_NOT_USUAL, VX_USUAL, VX_USUAL_WITH_CHECKSUM } vx_usual;

/* Its length; 0: it is not told. */
static VX_ALWAYS_INLINE int64_t vx_usual_length(const uint8_t *ip, int version) {
    if (version == 4)
        return (int64_t)vx_big16(ip + 2);
    return vx_big16(ip + 4) > 0 ? 40 + (int64_t)vx_big16(ip + 4) : 0;
}

static VX_ALWAYS_INLINE uint8_t vx_usual_protocol(const uint8_t *ip, int version) {
    return version == 4 ? ip[9] : ip[6];
}

static VX_ALWAYS_INLINE uint8_t vx_usual_ttl(const uint8_t *ip, int version) {
    return version == 4 ? ip[8] : ip[7];
}

static VX_ALWAYS_INLINE const uint8_t *vx_usual_addresses(const uint8_t *ip, int version) {
    return ip + (version == 4 ? 12 : 8);
}

/* The hash of `there` bytes of payload behind `headers` of an innermost packet, or of what a key takes of
 * them. */
static VX_ALWAYS_INLINE uint64_t vx_usual_payload(const uint8_t *at, int64_t there, int64_t headers,
                                                  const vx_reading *told) {
    int64_t within = told->budget - headers;
    int64_t taken = there < within ? there : within;
    if (taken <= 0)
        return told->no_payload;
    return vx_hash(at, (size_t)(taken < VX_KEY_PAYLOAD ? taken : VX_KEY_PAYLOAD), told->seed);
}

/* The inner IP packet at `ip`, of whose bytes `there` are at hand and for which there is `room`; false: it is
 * not that usual. */
static VX_ALWAYS_INLINE bool vx_read_usual_inner(vx_key *key, vx_traits *traits, const uint8_t *ip,
                                                 int64_t there, int64_t room, int version,
                                                 const vx_reading *told) {
    const int64_t ip_header = vx_usual_header(version);
    if (there < ip_header + VX_UDP_HEADER || !vx_is_usual_ip(ip, version, true))
        return false;
    int64_t length = vx_usual_length(ip, version);
    uint8_t protocol = vx_usual_protocol(ip, version);
    if (length == 0 || length > room)
        return false;
    there = there < length ? there : length;
    const uint8_t *transport = ip + ip_header;
    int64_t header = VX_UDP_HEADER;
    if (protocol == VX_TCP) {
        header = there >= ip_header + VX_TCP_LEAST ? (transport[12] >> 4) * 4 : 0;
        if (header < VX_TCP_LEAST)
            return false;
    } else if (protocol != VX_UDP) {
        return false;
    }
    int64_t headers = ip_header + header;
    if (headers > there)
        return false;

    traits->inner_ttl = vx_usual_ttl(ip, version);
    traits->inner_length = (uint32_t)length;
    traits->payload_length = (uint32_t)(length - headers);
    traits->mss = 0;
    vx_ends *ends = &key->ends;
    ends->source_port = (uint16_t)vx_big16(transport);
    ends->destination_port = (uint16_t)vx_big16(transport + 2);
    ends->fragment_offset = 0;
    ends->protocol = protocol;
    ends->shape = VX_KEY_SOURCE_PORT | VX_KEY_DESTINATION_PORT | (version == 6 ? VX_KEY_IPV6 : 0);
    if (version == 4) {
        memcpy(ends->addresses, vx_usual_addresses(ip, 4), 8);
        memset(ends->addresses + 8, 0, 24);
        key->identification = vx_big16(ip + 4);
        key->length = VX_KEY_TRANSPORT | (ip[6] & 0x40 ? (uint32_t)length : 0);
    } else {
        memcpy(ends->addresses, vx_usual_addresses(ip, 6), 32);
        key->identification = 0;
        key->length = VX_KEY_TRANSPORT | (uint32_t)length;
    }
    if (protocol == VX_TCP) {
        traits->tcp_flags = transport[13];
        traits->options = (uint8_t)(header - VX_TCP_LEAST);
        memcpy(key->transport, transport + 4, 8);
        if (header == VX_TCP_LEAST + VX_TIMESTAMPS_SIZE &&
            vx_big32(transport + VX_TCP_LEAST) == VX_TIMESTAMPS_ALONE) {
            memcpy(key->transport + 2, transport + VX_TCP_LEAST + 4, 8);
        } else {
            memset(key->transport + 2, 0, 8);
            if (header > VX_TCP_LEAST)
                vx_read_tcp_options(key, traits, transport + VX_TCP_LEAST, transport + header);
        }
    } else {
        if (VX_RARELY(told->wears[vx_big16(transport + 2)] != VX_PLAIN))
            return false; /* it may be a tunnel inside */
        traits->tcp_flags = traits->options = 0;
        memset(key->transport, 0, sizeof key->transport);
        key->transport[0] = vx_big16(transport + 4);
    }
    key->payload = vx_usual_payload(transport + header, there - headers, headers, told);
    return true;
}

/* The offset and the mark of more to come of an IPv4 packet: 0 of a whole one. */
static VX_ALWAYS_INLINE uint32_t vx_usual_fragment(const uint8_t *ip) { return vx_big16(ip + 6) & 0x3fff; }

enum { VX_MORE_FRAGMENTS = 0x2000 };

/* The outer IP packet at `ip`, of whose bytes `there` are at hand and for which there is `room`. With
 * `is_first`, which asks for IPv4, it is the first of several fragments; else it is whole, and may have a UDP
 * checksum. Of its traits all but the direction are set; where it is not that usual, what they are is open.
 */
static VX_ALWAYS_INLINE vx_usual vx_read_usual(vx_key *key, vx_traits *traits, vx_outer *outer,
                                               const uint8_t *ip, int64_t there, int64_t room, int version,
                                               bool is_first, const vx_reading *told) {
    const int64_t ip_header = vx_usual_header(version);
    const int64_t inner_at = ip_header + VX_UDP_HEADER + VX_TUNNEL_HEADER + VX_ETHERNET_HEADER;
    if (there < inner_at || !vx_is_usual_ip(ip, version, is_first))
        return VX_NOT_USUAL;
    int64_t length = vx_usual_length(ip, version);
    if (length == 0 || length > room || vx_usual_protocol(ip, version) != VX_UDP)
        return VX_NOT_USUAL;
    const uint8_t *udp = ip + ip_header, *inner = ip + inner_at;
    int64_t frame_end = ip_header + vx_big16(udp + 4);
    uint32_t destination_port = vx_big16(udp + 2);
    if (told->wears[destination_port] != VX_VXLAN || (!is_first && frame_end > length))
        return VX_NOT_USUAL;
    if (!vx_is_usual_vxlan(udp + VX_UDP_HEADER))
        return VX_NOT_USUAL;
    if (is_first) {
        there = there < length ? there : length;
        length = frame_end; /* of the whole, as its headers tell it */
    }
    there -= inner_at;
    room = frame_end - inner_at;
    uint32_t ethertype = vx_big16(inner - 2);
    if (ethertype == VX_ETHERTYPE_IPV4) {
        if (!vx_read_usual_inner(key, traits, inner, there, room, 4, told))
            return VX_NOT_USUAL;
    } else if (ethertype != VX_ETHERTYPE_IPV6 ||
               !vx_read_usual_inner(key, traits, inner, there, room, 6, told)) {
        return VX_NOT_USUAL;
    }
    traits->vni = vx_big32(udp + VX_UDP_HEADER + 4) >> 8;
    traits->outer_id = version == 4 ? vx_big16(ip + 4) : 0;
    traits->outer_length = (uint32_t)length;
    traits->outer_header = (uint16_t)ip_header;
    traits->source_port = (uint16_t)vx_big16(udp);
    traits->wear = VX_VXLAN;
    traits->outer_ttl = vx_usual_ttl(ip, version);
    *outer = (vx_outer){vx_usual_addresses(ip, version), (uint16_t)destination_port, VX_VXLAN, version == 6};
    return vx_load16(udp + 6) != 0 ? VX_USUAL_WITH_CHECKSUM : VX_USUAL;
}

/* VX_VERIFIED_CHECKSUM, and VX_WRONG_CHECKSUM where that is wrong, of a usual packet, whole and just read,
 * whose UDP checksum is not 0; or 0, where it cannot be told. */
static VX_ALWAYS_INLINE uint8_t vx_verify_usual(const uint8_t *ip, int64_t there, int version) {
    const int64_t ip_header = vx_usual_header(version);
    const uint8_t *udp = ip + ip_header;
    const uint8_t *inner = udp + VX_UDP_HEADER + VX_TUNNEL_HEADER + VX_ETHERNET_HEADER;
    uint32_t length = vx_big16(udp + 4);
    int inner_version = inner[0] >> 4;
    if (length > VX_MOST_VERIFIED || ip_header + length > there ||
        vx_usual_length(inner, inner_version) != udp + length - inner ||
        (inner_version == 4 && vx_usual_fragment(inner) != 0))
        return 0;
    if (vx_is_summed_up(vx_usual_addresses(ip, version), version == 6, udp, length))
        return VX_VERIFIED_CHECKSUM;
    vx_checked checked = {
        .addresses = vx_usual_addresses(ip, version),
        .udp = udp,
        .length = length,
        .transport = inner + vx_usual_header(inner_version),
        .protocol = vx_usual_protocol(inner, inner_version),
        .ipv6 = version == 6,
    };
    return vx_judge_sum(&checked);
}

/* The same of an IPv4 packet whose 20 bytes are there, and which is a fragment, and not the first. Its key
 * has the tag that vx_tag_key would give it, made of what is in registers; but none of a flow, as which it is
 * not counted. */
static VX_ALWAYS_INLINE bool vx_read_usual_tail(vx_tagged_key *tagged, vx_traits *traits, const uint8_t *ip,
                                                int64_t there, int64_t room, const vx_reading *told,
                                                const vx_secrets *secrets) {
    const int64_t header = vx_usual_header(4);
    int64_t length = vx_usual_length(ip, 4);
    if (ip[0] != 0x45 || length < header || length > room)
        return false;
    there = there < length ? there : length;
    *traits = (vx_traits){
        .outer_length = (uint32_t)length,
        .inner_length = (uint32_t)length,
        .outer_header = (uint16_t)header,
        .outer_ttl = vx_usual_ttl(ip, 4),
        .inner_ttl = vx_usual_ttl(ip, 4),
        .wear = VX_PLAIN,
    };
    const uint8_t *addresses = vx_usual_addresses(ip, 4);
    uint64_t payload = vx_usual_payload(ip + header, there - header, header, told);
    uint32_t identification = vx_big16(ip + 4), told_length = ip[6] & 0x40 ? (uint32_t)length : 0;
    uint16_t offset = (uint16_t)((vx_usual_fragment(ip) & ~(uint32_t)VX_MORE_FRAGMENTS) * 8);
    uint8_t protocol = vx_usual_protocol(ip, 4);
    tagged->key = (vx_key){
        .payload = payload,
        .identification = identification,
        .length = told_length,
        .ends.fragment_offset = offset,
        .ends.protocol = protocol,
    };
    memcpy(tagged->key.ends.addresses, addresses, 8);
    uint64_t hash = vx_hash_addressed(vx_word_of_ends(0, 0, offset, protocol, 0), addresses, false, secrets);
    const uint64_t transport[2] = {0, 0};
    tagged->tag = vx_key_tag(hash, payload, transport, vx_word_of(identification, told_length), secrets);
    tagged->flow_tag = 0;
    return true;
}

#endif
