#include "info.h"

#include "put.h"
#include "tell.h"

enum {
    TCP_SYN = 2,
    TCP_ACK = 16,
    TCP_URG = 32,
    TCP_SIZE = 20,
    UDP_SIZE = 8,
    ICMP_SIZE = 8,

    /* More than any line takes but for those that list what a message holds, which ask for room themselves.
     */
    LINE_ROOM = 1024,
};

/* Texts of types and codes, as Wireshark has them; NULL: none. */

struct icmp_type {
    const char *name;
    bool has_id;              /* and a sequence number */
    const char *const *codes; /* NULL: codes are not told */
    size_t code_count;
};

static const char *const unreachable_codes[] = {
    "Network unreachable",
    "Host unreachable",
    "Protocol unreachable",
    "Port unreachable",
    "Fragmentation needed",
    "Source route failed",
    "Destination network unknown",
    "Destination host unknown",
    "Source host isolated",
    "Network administratively prohibited",
    "Host administratively prohibited",
    "Network unreachable for TOS",
    "Host unreachable for TOS",
    "Communication administratively filtered",
    "Host precedence violation",
    "Precedence cutoff in effect",
};
static const char *const redirect_codes[] = {
    "Redirect for network",
    "Redirect for host",
    "Redirect for TOS and network",
    "Redirect for TOS and host",
};
static const char *const alternate_codes[] = {"Alternate address for host"};
static const char *const exceeded_codes[] = {
    "Time to live exceeded in transit",
    "Fragment reassembly time exceeded",
};
static const char *const parameter_codes[] = {
    "Pointer indicates the error",
    "Required option missing",
    "Bad length",
};
static const char *const advertisement_codes[17] = {
    [0] = "Normal router advertisement",
    [16] = "Does not route common traffic",
};
static const char *const photuris_codes[] = {
    "Bad SPI",           "Authentication Failed", "Decompression Failed",
    "Decryption Failed", "Need Authentication",   "Need Authorization",
};
static const char *const extended_request_codes[] = {"No error"};
static const char *const extended_reply_codes[] = {
    "No error",
    "Malformed Query",
};

#define CODES(codes) (codes), sizeof(codes) / sizeof *(codes)

static const struct icmp_type icmp_types[] = {
    [0] = {.name = "Echo (ping) reply", .has_id = true},
    [1] = {.name = "Reserved"},
    [2] = {.name = "Reserved"},
    [3] = {"Destination unreachable", false, CODES(unreachable_codes)},
    [4] = {.name = "Source quench (flow control)"},
    [5] = {"Redirect", false, CODES(redirect_codes)},
    [6] = {"Alternate host address", false, CODES(alternate_codes)},
    [8] = {.name = "Echo (ping) request", .has_id = true},
    [9] = {"Router advertisement", false, CODES(advertisement_codes)},
    [10] = {.name = "Router solicitation"},
    [11] = {"Time-to-live exceeded", false, CODES(exceeded_codes)},
    [12] = {"Parameter problem", false, CODES(parameter_codes)},
    [13] = {.name = "Timestamp request", .has_id = true},
    [14] = {.name = "Timestamp reply", .has_id = true},
    [15] = {.name = "Information request", .has_id = true},
    [16] = {.name = "Information reply", .has_id = true},
    [17] = {.name = "Address mask request", .has_id = true},
    [18] = {.name = "Address mask reply", .has_id = true},
    [19] = {.name = "Reserved (for security)"},
    [30] = {.name = "Traceroute"},
    [31] = {.name = "Datagram Conversion Error"},
    [32] = {.name = "Mobile Host Redirect"},
    [33] = {.name = "IPv6 Where-Are-You"},
    [34] = {.name = "IPv6 I-Am-Here"},
    [35] = {.name = "Mobile Registration Request"},
    [36] = {.name = "Mobile Registration Reply"},
    [37] = {.name = "Domain Name Request"},
    [38] = {.name = "Domain Name Reply"},
    [39] = {.name = "SKIP"},
    [40] = {"Photuris", false, CODES(photuris_codes)},
    [41] = {.name = "Experimental mobility protocols"},
    [42] = {"Extended Echo request", false, CODES(extended_request_codes)},
    [43] = {"Extended Echo reply", false, CODES(extended_reply_codes)},
};

enum { ICMP_TYPES = sizeof icmp_types / sizeof *icmp_types, ICMP_NAME_WIDTH = 20 };

static const char *const unreachable6_codes[] = {
    "no route to destination",
    "Administratively prohibited",
    "Beyond scope of source address",
    "Address unreachable",
    "Port unreachable",
    "Source address failed ingress/egress policy",
    "Reject route to destination",
    "Error in Source Routing Header",
};
static const char *const exceeded6_codes[] = {
    "hop limit exceeded in transit",
    "fragment reassembly time exceeded",
};
static const char *const parameter6_codes[] = {
    "erroneous header field encountered",
    "unrecognized Next Header type encountered",
    "unrecognized IPv6 option encountered",
    "IPv6 First Fragment has incomplete IPv6 Header Chain",
};

enum {
    ICMPV6_UNREACHABLE = 1,
    ICMPV6_EXCEEDED = 3,
    ICMPV6_PARAMETER = 4,
    ICMPV6_ECHO_REQUEST = 128,
    ICMPV6_ECHO_REPLY = 129,
    ICMPV6_ROUTER_SOLICITATION = 133,
    ICMPV6_ROUTER_ADVERTISEMENT = 134,
    ICMPV6_NEIGHBOR_SOLICITATION = 135,
    ICMPV6_NEIGHBOR_ADVERTISEMENT = 136,
    ICMPV6_REDIRECT = 137,

    OPTION_SOURCE_LINK = 1,
    OPTION_TARGET_LINK = 2,
};

static const char *icmpv6_name(uint8_t type) {
    static const char *const low[] = {
        [1] = "Destination Unreachable",
        [2] = "Packet Too Big",
        [3] = "Time Exceeded",
        [4] = "Parameter Problem",
    };
    static const char *const high[] = {
        "Echo (ping) request",
        "Echo (ping) reply",
        "Multicast Listener Query",
        "Multicast Listener Report",
        "Multicast Listener Done",
        "Router Solicitation",
        "Router Advertisement",
        "Neighbor Solicitation",
        "Neighbor Advertisement",
        "Redirect",
        "Router Renumbering",
        "Node Information Query",
        "Node Information Reply",
        "Inverse Neighbor Discovery Solicitation",
        "Inverse Neighbor Discovery Advertisement",
        "Multicast Listener Report Message v2",
        "Home Agent Address Discovery Request",
        "Home Agent Address Discovery Reply",
        "Mobile Prefix Solicitation",
        "Mobile Prefix Advertisement",
        "Certification Path Solicitation",
        "Certification Path Advertisement",
        NULL,
        "Multicast Router Advertisement",
        "Multicast Router Solicitation",
        "Multicast Router Termination",
        "FMIPv6",
        "RPL Control",
        NULL,
        "Duplicate Address Request",
        "Duplicate Address Confirmation",
        "MPL Control Message",
        "Extended Echo request",
        "Extended Echo reply",
    };
    if (type < sizeof low / sizeof *low)
        return low[type];
    if (type == 100 || type == 101 || type == 200 || type == 201)
        return "Private experimentation";
    if (type == 127)
        return "Reserved for expansion of ICMPv6 error messages";
    if (type == 255)
        return "Reserved for expansion of ICMPv6 informational messages";
    return type >= 128 && type - 128u < sizeof high / sizeof *high ? high[type - 128] : NULL;
}

/* TCP. */

static char *put_ports(char *at, const vx_seen *seen) {
    at = vx_put_number(at, seen->source_port);
    static const char arrow[] = " → ";
    memcpy(at, arrow, sizeof arrow - 1);
    return vx_put_number(at + sizeof arrow - 1, seen->destination_port);
}

/* The names of the 12 bits from FIN on; those that are reserved have one. */
static char *put_flags(char *at, unsigned flags) {
    static const char *const names[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"};
    /* The usual ones first: this is half of all lines. */
    if (flags == 0x10)
        return vx_put(at, " [ACK]");
    if (flags == 0x18)
        return vx_put(at, " [PSH, ACK]");
    at = vx_put(at, " [");
    bool first = true;
    for (unsigned bit = 0; bit < 10; bit++) {
        if (!(bit < 9 ? flags >> bit & 1 : flags >> 9))
            continue;
        if (!first)
            at = vx_put(at, ", ");
        first = false;
        at = vx_put(at, bit < 9 ? names[bit] : "Reserved");
    }
    return vx_put(at, first ? "<None>]" : "]");
}

/* One option of TCP, of `size` bytes; `base` is what an acknowledgement is counted from. */
static char *put_option(char *at, const uint8_t *option, size_t size, uint32_t base) {
    switch (option[0]) {
    case 2:
        return size == 4 ? vx_put_named(at, " MSS=", vx_be16(option + 2)) : at;
    case 3:
        return size == 3 ? vx_put_named(at, " WS=", UINT64_C(1) << (option[2] < 14 ? option[2] : 14)) : at;
    case 4:
        return vx_put(at, " SACK_PERM");
    case 5:
        for (size_t i = 2; i + 8 <= size; i += 8) {
            at = vx_put_named(at, " SLE=", (uint32_t)(vx_be32(option + i) - base));
            at = vx_put_named(at, " SRE=", (uint32_t)(vx_be32(option + i + 4) - base));
        }
        return at;
    case 6:
    case 7:
        return size == 6 ? vx_put_named(at, " ECHO=", vx_be32(option + 2)) : at;
    case 8:
        if (size != 10)
            return at;
        at = vx_put_named(at, " TSval=", vx_be32(option + 2));
        return vx_put_named(at, " TSecr=", vx_be32(option + 6));
    case 11:
    case 12:
    case 13:
        return size == 6 ? vx_put_named(at, " CC=", vx_be32(option + 2)) : at;
    case 19:
        return size == 18 ? vx_put(at, " MD5") : at;
    case 28:
        return size == 4 ? vx_put_named(at, " USER_TO=", vx_be16(option + 2) & 0x7FFF) : at;
    case 34:
        return vx_put(at, size > 2 ? " TFO=C" : " TFO=R");
    case 253:
    case 254:
        if (size >= 4 && vx_be16(option + 2) == 0xF989)
            return vx_put(at, size > 4 ? " TFO=C" : " TFO=R");
        return at;
    default:
        return at;
    }
}

static char *put_options(char *at, const uint8_t *option, size_t left, uint32_t base) {
    while (left > 0 && option[0] != 0) {
        size_t size = vx_tcp_option_size(option, left);
        if (size == 0)
            break;
        if (option[0] != 1)
            at = put_option(at, option, size, base);
        option += size;
        left -= size;
    }
    return at;
}

static char *put_tcp(char *at, const vx_seen *seen, const vx_stream_note *note) {
    const uint8_t *header = seen->told;
    at = put_ports(at, seen);
    if (seen->told_captured < 16)
        return at;
    unsigned flags = vx_be16(header + 12) & 0xFFF;
    uint32_t acknowledgement = vx_be32(header + 8);
    at = put_flags(at, flags);
    at = vx_put_named(at, " Seq=", note != NULL ? note->sequence : vx_be32(header + 4));
    if (flags & TCP_ACK)
        at = vx_put_named(at, " Ack=", note != NULL ? note->acknowledgement : acknowledgement);
    at = vx_put_named(at, " Win=", note != NULL ? note->window : vx_be16(header + 14));
    size_t size = (size_t)(header[12] >> 4) * 4;
    if (size < TCP_SIZE) {
        at = vx_put_named(at, ", bogus TCP header length (", size);
        return vx_put(at, ", must be at least 20)");
    }
    if (seen->header == NULL)
        return at;
    if (flags & TCP_URG)
        at = vx_put_named(at, " Urg=", vx_be16(header + 18));
    at = vx_put_named(at, " Len=", seen->payload_length);
    if (size > seen->told_captured)
        size = seen->told_captured;
    return put_options(at, header + TCP_SIZE, size - TCP_SIZE,
                       note != NULL ? acknowledgement - note->acknowledgement : 0);
}

/* Whether Wireshark says of TCP that it is not whole. */
static bool is_short_tcp(const vx_seen *seen) {
    if (seen->told_captured < 16)
        return true;
    size_t size = (size_t)(seen->told[12] >> 4) * 4;
    return size >= TCP_SIZE && size > seen->told_captured;
}

/* UDP. */

static char *put_udp(char *at, const vx_seen *seen) {
    const uint8_t *header = seen->told, *ip = seen->ip;
    at = put_ports(at, seen);
    if (seen->told_captured < 6)
        return at;
    unsigned claimed = vx_be16(header + 4);
    if (claimed == 0 && (seen->is_ipv6 || seen->told_length > 0xFFFF)) {
        at = vx_put_named(at, " Len=", seen->told_length > UDP_SIZE ? seen->told_length - UDP_SIZE : 0);
        at = vx_put(at, " [Jumbogram]");
    } else if (claimed < UDP_SIZE) {
        at = vx_put_named(at, " [BAD UDP LENGTH ", claimed);
        return vx_put(at, " < 8]");
    } else {
        /* What the IP header leaves; a fragment cannot say. */
        size_t before = (size_t)(header - ip);
        size_t packet = seen->is_ipv6 ? (size_t)vx_be16(ip + 4) + 40 : vx_be16(ip + 2);
        bool whole = seen->is_ipv6 || (vx_be16(ip + 6) & 0x3FFF) == 0;
        if (whole && packet > (seen->is_ipv6 ? 40 : 0) && packet >= before && claimed > packet - before) {
            at = vx_put_named(at, " [BAD UDP LENGTH ", claimed);
            at = vx_put(at, " > IP PAYLOAD LENGTH]");
        }
        at = vx_put_named(at, " Len=", claimed - UDP_SIZE);
    }
    if (seen->is_ipv6 && seen->told_captured >= UDP_SIZE && vx_be16(header + 6) == 0)
        at = vx_put(at, " [ILLEGAL CHECKSUM (0)]");
    return at;
}

/* ICMP. */

static char *put_icmp(char *at, const vx_seen *seen) {
    const uint8_t *message = seen->told;
    if (seen->told_captured < 4)
        return at;
    uint8_t type = message[0], code = message[1];
    const struct icmp_type *known =
        type < ICMP_TYPES && icmp_types[type].name != NULL ? &icmp_types[type] : NULL;
    const char *name = known != NULL ? known->name : "Unknown ICMP (obsolete or malformed?)";
    /* These two codes are a mobile agent's as well (RFC 5944, section 2.1), by whose name they go. */
    if (type == 9 && (code == 0 || code == 16))
        name = "Mobile IP Advertisement";
    char *start = at;
    at = vx_put(at, name);
    while (at < start + ICMP_NAME_WIDTH)
        *at++ = ' ';
    if (known == NULL)
        return at;
    if (known->codes != NULL) {
        at = vx_put(at, " (");
        if (code < known->code_count && known->codes[code] != NULL)
            at = vx_put(at, known->codes[code]);
        else
            at = vx_put_named(at, "Unknown code: ", code);
        *at++ = ')';
    }
    if (known->has_id && seen->told_captured >= ICMP_SIZE) {
        at = vx_put(at, " id=0x");
        at = vx_put_hex(at, vx_be16(message + 4), 4);
        at = vx_put_named(at, ", seq=", vx_be16(message + 6));
        *at++ = '/';
        at = vx_put_number(at, (uint64_t)message[7] << 8 | message[6]);
        at = vx_put_named(at, ", ttl=", seen->ttl);
    }
    return at;
}

/* The link-layer address options of neighbour discovery (RFC 4861, section 4.6.1). */
static char *put_neighbor_options(char *at, const vx_seen *seen, size_t offset) {
    size_t left = seen->told_captured > offset ? seen->told_captured - offset : 0;
    const uint8_t *option = seen->told + offset;
    /* Of more than some, as a made-up packet may hold, the first are enough. */
    for (unsigned count = 0; left >= 8 && count < 8; count++) {
        size_t size = (size_t)option[1] * 8;
        if (size == 0 || size > left)
            break;
        if (option[0] == OPTION_SOURCE_LINK || option[0] == OPTION_TARGET_LINK) {
            at = vx_put(at, option[0] == OPTION_SOURCE_LINK ? " from " : " is at ");
            at = vx_put_mac(at, option + 2);
        }
        option += size;
        left -= size;
    }
    return at;
}

static char *put_code(char *at, const char *const *codes, size_t count, uint8_t code) {
    at = vx_put(at, " (");
    at = code < count ? vx_put(at, codes[code]) : vx_put(at, "Unknown");
    if (code >= count && codes != unreachable6_codes) {
        at = vx_put_named(at, " (", code);
        *at++ = ')';
    }
    *at++ = ')';
    return at;
}

static char *put_icmpv6(char *at, const vx_seen *seen) {
    const uint8_t *message = seen->told;
    size_t captured = seen->told_captured;
    if (captured < 1)
        return at;
    const char *name = icmpv6_name(message[0]);
    if (name == NULL) {
        at = vx_put_named(at, "Unknown (", message[0]);
        *at++ = ')';
        return at;
    }
    at = vx_put(at, name);
    if (captured < 2)
        return at;
    switch (message[0]) {
    case ICMPV6_UNREACHABLE:
        return put_code(at, CODES(unreachable6_codes), message[1]);
    case ICMPV6_EXCEEDED:
        return put_code(at, CODES(exceeded6_codes), message[1]);
    case ICMPV6_PARAMETER:
        return put_code(at, CODES(parameter6_codes), message[1]);
    case ICMPV6_ECHO_REQUEST:
    case ICMPV6_ECHO_REPLY:
        if (captured < ICMP_SIZE)
            return at;
        at = vx_put(at, " id=0x");
        at = vx_put_hex(at, vx_be16(message + 4), 4);
        at = vx_put_named(at, ", seq=", vx_be16(message + 6));
        return seen->is_ipv6 ? vx_put_named(at, ", hop limit=", seen->ttl) : at;
    case ICMPV6_ROUTER_SOLICITATION:
        return put_neighbor_options(at, seen, 8);
    case ICMPV6_ROUTER_ADVERTISEMENT:
        return put_neighbor_options(at, seen, 16);
    case ICMPV6_NEIGHBOR_SOLICITATION:
        if (captured < 24)
            return at;
        at = vx_put_ipv6(vx_put(at, " for "), message + 8);
        return put_neighbor_options(at, seen, 24);
    case ICMPV6_NEIGHBOR_ADVERTISEMENT: {
        static const char *const flags[8] = {"none", "ovr",      "sol",      "sol, ovr",
                                             "rtr",  "rtr, ovr", "rtr, sol", "rtr, sol, ovr"};
        if (captured < 24)
            return at;
        at = vx_put_ipv6(vx_put(at, " "), message + 8);
        at = vx_put(vx_put(at, " ("), flags[message[4] >> 5]);
        return put_neighbor_options(vx_put(at, ")"), seen, 24);
    }
    case ICMPV6_REDIRECT:
        return put_neighbor_options(at, seen, 40);
    default:
        return at;
    }
}

/* How much of a message is read before it can be told whole. */
static size_t icmpv6_least(uint8_t type) {
    switch (type) {
    case ICMPV6_ROUTER_ADVERTISEMENT:
        return 16;
    case ICMPV6_NEIGHBOR_SOLICITATION:
    case ICMPV6_NEIGHBOR_ADVERTISEMENT:
        return 24;
    case ICMPV6_REDIRECT:
        return 40;
    default:
        return ICMP_SIZE;
    }
}

/* Errors quote the packet that they are of: the header of that one at least is read. */
static bool is_short_icmp(const vx_seen *seen) {
    if (seen->told_captured < ICMP_SIZE)
        return true;
    uint8_t type = seen->told[0];
    bool quotes = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
    return quotes && seen->payload_length > 0 && seen->payload_captured < 28 &&
           seen->payload_captured < seen->payload_length;
}

static bool is_short_icmpv6(const vx_seen *seen) {
    if (seen->told_captured < ICMP_SIZE)
        return true;
    uint8_t type = seen->told[0];
    if (type >= 1 && type <= 4)
        return seen->payload_captured < 48 &&
               (seen->payload_length < 40 || seen->payload_captured < seen->payload_length);
    return seen->told_captured < icmpv6_least(type) ||
           (type >= ICMPV6_ROUTER_SOLICITATION && type <= ICMPV6_REDIRECT &&
            seen->told_captured < seen->told_length);
}

/* IP. */

static char *put_fragment(char *at, const vx_seen *seen) {
    const uint8_t *ip = seen->told;
    if (!seen->is_ipv6) {
        at = vx_put(at, "Fragmented IP protocol (proto=");
        at = vx_put(at, vx_ip_protocol_name(ip[9]));
        at = vx_put_named(at, " ", ip[9]);
        at = vx_put_named(at, ", off=", (vx_be16(ip + 6) & 0x1FFFu) * 8);
        at = vx_put(at, ", ID=");
        at = vx_put_hex(at, vx_be16(ip + 4), 4);
        return vx_put(at, ")");
    }
    size_t offset = 40;
    uint8_t protocol = ip[6];
    while (protocol != 44) {
        size_t size = vx_ipv6_extension_size(protocol, ip + offset, seen->told_captured - offset);
        protocol = ip[offset];
        offset += size;
    }
    unsigned fragment = vx_be16(ip + offset + 2);
    at = vx_put_named(at, "IPv6 fragment (off=", fragment & 0xFFF8);
    at = vx_put(at, fragment & 1 ? " more=y ident=0x" : " more=n ident=0x");
    at = vx_put_hex(at, vx_be32(ip + offset + 4), 8);
    at = vx_put_named(at, " nxt=", ip[offset]);
    return vx_put(at, ")");
}

static void write_bad_ipv4(vx_text *text, const vx_seen *seen, bool any) {
    const uint8_t *ip = seen->told;
    char line[128], *at = line;
    size_t size = seen->told_captured > 0 ? (size_t)(ip[0] & 15) * 4 : 0;
    if (seen->told_captured > 0 && ip[0] >> 4 != 4) {
        at = vx_put_named(at, any ? "Bogus IP version (" : "Bogus IPv4 version (", ip[0] >> 4);
        at = vx_put(at, any ? ")" : ", must be 4)");
    } else if (seen->told_captured > 0 && size < 20) {
        at = vx_put_named(at, "Bogus IP header length (", size);
        at = vx_put(at, ", must be at least 20)");
    } else if (seen->told_captured >= 20 && vx_be16(ip + 2) != 0 && vx_be16(ip + 2) < size) {
        at = vx_put_named(at, "Bogus IP length (", vx_be16(ip + 2));
        at = vx_put_named(at, ", less than header length ", size);
        at = vx_put(at, ")");
    } else {
        vx_shortage_write(text, seen);
    }
    vx_text_bytes(text, line, (size_t)(at - line));
}

static void write_bad_ipv6(vx_text *text, const vx_seen *seen) {
    const uint8_t *ip = seen->told;
    if (seen->told_captured > 0 && ip[0] >> 4 != 6) {
        if (seen->packet.layer_count > 0) {
            vx_text_string(text, "IPv6");
            return;
        }
        vx_text_string(text, "Bogus IPv6 version (");
        vx_text_number(text, ip[0] >> 4);
        vx_text_string(text, ", must be 6)");
        return;
    }
    if (seen->told_length > 0 && seen->told_length < 40 && seen->told_captured == seen->told_length) {
        vx_text_string(text, "Invalid IPv6 header (");
        vx_text_number(text, seen->told_length);
        vx_text_string(text, " bytes, need exactly 40)");
    }
    vx_shortage_write(text, seen);
}

static void write_tunnel(vx_text *text, const vx_seen *seen) {
    const uint8_t *header = seen->told;
    bool geneve = seen->protocol[0] == 'G';
    if (!geneve || seen->told_captured < 8 || seen->told_captured < 8u + (header[0] & 0x3Fu) * 4) {
        vx_shortage_write(text, seen);
        return;
    }
    char line[64], *at = vx_put(line, "Encapsulated 0x");
    at = vx_put_hex(at, vx_be16(header + 2), 4);
    at = vx_put(at, " (unknown)");
    vx_text_bytes(text, line, (size_t)(at - line));
}

void vx_shortage_write(vx_text *text, const vx_seen *seen) {
    vx_text_string(text, seen->told_captured < seen->told_length ? "[Packet size limited during capture]"
                                                                 : "[Malformed Packet]");
}

void vx_notes_write(vx_text *text, const vx_stream_note *note) {
    /* What is added last stands first. */
    static const struct {
        uint32_t note;
        const char *words;
    } notes[] = {
        {VX_ZERO_WINDOW_PROBE_ACK, "[TCP ZeroWindowProbeAck] "},
        {VX_WINDOW_FULL, "[TCP Window Full] "},
        {VX_ZERO_WINDOW, "[TCP ZeroWindow] "},
        {VX_ZERO_WINDOW_PROBE, "[TCP ZeroWindowProbe] "},
        {VX_DUPLICATE_ACK, NULL},
        {VX_KEEP_ALIVE_ACK, "[TCP Keep-Alive ACK] "},
        {VX_KEEP_ALIVE, "[TCP Keep-Alive] "},
        {VX_WINDOW_UPDATE, "[TCP Window Update] "},
        {VX_ACKED_LOST_SEGMENT, "[TCP ACKed unseen segment] "},
        {VX_LOST_SEGMENT, "[TCP Previous segment not captured] "},
        {VX_PORTS_REUSED, "[TCP Port numbers reused] "},
        {VX_OUT_OF_ORDER, "[TCP Out-Of-Order] "},
        {VX_SPURIOUS_RETRANSMISSION, "[TCP Spurious Retransmission] "},
        {VX_FAST_RETRANSMISSION, "[TCP Fast Retransmission] "},
        {VX_RETRANSMISSION, "[TCP Retransmission] "},
    };
    if (note == NULL || note->notes == 0)
        return;
    uint32_t told = note->notes;
    /* Of what names a retransmission more closely, the plain word would be said twice. */
    if (told & (VX_SPURIOUS_RETRANSMISSION | VX_FAST_RETRANSMISSION | VX_OUT_OF_ORDER))
        told &= ~(uint32_t)VX_RETRANSMISSION;
    if (told & VX_SPURIOUS_RETRANSMISSION)
        told &= ~(uint32_t)(VX_FAST_RETRANSMISSION | VX_OUT_OF_ORDER);
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        if (!(told & notes[i].note))
            continue;
        if (notes[i].words != NULL) {
            vx_text_string(text, notes[i].words);
            continue;
        }
        vx_text_string(text, "[TCP Dup ACK ");
        vx_text_number(text, note->duplicate_of);
        vx_text_byte(text, '#');
        vx_text_number(text, note->duplicate_number);
        vx_text_string(text, "] ");
    }
}

void vx_info_write(vx_text *text, const vx_seen *seen, const vx_stream_note *note) {
    if (!vx_text_room(text, LINE_ROOM))
        return;
    char *start = text->at + text->size, *at = start;
    bool is_short = false;
    switch (seen->tells) {
    case VX_TELLS_TCP:
        at = put_tcp(at, seen, note);
        is_short = is_short_tcp(seen);
        break;
    case VX_TELLS_UDP:
        at = put_udp(at, seen);
        is_short =
            seen->told_captured < UDP_SIZE || (seen->payload_captured == 0 && seen->payload_length > 0);
        break;
    case VX_TELLS_ICMP:
        at = put_icmp(at, seen);
        is_short = is_short_icmp(seen);
        break;
    case VX_TELLS_ICMPV6:
        at = put_icmpv6(at, seen);
        is_short = is_short_icmpv6(seen);
        break;
    case VX_TELLS_FRAGMENT:
        at = put_fragment(at, seen);
        break;
    case VX_TELLS_IP:
        vx_ip_protocol_write(text, seen);
        return;
    case VX_TELLS_ARP:
        vx_arp_write(text, seen);
        return;
    case VX_TELLS_LINK:
        vx_link_write(text, seen);
        return;
    case VX_TELLS_CUT_LINK:
        vx_cut_link_write(text, seen);
        return;
    case VX_TELLS_BAD_IPV4:
    case VX_TELLS_BAD_IP:
        write_bad_ipv4(text, seen, seen->tells == VX_TELLS_BAD_IP);
        return;
    case VX_TELLS_BAD_IPV6:
        write_bad_ipv6(text, seen);
        return;
    case VX_TELLS_TUNNEL:
        write_tunnel(text, seen);
        return;
    default:
        return;
    }
    text->size += (size_t)(at - start);
    if (is_short)
        vx_shortage_write(text, seen);
}

void vx_end_write(vx_text *text, vx_end end) {
    if (end.kind == VX_END_NONE || !vx_text_room(text, 64))
        return;
    char *start = text->at + text->size, *at = start;
    if (end.kind == VX_END_IPV4)
        at = vx_put_ipv4(at, end.octets);
    else if (end.kind == VX_END_IPV6)
        at = vx_put_ipv6(at, end.octets);
    else
        at = vx_put_named_mac(at, end.octets);
    text->size += (size_t)(at - start);
}
