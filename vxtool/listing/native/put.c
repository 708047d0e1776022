#include "put.h"

char *vx_put_ipv6(char *at, const uint8_t *octets) {
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
    bool has_ipv4 = start == 0 && (longest == 6 || (longest == 5 && words[5] == 0xFFFF));
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
        if (has_ipv4 && i == 6)
            return vx_put_ipv4(at, octets + 12);
        uint16_t word = words[i++];
        at = vx_put_hex(at, word, word >= 0x1000 ? 4 : word >= 0x100 ? 3 : word >= 0x10 ? 2 : 1);
    }
    return at;
}

/* Addresses that a network without special gear shows. Of a prefix the rest is written behind the name, from
 * its first octet that is not zero on. */
static const struct {
    uint8_t octets[6];
    uint8_t size; /* 6: the whole address */
    const char *name;
} groups[] = {
    {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 6, "Broadcast"},
    {{0x01, 0x80, 0xC2, 0x00, 0x00, 0x01}, 6, "MAC-specific-ctrl-proto-01"},
    {{0x01, 0x80, 0xC2, 0x00, 0x00, 0x02}, 6, "Slow-Protocols"},
    {{0x01, 0x80, 0xC2, 0x00, 0x00, 0x03}, 6, "Nearest-non-TPMR-bridge"},
    {{0x01, 0x80, 0xC2, 0x00, 0x00, 0x08}, 6, "Provider-Bridge"},
    {{0x01, 0x80, 0xC2, 0x00, 0x00, 0x0E}, 6, "LLDP_Multicast"},
    {{0x01, 0x00, 0x0C, 0xCC, 0xCC, 0xCC}, 6, "CDP/VTP/DTP/PAgP/UDLD"},
    {{0x01, 0x00, 0x0C, 0xCC, 0xCC, 0xCD}, 6, "PVST+"},
    {{0x01, 0x80, 0xC2, 0x00, 0x00}, 5, "Spanning-tree-(for-bridges)"},
    {{0x00, 0x00, 0x5E, 0x00, 0x01}, 5, "IETF-VRRP-VRID"},
    {{0x00, 0x00, 0x0C, 0x07, 0xAC}, 5, "All-HSRP-routers"},
    {{0x01, 0x00, 0x5E}, 3, "IPv4mcast"},
    {{0x33, 0x33}, 2, "IPv6mcast"},
    /* And the makers of network cards that are not there, which is most of what an overlay runs on. */
    {{0x08, 0x00, 0x27}, 3, "PcsCompu"},
    {{0x52, 0x54, 0x00}, 3, "RealtekU"},
    {{0x00, 0x50, 0x56}, 3, "VMware"},
    {{0x00, 0x0C, 0x29}, 3, "VMware"},
    {{0x00, 0x15, 0x5D}, 3, "Microsof"},
    {{0x00, 0x16, 0x3E}, 3, "Xensourc"},
    {{0x00, 0x1C, 0x42}, 3, "Parallel"},
};

char *vx_put_named_mac(char *at, const uint8_t *octets) {
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        size_t rest = groups[i].size;
        if (memcmp(octets, groups[i].octets, rest) != 0)
            continue;
        at = vx_put(at, groups[i].name);
        if (rest == 6)
            return at;
        while (octets[0] & 1 && rest < 5 && octets[rest] == 0)
            rest++;
        for (char before = '_'; rest < 6; before = ':') {
            *at++ = before;
            at = vx_put_hex(at, octets[rest++], 2);
        }
        return at;
    }
    char *start = at;
    at = vx_put_mac(at, octets);
    /* The maker of 00:00:00 is named by these digits. */
    if (octets[0] == 0 && octets[1] == 0 && octets[2] == 0)
        start[8] = '_';
    return at;
}
