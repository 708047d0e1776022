/* Journeys that came in and were not seen to go out, of TCP data that the other end may have acknowledged all
 * the same. They are counted last of all, when every acknowledgement is known. */
#ifndef VXTOOL_DOUBT_H
#define VXTOOL_DOUBT_H

#include "tally.h"

/* As many are held back until the end. */
enum { VX_MOST_DOUBTFUL = 1 << 16 };

/* The other directions of the flows that are asked about. */
typedef struct {
    vx_map rows;
} vx_doubts;

void vx_doubts_init(vx_doubts *doubts, uint64_t seed);
void vx_doubts_free(vx_doubts *doubts);

/* Whether this is such a journey. */
bool vx_is_doubtful(const vx_view *view);
/* Ask about one: 0, or -1: no memory. */
int vx_doubts_ask(vx_doubts *doubts, const vx_view *view);
/* Look for the other directions of all that was asked. */
void vx_doubts_find(vx_doubts *doubts, const vx_tally *tally);
/* Whether the other end acknowledged the data of a journey that was asked about, although none of it was seen
 * in another that is counted: this one must have arrived. */
bool vx_doubts_is_acknowledged(const vx_doubts *doubts, const vx_tally *tally, const vx_view *view);

#endif
