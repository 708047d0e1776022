/* What journeys are made of: shared by those who join them (journey.h) and those who count them (tally.h). */
#ifndef VXTOOL_SIGHTING_H
#define VXTOOL_SIGHTING_H

#include "frame.h"
#include "table.h"

enum {
    VX_MOST_STAGES = 16, /* of one journey */
    VX_FIRST_SIGHTINGS = 2,
    VX_RECORD_BITS = 48,
};

/* One record, in an order of its own: by time, then input, then number. */
typedef struct {
    int64_t time;
    uint64_t where; /* the input above VX_RECORD_BITS, the record's number below */
} vx_sample;

static inline bool vx_sample_before(vx_sample one, vx_sample other) {
    return one.time != other.time ? one.time < other.time : one.where < other.where;
}

/* One datagram at one stage: a record, or the records of its fragments. What its key says is not repeated. */
typedef struct {
    vx_sample sample;
    uint64_t clock;
    uint64_t order;
    uint64_t covered; /* payload bytes of the outermost packet, and */
    uint64_t wire_bytes;
    uint32_t packets;  /* records; of these three the tails' share lies in `pieces` while that is set */
    uint32_t pieces;   /* number of a vx_pieces where it is a first fragment whose tails may still come */
    uint32_t place;    /* numbers of the tally's */
    uint32_t underlay; /* VX_NONE where plain */
    uint32_t vni;
    uint32_t outer_id;
    uint32_t outer_length;
    uint32_t inner_length;
    uint32_t payload_length;
    uint16_t source_port; /* of the tunnel */
    uint16_t mss;
    uint8_t direction; /* of the place, as is */
    uint8_t wear;
    uint8_t outer_ttl;
    uint8_t inner_ttl;
    uint8_t lowest_ttl; /* outer, at this stage */
    uint8_t tcp_flags;
    uint8_t options;
    bool fragmented;
    bool looped; /* seen again at this stage with a lower TTL */
} vx_sighting;

/* More sightings of a journey than it has room for itself. */
typedef struct {
    vx_sighting sightings[VX_MOST_STAGES - VX_FIRST_SIGHTINGS];
} vx_more;

/* What is known of the journeys of one key, up to one: they hold this place, or are full, and none has a TTL
 * there above this. */
typedef struct {
    uint64_t order; /* of the newest of them */
    uint32_t place; /* VX_NONE: nothing is known */
    uint8_t highest_ttl;
} vx_held;

typedef struct {
    vx_key key;
    uint32_t tag;      /* of the key's hash */
    uint32_t flow_tag; /* of its flow's, going by the first sighting */
    uint32_t older;    /* journeys of the same key that are open */
    uint32_t newer;
    uint32_t previous_open; /* its neighbours in the order of arrival */
    uint32_t next_open;
    uint32_t previous_settled; /* and in the order of settling */
    uint32_t next_settled;
    uint32_t more; /* number of a vx_more, or VX_NONE */
    uint32_t outer_id;
    uint8_t count; /* of sightings */
    bool came_in;
    bool went_out;
    bool unknown; /* a sighting of unknown direction */
    bool is_open; /* among those in the order of arrival: it leaves them by age, even where it has settled */
    bool is_settled;
    uint64_t clock;
    uint64_t settled_clock;
    uint64_t order;
    vx_held held; /* where it is the newest of its key */
    vx_sighting sightings[VX_FIRST_SIGHTINGS];
} vx_journey;

#endif
