/* Joining sightings into journeys, and closing those that cannot be continued any more.
 *
 * Open journeys stand in two rings, by arrival and by settling, and so leave from the front. The clock that
 * closes them is the forward motion of the timestamps, summed; until it is due, a record costs a comparison.
 * Journeys of one key form a chain from the newest to the oldest, whose newest the index finds.
 *
 * Fragments: the records of a fragmented packet at one stage are a group, found by the outer header alone.
 * What has come of it lies in a vx_pieces that both the group and the sighting hold, so that sightings can
 * move and journeys close without the group's being asked.
 *
 * A part, which is not the first of a capture, keeps apart what an earlier part's journeys may claim: keys
 * that were seen within reach of its start, and since then without a gap, are attached, and what is seen of
 * them is held back as events. vx_journeys_merge lets the earlier part see them.
 *
 * What was seen on one side alone may be of a super-frame that was cut on its way, or put together: it waits,
 * beside the journeys, for what it may belong to (segments.h).
 *
 * Functions that give an int answer 0, or -1 where there was no memory. */
#ifndef VXTOOL_JOURNEY_H
#define VXTOOL_JOURNEY_H

#include "segments.h"
#include "tally.h"

/* When a sighting was seen, and as which of all. */
typedef struct {
    uint64_t clock;
    uint64_t order;
} vx_moment;

/* What of a fragmented packet one record holds. Until it is taken, its group has the scene's number of the
 * spot, and the tag of the packet alone. */
typedef struct {
    vx_tagged_group group;
    uint32_t covered;    /* payload bytes */
    uint32_t wire_bytes; /* IP length */
} vx_piece;

/* A tail whose first fragment may still come. */
typedef struct {
    uint32_t next;
    uint32_t covered;
    uint32_t wire_bytes;
    vx_sample sample;
} vx_tail;

/* A cache line. */
typedef struct {
    _Alignas(64) vx_group_key key;
    uint32_t tag;
    uint32_t pieces;   /* VX_NONE: the first fragment was not yet seen, and */
    uint32_t pending;  /* these tails wait for it */
    uint32_t order_at; /* its position in the order of opening */
} vx_group;

_Static_assert(sizeof(vx_group) == 64, "not a cache line");

/* What a part holds back: a sighting, or a tail as such, of which only its piece counts. Of the piece of a
 * sighting only the group is set, where it has pieces. Or that a flow had a super-frame, of which no
 * direction is told: only its key and moment count. */
typedef struct {
    vx_tagged_key key;
    vx_moment moment;
    bool is_tail;
    bool is_large;
    vx_piece piece;
    vx_sighting sighting;
} vx_event;

/* Ends of a list; VX_NONE where it is empty. */
typedef struct {
    uint32_t first;
    uint32_t last;
} vx_list;

/* Journeys, or groups, in the order of a clock. They enter at the tail and may leave from anywhere: their
 * entry is then vacant, with the number VX_NONE. */
typedef struct {
    uint64_t clock;
    uint32_t number;
} vx_ring_entry;

typedef struct {
    vx_ring_entry *entries;
    uint32_t mask; /* entries less one, a power of two less one; without entries 0 */
    uint32_t head; /* positions: they count on, and are taken modulo the entries */
    uint32_t tail;
    uint32_t taken; /* entries that are not vacant */
} vx_ring;

enum { VX_FLOW_HASHES = 65521 }; /* the largest prime below 2^16 */

typedef struct {
    vx_tally *tally;
    uint64_t window; /* ns */
    uint64_t settle;
    uint64_t most;      /* journeys, open and waiting: one with many sightings counts as several */
    uint64_t most_open; /* what of these is left for open ones */
    uint64_t most_fragments;
    uint64_t fragments; /* tails that wait for their first fragment */
    bool part;
    uint64_t clock;
    uint64_t order; /* datagrams and tails so far */
    uint64_t due;   /* the clock from which on something that is not settled may have to close */

    vx_pool journeys;    /* of vx_journey */
    vx_pool more;        /* of vx_more */
    vx_pool held;        /* of vx_held */
    vx_pool moments;     /* of a part, by the journey's number: VX_MOST_STAGES of vx_moment */
    vx_index index;      /* the newest open journey of a key */
    uint64_t open_count; /* by their weights */
    vx_ring open;        /* by arrival */
    vx_ring settled;     /* by settling */
    vx_loose *loose;     /* sides of journeys that have closed, and may be of one super-frame */
    uint32_t loose_count;
    uint32_t loose_capacity;
    uint64_t loose_weight; /* of their journeys */
    uint64_t loose_clock;  /* when they were last looked at */
    uint8_t sides;         /* VX_CAME_IN and so on of all sightings so far */
    /* By the hash of a flow: the clock + 1 of its last sighting longer than VX_LONGEST_PACKET with no
     * direction told. 0: none. NULL: there was none of any flow. */
    uint64_t *large_at_up1;
    vx_list undecided; /* went out right after the start, without an ingress: through `newer` */
    uint32_t undecided_count;
    vx_list doubtful; /* see doubt.h: the same */
    uint32_t doubtful_count;

    vx_index group_index;
    vx_pool groups;      /* of vx_group */
    vx_ring group_order; /* by opening: one that has been open for too long is no more, but may still stand
                            here */
    vx_pool pieces;      /* of vx_pieces */
    vx_pool group_keys;  /* of a part, by the number of its pieces: of vx_group_key */
    vx_pool tails;       /* of vx_tail */

    vx_map attached;        /* of vx_attached_key */
    vx_map attached_groups; /* of vx_attached_group */
    vx_event *events;
    size_t event_count;
    size_t event_capacity;
    bool holds_segments; /* any of the events may be of a super-frame, and */
    uint64_t last_held;  /* this is the clock of the last of them */
} vx_journeys;

typedef struct {
    uint64_t window;
    uint64_t settle;
    uint64_t most_journeys;
    uint64_t most_fragments;
    uint64_t seed;
    bool part;
} vx_journey_options;

void vx_journeys_init(vx_journeys *journeys, vx_tally *tally, const vx_journey_options *options);
void vx_journeys_free(vx_journeys *journeys);

/* How far the clock moves between two records, of which the second is not earlier. What nothing can wait is
 * as good as for ever, so that sums of it do not run over. */
static inline uint64_t vx_wait(const vx_journeys *journeys, int64_t from, int64_t to) {
    uint64_t wait = (uint64_t)to - (uint64_t)from, most = 2 * (journeys->window + journeys->settle) + 1;
    return wait < most ? wait : most;
}

/* Close what the clock, which was at `before`, lets nothing continue any more, but for what has just settled.
 */
int vx_journeys_close_due(vx_journeys *journeys, uint64_t before);

/* Move the clock on. */
static inline int vx_journeys_advance(vx_journeys *journeys, uint64_t clock) {
    uint64_t before = journeys->clock;
    journeys->clock = clock;
    /* Modulo 2^64: no wait is longer than 2^63. */
    return (int64_t)(clock - journeys->due) < 0 ? 0 : vx_journeys_close_due(journeys, before);
}

/* Close the settled ones that the clock lets nothing continue, and end the groups. To be called after every
 * few records, and before anything else than seeing and advancing: one at a time among the records, they cost
 * a third more, since nobody can foresee where. What is seen meanwhile takes care not to continue them. */
int vx_journeys_tidy(vx_journeys *journeys);

/* With many journeys open, to wait for memory took longer than all else: fetch ahead what seeing a sighting
 * of this key will need, first the slot, later what it leads to. */
static inline bool vx_journeys_are_many(const vx_journeys *journeys) { return journeys->open_count > 1024; }

static VX_ALWAYS_INLINE void vx_journeys_prefetch_slot(const vx_journeys *journeys,
                                                       const vx_tagged_key *key) {
    vx_index_prefetch(&journeys->index, key->tag);
}

static VX_ALWAYS_INLINE void vx_journeys_prefetch(const vx_journeys *journeys, const vx_tagged_key *key) {
    uint32_t number = vx_index_guess(&journeys->index, key->tag);
    if (number == VX_NONE)
        return;
    const uint8_t *at = vx_pool_item(&journeys->journeys, number, sizeof(vx_journey));
    for (size_t i = 0; i < sizeof(vx_journey); i += 64)
        __builtin_prefetch(at + i, 1);
}

/* The number of new pieces, for the sighting of a first fragment; VX_NONE: no memory. */
uint32_t vx_journeys_pieces(vx_journeys *journeys, const vx_piece *first, uint8_t wear);

/* Fetch ahead what a piece will need: half of the groups are out of the nearest caches by then. */
static VX_ALWAYS_INLINE void vx_journeys_prefetch_group(const vx_journeys *journeys, uint32_t tag) {
    vx_index_prefetch(&journeys->group_index, tag);
}

/* Take a sighting, now, as the next of all. `group`: of a first fragment, whose pieces the sighting has; else
 * NULL. */
int vx_journeys_see(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                    const vx_tagged_group *group);
/* Take a tail: as such, and as a sighting. */
int vx_journeys_see_tail(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                         const vx_piece *tail);

/* Count what is still open, told apart by whether the capture went on for long enough to see more of it. */
int vx_journeys_finish(vx_journeys *journeys);

/* Go on with the part that directly follows: its clock begins at `shift`. What it held back is seen here, and
 * what is open there is adopted. The other is used up but for being freed. */
int vx_journeys_merge(vx_journeys *journeys, vx_journeys *other, const vx_numbers *numbers, uint64_t shift,
                      const uint64_t *base);

#endif
