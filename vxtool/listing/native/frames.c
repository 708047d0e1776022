#include "tell.h"

#include "put.h"

enum {
    PROTOCOL_IGMP = 2,
    PROTOCOL_DCCP = 33,
    PROTOCOL_RSVP = 46,
    PROTOCOL_GRE = 47,
    PROTOCOL_ESP = 50,
    PROTOCOL_AH = 51,
    PROTOCOL_NONE = 59,
    PROTOCOL_EIGRP = 88,
    PROTOCOL_OSPF = 89,
    PROTOCOL_PIM = 103,
    PROTOCOL_IPCOMP = 108,
    PROTOCOL_VRRP = 112,
    PROTOCOL_L2TP = 115,
    PROTOCOL_SCTP = 132,
    PROTOCOL_MOBILITY = 135,
    PROTOCOL_UDP_LITE = 136,
    PROTOCOL_HIP = 139,

    IGMP_QUERY = 0x11,
    IGMP_REPORT_1 = 0x12,
    IGMP_REPORT_2 = 0x16,
    IGMP_LEAVE = 0x17,
    IGMP_REPORT_3 = 0x22,

    ARP_SIZE = 28,
    LARGEST_LLC = 1500,
    SMALLEST_ETHERTYPE = 0x0600,
    ETHERTYPE_LLDP = 0x88CC,

    LLC_SIZE = 3,
    SNAP_SIZE = 8,
    BPDU_SIZE = 35,
};

const char *vx_ip_protocol_name(uint8_t protocol) {
    static const char *const names[] = {
        "IPv6 Hop-by-Hop Option",
        "ICMP",
        "IGMP",
        "GGP",
        "IPIP",
        "Stream",
        "TCP",
        "CBT",
        "EGP",
        "IGRP",
        "BBN RCC",
        "Network Voice",
        "PUP",
        "ARGUS",
        "EMCON",
        "XNET",
        "CHAOS",
        "UDP",
        "Multiplex",
        "DCN Measurement",
        "Host Monitoring",
        "Packet radio",
        "IDP",
        "Trunk-1",
        "Trunk-2",
        "Leaf-1",
        "Leaf-2",
        "Reliable Data",
        "IRT",
        "ISO TP4",
        "Bulk Data",
        "MFE NSP",
        "Merit Internodal",
        "Datagram Congestion Control Protocol",
        "3rd Party Connect",
        "Inter-Domain Policy Routing Protocol",
        "XTP",
        "Datagram delivery",
        "Control Message",
        "TP++",
        "IL",
        "IPv6",
        "Source demand routing",
        "Routing Header for IPv6",
        "Fragment Header for IPv6",
        "Inter-Domain Routing Protocol",
        "Reservation Protocol",
        "Generic Routing Encapsulation",
        "Dynamic source routing",
        "BNA",
        "Encap Security Payload",
        "Authentication Header",
        "INSLP",
        "SWIPE",
        "NBMA ARP",
        "IP Mobility",
        "TLSP Kryptonet",
        "SKIP",
        "ICMPv6",
        "No Next Header for IPv6",
        "Destination Options for IPv6",
        "any host internal protocol",
        "Mobile IPv6 (old)",
        "any local network",
        "SATNET EXPAK",
        "Kryptolan",
        "Remote Virtual Disk",
        "IPPC",
        "any distributed file system",
        "SATNET Monitoring",
        "VISA",
        "IPCV",
        "CPNX",
        "CPHB",
        "Wang Span",
        "Packet Video",
        "Backroom SATNET Mon",
        "Sun ND Protocol",
        "Wideband Mon",
        "Wideband Expak",
        "ISO Internet Protocol",
        "VMTP",
        "Secure VMTP",
        "VINES",
        "TTP",
        "NSFNET IGP",
        "Dissimilar Gateway",
        "TCF",
        "EIGRP",
        "OSPF IGP",
        "Sprite RPC",
        "Locus ARP",
        "Multicast Transport",
        "AX.25 Frames",
        "IP in IP",
        "MICP",
        "Semaphore",
        "Ether in IP",
        "ENCAP",
        "any private encryption scheme",
        "GMTP",
        "Ipsilon Flow",
        "PNNI over IP",
        "PIM",
        "ARIS",
        "SCPS",
        "QNX",
        "Active Networks",
        "IPComp",
        "Sitara Networks",
        "Compaq Peer",
        "IPX IN IP",
        "VRRP",
        "PGM",
        "any 0-hop protocol",
        "Layer 2 Tunneling",
        "DDX",
        "IATP",
        "STP",
        "SpectraLink",
        "UTI",
        "SMP",
        "SM",
        "PTP",
        "ISIS over IP",
        "FIRE",
        "CRTP",
        "CRUDP",
        "SSCOPMCE",
        "IPLT",
        "Secure Packet",
        "PIPE",
        "SCTP",
        "Fibre Channel",
        "RSVP E2EI",
        "Mobile IPv6",
        "UDPLite",
        "MPLS in IP",
        "MANET",
        "HIP",
        "Shim6 header",
        "WESP",
        "ROHC",
        "Ethernet",
    };
    if (protocol < sizeof names / sizeof *names)
        return names[protocol];
    return protocol == 173   ? "AX/4000 Testframe"
           : protocol == 224 ? "Novell NCS Heartbeat"
           : protocol < 224  ? "Unassigned"
                             : "Unknown";
}

static void write_hex(vx_text *text, uint32_t number, unsigned digits) {
    char line[8];
    vx_text_bytes(text, line, (size_t)(vx_put_hex(line, number, digits) - line));
}

static void write_ipv4(vx_text *text, const uint8_t *octets) {
    char line[16];
    vx_text_bytes(text, line, (size_t)(vx_put_ipv4(line, octets) - line));
}

static void write_mac(vx_text *text, const uint8_t *octets) {
    char line[18];
    vx_text_bytes(text, line, (size_t)(vx_put_mac(line, octets) - line));
}

static void write_named(vx_text *text, const char *name, uint64_t number) {
    vx_text_string(text, name);
    vx_text_number(text, number);
}

/* IP protocols. */

static const char *igmp_protocol(const vx_seen *seen) {
    if (seen->told_captured < 2)
        return "IGMP";
    switch (seen->told[0]) {
    case IGMP_QUERY:
        return seen->told_length >= 12 ? "IGMPv3" : seen->told[1] == 0 ? "IGMPv1" : "IGMPv2";
    case IGMP_REPORT_1:
        return "IGMPv1";
    case IGMP_REPORT_2:
    case IGMP_LEAVE:
        return "IGMPv2";
    case IGMP_REPORT_3:
        return "IGMPv3";
    default:
        return "IGMP";
    }
}

void vx_ip_protocol_of(vx_seen *seen) {
    if (seen->told_length == 0)
        return;
    switch (seen->transport) {
    case PROTOCOL_IGMP:
        seen->protocol = igmp_protocol(seen);
        break;
    case PROTOCOL_DCCP:
        seen->protocol = "DCCP";
        break;
    case PROTOCOL_RSVP:
        seen->protocol = "RSVP";
        break;
    case PROTOCOL_GRE:
        if (seen->told_captured >= 4)
            seen->protocol = "GRE";
        break;
    case PROTOCOL_ESP:
        seen->protocol = "ESP";
        break;
    case PROTOCOL_AH:
        seen->protocol = "AH";
        break;
    case PROTOCOL_EIGRP:
        seen->protocol = "EIGRP";
        break;
    case PROTOCOL_OSPF:
        seen->protocol = "OSPF";
        break;
    case PROTOCOL_PIM:
        seen->protocol = seen->told_captured == 0 || seen->told[0] >> 4 == 2 ? "PIMv2"
                         : seen->told[0] >> 4 == 1                           ? "PIMv1"
                                                                             : "PIM";
        break;
    case PROTOCOL_IPCOMP:
        seen->protocol = "IPComp";
        break;
    case PROTOCOL_VRRP:
        seen->protocol = "VRRP";
        break;
    case PROTOCOL_L2TP:
        seen->protocol = "L2TPv3";
        break;
    case PROTOCOL_SCTP:
        seen->protocol = "SCTP";
        break;
    case PROTOCOL_MOBILITY:
        seen->protocol = "MIPv6";
        break;
    case PROTOCOL_UDP_LITE:
        seen->protocol = "UDP-Lite";
        break;
    case PROTOCOL_HIP:
        seen->protocol = "HIP";
        break;
    default:
        break;
    }
}

static void write_sources(vx_text *text, const uint8_t *at, size_t count) {
    vx_text_byte(text, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            vx_text_string(text, ", ");
        write_ipv4(text, at + 4 * i);
    }
    vx_text_byte(text, '}');
}

/* One group record of a report (RFC 3376, section 4.2): which of its 6 types, for which sources. */
static void write_group(vx_text *text, const uint8_t *record, size_t sources) {
    uint8_t type = record[0];
    bool includes = type == 1 || type == 3, excludes = type == 2 || type == 4;
    vx_text_string(text, " / ");
    vx_text_string(text, includes && sources == 0 ? "Leave group "
                         : includes || excludes   ? "Join group "
                                                  : "Group ");
    write_ipv4(text, record + 4);
    static const char *const none[] = {
        ", unknown record type (?)",
        "",
        " for any sources",
        "",
        " for any sources",
        ", ALLOW_NEW_SOURCES but no source specified (?)",
        ", BLOCK_OLD_SOURCES but no source specified (?)",
    };
    static const char *const one[] = {
        ", unknown record type (?), sources ",
        " for source ",
        ", for source not ",
        " for source ",
        ", for source not ",
        ", new source ",
        ", block source ",
    };
    static const char *const several[] = {
        ", unknown record type (?), sources ",
        " for sources in ",
        ", for sources not in ",
        " for sources in ",
        ", for sources not in ",
        ", new sources ",
        ", block sources ",
    };
    const char *const *words = sources == 0 ? none : sources == 1 ? one : several;
    vx_text_string(text, words[type <= 6 ? type : 0]);
    if (sources > 0)
        write_sources(text, record + 8, sources);
}

static void write_igmp_report(vx_text *text, const vx_seen *seen) {
    const uint8_t *at = seen->told + 8;
    size_t left = seen->told_captured - 8, groups = vx_be16(seen->told + 6);
    vx_text_string(text, "Membership Report");
    if (groups == 0)
        vx_text_string(text, " - General query");
    for (size_t i = 0; i < groups; i++) {
        size_t sources = left >= 8 ? vx_be16(at + 2) : 0, size = 8 + 4 * sources;
        if (left < size) {
            vx_shortage_write(text, seen);
            return;
        }
        write_group(text, at, sources);
        size += (size_t)at[1] * 4;
        if (size > left)
            size = left;
        at += size;
        left -= size;
    }
}

static void write_igmp(vx_text *text, const vx_seen *seen) {
    const uint8_t *message = seen->told;
    bool whole = seen->told_captured >= 8;
    if (seen->told_captured < 1) {
        vx_shortage_write(text, seen);
        return;
    }
    switch (message[0]) {
    case IGMP_QUERY:
        vx_text_string(text, "Membership Query");
        if (!whole || seen->protocol[5] == '1')
            break;
        if (vx_be32(message + 4) == 0) {
            vx_text_string(text, ", general");
        } else {
            vx_text_string(text, ", specific for group ");
            write_ipv4(text, message + 4);
        }
        if (seen->told_captured >= 12) {
            size_t sources = vx_be16(message + 10);
            if (sources > 0 && seen->told_captured >= 12 + 4 * sources) {
                vx_text_string(text, sources == 1 ? ", source " : ", sources ");
                write_sources(text, message + 12, sources);
            }
        }
        break;
    case IGMP_REPORT_1:
        vx_text_string(text, "Membership Report");
        break;
    case IGMP_REPORT_2:
    case IGMP_LEAVE:
        vx_text_string(text, message[0] == IGMP_LEAVE ? "Leave Group" : "Membership Report");
        if (whole) {
            vx_text_string(text, message[0] == IGMP_LEAVE ? " " : " group ");
            write_ipv4(text, message + 4);
        }
        break;
    case IGMP_REPORT_3:
        if (whole) {
            write_igmp_report(text, seen);
            return;
        }
        vx_text_string(text, "Membership Report");
        break;
    default:
        vx_text_string(text, "Unknown Type:0x");
        write_hex(text, message[0], 2);
    }
    if (!whole)
        vx_shortage_write(text, seen);
}

static void write_sctp(vx_text *text, const vx_seen *seen) {
    static const char *const names[] = {
        "DATA",  "INIT",     "INIT_ACK",          "SACK",  "HEARTBEAT",   "HEARTBEAT_ACK",
        "ABORT", "SHUTDOWN", "SHUTDOWN_ACK",      "ERROR", "COOKIE_ECHO", "COOKIE_ACK",
        "ECNE",  "CWR",      "SHUTDOWN_COMPLETE", "AUTH"};
    if (seen->told_captured < 12) {
        vx_shortage_write(text, seen);
        return;
    }
    const uint8_t *chunk = seen->told + 12;
    size_t left = seen->told_captured - 12;
    while (left >= 4) {
        size_t size = vx_be16(chunk + 2);
        if (chunk[0] >= sizeof names / sizeof *names || size < 4) {
            vx_shortage_write(text, seen);
            return;
        }
        vx_text_string(text, names[chunk[0]]);
        vx_text_byte(text, ' ');
        if (chunk[0] == 0 && left >= 8) {
            write_named(text, "(TSN=", vx_be32(chunk + 4));
            vx_text_string(text, ") ");
        } else if (chunk[0] == 3 && left >= 12) {
            write_named(text, "(Ack=", vx_be32(chunk + 4));
            write_named(text, ", Arwnd=", vx_be32(chunk + 8));
            vx_text_string(text, ") ");
        }
        size = (size + 3) & ~(size_t)3;
        if (size > left)
            break;
        chunk += size;
        left -= size;
    }
}

/* The name and number of what is not read further. */
static void write_protocol(vx_text *text, const vx_seen *seen) {
    if (seen->is_ipv6)
        vx_text_string(text, "Unknown IP Protocol: ");
    vx_text_string(text, vx_ip_protocol_name((uint8_t)seen->transport));
    write_named(text, " (", (uint64_t)seen->transport);
    vx_text_byte(text, ')');
}

void vx_ip_protocol_write(vx_text *text, const vx_seen *seen) {
    static const char *const ospf[] = {NULL,         "Hello Packet", "DB Description",
                                       "LS Request", "LS Update",    "LS Acknowledge"};
    static const char *const pim[] = {"Hello",        "Register",  "Register-stop",
                                      "Join/Prune",   "Bootstrap", "Assert",
                                      "Graft",        "Graft-Ack", "Candidate-RP-Advertisement",
                                      "State-Refresh"};
    const uint8_t *message = seen->told;
    size_t captured = seen->told_captured;
    if (seen->transport == PROTOCOL_NONE && seen->is_ipv6) {
        vx_text_string(text, "IPv6 no next header");
        return;
    }
    if (seen->told_length == 0) {
        if (seen->is_ipv6)
            vx_shortage_write(text, seen);
        return;
    }
    size_t least = 0;
    switch (seen->transport) {
    case PROTOCOL_IGMP:
        write_igmp(text, seen);
        return;
    case PROTOCOL_SCTP:
        write_sctp(text, seen);
        return;
    case 0:
    case 43:
    case 44:
    case 60:
        if (!seen->is_ipv6) {
            write_protocol(text, seen);
            return;
        }
        /* Extension headers that are not whole. */
        vx_shortage_write(text, seen);
        return;
    case 6:
    case 17:
        /* Not even the ports. */
        vx_shortage_write(text, seen);
        return;
    case PROTOCOL_OSPF:
    case PROTOCOL_UDP_LITE:
    case PROTOCOL_GRE:
    case PROTOCOL_ESP:
        least = 4;
        break;
    case PROTOCOL_AH:
        least = 8;
        break;
    case PROTOCOL_PIM:
    case PROTOCOL_VRRP:
        least = 1;
        break;
    default:
        write_protocol(text, seen);
        return;
    }
    if (captured < least) {
        vx_shortage_write(text, seen);
        return;
    }
    switch (seen->transport) {
    case PROTOCOL_OSPF:
        if (message[1] >= 1 && message[1] <= 5) {
            vx_text_string(text, ospf[message[1]]);
        } else {
            write_named(text, "Unknown (", message[1]);
            vx_text_byte(text, ')');
        }
        break;
    case PROTOCOL_UDP_LITE:
        vx_text_number(text, vx_be16(message));
        vx_text_string(text, " → ");
        vx_text_number(text, vx_be16(message + 2));
        write_named(text, " Len=", seen->told_length >= 8 ? seen->told_length - 8 : 0);
        break;
    case PROTOCOL_GRE:
        if (vx_be16(message + 2) == 0) {
            vx_text_string(text, "Encapsulated Possible GRE keepalive packet");
            break;
        }
        vx_text_string(text, "Encapsulated 0x");
        write_hex(text, vx_be16(message + 2), 4);
        vx_text_string(text, " (unknown)");
        break;
    case PROTOCOL_ESP:
        vx_text_string(text, "ESP (SPI=0x");
        write_hex(text, vx_be32(message), 8);
        vx_text_byte(text, ')');
        break;
    case PROTOCOL_AH:
        vx_text_string(text, "AH (SPI=0x");
        write_hex(text, vx_be32(message + 4), 8);
        vx_text_byte(text, ')');
        break;
    case PROTOCOL_PIM:
        if (message[0] >> 4 == 2 && (message[0] & 15) < 10)
            vx_text_string(text, pim[message[0] & 15]);
        else
            vx_text_string(text, "Unknown");
        break;
    default:
        write_named(text, "Announcement (v", message[0] >> 4);
        vx_text_byte(text, ')');
    }
}

/* ARP (RFC 826) and what shares its format. */

void vx_arp_protocol_of(vx_seen *seen) {
    uint16_t operation = vx_be16(seen->told + 6);
    if (operation == 3 || operation == 4)
        seen->protocol = "RARP";
    else if (operation >= 5 && operation <= 7)
        seen->protocol = "DRARP";
    else if (operation == 8 || operation == 9)
        seen->protocol = "Inverse ARP";
}

void vx_arp_write(vx_text *text, const vx_seen *seen) {
    const uint8_t *arp = seen->told;
    if (seen->header == NULL) {
        /* Too short, or with addresses of other lengths. */
        if (seen->told_captured < ARP_SIZE)
            vx_shortage_write(text, seen);
        else
            write_named(text, "ARP of address lengths ", arp[4]), write_named(text, " and ", arp[5]);
        return;
    }
    static const uint8_t nobody[4], unset[6];
    const uint8_t *sender_mac = arp + 8, *sender = arp + 14, *target_mac = arp + 18, *target = arp + 24;
    uint16_t operation = vx_be16(arp + 6);
    bool same = memcmp(sender, target, 4) == 0;
    switch (operation) {
    case 1:
        if (same && memcmp(target_mac, unset, 6) == 0) {
            vx_text_string(text, "ARP Announcement for ");
            write_ipv4(text, target);
        } else if (same) {
            vx_text_string(text, "Gratuitous ARP for ");
            write_ipv4(text, target);
            vx_text_string(text, " (Request)");
        } else {
            vx_text_string(text, "Who has ");
            write_ipv4(text, target);
            if (memcmp(sender, nobody, 4) == 0) {
                vx_text_string(text, "? (ARP Probe)");
                break;
            }
            vx_text_string(text, "? Tell ");
            write_ipv4(text, sender);
        }
        break;
    case 2:
        if (same) {
            vx_text_string(text, "Gratuitous ARP for ");
            write_ipv4(text, sender);
            vx_text_string(text, " (Reply)");
            break;
        }
        write_ipv4(text, sender);
        vx_text_string(text, " is at ");
        write_mac(text, sender_mac);
        break;
    case 3:
    case 5:
    case 8:
        vx_text_string(text, "Who is ");
        write_mac(text, target_mac);
        vx_text_string(text, "? Tell ");
        write_mac(text, sender_mac);
        break;
    case 4:
    case 6:
        write_mac(text, target_mac);
        vx_text_string(text, " is at ");
        write_ipv4(text, target);
        break;
    case 7:
        vx_text_string(text, "DRARP Error");
        break;
    case 9:
        write_mac(text, sender_mac);
        vx_text_string(text, " is at ");
        write_ipv4(text, sender);
        break;
    case 10:
        vx_text_string(text, "ARP NAK");
        break;
    case 0:
        vx_text_string(text, "Reserved opcode 0");
        break;
    default:
        vx_text_string(text, "Unknown ARP opcode 0x");
        write_hex(text, operation, 4);
    }
}

/* Frames. */

/* What an LLC header (IEEE 802.2) says is in it. */
static const uint8_t *bpdu_of(const vx_seen *seen, size_t *left) {
    const uint8_t *llc = seen->told;
    size_t captured = seen->told_captured, size = 0;
    if (captured >= LLC_SIZE && llc[0] == 0x42 && llc[1] == 0x42)
        size = LLC_SIZE;
    else if (captured >= SNAP_SIZE && vx_be32(llc) == 0xAAAA0300 && vx_be32(llc + 4) == 0x000C010B)
        size = SNAP_SIZE; /* one spanning tree for each VLAN */
    if (size == 0)
        return NULL;
    *left = captured - size;
    return llc + size;
}

static const char *llc_protocol(const vx_seen *seen) {
    const uint8_t *llc = seen->told;
    size_t left;
    if (bpdu_of(seen, &left) != NULL)
        return "STP";
    if (seen->told_captured >= SNAP_SIZE && vx_be32(llc) == 0xAAAA0300 && vx_be16(llc + 4) == 0x000C)
        return vx_be16(llc + 6) == 0x2000 ? "CDP" : vx_be16(llc + 6) == 0x2003 ? "VTP" : "LLC";
    return "LLC";
}

void vx_link_protocol_of(vx_seen *seen, const struct vx_layer *last, uint16_t ethertype) {
    static const struct {
        uint16_t ethertype;
        const char *name;
    } known[] = {
        {0x6003, "DEC DNA"}, {0x8808, "MAC CTRL"}, {0x8809, "Slow Protocols"},
        {0x8847, "MPLS"},    {0x8848, "MPLS"},     {0x8863, "PPPoED"},
        {0x8864, "PPPoES"},  {0x888E, "EAPOL"},    {0x88CC, "LLDP"},
        {0x88F7, "PTPv2"},   {0x894F, "NSH"},      {0x9000, "LOOP"},
    };
    bool is_cooked = last->kind == VX_SLL || last->kind == VX_SLL2;
    if (is_cooked ? ethertype == 4 : ethertype <= LARGEST_LLC && ethertype > 0) {
        seen->protocol = llc_protocol(seen);
        return;
    }
    if (ethertype < SMALLEST_ETHERTYPE && (is_cooked || ethertype > 0)) {
        seen->protocol = is_cooked ? "SLL" : "Ethernet";
        return;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].ethertype == ethertype) {
            seen->protocol = known[i].name;
            return;
        }
    memcpy(seen->ethertype, "0x", 2);
    *vx_put_hex(seen->ethertype + 2, ethertype, 4) = 0;
    seen->protocol = seen->ethertype;
}

/* A configuration message (IEEE 802.1D, section 9.3): who is the root, how far, through which port. */
static void write_bpdu(vx_text *text, const vx_seen *seen, const uint8_t *bpdu, size_t left) {
    if (left < 4) {
        vx_shortage_write(text, seen);
        return;
    }
    if (bpdu[3] == 0x80) {
        vx_text_string(text, "Topology Change Notification");
        return;
    }
    if (bpdu[3] != 0 && bpdu[3] != 2) {
        write_named(text, "Unknown BPDU type (", bpdu[3]);
        vx_text_byte(text, ')');
        return;
    }
    if (left < BPDU_SIZE) {
        vx_shortage_write(text, seen);
        return;
    }
    vx_text_string(text, bpdu[3] == 0 ? "Conf. " : bpdu[2] >= 3 ? "MST. " : "RST. ");
    if (bpdu[4] & 1)
        vx_text_string(text, "TC + ");
    write_named(text, "Root = ", vx_be16(bpdu + 5) & 0xF000);
    write_named(text, "/", vx_be16(bpdu + 5) & 0x0FFF);
    vx_text_byte(text, '/');
    write_mac(text, bpdu + 7);
    write_named(text, "  Cost = ", vx_be32(bpdu + 13));
    vx_text_string(text, "  Port = 0x");
    write_hex(text, vx_be16(bpdu + 25), 4);
}

static void write_llc(vx_text *text, const vx_seen *seen) {
    const uint8_t *llc = seen->told;
    size_t left;
    const uint8_t *bpdu = bpdu_of(seen, &left);
    if (bpdu != NULL) {
        write_bpdu(text, seen, bpdu, left);
        return;
    }
    if (seen->told_captured < LLC_SIZE) {
        vx_shortage_write(text, seen);
        return;
    }
    if (seen->told_captured >= SNAP_SIZE && vx_be16(llc) == 0xAAAA && llc[2] == 3) {
        vx_text_string(text, "SNAP, OUI 0x");
        write_hex(text, vx_be32(llc + 2) & 0xFFFFFF, 6);
        vx_text_string(text, ", PID 0x");
        write_hex(text, vx_be16(llc + 6), 4);
        return;
    }
    vx_text_string(text, "DSAP 0x");
    write_hex(text, llc[0], 2);
    vx_text_string(text, ", SSAP 0x");
    write_hex(text, llc[1], 2);
    vx_text_string(text, ", control 0x");
    write_hex(text, llc[2], 2);
}

/* Words of a neighbour's; what cannot be printed is a dot. */
static void write_words(vx_text *text, const uint8_t *words, size_t size) {
    for (size_t i = 0; i < size; i++)
        vx_text_byte(text, (char)(words[i] >= 0x20 && words[i] < 0x7F ? words[i] : '.'));
}

/* The id of a chassis or a port (IEEE 802.1AB, sections 8.5.2 and 8.5.3), by its subtype. */
static void write_lldp_id(vx_text *text, const char *const kinds[8], const uint8_t *id, size_t size) {
    const char *kind = id[0] < 8 ? kinds[id[0]] : NULL;
    if (kind == NULL) {
        vx_text_string(text, "Rs/Reserved ");
        return;
    }
    vx_text_string(text, kind);
    vx_text_byte(text, '/');
    if (kind[0] == 'M' && size == 7)
        write_mac(text, id + 1);
    else if (kind[0] == 'N' && size == 6 && id[1] == 1)
        write_ipv4(text, id + 2);
    else if (kind[0] == 'P')
        for (size_t i = 1; i < size; i++)
            write_hex(text, id[i], 2);
    else
        write_words(text, id + 1, size - 1);
    vx_text_byte(text, ' ');
}

static void write_lldp(vx_text *text, const vx_seen *seen) {
    static const char *const chassis[8] = {NULL, "CC", "IA", "PC", "MA", "NA", "IN", "LA"};
    static const char *const port[8] = {NULL, "IA", "PC", "MA", "NA", "IN", "AC", "LA"};
    const uint8_t *at = seen->told;
    size_t left = seen->told_captured;
    while (left >= 2) {
        unsigned type = at[0] >> 1;
        size_t size = vx_be16(at) & 0x1FF;
        if (type == 0)
            return;
        if (2 + size > left) {
            vx_shortage_write(text, seen);
            return;
        }
        if (type <= 2 && size >= 2) {
            write_lldp_id(text, type == 1 ? chassis : port, at + 2, size);
        } else if (type == 3 && size >= 2) {
            vx_text_number(text, vx_be16(at + 2));
            vx_text_byte(text, ' ');
        } else if (type == 5 || type == 6) {
            vx_text_string(text, type == 5 ? "SysN=" : "SysD=");
            write_words(text, at + 2, size);
            vx_text_byte(text, ' ');
        }
        at += 2 + size;
        left -= 2 + size;
    }
}

static const char *cooked_words(unsigned packet_type) {
    static const char *const words[] = {"Unicast to us", "Broadcast", "Multicast", "Unicast to another host",
                                        "Sent by us"};
    return packet_type < sizeof words / sizeof *words ? words[packet_type] : "Unknown";
}

void vx_link_write(vx_text *text, const vx_seen *seen) {
    static const char *const llc[] = {"STP", "LLC", "CDP", "VTP"};
    bool is_llc = false;
    for (size_t i = 0; i < sizeof llc / sizeof *llc; i++)
        is_llc = is_llc || strcmp(seen->protocol, llc[i]) == 0;
    if (is_llc) {
        write_llc(text, seen);
        return;
    }
    if (strcmp(seen->protocol, "LLDP") == 0) {
        write_lldp(text, seen);
        return;
    }
    /* The link header is what is right before. */
    const uint8_t *end = seen->told;
    size_t before = (size_t)(end - seen->data);
    if (seen->packet.layer_count == 0)
        return;
    const struct vx_layer *last = &seen->packet.layers[seen->packet.layer_count - 1];
    switch (last->kind) {
    case VX_VLAN: {
        if (before < 4)
            return;
        unsigned tag = vx_be16(end - 4);
        write_named(text, "PRI: ", tag >> 13);
        write_named(text, "  DEI: ", tag >> 12 & 1);
        write_named(text, "  ID: ", tag & 0xFFF);
        return;
    }
    case VX_SLL:
        vx_text_string(text, cooked_words(vx_be16(seen->data)));
        return;
    case VX_SLL2:
        vx_text_string(text, cooked_words(seen->data[10]));
        return;
    case VX_LOOPBACK:
        vx_text_string(text, "Null/Loopback");
        return;
    default:
        break;
    }
    if (before < 14)
        return;
    unsigned ethertype = vx_be16(end - 2);
    if (ethertype > LARGEST_LLC && ethertype < SMALLEST_ETHERTYPE) {
        vx_text_string(text, "Ethernet Unknown: Invalid length/type: 0x");
        write_hex(text, ethertype, 4);
        write_named(text, " (", ethertype);
        vx_text_byte(text, ')');
        return;
    }
    vx_text_string(text, "Ethernet II");
}

void vx_cut_link_write(vx_text *text, const vx_seen *seen) {
    if (strcmp(seen->protocol, "N/A") == 0)
        vx_text_string(text, "Null/Loopback");
    vx_shortage_write(text, seen);
}
