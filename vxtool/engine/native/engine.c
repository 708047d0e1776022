/* See engine.h for what is promised, and vxtool/engine/pure.py for the same in plain words. */
#include "engine.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "intake.h"
#include "journey.h"
#include "relay.h"
#include "scene.h"
#include "usual.h"

enum {
    WEARS = 65536,
    ORIGIN_BITS = 6,
    FEW = 64, /* records read before they are taken: enough to fetch ahead, and few enough to stay in cache */
    TAGGED = 32, /* records whose tags are made together, and their slots fetched where there are many */
    FETCH_JOURNEY = 4, /* so many records ahead, what the slot leads to is fetched */
    ONE_TAKE = 256,    /* batches */
};

/* What a place depends on, but for the input: what the link header says, the interface of the input, and what
 * is worn. The second word is never 0. */
typedef struct {
    uint64_t words[2];
} origin_key;

/* Where an input's records came from lately, and what follows. */
typedef struct {
    origin_key key;
    uint64_t *records; /* the count of the interface's in that direction */
    uint32_t place;
    uint32_t spot; /* the plain one of the same interface, direction and MACs, for fragments; VX_NONE: not yet
                      asked */
    uint8_t direction;
    bool from_wire; /* its packets came in, and not by loopback */
} recent_origin;

/* What is known of one input. */
typedef struct {
    const char *name; /* of the interface `described` in the container, as are */
    uint32_t link_type;
    uint32_t described; /* VX_NONE: none yet */
    recent_origin origins[1 << ORIGIN_BITS];
    uint64_t records;
    uint64_t bytes;
    uint64_t earlier_records; /* of parts that were merged in */
    uint64_t earlier_bytes;
} engine_input;

/* The number that the tally has for each of the scene's. */
typedef struct {
    uint32_t *numbers;
    uint32_t count;
    uint32_t capacity;
} translation;

struct vx_engine {
    vx_engine_options options;
    uint8_t wears[WEARS];
    vx_relay *relay; /* while two threads share the work, else NULL, as is */
    vx_stock *stock;

    /* Of the half that reads. */
    bool read_failed;
    bool reading_known; /* its budget is */
    vx_reading reading;
    vx_intake *intakes; /* by input, as are */
    engine_input *inputs;
    vx_scene scene;
    vx_counters counters; /* of what was read, until they are brought into the tally */
    vx_samples samples[VX_SAMPLE_KINDS];
    vx_map wrong;     /* of vx_count, by the scene's underlay: records whose outer checksum is wrong */
    vx_map fragments; /* of vx_count, by the scene's place << 32 | IP length: first fragments */
    vx_map too_big;   /* of vx_too_big */

    /* Of the half that counts. */
    bool failed;
    bool has_records;
    vx_sample first_record; /* in the order of the file, which need not be that of time */
    int64_t last_record_time;
    uint64_t taken; /* records */
    translation interfaces;
    translation places;
    translation underlays;
    vx_tally tally;
    vx_journeys journeys;
    vx_batch *few; /* for those who read and take at once */
};

vx_engine *vx_engine_new(const vx_engine_options *options) {
    vx_engine *engine = vx_allocate(1, sizeof *engine);
    if (engine == NULL)
        return NULL;
    engine->options = *options;
    memcpy(engine->wears, options->wears, sizeof engine->wears);
    vx_reading_init(&engine->reading, engine->wears, options->seed);
    vx_scene_init(&engine->scene, &options->most, options->seed);
    vx_map_init(&engine->wrong, sizeof(vx_count), options->seed);
    vx_map_init(&engine->fragments, sizeof(vx_count), options->seed);
    vx_map_init(&engine->too_big, sizeof(vx_too_big), options->seed);
    vx_tally_init(&engine->tally, &options->most, options->seed);
    vx_journey_options waits = {
        .window = options->window,
        .settle = options->settle,
        .most_journeys = options->most_journeys,
        .most_fragments = options->most_fragments,
        .seed = options->seed,
        .part = options->part,
    };
    vx_journeys_init(&engine->journeys, &engine->tally, &waits);
    engine->few = vx_batch_new();
    engine->inputs = vx_allocate((size_t)options->inputs + 1, sizeof *engine->inputs);
    engine->intakes = vx_allocate((size_t)options->inputs + 1, sizeof *engine->intakes);
    bool complete = engine->few != NULL && engine->inputs != NULL && engine->intakes != NULL;
    for (uint32_t i = 0; complete && i < options->inputs; i++) {
        engine->inputs[i].described = VX_NONE;
        complete = vx_intake_init(&engine->intakes[i]) == 0;
    }
    if (!complete) {
        vx_engine_free(engine);
        return NULL;
    }
    return engine;
}

void vx_engine_free(vx_engine *engine) {
    if (engine == NULL)
        return;
    for (uint32_t i = 0; engine->intakes != NULL && i < engine->options.inputs; i++)
        vx_intake_free(&engine->intakes[i]);
    free(engine->intakes);
    free(engine->inputs);
    free(engine->interfaces.numbers);
    free(engine->places.numbers);
    free(engine->underlays.numbers);
    vx_relay_free(engine->relay);
    vx_batch_free(engine->few);
    vx_scene_free(&engine->scene);
    vx_map_free(&engine->wrong);
    vx_map_free(&engine->fragments);
    vx_map_free(&engine->too_big);
    vx_journeys_free(&engine->journeys);
    vx_tally_free(&engine->tally);
    vx_stock_free(engine->stock);
    free(engine);
}

/* Reading: bytes in, batches of records out. */

/* What all inputs capture of a packet, going by the interfaces described before each one's first record, up
 * to which its container has read. An input without records counts with all of its interfaces: other parts of
 * it may have some. */
static void find_budget(vx_engine *engine) {
    int64_t budget = INT64_MAX;
    for (uint32_t i = 0; i < engine->options.inputs; i++) {
        const vx_container *container = engine->intakes[i].container;
        uint32_t count = vx_container_interface_count(container);
        for (uint32_t j = 0; j < count; j++) {
            int64_t here = vx_key_budget(vx_container_interface(container, j)->snaplen);
            budget = here < budget ? here : budget;
        }
    }
    engine->reading.budget = budget;
    engine->reading_known = true;
}

static inline void describe_interface(engine_input *input, const vx_intake *intake, uint32_t number) {
    if (input->described == number)
        return;
    const vx_interface *interface = vx_container_interface(intake->container, number);
    input->described = number;
    input->link_type = interface->link_type;
    input->name = interface->name;
}

static VX_RARE void count_clipped(vx_engine *engine, vx_sample sample) {
    engine->counters.clipped_records++;
    vx_samples_keep(&engine->samples[VX_SAMPLE_CLIPPED], sample);
}

/* Count what is odd about a tunnel's packet. */
static VX_RARE void count_odd_tunnel(vx_engine *engine, uint8_t odd, vx_sample sample) {
    vx_counters *counters = &engine->counters;
    counters->invalid_headers += (odd & VX_INVALID_HEADER) != 0;
    counters->group_policy_headers += (odd & VX_GROUP_POLICY) != 0;
    counters->reserved_bits += (odd & VX_RESERVED_BITS) != 0;
    counters->no_tunnel_records += (odd & VX_NO_TUNNEL) != 0;
    counters->nested_records += (odd & VX_NESTED) != 0;
    counters->verified_checksums += (odd & VX_VERIFIED_CHECKSUM) != 0;
    counters->wrong_checksums += (odd & VX_WRONG_CHECKSUM) != 0;
    if (odd & VX_INVALID_HEADER)
        vx_samples_keep(&engine->samples[VX_SAMPLE_INVALID_HEADER], sample);
    if (odd & (VX_GROUP_POLICY | VX_RESERVED_BITS))
        vx_samples_keep(&engine->samples[VX_SAMPLE_RESERVED_BITS], sample);
    if (odd & VX_NO_TUNNEL)
        vx_samples_keep(&engine->samples[VX_SAMPLE_NO_TUNNEL], sample);
    if (odd & VX_NESTED)
        vx_samples_keep(&engine->samples[VX_SAMPLE_NESTED], sample);
    if (odd & VX_WRONG_CHECKSUM)
        vx_samples_keep(&engine->samples[VX_SAMPLE_WRONG_CHECKSUM], sample);
}

/* Count a record that has something odd, or is no datagram. */
static VX_RARE void count_odd_record(vx_engine *engine, const vx_frame *frame, vx_sample sample,
                                     bool clipped) {
    vx_counters *counters = &engine->counters;
    if (clipped)
        count_clipped(engine, sample);
    if (frame->malformed || frame->kind == VX_FRAME_MALFORMED) {
        counters->malformed_records++;
        vx_samples_keep(&engine->samples[VX_SAMPLE_MALFORMED], sample);
    }
    if (frame->cut || frame->kind == VX_FRAME_CUT) {
        counters->cut_records++;
        vx_samples_keep(&engine->samples[VX_SAMPLE_CUT], sample);
    }
    counters->unknown_link_records += frame->kind == VX_FRAME_UNKNOWN_LINK;
    counters->non_ip_records += frame->kind == VX_FRAME_NON_IP;
    counters->tail_fragments += frame->kind == VX_FRAME_TAIL;
    if (frame->odd != 0)
        count_odd_tunnel(engine, frame->odd, sample);
}

/* Of a packet: SLL2's header but for the address, or the MACs, are taken as they are. */
static inline origin_key origin_key_of(const vx_record *next, uint32_t link_type, bool has_macs,
                                       uint8_t direction, bool loopback, uint8_t wear) {
    uint64_t first = (uint64_t)direction << 1 | (uint64_t)loopback, second = 0;
    bool is_taken = link_type == VX_LINK_SLL2 || has_macs;
    if (is_taken) {
        first = vx_load64(next->data);
        second = vx_load32(next->data + 8);
    }
    uint64_t rest = (uint64_t)next->interface << 8 | (uint64_t)is_taken << 7 | (uint64_t)wear << 1 | 1;
    return (origin_key){{first, second << 32 | rest}};
}

_Static_assert(VX_MAX_INTERFACES <= 1 << 24, "does not fit a word");

/* Where an origin with this key belongs: here, or behind it. */
static inline recent_origin *origin_at(engine_input *input, origin_key key) {
    const uint64_t one = UINT64_C(0x9e3779b97f4a7c15), other = UINT64_C(0xbf58476d1ce4e5b9);
    uint64_t hash = (key.words[0] ^ key.words[1] * other) * one;
    return &input->origins[hash >> (65 - ORIGIN_BITS) << 1];
}

static inline bool is_origin(const recent_origin *origin, origin_key key) {
    return origin->key.words[0] == key.words[0] && origin->key.words[1] == key.words[1];
}

/* The origin with this key, where others came from there lately; else NULL. */
static VX_ALWAYS_INLINE recent_origin *known_origin(engine_input *input, origin_key key) {
    recent_origin *origin = origin_at(input, key);
    if (VX_RARELY(!is_origin(origin, key))) {
        origin++;
        if (!is_origin(origin, key))
            return NULL;
    }
    return origin;
}

/* Remember one: of those that belong in the same place the last two, the later first. */
static recent_origin *remember_origin(engine_input *input, const recent_origin *origin) {
    recent_origin *place = origin_at(input, origin->key);
    place[1] = place[0];
    *place = *origin;
    return place;
}

/* The number of the interface that a frame was captured on; VX_NONE: no memory. */
static uint32_t interface_of(vx_engine *engine, uint32_t number, uint32_t interface, const vx_frame *frame) {
    const engine_input *input = &engine->inputs[number];
    return vx_scene_interface(&engine->scene, frame->index, number, interface, input->name, input->link_type);
}

static inline bool is_packet(uint8_t kind) { return kind == VX_FRAME_DATAGRAM || kind == VX_FRAME_TAIL; }

/* Where a frame came from; false: no memory. */
static VX_RARE bool find_origin(vx_engine *engine, uint32_t number, uint32_t interface_of_input,
                                const vx_frame *frame, recent_origin *origin) {
    vx_scene *scene = &engine->scene;
    const vx_traits *traits = frame->traits;
    uint32_t interface = interface_of(engine, number, interface_of_input, frame);
    if (interface == VX_NONE)
        return false;
    unsigned side = traits->direction == VX_OUT ? 1 : traits->direction != VX_UNKNOWN ? 0 : 2;
    origin->records = &vx_scene_row_at(scene, interface)->records[side];
    origin->direction = traits->direction;
    origin->from_wire = side == 0 && !frame->loopback;
    origin->place = origin->spot = VX_NONE;
    if (!is_packet(frame->kind))
        return true;
    origin->place = vx_scene_place(scene, interface, frame, traits->wear, frame->loopback);
    return origin->place != VX_NONE;
}

/* Write what a record holds of a fragmented packet, part by part, as it is in registers. */
static VX_ALWAYS_INLINE void write_piece(const vx_engine *engine, vx_piece *piece, uint32_t spot,
                                         uint32_t identification, uint8_t protocol, uint8_t version,
                                         const uint8_t *addresses) {
    vx_fragment *fragment = &piece->group.key.fragment;
    piece->group.key.spot = spot;
    fragment->identification = identification;
    fragment->protocol = protocol;
    fragment->version = version;
    memset(fragment->addresses, 0, sizeof fragment->addresses);
    memcpy(fragment->addresses, addresses, version == 4 ? 8 : 32);
    piece->group.tag = vx_fragment_tag(identification, protocol, version, addresses, &engine->tally.secrets);
}

static VX_RARE int make_piece(vx_engine *engine, uint32_t number, uint32_t interface_of_input,
                              vx_piece *piece, const vx_frame *frame, recent_origin *origin) {
    if (origin->spot == VX_NONE) {
        uint32_t interface = interface_of(engine, number, interface_of_input, frame);
        if (interface == VX_NONE)
            return -1;
        origin->spot = vx_scene_place(&engine->scene, interface, frame, VX_PLAIN, false);
    }
    if (origin->spot == VX_NONE)
        return -1;
    const vx_fragment *whole = &frame->fragment;
    write_piece(engine, piece, origin->spot, whole->identification, (uint8_t)whole->protocol,
                (uint8_t)whole->version, whole->addresses);
    piece->covered = frame->covered;
    piece->wire_bytes = frame->wire_length;
    return 0;
}

/* What of a sighting its traits do not tell. */
static inline void place_sighting(vx_sighting *sighting, uint32_t place, uint32_t underlay) {
    sighting->place = place;
    sighting->underlay = underlay;
    sighting->pieces = VX_NONE;
    sighting->lowest_ttl = sighting->traits.outer_ttl;
    sighting->looped = false;
}

static inline void tag_record(const vx_engine *engine, vx_read_record *record) {
    vx_tag_key(&record->key, vx_vni_of(&record->sighting.traits), &engine->tally.secrets);
}

static inline int count_fragment(vx_engine *engine, uint32_t place, uint32_t wire_length) {
    uint64_t key = (uint64_t)place << 32 | wire_length;
    if (vx_is_too_many(&engine->fragments, &key, sizeof key, engine->options.most.rows)) {
        engine->counters.folded_details++;
        return 0;
    }
    return vx_map_count_up(&engine->fragments, key, 1);
}

/* Count a message that a packet was too big. */
static VX_RARE int count_too_big(vx_engine *engine, const vx_frame *frame, vx_sample sample) {
    vx_quote quote;
    vx_read_quote(&quote, frame->quote, frame->quote_size, engine->wears);
    const vx_ends *ends = &frame->key->ends;
    const vx_traits *traits = frame->traits;
    vx_too_big row = {
        .flow = quote.flow,
        .vni = quote.vni,
        .mtu = frame->quoted_mtu,
        .tunnelled = traits->wear != VX_PLAIN,
        .version = ends->shape & VX_KEY_IPV6 ? 6 : 4,
        .quoted_version = quote.version,
        .wear = quote.wear,
        .largest = quote.length,
        .last_time = sample.time,
        .samples = {.samples = {sample}, .count = 1},
    };
    memcpy(row.addresses, ends->addresses, sizeof row.addresses);
    memcpy(row.quoted, quote.addresses, sizeof row.quoted);
    row.records[traits->direction == VX_OUT ? 1 : traits->direction != VX_UNKNOWN ? 0 : 2] = 1;
    return vx_too_big_add(&engine->too_big, &row, NULL, &engine->counters.folded_quotes);
}

/* Whatever it is. */
static VX_RARE int read_any_record(vx_engine *engine, uint32_t number, const vx_record *next,
                                   vx_read_record *record, vx_piece *piece) {
    engine_input *input = &engine->inputs[number];
    vx_sighting *sighting = &record->sighting;
    vx_frame frame;
    frame.key = &record->key.key;
    frame.traits = &sighting->traits;
    vx_frame_read(&frame, &engine->reading, next->data, next->captured, next->length, input->link_type,
                  next->direction);
    record->kind = frame.kind;
    bool is_datagram = frame.kind == VX_FRAME_DATAGRAM;
    bool clipped = next->captured < next->length;
    if (VX_RARELY(clipped | frame.malformed | frame.cut | !is_datagram | (frame.odd != 0)))
        count_odd_record(engine, &frame, sighting->sample, clipped);
    /* Only a packet's origin is remembered: of others, the link header may not be known. */
    const vx_traits *traits = frame.traits;
    recent_origin other = {0}, *origin = &other;
    if (is_packet(frame.kind)) {
        origin_key key = origin_key_of(next, input->link_type, frame.macs != NULL, traits->direction,
                                       frame.loopback, traits->wear);
        origin = known_origin(input, key);
        if (origin == NULL) {
            if (!find_origin(engine, number, next->interface, &frame, &other))
                return -1;
            other.key = key;
            origin = remember_origin(input, &other);
        }
    } else if (!find_origin(engine, number, next->interface, &frame, &other)) {
        return -1;
    }
    ++*origin->records;
    uint32_t underlay = VX_NONE;
    if (is_datagram) {
        bool plain = traits->wear == VX_PLAIN;
        engine->counters.ip_records += plain;
        engine->counters.tunnel_records += !plain;
        if (!plain && (underlay = vx_scene_underlay(&engine->scene, frame.outer)) == VX_NONE)
            return -1;
        if (VX_RARELY(frame.odd & VX_WRONG_CHECKSUM) && vx_map_count_up(&engine->wrong, underlay, 1) < 0)
            return -1;
        if (frame.fragmented && count_fragment(engine, origin->place, frame.wire_length) < 0)
            return -1;
        if (frame.quote != NULL && count_too_big(engine, &frame, sighting->sample) < 0)
            return -1;
    }
    place_sighting(sighting, origin->place, underlay);
    if ((is_datagram && frame.fragmented) || frame.kind == VX_FRAME_TAIL) {
        record->is_fragment = true;
        return make_piece(engine, number, next->interface, piece, &frame, origin);
    }
    return 0;
}

/* Where the outer IP packet of a record begins, how much of it is at hand, and how much room there is. */
typedef struct {
    const uint8_t *ip;
    int64_t there;
    int64_t room;
    uint32_t ethertype;
} usual_link;

static VX_ALWAYS_INLINE bool read_usual_link(const engine_input *input, const vx_record *next,
                                             usual_link *link) {
    bool sll2 = input->link_type == VX_LINK_SLL2;
    int64_t captured = next->captured, end = next->length > next->captured ? next->length : next->captured;
    int64_t at = sll2 ? VX_SLL2_HEADER : VX_ETHERNET_HEADER;
    if (captured < at || (!sll2 && input->link_type != VX_LINK_ETHERNET))
        return false;
    *link = (usual_link){next->data + at, captured - at, end - at, vx_big16(next->data + (sll2 ? 0 : 12))};
    return true;
}

static VX_ALWAYS_INLINE recent_origin *usual_origin(engine_input *input, const vx_record *next,
                                                    uint8_t wear) {
    return known_origin(input, origin_key_of(next, input->link_type, next->direction == VX_UNKNOWN,
                                             next->direction, false, wear));
}

/* What there is to do for a usual one of this kind, whose key and traits are read but for its direction. */
static VX_ALWAYS_INLINE void keep_usual(vx_engine *engine, const vx_record *next, vx_read_record *record,
                                        const recent_origin *origin, uint8_t kind, uint32_t underlay) {
    if (VX_RARELY(next->captured < next->length))
        count_clipped(engine, record->sighting.sample);
    record->sighting.traits.direction = origin->direction;
    record->kind = kind;
    place_sighting(&record->sighting, origin->place, underlay);
    ++*origin->records;
}

/* Look after the outer UDP checksum of a usual one that came in; false: it is wrong, which is not usual. */
static VX_RARE bool verify_usual_record(vx_engine *engine, const usual_link *link, int version) {
    uint8_t verified =
        version == 4 ? vx_verify_usual(link->ip, link->there, 4) : vx_verify_usual(link->ip, link->there, 6);
    if (VX_RARELY(verified & VX_WRONG_CHECKSUM))
        return false;
    engine->counters.verified_checksums += verified != 0;
    return true;
}

/* A usual one, from where others came lately; false: it is none, or there is no memory. */
static VX_ALWAYS_INLINE bool read_usual_record(vx_engine *engine, engine_input *input, const vx_record *next,
                                               vx_read_record *record) {
    vx_key *key = &record->key.key;
    vx_traits *traits = &record->sighting.traits;
    usual_link link;
    if (!read_usual_link(input, next, &link))
        return false;
    const recent_origin *origin = usual_origin(input, next, VX_VXLAN);
    if (VX_RARELY(origin == NULL))
        return false;
    vx_outer outer;
    vx_usual usual = VX_NOT_USUAL;
    if (link.ethertype == VX_ETHERTYPE_IPV4)
        usual =
            vx_read_usual(key, traits, &outer, link.ip, link.there, link.room, 4, false, &engine->reading);
    else if (link.ethertype == VX_ETHERTYPE_IPV6)
        usual =
            vx_read_usual(key, traits, &outer, link.ip, link.there, link.room, 6, false, &engine->reading);
    if (usual == VX_NOT_USUAL)
        return false;
    uint32_t underlay = vx_scene_underlay(&engine->scene, outer);
    if (VX_RARELY(underlay == VX_NONE))
        return false;
    if (VX_RARELY(usual == VX_USUAL_WITH_CHECKSUM) && origin->from_wire &&
        !verify_usual_record(engine, &link, outer.ipv6 ? 6 : 4))
        return false;
    keep_usual(engine, next, record, origin, VX_FRAME_DATAGRAM, underlay);
    engine->counters.tunnel_records++;
    return true;
}

/* The same of what routers made of such a one: a fragment of IPv4. */
static VX_RARE bool read_usual_fragment(vx_engine *engine, engine_input *input, const vx_record *next,
                                        vx_read_record *record, vx_piece *piece) {
    vx_traits *traits = &record->sighting.traits;
    usual_link link;
    if (!read_usual_link(input, next, &link) || link.ethertype != VX_ETHERTYPE_IPV4 ||
        link.there < vx_usual_header(4))
        return false;
    uint32_t fragment = vx_usual_fragment(link.ip);
    bool is_first = fragment == VX_MORE_FRAGMENTS;
    if (fragment == 0)
        return false;
    const recent_origin *origin = usual_origin(input, next, is_first ? VX_VXLAN : VX_PLAIN);
    if (origin == NULL || origin->spot == VX_NONE)
        return false;
    uint32_t underlay = VX_NONE;
    if (is_first) {
        vx_outer outer;
        if (vx_read_usual(&record->key.key, traits, &outer, link.ip, link.there, link.room, 4, true,
                          &engine->reading) == VX_NOT_USUAL)
            return false;
        underlay = vx_scene_underlay(&engine->scene, outer);
        if (underlay == VX_NONE ||
            count_fragment(engine, origin->place, (uint32_t)vx_usual_length(link.ip, 4)) < 0)
            return false;
        engine->counters.tunnel_records++;
    } else {
        if (!vx_read_usual_tail(&record->key, traits, link.ip, link.there, link.room, &engine->reading,
                                &engine->tally.secrets))
            return false;
        record->is_tagged = true;
        engine->counters.tail_fragments++;
    }
    keep_usual(engine, next, record, origin, is_first ? VX_FRAME_DATAGRAM : VX_FRAME_TAIL, underlay);
    record->is_fragment = true;
    write_piece(engine, piece, origin->spot, vx_big16(link.ip + 4), vx_usual_protocol(link.ip, 4), 4,
                vx_usual_addresses(link.ip, 4));
    piece->wire_bytes = (uint32_t)vx_usual_length(link.ip, 4);
    piece->covered = piece->wire_bytes - (uint32_t)vx_usual_header(4);
    return true;
}

static VX_ALWAYS_INLINE int read_record(vx_engine *engine, uint32_t number, const vx_record *next,
                                        vx_batch *batch, size_t at) {
    vx_read_record *record = &batch->records[at];
    engine_input *input = &engine->inputs[number];
    describe_interface(input, &engine->intakes[number], next->interface);
    record->sighting.sample =
        (vx_sample){next->time_ns, (uint64_t)number << VX_RECORD_BITS | ++input->records};
    record->is_tagged = record->is_fragment = false;
    if (read_usual_record(engine, input, next, record) ||
        read_usual_fragment(engine, input, next, record, &batch->pieces[at]))
        return 0;
    return read_any_record(engine, number, next, record, &batch->pieces[at]);
}

/* The same where there is one input: without asking which is next. */
static int read_only_input(vx_engine *engine, vx_batch *batch, size_t most) {
    vx_intake *intake = &engine->intakes[0];
    while (batch->count < most && vx_intake_fill(intake, VX_READY)) {
        if (VX_RARELY(!engine->reading_known))
            find_budget(engine);
        size_t room = most - batch->count, ready = intake->ready_count - intake->ready_at;
        size_t count = room < ready ? room : ready;
        const vx_record *next = &intake->ready[intake->ready_at];
        for (size_t i = 0; i < count; i++)
            if (read_record(engine, 0, &next[i], batch, batch->count + i) < 0)
                return -1;
        intake->ready_at += (uint32_t)count;
        batch->count += count;
    }
    return 0;
}

/* Read what can be read, at most so many records, into an empty batch. */
static int read_records(vx_engine *engine, vx_batch *batch, size_t most) {
    engine->scene.news = &batch->news;
    if (engine->options.inputs == 1)
        return read_only_input(engine, batch, most);
    while (batch->count < most) {
        uint32_t number = vx_intakes_next(engine->intakes, engine->options.inputs);
        if (number == VX_NO_INPUT)
            return 0;
        if (!engine->reading_known)
            find_budget(engine);
        vx_intake *intake = &engine->intakes[number];
        if (read_record(engine, number, &intake->ready[intake->ready_at], batch, batch->count++) < 0)
            return -1;
        intake->ready_at++;
    }
    return 0;
}

/* Taking: batches of records in, closed journeys into the tally. */

static int remember(translation *numbers, uint32_t number) {
    if (number == VX_NONE)
        return -1;
    if (numbers->count == numbers->capacity) {
        uint32_t capacity = numbers->capacity > 0 ? numbers->capacity * 2 : 16;
        uint32_t *grown = vx_resize(numbers->numbers, capacity, sizeof *grown);
        if (grown == NULL)
            return -1;
        numbers->numbers = grown;
        numbers->capacity = capacity;
    }
    numbers->numbers[numbers->count++] = number;
    return 0;
}

/* Number what a batch speaks of for the first time. */
static int learn(vx_engine *engine, const vx_news_list *news) {
    vx_tally *tally = &engine->tally;
    for (size_t i = 0; i < news->count; i++) {
        const vx_news *item = &news->items[i];
        const vx_interface_row *row = &item->interface;
        vx_place place;
        int status = 0;
        switch (item->kind) {
        case VX_NEW_INTERFACE:
            status =
                remember(&engine->interfaces, vx_tally_interface(tally, row->index, row->input,
                                                                 row->interface, row->name, row->link_type));
            break;
        case VX_NEW_PLACE:
            place = item->place;
            place.interface = engine->interfaces.numbers[place.interface];
            status = remember(&engine->places, vx_tally_place(tally, &place));
            break;
        case VX_NEW_UNDERLAY:
            status = remember(&engine->underlays, vx_tally_underlay(tally, &item->underlay));
            break;
        }
        if (status < 0)
            return -1;
    }
    return 0;
}

static VX_RARE void count_reversed(vx_tally *tally, vx_sample sample) {
    tally->counters.time_reversed++;
    vx_samples_keep(&tally->samples[VX_SAMPLE_REVERSED], sample);
}

static inline int advance(vx_engine *engine, const vx_sample *sample) {
    vx_tally *tally = &engine->tally;
    int64_t time = sample->time;
    uint64_t clock = engine->journeys.clock;
    if (!engine->has_records) {
        engine->has_records = true;
        engine->first_record = *sample;
        tally->first_time = tally->last_time = time;
    } else if (time < engine->last_record_time) {
        count_reversed(tally, *sample);
    } else {
        clock += vx_wait(&engine->journeys, engine->last_record_time, time);
    }
    engine->last_record_time = time;
    /* Whether a journey came near the start, and how wide a step of the timeline is, goes by the start and
     * the end as they were when it closed. */
    bool widens =
        time < tally->first_time || (uint64_t)time - (uint64_t)tally->first_time >= tally->step_span;
    if (VX_RARELY(widens) && vx_journeys_tidy(&engine->journeys) < 0)
        return -1;
    if (time < tally->first_time)
        tally->first_time = time;
    if (time > tally->last_time)
        tally->last_time = time;
    return vx_journeys_advance(&engine->journeys, clock);
}

static inline int take(vx_engine *engine, const vx_read_record *record, const vx_piece *piece) {
    const vx_sighting *sighting = &record->sighting;
    if (advance(engine, &sighting->sample) < 0)
        return -1;
    if (!is_packet(record->kind))
        return 0;
    if (record->kind == VX_FRAME_TAIL)
        return vx_journeys_see_tail(&engine->journeys, &record->key, sighting, piece);
    return vx_journeys_see(&engine->journeys, &record->key, sighting,
                           record->is_fragment ? &piece->group : NULL);
}

/* Give the piece of a fragment the tally's number and its group's tag, and a first one its pieces. */
static VX_RARE int prepare_piece(vx_engine *engine, vx_read_record *record, vx_piece *piece) {
    vx_tagged_group *group = &piece->group;
    group->key.spot = engine->places.numbers[group->key.spot];
    group->tag = vx_group_tag(group->tag, group->key.spot);
    vx_journeys_prefetch_group(&engine->journeys, group->tag);
    if (record->kind == VX_FRAME_TAIL)
        return 0;
    record->sighting.pieces = vx_journeys_pieces(&engine->journeys, piece, record->sighting.traits.wear);
    return record->sighting.pieces == VX_NONE ? -1 : 0;
}

/* Give some records their tags and the tally's numbers. In the relay another core wrote them: those waits
 * overlap here. And a sighting that was written to just before would be waited for when it is copied. */
static inline int prepare_records(vx_engine *engine, vx_read_record *records, vx_piece *pieces, size_t count,
                                  bool many) {
    for (size_t i = 0; i < count; i++) {
        if (!is_packet(records[i].kind))
            continue;
        vx_sighting *sighting = &records[i].sighting;
        sighting->place = engine->places.numbers[sighting->place];
        if (sighting->underlay != VX_NONE)
            sighting->underlay = engine->underlays.numbers[sighting->underlay];
        if (!records[i].is_tagged)
            tag_record(engine, &records[i]);
        if (many)
            vx_journeys_prefetch_slot(&engine->journeys, &records[i].key);
        if (VX_RARELY(records[i].is_fragment) && prepare_piece(engine, &records[i], &pieces[i]) < 0)
            return -1;
    }
    return 0;
}

static int take_some(vx_engine *engine, vx_read_record *records, vx_piece *pieces, size_t count) {
    bool many = vx_journeys_are_many(&engine->journeys);
    if (prepare_records(engine, records, pieces, count, many) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (many && i + FETCH_JOURNEY < count)
            vx_journeys_prefetch(&engine->journeys, &records[i + FETCH_JOURNEY].key);
        if (take(engine, &records[i], &pieces[i]) < 0)
            return -1;
    }
    return vx_journeys_tidy(&engine->journeys);
}

static int take_batch(vx_engine *engine, vx_batch *batch) {
    if (learn(engine, &batch->news) < 0)
        return -1;
    for (size_t i = 0; i < batch->count; i += TAGGED) {
        size_t left = batch->count - i;
        if (take_some(engine, &batch->records[i], &batch->pieces[i], left < TAGGED ? left : TAGGED) < 0)
            return -1;
    }
    /* Others may ask at any time. */
    __atomic_store_n(&engine->taken, engine->taken + batch->count, __ATOMIC_RELAXED);
    return 0;
}

/* Both in one thread. */

static int fail_unless(vx_engine *engine, bool well) {
    engine->failed |= !well;
    return engine->failed ? -1 : 0;
}

static bool has_failed(const vx_engine *engine) { return engine->failed || engine->read_failed; }

static void offer(vx_engine *engine, uint32_t number, const uint8_t *data, size_t length) {
    engine->inputs[number].bytes += length;
    vx_intake_offer(&engine->intakes[number], data, length);
}

static void end(vx_engine *engine, uint32_t number) { vx_intake_end(&engine->intakes[number]); }

/* Read and take what can be. */
static int pass_records(vx_engine *engine) {
    do {
        vx_batch_clear(engine->few);
        if (read_records(engine, engine->few, FEW) < 0 || take_batch(engine, engine->few) < 0)
            return -1;
    } while (engine->few->count == FEW);
    return 0;
}

int vx_engine_feed(vx_engine *engine, uint32_t number, const uint8_t *data, size_t length) {
    if (has_failed(engine))
        return -1;
    offer(engine, number, data, length);
    return fail_unless(engine, pass_records(engine) == 0 && vx_intake_keep(&engine->intakes[number]) == 0);
}

int vx_engine_end(vx_engine *engine, uint32_t number) {
    if (has_failed(engine))
        return -1;
    end(engine, number);
    return fail_unless(engine, pass_records(engine) == 0);
}

/* In two. */

int vx_engine_split(vx_engine *engine) {
    if (has_failed(engine))
        return -1;
    vx_relay_free(engine->relay);
    vx_stock_free(engine->stock);
    engine->relay = vx_relay_new();
    engine->stock = vx_stock_new();
    /* What grows with flows and with what waits. */
    vx_tally *tally = &engine->tally;
    tally->flows.pool.stock = tally->cells.pool.stock = tally->cell_samples.stock = engine->stock;
    engine->journeys.journeys.stock = engine->stock;
    return engine->relay != NULL && engine->stock != NULL ? 0 : -1;
}

/* Read and pass on what can be: 1, 0: nobody takes it, -1: no memory. */
static int relay_records(vx_engine *engine) {
    vx_batch *batch;
    do {
        batch = vx_relay_empty(engine->relay);
        if (batch == NULL)
            return 0;
        if (read_records(engine, batch, VX_BATCH_RECORDS) < 0)
            return -1;
        if (batch->count > 0)
            vx_relay_pass(engine->relay);
    } while (batch->count == VX_BATCH_RECORDS);
    vx_relay_flush(engine->relay);
    return 1;
}

int vx_engine_read(vx_engine *engine, uint32_t number, const uint8_t *data, size_t length) {
    if (engine->read_failed)
        return -1;
    offer(engine, number, data, length);
    int status = relay_records(engine);
    if (status == 1 && vx_intake_keep(&engine->intakes[number]) < 0)
        status = -1;
    engine->read_failed |= status < 0;
    return status;
}

int vx_engine_read_end(vx_engine *engine, uint32_t number) {
    if (engine->read_failed)
        return -1;
    end(engine, number);
    int status = relay_records(engine);
    engine->read_failed |= status < 0;
    return status;
}

void vx_engine_read_all(vx_engine *engine) { vx_relay_end(engine->relay); }

int vx_engine_take(vx_engine *engine, unsigned milliseconds) {
    bool ended = false;
    for (unsigned i = 0; i < ONE_TAKE && !engine->failed; i++) {
        vx_batch *batch = vx_relay_full(engine->relay, milliseconds, &ended);
        if (batch == NULL) {
            if (ended)
                vx_stock_close(engine->stock);
            return ended ? 0 : 1;
        }
        fail_unless(engine, take_batch(engine, batch) == 0);
        vx_relay_return(engine->relay);
    }
    if (engine->failed)
        vx_stock_close(engine->stock);
    return engine->failed ? -1 : 1;
}

void vx_engine_stop(vx_engine *engine) {
    vx_relay_stop(engine->relay);
    vx_stock_close(engine->stock);
}

bool vx_engine_provide(vx_engine *engine, unsigned milliseconds) {
    return engine->stock != NULL && vx_stock_fill(engine->stock, milliseconds);
}

uint32_t vx_engine_wants(const vx_engine *engine) {
    return vx_intakes_wanting(engine->intakes, engine->options.inputs);
}

uint64_t vx_engine_records(const vx_engine *engine) {
    return __atomic_load_n(&engine->taken, __ATOMIC_RELAXED);
}

/* Tables out. */

/* Bring into the tally what was counted while reading. */
static int settle_reading(vx_engine *engine) {
    vx_tally *tally = &engine->tally;
    for (uint32_t i = 0; i < engine->interfaces.count; i++) {
        vx_scene_row *read = vx_scene_row_at(&engine->scene, i);
        vx_interface_row *row = vx_map_at(&tally->interfaces, engine->interfaces.numbers[i]);
        for (unsigned side = 0; side < 3; side++)
            row->records[side] += read->records[side];
        memset(read->records, 0, sizeof read->records);
    }
    vx_counters_add(&tally->counters, &engine->counters);
    tally->counters.folded_places |= engine->scene.has_folded;
    tally->counters.records = engine->taken;
    engine->counters = (vx_counters){0};
    for (unsigned kind = 0; kind < VX_SAMPLE_KINDS; kind++) {
        for (unsigned i = 0; i < engine->samples[kind].count; i++)
            vx_samples_keep(&tally->samples[kind], engine->samples[kind].samples[i]);
        engine->samples[kind].count = 0;
    }
    for (uint32_t i = 0; i < vx_map_count(&engine->wrong); i++) {
        const vx_count *row = vx_map_at(&engine->wrong, i);
        if (vx_map_count_up(&tally->wrong, engine->underlays.numbers[row->key], row->count) < 0)
            return -1;
    }
    vx_map_free(&engine->wrong);
    vx_map_init(&engine->wrong, sizeof(vx_count), engine->options.seed);
    for (uint32_t i = 0; i < vx_map_count(&engine->fragments); i++) {
        const vx_count *row = vx_map_at(&engine->fragments, i);
        uint64_t key = (uint64_t)engine->places.numbers[row->key >> 32] << 32 | (row->key & UINT32_MAX);
        if (vx_map_count_up(&tally->fragments, key, row->count) < 0)
            return -1;
    }
    vx_map_free(&engine->fragments);
    vx_map_init(&engine->fragments, sizeof(vx_count), engine->options.seed);
    for (uint32_t i = 0; i < vx_map_count(&engine->too_big); i++)
        if (vx_too_big_add(&tally->too_big, vx_map_at(&engine->too_big, i), NULL,
                           &tally->counters.folded_quotes) < 0)
            return -1;
    vx_map_free(&engine->too_big);
    vx_map_init(&engine->too_big, sizeof(vx_too_big), engine->options.seed);
    return 0;
}

/* Pools that grow one after the other may leave holes that only this gives back. */
static void give_back_memory(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

int vx_engine_finish(vx_engine *engine) {
    if (has_failed(engine))
        return -1;
    if (settle_reading(engine) < 0)
        return fail_unless(engine, false);
    for (uint32_t i = 0; i < engine->options.inputs; i++) {
        /* Records that wait in vain for another input's count for nothing, but what lies between them is
         * read. */
        vx_intake *intake = &engine->intakes[i];
        do
            intake->ready_at = intake->ready_count;
        while (vx_intake_fill(intake, 1));
    }
    if (vx_journeys_finish(&engine->journeys) < 0 || vx_tally_settle(&engine->tally) < 0)
        return fail_unless(engine, false);
    /* What waited is counted: whoever asks needs the room. */
    vx_journeys_free(&engine->journeys);
    free(engine->tally.fold_room);
    engine->tally.fold_room = NULL;
    engine->tally.fold_flows = engine->tally.fold_cells = 0;
    give_back_memory();
    vx_tally_rebase(&engine->tally);
    vx_tally_sort_datagrams(&engine->tally);
    return 0;
}

bool vx_engine_has_records(const vx_engine *engine) { return engine->has_records; }

const vx_tally *vx_engine_tally(const vx_engine *engine) { return &engine->tally; }

vx_input_row vx_engine_input(const vx_engine *engine, uint32_t number) {
    const engine_input *input = &engine->inputs[number];
    return (vx_input_row){
        .format = vx_container_format(engine->intakes[number].container),
        .records = input->earlier_records + input->records,
        .bytes = input->earlier_bytes + input->bytes,
    };
}

const vx_container *vx_engine_container(const vx_engine *engine, uint32_t number) {
    return engine->intakes[number].container;
}

/* Parts together. */

static void merge_inputs(vx_engine *engine, vx_engine *other) {
    for (uint32_t i = 0; i < engine->options.inputs; i++) {
        engine_input *mine = &engine->inputs[i], *theirs = &other->inputs[i];
        mine->earlier_records += theirs->earlier_records + theirs->records;
        mine->earlier_bytes += theirs->earlier_bytes + theirs->bytes;
        vx_container *container = engine->intakes[i].container, *later = other->intakes[i].container;
        if (vx_container_format(later) != VX_FORMAT_UNKNOWN ||
            vx_container_damage(later)->code != VX_DAMAGE_NONE) {
            vx_container_inherit(later, container);
            engine->intakes[i].container = later;
            other->intakes[i].container = container;
            mine->described = VX_NONE;
        }
    }
}

/* Add the records of another: `base` is what its records are numbered on from. */
static int merge_records(vx_engine *engine, vx_engine *other, const uint64_t *base) {
    uint64_t shift = engine->journeys.clock;
    vx_tally *mine = &engine->tally, *theirs = &other->tally;
    vx_sample first = vx_renumber(other->first_record, base);
    if (!engine->has_records) {
        engine->has_records = true;
        engine->first_record = first;
        mine->first_time = theirs->first_time;
        mine->last_time = theirs->last_time;
    } else {
        if (first.time < engine->last_record_time)
            count_reversed(mine, first);
        else
            shift += vx_wait(&engine->journeys, engine->last_record_time, first.time);
        if (theirs->first_time < mine->first_time)
            mine->first_time = theirs->first_time;
        if (theirs->last_time > mine->last_time)
            mine->last_time = theirs->last_time;
    }
    engine->last_record_time = other->last_record_time;
    vx_numbers numbers = {0};
    int status = vx_tally_translate(mine, theirs, &numbers);
    if (status == 0)
        status = vx_journeys_merge(&engine->journeys, &other->journeys, &numbers, shift, base);
    if (status == 0)
        status = vx_tally_add(mine, theirs, &numbers, base);
    vx_numbers_free(&numbers);
    return status;
}

int vx_engine_merge(vx_engine *engine, vx_engine *other) {
    if (has_failed(engine) || has_failed(other))
        return fail_unless(engine, false);
    uint64_t *base = vx_allocate((size_t)engine->options.inputs + 1, sizeof *base);
    if (base == NULL)
        return fail_unless(engine, false);
    for (uint32_t i = 0; i < engine->options.inputs; i++)
        base[i] = engine->inputs[i].earlier_records + engine->inputs[i].records;
    int status = settle_reading(engine) == 0 && settle_reading(other) == 0 ? 0 : -1;
    if (status == 0 && other->has_records)
        status = merge_records(engine, other, base);
    engine->taken += other->taken;
    free(base);
    merge_inputs(engine, other);
    other->failed = true;
    return fail_unless(engine, status == 0);
}
