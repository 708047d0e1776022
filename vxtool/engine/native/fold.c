/* See fold.h for what is promised, and PureEngine._fold_flows for the same in plain words. */
#include "fold.h"

#include <stdlib.h>

enum { NO_FLOW = -3 }; /* the VNI of none */

/* One time that half of the rows are folded. */
typedef struct {
    vx_tally *tally;
    uint32_t flows;
    uint32_t cells;
    uint64_t *octets; /* inner bytes by flow, and */
    int64_t *last;    /* when it was seen last */
    int64_t *times;   /* room for sorting these */
    uint32_t *into;   /* by flow: the one that it was merged into; VX_NONE: it stays */
    uint32_t *gone;   /* by cell: the same */
    uint32_t *places; /* by flow, then by cell: its new number */
} folding;

static inline vx_flow *flow_at(const vx_tally *tally, uint32_t number) {
    return vx_pool_item(&tally->flows.pool, number, sizeof(vx_flow));
}

static inline vx_cell *cell_at(const vx_tally *tally, uint32_t number) {
    return vx_pool_item(&tally->cells.pool, number, sizeof(vx_cell));
}

/* Which are folded. */

static inline unsigned class_of(uint64_t octets) {
    return octets > 0 ? 64 - (unsigned)__builtin_clzll(octets) : 0;
}

static void add_up(const folding *fold) {
    for (uint32_t i = 0; i < fold->flows; i++) {
        fold->octets[i] = 0;
        fold->last[i] = INT64_MIN;
    }
    for (uint32_t i = 0; i < fold->cells; i++) {
        const vx_cell *cell = cell_at(fold->tally, i);
        if (cell->flow == VX_OTHER_FLOWS)
            continue;
        fold->octets[cell->flow] += cell->inner_bytes;
        if (cell->last_time > fold->last[cell->flow])
            fold->last[cell->flow] = cell->last_time;
    }
}

static int by_time(const void *one, const void *other) {
    const int64_t *first = one, *second = other;
    return (*first > *second) - (*first < *second);
}

/* Up to which class, and in that up to which time: at least half of all. */
static void find_limit(const folding *fold, unsigned *most, int64_t *latest) {
    uint32_t counts[65] = {0}, wanted = fold->flows - fold->flows / 2;
    for (uint32_t i = 0; i < fold->flows; i++)
        counts[class_of(fold->octets[i])]++;
    *most = 0;
    while (counts[*most] < wanted)
        wanted -= counts[(*most)++];
    uint32_t count = 0;
    for (uint32_t i = 0; i < fold->flows; i++)
        if (class_of(fold->octets[i]) == *most)
            fold->times[count++] = fold->last[i];
    qsort(fold->times, count, sizeof *fold->times, by_time);
    *latest = fold->times[wanted - 1];
}

/* Coarser keys. */

typedef struct {
    vx_ends ends;
    int32_t vni;
} coarse_key;

static bool is_other_icmp(const vx_ends *ends) {
    bool has_identifier = ends->shape & VX_KEY_SOURCE_PORT && ends->fragment_offset == 0;
    return (ends->protocol == VX_ICMP || ends->protocol == VX_ICMPV6) && !has_identifier;
}

static const vx_underlay_key *underlay_of(const vx_tally *tally, const vx_flow *flow) {
    return &((const vx_underlay *)vx_map_at(&tally->underlays, flow->underlay))->key;
}

static bool same_tunnel_ends(const vx_tally *tally, const vx_flow *one, const vx_flow *other) {
    if (one->underlay == VX_NONE || other->underlay == VX_NONE)
        return one->underlay == other->underlay;
    const vx_underlay_key *first = underlay_of(tally, one), *second = underlay_of(tally, other);
    return first->size == second->size && vx_same(first->addresses, second->addresses, 32);
}

/* What is left of a flow with the addresses of its tunnel. */
static coarse_key outside_of(const vx_tally *tally, const vx_flow *flow, int32_t vni) {
    const vx_underlay_key *underlay = underlay_of(tally, flow);
    coarse_key key = {.vni = vni};
    key.ends.protocol = flow->ends.shape & VX_KEY_FOLDED ? flow->ends.protocol
                        : is_other_icmp(&flow->ends)     ? VX_ICMP
                                                         : 0;
    key.ends.shape = VX_KEY_FOLDED | VX_KEY_OUTER |
                     (underlay->size == 16  ? VX_KEY_IPV6
                      : underlay->size == 0 ? VX_KEY_NON_IP
                                            : 0);
    memcpy(key.ends.addresses, underlay->addresses, sizeof key.ends.addresses);
    return key;
}

/* The next coarser key; false: it is that of all others. */
static bool next_coarser(const vx_tally *tally, const vx_flow *flow, coarse_key *key) {
    const vx_ends *ends = &flow->ends;
    if (ends->shape & VX_KEY_OUTER) {
        if (flow->vni < 0)
            return false;
        *key = outside_of(tally, flow, VX_ANY_VNI);
        return true;
    }
    if (!(ends->shape & (VX_KEY_FOLDED | VX_KEY_OPAQUE | VX_KEY_NON_IP))) {
        *key = (coarse_key){.vni = flow->vni};
        key->ends.protocol = is_other_icmp(ends) ? VX_ICMP : 0;
        key->ends.shape = VX_KEY_FOLDED | (ends->shape & VX_KEY_IPV6);
        memcpy(key->ends.addresses, ends->addresses, sizeof key->ends.addresses);
        return true;
    }
    if (flow->vni < 0)
        return false;
    *key = outside_of(tally, flow, flow->vni);
    return true;
}

static uint32_t find_coarse(const vx_tally *tally, const coarse_key *key) {
    return vx_tally_find_flow(tally, &key->ends, key->vni, vx_tally_flow_tag(tally, &key->ends, key->vni));
}

/* Flows. */

static void unindex_flow(vx_tally *tally, uint32_t number) {
    const vx_flow *flow = flow_at(tally, number);
    uint32_t tag = vx_tally_flow_tag(tally, &flow->ends, flow->vni);
    vx_index_remove(&tally->flows.index, vx_index_slot(&tally->flows.index, tag, number));
}

/* What is known of it alone. */
static void forget(vx_tally *tally, vx_flow *flow) {
    vx_flow left = {.ends = flow->ends,
                    .vni = flow->vni,
                    .first = flow->first,
                    .underlay = flow->underlay,
                    .first_cell = flow->first_cell,
                    .last_cell = flow->last_cell};
    tally->range_sets -= flow->more_ranges != NULL;
    free(flow->more_ranges);
    *flow = left;
}

/* Fold one: it gets a coarser key, or goes into the row that has it. 0, or -1: no memory. */
static int fold_flow(const folding *fold, uint32_t number) {
    vx_tally *tally = fold->tally;
    vx_flow *flow = flow_at(tally, number);
    if (flow->mss > 0 && vx_map_count_up(&tally->folded_mss, vx_mss_key(flow, flow->mss), 1) < 0)
        return -1;
    tally->counters.folded_flows += !(flow->ends.shape & VX_KEY_FOLDED);
    coarse_key key;
    bool is_some = next_coarser(tally, flow, &key);
    uint32_t found = is_some ? find_coarse(tally, &key) : VX_OTHER_FLOWS;
    /* Verdicts go by the tunnel's addresses: those of other ones stay apart. */
    if (is_some && found != VX_NONE && !(key.ends.shape & VX_KEY_OUTER) &&
        !same_tunnel_ends(tally, flow, flow_at(tally, found))) {
        key = outside_of(tally, flow, flow->vni);
        found = find_coarse(tally, &key);
    }
    unindex_flow(tally, number);
    forget(tally, flow);
    if (found == VX_NONE) {
        flow->ends = key.ends;
        flow->vni = key.vni;
        /* There is room: it was just there itself. */
        vx_index_add(&tally->flows.index, vx_tally_flow_tag(tally, &key.ends, key.vni), number);
        return 0;
    }
    fold->into[number] = found;
    if (found != VX_OTHER_FLOWS && vx_sample_before(flow->first, flow_at(tally, found)->first)) {
        flow_at(tally, found)->first = flow->first;
        flow_at(tally, found)->underlay = flow->underlay;
    }
    return 0;
}

static uint32_t end_of(const folding *fold, uint32_t flow) {
    while (flow != VX_OTHER_FLOWS && fold->into[flow] != VX_NONE)
        flow = fold->into[flow];
    return flow;
}

/* Cells. */

static uint32_t find_cell(const vx_tally *tally, uint32_t flow, uint32_t path) {
    if (flow != VX_OTHER_FLOWS) {
        uint32_t first = flow_at(tally, flow)->first_cell;
        if (first > 0 && cell_at(tally, first - 1)->path == path)
            return first - 1;
    }
    const uint32_t key[2] = {flow, path};
    return vx_map_find(&tally->cells, key, VX_CELL_KEY);
}

static uint32_t tag_of_cell(const vx_tally *tally, const vx_cell *cell) {
    return vx_tag(vx_hash(cell, VX_CELL_KEY, tally->cells.seed));
}

/* Move a cell to where its flow has gone: 0, or -1: no memory. */
static int move_cell(const folding *fold, uint32_t number) {
    vx_tally *tally = fold->tally;
    vx_index *index = &tally->cells.index;
    vx_cell *cell = cell_at(tally, number);
    uint32_t flow = cell->flow != VX_OTHER_FLOWS ? end_of(fold, cell->flow) : VX_OTHER_FLOWS;
    if (flow == cell->flow)
        return 0;
    if (flow_at(tally, cell->flow)->first_cell != number + 1)
        vx_index_remove(index, vx_index_slot(index, tag_of_cell(tally, cell), number));
    uint32_t found = find_cell(tally, flow, cell->path);
    if (found != VX_NONE) {
        fold->gone[number] = found;
        return vx_tally_merge_cells(tally, found, number);
    }
    cell->flow = flow;
    if (vx_index_reserve(index) < 0)
        return -1;
    vx_index_add(index, tag_of_cell(tally, cell), number);
    return 0;
}

/* Moving up. */

/* Let flows take the numbers of those that are gone. */
static void renumber_flows(const folding *fold) {
    vx_tally *tally = fold->tally;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fold->flows; i++) {
        fold->places[i] = kept;
        if (fold->into[i] != VX_NONE)
            continue;
        if (kept != i)
            *flow_at(tally, kept) = *flow_at(tally, i);
        kept++;
    }
    vx_index *index = &tally->flows.index;
    for (uint64_t i = 0; i <= index->mask; i++)
        if (index->slots[i].number_up1 != 0)
            index->slots[i].number_up1 = fold->places[index->slots[i].number_up1 - 1] + 1;
    /* Who has kept a number compares before it believes. */
    for (uint32_t i = kept; i < fold->flows; i++)
        *flow_at(tally, i) = (vx_flow){.vni = NO_FLOW};
    tally->flows.pool.used = kept;
    for (uint32_t i = 0; i < fold->cells; i++) {
        vx_cell *cell = cell_at(tally, i);
        if (fold->gone[i] == VX_NONE && cell->flow != VX_OTHER_FLOWS)
            cell->flow = fold->places[cell->flow];
    }
}

/* The large datagrams of flows, which have other numbers now. */
static int renumber_large(const folding *fold) {
    vx_tally *tally = fold->tally;
    vx_map old = tally->large;
    vx_map_init(&tally->large, sizeof(vx_large), old.seed);
    int status = 0;
    for (uint32_t i = 0; i < vx_map_count(&old) && status == 0; i++) {
        const vx_large *row = vx_map_at(&old, i);
        uint32_t flow = row->flow != VX_OTHER_FLOWS ? end_of(fold, row->flow) : VX_OTHER_FLOWS;
        flow = flow != VX_OTHER_FLOWS ? fold->places[flow] : flow;
        const uint32_t key[4] = {flow, row->outer_length, row->inner_length, row->payload_length};
        status = vx_tally_count_large(tally, key, row->count);
    }
    vx_map_free(&old);
    return status;
}

/* The same of cells, and of all that refers to them. */
static int renumber_cells(const folding *fold) {
    vx_tally *tally = fold->tally;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fold->cells; i++) {
        fold->places[i] = kept;
        if (fold->gone[i] != VX_NONE)
            continue;
        if (kept != i) {
            *cell_at(tally, kept) = *cell_at(tally, i);
            memcpy(vx_pool_item(&tally->cell_samples, kept, sizeof(vx_cell_sample_row)),
                   vx_pool_item(&tally->cell_samples, i, sizeof(vx_cell_sample_row)),
                   sizeof(vx_cell_sample_row));
        }
        kept++;
    }
    for (uint64_t i = 0; i < tally->datagram_count; i++) {
        uint32_t cell = tally->datagrams[i].cell;
        while (fold->gone[cell] != VX_NONE)
            cell = fold->gone[cell];
        tally->datagrams[i].cell = fold->places[cell];
    }
    tally->cells.pool.used = tally->cell_samples.used = kept;
    for (uint32_t i = 0; i < vx_map_count(&tally->flows); i++) {
        vx_flow *flow = flow_at(tally, i);
        flow->first_cell = fold->places[flow->first_cell - 1] + 1;
        flow->last_cell = flow->first_cell;
    }
    /* Their keys have the flows' numbers. */
    vx_index *index = &tally->cells.index;
    if (index->slots != NULL)
        memset(index->slots, 0, ((size_t)index->mask + 1) * sizeof *index->slots);
    index->used = 0;
    for (uint32_t i = 0; i < kept; i++) {
        const vx_cell *cell = cell_at(tally, i);
        if (cell->flow != VX_OTHER_FLOWS && flow_at(tally, cell->flow)->first_cell == i + 1)
            continue;
        if (vx_index_reserve(index) < 0)
            return -1;
        vx_index_add(index, tag_of_cell(tally, cell), i);
    }
    return 0;
}

static int fold_half(folding *fold) {
    unsigned most;
    int64_t latest;
    add_up(fold);
    find_limit(fold, &most, &latest);
    memset(fold->into, 0xff, fold->flows * sizeof *fold->into); /* VX_NONE */
    memset(fold->gone, 0xff, fold->cells * sizeof *fold->gone);
    for (uint32_t i = 0; i < fold->flows; i++) {
        unsigned class = class_of(fold->octets[i]);
        if ((class < most || (class == most && fold->last[i] <= latest)) && fold_flow(fold, i) < 0)
            return -1;
    }
    for (uint32_t i = 0; i < fold->cells; i++)
        if (move_cell(fold, i) < 0)
            return -1;
    renumber_flows(fold);
    return renumber_large(fold) < 0 || renumber_cells(fold) < 0 ? -1 : 0;
}

static bool is_roomy(const vx_tally *tally) {
    uint64_t flows = tally->most.flows, cells = tally->most_cells;
    return vx_map_count(&tally->flows) <= flows / 2 + flows / 4 &&
           vx_map_count(&tally->cells) <= cells / 2 + cells / 4;
}

/* Room for all that folding needs, of as many flows and cells as there may be. It is kept: blocks of this
 * size that come and go took twice the memory of all flows, in what lies free between them. */
static int find_room(folding *fold) {
    vx_tally *tally = fold->tally;
    size_t flows = fold->flows, cells = fold->cells;
    if (tally->fold_flows < flows || tally->fold_cells < cells) {
        flows = flows > tally->most.flows ? flows : (size_t)tally->most.flows;
        cells = cells > tally->most_cells ? cells : (size_t)tally->most_cells;
        free(tally->fold_room);
        tally->fold_room = vx_allocate(4 * flows + cells + 1, sizeof(uint64_t));
        tally->fold_flows = tally->fold_room != NULL ? flows : 0;
        tally->fold_cells = tally->fold_room != NULL ? cells : 0;
        if (tally->fold_room == NULL)
            return -1;
    }
    fold->octets = tally->fold_room;
    fold->last = (int64_t *)(fold->octets + tally->fold_flows);
    fold->times = fold->last + tally->fold_flows;
    fold->into = (uint32_t *)(fold->times + tally->fold_flows);
    fold->gone = fold->into + tally->fold_flows;
    fold->places = fold->gone + tally->fold_cells;
    return 0;
}

int vx_fold_flows(vx_tally *tally) {
    int status = 0;
    while (status == 0 && !is_roomy(tally) && vx_map_count(&tally->flows) > 0) {
        folding fold = {
            .tally = tally, .flows = vx_map_count(&tally->flows), .cells = vx_map_count(&tally->cells)};
        status = find_room(&fold) < 0 ? -1 : fold_half(&fold);
    }
    return status;
}
