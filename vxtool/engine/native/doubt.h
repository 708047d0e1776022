/* Journeys that came in and were not seen to go out, of TCP data that the other end may have acknowledged all
 * the same. They are counted last of all, when every acknowledgement is known. */
#ifndef VXTOOL_DOUBT_H
#define VXTOOL_DOUBT_H

#include "tally.h"

/* As many are held back until the end. */
enum { VX_MOST_DOUBTFUL = 1 << 16 };

/* One that is doubtful. Those of equal ends and VNI are weighed together, by what was seen of their ends. */
typedef struct {
    vx_sample start; /* of the journey */
    uint32_t journey;
    uint32_t ends; /* its place among all ends */
    int32_t vni;
    uint32_t sequence; /* of its first byte, and */
    uint32_t length;
    bool acknowledged;
} vx_doubt;

/* Whether a journey is one. */
bool vx_is_doubtful(const vx_view *view);
/* All that one has for its own: its ends are interned in `ends`. 0, or -1: no memory. */
int vx_doubt_of(vx_doubt *doubt, const vx_view *view, uint32_t journey, vx_map *ends);
/* Such a map. */
void vx_doubt_ends_init(vx_map *ends, uint64_t seed);
/* Say of each whether the other end acknowledged its data, although it was seen in no other: then it must
 * have arrived. They are put in another order. 0, or -1: no memory. */
int vx_doubts_weigh(vx_doubt *doubts, size_t count, const vx_map *ends, const vx_tally *tally);

#endif
