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

/* One datagram at one stage: a record, or the records of its fragments. A cache line. */
typedef struct {
    vx_traits traits;
    vx_sample sample;
    uint32_t place;     /* numbers of the tally's */
    uint32_t underlay;  /* VX_NONE where plain */
    uint32_t pieces;    /* number of a vx_pieces where it is the first of several fragments, else VX_NONE */
    uint8_t lowest_ttl; /* outer, at this stage */
    bool looped;        /* seen again at this stage with a lower TTL */
} vx_sighting;

/* More sightings of a journey than it has room for itself. */
typedef struct {
    vx_sighting sightings[VX_MOST_STAGES - VX_FIRST_SIGHTINGS];
} vx_more;

/* Which fragmented packet it is, and where: the place of the same interface, direction and MACs that is
 * plain. */
typedef struct {
    uint32_t spot;
    vx_fragment fragment;
} vx_group_key;

/* A key and what is looked up by it. */
typedef struct {
    vx_group_key key;
    uint32_t tag;
} vx_tagged_group;

/* The tag of a group, by that of its fragmented packet. */
static inline uint32_t vx_group_tag(uint32_t fragment_tag, uint32_t spot) {
    return fragment_tag + spot * UINT32_C(0x9e3779b1);
}

/* Of a first fragment and its tails: the sums of what has come. */
typedef struct {
    uint64_t covered;
    uint64_t wire_bytes;
    uint32_t packets;
    uint32_t first_covered; /* by the first fragment itself */
    uint8_t holders;        /* its sighting, its group */
    uint8_t wear;
    bool closed;      /* the journey is counted: more comes late */
    bool overtaken;   /* a tail came before the first fragment, and was stamped so */
    bool joined_late; /* their journey had settled before they came, so that their age does not tell its */
} vx_pieces;

_Static_assert(sizeof(vx_pieces) == 32, "not half a cache line");

/* What is known of the journeys of one key, up to one: they hold this place, or are full, and none has a TTL
 * there above this. */
typedef struct {
    uint64_t order; /* of the newest of them */
    uint32_t place;
    uint8_t highest_ttl;
} vx_held;

/* Sides of a journey: those of direction in, out, and unknown; whether any sighting has pieces; and whether
 * it is counted among those for which there was no room. */
enum { VX_CAME_IN = 1, VX_WENT_OUT = 2, VX_SIDE_UNKNOWN = 4, VX_IN_PIECES = 8, VX_EVICTED = 16 };

/* Four cache lines. */
typedef struct {
    vx_tagged_key key; /* its flow's tag goes by the first sighting */
    uint32_t older;    /* journeys of the same key that are open */
    uint32_t newer;
    uint32_t open_at;    /* its position in the order of arrival, while `is_open` */
    uint32_t settled_at; /* and in the order of settling, while `is_settled` */
    uint32_t more;       /* number of a vx_more, or VX_NONE */
    uint32_t held;       /* number of a vx_held, or VX_NONE: nothing is known; read of the newest of a key */
    uint32_t outer_id;
    uint8_t count; /* of sightings */
    uint8_t sides; /* VX_CAME_IN and so on of all its sightings together */
    bool is_open;  /* it leaves the order of arrival by age, even where it has settled */
    bool is_settled;
    uint64_t clock;
    uint64_t order;
    vx_sighting sightings[VX_FIRST_SIGHTINGS];
} vx_journey;

_Static_assert(sizeof(vx_sighting) == 64 && sizeof(vx_journey) == 256, "not whole cache lines");

static inline vx_sighting *vx_sighting_at(const vx_journey *journey, const vx_pool *more, unsigned number) {
    if (number < VX_FIRST_SIGHTINGS)
        return (vx_sighting *)&journey->sightings[number];
    return &((vx_more *)vx_pool_at(more, journey->more))->sightings[number - VX_FIRST_SIGHTINGS];
}

#endif
