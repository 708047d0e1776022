/* Datagrams that came in IP fragments, put together as far as columns need them: the twin of
 * vxtool/listing/fragments.py.
 *
 * What is kept of a datagram is its first bytes (VX_FRAGMENT_BYTES), wherever they came from, and which
 * others were seen. At most so many datagrams are under way at once: the one that was begun first gives way,
 * which is counted. A datagram is known by its addresses, protocol, identification and network, and by the
 * stage that the caller saw it at, so that the copies of one datagram at two interfaces are not mixed. */
#ifndef VXTOOL_FRAGMENTS_H
#define VXTOOL_FRAGMENTS_H

#include "info.h"

enum {
    VX_FRAGMENT_BYTES = 4096, /* kept of each datagram, behind its IP header */
    VX_FRAGMENT_RANGES = 16,  /* of bytes with holes between them; a datagram with more is given up */
};

typedef struct vx_fragments vx_fragments;

/* `most` datagrams are under way at once, at least 16 of them. NULL: no memory. */
vx_fragments *vx_fragments_new(uint32_t most, uint64_t seed);
/* NULL is allowed. */
void vx_fragments_free(vx_fragments *fragments);
/* Take what vx_seen_read made of a record. 1: it was the last fragment that was missing, and `seen` now tells
 * of the whole datagram (or of the fragment that this carries); its pointers are good until the next call.
 * Its `length` stays the record's, its tunnel and outer ends those outside. 0: `seen` is as it was. */
int vx_fragments_take(vx_fragments *fragments, vx_seen *seen, uint64_t stage, const struct vx_port *ports,
                      size_t port_count);
/* Datagrams that gave way, or were given up, so far. */
uint64_t vx_fragments_forgotten(const vx_fragments *fragments);

#endif
