/* What is asked of the flows and cells of a finished tally: the questions of vxtool/engine/queries.py, which
 * says what each means, answered without an object for each flow. The tally is only read.
 *
 * An answer with rows fills a map that the caller has to free, whatever is returned. One that says something
 * of each cell, flow or large row fills an array of the caller's, as long as that table; arrays by flow have
 * one more item, for all flows beyond the limit. Functions that give an int answer 0, or -1 where there was
 * no memory. */
#ifndef VXTOOL_QUERY_H
#define VXTOOL_QUERY_H

#include "tally.h"

/* Where in an array by flow this one stands. */
static inline uint32_t vx_flow_place(const vx_tally *tally, uint32_t flow) {
    return flow == VX_OTHER_FLOWS ? vx_map_count(&tally->flows) : flow;
}

/* When the earliest datagram of a cell was seen. */
static inline int64_t vx_first_time(const vx_tally *tally, uint32_t cell) {
    return vx_cell_samples(tally, cell).samples[0].time;
}

typedef struct {
    uint8_t addresses[32]; /* source, then destination */
    uint32_t size;         /* of each: 0, 4 or 16 */
} vx_pair;

/* The outer addresses of a flow's first datagram; without any where it was plain. */
vx_pair vx_outer_pair(const vx_tally *tally, uint32_t flow);

/* What flows that gave way to others had, all together. */
typedef struct {
    uint64_t datagrams;
    uint64_t inner_bytes;
} vx_folded;
vx_folded vx_query_folded(const vx_tally *tally);

/* ---- tunnels ---- */

typedef struct {
    vx_pair pair;
    /* end of the key */
    uint32_t count;
} vx_pair_count;
enum { VX_PAIR_KEY = 36 };

/* Rows of vx_pair_count: how many source ports the tunnels between two ends used, whichever tunnels. */
int vx_query_source_ports(const vx_tally *tally, vx_map *rows);
/* The same of the flows with ports that first went between two ends. */
int vx_query_tunnel_flows(const vx_tally *tally, vx_map *rows);

/* ---- bundles ---- */

typedef struct {
    uint32_t path;
    uint32_t pair;   /* the outermost addresses: a number of `pairs` */
    uint32_t inside; /* the pair + 1 that has the innermost destination; 0: it was not asked for */
    uint8_t apart;
    bool icmp;
    bool grew;
    uint8_t unused;
    /* end of the key */
    uint64_t datagrams;
    uint64_t inner_bytes;
    uint64_t outer_bytes;
    uint64_t wire_packets;
    uint64_t wire_bytes;
    uint64_t whole_bytes;
    uint64_t missing_packets;
    uint64_t fragmented;
    uint32_t smallest;
    uint32_t largest;
} vx_bundle;
enum { VX_BUNDLE_KEY = 16 };

typedef struct {
    vx_map rows;  /* of vx_bundle */
    vx_map pairs; /* of vx_pair */
} vx_bundles;

/* Put each cell into a bundle, whose number goes into `numbers`. `inside` says by path whether the innermost
 * destination is told apart, `apart` (NULL: nothing) what is noted by flow. */
int vx_query_bundles(const vx_tally *tally, const uint8_t *inside, const uint8_t *apart, vx_bundles *bundles,
                     uint32_t *numbers);
void vx_bundles_free(vx_bundles *bundles);

/* ---- the cells of some bundles ---- */

/* Numbers for which something holds: those that are not 0 here. */
typedef struct {
    const uint8_t *flags; /* NULL: it is not asked */
    size_t count;         /* none holds from here on */
} vx_set;

static inline bool vx_set_has(vx_set set, uint32_t number) {
    return number < set.count && set.flags[number] != 0;
}

/* Lengths, in order. They reach up to 2^32: what a set takes grows with how many they are. */
typedef struct {
    const uint32_t *sorted; /* NULL: it is not asked */
    size_t count;
} vx_lengths;

/* An address that is asked for. */
typedef struct {
    const uint8_t *octets; /* NULL: any */
    size_t size;
} vx_asked;

typedef struct {
    const uint32_t *numbers; /* as vx_query_bundles gave them */
    vx_set bundles;
    vx_set flows;
    vx_lengths among;
    vx_lengths beyond;
    vx_asked source; /* the innermost */
    int64_t vni;     /* below 0: any */
    int64_t above;
    int64_t room; /* INT64_MIN: any */
    bool smallest_too;
} vx_wanted;

/* The first cell from this one on that is wanted; VX_NONE: there is none. */
uint32_t vx_query_next(const vx_tally *tally, const vx_wanted *wanted, uint32_t cell);

typedef struct {
    vx_sample sample;
    uint32_t cell;
} vx_proof;

/* The earliest records of the cells, or only the first of each, into an array of `most`: their number. */
uint32_t vx_query_earliest(const vx_tally *tally, const vx_wanted *wanted, bool starts, vx_proof *proofs,
                           uint32_t most);

/* The first of the datagrams that are listed, from this one on, whose cell is wanted; their number: there is
 * none. */
uint64_t vx_query_next_datagram(const vx_tally *tally, const vx_wanted *wanted, uint64_t at);

/* Arrays of one item for each datagram that is listed, in the order of `where`. */
typedef struct {
    uint64_t *where; /* of the record whose time is the datagram's */
    uint32_t *bundle;
    int64_t *latency; /* ns; -1: not known */
    uint32_t *length; /* of the innermost IP packet */
    int32_t *vni;     /* of its flow; -1 where plain */
} vx_listed;

/* Fill arrays of the caller's; `numbers` as vx_query_bundles gave them. */
int vx_query_listed(const vx_tally *tally, const uint32_t *numbers, const vx_listed *listed);

/* Rows of vx_listed_address: the innermost addresses of flows, each once. 1: there are more than `most`. */
typedef struct {
    uint8_t octets[16];
    uint32_t size; /* 4 or 16 */
} vx_listed_address;
enum { VX_LISTED_ADDRESS_KEY = 20 };

int vx_query_addresses(const vx_tally *tally, uint32_t most, vx_map *rows);

typedef struct {
    vx_pair pair;
    /* end of the key */
    uint32_t smallest;
    uint32_t largest;
    uint64_t datagrams;
    int64_t first_time;
    int64_t last_time;
} vx_between;

int vx_query_ends(const vx_tally *tally, const vx_wanted *wanted, vx_map *rows);

/* What comes first: the most bytes or datagrams, the earliest start or end. */
typedef enum { VX_BY_BYTES, VX_BY_DATAGRAMS, VX_BY_START, VX_BY_END } vx_order_by;

typedef struct {
    vx_order_by by;
    vx_set counting; /* the bundles of which it goes by; flows that have nothing there come last */
    vx_set among;    /* only flows that have something in these */
} vx_order;

typedef struct {
    uint32_t rank; /* of its flow, or of that which tails belong to */
    uint32_t cell;
} vx_share;

typedef struct {
    uint32_t *flows; /* numbers, VX_OTHER_FLOWS among them, in order */
    uint32_t count;
    uint32_t total;     /* flows in the bundles */
    uint32_t matching;  /* those of them that have something among those that are asked for, and */
    uint64_t datagrams; /* how much that is */
    uint32_t *starts;   /* by rank, and one more: from where on the shares of a flow stand */
    vx_share *shares;   /* in the order of ranks, and of cells */
    uint32_t share_count;
    uint32_t *ranks; /* an array by flow: one more than its rank, tails that of their flow; 0: it has none */
} vx_top;

/* The flows that come first, at most so many. */
int vx_query_ranked(const vx_tally *tally, const vx_wanted *wanted, const vx_order *order, uint32_t most,
                    vx_top *top);
void vx_top_free(vx_top *top);

/* The same by bytes. */
static inline int vx_query_top(const vx_tally *tally, const vx_wanted *wanted, uint32_t most, vx_top *top) {
    return vx_query_ranked(tally, wanted, &(vx_order){.by = VX_BY_BYTES}, most, top);
}

typedef struct {
    int64_t time;
    int64_t rank;
} vx_flow_moment;

/* When what flows have in the bundles that count starts, or ends: in order, of equal times in that of ranks,
 * and each flow once at a time. Into an array of as many as there are shares: their number. */
uint32_t vx_query_moments(const vx_tally *tally, const uint32_t *numbers, const vx_order *order,
                          const vx_share *shares, uint32_t count, vx_flow_moment *moments);

/* ---- conversations ---- */

/* The number of the flow that is the other direction, by flow; VX_NONE where it was not seen. The flows
 * beyond the limit have none, and no item. */
int vx_query_reverses(const vx_tally *tally, uint32_t *reverses);
/* Whether both directions of any conversation were seen along these paths: 1, 0, or -1. */
int vx_query_is_answered(const vx_tally *tally, vx_set paths, const uint32_t *reverses);

typedef struct {
    uint32_t connections; /* flows of TCP */
    uint32_t echoes;      /* and of ICMP echo */
    uint64_t datagrams;
} vx_unanswered;

/* Set `found` by flow: those that asked again and again, and of whose other direction nothing was seen; and
 * count them. `wait` and `end` in ns: the last time that it was asked lies so long behind the first, or
 * before the end. */
int vx_query_unanswered(const vx_tally *tally, const uint32_t *reverses, int64_t wait, int64_t end,
                        uint8_t *found, vx_unanswered *sum);

/* Set `found` by flow: those of TCP that answer a SYN for `wait` ns and longer, while the other direction
 * never acknowledges or resets anything. 1 if there are any, 0, or -1. */
int vx_query_stuck(const vx_tally *tally, const uint32_t *reverses, int64_t wait, uint8_t *found);

typedef struct {
    uint32_t flow;
    /* end of the key */
    uint32_t reverse;
    uint32_t largest;
    uint64_t repeated; /* bytes of data that were sent again */
    uint64_t datagrams;
    uint64_t answers; /* datagrams of the other direction */
    int64_t last_time;
    int64_t answered_time; /* of the last of them */
    bool closed;           /* one of them ends the connection: FIN or RST */
} vx_stalled;

/* Rows of vx_stalled: flows of TCP, of whose connections both SYNs were seen, that sent at least `least`
 * bytes again, of at most `most` in all, and whose other direction has at most `few` datagrams. */
int vx_query_stalled(const vx_tally *tally, const uint32_t *reverses, uint64_t least, uint64_t most,
                     uint64_t few, vx_map *rows);

typedef struct {
    int32_t vni;
    int32_t reverse_vni; /* -1: the other direction was not seen; of sources always */
    uint32_t size;       /* of the address; 0 where it is not told */
    uint8_t address[16];
    /* end of the key */
    uint32_t unused;
    uint64_t datagrams;
    uint64_t inner_bytes;
    int64_t first_time; /* of the earliest datagram, and */
    int64_t last_time;  /* of the latest */
} vx_identity;
enum { VX_IDENTITY_KEY = 28 };

/* Rows of vx_identity: by VNI and innermost source; by both VNIs or innermost destination, without times. */
int vx_query_sources(const vx_tally *tally, vx_map *rows);
int vx_query_pairs(const vx_tally *tally, const uint32_t *reverses, vx_map *rows);

/* Rows of vx_count by in a tunnel << 33 | IPv6 << 32 | MSS. */
int vx_query_told_mss(const vx_tally *tally, vx_map *rows);
/* The same of flows whose other direction told one too: the smaller of both. */
int vx_query_agreed_mss(const vx_tally *tally, const uint32_t *reverses, vx_map *rows);

/* ---- one-sided journeys that may belong together ---- */

enum { VX_ONLY_IN = 1, VX_ONLY_OUT = 2 };

typedef struct {
    uint32_t flow;
    /* end of the key */
    uint32_t largest[2]; /* in, out */
    uint64_t datagrams[2];
} vx_two_sided;

/* `sides` says by path which one it is of, 0 where it is neither or both. */
int vx_query_two_sided(const vx_tally *tally, const uint8_t *sides, vx_map *rows);

typedef struct {
    uint32_t size;
    uint8_t address[16];
} vx_address;

/* Set `found` by flow; `own` is a map of vx_address. */
int vx_query_rewritten(const vx_tally *tally, const uint8_t *sides, const vx_map *own,
                       const uint32_t *reverses, uint8_t *found);

/* ---- large datagrams ---- */

typedef struct {
    uint32_t limit;
    int32_t protocol;
    uint32_t told_mss;
    uint32_t outer_length;
    uint32_t inner_length;
    uint32_t payload_length;
    uint8_t options;
    bool tunnelled;
    bool ipv6;
    bool both_told;
    uint32_t segment;
    /* end of the key */
    uint64_t datagrams;
} vx_large_row;
enum { VX_LARGE_ROW_KEY = 32 };

/* Put each of `large` into a row of vx_large_row, whose number goes into `numbers`. `limits` are by path: the
 * flow's is the largest of those of its paths. */
int vx_query_large(const vx_tally *tally, const uint32_t *limits, const uint32_t *reverses, vx_map *rows,
                   uint32_t *numbers);

typedef struct {
    uint32_t row;
    uint32_t payload_length; /* the largest that the flow has in other rows */
    /* end of the key */
    uint64_t datagrams;
} vx_beside;
enum { VX_BESIDE_KEY = 8 };

/* `numbers` are those that vx_query_large gave, `chosen` some of the rows. */
int vx_query_beside(const vx_tally *tally, const uint32_t *numbers, vx_set chosen, vx_map *rows);
/* Set `flows` by flow. */
void vx_query_large_flows(const vx_tally *tally, const uint32_t *numbers, vx_set chosen, uint8_t *flows);

#endif
