/* A tally in a few numbers, which do not depend on the order of its rows nor on how they are numbered: two
 * that say the same have the same. What is left out is what no one is told. */
#ifndef VXTOOL_DIGEST_H
#define VXTOOL_DIGEST_H

#include "engine.h"

typedef struct {
    uint64_t records; /* what all else is of */
    uint64_t counters;
    uint64_t times;
    uint64_t interfaces;
    uint64_t cells;
    uint64_t flows;
    uint64_t latencies;
    uint64_t tunnels;
    uint64_t counts; /* overheads, sizes, MSS */
    uint64_t large;
    uint64_t icmp;
    uint64_t timeline;
    uint64_t odd; /* wrong checksums, first fragments, too big */
    uint64_t samples;
    uint64_t listed; /* datagrams and sightings */
    uint64_t ranges; /* of sequence numbers: parts may unwrap them otherwise */
} digest;

digest digest_of(const vx_engine *engine);
/* The name of the first number in which they differ; NULL: in none. */
const char *digests_differ(const digest *one, const digest *other, bool ranges_too);

/* See that what a finished engine counted adds up. */
void check_sums(const vx_engine *engine, const vx_engine_options *options);
/* Whether any limit was hit: then only totals are as they would be without. */
bool hit_a_limit(const vx_engine *engine);

#endif
