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
    FEW = 32, /* records read before they are taken: enough to fetch ahead, and few enough to stay in cache */
    FETCH_SLOT = 8, /* so many records ahead, the slot of a key is fetched, and then what it leads to */
    FETCH_JOURNEY = 4,
};

/* A record as it goes from reading to taking. */
typedef struct {
    vx_sample sample;
    const char *name; /* of the interface; the container's */
    uint32_t link_type;
    uint32_t tag;      /* of the key, of a datagram */
    int32_t interface; /* in its input */
    bool clipped;
    vx_frame frame;
} read_record;

struct vx_batch {
    read_record *records;
    size_t count;
    size_t capacity;
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
    bool read_failed;   /* of the half that reads */
    bool failed;        /* of the other */
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
    vx_batch few; /* of FEW, for those who read and take at once */
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
    engine->few.records = vx_allocate(FEW, sizeof *engine->few.records);
    engine->few.capacity = FEW;
    engine->inputs = vx_allocate((size_t)options->inputs + 1, sizeof *engine->inputs);
    for (uint32_t i = 0; engine->inputs != NULL && i < options->inputs; i++) {
        engine->inputs[i].container = vx_container_new();
        if (engine->inputs[i].container == NULL) {
            vx_engine_free(engine);
            return NULL;
        }
    }
    if (engine->inputs == NULL || engine->few.records == NULL) {
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
    free(engine->few.records);
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
static inline uint32_t interface_of(vx_engine *engine, const read_record *record) {
    int64_t index = record->frame.index;
    int32_t in = -1, interface = -1;
    const char *name = NULL;
    if (record->link_type != VX_LINK_SLL2 && record->link_type != VX_LINK_SLL) {
        in = (int32_t)(record->sample.where >> VX_RECORD_BITS);
        interface = record->interface;
        name = record->name;
    }
    recent_interface *recent = &engine->recent[(uint32_t)(index + in + interface) % RECENT_INTERFACES];
    if (recent->number_up1 > 0 && recent->index == index && recent->input == in &&
        recent->interface == interface)
        return recent->number_up1 - 1;
    uint32_t number = vx_tally_interface(&engine->tally, index, in, interface, name, record->link_type);
    if (number != VX_NONE)
        *recent = (recent_interface){index, in, interface, number + 1};
    return number;
}

/* The row of an interface in `places`; NULL: no memory. */
static inline uint32_t *places_of(vx_engine *engine, uint32_t interface) {
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
static uint32_t new_place_of(vx_engine *engine, uint32_t interface, const vx_frame *frame, uint8_t wear,
                             bool loopback) {
    vx_place place = {interface, frame->direction, wear, loopback, frame->has_macs, {0}, {0}};
    if (frame->has_macs)
        memcpy(place.macs, frame->macs, sizeof place.macs);
    return vx_tally_place(&engine->tally, &place);
}

static inline uint32_t place_of(vx_engine *engine, uint32_t interface, const vx_frame *frame, uint8_t wear,
                                bool loopback) {
    if (frame->has_macs)
        return new_place_of(engine, interface, frame, wear, loopback);
    uint32_t *places = places_of(engine, interface);
    if (places == NULL)
        return VX_NONE;
    uint32_t *number_up1 = &places[(frame->direction * (VX_GENEVE + 1) + wear) * 2 + loopback];
    if (*number_up1 == 0) {
        uint32_t number = new_place_of(engine, interface, frame, wear, loopback);
        if (number == VX_NONE)
            return VX_NONE;
        *number_up1 = number + 1;
    }
    return *number_up1 - 1;
}

/* The number of the underlay that a frame came by. */
static inline uint32_t underlay_of(vx_engine *engine, const vx_frame *frame) {
    uint64_t mixed = vx_load64(frame->outer_addresses) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t *recent = &engine->recent_underlays[mixed >> 58];
    if (*recent > 0) {
        const vx_underlay *row = vx_pool_item(&engine->tally.underlays.pool, *recent - 1, sizeof *row);
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
static int see(vx_engine *engine, const read_record *record, uint32_t interface) {
    const vx_frame *frame = &record->frame;
    vx_journeys *journeys = &engine->journeys;
    vx_sighting sighting = {
        .sample = record->sample,
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
    return vx_journeys_see(journeys, &frame->key, record->tag, &sighting);
}

static int take(vx_engine *engine, const read_record *record) {
    const vx_frame *frame = &record->frame;
    vx_tally *tally = &engine->tally;
    vx_counters *counters = &tally->counters;
    if (advance(engine, record->sample.time) < 0)
        return -1;
    counters->records++;
    if (record->clipped) {
        counters->clipped_records++;
        vx_samples_keep(&tally->samples[VX_SAMPLE_CLIPPED], record->sample);
    }
    uint32_t interface = interface_of(engine, record);
    if (interface == VX_NONE)
        return -1;
    vx_interface_row *row = vx_pool_item(&tally->interfaces.pool, interface, sizeof *row);
    row->records[frame->direction == VX_OUT ? 1 : frame->direction != VX_UNKNOWN ? 0 : 2]++;
    if (frame->malformed || frame->kind == VX_FRAME_MALFORMED) {
        counters->malformed_records++;
        vx_samples_keep(&tally->samples[VX_SAMPLE_MALFORMED], record->sample);
    }
    if (frame->cut || frame->kind == VX_FRAME_CUT) {
        counters->cut_records++;
        vx_samples_keep(&tally->samples[VX_SAMPLE_CUT], record->sample);
    }
    switch (frame->kind) {
    case VX_FRAME_UNKNOWN_LINK:
        counters->unknown_link_records++;
        return 0;
    case VX_FRAME_NON_IP:
        counters->non_ip_records++;
        return 0;
    case VX_FRAME_DATAGRAM:
        if (frame->wear == VX_PLAIN)
            counters->ip_records++;
        else
            counters->tunnel_records++;
        return see(engine, record, interface);
    case VX_FRAME_TAIL:
        counters->tail_fragments++;
        return see(engine, record, interface);
    default:
        return 0;
    }
}

static int take_batch(vx_engine *engine, const vx_batch *batch) {
    const vx_journeys *journeys = &engine->journeys;
    const read_record *records = batch->records;
    for (size_t i = 0; i < batch->count; i++) {
        /* With 100,000 open journeys, to wait for them took longer than all else. */
        if (i + FETCH_SLOT < batch->count)
            vx_index_prefetch(&journeys->index, records[i + FETCH_SLOT].tag);
        if (i + FETCH_JOURNEY < batch->count)
            vx_journeys_prefetch(journeys, records[i + FETCH_JOURNEY].tag);
        if (take(engine, &records[i]) < 0)
            return -1;
    }
    return 0;
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

/* The input whose record is next; VX_NONE: it cannot be told before an input goes on, or there is none. */
static inline uint32_t next_input(vx_engine *engine) {
    uint32_t best = VX_NONE;
    for (uint32_t i = 0; i < engine->options.inputs; i++) {
        engine_input *input = &engine->inputs[i];
        if (!fill(input)) {
            if (!is_over(input))
                return VX_NONE;
        } else if (best == VX_NONE || input->next.time_ns < engine->inputs[best].next.time_ns) {
            best = i;
        }
    }
    return best;
}

/* Space for one more record; NULL: no memory. */
static inline read_record *next_in(vx_batch *batch) {
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity > 0 ? batch->capacity * 2 : FEW;
        read_record *grown = vx_resize(batch->records, capacity, sizeof *grown);
        if (grown == NULL)
            return NULL;
        batch->records = grown;
        batch->capacity = capacity;
    }
    return &batch->records[batch->count++];
}

/* Read what can be read, at most so many records. */
static int read_records(vx_engine *engine, vx_batch *batch, size_t most) {
    batch->count = 0;
    while (batch->count < most) {
        uint32_t number = next_input(engine);
        if (number == VX_NONE)
            return 0;
        engine_input *input = &engine->inputs[number];
        const vx_record *next = &input->next;
        if (!engine->reading_known)
            find_budget(engine);
        read_record *record = next_in(batch);
        if (record == NULL)
            return -1;
        const vx_interface *described = vx_container_interface(input->container, next->interface);
        record->sample = (vx_sample){next->time_ns, (uint64_t)number << VX_RECORD_BITS | ++input->records};
        record->name = described->name;
        record->link_type = described->link_type;
        record->interface = (int32_t)next->interface;
        record->clipped = next->captured < next->length;
        vx_frame_read(&record->frame, &engine->reading, next->data, next->captured, next->length,
                      described->link_type, next->direction);
        record->tag = vx_journeys_tag(&engine->journeys, &record->frame.key);
        input->has_next = false;
    }
    return 0;
}

/* Read and take what can be. */
static int pass_records(vx_engine *engine) {
    do {
        if (read_records(engine, &engine->few, FEW) < 0 || take_batch(engine, &engine->few) < 0)
            return -1;
    } while (engine->few.count == FEW);
    return 0;
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

static bool has_failed(const vx_engine *engine) { return engine->failed || engine->read_failed; }

static void offer(vx_engine *engine, uint32_t number, const uint8_t *data, size_t length) {
    engine->inputs[number].bytes += length;
    vx_container_offer(engine->inputs[number].container, data, length);
}

static void end(vx_engine *engine, uint32_t number) {
    vx_container_end(engine->inputs[number].container);
    engine->inputs[number].ended = true;
}

int vx_engine_feed(vx_engine *engine, uint32_t number, const uint8_t *data, size_t length) {
    if (has_failed(engine))
        return -1;
    offer(engine, number, data, length);
    return fail_unless(engine, pass_records(engine) == 0 && keep_rest(&engine->inputs[number]) == 0);
}

int vx_engine_end(vx_engine *engine, uint32_t number) {
    if (has_failed(engine))
        return -1;
    end(engine, number);
    return fail_unless(engine, pass_records(engine) == 0);
}

vx_batch *vx_batch_new(void) { return vx_allocate(1, sizeof(vx_batch)); }

void vx_batch_free(vx_batch *batch) {
    if (batch != NULL)
        free(batch->records);
    free(batch);
}

static int read_unless_failed(vx_engine *engine, vx_batch *batch) {
    engine->read_failed |= read_records(engine, batch, SIZE_MAX) < 0;
    return engine->read_failed ? -1 : 0;
}

int vx_engine_read(vx_engine *engine, uint32_t number, const uint8_t *data, size_t length, vx_batch *batch) {
    if (engine->read_failed)
        return -1;
    offer(engine, number, data, length);
    int status = read_unless_failed(engine, batch);
    engine->read_failed |= status == 0 && keep_rest(&engine->inputs[number]) < 0;
    return engine->read_failed ? -1 : 0;
}

int vx_engine_read_end(vx_engine *engine, uint32_t number, vx_batch *batch) {
    if (engine->read_failed)
        return -1;
    end(engine, number);
    return read_unless_failed(engine, batch);
}

int vx_engine_take(vx_engine *engine, const vx_batch *batch) {
    return engine->failed ? -1 : fail_unless(engine, take_batch(engine, batch) == 0);
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
    if (has_failed(engine))
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
    if (has_failed(engine) || has_failed(other))
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
