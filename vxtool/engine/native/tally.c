/* See tally.h for what is counted, and vxtool/engine/pure.py for the same in plain words. */
#include "tally.h"

#include "fold.h"
#include "usual.h"

#include <stdlib.h>

enum { TCP_ACK = 0x10 };
enum { FINEST_STEP = 1000000, STEPS = 200, PORT_WORDS = 65536 / 64 };
/* Places are there once more for each direction that is inferred. */
enum { MOST_TURNED = 4 };
/* One in so many tunnels has room for more than VX_FEW_PORTS, one in so many flows for gaps. */
enum { TUNNELS_OF_A_PORT_SET = 4, FLOWS_OF_A_RANGE_SET = 8 };

void vx_tally_init(vx_tally *tally, const vx_limits *most, uint64_t seed) {
    *tally = (vx_tally){
        .most = *most,
        .most_cells = vx_most_cells(most),
        .newest_flow = INT64_MIN,
        .last_path = VX_NONE,
        .step = FINEST_STEP,
        .step_factor = 2,
        .step_span = (uint64_t)FINEST_STEP * (STEPS - 1),
    };
    vx_secrets_init(&tally->secrets, seed);
    vx_map_init(&tally->interfaces, sizeof(vx_interface_row), seed);
    vx_map_init(&tally->places, sizeof(vx_place), seed);
    vx_map_init(&tally->underlays, sizeof(vx_underlay), seed);
    vx_map_init(&tally->paths, sizeof(vx_path), seed);
    vx_map_init(&tally->flows, sizeof(vx_flow), seed);
    vx_map_init(&tally->cells, sizeof(vx_cell), seed);
    vx_pool_init(&tally->cell_samples, sizeof(vx_cell_sample_row));
    vx_pool_init(&tally->cell_more, sizeof(vx_more_of_cell));
    vx_map_init(&tally->overheads, sizeof(vx_count), seed);
    vx_map_init(&tally->sizes, sizeof(vx_count), seed);
    vx_map_init(&tally->mss, sizeof(vx_count), seed);
    vx_map_init(&tally->folded_mss, sizeof(vx_count), seed);
    vx_map_init(&tally->wrong, sizeof(vx_count), seed);
    vx_map_init(&tally->large, sizeof(vx_large), seed);
    vx_map_init(&tally->icmp, sizeof(vx_icmp), seed);
    vx_map_init(&tally->fragments, sizeof(vx_count), seed);
    vx_map_init(&tally->too_big, sizeof(vx_too_big), seed);
    vx_map_init(&tally->timeline, sizeof(vx_step), seed);
}

static inline vx_path *path_at(const vx_tally *tally, uint32_t number) {
    return vx_pool_item(&tally->paths.pool, number, sizeof(vx_path));
}

static inline vx_flow *flow_at(const vx_tally *tally, uint32_t number) {
    return vx_pool_item(&tally->flows.pool, number, sizeof(vx_flow));
}

static inline vx_cell *cell_at(const vx_tally *tally, uint32_t number) {
    return vx_pool_item(&tally->cells.pool, number, sizeof(vx_cell));
}

static inline vx_cell_sample_row *cell_samples_at(const vx_tally *tally, uint32_t number) {
    return vx_pool_item(&tally->cell_samples, number, sizeof(vx_cell_sample_row));
}

static void free_latencies(vx_latencies *latencies) {
    if (latencies == NULL)
        return;
    for (unsigned i = 0; i < VX_LATENCY_PAGES; i++)
        free(latencies->pages[i]);
    free(latencies->exact);
    free(latencies);
}

void vx_tally_free(vx_tally *tally) {
    for (uint32_t i = 0; i < vx_map_count(&tally->interfaces); i++)
        free(((vx_interface_row *)vx_map_at(&tally->interfaces, i))->name);
    for (uint32_t i = 0; i < vx_map_count(&tally->underlays); i++)
        free(((vx_underlay *)vx_map_at(&tally->underlays, i))->ports);
    for (uint32_t i = 0; i < vx_map_count(&tally->paths); i++)
        free_latencies(((vx_path *)vx_map_at(&tally->paths, i))->latencies);
    for (uint32_t i = 0; tally->rare_ranges && i < vx_map_count(&tally->flows); i++)
        free(flow_at(tally, i)->more_ranges);
    vx_map_free(&tally->interfaces);
    vx_map_free(&tally->places);
    vx_map_free(&tally->underlays);
    vx_map_free(&tally->paths);
    vx_map_free(&tally->flows);
    vx_map_free(&tally->cells);
    vx_pool_free(&tally->cell_samples);
    vx_pool_free(&tally->cell_more);
    vx_map_free(&tally->overheads);
    vx_map_free(&tally->sizes);
    vx_map_free(&tally->mss);
    vx_map_free(&tally->folded_mss);
    vx_map_free(&tally->wrong);
    vx_map_free(&tally->large);
    vx_map_free(&tally->icmp);
    vx_map_free(&tally->fragments);
    vx_map_free(&tally->too_big);
    vx_map_free(&tally->timeline);
    free(tally->datagrams);
    free(tally->sighted);
    free(tally->fold_room);
}

void vx_samples_insert(vx_samples *samples, vx_sample sample) {
    unsigned at = samples->count;
    if (at == VX_SAMPLES) {
        at--;
    } else {
        samples->count++;
    }
    for (; at > 0 && vx_sample_before(sample, samples->samples[at - 1]); at--)
        samples->samples[at] = samples->samples[at - 1];
    samples->samples[at] = sample;
}

/* What is kept once and numbered. */

uint32_t vx_tally_interface(vx_tally *tally, int64_t index, int32_t input, int32_t interface,
                            const char *name, uint32_t link_type) {
    vx_interface_row key = {.index = index, .input = input, .interface = interface};
    bool is_some = index >= 0 || interface >= 0;
    if (is_some && vx_is_too_many(&tally->interfaces, &key, VX_INTERFACE_KEY, 2 * tally->most.places)) {
        tally->counters.folded_places = 1;
        key.index = key.interface = -1;
        name = NULL;
    }
    if (key.index < 0 && key.interface < 0)
        link_type = vx_link_type_of_all(input);
    bool made;
    uint32_t number = vx_map_intern(&tally->interfaces, &key, VX_INTERFACE_KEY, &made);
    if (number == VX_NONE || !made)
        return number;
    vx_interface_row *row = vx_map_at(&tally->interfaces, number);
    row->link_type = link_type;
    if (name != NULL) {
        size_t size = strlen(name) + 1;
        row->name = vx_allocate(size, 1);
        if (row->name == NULL)
            return VX_NONE;
        memcpy(row->name, name, size);
    }
    return number;
}

uint32_t vx_tally_place(vx_tally *tally, const vx_place *place) {
    vx_place key = *place;
    if (VX_RARELY(key.has_macs && tally->places_with_macs >= MOST_TURNED * tally->most.places) &&
        vx_map_find(&tally->places, &key, VX_PLACE_KEY) == VX_NONE) {
        tally->counters.folded_places = 1;
        vx_place_forget_macs(&key);
    }
    bool made;
    uint32_t number = vx_map_intern(&tally->places, &key, VX_PLACE_KEY, &made);
    tally->places_with_macs += made && key.has_macs;
    return number;
}

uint32_t vx_tally_underlay(vx_tally *tally, const vx_underlay_key *key) {
    vx_underlay_key kept = *key;
    if (vx_is_too_many(&tally->underlays, &kept, sizeof kept, tally->most.tunnels))
        vx_underlay_forget_ends(&kept);
    bool made;
    return vx_map_intern(&tally->underlays, &kept, sizeof kept, &made);
}

int vx_tally_settle(vx_tally *tally) {
    for (uint64_t tunnelled = 0; tunnelled < 2; tunnelled++) {
        for (uint64_t size = 0; size < VX_SMALL_SIZES; size++) {
            uint64_t *count = &tally->small_sizes[tunnelled][size];
            if (*count > 0 && vx_map_count_up(&tally->sizes, tunnelled << 32 | size, *count) < 0)
                return -1;
            *count = 0;
        }
    }
    return 0;
}

static VX_RARE int add_port(vx_tally *tally, vx_underlay *underlay, uint16_t port) {
    if (underlay->ports == NULL) {
        for (uint32_t i = 0; i < underlay->few_ports; i++)
            if (underlay->few[i] == port)
                return 0;
        if (underlay->few_ports < VX_FEW_PORTS) {
            underlay->few[underlay->few_ports++] = port;
            return 0;
        }
        if (tally->port_sets >= tally->most.tunnels / TUNNELS_OF_A_PORT_SET) {
            tally->counters.folded_ports = 1;
            return 0;
        }
        tally->port_sets++;
        underlay->ports = vx_allocate(PORT_WORDS, sizeof *underlay->ports);
        if (underlay->ports == NULL)
            return -1;
        for (uint32_t i = 0; i < underlay->few_ports; i++)
            underlay->ports[underlay->few[i] >> 6] |= UINT64_C(1) << (underlay->few[i] & 63);
    }
    underlay->ports[port >> 6] |= UINT64_C(1) << (port & 63);
    return 0;
}

/* Views. */

/* Where the capture tells no direction, the TTL does: the higher came in. Without a difference, a bridge
 * passed it on: the first came in, the last went out. One sighting alone stays unknown. */
static void infer_directions(vx_view *view) {
    bool same_wear = true;
    for (unsigned i = 1; i < view->count; i++)
        same_wear &= view->sightings[i]->traits.wear == view->sightings[0]->traits.wear;
    uint8_t ttls[VX_MOST_STAGES], highest = 0, lowest = UINT8_MAX;
    for (unsigned i = 0; i < view->count; i++) {
        const vx_traits *traits = &view->sightings[i]->traits;
        ttls[i] = same_wear ? traits->outer_ttl : traits->inner_ttl;
        highest = ttls[i] > highest ? ttls[i] : highest;
        lowest = ttls[i] < lowest ? ttls[i] : lowest;
    }
    for (unsigned i = 0; i < view->count; i++) {
        if (view->directions[i] != VX_UNKNOWN)
            continue;
        bool came_in = highest != lowest ? ttls[i] == highest : i != view->count - 1;
        view->directions[i] = came_in ? VX_IN : VX_OUT;
    }
}

void vx_view_of(vx_view *view, const vx_journey *journey, const vx_pool *more, const vx_pool *pieces) {
    view->key = &journey->key;
    view->pieces = pieces;
    view->count = journey->count;
    view->ingress = view->egress = NULL;
    view->packets = view->left = view->fragmented = 0;
    for (unsigned i = 0; i < view->count; i++) {
        view->sightings[i] = vx_sighting_at(journey, more, i);
        view->directions[i] = view->sightings[i]->traits.direction;
    }
    if (journey->sides & VX_SIDE_UNKNOWN && view->count > 1)
        infer_directions(view);
    for (unsigned i = 0; i < view->count; i++) {
        if (view->directions[i] == VX_OUT)
            view->egress = view->sightings[i];
        else if (view->directions[i] != VX_UNKNOWN && view->ingress == NULL)
            view->ingress = view->sightings[i];
    }
}

/* The sums over the fragments of a sighting; NULL: it is whole. */
static inline const vx_pieces *pieces_of(const vx_pool *pieces, const vx_sighting *sighting) {
    return sighting->pieces != VX_NONE ? vx_pool_item(pieces, sighting->pieces, sizeof(vx_pieces)) : NULL;
}

/* What a sighting has, given its pieces. */

static inline uint64_t covered_by(const vx_pieces *pieces, const vx_sighting *sighting) {
    return pieces != NULL ? pieces->covered : sighting->traits.outer_length - sighting->traits.outer_header;
}

static inline uint32_t overtaken_in(const vx_pieces *pieces) {
    return pieces != NULL && pieces->overtaken ? VX_OVERTAKEN : 0;
}

static inline uint64_t packets_of(const vx_pieces *pieces) { return pieces != NULL ? pieces->packets : 1; }

static inline uint64_t wire_bytes_of(const vx_pieces *pieces, const vx_sighting *sighting) {
    return pieces != NULL ? pieces->wire_bytes : sighting->traits.outer_length;
}

static inline uint64_t stage_of(const vx_pieces *pieces, uint32_t place) {
    unsigned form = pieces == NULL ? VX_WHOLE : pieces->packets > 1 ? VX_FRAGMENTS : VX_FIRST_ONLY;
    return (uint64_t)place << 2 | form;
}

bool vx_view_is_partial(const vx_view *view) {
    return view->ingress->traits.wear == view->egress->traits.wear &&
           covered_by(pieces_of(view->pieces, view->egress), view->egress) <
               covered_by(pieces_of(view->pieces, view->ingress), view->ingress);
}

const vx_sighting *vx_view_start(const vx_view *view) {
    return view->ingress != NULL ? view->ingress : view->egress != NULL ? view->egress : view->sightings[0];
}

/* Paths. */

/* The place of a sighting whose direction is inferred; VX_NONE: no memory. */
static uint32_t turned_place(vx_tally *tally, uint32_t number, uint8_t direction) {
    vx_place *place = vx_map_at(&tally->places, number);
    uint32_t *turned = &place->turned[direction == VX_OUT];
    if (*turned == 0) {
        vx_place key = *place;
        key.direction = direction;
        uint32_t other = vx_tally_place(tally, &key);
        if (other == VX_NONE)
            return VX_NONE;
        *turned = other + 1;
    }
    return *turned - 1;
}

static inline size_t path_size(const vx_path *path) { return 8 + 8 * (size_t)path->count; }

/* The same place of an interface that stands for all of its input, or of its cooked capture; VX_NONE: no
 * memory. */
static uint32_t somewhere(vx_tally *tally, uint32_t number) {
    vx_place place = *(const vx_place *)vx_map_at(&tally->places, number);
    const vx_interface_row *row = vx_map_at(&tally->interfaces, place.interface);
    vx_interface_row key = {.index = -1, .input = row->input, .interface = -1};
    bool made;
    uint32_t interface = vx_map_intern(&tally->interfaces, &key, VX_INTERFACE_KEY, &made);
    if (interface == VX_NONE)
        return VX_NONE;
    if (made)
        ((vx_interface_row *)vx_map_at(&tally->interfaces, interface))->link_type =
            vx_link_type_of_all(row->input);
    place.interface = interface;
    place.loopback = false;
    vx_place_forget_macs(&place);
    return vx_map_intern(&tally->places, &place, VX_PLACE_KEY, &made);
}

/* The number of a path, made where it is new. Beyond the limit, a path has but its first and last stage, at
 * no interface in particular; VX_NONE: no memory. */
static VX_RARE uint32_t intern_path(vx_tally *tally, const vx_path *path) {
    vx_path key = *path;
    bool made;
    if (vx_is_too_many(&tally->paths, path, path_size(path), tally->most.paths)) {
        tally->counters.folded_paths = 1;
        key.stages[1] = key.stages[key.count - 1];
        key.count = key.count < 2 ? key.count : 2;
        for (uint32_t i = 0; i < key.count; i++) {
            uint32_t place = somewhere(tally, (uint32_t)(key.stages[i] >> 2));
            if (place == VX_NONE)
                return VX_NONE;
            key.stages[i] = (uint64_t)place << 2 | (key.stages[i] & 3);
        }
    }
    return vx_map_intern(&tally->paths, &key, path_size(&key), &made);
}

static uint32_t path_of(vx_tally *tally, const vx_view *view, uint32_t flags) {
    vx_path key;
    key.count = view->count;
    key.flags = flags;
    for (unsigned i = 0; i < view->count; i++) {
        const vx_sighting *sighting = view->sightings[i];
        uint32_t place = sighting->place;
        if (view->directions[i] != sighting->traits.direction) {
            place = turned_place(tally, place, view->directions[i]);
            if (place == VX_NONE)
                return VX_NONE;
        }
        key.stages[i] = stage_of(pieces_of(view->pieces, sighting), place);
    }
    size_t size = path_size(&key);
    if (tally->last_path != VX_NONE && vx_same(path_at(tally, tally->last_path), &key, size))
        return tally->last_path;
    tally->last_path = intern_path(tally, &key);
    return tally->last_path;
}

static VX_RARE uint32_t intern_path_of_two(vx_tally *tally, vx_recent_path *recent, uint64_t came,
                                           uint64_t went, uint32_t flags) {
    vx_path key = {.count = 2, .flags = flags, .stages = {came, went}};
    uint32_t number = intern_path(tally, &key);
    if (number != VX_NONE)
        *recent = (vx_recent_path){{came, went}, flags, number + 1};
    return number;
}

/* The path of two sightings at these stages; VX_NONE: no memory. */
static inline uint32_t path_of_two(vx_tally *tally, uint64_t came, uint64_t went, uint32_t flags) {
    uint64_t mixed = (came ^ came >> 2) * 31 + (went ^ went >> 2) * 2 + flags;
    vx_recent_path *recent = &tally->recent_paths[mixed % VX_RECENT_PATHS];
    if (recent->stages[0] == came && recent->stages[1] == went && recent->flags == flags &&
        recent->path_up1 > 0)
        return recent->path_up1 - 1;
    return intern_path_of_two(tally, recent, came, went, flags);
}

static VX_RARE vx_latencies *latencies_of(vx_path *path) {
    if (path->latencies == NULL)
        path->latencies = vx_allocate(1, sizeof *path->latencies);
    return path->latencies;
}

/* A histogram exact below 128, then with 64 buckets an octave: latency_bucket of tables.py. */
static inline int count_bucket(vx_latencies *latencies, uint64_t latency) {
    unsigned bucket = (unsigned)latency;
    if (latency >= 128) {
        unsigned shift = 64 - (unsigned)__builtin_clzll(latency) - 7;
        bucket = (shift << 6) + (unsigned)(latency >> shift);
    }
    uint64_t **page = &latencies->pages[bucket >> 6];
    if (VX_RARELY(*page == NULL)) {
        *page = vx_allocate(64, sizeof **page);
        if (*page == NULL)
            return -1;
    }
    (*page)[bucket & 63]++;
    return 0;
}

/* Space for `count` exact latencies. */
static int reserve_exact(vx_latencies *latencies, uint64_t count) {
    if (count <= latencies->exact_capacity)
        return 0;
    uint64_t capacity = latencies->exact_capacity > 0 ? (uint64_t)latencies->exact_capacity * 2 : 8;
    if (capacity < count)
        capacity = count;
    uint64_t *grown = vx_resize(latencies->exact, capacity, sizeof *grown);
    if (grown == NULL)
        return -1;
    latencies->exact = grown;
    latencies->exact_capacity = (uint32_t)capacity;
    return 0;
}

static void forget_exact(vx_latencies *latencies) {
    free(latencies->exact);
    latencies->exact = NULL;
    latencies->exact_capacity = 0;
}

/* While there are few, keep it as it is. */
static VX_RARE int add_exact(vx_latencies *latencies, uint64_t latency) {
    if (latencies->count == VX_EXACT_LATENCIES) {
        forget_exact(latencies);
        return 0;
    }
    if (reserve_exact(latencies, latencies->count + 1) < 0)
        return -1;
    latencies->exact[latencies->count] = latency;
    return 0;
}

static inline void add_to_total(vx_latencies *latencies, uint64_t more) {
    latencies->total += more;
    latencies->carried += latencies->total < more;
}

static inline int add_latency(vx_path *path, uint64_t latency) {
    vx_latencies *latencies = path->latencies;
    if (VX_RARELY(latencies == NULL)) {
        latencies = latencies_of(path);
        if (latencies == NULL)
            return -1;
        latencies->smallest = UINT64_MAX;
    }
    if (count_bucket(latencies, latency) < 0)
        return -1;
    if (VX_RARELY(latencies->count <= VX_EXACT_LATENCIES) && add_exact(latencies, latency) < 0)
        return -1;
    if (latency < latencies->smallest)
        latencies->smallest = latency;
    if (latency > latencies->largest)
        latencies->largest = latency;
    latencies->count++;
    add_to_total(latencies, latency);
    return 0;
}

uint64_t vx_tally_longest(const vx_tally *tally) {
    uint64_t longest = 0;
    for (uint32_t i = 0; i < vx_map_count(&tally->paths); i++) {
        const vx_path *path = vx_map_at(&tally->paths, i);
        if (path->latencies != NULL && path->latencies->largest > longest)
            longest = path->latencies->largest;
    }
    return longest;
}

/* Flows. */

static inline uint32_t tag_of_flow(const vx_tally *tally, const vx_ends *ends, int32_t vni) {
    return vx_flow_tag(vx_hash_ends(ends, &tally->secrets), vni, &tally->secrets);
}

static inline bool is_flow(const vx_flow *flow, const vx_ends *ends, int32_t vni) {
    return vx_same(&flow->ends, ends, sizeof *ends) && flow->vni == vni;
}

/* The flow between these; VX_NONE: it is new. */
static inline uint32_t find_flow(const vx_tally *tally, const vx_ends *ends, int32_t vni, uint32_t tag) {
    uint32_t at = tag, number;
    while ((number = vx_index_next(&tally->flows.index, tag, &at)) != VX_NONE)
        if (is_flow(flow_at(tally, number), ends, vni))
            break;
    return number;
}

/* A flow that is new; VX_NONE: no memory. */
static VX_RARE uint32_t add_flow(vx_tally *tally, const vx_ends *ends, int32_t vni, uint32_t tag,
                                 vx_sample first, uint32_t underlay) {
    vx_flow key = {.ends = *ends, .vni = vni};
    uint32_t number = vx_map_add(&tally->flows, &key, VX_FLOW_KEY, tag);
    if (number != VX_NONE) {
        flow_at(tally, number)->first = first;
        flow_at(tally, number)->underlay = underlay;
        if (first.time > tally->newest_flow)
            tally->newest_flow = first.time;
    }
    return number;
}

static VX_RARE void begin_earlier(vx_flow *flow, vx_sample first, uint32_t underlay) {
    if (vx_sample_before(first, flow->first)) {
        flow->first = first;
        flow->underlay = underlay;
    }
}

uint32_t vx_tally_flow_tag(const vx_tally *tally, const vx_ends *ends, int32_t vni) {
    return tag_of_flow(tally, ends, vni);
}

uint32_t vx_tally_find_flow(const vx_tally *tally, const vx_ends *ends, int32_t vni, uint32_t tag) {
    return find_flow(tally, ends, vni, tag);
}

/* A flow that is new, beyond the limit: others make room. VX_OTHER_FLOWS where none are kept, VX_NONE: no
 * memory. */
static VX_RARE uint32_t add_flow_too_many(vx_tally *tally, const vx_ends *ends, int32_t vni, uint32_t tag,
                                          vx_sample first, uint32_t underlay) {
    if (tally->most.flows == 0) {
        tally->counters.folded_flows++;
        return VX_OTHER_FLOWS;
    }
    if (vx_fold_flows(tally) < 0)
        return VX_NONE;
    return add_flow(tally, ends, vni, tag, first, underlay);
}

/* The flow of a datagram, made where it is new, and most likely the one at `guess`; VX_OTHER_FLOWS where none
 * are kept, VX_NONE: no memory. */
static inline uint32_t flow_of(vx_tally *tally, const vx_ends *ends, int32_t vni, uint32_t tag,
                               uint32_t guess, vx_sample first, uint32_t underlay) {
    uint32_t number = guess;
    if (guess == VX_NONE || !is_flow(flow_at(tally, guess), ends, vni))
        number = find_flow(tally, ends, vni, tag);
    if (number != VX_NONE) {
        if (first.time <= tally->newest_flow)
            begin_earlier(flow_at(tally, number), first, underlay);
        return number;
    }
    if (vx_map_count(&tally->flows) < tally->most.flows)
        return add_flow(tally, ends, vni, tag, first, underlay);
    return add_flow_too_many(tally, ends, vni, tag, first, underlay);
}

/* Add a range to those that are there, and let it swallow what it touches. */
static VX_RARE int insert_range(vx_tally *tally, vx_flow *flow, int64_t start, int64_t end) {
    if (flow->range_count == 0) {
        flow->range[0] = start;
        flow->range[1] = end;
        flow->range_count = 1;
        if (flow->more_ranges != NULL)
            memcpy(flow->more_ranges, flow->range, sizeof flow->range);
        return 0;
    }
    int64_t *ranges = flow->more_ranges != NULL ? flow->more_ranges : flow->range;
    int64_t kept[2 * (VX_MOST_RANGES + 1)];
    uint32_t count = 0, before = 0;
    for (uint32_t i = 0; i < flow->range_count; i++) {
        int64_t low = ranges[2 * i], high = ranges[2 * i + 1];
        if (high < start || low > end) {
            kept[2 * count] = low;
            kept[2 * count + 1] = high;
            count++;
        } else {
            start = low < start ? low : start;
            end = high > end ? high : end;
        }
    }
    while (before < count && kept[2 * before] < start)
        before++;
    memmove(kept + 2 * before + 2, kept + 2 * before, (count - before) * 2 * sizeof *kept);
    kept[2 * before] = start;
    kept[2 * before + 1] = end;
    count++;
    if (count > VX_MOST_RANGES) {
        kept[1] = kept[3];
        memmove(kept + 2, kept + 4, (count - 2) * 2 * sizeof *kept);
        count--;
        flow->ranges_folded = true;
    }
    if (count > 1 && flow->more_ranges == NULL &&
        tally->range_sets >= tally->most.flows / FLOWS_OF_A_RANGE_SET) {
        kept[1] = kept[2 * count - 1];
        count = 1;
        flow->ranges_folded = true;
    }
    if (count > 1 && flow->more_ranges == NULL) {
        tally->range_sets++;
        flow->more_ranges = vx_allocate(VX_MOST_RANGES, 2 * sizeof *flow->more_ranges);
        if (flow->more_ranges == NULL)
            return -1;
        ranges = flow->more_ranges;
    }
    memcpy(ranges, kept, count * 2 * sizeof *kept);
    flow->range_count = count;
    return 0;
}

/* Add to the sequence space that a flow's data has covered; numbers wrap at 32 bits (RFC 9293). */
static int cover(vx_tally *tally, vx_flow *flow, int64_t start, uint32_t length) {
    if (flow->range_count > 0) {
        int64_t *last =
            (flow->more_ranges != NULL ? flow->more_ranges : flow->range) + 2 * (flow->range_count - 1);
        start = vx_unwrap(start, last[1]);
        if (last[0] <= start && start <= last[1]) {
            if (start + length > last[1])
                last[1] = start + length;
            return 0;
        }
    }
    tally->rare_ranges |= flow->range_count > 0 || start > UINT32_MAX;
    return insert_range(tally, flow, start, start + length);
}

/* Numbers that wrap: the later of two is less than half of them ahead (RFC 1982). */
static inline void acknowledge(vx_flow *flow, uint32_t number) {
    if (!(flow->tcp_flags & TCP_ACK) || number - flow->acknowledged < UINT32_C(1) << 31)
        flow->acknowledged = number;
}

/* What TCP says of a flow. Other protocols but ICMP echo have no flags, and none has an MSS; one question for
 * what is TCP and has data is foreseen more often than two. */
static inline int describe_flow(vx_tally *tally, vx_flow *flow, const vx_key *key, const vx_traits *first) {
    if ((key->ends.protocol == VX_TCP) & ((first->tcp_flags & TCP_ACK) != 0)) {
        uint32_t acknowledged = vx_big32((const uint8_t *)&key->transport[1]);
        acknowledge(flow, acknowledged);
    }
    flow->tcp_flags |= first->tcp_flags;
    if (first->mss > 0 && (flow->mss == 0 || first->mss < flow->mss)) {
        flow->mss = first->mss;
        tally->has_mss = true;
    }
    if ((first->payload_length == 0) | (key->ends.protocol != VX_TCP))
        return 0;
    if (first->options > flow->options)
        flow->options = first->options;
    flow->has_data = true;
    flow->data_bytes += first->payload_length;
    /* A SYN takes the first number. */
    int64_t start = (int64_t)vx_big32((const uint8_t *)key->transport) + (first->tcp_flags & 2 ? 1 : 0);
    return cover(tally, flow, start, first->payload_length);
}

void vx_tally_rebase(vx_tally *tally) {
    for (uint32_t i = 0; tally->rare_ranges && i < vx_map_count(&tally->flows); i++) {
        vx_flow *flow = flow_at(tally, i);
        int64_t *ranges = flow->more_ranges != NULL ? flow->more_ranges : flow->range;
        int64_t base = flow->range_count > 0 ? ranges[0] & ~(int64_t)UINT32_MAX : 0;
        for (uint32_t j = 0; base != 0 && j < 2 * flow->range_count; j++)
            ranges[j] -= base;
    }
}

/* Cells. */

/* The number of the cell of a flow on another path than last, made where it is new; `flow`: NULL beyond the
 * limit. VX_NONE: no memory. */
static VX_RARE uint32_t other_cell_of(vx_tally *tally, uint32_t flow_number, vx_flow *flow, uint32_t path) {
    uint32_t key[2] = {flow_number, path}, number;
    bool made = false;
    if (flow != NULL && flow->first_cell == 0) {
        /* Most flows have no other: to look it up by its key cost a fifth of the time of a million of them.
         */
        number = vx_pool_take(&tally->cells.pool);
        if (number == VX_NONE)
            return VX_NONE;
        *cell_at(tally, number) = (vx_cell){.flow = flow_number, .path = path};
        flow->first_cell = number + 1;
        made = true;
    } else if (flow != NULL && cell_at(tally, flow->first_cell - 1)->path == path) {
        number = flow->first_cell - 1;
    } else {
        number = vx_map_intern(&tally->cells, key, VX_CELL_KEY, &made);
        if (number == VX_NONE)
            return VX_NONE;
    }
    if (made) {
        cell_at(tally, number)->sampled_to = INT64_MAX;
        if (vx_pool_take(&tally->cell_samples) == VX_NONE)
            return VX_NONE;
    }
    if (flow != NULL)
        flow->last_cell = number + 1;
    return number;
}

static inline uint32_t cell_of(vx_tally *tally, uint32_t flow_number, vx_flow *flow, uint32_t path) {
    if (flow != NULL && flow->last_cell > 0 && cell_at(tally, flow->last_cell - 1)->path == path)
        return flow->last_cell - 1;
    return other_cell_of(tally, flow_number, flow, path);
}

static VX_RARE void sample_cell(vx_tally *tally, uint32_t number, vx_sample sample) {
    vx_cell *cell = cell_at(tally, number);
    vx_cell_sample_row *row = cell_samples_at(tally, number);
    unsigned count = cell->sample_count;
    if (count < VX_SAMPLES && (count == 0 || !vx_sample_before(sample, row->samples[count - 1]))) {
        row->samples[count] = sample; /* nearly always they come in order */
        cell->sample_count++;
    } else {
        vx_samples samples = vx_cell_samples(tally, number);
        vx_samples_keep(&samples, sample);
        memcpy(row->samples, samples.samples, sizeof samples.samples);
        cell->sample_count = samples.count;
    }
    if (cell->sample_count == VX_SAMPLES)
        cell->sampled_to = row->samples[VX_SAMPLES - 1].time;
}

/* 0, or -1: no memory. */
static VX_RARE int add_more_to_cell(vx_tally *tally, uint32_t number, const vx_more_of_cell *by) {
    vx_cell *cell = cell_at(tally, number);
    if (cell->more_up1 == 0) {
        uint32_t taken = vx_pool_take(&tally->cell_more);
        if (taken == VX_NONE)
            return -1;
        *(vx_more_of_cell *)vx_pool_at(&tally->cell_more, taken) = (vx_more_of_cell){0};
        cell->more_up1 = taken + 1;
    }
    vx_more_of_cell *more = vx_pool_at(&tally->cell_more, cell->more_up1 - 1);
    more->packets += by->packets;
    more->bytes += by->bytes;
    more->egress_packets += by->egress_packets;
    more->fragmented += by->fragmented;
    return 0;
}

/* A journey as it is counted. Nothing that is not compiled into those who count gets a pointer to it, so that
 * it never has to be in memory. */
typedef struct {
    const vx_view *view; /* NULL where there are only an ingress and an egress */
    const vx_tagged_key *key;
    const vx_sighting *first;
    const vx_sighting *ingress; /* NULL: none */
    const vx_sighting *egress;
    const vx_sighting *start;
    const vx_sighting *measured;
    uint64_t packets; /* of the measured, and */
    uint64_t wire_bytes;
    uint64_t egress_packets;
    uint32_t fragmented; /* segments of it that left in fragments */
    uint32_t path;
    uint32_t flow_tag;
    uint32_t flow; /* the number that it most likely has, or VX_NONE */
    int32_t vni;   /* -1: not in a tunnel */
    bool whole;    /* the measured is */
    bool cut;      /* a super-frame, of which the packets are known: no packet has its size */
    uint16_t segment;
} counted;

static inline int add_to_cell(vx_tally *tally, uint32_t number, const counted *journey) {
    vx_cell *cell = cell_at(tally, number);
    uint32_t length = journey->measured->traits.inner_length;
    uint32_t outer_length = journey->measured->traits.outer_length;
    int64_t time = journey->start->sample.time;
    if (cell->datagrams == 0) {
        cell->smallest = length;
        cell->last_time = time;
    }
    cell->smallest = length < cell->smallest ? length : cell->smallest;
    cell->largest = length > cell->largest ? length : cell->largest;
    cell->last_time = time > cell->last_time ? time : cell->last_time;
    cell->datagrams++;
    cell->inner_bytes += length;
    cell->outer_bytes += outer_length;
    if (VX_RARELY(time <= cell->sampled_to))
        sample_cell(tally, number, journey->start->sample);
    const vx_more_of_cell more = {
        .packets = (int64_t)journey->packets - 1,
        .bytes = (int64_t)journey->wire_bytes - outer_length,
        .egress_packets = (int64_t)journey->egress_packets - 1,
        .fragmented = journey->fragmented,
    };
    return more.packets != 0 || more.bytes != 0 || more.egress_packets != 0
               ? add_more_to_cell(tally, number, &more)
               : 0;
}

/* Timeline. */

static int64_t floor_divide(int64_t number, int64_t by) { return number / by - (number % by < 0 ? 1 : 0); }

static inline int64_t step_of(vx_tally *tally, int64_t time) {
    /* Times and where steps begin are compared modulo 2^64, so that no sum overflows. */
    if (!tally->has_last_step || (uint64_t)time - tally->last_step_begins >= (uint64_t)tally->step) {
        int64_t begins, ends;
        tally->last_step = floor_divide(time, tally->step);
        /* Of the first and the last of all steps a part lies beyond 64 bits: they are told each time anew. */
        tally->has_last_step = !__builtin_mul_overflow(tally->last_step, tally->step, &begins) &&
                               !__builtin_add_overflow(begins, tally->step - 1, &ends);
        tally->last_step_begins = (uint64_t)begins;
    }
    return tally->last_step;
}

/* The row of a step; VX_NONE: no memory. */
static VX_RARE uint32_t step_row(vx_tally *tally, const vx_step *key, uint64_t datagrams,
                                 uint64_t outer_bytes) {
    bool made;
    vx_step wanted = *key;
    if (wanted.address_size > 0 && vx_is_too_many(&tally->timeline, key, VX_STEP_KEY, tally->most.rows)) {
        tally->counters.folded_details += datagrams;
        wanted.address_size = 0;
        memset(wanted.address, 0, sizeof wanted.address);
    }
    uint32_t number = vx_map_intern(&tally->timeline, &wanted, VX_STEP_KEY, &made);
    if (number == VX_NONE)
        return VX_NONE;
    vx_step *row = vx_map_at(&tally->timeline, number);
    row->datagrams += datagrams;
    row->outer_bytes += outer_bytes;
    return number;
}

static inline uint64_t span_of(const vx_tally *tally) {
    return (uint64_t)tally->last_time - (uint64_t)tally->first_time;
}

/* Whether the steps reach so far. What is beyond 64 bits covers every span, also the longest of them. */
static bool covers(const vx_tally *tally, uint64_t span) {
    return span < tally->step_span || tally->step_span == UINT64_MAX;
}

int vx_tally_fit_timeline(vx_tally *tally) {
    uint64_t span = span_of(tally);
    if (covers(tally, span))
        return 0;
    int64_t finer = tally->step;
    while (!covers(tally, span)) {
        tally->step *= tally->step_factor;
        tally->step_factor = tally->step_factor == 2 ? 5 : 2;
        if (__builtin_mul_overflow((uint64_t)tally->step, (uint64_t)(STEPS - 1), &tally->step_span))
            tally->step_span = UINT64_MAX;
    }
    vx_map old = tally->timeline;
    vx_map_init(&tally->timeline, sizeof(vx_step), old.seed);
    tally->has_last_step = false;
    for (uint32_t i = 0; i < vx_map_count(&tally->paths); i++)
        ((vx_path *)vx_map_at(&tally->paths, i))->step_row = 0;
    int status = 0;
    for (uint32_t i = 0; i < vx_map_count(&old) && status == 0; i++) {
        vx_step row;
        memcpy(&row, vx_map_at(&old, i), sizeof row);
        row.step = floor_divide(row.step, tally->step / finer);
        status = step_row(tally, &row, row.datagrams, row.outer_bytes) == VX_NONE ? -1 : 0;
    }
    vx_map_free(&old);
    return status;
}

/* Where only one side of a journey was seen, its step tells the outer destination. */
static void add_destination(const vx_tally *tally, vx_step *step, const vx_ends *ends,
                            uint32_t underlay_number) {
    uint32_t size = ends->shape & VX_KEY_IPV6 ? 16 : 4;
    const uint8_t *addresses = ends->addresses;
    if (underlay_number != VX_NONE) {
        const vx_underlay *underlay = vx_map_at(&tally->underlays, underlay_number);
        size = underlay->key.size;
        addresses = underlay->key.addresses;
    }
    step->address_size = size;
    memcpy(step->address, addresses + size, size);
}

/* Where it is another step than that of the path's last. */
static VX_RARE int add_to_step(vx_tally *tally, uint32_t path_number, int64_t step, bool both,
                               const vx_ends *ends, const vx_sighting *measured) {
    vx_path *path = path_at(tally, path_number);
    vx_step key = {.step = step, .path = path_number};
    if (!both)
        add_destination(tally, &key, ends, measured->underlay);
    uint32_t row = step_row(tally, &key, 1, measured->traits.outer_length);
    if (row == VX_NONE)
        return -1;
    if (both) {
        path->step = key.step;
        path->step_row = row + 1;
    }
    return 0;
}

static inline int add_to_timeline(vx_tally *tally, const counted *journey) {
    if (VX_RARELY(span_of(tally) >= tally->step_span) && vx_tally_fit_timeline(tally) < 0)
        return -1;
    vx_path *path = path_at(tally, journey->path);
    int64_t step = step_of(tally, journey->start->sample.time);
    bool both = journey->ingress != NULL && journey->egress != NULL;
    if (!both || path->step != step || path->step_row == 0)
        return add_to_step(tally, journey->path, step, both, &journey->key->key.ends, journey->measured);
    vx_step *row = vx_pool_item(&tally->timeline.pool, path->step_row - 1, sizeof *row);
    row->datagrams++;
    row->outer_bytes += journey->measured->traits.outer_length;
    return 0;
}

/* Journeys. */

static VX_RARE int count_large(vx_tally *tally, const uint32_t key[4], uint64_t by) {
    bool made;
    uint32_t wanted[4] = {key[0], key[1], key[2], key[3]};
    if (vx_is_too_many(&tally->large, wanted, VX_LARGE_KEY, tally->most.rows)) {
        tally->counters.folded_details += by;
        wanted[0] = VX_OTHER_FLOWS;
        if (vx_is_too_many(&tally->large, wanted, VX_LARGE_KEY, 2 * tally->most.rows))
            return 0;
    }
    uint32_t number = vx_map_intern(&tally->large, wanted, VX_LARGE_KEY, &made);
    if (number == VX_NONE)
        return -1;
    ((vx_large *)vx_map_at(&tally->large, number))->count += by;
    return 0;
}

/* Where there is no room for another: the power of two that is not more, below 2^32; of less than 0, -1. */
static uint64_t rounded(uint64_t key) {
    uint32_t low = (uint32_t)key;
    if ((int64_t)key < 0)
        return UINT64_MAX;
    return low > 0 ? key >> 32 << 32 | UINT32_C(1) << (31 - (unsigned)__builtin_clz(low)) : key;
}

static VX_RARE int count_another(vx_tally *tally, vx_map *counts, uint64_t key, uint64_t by) {
    if (vx_is_too_many(counts, &key, sizeof key, tally->most.rows)) {
        tally->counters.folded_details += by;
        key = rounded(key);
    }
    return vx_map_count_another(counts, key, by);
}

/* As vx_map_count_up, in a table whose keys may be any number. */
static inline int count_up(vx_tally *tally, vx_map *counts, uint64_t key) {
    vx_count *last = counts->counted;
    if (last == NULL || last->key != key)
        return count_another(tally, counts, key, 1);
    last->count++;
    return 0;
}

int vx_tally_count_large(vx_tally *tally, const uint32_t key[4], uint64_t by) {
    return count_large(tally, key, by);
}

static inline int count_size(vx_tally *tally, const counted *journey, uint32_t flow) {
    const vx_traits *measured = &journey->measured->traits;
    uint64_t tunnelled = journey->vni >= 0;
    if (measured->inner_length < VX_SMALL_SIZES)
        tally->small_sizes[tunnelled][measured->inner_length]++;
    else if (count_up(tally, &tally->sizes, tunnelled << 32 | measured->inner_length) < 0)
        return -1;
    if (measured->inner_length <= VX_LARGE || !journey->whole)
        return 0;
    const uint32_t key[4] = {flow, measured->outer_length, measured->inner_length, measured->payload_length};
    return count_large(tally, key, 1);
}

/* The key in `icmp` of an error, as type, code and MTU have it; false: it is none. */
static bool icmp_error_of(const vx_key *key, bool tunnelled, uint64_t *error) {
    if (!(key->length & VX_KEY_TRANSPORT))
        return false;
    uint32_t kind = key->transport[0], code = key->transport[1], rest = key->transport[2], mtu = 0;
    bool ipv6 = key->ends.shape & VX_KEY_IPV6;
    if (ipv6) {
        if (kind < 1 || kind > 4)
            return false;
        if (kind == 2) /* packet too big */
            mtu = rest;
    } else {
        if (kind != 3 && kind != 4 && kind != 5 && kind != 11 && kind != 12)
            return false;
        if (kind == 3 && code == 4) /* fragmentation needed */
            mtu = rest & 0xffff;
    }
    *error =
        (uint64_t)tunnelled << 49 | (uint64_t)ipv6 << 48 | (uint64_t)kind << 40 | (uint64_t)code << 32 | mtu;
    return true;
}

static VX_RARE int count_icmp_error(vx_tally *tally, const vx_key *key, bool tunnelled,
                                    const vx_sighting *start) {
    uint64_t error;
    if (!icmp_error_of(key, tunnelled, &error))
        return 0;
    if (vx_is_too_many(&tally->icmp, &error, sizeof error, tally->most.rows)) {
        tally->counters.folded_details++;
        error &= ~(uint64_t)UINT32_MAX;
    }
    bool made;
    uint32_t number = vx_map_intern(&tally->icmp, &error, sizeof error, &made);
    if (number == VX_NONE)
        return -1;
    vx_icmp *row = vx_map_at(&tally->icmp, number);
    row->count++;
    vx_samples_keep(&row->samples, start->sample);
    return 0;
}

/* Underlays are equal in addresses and destination port just when their numbers are: the port tells the wear.
 */
static bool is_translated(const vx_view *view, const vx_sighting *tunnelled) {
    for (unsigned i = 0; i < view->count; i++) {
        const vx_sighting *sighting = view->sightings[i];
        if (sighting->traits.wear == VX_PLAIN)
            continue;
        if (sighting->underlay != tunnelled->underlay ||
            sighting->traits.source_port != tunnelled->traits.source_port)
            return true;
    }
    return false;
}

/* Of a journey with both sides; 0 where the clocks of two captures differ. */
static inline uint64_t latency_of(const counted *journey) {
    int64_t came = journey->ingress->sample.time, went = journey->egress->sample.time;
    return went < came ? 0 : (uint64_t)went - (uint64_t)came;
}

static inline int count_latency(vx_tally *tally, const counted *journey) {
    if (journey->egress->sample.time < journey->ingress->sample.time)
        tally->counters.clock_skewed++;
    return add_latency(path_at(tally, journey->path), latency_of(journey));
}

/* That a flow's tunnel has this source port. */
static void see_port(vx_flow *flow, uint16_t port) {
    flow->ports_seen = flow->ports_seen == 0 || (flow->ports_seen == 1 && flow->port == port) ? 1 : 2;
    flow->port = port;
}

static void see_first(vx_underlay *underlay, vx_sample sample) {
    if (underlay->datagrams == 0 || vx_sample_before(sample, underlay->first))
        underlay->first = sample;
}

/* `flow`: NULL beyond the limit. */
static inline int count_tunnel(vx_tally *tally, const counted *journey, vx_flow *flow) {
    const vx_traits *measured = &journey->measured->traits;
    uint64_t overhead = (uint64_t)((int64_t)measured->outer_length - measured->inner_length);
    if (count_up(tally, &tally->overheads, overhead) < 0)
        return -1;
    uint32_t number = journey->measured->underlay;
    vx_underlay *underlay = vx_pool_item(&tally->underlays.pool, number, sizeof *underlay);
    see_first(underlay, journey->measured->sample);
    underlay->datagrams++;
    underlay->outer_bytes += measured->outer_length;
    /* Most often it is the port that this flow came from before. */
    if (flow != NULL && flow->port_underlay_up1 == number + 1 && flow->port == measured->source_port)
        return 0;
    if (flow != NULL) {
        flow->port_underlay_up1 = number + 1;
        see_port(flow, measured->source_port);
    }
    return add_port(tally, underlay, measured->source_port);
}

/* Datagrams one by one. */

/* 0, or -1: no memory. */
static VX_RARE int list_datagram(vx_tally *tally, vx_datagram datagram) {
    if (tally->datagram_count == tally->most.datagrams) {
        tally->counters.unlisted_datagrams++;
        return 0;
    }
    if (tally->datagram_count == tally->datagram_room) {
        uint64_t room = tally->datagram_room > 0 ? 2 * tally->datagram_room : 256;
        vx_datagram *grown = vx_resize(tally->datagrams, room, sizeof *grown);
        if (grown == NULL)
            return -1;
        tally->datagrams = grown;
        tally->datagram_room = room;
    }
    tally->datagrams[tally->datagram_count++] = datagram;
    return 0;
}

static int64_t listed_latency(const counted *journey) {
    if (journey->ingress == NULL || journey->egress == NULL)
        return -1;
    uint64_t latency = latency_of(journey);
    return latency < INT64_MAX ? (int64_t)latency : INT64_MAX;
}

static vx_datagram datagram_of(const counted *journey, uint32_t cell) {
    const vx_key *key = &journey->key->key;
    bool has_icmp = key->length & VX_KEY_TRANSPORT &&
                    key->ends.protocol == (key->ends.shape & VX_KEY_IPV6 ? VX_ICMPV6 : VX_ICMP);
    return (vx_datagram){
        .sample = journey->start->sample,
        .latency = listed_latency(journey),
        .cell = cell,
        .inner_length = journey->measured->traits.inner_length,
        .source_port = journey->measured->traits.source_port,
        .icmp_type = has_icmp ? (uint8_t)key->transport[0] : 0,
        .icmp_code = has_icmp ? (uint8_t)key->transport[1] : 0,
        .flags = journey->first->traits.tcp_flags,
        .tunnelled = journey->vni >= 0,
        .has_icmp = has_icmp,
    };
}

int vx_tally_list_sighting(vx_tally *tally, vx_sample record, vx_sample first) {
    if (tally->sighted_count == tally->most.sightings) {
        tally->counters.unlisted_sightings++;
        return 0;
    }
    if (tally->sighted_count == tally->sighted_room) {
        uint64_t room = tally->sighted_room > 0 ? 2 * tally->sighted_room : 256;
        vx_sighted *grown = vx_resize(tally->sighted, room, sizeof *grown);
        if (grown == NULL)
            return -1;
        tally->sighted = grown;
        tally->sighted_room = room;
    }
    tally->sighted[tally->sighted_count++] = (vx_sighted){record.where, first.where};
    return 0;
}

/* All sightings of a journey but the start. `view`: NULL where there are only that and the egress. */
static VX_RARE int list_sightings(vx_tally *tally, const vx_view *view, const vx_sighting *start,
                                  const vx_sighting *egress) {
    if (tally->most.sightings == 0)
        return 0;
    if (view == NULL)
        return vx_tally_list_sighting(tally, egress->sample, start->sample);
    for (unsigned i = 0; i < view->count; i++) {
        vx_sample sample = view->sightings[i]->sample;
        if (sample.where != start->sample.where && vx_tally_list_sighting(tally, sample, start->sample) < 0)
            return -1;
    }
    return 0;
}

static int by_sample(const void *one, const void *other) {
    const vx_sample *first = &((const vx_datagram *)one)->sample;
    const vx_sample *second = &((const vx_datagram *)other)->sample;
    return (int)vx_sample_before(*second, *first) - (int)vx_sample_before(*first, *second);
}

static int by_record(const void *one, const void *other) {
    const vx_sighted *first = one, *second = other;
    if (first->record != second->record)
        return first->record < second->record ? -1 : 1;
    return (first->first > second->first) - (first->first < second->first);
}

void vx_tally_sort_datagrams(vx_tally *tally) {
    if (tally->datagram_count > 0)
        qsort(tally->datagrams, tally->datagram_count, sizeof *tally->datagrams, by_sample);
    if (tally->sighted_count > 0)
        qsort(tally->sighted, tally->sighted_count, sizeof *tally->sighted, by_record);
}

/* Count a journey, of which all is known. */
static inline __attribute__((always_inline)) int count(vx_tally *tally, const counted *journey) {
    const vx_key *key = &journey->key->key;
    vx_ends others;
    const vx_ends *ends = &key->ends;
    if (VX_RARELY(!vx_are_flow_ends(ends))) {
        others = vx_flow_ends(ends);
        ends = &others;
    }
    if (VX_RARELY(vx_map_count(&tally->cells) >= tally->most_cells) && vx_fold_flows(tally) < 0)
        return -1;
    uint32_t number = flow_of(tally, ends, journey->vni, journey->flow_tag, journey->flow,
                              journey->start->sample, journey->measured->underlay);
    if (number == VX_NONE)
        return -1;
    vx_flow *flow = number != VX_OTHER_FLOWS ? flow_at(tally, number) : NULL;
    if (flow != NULL && describe_flow(tally, flow, key, &journey->first->traits) < 0)
        return -1;
    uint32_t cell = cell_of(tally, number, flow, journey->path);
    if (cell == VX_NONE || add_to_cell(tally, cell, journey) < 0)
        return -1;
    if (VX_RARELY(tally->most.datagrams > 0) &&
        (list_datagram(tally, datagram_of(journey, cell)) < 0 ||
         list_sightings(tally, journey->view, journey->start, journey->egress) < 0))
        return -1;
    if (journey->ingress != NULL && journey->egress != NULL && count_latency(tally, journey) < 0)
        return -1;
    if (!journey->cut && count_size(tally, journey, number) < 0)
        return -1;
    if (journey->cut && flow != NULL && journey->segment > flow->segment)
        flow->segment = journey->segment;
    uint16_t mss = journey->measured->traits.mss;
    if (mss > 0 && vx_map_count_up(&tally->mss, mss, 1) < 0)
        return -1;
    if ((ends->protocol == VX_ICMP || ends->protocol == VX_ICMPV6) &&
        count_icmp_error(tally, key, journey->vni >= 0, journey->start) < 0)
        return -1;
    if (journey->vni >= 0 && count_tunnel(tally, journey, flow) < 0)
        return -1;
    return add_to_timeline(tally, journey);
}

int vx_tally_count(vx_tally *tally, const vx_view *view, uint32_t flags) {
    const vx_sighting *ingress = view->ingress, *egress = view->egress, *tunnelled = NULL;
    for (unsigned i = 0; i < view->count; i++) {
        if (tunnelled == NULL && view->sightings[i]->traits.wear != VX_PLAIN)
            tunnelled = view->sightings[i];
        if (view->sightings[i]->looped)
            flags |= VX_LOOPED;
        flags |= overtaken_in(pieces_of(view->pieces, view->sightings[i]));
    }
    const vx_ends *ends = &view->key->key.ends;
    if (tunnelled == NULL && ends->fragment_offset > 0)
        return 0; /* belongs to the datagram of its first fragment, and was added there */
    const vx_sighting *start = vx_view_start(view);
    const vx_sighting *measured = start;
    if (tunnelled != NULL && measured->traits.wear == VX_PLAIN)
        measured = egress != NULL && egress->traits.wear != VX_PLAIN ? egress : tunnelled;
    /* What was joined is all there: the headers that it was joined under may be longer. */
    bool is_compared = view->packets == 0 && !(flags & VX_JOINED);
    if (ingress != NULL && egress != NULL && is_compared && vx_view_is_partial(view))
        flags |= VX_PARTIAL;
    if (tunnelled != NULL && is_translated(view, tunnelled))
        flags |= VX_TRANSLATED;
    uint32_t path = path_of(tally, view, flags);
    if (path == VX_NONE)
        return -1;
    int32_t vni = tunnelled != NULL ? (int32_t)tunnelled->traits.vni : -1;
    uint32_t flow_tag = view->key->flow_tag;
    if (tunnelled != NULL && tunnelled != view->sightings[0]) {
        vx_ends flow_ends = vx_flow_ends(ends);
        flow_tag = tag_of_flow(tally, &flow_ends, vni);
    }
    const vx_pieces *pieces = pieces_of(view->pieces, measured);
    uint64_t packets = packets_of(pieces), wire_bytes = wire_bytes_of(pieces, measured);
    if (view->packets > 0) {
        packets = view->packets;
        uint64_t outer_length = measured->traits.outer_length;
        wire_bytes = outer_length + (packets - 1) * (outer_length - measured->traits.payload_length);
    }
    const counted journey = {
        .view = view,
        .key = view->key,
        .first = view->sightings[0],
        .ingress = ingress,
        .egress = egress,
        .start = start,
        .measured = measured,
        .packets = packets,
        .wire_bytes = wire_bytes,
        .egress_packets = view->packets > 0 ? view->left
                          : egress != NULL  ? packets_of(pieces_of(view->pieces, egress))
                                            : 0,
        .path = path,
        .flow_tag = flow_tag,
        .flow = VX_NONE,
        .vni = vni,
        .whole = measured->pieces == VX_NONE,
        .fragmented = view->fragmented,
        .cut = view->packets > 0,
        .segment = (uint16_t)view->segment, /* a UDP datagram is no longer than that */
    };
    return count(tally, &journey);
}

/* `pieces`: NULL where neither has any. */
static VX_ALWAYS_INLINE int count_usual(vx_tally *tally, const vx_journey *journey, const vx_pool *pieces,
                                        uint32_t flow) {
    const vx_sighting *came = &journey->sightings[0], *went = &journey->sightings[1];
    uint8_t wear = came->traits.wear;
    if (journey->count != 2 || journey->sides & VX_SIDE_UNKNOWN || came->traits.direction == VX_OUT ||
        went->traits.direction != VX_OUT || came->looped || went->looped || went->traits.wear != wear)
        return 0;
    const vx_pieces *came_in = pieces != NULL ? pieces_of(pieces, came) : NULL;
    const vx_pieces *went_in = pieces != NULL ? pieces_of(pieces, went) : NULL;
    /* Where no fragments tell why, more on one side than on the other may be of a super-frame. */
    if (pieces != NULL ? covered_by(went_in, went) < covered_by(came_in, came)
                       : covered_by(NULL, went) != covered_by(NULL, came))
        return 0;
    bool tunnelled = wear != VX_PLAIN;
    if (!tunnelled && journey->key.key.ends.fragment_offset > 0)
        return 1; /* counted with its first fragment, as vx_tally_count has it */
    bool translated = tunnelled && (came->underlay != went->underlay ||
                                    came->traits.source_port != went->traits.source_port);
    uint32_t path =
        path_of_two(tally, stage_of(came_in, came->place), stage_of(went_in, went->place),
                    (translated ? VX_TRANSLATED : 0) | overtaken_in(came_in) | overtaken_in(went_in));
    if (path == VX_NONE)
        return -1;
    const counted usual = {
        .key = &journey->key,
        .first = came,
        .ingress = came,
        .egress = went,
        .start = came,
        .measured = came,
        .packets = packets_of(came_in),
        .wire_bytes = wire_bytes_of(came_in, came),
        .egress_packets = packets_of(went_in),
        .path = path,
        .flow_tag = journey->key.flow_tag,
        .flow = flow,
        .vni = tunnelled ? (int32_t)came->traits.vni : -1,
        .whole = came_in == NULL,
    };
    return count(tally, &usual) < 0 ? -1 : 1;
}

int vx_tally_count_usual(vx_tally *tally, const vx_journey *journey, uint32_t flow) {
    return count_usual(tally, journey, NULL, flow);
}

int vx_tally_count_usual_in_pieces(vx_tally *tally, const vx_journey *journey, const vx_pool *pieces,
                                   uint32_t flow) {
    return count_usual(tally, journey, pieces, flow);
}

/* Two tallies together. */

void vx_numbers_free(vx_numbers *numbers) {
    free(numbers->interfaces);
    free(numbers->places);
    free(numbers->underlays);
    *numbers = (vx_numbers){0};
}

int vx_tally_translate(vx_tally *tally, const vx_tally *other, vx_numbers *numbers) {
    uint32_t interfaces = vx_map_count(&other->interfaces);
    uint32_t places = vx_map_count(&other->places);
    uint32_t underlays = vx_map_count(&other->underlays);
    numbers->interfaces = vx_allocate((size_t)interfaces + 1, sizeof(uint32_t));
    numbers->places = vx_allocate((size_t)places + 1, sizeof(uint32_t));
    numbers->underlays = vx_allocate((size_t)underlays + 1, sizeof(uint32_t));
    if (numbers->interfaces == NULL || numbers->places == NULL || numbers->underlays == NULL)
        return -1;
    for (uint32_t i = 0; i < interfaces; i++) {
        const vx_interface_row *row = vx_map_at(&other->interfaces, i);
        numbers->interfaces[i] =
            vx_tally_interface(tally, row->index, row->input, row->interface, row->name, row->link_type);
        if (numbers->interfaces[i] == VX_NONE)
            return -1;
    }
    for (uint32_t i = 0; i < places; i++) {
        vx_place place = *(const vx_place *)vx_map_at(&other->places, i);
        place.interface = numbers->interfaces[place.interface];
        numbers->places[i] = vx_tally_place(tally, &place);
        if (numbers->places[i] == VX_NONE)
            return -1;
    }
    for (uint32_t i = 0; i < underlays; i++) {
        const vx_underlay *row = vx_map_at(&other->underlays, i);
        numbers->underlays[i] = vx_tally_underlay(tally, &row->key);
        if (numbers->underlays[i] == VX_NONE)
            return -1;
    }
    return 0;
}

static void add_samples(vx_samples *mine, const vx_samples *theirs, const uint64_t *base) {
    for (unsigned i = 0; i < theirs->count; i++)
        vx_samples_keep(mine, vx_renumber(theirs->samples[i], base));
}

static int add_latencies(vx_path *mine, vx_path *other) {
    vx_latencies *theirs = other->latencies;
    if (theirs == NULL)
        return 0;
    if (mine->latencies == NULL) {
        mine->latencies = theirs;
        other->latencies = NULL;
        return 0;
    }
    vx_latencies *sum = mine->latencies;
    uint64_t count = sum->count + theirs->count;
    if (count <= VX_EXACT_LATENCIES) {
        if (reserve_exact(sum, count) < 0)
            return -1;
        memcpy(sum->exact + sum->count, theirs->exact, theirs->count * sizeof *sum->exact);
    } else {
        forget_exact(sum);
    }
    sum->count = count;
    add_to_total(sum, theirs->total);
    sum->carried += theirs->carried;
    sum->smallest = theirs->smallest < sum->smallest ? theirs->smallest : sum->smallest;
    sum->largest = theirs->largest > sum->largest ? theirs->largest : sum->largest;
    for (unsigned page = 0; page < VX_LATENCY_PAGES; page++) {
        if (sum->pages[page] == NULL) {
            sum->pages[page] = theirs->pages[page];
            theirs->pages[page] = NULL;
        } else if (theirs->pages[page] != NULL) {
            for (unsigned i = 0; i < 64; i++)
                sum->pages[page][i] += theirs->pages[page][i];
        }
    }
    return 0;
}

/* Take over the other's paths; paths[i] is the number here of its path i. */
static int add_paths(vx_tally *tally, vx_tally *other, const vx_numbers *numbers, uint32_t *paths) {
    for (uint32_t i = 0; i < vx_map_count(&other->paths); i++) {
        vx_path *theirs = vx_map_at(&other->paths, i);
        vx_path key = {.count = theirs->count, .flags = theirs->flags};
        for (uint32_t j = 0; j < key.count; j++)
            key.stages[j] = (uint64_t)numbers->places[theirs->stages[j] >> 2] << 2 | (theirs->stages[j] & 3);
        paths[i] = intern_path(tally, &key);
        if (paths[i] == VX_NONE || add_latencies(vx_map_at(&tally->paths, paths[i]), theirs) < 0)
            return -1;
    }
    return 0;
}

static int add_ranges(vx_tally *tally, vx_flow *mine, vx_flow *theirs) {
    if (theirs->range_count == 0)
        return 0;
    if (mine->range_count == 0) {
        mine->range_count = theirs->range_count;
        memcpy(mine->range, theirs->range, sizeof mine->range);
        free(mine->more_ranges);
        mine->more_ranges = theirs->more_ranges;
        theirs->more_ranges = NULL;
        tally->range_sets += mine->more_ranges != NULL;
        return 0;
    }
    const int64_t *ranges = vx_flow_ranges(theirs);
    int64_t near = vx_flow_ranges(mine)[2 * mine->range_count - 1];
    int64_t shift = vx_unwrap(ranges[0], near) - ranges[0];
    for (uint32_t i = 0; i < theirs->range_count; i++)
        if (insert_range(tally, mine, ranges[2 * i] + shift, ranges[2 * i + 1] + shift) < 0)
            return -1;
    return 0;
}

static int merge_flow(vx_tally *tally, vx_flow *mine, vx_flow *theirs) {
    if (mine->ends.protocol == VX_TCP && theirs->tcp_flags & TCP_ACK)
        acknowledge(mine, theirs->acknowledged);
    mine->tcp_flags |= theirs->tcp_flags;
    if (theirs->mss > 0 && (mine->mss == 0 || theirs->mss < mine->mss))
        mine->mss = theirs->mss;
    if (theirs->options > mine->options)
        mine->options = theirs->options;
    if (theirs->segment > mine->segment)
        mine->segment = theirs->segment;
    mine->has_data |= theirs->has_data;
    mine->data_bytes += theirs->data_bytes;
    mine->ranges_folded |= theirs->ranges_folded;
    if (theirs->ports_seen > 0) {
        see_port(mine, theirs->port);
        mine->port_underlay_up1 = 0;
        if (theirs->ports_seen > mine->ports_seen)
            mine->ports_seen = theirs->ports_seen;
    }
    return add_ranges(tally, mine, theirs);
}

static int add_flows(vx_tally *tally, vx_tally *other, const vx_numbers *numbers, const uint64_t *base,
                     uint32_t *flows) {
    for (uint32_t i = 0; i < vx_map_count(&other->flows); i++) {
        vx_flow *theirs = vx_map_at(&other->flows, i);
        uint32_t tag = tag_of_flow(tally, &theirs->ends, theirs->vni);
        vx_sample first = vx_renumber(theirs->first, base);
        uint32_t underlay = theirs->underlay != VX_NONE ? numbers->underlays[theirs->underlay] : VX_NONE;
        flows[i] = find_flow(tally, &theirs->ends, theirs->vni, tag);
        if (flows[i] != VX_NONE)
            begin_earlier(flow_at(tally, flows[i]), first, underlay);
        else
            flows[i] = add_flow(tally, &theirs->ends, theirs->vni, tag, first, underlay);
        if (flows[i] == VX_NONE || merge_flow(tally, flow_at(tally, flows[i]), theirs) < 0)
            return -1;
    }
    return 0;
}

/* Add what another cell counted: 0, or -1: no memory. */
static int add_counts_of_cell(vx_tally *tally, uint32_t number, const vx_tally *other,
                              uint32_t other_number) {
    vx_cell *mine = cell_at(tally, number);
    const vx_cell *theirs = cell_at(other, other_number);
    bool first = mine->datagrams == 0;
    mine->smallest = first || theirs->smallest < mine->smallest ? theirs->smallest : mine->smallest;
    mine->largest = theirs->largest > mine->largest ? theirs->largest : mine->largest;
    mine->last_time = first || theirs->last_time > mine->last_time ? theirs->last_time : mine->last_time;
    mine->datagrams += theirs->datagrams;
    mine->inner_bytes += theirs->inner_bytes;
    mine->outer_bytes += theirs->outer_bytes;
    return theirs->more_up1 > 0
               ? add_more_to_cell(tally, number, vx_pool_at(&other->cell_more, theirs->more_up1 - 1))
               : 0;
}

int vx_tally_merge_cells(vx_tally *tally, uint32_t into, uint32_t from) {
    if (add_counts_of_cell(tally, into, tally, from) < 0)
        return -1;
    vx_samples samples = vx_cell_samples(tally, from);
    for (unsigned i = 0; i < samples.count; i++)
        sample_cell(tally, into, samples.samples[i]);
    vx_cell *gone = cell_at(tally, from);
    if (gone->more_up1 > 0)
        vx_pool_give_back(&tally->cell_more, gone->more_up1 - 1);
    gone->more_up1 = 0;
    return 0;
}

/* cells[i] is the number here of the other's cell i. */
static int add_cells(vx_tally *tally, const vx_tally *other, const uint64_t *base, const uint32_t *flows,
                     const uint32_t *paths, uint32_t *cells) {
    for (uint32_t i = 0; i < vx_map_count(&other->cells); i++) {
        const vx_cell *theirs = vx_map_at(&other->cells, i);
        uint32_t flow = theirs->flow == VX_OTHER_FLOWS ? VX_OTHER_FLOWS : flows[theirs->flow];
        vx_flow *row = flow != VX_OTHER_FLOWS ? flow_at(tally, flow) : NULL;
        uint32_t number = cell_of(tally, flow, row, paths[theirs->path]);
        if (number == VX_NONE)
            return -1;
        cells[i] = number;
        if (add_counts_of_cell(tally, number, other, i) < 0)
            return -1;
        vx_samples samples = vx_cell_samples(other, i);
        for (unsigned j = 0; j < samples.count; j++)
            sample_cell(tally, number, vx_renumber(samples.samples[j], base));
    }
    return 0;
}

static int add_datagrams(vx_tally *tally, const vx_tally *other, const uint64_t *base,
                         const uint32_t *cells) {
    for (uint64_t i = 0; i < other->datagram_count; i++) {
        vx_datagram datagram = other->datagrams[i];
        datagram.sample = vx_renumber(datagram.sample, base);
        datagram.cell = cells[datagram.cell];
        if (list_datagram(tally, datagram) < 0)
            return -1;
    }
    for (uint64_t i = 0; i < other->sighted_count; i++) {
        vx_sample record = {.where = other->sighted[i].record}, first = {.where = other->sighted[i].first};
        if (vx_tally_list_sighting(tally, vx_renumber(record, base), vx_renumber(first, base)) < 0)
            return -1;
    }
    return 0;
}

static int add_large(vx_tally *tally, const vx_tally *other, const uint32_t *flows) {
    for (uint32_t i = 0; i < vx_map_count(&other->large); i++) {
        const vx_large *row = vx_map_at(&other->large, i);
        uint32_t flow = row->flow == VX_OTHER_FLOWS ? VX_OTHER_FLOWS : flows[row->flow];
        const uint32_t key[4] = {flow, row->outer_length, row->inner_length, row->payload_length};
        if (count_large(tally, key, row->count) < 0)
            return -1;
    }
    return 0;
}

static int add_timeline(vx_tally *tally, const vx_tally *other, const uint32_t *paths) {
    if (vx_tally_fit_timeline(tally) < 0)
        return -1;
    for (uint32_t i = 0; i < vx_map_count(&other->timeline); i++) {
        vx_step row;
        memcpy(&row, vx_map_at(&other->timeline, i), sizeof row);
        row.step = floor_divide(row.step, tally->step / other->step);
        row.path = paths[row.path];
        if (step_row(tally, &row, row.datagrams, row.outer_bytes) == VX_NONE)
            return -1;
    }
    return 0;
}

static int add_underlays(vx_tally *tally, const vx_tally *other, const uint64_t *base,
                         const vx_numbers *numbers) {
    for (uint32_t i = 0; i < vx_map_count(&other->underlays); i++) {
        const vx_underlay *theirs = vx_map_at(&other->underlays, i);
        vx_underlay *mine = vx_map_at(&tally->underlays, numbers->underlays[i]);
        if (theirs->datagrams > 0)
            see_first(mine, vx_renumber(theirs->first, base));
        mine->datagrams += theirs->datagrams;
        mine->outer_bytes += theirs->outer_bytes;
        for (uint32_t port = 0; theirs->ports != NULL && port < 65536; port++)
            if (theirs->ports[port >> 6] >> (port & 63) & 1 && add_port(tally, mine, (uint16_t)port) < 0)
                return -1;
        for (uint32_t j = 0; theirs->ports == NULL && j < theirs->few_ports; j++)
            if (add_port(tally, mine, theirs->few[j]) < 0)
                return -1;
    }
    return 0;
}

static int add_wrong(vx_tally *tally, const vx_tally *other, const vx_numbers *numbers) {
    for (uint32_t i = 0; i < vx_map_count(&other->wrong); i++) {
        const vx_count *row = vx_map_at(&other->wrong, i);
        if (vx_map_count_up(&tally->wrong, numbers->underlays[row->key], row->count) < 0)
            return -1;
    }
    return 0;
}

static int add_fragments(vx_tally *tally, const vx_tally *other, const vx_numbers *numbers) {
    for (uint32_t i = 0; i < vx_map_count(&other->fragments); i++) {
        const vx_count *row = vx_map_at(&other->fragments, i);
        uint64_t key = (uint64_t)numbers->places[row->key >> 32] << 32 | (row->key & UINT32_MAX);
        if (vx_map_count_up(&tally->fragments, key, row->count) < 0)
            return -1;
    }
    return 0;
}

static int add_counts(vx_map *mine, const vx_map *theirs) {
    for (uint32_t i = 0; i < vx_map_count(theirs); i++) {
        const vx_count *row = vx_map_at(theirs, i);
        if (vx_map_count_up(mine, row->key, row->count) < 0)
            return -1;
    }
    return 0;
}

static int add_icmp(vx_tally *tally, const vx_tally *other, const uint64_t *base) {
    for (uint32_t i = 0; i < vx_map_count(&other->icmp); i++) {
        const vx_icmp *theirs = vx_map_at(&other->icmp, i);
        bool made;
        uint32_t number = vx_map_intern(&tally->icmp, &theirs->key, sizeof theirs->key, &made);
        if (number == VX_NONE)
            return -1;
        vx_icmp *mine = vx_map_at(&tally->icmp, number);
        mine->count += theirs->count;
        add_samples(&mine->samples, &theirs->samples, base);
    }
    return 0;
}

int vx_too_big_add(vx_map *rows, const vx_too_big *more, const uint64_t *base, uint64_t *folded) {
    uint32_t number = vx_map_find(rows, more, VX_TOO_BIG_KEY);
    if (number == VX_NONE && vx_map_count(rows) == VX_MOST_TOO_BIG) {
        *folded += more->records[0] + more->records[1] + more->records[2];
        return 0;
    }
    bool made;
    number = vx_map_intern(rows, more, VX_TOO_BIG_KEY, &made);
    if (number == VX_NONE)
        return -1;
    vx_too_big *row = vx_map_at(rows, number);
    for (unsigned side = 0; side < 3; side++)
        row->records[side] += more->records[side];
    row->largest = more->largest > row->largest ? more->largest : row->largest;
    row->last_time = made || more->last_time > row->last_time ? more->last_time : row->last_time;
    for (unsigned i = 0; i < more->samples.count; i++) {
        vx_sample sample = more->samples.samples[i];
        vx_samples_keep(&row->samples, base != NULL ? vx_renumber(sample, base) : sample);
    }
    return 0;
}

static int add_too_big(vx_tally *tally, const vx_tally *other, const uint64_t *base) {
    for (uint32_t i = 0; i < vx_map_count(&other->too_big); i++)
        if (vx_too_big_add(&tally->too_big, vx_map_at(&other->too_big, i), base,
                           &tally->counters.folded_quotes) < 0)
            return -1;
    return 0;
}

void vx_counters_add(vx_counters *mine, const vx_counters *theirs) {
    uint64_t *sums = (uint64_t *)mine;
    const uint64_t *more = (const uint64_t *)theirs;
    for (size_t i = 0; i < sizeof *mine / sizeof *sums; i++)
        sums[i] += more[i];
    uint64_t *const flags[] = {&mine->folded_places, &mine->folded_paths, &mine->folded_ports};
    for (unsigned i = 0; i < 3; i++)
        *flags[i] = *flags[i] > 0;
}

int vx_tally_add(vx_tally *tally, vx_tally *other, const vx_numbers *numbers, const uint64_t *base) {
    if (vx_tally_settle(other) < 0)
        return -1;
    tally->rare_ranges = true; /* ranges come together */
    tally->has_mss |= other->has_mss;
    for (uint32_t i = 0; i < vx_map_count(&other->interfaces); i++) {
        const vx_interface_row *theirs = vx_map_at(&other->interfaces, i);
        vx_interface_row *mine = vx_map_at(&tally->interfaces, numbers->interfaces[i]);
        for (unsigned side = 0; side < 3; side++)
            mine->records[side] += theirs->records[side];
    }
    vx_counters_add(&tally->counters, &other->counters);
    for (unsigned kind = 0; kind < VX_SAMPLE_KINDS; kind++)
        add_samples(&tally->samples[kind], &other->samples[kind], base);
    uint32_t *paths = vx_allocate((size_t)vx_map_count(&other->paths) + 1, sizeof *paths);
    uint32_t *flows = vx_allocate((size_t)vx_map_count(&other->flows) + 1, sizeof *flows);
    uint32_t *cells = vx_allocate((size_t)vx_map_count(&other->cells) + 1, sizeof *cells);
    int status = -1;
    if (paths != NULL && flows != NULL && cells != NULL && add_paths(tally, other, numbers, paths) == 0 &&
        add_flows(tally, other, numbers, base, flows) == 0 &&
        add_cells(tally, other, base, flows, paths, cells) == 0 &&
        add_datagrams(tally, other, base, cells) == 0 && add_large(tally, other, flows) == 0 &&
        add_timeline(tally, other, paths) == 0 && add_underlays(tally, other, base, numbers) == 0 &&
        add_wrong(tally, other, numbers) == 0 && add_counts(&tally->overheads, &other->overheads) == 0 &&
        add_counts(&tally->sizes, &other->sizes) == 0 && add_counts(&tally->mss, &other->mss) == 0 &&
        add_counts(&tally->folded_mss, &other->folded_mss) == 0 && add_icmp(tally, other, base) == 0 &&
        add_fragments(tally, other, numbers) == 0 && add_too_big(tally, other, base) == 0)
        status = 0;
    if (status == 0 && vx_map_count(&tally->flows) > tally->most.flows)
        status = vx_fold_flows(tally);
    free(paths);
    free(flows);
    free(cells);
    return status;
}
