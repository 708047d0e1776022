/* Which packets are segments of which super-frame: see vxtool/engine/segments.py for the rules.
 *
 * Segmentation offload cuts one super-frame of TCP or UDP into many packets on its way through a router, or
 * puts many together into one. Their journeys come in and never leave, or leave without having come in: they
 * are loose. What hangs together is decided as soon as nothing more can be added to it, whenever that is
 * looked at. */
#ifndef VXTOOL_SEGMENTS_H
#define VXTOOL_SEGMENTS_H

#include "sighting.h"

/* One side of a journey, that may be a piece of another, or hold others. Numbers of others are indexes into
 * the array that it stands in, VX_NONE: none. */
typedef struct {
    vx_sample sample; /* at its first stage where it came in, at its last where it went out */
    uint64_t clock;   /* when it was first seen */
    uint64_t
        likeness;     /* hash of its flow, and TCP's acknowledgement and timestamps, which all pieces share */
    uint32_t journey; /* has the key, and the sightings of this side alone */
    uint32_t start;   /* TCP sequence number */
    uint32_t length;  /* of the payload */
    uint32_t outer_id; /* identifications; 0: none */
    uint32_t inner_id;
    int32_t vni; /* -1: plain */
    uint32_t place;
    uint8_t wear;
    uint8_t outer_ttl;
    uint8_t inner_ttl;
    uint8_t form;  /* VX_WHOLE, VX_FRAGMENTS or VX_FIRST_ONLY, in which it was seen */
    bool lacks;    /* some of the fragments were not seen */
    uint8_t side;  /* VX_CAME_IN or VX_WENT_OUT; VX_SIDE_UNKNOWN until it is found out where it is untold */
    bool untold;   /* the capture tells no direction, but TTLs may */
    bool is_large; /* more than what an Ethernet packet holds */
    bool is_open;  /* when the capture ended */
    bool numbered; /* of UDP, where identifications alone tell the place of a piece */
    /* What is found out: */
    bool decided;
    bool too_many;        /* it should have waited too */
    uint32_t parent;      /* leads to the one that stands for all that hang together with it */
    uint32_t around;      /* in what it lies */
    uint32_t first_piece; /* that lies within it, in the order of being found */
    uint32_t last_piece;
    uint32_t next_piece; /* of the same one around */
    uint32_t piece_count;
    uint64_t piece_bytes;
} vx_loose;

enum {
    VX_LONGEST_PACKET = 1500
}; /* bytes, from the innermost IP header on, of what is no super-frame for sure */

/* The loose side whose sighting at the end is this, of a journey with this number and key. `pieces`: of that
 * sighting, or NULL. */
vx_loose vx_loose_of(const vx_journey *journey, uint32_t number, const vx_sighting *end,
                     const vx_pieces *pieces);

/* The piece that stands on the path for all of one that has any. */
const vx_loose *vx_loose_shown(const vx_loose *all, const vx_loose *item);

static inline bool vx_loose_is_partial(const vx_loose *item) { return item->piece_bytes < item->length; }

/* How many packets one with pieces was that were cut out of it. */
uint32_t vx_loose_packets(const vx_loose *all, const vx_loose *item);

/* The size of the pieces of one of UDP but the last, going by those found; 0 of TCP. */
uint32_t vx_loose_segment(const vx_loose *all, const vx_loose *item);

/* When something may be decided: where the last of what hangs together is before `last_before`, and the first
 * behind `first_behind`; both may be left away. */
typedef struct {
    uint64_t last_before;
    uint64_t first_behind;
    bool has_last;
    bool has_first;
} vx_decidable;

/* Find out which are pieces of which. `journeys`: of vx_journey. 0, or -1: no memory. */
int vx_loose_decide(vx_loose *all, uint32_t count, const vx_pool *journeys, uint64_t window,
                    const vx_decidable *when);

#endif
