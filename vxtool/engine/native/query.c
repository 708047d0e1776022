/* See query.h for what is asked, and vxtool/engine/plain_queries.py for the same in plain words. */
#include "query.h"

#include <stdlib.h>

/* How a tally holds what is asked for: nothing below these looks into a flow or cell but through them. */

enum { NON_IP = 1 << 16, OPAQUE = 1 << 17, NO_PORT = -1, TAIL_PORT = -2 };

typedef struct {
    int32_t vni; /* -1: none, -2: of the flows beyond the limit */
    int32_t protocol;
    int32_t source_port;
    int32_t destination_port;
    uint32_t size;       /* of an address: 0, 4 or 16, and */
    uint32_t inner_size; /* where the addresses are the innermost; else 0 */
    const uint8_t *source;
    const uint8_t *destination;
    bool is_folded;     /* it stands for several */
    bool is_other_icmp; /* ICMP that is no echo */
} flow_view;

static inline const vx_flow *flow_at(const vx_tally *tally, uint32_t number) {
    return vx_pool_item(&tally->flows.pool, number, sizeof(vx_flow));
}

static inline const vx_large *large_at(const vx_tally *tally, uint32_t number) {
    return vx_pool_item(&tally->large.pool, number, sizeof(vx_large));
}

static inline void prefetch_flow(const vx_tally *tally, uint32_t number) {
    const uint8_t *at = (const uint8_t *)flow_at(tally, number);
    __builtin_prefetch(at);
    __builtin_prefetch(at + 63);
}

static inline flow_view view_of(const vx_tally *tally, uint32_t number) {
    if (number == VX_OTHER_FLOWS)
        return (flow_view){
            .vni = VX_ANY_VNI, .protocol = -1, .source_port = -1, .destination_port = -1, .is_folded = true};
    const vx_flow *flow = flow_at(tally, number);
    const vx_ends *ends = &flow->ends;
    bool is_ip = !(ends->shape & (VX_KEY_OPAQUE | VX_KEY_NON_IP));
    uint32_t size = !is_ip ? 0 : ends->shape & VX_KEY_IPV6 ? 16 : 4;
    flow_view view = {
        .vni = flow->vni,
        .protocol = ends->shape & VX_KEY_OPAQUE ? OPAQUE
                    : is_ip                     ? ends->protocol
                                                : NON_IP + ends->fragment_offset,
        .source_port = ends->shape & VX_KEY_SOURCE_PORT ? ends->source_port : NO_PORT,
        .destination_port = ends->shape & VX_KEY_DESTINATION_PORT ? ends->destination_port : NO_PORT,
        .size = size,
        .inner_size = ends->shape & VX_KEY_OUTER ? 0 : size,
        .source = ends->addresses,
        .destination = ends->addresses + size,
        .is_folded = ends->shape & VX_KEY_FOLDED,
    };
    if (is_ip && ends->fragment_offset > 0)
        view.source_port = TAIL_PORT;
    view.is_other_icmp = (view.protocol == VX_ICMP || view.protocol == VX_ICMPV6) && view.source_port < 0;
    if (view.is_folded) {
        view.protocol = vx_folded_protocol(ends);
        view.is_other_icmp = ends->protocol == VX_ICMP;
    }
    return view;
}

/* Whether it stands for several flows, that gave way to others. */
static inline bool is_folded(const vx_tally *tally, uint32_t number) {
    return number == VX_OTHER_FLOWS || (flow_at(tally, number)->ends.shape & VX_KEY_FOLDED) != 0;
}

static inline uint32_t underlay_of(const vx_tally *tally, uint32_t number) {
    return number == VX_OTHER_FLOWS ? VX_NONE : flow_at(tally, number)->underlay;
}

static inline uint32_t mss_of(const vx_tally *tally, uint32_t number) {
    return number == VX_OTHER_FLOWS ? 0 : flow_at(tally, number)->mss;
}

static inline uint8_t options_of(const vx_tally *tally, uint32_t number) {
    return number == VX_OTHER_FLOWS ? 0 : flow_at(tally, number)->options;
}

static inline uint32_t segment_of(const vx_tally *tally, uint32_t number) {
    return number == VX_OTHER_FLOWS ? 0 : flow_at(tally, number)->segment;
}

static inline uint32_t flow_count(const vx_tally *tally) { return vx_map_count(&tally->flows); }
static inline uint32_t cell_count(const vx_tally *tally) { return vx_map_count(&tally->cells); }
static inline uint32_t large_count(const vx_tally *tally) { return vx_map_count(&tally->large); }

/* The number of what stands at this place of an array by flow. */
static inline uint32_t flow_at_place(const vx_tally *tally, uint32_t place) {
    return place == flow_count(tally) ? VX_OTHER_FLOWS : place;
}

/* Pairs of addresses. */

static inline vx_pair inner_pair(const flow_view *flow) {
    vx_pair pair = {.size = flow->size};
    if (flow->size > 0)
        memcpy(pair.addresses, flow->source, 2 * (size_t)flow->size);
    return pair;
}

static inline vx_pair underlay_pair(const vx_tally *tally, uint32_t number) {
    const vx_underlay *underlay = vx_map_at(&tally->underlays, number);
    vx_pair pair = {.size = underlay->key.size};
    memcpy(pair.addresses, underlay->key.addresses, 2 * (size_t)pair.size);
    return pair;
}

vx_pair vx_outer_pair(const vx_tally *tally, uint32_t flow) {
    uint32_t underlay = underlay_of(tally, flow);
    return underlay != VX_NONE ? underlay_pair(tally, underlay) : (vx_pair){.size = 0};
}

static uint32_t intern_pair(vx_map *pairs, const vx_pair *pair) {
    bool made;
    return vx_map_intern(pairs, pair, VX_PAIR_KEY, &made);
}

vx_folded vx_query_folded(const vx_tally *tally) {
    vx_folded sum = {0, 0};
    for (uint32_t i = 0; tally->counters.folded_flows > 0 && i < cell_count(tally); i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        if (!is_folded(tally, cell->flow))
            continue;
        sum.datagrams += cell->datagrams;
        sum.inner_bytes += cell->inner_bytes;
    }
    return sum;
}

/* Tunnels. */

enum { PORT_WORDS = 65536 / 64 };

/* Tunnels of the same ends: the last of them, and by each tunnel the one before it; VX_NONE: no more. */
typedef struct {
    uint32_t *last;
    uint32_t *before;
} tunnel_chains;

static int chain_tunnels(const vx_tally *tally, vx_map *rows, tunnel_chains *chains) {
    for (uint32_t i = 0; i < vx_map_count(&tally->underlays); i++) {
        if (((const vx_underlay *)vx_map_at(&tally->underlays, i))->datagrams == 0)
            continue;
        vx_pair pair = underlay_pair(tally, i);
        bool made;
        uint32_t number = vx_map_intern(rows, &pair, VX_PAIR_KEY, &made);
        if (number == VX_NONE)
            return -1;
        chains->before[i] = made ? VX_NONE : chains->last[number];
        chains->last[number] = i;
    }
    return 0;
}

static void add_ports(uint64_t ports[PORT_WORDS], const vx_underlay *underlay) {
    for (uint32_t i = 0; underlay->ports != NULL && i < PORT_WORDS; i++)
        ports[i] |= underlay->ports[i];
    for (uint32_t i = 0; underlay->ports == NULL && i < underlay->few_ports; i++)
        ports[underlay->few[i] >> 6] |= UINT64_C(1) << (underlay->few[i] & 63);
}

static void count_ports(const vx_tally *tally, vx_map *rows, const tunnel_chains *chains) {
    for (uint32_t i = 0; i < vx_map_count(rows); i++) {
        uint64_t ports[PORT_WORDS] = {0};
        for (uint32_t at = chains->last[i]; at != VX_NONE; at = chains->before[at])
            add_ports(ports, vx_map_at(&tally->underlays, at));
        vx_pair_count *row = vx_map_at(rows, i);
        for (uint32_t word = 0; word < PORT_WORDS; word++)
            row->count += (uint32_t)__builtin_popcountll(ports[word]);
    }
}

int vx_query_source_ports(const vx_tally *tally, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_pair_count), tally->underlays.seed);
    size_t count = (size_t)vx_map_count(&tally->underlays) + 1;
    tunnel_chains chains = {vx_allocate(count, sizeof(uint32_t)), vx_allocate(count, sizeof(uint32_t))};
    int status = -1;
    if (chains.last != NULL && chains.before != NULL)
        status = chain_tunnels(tally, rows, &chains);
    if (status == 0)
        count_ports(tally, rows, &chains);
    free(chains.last);
    free(chains.before);
    return status;
}

/* Count flows by the underlay of their first datagram. */
static void count_flows(const vx_tally *tally, uint32_t *counts) {
    for (uint32_t i = 0; i < flow_count(tally); i++) {
        flow_view flow = view_of(tally, i);
        uint32_t underlay = underlay_of(tally, i);
        if (underlay != VX_NONE && flow.source_port >= 0 && flow.destination_port >= 0)
            counts[underlay]++;
    }
}

int vx_query_tunnel_flows(const vx_tally *tally, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_pair_count), tally->underlays.seed);
    uint32_t count = vx_map_count(&tally->underlays);
    uint32_t *counts = vx_allocate((size_t)count + 1, sizeof *counts);
    if (counts == NULL)
        return -1;
    count_flows(tally, counts);
    int status = 0;
    for (uint32_t i = 0; i < count && status == 0; i++) {
        vx_pair pair = underlay_pair(tally, i);
        if (counts[i] == 0 || pair.size == 0)
            continue;
        uint32_t number = intern_pair(rows, &pair);
        if (number != VX_NONE)
            ((vx_pair_count *)vx_map_at(rows, number))->count += counts[i];
        status = number != VX_NONE ? 0 : -1;
    }
    free(counts);
    return status;
}

/* Bundles. */

/* The pair of each underlay: those of different ports are one. NULL: no memory. */
static uint32_t *pairs_of_underlays(const vx_tally *tally, vx_map *pairs) {
    uint32_t count = vx_map_count(&tally->underlays);
    uint32_t *numbers = vx_allocate((size_t)count + 1, sizeof *numbers);
    for (uint32_t i = 0; numbers != NULL && i < count; i++) {
        vx_pair pair = underlay_pair(tally, i);
        numbers[i] = intern_pair(pairs, &pair);
        if (numbers[i] == VX_NONE) {
            free(numbers);
            return NULL;
        }
    }
    return numbers;
}

/* Pairs of which only the first so many are told. */
typedef struct {
    vx_map pairs; /* of vx_pair */
    uint64_t most;
} told_pairs;

/* Leave the addresses out of one that is not among them: 0, or -1: no memory. */
static int tell_pair(told_pairs *told, vx_pair *pair) {
    bool made;
    if (vx_is_too_many(&told->pairs, pair, VX_PAIR_KEY, told->most)) {
        *pair = (vx_pair){.size = 0};
        return 0;
    }
    return vx_map_intern(&told->pairs, pair, VX_PAIR_KEY, &made) != VX_NONE ? 0 : -1;
}

/* The number of the outermost addresses; VX_NONE: no memory. `told`: NULL where all are. */
static inline uint32_t outermost_of(const vx_tally *tally, const flow_view *flow, uint32_t number,
                                    const uint32_t *by_underlay, told_pairs *told, vx_map *pairs) {
    uint32_t underlay = underlay_of(tally, number);
    if (underlay != VX_NONE)
        return by_underlay[underlay];
    vx_pair pair = flow->vni == -1 ? inner_pair(flow) : (vx_pair){.size = 0};
    if (told != NULL && flow->vni == -1 && tell_pair(told, &pair) < 0)
        return VX_NONE;
    return intern_pair(pairs, &pair);
}

/* One more than the number of a pair with this destination; 0: no memory. */
static uint32_t inside_of(const flow_view *flow, told_pairs *told, vx_map *pairs) {
    vx_pair pair = {.size = flow->inner_size};
    if (pair.size > 0)
        memcpy(pair.addresses + pair.size, flow->destination, pair.size);
    if (told != NULL && tell_pair(told, &pair) < 0)
        return 0;
    return intern_pair(pairs, &pair) + 1;
}

static inline uint64_t more_of(uint64_t one, uint64_t other) { return one > other ? one : other; }

static inline void add_to_bundle(vx_bundle *bundle, const vx_cell *cell, vx_wire wire) {
    if (bundle->datagrams == 0)
        bundle->smallest = cell->smallest;
    bundle->smallest = cell->smallest < bundle->smallest ? cell->smallest : bundle->smallest;
    bundle->largest = cell->largest > bundle->largest ? cell->largest : bundle->largest;
    bundle->datagrams += cell->datagrams;
    bundle->inner_bytes += cell->inner_bytes;
    bundle->outer_bytes += cell->outer_bytes;
    bundle->wire_packets += wire.packets;
    bundle->wire_bytes += wire.bytes;
    bundle->whole_bytes += more_of(wire.bytes, cell->outer_bytes);
    uint64_t left = wire.egress_packets < wire.packets ? wire.egress_packets : wire.packets;
    bundle->missing_packets += more_of(wire.packets - left, cell->datagrams);
    bundle->fragmented += wire.fragmented;
}

/* One too many is of all ends: 0, or -1: no memory. */
static VX_RARE int leave_out_ends(vx_bundles *bundles, vx_bundle *key) {
    const vx_pair none = {.size = 0};
    key->pair = intern_pair(&bundles->pairs, &none);
    key->inside = key->inside > 0 ? key->pair + 1 : 0;
    return key->pair != VX_NONE ? 0 : -1;
}

static int bundle_cells(const vx_tally *tally, const uint8_t *inside, const uint8_t *apart,
                        const uint32_t *by_underlay, told_pairs *told, vx_bundles *bundles,
                        uint32_t *numbers) {
    for (uint32_t i = 0; i < cell_count(tally); i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        vx_wire wire = vx_cell_wire(tally, i);
        flow_view flow = view_of(tally, cell->flow);
        vx_bundle key = {
            .path = cell->path,
            .pair = outermost_of(tally, &flow, cell->flow, by_underlay, told, &bundles->pairs),
            .apart = apart != NULL ? apart[vx_flow_place(tally, cell->flow)] : 0,
            .icmp = flow.is_other_icmp,
            .grew = wire.egress_packets > wire.packets,
        };
        if (key.pair == VX_NONE)
            return -1;
        if (inside[cell->path]) {
            key.inside = inside_of(&flow, told != NULL ? told + 1 : NULL, &bundles->pairs);
            if (key.inside == 0)
                return -1;
        }
        if (vx_is_too_many(&bundles->rows, &key, VX_BUNDLE_KEY, vx_most_ends(&tally->most)) &&
            leave_out_ends(bundles, &key) < 0)
            return -1;
        bool made;
        numbers[i] = vx_map_intern(&bundles->rows, &key, VX_BUNDLE_KEY, &made);
        if (numbers[i] == VX_NONE)
            return -1;
        add_to_bundle(vx_pool_item(&bundles->rows.pool, numbers[i], sizeof(vx_bundle)), cell, wire);
    }
    return 0;
}

int vx_query_bundles(const vx_tally *tally, const uint8_t *inside, const uint8_t *apart, vx_bundles *bundles,
                     uint32_t *numbers) {
    vx_map_init(&bundles->rows, sizeof(vx_bundle), tally->flows.seed);
    vx_map_init(&bundles->pairs, sizeof(vx_pair), tally->flows.seed);
    uint32_t *by_underlay = pairs_of_underlays(tally, &bundles->pairs);
    if (by_underlay == NULL)
        return -1;
    told_pairs told[2] = {{.most = vx_most_ends(&tally->most)}, {.most = vx_most_ends(&tally->most)}};
    vx_map_init(&told[0].pairs, sizeof(vx_pair), tally->flows.seed);
    vx_map_init(&told[1].pairs, sizeof(vx_pair), tally->flows.seed);
    bool are_many = flow_count(tally) >= told[0].most;
    int status = bundle_cells(tally, inside, apart, by_underlay, are_many ? told : NULL, bundles, numbers);
    vx_map_free(&told[0].pairs);
    vx_map_free(&told[1].pairs);
    free(by_underlay);
    return status;
}

void vx_bundles_free(vx_bundles *bundles) {
    vx_map_free(&bundles->rows);
    vx_map_free(&bundles->pairs);
}

/* The cells of some bundles. */

static bool is_among(vx_lengths lengths, uint32_t length) {
    size_t from = 0, to = lengths.count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (lengths.sorted[middle] == length)
            return true;
        if (lengths.sorted[middle] < length)
            from = middle + 1;
        else
            to = middle;
    }
    return false;
}

static inline bool fits(const vx_wanted *wanted, uint32_t length) {
    return length > wanted->above && (wanted->among.sorted == NULL || is_among(wanted->among, length));
}

/* What the tunnel adds to a datagram of this cell, on average and rounded down. */
static int64_t overhead_of(const vx_cell *cell) {
    int64_t sum = (int64_t)(cell->outer_bytes - cell->inner_bytes), count = (int64_t)cell->datagrams;
    return sum / count - (sum % count < 0 ? 1 : 0);
}

static bool is_from(const vx_tally *tally, uint32_t number, vx_asked source) {
    flow_view flow = view_of(tally, number);
    return flow.inner_size == source.size &&
           (source.size == 0 || vx_same(flow.source, source.octets, source.size));
}

static bool is_wanted(const vx_tally *tally, const vx_wanted *wanted, const vx_cell *cell) {
    if (wanted->vni >= 0 && view_of(tally, cell->flow).vni != wanted->vni)
        return false;
    if (wanted->source.octets != NULL && !is_from(tally, cell->flow, wanted->source))
        return false;
    if (wanted->flows.flags != NULL && !vx_set_has(wanted->flows, vx_flow_place(tally, cell->flow)))
        return false;
    if (!fits(wanted, cell->largest) || is_among(wanted->beyond, cell->largest))
        return false;
    if (wanted->smallest_too && !fits(wanted, cell->smallest))
        return false;
    return wanted->room == INT64_MIN || cell->largest + overhead_of(cell) > wanted->room;
}

static inline bool is_wanted_cell(const vx_tally *tally, const vx_wanted *wanted, uint32_t cell) {
    return vx_set_has(wanted->bundles, wanted->numbers[cell]) &&
           is_wanted(tally, wanted, vx_cell_at(tally, cell));
}

uint32_t vx_query_next(const vx_tally *tally, const vx_wanted *wanted, uint32_t cell) {
    for (; cell < cell_count(tally); cell++)
        if (is_wanted_cell(tally, wanted, cell))
            return cell;
    return VX_NONE;
}

uint64_t vx_query_next_datagram(const vx_tally *tally, const vx_wanted *wanted, uint64_t at) {
    while (at < tally->datagram_count && !is_wanted_cell(tally, wanted, tally->datagrams[at].cell))
        at++;
    return at;
}

/* Take in one that belongs among the `count` earliest; their new number. */
static uint32_t keep_proof(vx_proof *proofs, uint32_t count, uint32_t most, vx_proof proof) {
    if (count == most && !vx_sample_before(proof.sample, proofs[count - 1].sample))
        return count;
    uint32_t at = count < most ? count++ : count - 1;
    for (; at > 0 && vx_sample_before(proof.sample, proofs[at - 1].sample); at--)
        proofs[at] = proofs[at - 1];
    proofs[at] = proof;
    return count;
}

uint32_t vx_query_earliest(const vx_tally *tally, const vx_wanted *wanted, bool starts, vx_proof *proofs,
                           uint32_t most) {
    uint32_t count = 0;
    for (uint32_t i = 0; most > 0 && (i = vx_query_next(tally, wanted, i)) != VX_NONE; i++) {
        vx_samples samples = vx_cell_samples(tally, i);
        for (uint32_t at = 0; at < (starts ? 1 : samples.count); at++)
            count = keep_proof(proofs, count, most, (vx_proof){samples.samples[at], i});
    }
    return count;
}

typedef struct {
    uint64_t where;
    const vx_datagram *datagram;
} listed_row;

static int by_where(const void *one, const void *other) {
    const listed_row *first = one, *second = other;
    return (first->where > second->where) - (first->where < second->where);
}

int vx_query_listed(const vx_tally *tally, const uint32_t *numbers, const vx_listed *listed) {
    uint64_t count = tally->datagram_count;
    listed_row *rows = vx_allocate(count > 0 ? count : 1, sizeof *rows);
    if (rows == NULL)
        return -1;
    bool in_order = true;
    for (uint64_t i = 0; i < count; i++) {
        rows[i] = (listed_row){tally->datagrams[i].sample.where, &tally->datagrams[i]};
        in_order = in_order && (i == 0 || rows[i - 1].where < rows[i].where);
    }
    /* They come in order of time, so of one input they nearly always are. */
    if (!in_order)
        qsort(rows, count, sizeof *rows, by_where);
    for (uint64_t i = 0; i < count; i++) {
        listed->where[i] = rows[i].where;
        listed->bundle[i] = numbers[rows[i].datagram->cell];
        listed->latency[i] = rows[i].datagram->latency;
        listed->length[i] = rows[i].datagram->inner_length;
        listed->vni[i] = view_of(tally, vx_cell_at(tally, rows[i].datagram->cell)->flow).vni;
    }
    free(rows);
    return 0;
}

static int add_address(vx_map *rows, const uint8_t *octets, uint32_t size) {
    vx_listed_address key = {.size = size};
    bool made;
    if (size == 0)
        return 0;
    memcpy(key.octets, octets, size);
    return vx_map_intern(rows, &key, VX_LISTED_ADDRESS_KEY, &made) == VX_NONE ? -1 : 0;
}

int vx_query_addresses(const vx_tally *tally, uint32_t most, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_listed_address), tally->flows.seed);
    for (uint32_t i = 0; i < vx_map_count(&tally->flows); i++) {
        flow_view flow = view_of(tally, i);
        if (add_address(rows, flow.source, flow.size) < 0 ||
            add_address(rows, flow.destination, flow.size) < 0)
            return -1;
        if (vx_map_count(rows) > most)
            return 1;
    }
    return 0;
}

/* Which of the rows of an answer stay, where they are too many: half as many as may be, those with the most
 * datagrams, and of equal ones the first. */
typedef struct {
    uint64_t least; /* as many datagrams have the last of them */
    uint64_t ties;  /* of those that have just as many, so many stay */
} staying;

static int by_count(const void *one, const void *other) {
    const uint64_t *first = one, *second = other;
    return (*first < *second) - (*first > *second);
}

static inline uint64_t most_identities(const vx_tally *tally) {
    return vx_most_ends(&tally->most) / VX_ENDS_OF_AN_IDENTITY;
}

/* `counts`: of all rows; they are sorted. */
static staying find_staying(uint64_t *counts, uint32_t count, uint64_t most) {
    qsort(counts, count, sizeof *counts, by_count);
    staying who = {.least = counts[most / 2 - 1]};
    for (uint64_t i = 0; i < most / 2; i++)
        who.ties += counts[i] == who.least;
    return who;
}

static bool stays(staying *who, uint64_t datagrams) {
    if (datagrams != who->least || who->ties == 0)
        return datagrams > who->least;
    who->ties--;
    return true;
}

/* Let rows beside those that stay be one, between addresses that are not told. */
static int fold_ends(const vx_tally *tally, vx_map *rows) {
    uint32_t count = vx_map_count(rows);
    uint64_t most = most_identities(tally);
    if (count <= most)
        return 0;
    uint64_t *counts = vx_allocate(count, sizeof *counts);
    if (counts == NULL)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        counts[i] = ((const vx_between *)vx_map_at(rows, i))->datagrams;
    staying who = find_staying(counts, count, most);
    free(counts);
    vx_map all = *rows;
    vx_map_init(rows, sizeof(vx_between), all.seed);
    int status = 0;
    for (uint32_t i = 0; i < count && status == 0; i++) {
        const vx_between *row = vx_map_at(&all, i);
        const vx_pair none = {.size = 0};
        bool made;
        uint32_t number =
            vx_map_intern(rows, stays(&who, row->datagrams) ? &row->pair : &none, VX_PAIR_KEY, &made);
        if (number == VX_NONE) {
            status = -1;
            break;
        }
        vx_between *sum = vx_map_at(rows, number);
        sum->smallest = made || row->smallest < sum->smallest ? row->smallest : sum->smallest;
        sum->largest = row->largest > sum->largest ? row->largest : sum->largest;
        sum->first_time = made || row->first_time < sum->first_time ? row->first_time : sum->first_time;
        sum->last_time = made || row->last_time > sum->last_time ? row->last_time : sum->last_time;
        sum->datagrams += row->datagrams;
    }
    vx_map_free(&all);
    return status;
}

int vx_query_ends(const vx_tally *tally, const vx_wanted *wanted, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_between), tally->flows.seed);
    for (uint32_t i = 0; (i = vx_query_next(tally, wanted, i)) != VX_NONE; i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        flow_view flow = view_of(tally, cell->flow);
        vx_pair key = flow.size > 0 ? inner_pair(&flow) : vx_outer_pair(tally, cell->flow);
        bool made;
        uint32_t number = vx_map_intern(rows, &key, VX_PAIR_KEY, &made);
        if (number == VX_NONE)
            return -1;
        vx_between *row = vx_map_at(rows, number);
        row->smallest = made || cell->smallest < row->smallest ? cell->smallest : row->smallest;
        row->largest = cell->largest > row->largest ? cell->largest : row->largest;
        int64_t first_time = vx_first_time(tally, i);
        row->first_time = made || first_time < row->first_time ? first_time : row->first_time;
        row->last_time = made || cell->last_time > row->last_time ? cell->last_time : row->last_time;
        row->datagrams += cell->datagrams;
    }
    return fold_ends(tally, rows);
}

/* The flows with the most bytes. */

static const uint64_t UNSEEN = UINT64_MAX;

static int compare_numbers(int32_t one, int32_t other) { return (one > other) - (one < other); }

/* As bytes compare in Python: a shorter address that is like the other's beginning comes first. */
static int compare_addresses(const uint8_t *one, uint32_t size, const uint8_t *other, uint32_t other_size) {
    uint32_t common = size < other_size ? size : other_size;
    int order = common > 0 ? memcmp(one, other, common) : 0;
    return order != 0 ? order : compare_numbers((int32_t)size, (int32_t)other_size);
}

/* As keys compare in Python. */
static int compare_flows(const flow_view *one, const flow_view *other) {
    int order = compare_numbers(one->vni, other->vni);
    if (order == 0)
        order = compare_numbers(one->protocol, other->protocol);
    if (order == 0)
        order = compare_addresses(one->source, one->size, other->source, other->size);
    if (order == 0)
        order = compare_numbers(one->source_port, other->source_port);
    if (order == 0)
        order = compare_addresses(one->destination, one->size, other->destination, other->size);
    return order != 0 ? order : compare_numbers(one->destination_port, other->destination_port);
}

/* What flows are ranked by, each array by place. */
typedef struct {
    const vx_tally *tally;
    uint64_t *octets;   /* UNSEEN: it is none of the flows that are ranked */
    uint64_t *measures; /* the lower ones come first; NULL: it goes by octets alone */
} ranking;

/* Whether the flow at this place comes behind the one at the other: by what is asked for, of equal ones with
 * fewer bytes, or as many and a later key. */
static bool comes_behind(const ranking *by, uint32_t place, uint32_t other) {
    if (by->measures != NULL && by->measures[place] != by->measures[other])
        return by->measures[place] > by->measures[other];
    if (by->octets[place] != by->octets[other])
        return by->octets[place] < by->octets[other];
    flow_view one = view_of(by->tally, flow_at_place(by->tally, place)),
              two = view_of(by->tally, flow_at_place(by->tally, other));
    return compare_flows(&one, &two) > 0;
}

/* Let the item at `at` sink in a heap whose first is behind all others. */
static void sink(const ranking *by, uint32_t *heap, uint32_t count, uint32_t at) {
    uint32_t place = heap[at];
    for (uint64_t child; (child = 2 * (uint64_t)at + 1) < count; at = (uint32_t)child) {
        if (child + 1 < count && comes_behind(by, heap[child + 1], heap[child]))
            child++;
        if (!comes_behind(by, heap[child], place))
            break;
        heap[at] = heap[child];
    }
    heap[at] = place;
}

/* The places of the flows that come first, in order, as many as `heap` has room for: their number. */
static uint32_t choose_top(const ranking *by, uint32_t *heap, uint32_t most) {
    uint32_t count = 0, place = 0, places = flow_count(by->tally) + 1;
    for (; place < places && count < most; place++)
        if (by->octets[place] != UNSEEN)
            heap[count++] = place;
    for (uint32_t at = count / 2; at > 0; at--)
        sink(by, heap, count, at - 1);
    for (; place < places; place++) {
        if (by->octets[place] == UNSEEN || most == 0 || !comes_behind(by, heap[0], place))
            continue;
        heap[0] = place;
        sink(by, heap, count, 0);
    }
    for (uint32_t left = count; left > 1; left--) {
        uint32_t last = heap[0];
        heap[0] = heap[left - 1];
        heap[left - 1] = last;
        sink(by, heap, left - 1, 0);
    }
    return count;
}

/* What tails and their flow have in common, and which flow that is. */
typedef struct {
    int32_t vni;
    int32_t protocol;
    vx_pair pair;
    /* end of the key */
    uint32_t candidates;
    uint32_t owner; /* the last of them */
} tail_row;
enum { TAIL_KEY = 44 };

static inline tail_row tail_key(const flow_view *flow) {
    return (tail_row){.vni = flow->vni, .protocol = flow->protocol, .pair = inner_pair(flow)};
}

static int find_tails(const vx_tally *tally, const uint64_t *octets, vx_map *tails) {
    for (uint32_t i = 0; i < flow_count(tally); i++) {
        if (octets[i] == UNSEEN)
            continue;
        flow_view flow = view_of(tally, i);
        if (flow.source_port != TAIL_PORT)
            continue;
        tail_row key = tail_key(&flow);
        bool made;
        if (vx_map_intern(tails, &key, TAIL_KEY, &made) == VX_NONE)
            return -1;
    }
    return 0;
}

static void find_candidates(const vx_tally *tally, const uint64_t *octets, const vx_map *tails) {
    for (uint32_t i = 0; vx_map_count(tails) > 0 && i < flow_count(tally); i++) {
        if (octets[i] == UNSEEN)
            continue;
        flow_view flow = view_of(tally, i);
        if (flow.source_port < 0)
            continue;
        tail_row key = tail_key(&flow);
        uint32_t number = vx_map_find(tails, &key, TAIL_KEY);
        if (number == VX_NONE)
            continue;
        tail_row *row = vx_map_at(tails, number);
        row->candidates++;
        row->owner = i;
    }
}

/* The flow that these tails belong to; VX_NONE: no tails, or more flows than one may be theirs. */
static uint32_t owner_of(const vx_tally *tally, const vx_map *tails, uint32_t number) {
    flow_view flow = view_of(tally, number);
    if (flow.source_port != TAIL_PORT)
        return VX_NONE;
    tail_row key = tail_key(&flow);
    uint32_t found = vx_map_find(tails, &key, TAIL_KEY);
    const tail_row *row = found != VX_NONE ? vx_map_at(tails, found) : NULL;
    return row != NULL && row->candidates == 1 ? row->owner : VX_NONE;
}

/* Let the bytes of tails count with their flow. */
static void give_to_owners(const vx_tally *tally, const vx_map *tails, uint64_t *octets) {
    for (uint32_t i = 0; vx_map_count(tails) > 0 && i < flow_count(tally); i++) {
        uint32_t owner = octets[i] != UNSEEN ? owner_of(tally, tails, i) : VX_NONE;
        if (owner == VX_NONE)
            continue;
        octets[owner] += octets[i];
        octets[i] = UNSEEN;
    }
}

/* The place of the flow that a cell counts with. */
static inline uint32_t counts_at(const vx_tally *tally, const vx_map *tails, const vx_cell *cell) {
    uint32_t owner = vx_map_count(tails) > 0 && cell->flow != VX_OTHER_FLOWS
                         ? owner_of(tally, tails, cell->flow)
                         : VX_NONE;
    return owner != VX_NONE ? owner : vx_flow_place(tally, cell->flow);
}

/* Lower for what comes first. */
static inline uint64_t earlier(int64_t time) { return (uint64_t)time ^ UINT64_C(1) << 63; }

static inline void add_to_measure(uint64_t *measure, vx_order_by by, const vx_tally *tally, uint32_t cell) {
    const vx_cell *row = vx_cell_at(tally, cell);
    uint64_t time;
    switch (by) {
    case VX_BY_BYTES: /* counted down: the most come first */
        *measure -= row->inner_bytes;
        break;
    case VX_BY_DATAGRAMS:
        *measure -= row->datagrams;
        break;
    case VX_BY_START:
        time = earlier(vx_first_time(tally, cell));
        *measure = time < *measure ? time : *measure;
        break;
    case VX_BY_END:
        time = earlier(row->last_time);
        *measure = time > *measure ? time : *measure;
        break;
    }
}

static inline bool counts(vx_set set, uint32_t bundle) {
    return set.flags == NULL || vx_set_has(set, bundle);
}

/* Fill the measures of the flows. */
static void measure_flows(const vx_wanted *wanted, const vx_order *order, const vx_map *tails, ranking *by) {
    const vx_tally *tally = by->tally;
    uint32_t places = flow_count(tally) + 1;
    memset(by->measures, 0xff, places * sizeof *by->measures);
    /* What is to be the latest begins before all; what has none there stays behind all. */
    for (uint32_t i = 0; order->by == VX_BY_END && (i = vx_query_next(tally, wanted, i)) != VX_NONE; i++)
        if (counts(order->counting, wanted->numbers[i]))
            by->measures[counts_at(tally, tails, vx_cell_at(tally, i))] = 0;
    for (uint32_t i = 0; (i = vx_query_next(tally, wanted, i)) != VX_NONE; i++)
        if (counts(order->counting, wanted->numbers[i]))
            add_to_measure(&by->measures[counts_at(tally, tails, vx_cell_at(tally, i))], order->by, tally, i);
}

/* Count the flows and what they have in the bundles that are asked for; leave out those that have nothing
 * there.
 */
static int leave_out(const vx_wanted *wanted, const vx_order *order, const vx_map *tails, ranking *by,
                     vx_top *top) {
    const vx_tally *tally = by->tally;
    uint32_t places = flow_count(tally) + 1;
    top->matching = top->total;
    if (order->among.flags == NULL)
        return 0;
    uint8_t *has = vx_allocate(places, 1);
    if (has == NULL)
        return -1;
    top->matching = 0;
    top->datagrams = 0;
    for (uint32_t i = 0; (i = vx_query_next(tally, wanted, i)) != VX_NONE; i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        if (is_folded(tally, cell->flow) || !counts(order->among, wanted->numbers[i]))
            continue;
        has[counts_at(tally, tails, cell)] = 1;
        top->datagrams += cell->datagrams;
    }
    for (uint32_t i = 0; i < places; i++) {
        if (has[i] == 0)
            by->octets[i] = UNSEEN;
        top->matching += has[i];
    }
    free(has);
    return 0;
}

/* The cells of the flows, those of each together; `ranks` has one more than the rank of each flow by place, 0
 * for all others. */
static int share_out(const vx_tally *tally, const vx_wanted *wanted, vx_top *top) {
    top->starts = vx_allocate((size_t)top->count + 2, sizeof *top->starts);
    if (top->starts == NULL)
        return -1;
    /* Counted two further on, so that by the end of the second turn each stands where its own begin. */
    uint32_t *next = top->starts + 1;
    for (uint32_t i = 0; (i = vx_query_next(tally, wanted, i)) != VX_NONE; i++) {
        uint32_t rank = top->ranks[vx_flow_place(tally, vx_cell_at(tally, i)->flow)];
        if (rank > 0 && rank < top->count)
            next[rank]++;
        top->share_count += rank > 0;
    }
    for (uint32_t i = 1; i < top->count; i++)
        next[i] += next[i - 1];
    top->shares = vx_allocate((size_t)top->share_count + 1, sizeof *top->shares);
    if (top->shares == NULL)
        return -1;
    for (uint32_t i = 0; (i = vx_query_next(tally, wanted, i)) != VX_NONE; i++) {
        uint32_t rank = top->ranks[vx_flow_place(tally, vx_cell_at(tally, i)->flow)];
        if (rank > 0)
            top->shares[next[rank - 1]++] = (vx_share){rank - 1, i};
    }
    return 0;
}

static int rank_and_share(const vx_tally *tally, const vx_wanted *wanted, const vx_map *tails, vx_top *top) {
    top->ranks = vx_allocate((size_t)flow_count(tally) + 1, sizeof *top->ranks);
    if (top->ranks == NULL)
        return -1;
    for (uint32_t i = 0; i < top->count; i++) {
        top->ranks[top->flows[i]] = i + 1;
        top->flows[i] = flow_at_place(tally, top->flows[i]);
    }
    for (uint32_t i = 0; vx_map_count(tails) > 0 && i < flow_count(tally); i++) {
        uint32_t owner = owner_of(tally, tails, i);
        if (owner != VX_NONE)
            top->ranks[i] = top->ranks[owner];
    }
    return share_out(tally, wanted, top);
}

static int rank_flows(const vx_wanted *wanted, const vx_order *order, uint32_t most, ranking *by,
                      vx_map *tails, vx_top *top) {
    const vx_tally *tally = by->tally;
    uint32_t places = flow_count(tally) + 1;
    memset(by->octets, 0xff, places * sizeof *by->octets);
    for (uint32_t i = 0; (i = vx_query_next(tally, wanted, i)) != VX_NONE; i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        if (is_folded(tally, cell->flow))
            continue;
        uint64_t *sum = &by->octets[vx_flow_place(tally, cell->flow)];
        *sum = (*sum == UNSEEN ? 0 : *sum) + cell->inner_bytes;
        top->datagrams += cell->datagrams;
    }
    if (find_tails(tally, by->octets, tails) < 0)
        return -1;
    find_candidates(tally, by->octets, tails);
    give_to_owners(tally, tails, by->octets);
    for (uint32_t i = 0; i < places; i++)
        top->total += by->octets[i] != UNSEEN;
    if (leave_out(wanted, order, tails, by, top) < 0)
        return -1;
    if (by->measures != NULL)
        measure_flows(wanted, order, tails, by);
    most = most < top->matching ? most : top->matching;
    top->flows = vx_allocate((size_t)most + 1, sizeof *top->flows);
    if (top->flows == NULL)
        return -1;
    top->count = choose_top(by, top->flows, most);
    return 0;
}

int vx_query_ranked(const vx_tally *tally, const vx_wanted *wanted, const vx_order *order, uint32_t most,
                    vx_top *top) {
    *top = (vx_top){0};
    vx_map tails;
    vx_map_init(&tails, sizeof(tail_row), tally->flows.seed);
    size_t places = (size_t)flow_count(tally) + 1;
    bool is_plain = order->by == VX_BY_BYTES && order->counting.flags == NULL;
    ranking by = {tally, vx_allocate(places, sizeof *by.octets),
                  is_plain ? NULL : vx_allocate(places, sizeof *by.measures)};
    int status = -1;
    if (by.octets != NULL && (is_plain || by.measures != NULL))
        status = rank_flows(wanted, order, most, &by, &tails, top);
    free(by.octets);
    free(by.measures);
    if (status == 0)
        status = rank_and_share(tally, wanted, &tails, top);
    vx_map_free(&tails);
    return status;
}

void vx_top_free(vx_top *top) {
    free(top->flows);
    free(top->starts);
    free(top->shares);
    free(top->ranks);
}

static int by_moment(const void *one, const void *other) {
    const vx_flow_moment *first = one, *second = other;
    if (first->time != second->time)
        return first->time < second->time ? -1 : 1;
    return (first->rank > second->rank) - (first->rank < second->rank);
}

uint32_t vx_query_moments(const vx_tally *tally, const uint32_t *numbers, const vx_order *order,
                          const vx_share *shares, uint32_t count, vx_flow_moment *moments) {
    uint32_t found = 0, kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t cell = shares[i].cell;
        if (counts(order->counting, numbers[cell]))
            moments[found++] = (vx_flow_moment){order->by == VX_BY_END ? vx_cell_at(tally, cell)->last_time
                                                                       : vx_first_time(tally, cell),
                                                shares[i].rank};
    }
    qsort(moments, found, sizeof *moments, by_moment);
    for (uint32_t i = 0; i < found; i++)
        if (kept == 0 || by_moment(&moments[kept - 1], &moments[i]) != 0)
            moments[kept++] = moments[i];
    return kept;
}

/* Conversations: flows are looked up by the ends of their other direction.
 *
 * All that a look needs is fetched from memory ahead of it, some flows at a time: that takes off half of the
 * time where there are a million. */

enum { AHEAD = 16 };

/* Flows by their ends, apart for those in tunnels and outside: of equal ends, of which each has another VNI,
 * the one with the lowest. */
typedef struct {
    const vx_tally *tally;
    vx_index index;
    vx_map several; /* of vni_row: all flows of ends that are not alone in having them */
} ends_table;

typedef struct {
    uint32_t slot; /* of the index */
    int32_t vni;
    /* end of the key */
    uint32_t flow;
} vni_row;
enum { VNI_KEY = 8 };

static inline uint64_t hash_end(const uint8_t *address, uint32_t size, int32_t port, uint64_t seed) {
    return vx_hash(address, size, seed + (uint32_t)port);
}

/* The tag of a flow's ends, which is that of its other direction's too: one look into the index serves both.
 */
static inline uint32_t tag_of_ends(const vx_tally *tally, const flow_view *flow) {
    /* ICMP echo has its identifier as the source port both ways. */
    int32_t port = flow->destination_port >= 0 ? flow->destination_port : flow->source_port;
    uint64_t seed = tally->flows.seed;
    uint64_t source = hash_end(flow->source, flow->size, flow->source_port, seed);
    uint64_t destination = hash_end(flow->destination, flow->size, port, seed);
    uint64_t kind = (uint64_t)flow->protocol << 1 | (flow->vni >= 0);
    return vx_tag(vx_mix((source + destination) ^ kind, seed | 1));
}

static inline bool same_kind(const flow_view *one, const flow_view *other) {
    return one->protocol == other->protocol && one->size == other->size &&
           (one->vni >= 0) == (other->vni >= 0);
}

static bool same_ends(const vx_tally *tally, uint32_t number, const flow_view *other) {
    flow_view flow = view_of(tally, number);
    return same_kind(&flow, other) && flow.source_port == other->source_port &&
           flow.destination_port == other->destination_port &&
           memcmp(flow.source, other->source, 2 * (size_t)flow.size) == 0;
}

static bool turned_ends(const vx_tally *tally, uint32_t number, const flow_view *other) {
    flow_view flow = view_of(tally, number);
    bool echo = other->destination_port < 0;
    return same_kind(&flow, other) &&
           flow.source_port == (echo ? other->source_port : other->destination_port) &&
           flow.destination_port == (echo ? other->destination_port : other->source_port) &&
           memcmp(flow.source, other->destination, flow.size) == 0 &&
           memcmp(flow.destination, other->source, flow.size) == 0;
}

/* The slot of what vx_index_next has just answered. */
static inline uint32_t last_slot(const vx_index *index, uint32_t at) { return (at - 1) & index->mask; }

static int note_vni(ends_table *table, uint32_t slot, uint32_t flow) {
    vni_row key = {.slot = slot, .vni = view_of(table->tally, flow).vni};
    bool made;
    uint32_t number = vx_map_intern(&table->several, &key, VNI_KEY, &made);
    if (number == VX_NONE)
        return -1;
    ((vni_row *)vx_map_at(&table->several, number))->flow = flow;
    return 0;
}

static int add_ends(ends_table *table, uint32_t flow, uint32_t tag) {
    flow_view view = view_of(table->tally, flow);
    uint32_t at = tag, other;
    while ((other = vx_index_next(&table->index, tag, &at)) != VX_NONE)
        if (same_ends(table->tally, other, &view))
            break;
    if (other == VX_NONE) {
        vx_index_add(&table->index, tag, flow);
        return 0;
    }
    uint32_t slot = last_slot(&table->index, at);
    if (view.vni < view_of(table->tally, other).vni)
        table->index.slots[slot].number_up1 = flow + 1;
    return note_vni(table, slot, other) < 0 ? -1 : note_vni(table, slot, flow);
}

static uint32_t find_turned(const ends_table *table, uint32_t flow, uint32_t tag) {
    flow_view view = view_of(table->tally, flow);
    uint32_t at = tag, other;
    while ((other = vx_index_next(&table->index, tag, &at)) != VX_NONE)
        if (turned_ends(table->tally, other, &view))
            break;
    if (other == VX_NONE || vx_map_count(&table->several) == 0)
        return other;
    vni_row key = {.slot = last_slot(&table->index, at), .vni = view.vni};
    uint32_t own = vx_map_find(&table->several, &key, VNI_KEY);
    return own != VX_NONE ? ((const vni_row *)vx_map_at(&table->several, own))->flow : other;
}

/* The next few flows that have something to be known by, from *next on, and their tags: how many. */
static uint32_t gather(const ends_table *table, uint32_t *next, uint32_t *flows, uint32_t *tags) {
    uint32_t count = 0;
    for (; count < AHEAD && *next < flow_count(table->tally); ++*next) {
        flow_view flow = view_of(table->tally, *next);
        if (flow.source_port < 0)
            continue;
        flows[count] = *next;
        tags[count] = tag_of_ends(table->tally, &flow);
        vx_index_prefetch(&table->index, tags[count++]);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = vx_index_guess(&table->index, tags[i]);
        if (other != VX_NONE)
            prefetch_flow(table->tally, other);
    }
    return count;
}

/* Have slots for so many, all at once: growing would take twice the memory. */
static int reserve_slots(vx_index *index, uint32_t count) {
    uint64_t slots = 2;
    while (slots < 2 * (uint64_t)count)
        slots *= 2;
    *index = (vx_index){vx_allocate(slots, sizeof *index->slots), (uint32_t)slots - 1, 0};
    return index->slots != NULL ? 0 : -1;
}

/* Add all flows; the second one of a conversation finds the first. */
static int fill(ends_table *table, uint32_t *reverses) {
    if (reserve_slots(&table->index, flow_count(table->tally)) < 0)
        return -1;
    uint32_t next = 0, flows[AHEAD], tags[AHEAD], count;
    while ((count = gather(table, &next, flows, tags)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            if (add_ends(table, flows[i], tags[i]) < 0)
                return -1;
            uint32_t other = find_turned(table, flows[i], tags[i]);
            reverses[flows[i]] = other;
            if (other != VX_NONE)
                reverses[other] = flows[i];
        }
    }
    return 0;
}

int vx_query_reverses(const vx_tally *tally, uint32_t *reverses) {
    memset(reverses, 0xff, flow_count(tally) * sizeof *reverses);
    ends_table table = {.tally = tally};
    vx_map_init(&table.several, sizeof(vni_row), tally->flows.seed);
    int status = fill(&table, reverses);
    /* Which of several it is, only all of them together tell. */
    bool again = status == 0 && vx_map_count(&table.several) > 0;
    uint32_t next = 0, flows[AHEAD], tags[AHEAD], count;
    while (again && (count = gather(&table, &next, flows, tags)) > 0)
        for (uint32_t i = 0; i < count; i++)
            reverses[flows[i]] = find_turned(&table, flows[i], tags[i]);
    vx_map_free(&table.several);
    vx_index_free(&table.index);
    return status;
}

int vx_query_is_answered(const vx_tally *tally, vx_set paths, const uint32_t *reverses) {
    uint8_t *seen = vx_allocate((size_t)flow_count(tally) + 1, 1);
    if (seen == NULL)
        return -1;
    for (uint32_t i = 0; i < cell_count(tally); i++)
        if (vx_set_has(paths, vx_cell_at(tally, i)->path))
            seen[vx_flow_place(tally, vx_cell_at(tally, i)->flow)] = 1;
    int answered = 0;
    for (uint32_t i = 0; i < flow_count(tally) && !answered; i++)
        answered = seen[i] && reverses[i] != VX_NONE && seen[reverses[i]];
    free(seen);
    return answered;
}

/* What was never answered. */

enum { SYN = 0x02, RST = 0x04, ACK = 0x10, ENDS = 0x05, ECN_FLAGS = 0xc0, SYNS_LEAST = 2, ECHOES_LEAST = 3 };

typedef struct {
    uint32_t flow;
    /* end of the key */
    uint64_t datagrams;
    int64_t first;
    int64_t last;
} asking;

/* How many datagrams make it one that asks again and again; 0: it does something else. */
static uint64_t least_of_asking(const vx_flow *flow) {
    const vx_ends *ends = &flow->ends;
    if ((ends->shape & VX_KEY_SOURCE_PORT) == 0)
        return 0;
    if (ends->protocol == VX_TCP)
        return (flow->tcp_flags & ~ECN_FLAGS) == SYN ? SYNS_LEAST : 0;
    bool echo = ends->protocol == VX_ICMP || ends->protocol == VX_ICMPV6;
    return echo && flow->tcp_flags == VX_ECHO_REQUEST ? ECHOES_LEAST : 0;
}

/* Whether these times are at least `wait` apart: more than 64 bits hold may lie between, with a sign. */
static bool lie_apart(int64_t first, int64_t last, int64_t wait) {
    return last >= first && (uint64_t)last - (uint64_t)first >= (uint64_t)wait;
}

/* Mark the flows that ask and have no other direction: how many they are. */
static uint32_t mark_asking(const vx_tally *tally, const uint32_t *reverses, uint8_t *found) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < flow_count(tally); i++) {
        found[i] = reverses[i] == VX_NONE && least_of_asking(flow_at(tally, i)) > 0;
        count += found[i];
    }
    return count;
}

/* Add up the cells of the flows that are marked. */
static int add_asking(const vx_tally *tally, const uint8_t *found, vx_map *rows) {
    for (uint32_t i = 0; i < cell_count(tally); i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        if (cell->flow == VX_OTHER_FLOWS || !found[cell->flow])
            continue;
        bool made;
        uint32_t number = vx_map_intern(rows, &cell->flow, sizeof cell->flow, &made);
        if (number == VX_NONE)
            return -1;
        asking *row = vx_map_at(rows, number);
        int64_t first = vx_first_time(tally, i);
        row->first = made || first < row->first ? first : row->first;
        row->last = made || cell->last_time > row->last ? cell->last_time : row->last;
        row->datagrams += cell->datagrams;
    }
    return 0;
}

int vx_query_unanswered(const vx_tally *tally, const uint32_t *reverses, int64_t wait, int64_t end,
                        uint8_t *found, vx_unanswered *sum) {
    *sum = (vx_unanswered){0};
    memset(found, 0, (size_t)flow_count(tally) + 1);
    /* Of most captures no flow is such: the cells need not be looked at. */
    if (mark_asking(tally, reverses, found) == 0)
        return 0;
    vx_map rows;
    vx_map_init(&rows, sizeof(asking), tally->flows.seed);
    int status = add_asking(tally, found, &rows);
    for (uint32_t i = 0; status == 0 && i < vx_map_count(&rows); i++) {
        const asking *row = vx_map_at(&rows, i);
        const vx_flow *flow = flow_at(tally, row->flow);
        bool waited = lie_apart(row->first, row->last, wait) || lie_apart(row->last, end, wait);
        if (!waited || row->datagrams < least_of_asking(flow)) {
            found[row->flow] = 0;
            continue;
        }
        sum->connections += flow->ends.protocol == VX_TCP;
        sum->echoes += flow->ends.protocol != VX_TCP;
        sum->datagrams += row->datagrams;
    }
    vx_map_free(&rows);
    return status;
}

/* What is repeated and never acknowledged. */

/* Bytes of data that a flow sent again; -1: it is none of TCP that was seen to open and sent `most` at most.
 */
static int64_t repeated_by(const vx_tally *tally, uint32_t number, uint32_t reverse, uint64_t most) {
    const vx_flow *flow = flow_at(tally, number);
    if (flow->ends.protocol != VX_TCP || reverse == VX_NONE ||
        (flow->tcp_flags & flow_at(tally, reverse)->tcp_flags & SYN) == 0)
        return -1;
    const int64_t *ranges = vx_flow_ranges(flow);
    uint64_t covered = 0;
    for (uint32_t i = 0; i < flow->range_count; i++)
        covered += (uint64_t)(ranges[2 * i + 1] - ranges[2 * i]);
    return covered <= most ? (int64_t)(flow->data_bytes - covered) : -1;
}

/* Those that sent so much again, and in `answers` the rows of their other directions. */
static int find_repeating(const vx_tally *tally, const uint32_t *reverses, uint64_t least, uint64_t most,
                          vx_map *found, vx_map *answers) {
    for (uint32_t i = 0; i < flow_count(tally); i++) {
        if (flow_at(tally, i)->data_bytes < least)
            continue;
        int64_t repeated = repeated_by(tally, i, reverses[i], most);
        if (repeated < 0 || (uint64_t)repeated < least)
            continue;
        bool made;
        uint32_t number = vx_map_intern(found, &i, sizeof i, &made);
        if (number == VX_NONE || vx_map_intern(answers, &reverses[i], sizeof reverses[i], &made) == VX_NONE)
            return -1;
        vx_stalled *row = vx_map_at(found, number);
        row->reverse = reverses[i];
        row->repeated = (uint64_t)repeated;
    }
    return 0;
}

static void add_to_stalled(vx_map *rows, const vx_cell *cell) {
    uint32_t number = vx_map_find(rows, &cell->flow, sizeof cell->flow);
    if (number == VX_NONE)
        return;
    vx_stalled *row = vx_map_at(rows, number);
    if (row->datagrams == 0 || cell->last_time > row->last_time)
        row->last_time = cell->last_time;
    row->largest = cell->largest > row->largest ? cell->largest : row->largest;
    row->datagrams += cell->datagrams;
}

int vx_query_stalled(const vx_tally *tally, const uint32_t *reverses, uint64_t least, uint64_t most,
                     uint64_t few, vx_map *rows) {
    vx_map found, answers;
    vx_map_init(rows, sizeof(vx_stalled), tally->flows.seed);
    vx_map_init(&found, sizeof(vx_stalled), tally->flows.seed);
    vx_map_init(&answers, sizeof(vx_stalled), tally->flows.seed);
    int status = find_repeating(tally, reverses, least, most, &found, &answers);
    for (uint32_t i = 0; status == 0 && vx_map_count(&found) > 0 && i < cell_count(tally); i++) {
        add_to_stalled(&found, vx_cell_at(tally, i));
        add_to_stalled(&answers, vx_cell_at(tally, i));
    }
    for (uint32_t i = 0; status == 0 && i < vx_map_count(&found); i++) {
        vx_stalled *row = vx_map_at(&found, i);
        const vx_stalled *answer =
            vx_map_at(&answers, vx_map_find(&answers, &row->reverse, sizeof row->reverse));
        row->answers = answer->datagrams;
        row->answered_time = answer->last_time;
        row->closed = (flow_at(tally, row->reverse)->tcp_flags & ENDS) != 0;
        if (row->answers > few || vx_map_count(rows) >= vx_most_ends(&tally->most))
            continue;
        uint32_t number = vx_map_add(rows, row, sizeof *row, row->flow);
        status = number == VX_NONE ? -1 : 0;
    }
    vx_map_free(&found);
    vx_map_free(&answers);
    return status;
}

/* Whether it answers SYNs and does nothing else, and nothing acknowledges or refuses that. */
static bool is_stuck(const vx_tally *tally, const uint32_t *reverses, uint32_t number) {
    const vx_flow *flow = flow_at(tally, number);
    return flow->ends.protocol == VX_TCP && (flow->ends.shape & VX_KEY_SOURCE_PORT) != 0 &&
           (flow->tcp_flags & ~ECN_FLAGS) == (SYN | ACK) && reverses[number] != VX_NONE &&
           (flow_at(tally, reverses[number])->tcp_flags & (ACK | RST)) == 0;
}

int vx_query_stuck(const vx_tally *tally, const uint32_t *reverses, int64_t wait, uint8_t *found) {
    memset(found, 0, (size_t)flow_count(tally) + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < flow_count(tally); i++) {
        found[i] = is_stuck(tally, reverses, i);
        count += found[i];
    }
    if (count == 0)
        return 0;
    vx_map rows;
    vx_map_init(&rows, sizeof(asking), tally->flows.seed);
    int status = add_asking(tally, found, &rows);
    for (uint32_t i = 0; status == 0 && i < vx_map_count(&rows); i++) {
        const asking *row = vx_map_at(&rows, i);
        if (!lie_apart(row->first, row->last, wait)) {
            found[row->flow] = 0;
            count--;
        }
    }
    vx_map_free(&rows);
    return status < 0 ? -1 : count > 0;
}

/* Identities. */

/* The row of this key, with what the cell adds to its sums; NULL: no memory. */
static vx_identity *add_identity(vx_map *rows, const vx_identity *key, const vx_cell *cell) {
    bool made;
    uint32_t number = vx_map_intern(rows, key, VX_IDENTITY_KEY, &made);
    if (number == VX_NONE)
        return NULL;
    vx_identity *row = vx_map_at(rows, number);
    row->datagrams += cell->datagrams;
    row->inner_bytes += cell->inner_bytes;
    return row;
}

static void set_address(vx_identity *identity, const uint8_t *address, uint32_t size) {
    identity->size = size;
    if (size > 0)
        memcpy(identity->address, address, size);
}

/* Where rows are too many, let only those with the most datagrams stay, half as many as may be; the others
 * are told without address, or without VNI as well. */
static int fold_identities(const vx_tally *tally, vx_map *rows, bool any_vni) {
    uint32_t count = vx_map_count(rows);
    uint64_t most = most_identities(tally);
    if (count <= most)
        return 0;
    uint64_t *counts = vx_allocate(count, sizeof *counts);
    if (counts == NULL)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        counts[i] = ((const vx_identity *)vx_map_at(rows, i))->datagrams;
    staying who = find_staying(counts, count, most);
    free(counts);
    vx_map all = *rows;
    vx_map_init(rows, sizeof(vx_identity), all.seed);
    int status = 0;
    for (uint32_t i = 0; i < count && status == 0; i++) {
        const vx_identity *row = vx_map_at(&all, i);
        vx_identity key = {.vni = any_vni ? VX_ANY_VNI : row->vni, .reverse_vni = -1};
        bool made;
        const vx_identity *kept = stays(&who, row->datagrams) ? row : &key;
        uint32_t number = vx_map_intern(rows, kept, VX_IDENTITY_KEY, &made);
        status = number == VX_NONE ? -1 : 0;
        if (status < 0)
            break;
        vx_identity *sum = vx_map_at(rows, number);
        sum->datagrams += row->datagrams;
        sum->inner_bytes += row->inner_bytes;
        sum->first_time = made || row->first_time < sum->first_time ? row->first_time : sum->first_time;
        sum->last_time = made || row->last_time > sum->last_time ? row->last_time : sum->last_time;
    }
    vx_map_free(&all);
    return status;
}

static int fold_all_identities(const vx_tally *tally, vx_map *rows) {
    return fold_identities(tally, rows, false) < 0 ? -1 : fold_identities(tally, rows, true);
}

int vx_query_sources(const vx_tally *tally, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_identity), tally->flows.seed);
    for (uint32_t i = 0; i < cell_count(tally); i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        flow_view flow = view_of(tally, cell->flow);
        if (flow.vni < 0)
            continue;
        vx_identity key = {.vni = flow.vni, .reverse_vni = -1};
        set_address(&key, flow.source, flow.inner_size);
        vx_identity *row = add_identity(rows, &key, cell);
        if (row == NULL)
            return -1;
        bool first = row->datagrams == cell->datagrams;
        int64_t first_time = vx_first_time(tally, i);
        row->first_time = first || first_time < row->first_time ? first_time : row->first_time;
        row->last_time = first || cell->last_time > row->last_time ? cell->last_time : row->last_time;
    }
    return fold_all_identities(tally, rows);
}

static inline void prefetch_reverse(const vx_tally *tally, uint32_t flow, const uint32_t *reverses) {
    uint32_t reverse = flow != VX_OTHER_FLOWS ? reverses[flow] : VX_NONE;
    if (reverse != VX_NONE)
        prefetch_flow(tally, reverse);
}

int vx_query_pairs(const vx_tally *tally, const uint32_t *reverses, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_identity), tally->flows.seed);
    for (uint32_t i = 0; i < cell_count(tally); i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        flow_view flow = view_of(tally, cell->flow);
        if (i + AHEAD < cell_count(tally))
            prefetch_reverse(tally, vx_cell_at(tally, i + AHEAD)->flow, reverses);
        if (flow.vni < 0)
            continue;
        vx_identity key = {.vni = flow.vni, .reverse_vni = -1};
        if (reverses[cell->flow] != VX_NONE)
            key.reverse_vni = view_of(tally, reverses[cell->flow]).vni;
        else
            set_address(&key, flow.destination, flow.inner_size);
        if (add_identity(rows, &key, cell) == NULL)
            return -1;
    }
    return fold_all_identities(tally, rows);
}

int vx_query_told_mss(const vx_tally *tally, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_count), tally->flows.seed);
    for (uint32_t i = 0; i < vx_map_count(&tally->folded_mss); i++) {
        const vx_count *row = vx_map_at(&tally->folded_mss, i);
        if (vx_map_count_up(rows, row->key, row->count) < 0)
            return -1;
    }
    for (uint32_t i = 0; tally->has_mss && i < flow_count(tally); i++) {
        uint32_t mss = mss_of(tally, i);
        if (mss > 0 && vx_map_count_up(rows, vx_mss_key(flow_at(tally, i), mss), 1) < 0)
            return -1;
    }
    return 0;
}

int vx_query_agreed_mss(const vx_tally *tally, const uint32_t *reverses, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_count), tally->flows.seed);
    for (uint32_t i = 0; tally->has_mss && i < flow_count(tally); i++) {
        uint32_t mss = mss_of(tally, i), other = reverses[i] != VX_NONE ? mss_of(tally, reverses[i]) : 0;
        if (mss == 0 || other == 0)
            continue;
        flow_view flow = view_of(tally, i);
        uint64_t key =
            (uint64_t)(flow.vni >= 0) << 33 | (uint64_t)(flow.size == 16) << 32 | (mss < other ? mss : other);
        if (vx_map_count_up(rows, key, 1) < 0)
            return -1;
    }
    return 0;
}

/* One-sided journeys. */

/* Which sides each flow was seen on alone: VX_ONLY_IN, VX_ONLY_OUT or both, by place. NULL: no memory. */
static uint8_t *sides_of_flows(const vx_tally *tally, const uint8_t *sides) {
    uint8_t *seen = vx_allocate((size_t)flow_count(tally) + 1, 1);
    for (uint32_t i = 0; seen != NULL && i < cell_count(tally); i++)
        seen[vx_flow_place(tally, vx_cell_at(tally, i)->flow)] |= sides[vx_cell_at(tally, i)->path];
    return seen;
}

/* Add up the cells on one side of flows that were seen on both. */
static int add_side(const vx_tally *tally, const uint8_t *sides, const uint8_t *seen, uint8_t side,
                    vx_map *rows) {
    for (uint32_t i = 0; i < cell_count(tally); i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        if (sides[cell->path] != side || is_folded(tally, cell->flow) ||
            seen[vx_flow_place(tally, cell->flow)] != (VX_ONLY_IN | VX_ONLY_OUT))
            continue;
        bool made;
        if (vx_is_too_many(rows, &cell->flow, sizeof cell->flow, vx_most_ends(&tally->most)))
            continue;
        uint32_t number = vx_map_intern(rows, &cell->flow, sizeof cell->flow, &made);
        if (number == VX_NONE)
            return -1;
        vx_two_sided *row = vx_map_at(rows, number);
        unsigned out = side == VX_ONLY_OUT;
        row->datagrams[out] += cell->datagrams;
        row->largest[out] = cell->largest > row->largest[out] ? cell->largest : row->largest[out];
    }
    return 0;
}

int vx_query_two_sided(const vx_tally *tally, const uint8_t *sides, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_two_sided), tally->flows.seed);
    uint8_t *seen = sides_of_flows(tally, sides);
    int status = -1;
    if (seen != NULL && add_side(tally, sides, seen, VX_ONLY_IN, rows) == 0)
        status = vx_map_count(rows) > 0 ? add_side(tally, sides, seen, VX_ONLY_OUT, rows) : 0;
    free(seen);
    return status;
}

/* Three ways in which a flow may leave as another. What they have in common is `kept`: flows that have it are
 * alike, and two that differ in what is not kept are one that was rewritten. */
typedef enum { NEW_SOURCE, NEW_SOURCE_AND_PORT, NEW_DESTINATION } rewriting;

/* The flows that are alike, on each side: the changed address of the first, and whether there are others. */
typedef struct {
    int32_t protocol;
    int32_t ports[2]; /* kept ones, else -1 */
    vx_address kept;
    /* end of the key */
    bool some[2]; /* in, out */
    bool differing[2];
    vx_address changed[2];
} alike_row;
enum { ALIKE_KEY = 32 };

static vx_address address_of(const uint8_t *at, uint32_t size) {
    vx_address address = {.size = size};
    if (size > 0)
        memcpy(address.address, at, size);
    return address;
}

static bool same_address(const vx_address *one, const vx_address *other) {
    return vx_same(one, other, sizeof *one);
}

static alike_row alike_key(const flow_view *flow, rewriting way) {
    bool source = way == NEW_DESTINATION;
    return (alike_row){
        .protocol = flow->protocol,
        .ports = {way == NEW_SOURCE_AND_PORT ? -1 : flow->source_port,
                  way == NEW_DESTINATION ? -1 : flow->destination_port},
        .kept = address_of(source ? flow->source : flow->destination, flow->size),
    };
}

static vx_address changed_address(const flow_view *flow, rewriting way) {
    return address_of(way == NEW_DESTINATION ? flow->destination : flow->source, flow->size);
}

typedef struct {
    const vx_tally *tally;
    uint8_t *seen; /* as sides_of_flows gives them, of plain flows with ports; 0: any other */
    const vx_map *own;
    uint8_t *found;
    uint32_t *tags;      /* of what each flow keeps, and */
    uint64_t *tagged[2]; /* which of these any flow has, on each side: a bit for each, modulo their number */
    uint32_t mask;
} rewritten;

/* Whether a flow may be what came in, or what went out, by this way of rewriting. */
static bool takes_part(const rewritten *search, uint32_t flow, const vx_address *changed, rewriting way,
                       unsigned out) {
    if (!(search->seen[flow] & (out ? VX_ONLY_OUT : VX_ONLY_IN)))
        return false;
    return way != NEW_SOURCE_AND_PORT || !out ||
           vx_map_find(search->own, changed, sizeof *changed) != VX_NONE;
}

/* Note what flows keep, so that only those need be gathered of which some are alike on both sides: mostly
 * none. */
static void tag_flows(const rewritten *search, rewriting way) {
    for (unsigned out = 0; out < 2; out++)
        memset(search->tagged[out], 0, ((size_t)search->mask + 1) / 8);
    for (uint32_t i = 0; i < flow_count(search->tally); i++) {
        if (search->seen[i] == 0)
            continue;
        flow_view flow = view_of(search->tally, i);
        alike_row key = alike_key(&flow, way);
        vx_address changed = changed_address(&flow, way);
        uint32_t tag = vx_tag(vx_hash(&key, ALIKE_KEY, search->tally->flows.seed)) & search->mask;
        search->tags[i] = tag;
        for (unsigned out = 0; out < 2; out++)
            if (takes_part(search, i, &changed, way, out))
                search->tagged[out][tag >> 6] |= UINT64_C(1) << (tag & 63);
    }
}

static inline bool may_be_alike(const rewritten *search, uint32_t flow) {
    uint32_t tag = search->tags[flow];
    return search->seen[flow] != 0 &&
           (search->tagged[0][tag >> 6] & search->tagged[1][tag >> 6]) >> (tag & 63) & 1;
}

static int gather_alike(const rewritten *search, rewriting way, vx_map *rows) {
    for (uint32_t i = 0; i < flow_count(search->tally); i++) {
        if (!may_be_alike(search, i))
            continue;
        flow_view flow = view_of(search->tally, i);
        vx_address changed = changed_address(&flow, way);
        alike_row key = alike_key(&flow, way);
        bool made;
        uint32_t number = vx_map_intern(rows, &key, ALIKE_KEY, &made);
        if (number == VX_NONE)
            return -1;
        alike_row *row = vx_map_at(rows, number);
        for (unsigned out = 0; out < 2; out++) {
            if (!takes_part(search, i, &changed, way, out))
                continue;
            row->differing[out] |= row->some[out] && !same_address(&row->changed[out], &changed);
            if (!row->some[out])
                row->changed[out] = changed;
            row->some[out] = true;
        }
    }
    return 0;
}

static void find_rewritten(const rewritten *search, rewriting way, const vx_map *rows) {
    for (uint32_t i = 0; i < flow_count(search->tally); i++) {
        if (!may_be_alike(search, i))
            continue;
        flow_view flow = view_of(search->tally, i);
        vx_address changed = changed_address(&flow, way);
        alike_row key = alike_key(&flow, way);
        const alike_row *row = vx_map_at(rows, vx_map_find(rows, &key, ALIKE_KEY));
        for (unsigned out = 0; out < 2; out++) {
            unsigned other = !out;
            if (takes_part(search, i, &changed, way, out) &&
                (row->differing[other] ||
                 (row->some[other] && !same_address(&row->changed[other], &changed))))
                search->found[i] = 1;
        }
    }
}

static int find_by_way(const rewritten *search, rewriting way) {
    vx_map rows;
    vx_map_init(&rows, sizeof(alike_row), search->tally->flows.seed);
    tag_flows(search, way);
    int status = gather_alike(search, way, &rows);
    if (status == 0)
        find_rewritten(search, way, &rows);
    vx_map_free(&rows);
    return status;
}

/* What answers a rewritten flow is rewritten back. */
static void find_answers(const rewritten *search, const uint32_t *reverses) {
    for (uint32_t i = 0; i < flow_count(search->tally); i++) {
        uint32_t reverse = search->found[i] == 1 ? reverses[i] : VX_NONE;
        if (reverse != VX_NONE && search->seen[reverse] != 0 && search->found[reverse] == 0)
            search->found[reverse] = 2;
    }
}

static void keep_plain(const vx_tally *tally, uint8_t *seen) {
    for (uint32_t i = 0; i < flow_count(tally); i++) {
        flow_view flow = view_of(tally, i);
        if (flow.vni != -1 || flow.source_port < 0)
            seen[i] = 0;
    }
}

static int search_all(rewritten *search, const uint32_t *reverses) {
    keep_plain(search->tally, search->seen);
    for (rewriting way = NEW_SOURCE; way <= NEW_DESTINATION; way++)
        if ((way != NEW_SOURCE_AND_PORT || vx_map_count(search->own) > 0) && find_by_way(search, way) < 0)
            return -1;
    find_answers(search, reverses);
    return 0;
}

int vx_query_rewritten(const vx_tally *tally, const uint8_t *sides, const vx_map *own,
                       const uint32_t *reverses, uint8_t *found) {
    memset(found, 0, (size_t)flow_count(tally) + 1);
    size_t bits = 64;
    while (bits < 8 * (size_t)flow_count(tally) && bits < UINT32_MAX)
        bits *= 2;
    rewritten search = {
        .tally = tally,
        .seen = sides_of_flows(tally, sides),
        .own = own,
        .found = found,
        .tags = vx_allocate((size_t)flow_count(tally) + 1, sizeof *search.tags),
        .tagged = {vx_allocate(bits / 64, sizeof(uint64_t)), vx_allocate(bits / 64, sizeof(uint64_t))},
        .mask = (uint32_t)(bits - 1),
    };
    bool room =
        search.seen != NULL && search.tags != NULL && search.tagged[0] != NULL && search.tagged[1] != NULL;
    int status = room ? search_all(&search, reverses) : -1;
    uint64_t left = vx_most_ends(&tally->most);
    for (uint32_t i = 0; i < flow_count(tally); i++)
        if (found[i] != 0 && (left == 0 || left-- == 0))
            found[i] = 0;
    free(search.seen);
    free(search.tags);
    free(search.tagged[0]);
    free(search.tagged[1]);
    return status;
}

/* Large datagrams. */

/* The largest limit among each flow's paths, by place. NULL: no memory. */
static uint32_t *limits_of_flows(const vx_tally *tally, const uint32_t *limits) {
    uint32_t *largest = vx_allocate((size_t)flow_count(tally) + 1, sizeof *largest);
    for (uint32_t i = 0; largest != NULL && i < cell_count(tally); i++) {
        uint32_t *limit = &largest[vx_flow_place(tally, vx_cell_at(tally, i)->flow)];
        uint32_t other = limits[vx_cell_at(tally, i)->path];
        *limit = other > *limit ? other : *limit;
    }
    return largest;
}

static int group_large(const vx_tally *tally, const uint32_t *limits, const uint32_t *reverses, vx_map *rows,
                       uint32_t *numbers) {
    for (uint32_t i = 0; i < large_count(tally); i++) {
        const vx_large *large = large_at(tally, i);
        flow_view flow = view_of(tally, large->flow);
        uint32_t reverse = large->flow != VX_OTHER_FLOWS ? reverses[large->flow] : VX_NONE;
        uint32_t own = mss_of(tally, large->flow), theirs = reverse != VX_NONE ? mss_of(tally, reverse) : 0;
        vx_large_row key = {
            .limit = limits[vx_flow_place(tally, large->flow)],
            .protocol = flow.protocol,
            .told_mss = own == 0 || (theirs > 0 && theirs < own) ? theirs : own,
            .outer_length = large->outer_length,
            .inner_length = large->inner_length,
            .payload_length = large->payload_length,
            .options = options_of(tally, large->flow),
            .tunnelled =
                flow.vni >= 0 || (flow.vni == VX_ANY_VNI && large->outer_length != large->inner_length),
            .ipv6 = flow.size == 16,
            .both_told = own > 0 && theirs > 0,
            .segment = segment_of(tally, large->flow),
        };
        bool made;
        numbers[i] = vx_map_intern(rows, &key, VX_LARGE_ROW_KEY, &made);
        if (numbers[i] == VX_NONE)
            return -1;
        ((vx_large_row *)vx_map_at(rows, numbers[i]))->datagrams += large->count;
    }
    return 0;
}

int vx_query_large(const vx_tally *tally, const uint32_t *limits, const uint32_t *reverses, vx_map *rows,
                   uint32_t *numbers) {
    vx_map_init(rows, sizeof(vx_large_row), tally->flows.seed);
    if (large_count(tally) == 0)
        return 0;
    uint32_t *largest = limits_of_flows(tally, limits);
    int status = largest != NULL ? group_large(tally, largest, reverses, rows, numbers) : -1;
    free(largest);
    return status;
}

static int add_beside(const vx_tally *tally, const uint32_t *numbers, vx_set chosen, const uint32_t *ordinary,
                      vx_map *rows) {
    for (uint32_t i = 0; i < large_count(tally); i++) {
        if (!vx_set_has(chosen, numbers[i]))
            continue;
        const vx_large *large = large_at(tally, i);
        vx_beside key = {.row = numbers[i], .payload_length = ordinary[vx_flow_place(tally, large->flow)]};
        bool made;
        uint32_t number = vx_map_intern(rows, &key, VX_BESIDE_KEY, &made);
        if (number == VX_NONE)
            return -1;
        ((vx_beside *)vx_map_at(rows, number))->datagrams += large->count;
    }
    return 0;
}

int vx_query_beside(const vx_tally *tally, const uint32_t *numbers, vx_set chosen, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_beside), tally->flows.seed);
    uint32_t *ordinary = vx_allocate((size_t)flow_count(tally) + 1, sizeof *ordinary);
    if (ordinary == NULL)
        return -1;
    for (uint32_t i = 0; i < large_count(tally); i++) {
        const vx_large *large = large_at(tally, i);
        uint32_t *payload = &ordinary[vx_flow_place(tally, large->flow)];
        if (!vx_set_has(chosen, numbers[i]) && large->payload_length > *payload)
            *payload = large->payload_length;
    }
    int status = add_beside(tally, numbers, chosen, ordinary, rows);
    free(ordinary);
    return status;
}

void vx_query_large_flows(const vx_tally *tally, const uint32_t *numbers, vx_set chosen, uint8_t *flows) {
    memset(flows, 0, (size_t)flow_count(tally) + 1);
    for (uint32_t i = 0; i < large_count(tally); i++)
        if (vx_set_has(chosen, numbers[i]))
            flows[vx_flow_place(tally, large_at(tally, i)->flow)] = 1;
}
