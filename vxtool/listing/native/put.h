/* Writers into room that was made before: each answers where it ended. None takes more than 64 bytes, but for
 * vx_put, which takes what it is given. */
#ifndef VXTOOL_PUT_H
#define VXTOOL_PUT_H

#include "codec.h"
#include <string.h>

static inline char *vx_put(char *at, const char *string) {
    size_t size = strlen(string);
    memcpy(at, string, size);
    return at + size;
}

/* In decimal. Two digits at a time: a division for each is what it costs. */
static inline char *vx_put_number(char *at, uint64_t number) {
    char digits[20];
    size_t first = sizeof digits;
    while (number >= 100) {
        unsigned pair = (unsigned)(number % 100);
        number /= 100;
        digits[--first] = (char)('0' + pair % 10);
        digits[--first] = (char)('0' + pair / 10);
    }
    if (number >= 10)
        digits[--first] = (char)('0' + number % 10), number /= 10;
    digits[--first] = (char)('0' + number);
    memcpy(at, digits + first, sizeof digits - first);
    return at + sizeof digits - first;
}

static inline char *vx_put_named(char *at, const char *name, uint64_t number) {
    return vx_put_number(vx_put(at, name), number);
}

static inline char *vx_put_hex(char *at, uint32_t number, unsigned digits) {
    while (digits-- > 0)
        *at++ = "0123456789abcdef"[number >> (4 * digits) & 15];
    return at;
}

static inline char *vx_put_ipv4(char *at, const uint8_t *octets) {
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

static inline char *vx_put_mac(char *at, const uint8_t *octets) {
    for (size_t i = 0; i < 6; i++) {
        if (i > 0)
            *at++ = ':';
        at = vx_put_hex(at, octets[i], 2);
    }
    return at;
}

/* As the C library's inet_ntop (RFC 5952): the longest run of zeros, the first of several, is "::", and what
 * has an IPv4 address in its last 32 bits shows it so. */
char *vx_put_ipv6(char *at, const uint8_t *octets);

/* A MAC, that of a group by its name. */
char *vx_put_named_mac(char *at, const uint8_t *octets);

#endif
