/* What the sender of an ICMP error quotes of the packet that it is about: the twin of vxtool/engine/quote.py,
 * which says what each rule is for. All that lies behind the quoted IP header may be missing, and no length
 * in it is one of what is there. */
#ifndef VXTOOL_QUOTE_H
#define VXTOOL_QUOTE_H

#include "frame.h"

typedef struct {
    vx_ends flow;          /* of the innermost packet; VX_KEY_OPAQUE: not quoted */
    int32_t vni;           /* -1: none */
    uint32_t length;       /* as the IP header of the quoted packet has it */
    uint8_t addresses[32]; /* of that packet: source, then destination */
    uint8_t version;       /* of its IP; 0: not even that is quoted, and nothing else */
    uint8_t wear;          /* going by its UDP port */
} vx_quote;

/* Read what stands behind the 8 bytes of an ICMP error's header. `wears` as in vx_reading. */
void vx_read_quote(vx_quote *quote, const uint8_t *data, size_t size, const uint8_t *wears);

#endif
