/* Where the records or blocks of a capture begin, as far as its lengths can be followed. Plain and forgiving:
 * it serves to change captures and to deal them out, not to read them. */
#ifndef VXTOOL_LAYOUT_H
#define VXTOOL_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_ITEMS = 512, PCAP_HEADER = 24, PCAP_RECORD = 16, PACKET_BLOCK = 28 };

/* Types of pcapng's blocks. */
enum { SECTION = 0x0a0d0d0a, INTERFACE = 1, SIMPLE_PACKET = 3, NAMES = 4, PACKET = 6 };

typedef struct {
    size_t start;
    size_t size;
    size_t frame; /* where the packet's bytes begin, counted from `start`; 0: it is no packet */
    size_t captured;
} item;

typedef struct {
    bool ng;            /* pcapng */
    bool big;           /* big-endian */
    uint32_t link_type; /* of pcapng that of its first interface */
    size_t header;      /* bytes before the first item */
    size_t end;         /* of the last item: what is behind it is no item */
    unsigned count;
    item items[MOST_ITEMS];
} layout;

uint32_t get32(const layout *of, const uint8_t *at);
void put32(const layout *of, uint8_t *at, uint32_t value);

/* Whether these bytes begin like a capture. */
bool lay_out(const uint8_t *bytes, size_t size, layout *out);

#endif
