/* Joining sightings into journeys, and closing those that cannot be continued any more.
 *
 * Open journeys stand in two lists, by arrival and by settling, and so leave from the front. The clock that
 * closes them is the forward motion of the timestamps, summed. Journeys of one key form a chain from the
 * newest to the oldest, whose newest the index finds.
 *
 * Fragments: the records of a fragmented packet at one stage are a group, found by the outer header alone.
 * What its tails add to its first fragment lies in a vx_pieces that both the group and the sighting hold, so
 * that sightings can move and journeys close without the group's being asked.
 *
 * A part, which is not the first of a capture, keeps apart what an earlier part's journeys may claim: keys
 * that were seen within reach of its start, and since then without a gap, are attached, and what is seen of
 * them is held back as events. vx_journeys_merge lets the earlier part see them.
 *
 * Functions that give an int answer 0, or -1 where there was no memory. */
#ifndef VXTOOL_JOURNEY_H
#define VXTOOL_JOURNEY_H

#include "tally.h"

/* Which fragmented packet it is, and where: the place of the same interface, direction and MACs that is
 * plain. */
typedef struct {
    uint32_t spot;
    vx_fragment fragment;
} vx_group_key;

/* Of a first fragment: what has come of its tails. */
typedef struct {
    vx_group_key key;
    uint32_t holders; /* its sighting, its group */
    uint32_t packets;
    uint64_t covered;
    uint64_t wire_bytes;
    uint8_t wear;
    bool closed; /* the journey is counted: more comes late */
} vx_pieces;

/* A tail whose first fragment may still come. */
typedef struct {
    uint32_t next;
    uint32_t covered;
    uint32_t wire_bytes;
    vx_sample sample;
} vx_tail;

typedef struct {
    vx_group_key key;
    /* end of the key */
    uint32_t pieces;  /* VX_NONE: the first fragment was not yet seen, and */
    uint32_t pending; /* these tails wait for it */
    uint32_t previous;
    uint32_t next;
    uint64_t clock;
} vx_group;

/* What a part holds back: a sighting, or a tail as such, of which only sums and numbers count. */
typedef struct {
    vx_key key;
    vx_group_key group; /* of a tail */
    bool is_tail;
    vx_sighting sighting;
} vx_event;

/* Ends of a list; VX_NONE where it is empty. */
typedef struct {
    uint32_t first;
    uint32_t last;
} vx_list;

typedef struct {
    vx_tally *tally;
    uint64_t window; /* ns */
    uint64_t settle;
    uint64_t most_open;
    uint64_t seed;
    bool part;
    uint64_t clock;
    uint64_t order; /* datagrams and tails so far */

    vx_pool journeys; /* of vx_journey */
    vx_pool more;     /* of vx_more */
    vx_index index;   /* the newest open journey of a key */
    uint64_t open_count;
    vx_list open;      /* by arrival, through previous_open and next_open */
    vx_list settled;   /* by settling, through previous_settled and next_settled */
    vx_list undecided; /* went out right after the start, without an ingress: through next_open */

    vx_map groups; /* of vx_group */
    vx_list group_order;
    vx_pool pieces; /* of vx_pieces */
    vx_pool tails;  /* of vx_tail */

    vx_map attached;        /* of vx_attached_key */
    vx_map attached_groups; /* of vx_attached_group */
    vx_event *held;
    size_t held_count;
    size_t held_capacity;
} vx_journeys;

typedef struct {
    uint64_t window;
    uint64_t settle;
    uint64_t most_journeys;
    uint64_t seed;
    bool part;
} vx_journey_options;

void vx_journeys_init(vx_journeys *journeys, vx_tally *tally, const vx_journey_options *options);
void vx_journeys_free(vx_journeys *journeys);

/* How far the clock moves between two records, of which the second is not earlier. What no journey can wait
 * is as good as for ever, so that sums of it do not run over. */
static inline uint64_t vx_wait(const vx_journeys *journeys, int64_t from, int64_t to) {
    uint64_t wait = (uint64_t)to - (uint64_t)from, most = journeys->window + journeys->settle + 1;
    return wait < most ? wait : most;
}

/* Close what the clock, now at this, lets nothing continue. */
int vx_journeys_expire(vx_journeys *journeys, uint64_t clock);

/* A new vx_pieces for a first fragment; VX_NONE: no memory. */
uint32_t vx_journeys_pieces(vx_journeys *journeys, const vx_group_key *key, uint8_t wear);

/* The tag of a key, and what it is good for: to fetch ahead what seeing a sighting of it will need. */
static inline uint32_t vx_journeys_tag(const vx_journeys *journeys, const vx_key *key) {
    return vx_tag(vx_hash(key, sizeof *key, journeys->seed));
}

static inline void vx_journeys_prefetch(const vx_journeys *journeys, uint32_t tag) {
    uint32_t number = vx_index_guess(&journeys->index, tag);
    if (number == VX_NONE)
        return;
    const uint8_t *at = vx_pool_item(&journeys->journeys, number, sizeof(vx_journey));
    for (size_t i = 0; i < sizeof(vx_journey); i += 64)
        __builtin_prefetch(at + i, 1);
}

/* Take a sighting, and where it is a tail, before that the tail as such. */
int vx_journeys_see(vx_journeys *journeys, const vx_key *key, uint32_t tag, vx_sighting *sighting);
int vx_journeys_see_tail(vx_journeys *journeys, const vx_group_key *group, const vx_sighting *tail);

/* Count what is still open, told apart by whether the capture went on for long enough to see more of it. */
int vx_journeys_finish(vx_journeys *journeys);

/* Go on with the part that directly follows: its clock begins at `shift`. What it held back is seen here, and
 * what is open there is adopted. The other is used up but for being freed. */
int vx_journeys_merge(vx_journeys *journeys, vx_journeys *other, const vx_numbers *numbers, uint64_t shift,
                      const uint64_t *base);

#endif
