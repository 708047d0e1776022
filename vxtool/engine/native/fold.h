/* What gives way where more flows are seen than are kept.
 *
 * The half of all rows that has the fewest bytes, and of equal sizes (as powers of two) was seen last the
 * longest ago, is folded: each of them into a coarser row, that it shares with others. What was counted stays
 * counted; only what tells flows apart goes, one step at a time:
 *
 *     a flow -> without protocol and ports -> with the tunnel's addresses for its own -> without its VNI ->
 * all
 *
 * Outside of tunnels the second step leads to all others. So large flows stay, and verdicts on journeys,
 * which go by the outermost addresses, and counts by VNI stay exact for as long as there is room for those.
 * To fold half of the rows costs as much for each flow that is new, however many there are. */
#ifndef VXTOOL_FOLD_H
#define VXTOOL_FOLD_H

#include "tally.h"

/* Have room for another flow and its cells: a quarter of them, where any are kept at all. 0, or -1: no
 * memory. Numbers of flows and cells are others afterwards; a flow at a number that is no more equals none.
 */
int vx_fold_flows(vx_tally *tally);

#endif
