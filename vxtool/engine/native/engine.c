/* See engine.h for what is promised, and vxtool/engine/pure.py for the same in plain words. */
#include "engine.h"

#include <stdlib.h>

#include "journey.h"

enum {
    WEARS = 65536,
    DIRECTIONS = VX_MULTICAST + 1,
    /* Places of an interface without MACs: by direction, wear, loopback. */
    PLACES = DIRECTIONS * (VX_GENEVE + 1) * 2,
    RECENT_INTERFACES = 16,
    RECENT_UNDERLAYS = 64,
};

/* One input. Its next record, where there is one, waits until every other input has one to compare. */
typedef struct {
    vx_container *container;
    bool ended;
    bool has_next;
    bool next_is_copied;
    vx_record next;
    uint8_t *copy; /* of the next record's bytes, where those of the offer went away before it was taken */
    size_t copy_capacity;
    uint64_t records;
    uint64_t bytes;
    uint64_t earlier_records; /* of parts that were merged in */
    uint64_t earlier_bytes;
} engine_input;

typedef struct {
    int64_t index;
    int32_t input;
    int32_t interface;
    uint32_t number_up1; /* 0: nothing here */
} recent_interface;

struct vx_engine {
    vx_engine_options options;
    vx_reading reading;
    bool reading_known; /* the budget is */
    bool failed;
    bool has_records;
    int64_t first_record_time; /* in the order of the file, which need not be that of time */
    int64_t last_record_time;
    engine_input *inputs;
    vx_tally tally;
    vx_journeys journeys;
    recent_interface recent[RECENT_INTERFACES];
    uint32_t recent_underlays[RECENT_UNDERLAYS]; /* number + 1; 0: nothing here */
    uint32_t *places;                            /* PLACES for each interface: number + 1, 0: not yet known */
    uint32_t places_capacity;
    uint8_t wears[WEARS];
};

vx_engine *vx_engine_new(const vx_engine_options *options) {
    vx_engine *engine = vx_allocate(1, sizeof *engine);
    if (engine == NULL)
        return NULL;
    engine->options = *options;
    memcpy(engine->wears, options->wears, sizeof engine->wears);
    engine->reading = (vx_reading){.wears = engine->wears, .seed = options->seed};
    vx_tally_init(&engine->tally, options->most_flows, options->seed);
    vx_journey_options waits = {
        .window = options->window,
        .settle = options->settle,
        .most_journeys = options->most_journeys,
        .seed = options->seed,
        .part = options->part,
    };
    vx_journeys_init(&engine->journeys, &engine->tally, &waits);
    engine->inputs = vx_allocate((size_t)options->inputs + 1, sizeof *engine->inputs);
    for (uint32_t i = 0; engine->inputs != NULL && i < options->inputs; i++) {
        engine->inputs[i].container = vx_container_new();
        if (engine->inputs[i].container == NULL) {
            vx_engine_free(engine);
            return NULL;
        }
    }
    if (engine->inputs == NULL) {
        vx_engine_free(engine);
        return NULL;
    }
    return engine;
}

void vx_engine_free(vx_engine *engine) {
    if (engine == NULL)
        return;
    for (uint32_t i = 0; engine->inputs != NULL && i < engine->options.inputs; i++) {
        vx_container_free(engine->inputs[i].container);
        free(engine->inputs[i].copy);
    }
    free(engine->inputs);
    free(engine->places);
    vx_journeys_free(&engine->journeys);
    vx_tally_free(&engine->tally);
    free(engine);
}

/* One record. */

static int advance(vx_engine *engine, int64_t time) {
    vx_tally *tally = &engine->tally;
    if (!engine->has_records) {
        engine->has_records = true;
        engine->first_record_time = tally->first_time = tally->last_time = time;
    } else if (time < engine->last_record_time) {
        tally->counters.time_reversed++;
    } else {
        engine->journeys.clock += vx_wait(&engine->journeys, engine->last_record_time, time);
    }
    engine->last_record_time = time;
    if (time < tally->first_time)
        tally->first_time = time;
    if (time > tally->last_time)
        tally->last_time = time;
    return vx_journeys_expire(&engine->journeys, engine->journeys.clock);
}

/* What all inputs capture of a packet, going by the interfaces described before each one's first record, up
 * to which its container has read. An input without records counts with all of its interfaces: other parts of
 * it may have some. */
static void find_budget(vx_engine *engine) {
    int64_t budget = INT64_MAX;
    for (uint32_t i = 0; i < engine->options.inputs; i++) {
        const engine_input *input = &engine->inputs[i];
        uint32_t count = vx_container_interface_count(input->container);
        for (uint32_t j = 0; j < count; j++) {
            int64_t here = vx_key_budget(vx_container_interface(input->container, j)->snaplen);
            budget = here < budget ? here : budget;
        }
    }
    engine->reading.budget = budget;
    engine->reading_known = true;
}

/* The number of the interface that a record was captured on. */
static uint32_t interface_of(vx_engine *engine, const vx_frame *frame, uint32_t input,
                             const vx_record *record, const vx_interface *described) {
    int64_t index = frame->index;
    int32_t in = -1, interface = -1;
    const char *name = NULL;
    if (described->link_type != VX_LINK_SLL2 && described->link_type != VX_LINK_SLL) {
        in = (int32_t)input;
        interface = (int32_t)record->interface;
        name = described->name;
    }
    recent_interface *recent = &engine->recent[(uint32_t)(index + in + interface) % RECENT_INTERFACES];
    if (recent->number_up1 > 0 && recent->index == index && recent->input == in &&
        recent->interface == interface)
        return recent->number_up1 - 1;
    uint32_t number = vx_tally_interface(&engine->tally, index, in, interface, name, described->link_type);
    if (number != VX_NONE)
        *recent = (recent_interface){index, in, interface, number + 1};
    return number;
}

/* The row of an interface in `places`; NULL: no memory. */
static uint32_t *places_of(vx_engine *engine, uint32_t interface) {
    if (interface >= engine->places_capacity) {
        uint32_t capacity = interface < 8 ? 8 : interface * 2;
        uint32_t *grown = vx_resize(engine->places, capacity, PLACES * sizeof *grown);
        if (grown == NULL)
            return NULL;
        memset(grown + (size_t)engine->places_capacity * PLACES, 0,
               (size_t)(capacity - engine->places_capacity) * PLACES * sizeof *grown);
        engine->places = grown;
        engine->places_capacity = capacity;
    }
    return engine->places + (size_t)interface * PLACES;
}

/* The number of the place where a frame was seen, with this wear. */
static uint32_t place_of(vx_engine *engine, uint32_t interface, const vx_frame *frame, uint8_t wear,
                         bool loopback) {
    vx_place place = {interface, frame->direction, wear, loopback, frame->has_macs, {0}, {0}};
    if (frame->has_macs) {
        memcpy(place.macs, frame->macs, sizeof place.macs);
        return vx_tally_place(&engine->tally, &place);
    }
    uint32_t *places = places_of(engine, interface);
    if (places == NULL)
        return VX_NONE;
    uint32_t *number_up1 = &places[(frame->direction * (VX_GENEVE + 1) + wear) * 2 + loopback];
    if (*number_up1 == 0) {
        uint32_t number = vx_tally_place(&engine->tally, &place);
        if (number == VX_NONE)
            return VX_NONE;
        *number_up1 = number + 1;
    }
    return *number_up1 - 1;
}

/* The number of the underlay that a frame came by. */
static uint32_t underlay_of(vx_engine *engine, const vx_frame *frame) {
    uint64_t mixed = vx_load64(frame->outer_addresses) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t *recent = &engine->recent_underlays[mixed >> 58];
    if (*recent > 0) {
        const vx_underlay *row = vx_map_at(&engine->tally.underlays, *recent - 1);
        if (row->destination_port == frame->destination_port && row->wear == frame->wear &&
            row->ipv6 == frame->outer_ipv6 &&
            vx_same(row->addresses, frame->outer_addresses, sizeof row->addresses))
            return *recent - 1;
    }
    uint32_t number = vx_tally_underlay(&engine->tally, frame->outer_addresses, frame->outer_ipv6,
                                        frame->wear, frame->destination_port);
    if (number != VX_NONE)
        *recent = number + 1;
    return number;
}

static int group_key_of(vx_engine *engine, uint32_t interface, const vx_frame *frame, vx_group_key *key) {
    key->spot = place_of(engine, interface, frame, VX_PLAIN, false);
    key->fragment = frame->fragment;
    return key->spot == VX_NONE ? -1 : 0;
}

/* Take a datagram, or a tail of one. */
static int see(vx_engine *engine, const vx_frame *frame, uint32_t interface, vx_sample sample) {
    vx_journeys *journeys = &engine->journeys;
    vx_sighting sighting = {
        .sample = sample,
        .clock = journeys->clock,
        .order = ++journeys->order,
        .covered = frame->covered,
        .wire_bytes = frame->wire_length,
        .packets = 1,
        .pieces = VX_NONE,
        .place = place_of(engine, interface, frame, frame->wear, frame->loopback),
        .underlay = VX_NONE,
        .vni = frame->vni,
        .outer_id = frame->outer_id,
        .outer_length = frame->outer_length,
        .inner_length = frame->inner_length,
        .payload_length = frame->payload_length,
        .source_port = frame->source_port,
        .mss = frame->mss,
        .direction = frame->direction,
        .wear = frame->wear,
        .outer_ttl = frame->outer_ttl,
        .inner_ttl = frame->inner_ttl,
        .lowest_ttl = frame->outer_ttl,
        .tcp_flags = frame->tcp_flags,
        .options = frame->options,
        .fragmented = frame->fragmented,
    };
    if (sighting.place == VX_NONE)
        return -1;
    if (frame->wear != VX_PLAIN) {
        sighting.underlay = underlay_of(engine, frame);
        if (sighting.underlay == VX_NONE)
            return -1;
    }
    if (frame->kind == VX_FRAME_TAIL) {
        vx_group_key group;
        if (group_key_of(engine, interface, frame, &group) < 0 ||
            vx_journeys_see_tail(journeys, &group, &sighting) < 0)
            return -1;
    } else if (frame->fragmented) {
        vx_group_key group;
        if (group_key_of(engine, interface, frame, &group) < 0)
            return -1;
        sighting.pieces = vx_journeys_pieces(journeys, &group, frame->wear);
        if (sighting.pieces == VX_NONE)
            return -1;
    }
    return vx_journeys_see(journeys, &frame->key, &sighting);
}

static int take(vx_engine *engine, uint32_t number, const vx_record *record) {
    engine_input *input = &engine->inputs[number];
    vx_tally *tally = &engine->tally;
    vx_counters *counters = &tally->counters;
    vx_sample sample = {record->time_ns, (uint64_t)number << VX_RECORD_BITS | ++input->records};
    if (!engine->reading_known)
        find_budget(engine);
    if (advance(engine, record->time_ns) < 0)
        return -1;
    counters->records++;
    if (record->captured < record->length) {
        counters->clipped_records++;
        vx_samples_keep(&tally->samples[VX_SAMPLE_CLIPPED], sample);
    }
    const vx_interface *described = vx_container_interface(input->container, record->interface);
    vx_frame frame;
    vx_frame_read(&frame, &engine->reading, record->data, record->captured, record->length,
                  described->link_type, record->direction);
    uint32_t interface = interface_of(engine, &frame, number, record, described);
    if (interface == VX_NONE)
        return -1;
    unsigned side = frame.direction == VX_OUT ? 1 : frame.direction != VX_UNKNOWN ? 0 : 2;
    ((vx_interface_row *)vx_map_at(&tally->interfaces, interface))->records[side]++;
    if (frame.malformed || frame.kind == VX_FRAME_MALFORMED) {
        counters->malformed_records++;
        vx_samples_keep(&tally->samples[VX_SAMPLE_MALFORMED], sample);
    }
    if (frame.cut || frame.kind == VX_FRAME_CUT) {
        counters->cut_records++;
        vx_samples_keep(&tally->samples[VX_SAMPLE_CUT], sample);
    }
    switch (frame.kind) {
    case VX_FRAME_UNKNOWN_LINK:
        counters->unknown_link_records++;
        return 0;
    case VX_FRAME_NON_IP:
        counters->non_ip_records++;
        return 0;
    case VX_FRAME_DATAGRAM:
        if (frame.wear == VX_PLAIN)
            counters->ip_records++;
        else
            counters->tunnel_records++;
        return see(engine, &frame, interface, sample);
    case VX_FRAME_TAIL:
        counters->tail_fragments++;
        return see(engine, &frame, interface, sample);
    default:
        return 0;
    }
}

/* Bytes in. */

static bool is_over(const engine_input *input) {
    return input->ended || vx_container_damage(input->container)->code != VX_DAMAGE_NONE;
}

/* Whether the input has a next record. */
static inline bool fill(engine_input *input) {
    if (!input->has_next) {
        input->has_next = vx_container_next(input->container, &input->next) == 1;
        input->next_is_copied = false;
    }
    return input->has_next;
}

/* Take what can be taken: while every input that goes on has a record to compare. */
static int take_records(vx_engine *engine) {
    for (;;) {
        uint32_t best = VX_NONE;
        for (uint32_t i = 0; i < engine->options.inputs; i++) {
            engine_input *input = &engine->inputs[i];
            if (!fill(input)) {
                if (!is_over(input))
                    return 0;
            } else if (best == VX_NONE || input->next.time_ns < engine->inputs[best].next.time_ns) {
                best = i;
            }
        }
        if (best == VX_NONE)
            return 0;
        if (take(engine, best, &engine->inputs[best].next) < 0)
            return -1;
        engine->inputs[best].has_next = false;
    }
}

/* Keep what was offered and not yet taken, so that the offered bytes may go away. */
static int keep_rest(engine_input *input) {
    if (input->has_next && !input->next_is_copied) {
        if (input->next.captured > input->copy_capacity) {
            uint8_t *grown = vx_resize(input->copy, input->next.captured, 1);
            if (grown == NULL)
                return -1;
            input->copy = grown;
            input->copy_capacity = input->next.captured;
        }
        if (input->next.captured > 0)
            memcpy(input->copy, input->next.data, input->next.captured);
        input->next.data = input->copy;
        input->next_is_copied = true;
    }
    vx_container_detach(input->container);
    return 0;
}

static int fail_unless(vx_engine *engine, bool well) {
    engine->failed |= !well;
    return engine->failed ? -1 : 0;
}

int vx_engine_feed(vx_engine *engine, uint32_t number, const uint8_t *data, size_t length) {
    if (engine->failed)
        return -1;
    engine_input *input = &engine->inputs[number];
    input->bytes += length;
    vx_container_offer(input->container, data, length);
    return fail_unless(engine, take_records(engine) == 0 && keep_rest(input) == 0);
}

int vx_engine_end(vx_engine *engine, uint32_t number) {
    if (engine->failed)
        return -1;
    engine_input *input = &engine->inputs[number];
    vx_container_end(input->container);
    input->ended = true;
    return fail_unless(engine, take_records(engine) == 0);
}

uint32_t vx_engine_wants(const vx_engine *engine) {
    for (uint32_t i = 0; i < engine->options.inputs; i++)
        if (!engine->inputs[i].has_next && !is_over(&engine->inputs[i]))
            return i;
    return VX_NONE;
}

uint64_t vx_engine_records(const vx_engine *engine) { return engine->tally.counters.records; }

/* Tables out. */

int vx_engine_finish(vx_engine *engine) {
    if (engine->failed)
        return -1;
    for (uint32_t i = 0; i < engine->options.inputs; i++) {
        /* Records that wait in vain for another input's count for nothing, but what lies between them is
         * read. */
        engine_input *input = &engine->inputs[i];
        input->has_next = false;
        while (fill(input))
            input->has_next = false;
    }
    if (vx_journeys_finish(&engine->journeys) < 0)
        return fail_unless(engine, false);
    vx_tally_rebase(&engine->tally);
    return 0;
}

bool vx_engine_has_records(const vx_engine *engine) { return engine->has_records; }

const vx_tally *vx_engine_tally(const vx_engine *engine) { return &engine->tally; }

vx_input_row vx_engine_input(const vx_engine *engine, uint32_t number) {
    const engine_input *input = &engine->inputs[number];
    return (vx_input_row){
        .format = vx_container_format(input->container),
        .records = input->earlier_records + input->records,
        .bytes = input->earlier_bytes + input->bytes,
    };
}

const vx_container *vx_engine_container(const vx_engine *engine, uint32_t number) {
    return engine->inputs[number].container;
}

/* Parts together. */

static void merge_inputs(vx_engine *engine, vx_engine *other) {
    for (uint32_t i = 0; i < engine->options.inputs; i++) {
        engine_input *mine = &engine->inputs[i], *theirs = &other->inputs[i];
        mine->earlier_records += theirs->earlier_records + theirs->records;
        mine->earlier_bytes += theirs->earlier_bytes + theirs->bytes;
        if (vx_container_format(theirs->container) != VX_FORMAT_UNKNOWN ||
            vx_container_damage(theirs->container)->code != VX_DAMAGE_NONE) {
            vx_container *container = mine->container;
            mine->container = theirs->container;
            theirs->container = container;
        }
    }
}

/* Add the records of another: `base` is what its records are numbered on from. */
static int merge_records(vx_engine *engine, vx_engine *other, const uint64_t *base) {
    uint64_t shift = engine->journeys.clock;
    vx_tally *mine = &engine->tally, *theirs = &other->tally;
    if (!engine->has_records) {
        engine->has_records = true;
        engine->first_record_time = other->first_record_time;
        mine->first_time = theirs->first_time;
        mine->last_time = theirs->last_time;
    } else {
        if (other->first_record_time < engine->last_record_time)
            mine->counters.time_reversed++;
        else
            shift += vx_wait(&engine->journeys, engine->last_record_time, other->first_record_time);
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
    if (engine->failed || other->failed)
        return fail_unless(engine, false);
    uint64_t *base = vx_allocate((size_t)engine->options.inputs + 1, sizeof *base);
    if (base == NULL)
        return fail_unless(engine, false);
    for (uint32_t i = 0; i < engine->options.inputs; i++)
        base[i] = engine->inputs[i].earlier_records + engine->inputs[i].records;
    int status = other->has_records ? merge_records(engine, other, base) : 0;
    free(base);
    merge_inputs(engine, other);
    other->failed = true;
    return fail_unless(engine, status == 0);
}
