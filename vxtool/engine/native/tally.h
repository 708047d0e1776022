/* What is counted of journeys that have closed: the tables of vxtool/engine/tables.py, with numbers in place
 * of values. Interfaces, places, underlays, paths and flows are each kept once and numbered from 0 in the
 * order in which they were first met; all else refers to them by number.
 *
 * Functions that give an int answer 0, or -1 where there was no memory; those that give a number, VX_NONE. */
#ifndef VXTOOL_TALLY_H
#define VXTOOL_TALLY_H

#include "quote.h"
#include "sighting.h"

enum {
    VX_SAMPLES = 4,
    VX_EXACT_LATENCIES = 1000,
    VX_LATENCY_PAGES = 60, /* of 64 buckets each: an octave */
    VX_MOST_RANGES = 32,
    VX_LARGE = 1280,
    VX_FEW_PORTS = 12,
    VX_SMALL_SIZES = 1536, /* inner sizes below this are counted in an array */
    VX_RECENT_PATHS = 64,
    VX_MOST_TOO_BIG = 1024, /* rows */
};

/* Flags of a path. */
enum {
    VX_PARTIAL = 1,
    VX_TRANSLATED = 2,
    VX_LOOPED = 4,
    VX_AT_END = 8,
    VX_AT_START = 16,
    VX_ACKNOWLEDGED = 32,
    VX_OVERTAKEN = 64,
    VX_SEGMENTED = 128,
    VX_JOINED = 256,
    VX_OF_UDP = 512,
};

/* How a datagram was seen at a stage. */
enum { VX_WHOLE, VX_FRAGMENTS, VX_FIRST_ONLY };

/* The flow that stands for all that were folded into it (fold.h); the only one that is not in `flows`. */
#define VX_OTHER_FLOWS (VX_NONE - 1)

/* The VNI of folded flows (fold.h) of which even that is not told. */
enum { VX_ANY_VNI = -2 };

/* The protocol by which a folded flow's ends are known outside of here: FOLDED and those that follow in
 * tables.py. */
static inline int32_t vx_folded_protocol(const vx_ends *ends) {
    return -1 - (ends->shape & VX_KEY_OUTER ? 2 : 0) - (ends->protocol == VX_ICMP ? 1 : 0);
}

/* The earliest few records, in order. */
typedef struct {
    vx_sample samples[VX_SAMPLES];
    uint8_t count;
} vx_samples;

/* One that belongs among them. */
void vx_samples_insert(vx_samples *samples, vx_sample sample);

static inline void vx_samples_keep(vx_samples *samples, vx_sample sample) {
    if (samples->count < VX_SAMPLES || vx_sample_before(sample, samples->samples[VX_SAMPLES - 1]))
        vx_samples_insert(samples, sample);
}

typedef struct {
    int64_t index;
    int32_t input;
    int32_t interface;
    /* end of the key */
    uint64_t records[3]; /* in, out, unknown */
    char *name;          /* as a pcapng file names it; owned; NULL: not */
    uint32_t link_type;
} vx_interface_row;
enum { VX_INTERFACE_KEY = 16 };

/* The link type of an interface that stands for all of its input, or for all cooked captures, which are of
 * the one that tells no interfaces apart. */
static inline uint32_t vx_link_type_of_all(int32_t input) { return input < 0 ? VX_LINK_SLL : 0; }

/* A stage, but for its form. A place with a wear of VX_PLAIN and without loopback also stands for all of the
 * same interface, direction and MACs in the keys of fragments. */
typedef struct {
    uint32_t interface;
    uint8_t direction;
    uint8_t wear;
    bool loopback;
    bool has_macs;
    uint8_t macs[12];
    /* end of the key */
    uint32_t turned[2]; /* the place + 1 that this one is where its direction is inferred as in, as out; 0:
                           not yet */
} vx_place;
enum { VX_PLACE_KEY = 20 };

static inline void vx_place_forget_macs(vx_place *place) {
    place->has_macs = false;
    memset(place->macs, 0, sizeof place->macs);
}

/* Where a tunnel's packets go from and to. Those beyond the limit are one for each port, without addresses.
 */
typedef struct {
    uint8_t addresses[32]; /* source, then destination */
    uint16_t destination_port;
    uint8_t wear;
    uint8_t size; /* of an address: 0, 4 or 16 */
} vx_underlay_key;

static inline void vx_underlay_forget_ends(vx_underlay_key *key) {
    key->size = 0;
    memset(key->addresses, 0, sizeof key->addresses);
}

typedef struct {
    vx_underlay_key key;
    uint32_t few_ports;
    uint64_t datagrams; /* 0: met, but never the measured side */
    uint64_t outer_bytes;
    vx_sample first; /* the earliest that was measured */
    uint64_t *ports; /* one bit for each source port; NULL while there are few: */
    uint16_t few[VX_FEW_PORTS];
} vx_underlay;

typedef struct {
    uint64_t count;
    uint64_t total;
    uint64_t carried; /* 2^64 so many times beside the total: clocks that jump make latencies of centuries */
    uint64_t smallest;
    uint64_t largest;
    uint64_t *exact; /* in no order; NULL above VX_EXACT_LATENCIES */
    uint32_t exact_capacity;
    uint64_t *pages[VX_LATENCY_PAGES]; /* counts of bucket page * 64 + i; NULL: none of these */
} vx_latencies;

/* A stage of a path is place << 2 | form; where its direction is inferred, the place has that. */
typedef struct {
    uint32_t count;
    uint32_t flags;
    uint64_t stages[VX_MOST_STAGES];
    /* end of the key */
    vx_latencies *latencies; /* NULL: none */
    int64_t step;            /* the last step counted where both sides were seen, and */
    uint32_t step_row;       /* its row + 1; 0: none */
} vx_path;
enum { VX_PATH_KEY = 8 + 8 * VX_MOST_STAGES };

/* Between whom, and in which network. Two cache lines: what every datagram needs, and what only data does. */
typedef struct {
    _Alignas(64) vx_ends ends; /* as vx_flow_ends makes them */
    int32_t vni;               /* -1: none */
    /* end of the key */
    uint16_t mss;
    uint8_t tcp_flags;
    uint8_t options;
    uint32_t acknowledged;      /* the highest, of TCP where any segment has one */
    uint32_t last_cell;         /* the one that was counted last, + 1; 0: none */
    uint32_t port_underlay_up1; /* the underlay + 1 under which `port` was counted last; 0: none */
    uint16_t port;
    uint8_t ports_seen; /* source ports of its tunnels: 0; 1, which is `port`; or 2, for several */
    bool has_data;      /* the other line is needed again */
    _Alignas(64) vx_sample first;
    uint32_t underlay;   /* of the first; VX_NONE: plain */
    uint32_t first_cell; /* the one that it had first, + 1 */
    /* Sequence space covered: pairs of start and end; the first in the row itself. */
    uint32_t range_count;
    bool ranges_folded;
    uint16_t segment; /* of UDP: largest payload of the datagrams into which a super-frame was cut */
    int64_t range[2];
    int64_t *more_ranges; /* all of them, where there is more than one */
    uint64_t data_bytes;
} vx_flow;
enum { VX_FLOW_KEY = 44 };

_Static_assert(sizeof(vx_flow) == 128 && offsetof(vx_flow, mss) == VX_FLOW_KEY, "not as said");

/* Which MSS a flow told: in a tunnel << 33 | IPv6 << 32 | MSS. */
static inline uint64_t vx_mss_key(const vx_flow *flow, uint32_t mss) {
    bool ipv6 = flow->ends.shape & VX_KEY_IPV6;
    return (uint64_t)(flow->vni >= 0) << 33 | (uint64_t)ipv6 << 32 | mss;
}

/* What a flow had on a path: a cache line that every datagram needs, by the same number another with its
 * samples, which few do, and for some a vx_more_of_cell. */
typedef struct {
    _Alignas(64) uint32_t flow;
    uint32_t path;
    /* end of the key */
    uint32_t smallest;
    uint32_t largest;
    uint64_t datagrams;
    uint64_t inner_bytes;
    uint64_t outer_bytes;
    int64_t last_time;
    int64_t sampled_to; /* what begins later is none of the samples */
    uint32_t more_up1;  /* the number + 1 of its vx_more_of_cell; 0: none, all of that is 0 */
    uint8_t sample_count;
} vx_cell;
enum { VX_CELL_KEY = 8 };

/* The first of them has the first time. */
typedef struct {
    _Alignas(64) vx_sample samples[VX_SAMPLES];
} vx_cell_sample_row;

_Static_assert(sizeof(vx_cell) == 64 && sizeof(vx_cell_sample_row) == 64, "not as said");

/* Beyond one packet for each datagram, and one that left: of fragments, of what was lost, of what grew. */
typedef struct {
    int64_t packets;
    int64_t bytes;
    int64_t egress_packets;
    int64_t fragmented; /* segments that left in fragments */
} vx_more_of_cell;

/* What of a cell crossed the wire. */
typedef struct {
    uint64_t packets;
    uint64_t bytes;
    uint64_t egress_packets;
    uint64_t fragmented;
} vx_wire;

typedef struct {
    uint32_t flow;
    uint32_t outer_length;
    uint32_t inner_length;
    uint32_t payload_length;
    /* end of the key */
    uint64_t count;
} vx_large;
enum { VX_LARGE_KEY = 16 };

/* Keys of `icmp`: in a tunnel << 49 | IPv6 << 48 | type << 40 | code << 32 | MTU. */
typedef struct {
    uint64_t key;
    uint64_t count;
    vx_samples samples;
} vx_icmp;

/* Messages that a packet was too big, which are alike in all that they tell. */
typedef struct {
    vx_ends flow; /* quoted, as is what follows */
    int32_t vni;
    uint32_t mtu;
    uint8_t addresses[32];  /* of the message: source, then destination */
    uint8_t quoted[32];     /* of the packet that was too big */
    bool tunnelled;         /* the message itself */
    uint8_t version;        /* of its IP, and */
    uint8_t quoted_version; /* of what it quotes; 0: not even an IP header */
    uint8_t wear;
    /* end of the key */
    uint32_t largest;    /* of the quoted lengths */
    uint64_t records[3]; /* in, out, unknown */
    int64_t last_time;
    vx_samples samples;
} vx_too_big;
enum { VX_TOO_BIG_KEY = 116 };

_Static_assert(offsetof(vx_too_big, largest) == VX_TOO_BIG_KEY, "not as said");

/* Add to the row of the same key, records numbered on from `base` (NULL: as they are). Rows beyond the limit
 * are not kept, but counted. 0, or -1: no memory. */
int vx_too_big_add(vx_map *rows, const vx_too_big *more, const uint64_t *base, uint64_t *folded);

typedef struct {
    int64_t step;
    uint32_t path;
    uint32_t address_size; /* of the outer destination where only one side was seen; else 0 */
    uint8_t address[16];
    /* end of the key */
    uint64_t datagrams;
    uint64_t outer_bytes;
} vx_step;
enum { VX_STEP_KEY = 32 };

/* The path of two sightings, by their stages. */
typedef struct {
    uint64_t stages[2];
    uint32_t flags;
    uint32_t path_up1; /* 0: nothing here */
} vx_recent_path;

/* A datagram that is listed by itself. */
typedef struct {
    vx_sample sample;
    int64_t latency; /* from the ingress to the egress, in ns; -1: not both were seen */
    uint32_t cell;
    uint32_t inner_length;
    uint16_t source_port; /* of its tunnel */
    uint8_t icmp_type;
    uint8_t icmp_code;
    uint8_t flags;
    bool tunnelled;
    bool has_icmp;
} vx_datagram;

_Static_assert(sizeof(vx_datagram) == 40, "not as said");

/* That a record is a further sighting of a datagram: `where` of it, and of the record whose time is the
 * datagram's. */
typedef struct {
    uint64_t record;
    uint64_t first;
} vx_sighted;

/* As DatagramRow of tables.py has them. */
static inline int vx_datagram_icmp(const vx_datagram *datagram) {
    return datagram->has_icmp ? datagram->icmp_type << 8 | datagram->icmp_code : -1;
}
static inline int vx_datagram_port(const vx_datagram *datagram) {
    return datagram->tunnelled ? datagram->source_port : -1;
}

/* In the order of `Counters`. */
typedef struct {
    uint64_t records;
    uint64_t tunnel_records;
    uint64_t ip_records;
    uint64_t non_ip_records;
    uint64_t unknown_link_records;
    uint64_t malformed_records;
    uint64_t clipped_records;
    uint64_t cut_records;
    uint64_t tail_fragments;
    uint64_t orphan_fragments;
    uint64_t late_fragments;
    uint64_t clock_skewed;
    uint64_t time_reversed;
    uint64_t evicted_journeys;
    uint64_t folded_flows;
    uint64_t invalid_headers;
    uint64_t group_policy_headers;
    uint64_t reserved_bits;
    uint64_t no_tunnel_records;
    uint64_t nested_records;
    uint64_t verified_checksums;
    uint64_t wrong_checksums;
    uint64_t unlisted_datagrams;
    uint64_t unweighed_journeys;
    uint64_t folded_quotes;
    uint64_t unlisted_sightings;
    uint64_t evicted_fragments;
    uint64_t folded_details;
    uint64_t folded_places; /* 1: some were; the same of these */
    uint64_t folded_paths;
    uint64_t folded_ports;
} vx_counters;

void vx_counters_add(vx_counters *mine, const vx_counters *theirs);

enum {
    VX_SAMPLE_CLIPPED,
    VX_SAMPLE_CUT,
    VX_SAMPLE_MALFORMED,
    VX_SAMPLE_ORPHAN,
    VX_SAMPLE_REVERSED,
    VX_SAMPLE_INVALID_HEADER,
    VX_SAMPLE_RESERVED_BITS, /* and group policies */
    VX_SAMPLE_NO_TUNNEL,
    VX_SAMPLE_NESTED,
    VX_SAMPLE_WRONG_CHECKSUM,
    VX_SAMPLE_KINDS
};

/* How much is kept: see vxtool/engine/options.py for what each costs, and what gives way to more. */
typedef struct {
    uint64_t flows;
    uint64_t tunnels;
    uint64_t places; /* and interfaces */
    uint64_t paths;
    uint64_t rows;      /* of each table of details */
    uint64_t datagrams; /* that are listed by themselves; 0: none are */
    uint64_t sightings; /* and of these, further sightings; 0: none are */
} vx_limits;

/* Answers to questions tell so many pairs of addresses apart, or identities of flows. */
enum { VX_FLOWS_OF_ENDS = 4, VX_ENDS_OF_AN_IDENTITY = 4, VX_LEAST_ENDS = 1024 };
static inline uint64_t vx_most_ends(const vx_limits *most) {
    return most->flows / VX_FLOWS_OF_ENDS > VX_LEAST_ENDS ? most->flows / VX_FLOWS_OF_ENDS : VX_LEAST_ENDS;
}

/* Most flows have one cell. */
static inline uint64_t vx_most_cells(const vx_limits *most) {
    return most->flows + most->flows / 2 + most->paths;
}

typedef struct vx_tally {
    vx_limits most;
    uint64_t most_cells;
    int64_t first_time; /* of all records so far */
    int64_t last_time;
    int64_t newest_flow; /* no flow began after this */
    uint64_t places_with_macs;
    void *fold_room; /* of fold.c, for so many */
    size_t fold_flows;
    size_t fold_cells;
    uint32_t port_sets;  /* underlays that have one, and */
    uint32_t range_sets; /* flows that have had more than one range */
    bool rare_ranges;    /* of any flow: more than one range, or one that begins at 2^32 or above */
    bool has_mss;        /* any flow */
    vx_counters counters;
    vx_map interfaces;    /* of vx_interface_row */
    vx_map places;        /* of vx_place */
    vx_map underlays;     /* of vx_underlay */
    vx_map paths;         /* of vx_path */
    vx_map flows;         /* of vx_flow */
    vx_map cells;         /* of vx_cell; by key those that are not their flow's first */
    vx_pool cell_samples; /* of vx_cell_sample_row, by the cell's number */
    vx_pool cell_more;    /* of vx_more_of_cell */
    vx_map overheads;     /* of vx_count, by bytes */
    vx_map sizes;         /* of vx_count, by in a tunnel << 32 | bytes */
    vx_map mss;           /* of vx_count, by bytes */
    vx_map folded_mss;    /* of vx_count, by vx_mss_key: flows that told one, and were folded since */
    vx_map large;         /* of vx_large */
    vx_map icmp;          /* of vx_icmp */
    vx_map timeline;      /* of vx_step */
    vx_map wrong;         /* of vx_count, by underlay: records whose outer checksum is wrong */
    vx_map fragments;     /* of vx_count, by place << 32 | IP length: first fragments */
    vx_map too_big;       /* of vx_too_big */
    vx_samples samples[VX_SAMPLE_KINDS];
    vx_datagram *datagrams; /* in the order in which they were counted, until vx_tally_sort_datagrams */
    uint64_t datagram_count;
    vx_sighted *sighted; /* likewise */
    uint64_t sighted_count;
    uint64_t sighted_room;
    uint64_t datagram_room;
    uint64_t small_sizes[2]
                        [VX_SMALL_SIZES]; /* without and in a tunnel, by bytes: what is not yet in `sizes` */
    vx_secrets secrets;
    vx_recent_path recent_paths[VX_RECENT_PATHS];
    uint32_t last_path; /* the number of the path that was counted last */
    int64_t step; /* of the timeline, in ns; the next wider is this times step_factor, due at step_span */
    int64_t step_factor;
    uint64_t step_span;
    int64_t last_step; /* the number of the step that was counted last, and when it begins */
    uint64_t last_step_begins;
    bool has_last_step;
} vx_tally;

void vx_tally_init(vx_tally *tally, const vx_limits *most, uint64_t seed);
void vx_tally_free(vx_tally *tally);

/* The numbers of these, made where they are new; beyond the limit those of one that stands for all others of
 * that kind. */
uint32_t vx_tally_interface(vx_tally *tally, int64_t index, int32_t input, int32_t interface,
                            const char *name, uint32_t link_type);
uint32_t vx_tally_place(vx_tally *tally, const vx_place *place);
uint32_t vx_tally_underlay(vx_tally *tally, const vx_underlay_key *key);

/* A journey, seen by those who count it: which sighting came in, which went out (NULL: none), and the
 * direction of each, inferred where the capture does not tell. */
typedef struct {
    const vx_tagged_key *key;
    const vx_pool *pieces;
    unsigned count;
    const vx_sighting *sightings[VX_MOST_STAGES];
    uint8_t directions[VX_MOST_STAGES];
    const vx_sighting *ingress;
    const vx_sighting *egress;
    uint32_t packets;    /* into which a super-frame was cut; 0: it was not */
    uint32_t left;       /* how many of these went out whole, as far as was seen, and */
    uint32_t fragmented; /* how many in fragments */
    uint32_t segment;    /* bytes of UDP data in each but the last */
} vx_view;

void vx_view_of(vx_view *view, const vx_journey *journey, const vx_pool *more, const vx_pool *pieces);
/* Whether fewer bytes left than came in; sizes compare only where it wears the same. Both sides are there. */
bool vx_view_is_partial(const vx_view *view);
/* The sighting whose time is the journey's. */
const vx_sighting *vx_view_start(const vx_view *view);

/* Count a journey under its path with these flags, and those that follow from its sightings. */
int vx_tally_count(vx_tally *tally, const vx_view *view, uint32_t flags);
/* The same for what most journeys are: two sightings, whole and of equal wear, of which the first came in and
 * the other went out. `flow`: the number that is most likely its flow's, or VX_NONE. 1: it was one, and is
 * counted; 0: it is none; -1: no memory. */
int vx_tally_count_usual(vx_tally *tally, const vx_journey *journey, uint32_t flow);
/* The same where any of the two has fragments. */
int vx_tally_count_usual_in_pieces(vx_tally *tally, const vx_journey *journey, const vx_pool *pieces,
                                   uint32_t flow);

static inline const vx_cell *vx_cell_at(const vx_tally *tally, uint32_t number) {
    return vx_pool_item(&tally->cells.pool, number, sizeof(vx_cell));
}

static inline vx_samples vx_cell_samples(const vx_tally *tally, uint32_t number) {
    vx_samples samples = {.count = vx_cell_at(tally, number)->sample_count};
    memcpy(samples.samples, vx_pool_item(&tally->cell_samples, number, sizeof(vx_cell_sample_row)),
           sizeof samples.samples);
    return samples;
}

static inline vx_wire vx_cell_wire(const vx_tally *tally, uint32_t number) {
    const vx_cell *cell = vx_cell_at(tally, number);
    vx_wire wire = {cell->datagrams, cell->outer_bytes, cell->datagrams, 0};
    if (cell->more_up1 > 0) {
        const vx_more_of_cell *more = vx_pool_at(&tally->cell_more, cell->more_up1 - 1);
        wire.packets += (uint64_t)more->packets;
        wire.bytes += (uint64_t)more->bytes;
        wire.egress_packets += (uint64_t)more->egress_packets;
        wire.fragmented = (uint64_t)more->fragmented;
    }
    return wire;
}

/* Whether rows of flows are out of the nearest caches by the time that they are needed again. */
static inline bool vx_tally_is_large(const vx_tally *tally) { return vx_map_count(&tally->flows) > 4096; }

/* What a count needs of a flow lies in three places, each found by the one before; these fetch them one at a
 * time, ahead of it. At a million flows that takes off a third of the time. */
static VX_ALWAYS_INLINE void vx_tally_prefetch_slot(const vx_tally *tally, uint32_t flow_tag) {
    vx_index_prefetch(&tally->flows.index, flow_tag);
}

/* The number of the flow that most likely has this tag, or VX_NONE. */
static inline uint32_t vx_tally_guess_flow(const vx_tally *tally, uint32_t flow_tag) {
    return vx_index_guess(&tally->flows.index, flow_tag);
}

static VX_ALWAYS_INLINE void vx_tally_prefetch_flow(const vx_tally *tally, uint32_t number) {
    __builtin_prefetch(vx_pool_item(&tally->flows.pool, number, sizeof(vx_flow)), 1);
}

static VX_ALWAYS_INLINE void vx_tally_prefetch_cell(const vx_tally *tally, uint32_t number) {
    const vx_flow *flow = vx_pool_item(&tally->flows.pool, number, sizeof(vx_flow));
    if (flow->has_data)
        __builtin_prefetch(&flow->first, 1);
    if (flow->last_cell > 0)
        __builtin_prefetch(vx_cell_at(tally, flow->last_cell - 1), 1);
}

/* The number equal to `number` modulo 2^32 that is nearest to `near`. */
static inline int64_t vx_unwrap(int64_t number, int64_t near) {
    return near + (int64_t)(((uint64_t)number - (uint64_t)near + (UINT64_C(1) << 31)) & UINT32_MAX) -
           (INT64_C(1) << 31);
}

/* Make the steps of the timeline as wide as the time seen so far needs. */
int vx_tally_fit_timeline(vx_tally *tally);
/* The largest latency of any path. */
uint64_t vx_tally_longest(const vx_tally *tally);
/* Bring what was counted aside into its tables, before anyone looks at them. */
int vx_tally_settle(vx_tally *tally);
/* Put those that are listed in order of their samples. */
void vx_tally_sort_datagrams(vx_tally *tally);

/* Where sightings are listed: `record` is a further one of the datagram whose first record is `first`. 0, or
 * -1: no memory. */
int vx_tally_list_sighting(vx_tally *tally, vx_sample record, vx_sample first);
/* Let every flow's sequence space start below 2^32, whichever of its segments was counted first. */
void vx_tally_rebase(vx_tally *tally);
/* A flow's ranges: pairs of start and end. */
static inline const int64_t *vx_flow_ranges(const vx_flow *flow) {
    return flow->more_ranges != NULL ? flow->more_ranges : flow->range;
}

/* For those who fold flows (fold.h). The tag of a flow's key; the flow, or VX_NONE: there is none. */
uint32_t vx_tally_flow_tag(const vx_tally *tally, const vx_ends *ends, int32_t vni);
uint32_t vx_tally_find_flow(const vx_tally *tally, const vx_ends *ends, int32_t vni, uint32_t tag);
/* Add to one cell what another has, which is then empty but for its numbers. 0, or -1: no memory. */
int vx_tally_merge_cells(vx_tally *tally, uint32_t into, uint32_t from);
/* Count large datagrams by flow, outer, inner and payload length. */
int vx_tally_count_large(vx_tally *tally, const uint32_t key[4], uint64_t by);

/* What another tally's numbers are here. Each array is as long as the other's table. */
typedef struct {
    uint32_t *interfaces;
    uint32_t *places;
    uint32_t *underlays;
} vx_numbers;

int vx_tally_translate(vx_tally *tally, const vx_tally *other, vx_numbers *numbers);
void vx_numbers_free(vx_numbers *numbers);
/* Add what another counted; its records of input i are numbered on from base[i]. The span of time must
 * already be that of both. The other is used up but for being freed. */
int vx_tally_add(vx_tally *tally, vx_tally *other, const vx_numbers *numbers, const uint64_t *base);

static inline vx_sample vx_renumber(vx_sample sample, const uint64_t *base) {
    return (vx_sample){sample.time, sample.where + base[sample.where >> VX_RECORD_BITS]};
}

#endif
