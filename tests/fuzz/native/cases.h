/* What a fuzzer's input means to those targets that run the whole engine: a few bytes that choose options,
 * then a capture. Records may be dealt out to several inputs, and parts may be cut from it. */
#ifndef VXTOOL_CASES_H
#define VXTOOL_CASES_H

#include "layout.h"

enum { FRONT = 16, MOST_INPUTS = 3, MOST_CASE = 1 << 16 };

typedef struct {
    uint32_t inputs;
    uint64_t window;
    uint64_t settle;
    uint64_t most_journeys;
    uint64_t most_fragments;
    uint64_t most_flows;
    uint64_t most_tunnels;
    uint64_t most_places;
    uint64_t most_paths;
    uint64_t most_rows;
    uint64_t most_datagrams;
    uint64_t most_sightings;
    uint32_t seed; /* for how it is dealt and cut */
    const uint8_t *bytes;
    size_t size;
} test_case;

/* false: too short or too long to be one. */
bool read_case(const uint8_t *data, size_t size, test_case *out);

/* Chance that depends on nothing but its state. */
uint32_t chance(uint64_t *state, uint32_t below);

/* Deal the records of a capture out to files, each with the header; what has no records goes whole to the
 * first. `files` has room for `inputs` times MOST_CASE bytes, `sizes` for each one's size. */
void deal(const test_case *from, uint8_t *files, size_t *sizes);

/* Files of a case, as `deal` makes them. */
typedef struct {
    uint8_t bytes[MOST_INPUTS][MOST_CASE];
    size_t sizes[MOST_INPUTS];
} dealt;

#endif
