#include "layout.h"

#include <string.h>

enum { LEAST_BLOCK = 12 };

uint32_t get32(const layout *of, const uint8_t *at) {
    uint32_t big = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    return of->big ? big : __builtin_bswap32(big);
}

void put32(const layout *of, uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * (of->big ? 3 - i : i));
}

static bool lay_out_pcap(const uint8_t *bytes, size_t size, layout *out) {
    if (size < PCAP_HEADER)
        return false;
    out->link_type = get32(out, bytes + 20);
    out->header = out->end = PCAP_HEADER;
    while (out->count < MOST_ITEMS && size - out->end >= PCAP_RECORD) {
        size_t captured = get32(out, bytes + out->end + 8);
        if (captured > size - out->end - PCAP_RECORD)
            break;
        out->items[out->count++] = (item){out->end, PCAP_RECORD + captured, PCAP_RECORD, captured};
        out->end += PCAP_RECORD + captured;
    }
    return true;
}

static bool lay_out_pcapng(const uint8_t *bytes, size_t size, layout *out) {
    if (size < 28)
        return false;
    out->ng = true;
    out->big = bytes[8] == 0x1a;
    bool told = false;
    while (out->count < MOST_ITEMS && size - out->end >= LEAST_BLOCK) {
        const uint8_t *block = bytes + out->end;
        uint32_t kind = get32(out, block), length = get32(out, block + 4);
        if (length < LEAST_BLOCK || length > size - out->end)
            break;
        item made = {out->end, length, 0, 0};
        if (kind == INTERFACE && length >= 20 && !told) {
            out->link_type =
                out->big ? (uint32_t)block[8] << 8 | block[9] : block[8] | (uint32_t)block[9] << 8;
            told = true;
        } else if (kind == PACKET && length >= PACKET_BLOCK + 4) {
            uint32_t captured = get32(out, block + 20);
            if (captured <= length - PACKET_BLOCK - 4) {
                made.frame = PACKET_BLOCK;
                made.captured = captured;
            }
        }
        out->items[out->count++] = made;
        out->end += length;
    }
    return true;
}

bool lay_out(const uint8_t *bytes, size_t size, layout *out) {
    out->ng = out->big = false;
    out->link_type = 0;
    out->header = out->end = 0;
    out->count = 0;
    if (size < 12)
        return false;
    uint32_t magic = get32(out, bytes);
    if (magic == SECTION)
        return lay_out_pcapng(bytes, size, out);
    out->big = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
    return (out->big || magic == 0xa1b2c3d4 || magic == 0xa1b23c4d) && lay_out_pcap(bytes, size, out);
}
