/* What a filter may ask of a line: the twin of vxtool/listing/facts.py. */
#ifndef VXTOOL_FACTS_H
#define VXTOOL_FACTS_H

#include "seen.h"
#include "streams.h"

/* What became of a datagram, in the order of vxtool.listing.facts.OUTCOMES. */
enum { VX_NO_OUTCOME, VX_FORWARDED, VX_DELIVERED, VX_DROPPED, VX_ORIGINATED, VX_MISSED, VX_UNRESOLVED };

typedef struct {
    const vx_seen *seen;
    const vx_stream_note *note; /* NULL: no TCP */
    uint64_t record;            /* number in its input */
    uint32_t input;             /* from 0 */
    int64_t time_ns;            /* since 1970 */
    int64_t relative_ns;        /* since the first record */
    int64_t latency_ns;         /* from the ingress to the egress; -1: not known */
    const char *protocol;       /* as the column shows it, applications included */
    /* Names; NULL: not known. */
    const char *source_pod;
    const char *destination_pod;
    const char *source_node;
    const char *destination_node;
    const char *ingress; /* interfaces */
    const char *egress;
    int64_t source_identity; /* -1: not known */
    int64_t destination_identity;
    uint8_t outcome;
} vx_facts;

#endif
