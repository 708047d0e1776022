/* What an engine tells a packet list of a case. The headers of the two cannot be included together. */
#ifndef VXTOOL_LISTED_H
#define VXTOOL_LISTED_H

#include "cases.h"

/* As list.h wants them; each array is a block of just its size. */
typedef struct {
    uint64_t records; /* of all inputs */
    uint64_t *where;
    uint32_t *bundle;
    int64_t *latency;
    uint32_t *length;
    int32_t *vni;
    size_t datagrams;
    uint64_t *sighted;
    uint64_t *first;
    size_t sightings;
    uint32_t bundles;
} told;

/* Run an engine over the case that lists as many datagrams and sightings as the case says, 0 being no limit.
 */
told tell(const test_case *from, const dealt *files);
void told_free(told *told);

#endif
