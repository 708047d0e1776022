/* See journey.h for what is promised, and vxtool/engine/pure.py for the same in plain words. */
#include "journey.h"

#include <stdlib.h>

enum { LONGEST_IP = 40 + 65535 }; /* of IPv6 without a jumbo payload, put together from fragments */
enum { SHORTEST_END = 1000000 }; /* ns: what came in this shortly before the end may have gone out after it */

static const vx_list EMPTY = {VX_NONE, VX_NONE};

/* What is attached: a key of either kind, and behind it the clock when it was seen last. */
static size_t attached_clock(size_t key_size) { return (key_size + 7) & ~(size_t)7; }

static size_t attached_size(size_t key_size) { return attached_clock(key_size) + sizeof(uint64_t); }

void vx_journeys_init(vx_journeys *journeys, vx_tally *tally, const vx_journey_options *options) {
    *journeys = (vx_journeys){
        .tally = tally,
        .window = options->window,
        .settle = options->settle,
        .most_open = options->most_journeys,
        .seed = options->seed,
        .part = options->part,
        .open = EMPTY,
        .settled = EMPTY,
        .undecided = EMPTY,
        .group_order = EMPTY,
    };
    vx_pool_init(&journeys->journeys, sizeof(vx_journey));
    vx_pool_init(&journeys->more, sizeof(vx_more));
    vx_pool_init(&journeys->pieces, sizeof(vx_pieces));
    vx_pool_init(&journeys->tails, sizeof(vx_tail));
    vx_map_init(&journeys->groups, sizeof(vx_group), options->seed);
    vx_map_init(&journeys->attached, attached_size(sizeof(vx_key)), options->seed);
    vx_map_init(&journeys->attached_groups, attached_size(sizeof(vx_group_key)), options->seed);
}

void vx_journeys_free(vx_journeys *journeys) {
    vx_pool_free(&journeys->journeys);
    vx_pool_free(&journeys->more);
    vx_pool_free(&journeys->pieces);
    vx_pool_free(&journeys->tails);
    vx_index_free(&journeys->index);
    vx_map_free(&journeys->groups);
    vx_map_free(&journeys->attached);
    vx_map_free(&journeys->attached_groups);
    free(journeys->held);
    journeys->held = NULL;
}

static inline vx_journey *journey_at(const vx_journeys *journeys, uint32_t number) {
    return vx_pool_item(&journeys->journeys, number, sizeof(vx_journey));
}

static inline vx_group *group_at(const vx_journeys *journeys, uint32_t number) {
    return vx_map_at(&journeys->groups, number);
}

static inline vx_pieces *pieces_at(const vx_journeys *journeys, uint32_t number) {
    return vx_pool_at(&journeys->pieces, number);
}

/* Lists. */

static inline void append_open(vx_journeys *journeys, uint32_t number) {
    vx_journey *journey = journey_at(journeys, number);
    journey->is_open = true;
    journey->previous_open = journeys->open.last;
    journey->next_open = VX_NONE;
    if (journeys->open.last != VX_NONE)
        journey_at(journeys, journeys->open.last)->next_open = number;
    else
        journeys->open.first = number;
    journeys->open.last = number;
}

static inline void leave_open(vx_journeys *journeys, vx_journey *journey) {
    if (!journey->is_open)
        return;
    journey->is_open = false;
    if (journey->previous_open != VX_NONE)
        journey_at(journeys, journey->previous_open)->next_open = journey->next_open;
    else
        journeys->open.first = journey->next_open;
    if (journey->next_open != VX_NONE)
        journey_at(journeys, journey->next_open)->previous_open = journey->previous_open;
    else
        journeys->open.last = journey->previous_open;
}

static inline void append_settled(vx_journeys *journeys, uint32_t number) {
    vx_journey *journey = journey_at(journeys, number);
    journey->is_settled = true;
    journey->previous_settled = journeys->settled.last;
    journey->next_settled = VX_NONE;
    if (journeys->settled.last != VX_NONE)
        journey_at(journeys, journeys->settled.last)->next_settled = number;
    else
        journeys->settled.first = number;
    journeys->settled.last = number;
}

static inline void leave_settled(vx_journeys *journeys, vx_journey *journey) {
    if (!journey->is_settled)
        return;
    journey->is_settled = false;
    if (journey->previous_settled != VX_NONE)
        journey_at(journeys, journey->previous_settled)->next_settled = journey->next_settled;
    else
        journeys->settled.first = journey->next_settled;
    if (journey->next_settled != VX_NONE)
        journey_at(journeys, journey->next_settled)->previous_settled = journey->previous_settled;
    else
        journeys->settled.last = journey->previous_settled;
}

static void append_group(vx_journeys *journeys, uint32_t number) {
    vx_group *group = group_at(journeys, number);
    group->previous = journeys->group_order.last;
    group->next = VX_NONE;
    if (journeys->group_order.last != VX_NONE)
        group_at(journeys, journeys->group_order.last)->next = number;
    else
        journeys->group_order.first = number;
    journeys->group_order.last = number;
}

static void leave_group_order(vx_journeys *journeys, vx_group *group) {
    if (group->previous != VX_NONE)
        group_at(journeys, group->previous)->next = group->next;
    else
        journeys->group_order.first = group->next;
    if (group->next != VX_NONE)
        group_at(journeys, group->next)->previous = group->previous;
    else
        journeys->group_order.last = group->previous;
}

/* Fragments. */

uint32_t vx_journeys_pieces(vx_journeys *journeys, const vx_group_key *key, uint8_t wear) {
    uint32_t number = vx_pool_take(&journeys->pieces);
    if (number != VX_NONE)
        *pieces_at(journeys, number) = (vx_pieces){.key = *key, .holders = 1, .wear = wear};
    return number;
}

static void release_pieces(vx_journeys *journeys, uint32_t number) {
    if (number != VX_NONE && --pieces_at(journeys, number)->holders == 0)
        vx_pool_give_back(&journeys->pieces, number);
}

/* Nothing is added to this sighting any more: what came of its tails becomes its own. */
static void close_pieces(vx_journeys *journeys, vx_sighting *sighting) {
    if (sighting->pieces == VX_NONE)
        return;
    vx_pieces *pieces = pieces_at(journeys, sighting->pieces);
    sighting->packets += pieces->packets;
    sighting->covered += pieces->covered;
    sighting->wire_bytes += pieces->wire_bytes;
    if (pieces->wear == VX_PLAIN) {
        /* A tunnel's headers tell how long the whole is; without one, only its fragments do. */
        uint64_t whole = sighting->inner_length + pieces->covered;
        if (pieces->packets > 0)
            sighting->inner_length = whole < LONGEST_IP ? (uint32_t)whole : LONGEST_IP;
        sighting->outer_length = sighting->inner_length;
    }
    pieces->closed = true;
    release_pieces(journeys, sighting->pieces);
    sighting->pieces = VX_NONE;
}

static void add_tail(vx_journeys *journeys, uint32_t number, uint64_t covered, uint64_t wire_bytes) {
    vx_pieces *pieces = pieces_at(journeys, number);
    vx_counters *counters = &journeys->tally->counters;
    if (pieces->wear == VX_PLAIN)
        counters->ip_records++;
    else
        counters->tunnel_records++;
    if (pieces->closed) {
        counters->late_fragments++;
        return;
    }
    pieces->packets++;
    pieces->covered += covered;
    pieces->wire_bytes += wire_bytes;
}

/* Its first fragment takes the tails that waited for it, and waits a window for more from here on. */
static int open_group(vx_journeys *journeys, const vx_sighting *sighting) {
    vx_pieces *pieces = pieces_at(journeys, sighting->pieces);
    bool made;
    uint32_t number = vx_map_intern(&journeys->groups, &pieces->key, sizeof pieces->key, &made);
    if (number == VX_NONE)
        return -1;
    vx_group *group = group_at(journeys, number);
    if (!made) {
        while (group->pending != VX_NONE) {
            uint32_t pending = group->pending;
            const vx_tail *tail = vx_pool_at(&journeys->tails, pending);
            group->pending = tail->next;
            add_tail(journeys, sighting->pieces, tail->covered, tail->wire_bytes);
            vx_pool_give_back(&journeys->tails, pending);
        }
        release_pieces(journeys, group->pieces);
        leave_group_order(journeys, group);
    }
    group->pending = VX_NONE;
    group->pieces = sighting->pieces;
    pieces->holders++;
    group->clock = sighting->clock;
    append_group(journeys, number);
    return 0;
}

static int join_tail(vx_journeys *journeys, const vx_group_key *key, const vx_sighting *tail) {
    bool made;
    uint32_t number = vx_map_intern(&journeys->groups, key, sizeof *key, &made);
    if (number == VX_NONE)
        return -1;
    vx_group *group = group_at(journeys, number);
    if (made) {
        group->pieces = group->pending = VX_NONE;
        group->clock = tail->clock;
        append_group(journeys, number);
    }
    if (group->pieces != VX_NONE) {
        add_tail(journeys, group->pieces, tail->covered, tail->wire_bytes);
        return 0;
    }
    uint32_t pending = vx_pool_take(&journeys->tails);
    if (pending == VX_NONE)
        return -1;
    *(vx_tail *)vx_pool_at(&journeys->tails, pending) = (vx_tail){
        .next = group->pending,
        .covered = (uint32_t)tail->covered,
        .wire_bytes = (uint32_t)tail->wire_bytes,
        .sample = tail->sample,
    };
    group->pending = pending;
    return 0;
}

/* Take a group away. Tails that still wait for its first fragment are orphans. */
static void end_group(vx_journeys *journeys, uint32_t number) {
    vx_group *group = group_at(journeys, number);
    vx_tally *tally = journeys->tally;
    while (group->pending != VX_NONE) {
        uint32_t pending = group->pending;
        const vx_tail *tail = vx_pool_at(&journeys->tails, pending);
        group->pending = tail->next;
        tally->counters.orphan_fragments++;
        tally->counters.ip_records++;
        vx_samples_keep(&tally->samples[VX_SAMPLE_ORPHAN], tail->sample);
        vx_pool_give_back(&journeys->tails, pending);
    }
    release_pieces(journeys, group->pieces);
    leave_group_order(journeys, group);
    vx_map_remove(&journeys->groups, number, sizeof group->key);
}

/* Journeys. */

/* Take a journey out of its chain. */
static void leave_chain(vx_journeys *journeys, uint32_t number) {
    vx_journey *journey = journey_at(journeys, number);
    if (journey->older != VX_NONE)
        journey_at(journeys, journey->older)->newer = journey->newer;
    if (journey->newer != VX_NONE) {
        journey_at(journeys, journey->newer)->older = journey->older;
        return;
    }
    if (journey->older != VX_NONE && journey->held.place != VX_NONE)
        journey_at(journeys, journey->older)->held = journey->held;
    vx_slot *slot = vx_index_slot(&journeys->index, journey->tag, number);
    if (journey->older != VX_NONE)
        slot->number_up1 = journey->older + 1;
    else
        vx_index_remove(&journeys->index, slot);
}

/* Make it the newest of its key. `newest` is the one so far, or VX_NONE. */
static int enter_chain(vx_journeys *journeys, uint32_t number, uint32_t newest) {
    vx_journey *journey = journey_at(journeys, number);
    journey->newer = VX_NONE;
    journey->older = newest;
    if (newest == VX_NONE) {
        if (vx_index_reserve(&journeys->index) < 0)
            return -1;
        vx_index_add(&journeys->index, journey->tag, number);
        return 0;
    }
    vx_index_slot(&journeys->index, journey->tag, newest)->number_up1 = number + 1;
    journey_at(journeys, newest)->newer = number;
    return 0;
}

static inline uint32_t newest_of(const vx_journeys *journeys, const vx_key *key, uint32_t tag) {
    uint32_t at = tag, number;
    while ((number = vx_index_next(&journeys->index, tag, &at)) != VX_NONE)
        if (vx_same(&journey_at(journeys, number)->key, key, sizeof *key))
            break;
    return number;
}

static void free_journey(vx_journeys *journeys, uint32_t number) {
    uint32_t more = journey_at(journeys, number)->more;
    if (more != VX_NONE)
        vx_pool_give_back(&journeys->more, more);
    vx_pool_give_back(&journeys->journeys, number);
}

static void close_all_pieces(vx_journeys *journeys, vx_journey *journey) {
    for (unsigned i = 0; i < journey->count; i++)
        close_pieces(journeys, vx_sighting_at(journey, &journeys->more, i));
}

static int close_journey(vx_journeys *journeys, uint32_t number) {
    vx_journey *journey = journey_at(journeys, number);
    leave_chain(journeys, number);
    leave_open(journeys, journey);
    leave_settled(journeys, journey);
    journeys->open_count--;
    close_all_pieces(journeys, journey);
    vx_view view;
    vx_view_of(&view, journey, &journeys->more);
    if (view.ingress == NULL && !journeys->part && journey->clock <= journeys->window) {
        journey->next_open = VX_NONE;
        if (journeys->undecided.last != VX_NONE)
            journey_at(journeys, journeys->undecided.last)->next_open = number;
        else
            journeys->undecided.first = number;
        journeys->undecided.last = number;
        return 0;
    }
    int status = vx_tally_count(journeys->tally, &view, 0);
    free_journey(journeys, number);
    return status;
}

/* A journey was last touched when it settled, and is out of the nearest caches by the time that it closes. */
static inline void prefetch(const vx_journeys *journeys, uint32_t number) {
    if (number == VX_NONE)
        return;
    const uint8_t *at = (const uint8_t *)journey_at(journeys, number);
    for (size_t i = 0; i < sizeof(vx_journey); i += 64)
        __builtin_prefetch(at + i);
}

/* Fetch what closing the next few will need, each step of it one journey earlier than the next. */
static inline void look_ahead(const vx_journeys *journeys, const vx_journey *closing) {
    uint32_t number = closing->next_settled;
    if (number == VX_NONE)
        return;
    const vx_journey *journey = journey_at(journeys, number);
    vx_tally_prefetch_cell(journeys->tally, journey->flow_tag);
    number = journey->next_settled;
    if (number == VX_NONE)
        return;
    journey = journey_at(journeys, number);
    vx_tally_prefetch_flow(journeys->tally, journey->flow_tag);
    number = journey->next_settled;
    if (number == VX_NONE)
        return;
    journey = journey_at(journeys, number);
    vx_tally_prefetch_slot(journeys->tally, journey->flow_tag);
    vx_index_prefetch(&journeys->index, journey->tag);
    prefetch(journeys, journey->next_settled);
}

int vx_journeys_expire(vx_journeys *journeys, uint64_t clock) {
    /* Strictly later: equality still joins. */
    while (journeys->open.first != VX_NONE) {
        uint32_t number = journeys->open.first;
        vx_journey *journey = journey_at(journeys, number);
        if (clock - journey->clock <= journeys->window)
            break;
        if (journey->is_settled)
            leave_open(journeys, journey);
        else if (close_journey(journeys, number) < 0)
            return -1;
    }
    while (journeys->settled.first != VX_NONE) {
        uint32_t number = journeys->settled.first;
        const vx_journey *journey = journey_at(journeys, number);
        if (clock - journey->settled_clock <= journeys->settle)
            break;
        look_ahead(journeys, journey);
        if (close_journey(journeys, number) < 0)
            return -1;
    }
    while (journeys->group_order.first != VX_NONE) {
        uint32_t number = journeys->group_order.first;
        if (clock - group_at(journeys, number)->clock <= journeys->window)
            break;
        end_group(journeys, number);
    }
    return 0;
}

/* Space for one more sighting in a journey; NULL: no memory. */
static inline vx_sighting *next_sighting(vx_journeys *journeys, vx_journey *journey) {
    if (journey->count >= VX_FIRST_SIGHTINGS && journey->more == VX_NONE) {
        journey->more = vx_pool_take(&journeys->more);
        if (journey->more == VX_NONE)
            return NULL;
    }
    return vx_sighting_at(journey, &journeys->more, journey->count++);
}

static inline int add_sighting(vx_journeys *journeys, vx_journey *journey, const vx_sighting *sighting) {
    vx_sighting *added = next_sighting(journeys, journey);
    if (added == NULL)
        return -1;
    *added = *sighting;
    if (sighting->direction == VX_OUT)
        journey->went_out = true;
    else if (sighting->direction == VX_UNKNOWN)
        journey->unknown = true;
    else
        journey->came_in = true;
    if (sighting->wear != VX_PLAIN && journey->outer_id == 0)
        journey->outer_id = sighting->outer_id;
    return 0;
}

static inline vx_sighting *sighting_of_place(const vx_journeys *journeys, const vx_journey *journey,
                                             uint32_t place) {
    for (unsigned i = 0; i < journey->count; i++) {
        vx_sighting *sighting = vx_sighting_at(journey, &journeys->more, i);
        if (sighting->place == place)
            return sighting;
    }
    return NULL;
}

/* `held` is of what there is so far: see sighting.h. */
static int open_journey(vx_journeys *journeys, const vx_key *key, uint32_t tag, uint32_t newest,
                        const vx_held *held, const vx_sighting *sighting) {
    uint32_t number = vx_pool_take(&journeys->journeys);
    if (number == VX_NONE)
        return -1;
    vx_journey *journey = journey_at(journeys, number);
    journey->key = *key;
    journey->tag = tag;
    journey->flow_tag = vx_flow_tag(journeys->tally, key, sighting);
    journey->more = VX_NONE;
    journey->outer_id = 0;
    journey->held = *held;
    journey->count = 0;
    journey->came_in = journey->went_out = journey->unknown = false;
    journey->is_settled = false;
    journey->clock = sighting->clock;
    journey->order = sighting->order;
    add_sighting(journeys, journey, sighting);
    if (enter_chain(journeys, number, newest) < 0) {
        vx_pool_give_back(&journeys->journeys, number);
        return -1;
    }
    append_open(journeys, number);
    journeys->open_count++;
    while (journeys->open_count > journeys->most_open && journeys->open.first != VX_NONE) {
        journeys->tally->counters.evicted_journeys++;
        if (close_journey(journeys, journeys->open.first) < 0)
            return -1;
    }
    return 0;
}

/* Continue a journey that holds this place as `there`, or does not hold it. 1: it took the sighting, 0: it
 * cannot, -1: no memory. */
static inline int continue_journey(vx_journeys *journeys, uint32_t number, vx_sighting *there,
                                   vx_sighting *sighting) {
    vx_journey *journey = journey_at(journeys, number);
    /* Equal inner packets are told apart by the outer identification, where both have one. */
    if (journey->outer_id != 0 && sighting->outer_id != 0 && journey->outer_id != sighting->outer_id)
        return 0;
    if (there == NULL && journey->count < VX_MOST_STAGES) {
        if (add_sighting(journeys, journey, sighting) < 0)
            return -1;
        bool settles = (journey->came_in && journey->went_out) || journey->unknown;
        if (settles && !journey->is_settled) {
            journey->settled_clock = sighting->clock;
            append_settled(journeys, number);
        }
        return 1;
    }
    if (there != NULL && sighting->outer_ttl < there->lowest_ttl) {
        there->lowest_ttl = sighting->outer_ttl;
        there->looped = true;
        close_pieces(journeys, sighting);
        return 1;
    }
    return 0;
}

/* Continue the newest journey with this key that does not yet hold this stage, or open one.
 *
 * In a flood of equal packets of which one side is seen, no journey takes another of their sightings. What
 * has been looked at once is not looked at again, for it stays so: journeys only gain stages, and stages only
 * lower TTLs. */
static int join(vx_journeys *journeys, const vx_key *key, uint32_t tag, vx_sighting *sighting) {
    uint32_t newest = newest_of(journeys, key, tag);
    vx_held held = {.place = VX_NONE};
    if (newest != VX_NONE)
        held = journey_at(journeys, newest)->held;
    bool helps = held.place == sighting->place && held.highest_ttl <= sighting->outer_ttl;
    uint64_t known = helps ? held.order : 0;
    uint8_t highest = helps ? held.highest_ttl : 0;
    bool all_hold = newest != VX_NONE;
    for (uint32_t number = newest; number != VX_NONE;) {
        vx_journey *journey = journey_at(journeys, number);
        if (journey->order <= known)
            break;
        vx_sighting *there = sighting_of_place(journeys, journey, sighting->place);
        int taken = continue_journey(journeys, number, there, sighting);
        if (taken != 0)
            return taken < 0 ? -1 : 0;
        if (there != NULL ? there->lowest_ttl > sighting->outer_ttl : journey->count < VX_MOST_STAGES)
            all_hold = false;
        else if (there != NULL && there->lowest_ttl > highest)
            highest = there->lowest_ttl;
        number = journey->older;
    }
    if (all_hold)
        held = (vx_held){journey_at(journeys, newest)->order, sighting->place, highest};
    return open_journey(journeys, key, tag, newest, &held, sighting);
}

/* Parts: what an earlier part may claim is held back. */

static int attach(vx_map *attached, const void *key, size_t size, uint64_t clock) {
    bool made;
    uint32_t number = vx_map_intern(attached, key, size, &made);
    if (number == VX_NONE)
        return -1;
    memcpy((uint8_t *)vx_map_at(attached, number) + attached_clock(size), &clock, sizeof clock);
    return 0;
}

/* Whether an earlier part may know this key: seen near the start, and since then without a gap. 1, 0, or -1:
 * no memory. */
static int is_attached(const vx_journeys *journeys, vx_map *attached, const void *key, size_t size,
                       uint64_t clock) {
    uint64_t reach = journeys->window + journeys->settle;
    if (clock <= reach)
        return attach(attached, key, size, clock) < 0 ? -1 : 1;
    uint32_t number = vx_map_find(attached, key, size);
    if (number == VX_NONE)
        return 0;
    uint8_t *last_at = (uint8_t *)vx_map_at(attached, number) + attached_clock(size);
    uint64_t last;
    memcpy(&last, last_at, sizeof last);
    if (clock - last <= reach) {
        memcpy(last_at, &clock, sizeof clock);
        return 1;
    }
    vx_map_remove(attached, number, size);
    return 0;
}

static int hold(vx_journeys *journeys, const vx_event *event) {
    if (journeys->held_count == journeys->held_capacity) {
        size_t capacity = journeys->held_capacity > 0 ? journeys->held_capacity * 2 : 64;
        vx_event *grown = vx_resize(journeys->held, capacity, sizeof *grown);
        if (grown == NULL)
            return -1;
        journeys->held = grown;
        journeys->held_capacity = capacity;
    }
    journeys->held[journeys->held_count++] = *event;
    return 0;
}

/* Hold the tails that are still to come: how long their datagram is open depends on the earlier part. */
static int hold_group(vx_journeys *journeys, uint32_t number, uint64_t clock) {
    vx_group_key key = group_at(journeys, number)->key;
    end_group(journeys, number);
    return attach(&journeys->attached_groups, &key, sizeof key, clock);
}

/* Undo what is open of this key: its sightings are held as if they had been from the start. */
static int take_back(vx_journeys *journeys, const vx_key *key, uint32_t tag) {
    uint32_t number;
    while ((number = newest_of(journeys, key, tag)) != VX_NONE) {
        vx_journey *journey = journey_at(journeys, number);
        leave_chain(journeys, number);
        leave_open(journeys, journey);
        leave_settled(journeys, journey);
        journeys->open_count--;
        for (unsigned i = 0; i < journey->count; i++) {
            vx_event event = {.key = *key, .sighting = *vx_sighting_at(journey, &journeys->more, i)};
            if (hold(journeys, &event) < 0)
                return -1;
            uint32_t pieces = event.sighting.pieces;
            if (pieces == VX_NONE)
                continue;
            const vx_group_key *group_key = &pieces_at(journeys, pieces)->key;
            uint32_t group = vx_map_find(&journeys->groups, group_key, sizeof *group_key);
            if (group != VX_NONE && group_at(journeys, group)->pieces == pieces &&
                hold_group(journeys, group, event.sighting.clock) < 0)
                return -1;
        }
        free_journey(journeys, number);
    }
    return 0;
}

/* What a part does with a sighting: 1: hold it, 0: join it, -1: no memory. */
static int see_in_part(vx_journeys *journeys, const vx_key *key, uint32_t tag, const vx_sighting *sighting) {
    int held = is_attached(journeys, &journeys->attached, key, sizeof *key, sighting->clock);
    if (held < 0 || sighting->pieces == VX_NONE)
        return held;
    const vx_group_key group_key = pieces_at(journeys, sighting->pieces)->key;
    int group_held =
        is_attached(journeys, &journeys->attached_groups, &group_key, sizeof group_key, sighting->clock);
    if (group_held < 0)
        return -1;
    if (group_held) {
        /* Its tails, and so what is known of its datagram, depend on the earlier part. */
        if (!held && (take_back(journeys, key, tag) < 0 ||
                      attach(&journeys->attached, key, sizeof *key, sighting->clock) < 0))
            return -1;
        return 1;
    }
    if (open_group(journeys, sighting) < 0)
        return -1;
    if (!held)
        return 0;
    uint32_t group = vx_map_find(&journeys->groups, &group_key, sizeof group_key);
    return hold_group(journeys, group, sighting->clock) < 0 ? -1 : 1;
}

int vx_journeys_see(vx_journeys *journeys, const vx_key *key, uint32_t tag, vx_sighting *sighting) {
    if (!journeys->part) {
        if (sighting->pieces != VX_NONE && open_group(journeys, sighting) < 0)
            return -1;
        return join(journeys, key, tag, sighting);
    }
    int held = see_in_part(journeys, key, tag, sighting);
    if (held == 0)
        return join(journeys, key, tag, sighting);
    vx_event event = {.key = *key, .sighting = *sighting};
    return held < 0 ? -1 : hold(journeys, &event);
}

int vx_journeys_see_tail(vx_journeys *journeys, const vx_group_key *group, const vx_sighting *tail) {
    int held = 0;
    if (journeys->part)
        held = is_attached(journeys, &journeys->attached_groups, group, sizeof *group, tail->clock);
    if (held == 0)
        return join_tail(journeys, group, tail);
    vx_event event = {.group = *group, .is_tail = true, .sighting = *tail};
    return held < 0 ? -1 : hold(journeys, &event);
}

/* The end. */

/* A journey that is still there when the capture ends. */
typedef struct {
    uint32_t number;
    bool open;
} remaining;

static int count_late(vx_journeys *journeys, remaining rest, uint64_t grace) {
    vx_tally *tally = journeys->tally;
    vx_view view;
    vx_view_of(&view, journey_at(journeys, rest.number), &journeys->more);
    int64_t time = vx_view_start(&view)->sample.time;
    uint32_t flags = 0;
    /* One that closed is undecided: there was time for more, but none before. */
    bool ends = rest.open && (uint64_t)tally->last_time - (uint64_t)time <= grace;
    if (ends && (view.egress == NULL || view.ingress != NULL))
        flags |= VX_AT_END;
    if (view.ingress == NULL && (uint64_t)time - (uint64_t)tally->first_time <= grace)
        flags |= VX_AT_START;
    return vx_tally_count(tally, &view, flags);
}

/* Count those that are complete now, and keep the others in `rest`, for when all latencies are known. */
static int count_complete(vx_journeys *journeys, remaining *rest, size_t *count) {
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        vx_journey *journey = journey_at(journeys, rest[i].number);
        close_all_pieces(journeys, journey);
        vx_view view;
        vx_view_of(&view, journey, &journeys->more);
        if (view.ingress == NULL || view.egress == NULL || vx_view_is_partial(&view))
            rest[kept++] = rest[i];
        else if (vx_tally_count(journeys->tally, &view, 0) < 0)
            return -1;
    }
    *count = kept;
    return 0;
}

int vx_journeys_finish(vx_journeys *journeys) {
    while (journeys->group_order.first != VX_NONE)
        end_group(journeys, journeys->group_order.first);
    if (vx_tally_fit_timeline(journeys->tally) < 0)
        return -1;
    size_t count = 0, most = journeys->journeys.used;
    remaining *rest = vx_allocate(most + 1, sizeof *rest);
    if (rest == NULL)
        return -1;
    for (uint32_t i = journeys->undecided.first; i != VX_NONE; i = journey_at(journeys, i)->next_open)
        rest[count++] = (remaining){i, false};
    for (uint32_t i = journeys->open.first; i != VX_NONE; i = journey_at(journeys, i)->next_open)
        rest[count++] = (remaining){i, true};
    for (uint32_t i = journeys->settled.first; i != VX_NONE; i = journey_at(journeys, i)->next_settled)
        if (!journey_at(journeys, i)->is_open)
            rest[count++] = (remaining){i, true};
    int status = count_complete(journeys, rest, &count);
    uint64_t grace = vx_tally_longest(journeys->tally);
    grace = grace > SHORTEST_END ? grace : SHORTEST_END;
    for (size_t i = 0; i < count && status == 0; i++)
        status = count_late(journeys, rest[i], grace);
    free(rest);
    return status;
}

/* Parts together. */

static int by_order(const void *one, const void *other) {
    const vx_event *first = one, *second = other;
    if (first->sighting.order != second->sighting.order)
        return first->sighting.order < second->sighting.order ? -1 : 1;
    return (int)second->is_tail - (int)first->is_tail;
}

/* What is the other's becomes this one's: numbers, clocks and orders. */
typedef struct {
    vx_journeys *to;
    vx_journeys *from;
    const vx_numbers *numbers;
    const uint64_t *base;
    uint64_t shift;
    uint32_t *pieces; /* by the other's number; VX_NONE: not yet taken over */
} transfer;

static vx_group_key transfer_group_key(const transfer *over, const vx_group_key *key) {
    vx_group_key here = *key;
    here.spot = over->numbers->places[key->spot];
    return here;
}

/* The number here of the other's pieces: 0, or -1. Whoever held them there holds them here. */
static int transfer_pieces(const transfer *over, uint32_t *number) {
    if (*number == VX_NONE)
        return 0;
    uint32_t *here = &over->pieces[*number];
    if (*here == VX_NONE) {
        *here = vx_pool_take(&over->to->pieces);
        if (*here == VX_NONE)
            return -1;
        vx_pieces *pieces = pieces_at(over->to, *here);
        *pieces = *pieces_at(over->from, *number);
        pieces->key = transfer_group_key(over, &pieces->key);
    }
    *number = *here;
    return 0;
}

static int transfer_sighting(const transfer *over, vx_sighting *sighting) {
    sighting->clock += over->shift;
    sighting->order += over->to->order;
    sighting->sample = vx_renumber(sighting->sample, over->base);
    sighting->place = over->numbers->places[sighting->place];
    if (sighting->underlay != VX_NONE)
        sighting->underlay = over->numbers->underlays[sighting->underlay];
    return transfer_pieces(over, &sighting->pieces);
}

/* See what was held back, as if it had come here first. */
static int replay(const transfer *over) {
    vx_journeys *journeys = over->to, *other = over->from;
    if (other->held_count > 1)
        qsort(other->held, other->held_count, sizeof *other->held, by_order);
    for (size_t i = 0; i < other->held_count; i++) {
        vx_event *event = &other->held[i];
        if (transfer_sighting(over, &event->sighting) < 0)
            return -1;
        journeys->clock = event->sighting.clock;
        if (vx_journeys_expire(journeys, journeys->clock) < 0)
            return -1;
        int status;
        if (event->is_tail) {
            vx_group_key group = transfer_group_key(over, &event->group);
            status = vx_journeys_see_tail(journeys, &group, &event->sighting);
        } else {
            uint32_t tag = vx_journeys_tag(journeys, &event->key);
            status = vx_journeys_see(journeys, &event->key, tag, &event->sighting);
        }
        if (status < 0)
            return -1;
    }
    return 0;
}

/* Something in a list that is to be put in order by `rank`, and, where ranks are equal, left as it was. */
typedef struct {
    uint64_t rank;
    uint32_t position;
    uint32_t number;
} ranked;

static int by_rank(const void *one, const void *other) {
    const ranked *first = one, *second = other;
    if (first->rank != second->rank)
        return first->rank < second->rank ? -1 : 1;
    return first->position < second->position ? -1 : first->position > second->position;
}

static void rank(ranked *all, uint32_t *count, uint64_t by, uint32_t number) {
    all[*count] = (ranked){by, *count, number};
    ++*count;
}

/* Copy a journey of the other, without putting it anywhere. VX_NONE: no memory. */
static uint32_t copy_journey(const transfer *over, const vx_journey *theirs) {
    vx_journeys *journeys = over->to;
    uint32_t number = vx_pool_take(&journeys->journeys);
    if (number == VX_NONE)
        return VX_NONE;
    vx_journey *journey = journey_at(journeys, number);
    *journey = *theirs;
    journey->held.place = VX_NONE; /* places and orders are other ones here */
    if (theirs->more != VX_NONE) {
        journey->more = vx_pool_take(&journeys->more);
        if (journey->more == VX_NONE)
            return VX_NONE;
        memcpy(vx_pool_at(&journeys->more, journey->more), vx_pool_at(&over->from->more, theirs->more),
               sizeof(vx_more));
    }
    journey->clock += over->shift;
    journey->settled_clock += over->shift;
    journey->order += journeys->order;
    for (unsigned i = 0; i < journey->count; i++)
        if (transfer_sighting(over, vx_sighting_at(journey, &journeys->more, i)) < 0)
            return VX_NONE;
    return number;
}

/* The open journeys of two parts together: all by arrival, all by settling, and the other's for their chains.
 */
typedef struct {
    ranked *open;
    ranked *settled;
    ranked *adopted;
    uint32_t open_count;
    uint32_t settled_count;
    uint32_t adopted_count;
    uint32_t *here; /* by the other's number, for those that stand in both lists */
} gathering;

static int gather(const transfer *over, gathering *all) {
    vx_journeys *journeys = over->to, *other = over->from;
    for (uint32_t i = journeys->open.first; i != VX_NONE; i = journey_at(journeys, i)->next_open)
        rank(all->open, &all->open_count, journey_at(journeys, i)->order, i);
    for (uint32_t i = journeys->settled.first; i != VX_NONE; i = journey_at(journeys, i)->next_settled)
        rank(all->settled, &all->settled_count, journey_at(journeys, i)->settled_clock, i);
    for (uint32_t i = other->open.first; i != VX_NONE; i = journey_at(other, i)->next_open) {
        uint32_t number = copy_journey(over, journey_at(other, i));
        if (number == VX_NONE)
            return -1;
        all->here[i] = number;
        rank(all->open, &all->open_count, journey_at(journeys, number)->order, number);
        rank(all->adopted, &all->adopted_count, journey_at(journeys, number)->order, number);
    }
    for (uint32_t i = other->settled.first; i != VX_NONE; i = journey_at(other, i)->next_settled) {
        const vx_journey *theirs = journey_at(other, i);
        uint32_t number = theirs->is_open ? all->here[i] : copy_journey(over, theirs);
        if (number == VX_NONE)
            return -1;
        rank(all->settled, &all->settled_count, journey_at(journeys, number)->settled_clock, number);
        if (!theirs->is_open)
            rank(all->adopted, &all->adopted_count, journey_at(journeys, number)->order, number);
    }
    return 0;
}

/* Put what was gathered into lists and chains. */
static int arrange(vx_journeys *journeys, gathering *all) {
    qsort(all->open, all->open_count, sizeof *all->open, by_rank);
    qsort(all->settled, all->settled_count, sizeof *all->settled, by_rank);
    qsort(all->adopted, all->adopted_count, sizeof *all->adopted, by_rank);
    journeys->open = journeys->settled = EMPTY;
    for (uint32_t i = 0; i < all->open_count; i++)
        append_open(journeys, all->open[i].number);
    for (uint32_t i = 0; i < all->settled_count; i++)
        append_settled(journeys, all->settled[i].number);
    journeys->open_count += all->adopted_count;
    /* Oldest first: a settled one may have left the open ones before those that opened after it. */
    for (uint32_t i = 0; i < all->adopted_count; i++) {
        const vx_journey *journey = journey_at(journeys, all->adopted[i].number);
        uint32_t newest = newest_of(journeys, &journey->key, journey->tag);
        if (enter_chain(journeys, all->adopted[i].number, newest) < 0)
            return -1;
    }
    return 0;
}

/* Go on with the journeys that are open there. None of their keys is open here: it would have been held back.
 */
static int adopt_journeys(const transfer *over) {
    size_t most = over->to->open_count + over->from->open_count + 1;
    gathering all = {
        .open = vx_allocate(most, sizeof *all.open),
        .settled = vx_allocate(most, sizeof *all.settled),
        .adopted = vx_allocate(most, sizeof *all.adopted),
        .here = vx_allocate((size_t)over->from->journeys.used + 1, sizeof *all.here),
    };
    int status = -1;
    if (all.open != NULL && all.settled != NULL && all.adopted != NULL && all.here != NULL &&
        gather(over, &all) == 0 && arrange(over->to, &all) == 0)
        status = 0;
    free(all.open);
    free(all.settled);
    free(all.adopted);
    free(all.here);
    return status;
}

static int adopt_group(const transfer *over, const vx_group *theirs) {
    vx_journeys *journeys = over->to;
    vx_group_key key = transfer_group_key(over, &theirs->key);
    uint32_t number = vx_map_find(&journeys->groups, &key, sizeof key);
    if (number != VX_NONE)
        end_group(journeys, number);
    bool made;
    number = vx_map_intern(&journeys->groups, &key, sizeof key, &made);
    if (number == VX_NONE)
        return -1;
    vx_group *group = group_at(journeys, number);
    group->clock = theirs->clock + over->shift;
    group->pending = VX_NONE;
    group->pieces = theirs->pieces;
    append_group(journeys, number);
    if (transfer_pieces(over, &group->pieces) < 0) {
        group->pieces = VX_NONE;
        return -1;
    }
    for (uint32_t i = theirs->pending; i != VX_NONE;) {
        const vx_tail *tail = vx_pool_at(&over->from->tails, i);
        uint32_t pending = vx_pool_take(&journeys->tails);
        if (pending == VX_NONE)
            return -1;
        vx_tail *copy = vx_pool_at(&journeys->tails, pending);
        *copy = *tail;
        copy->sample = vx_renumber(tail->sample, over->base);
        copy->next = group->pending;
        group->pending = pending;
        i = tail->next;
    }
    return 0;
}

static int adopt_groups(const transfer *over) {
    vx_journeys *journeys = over->to, *other = over->from;
    for (uint32_t i = other->group_order.first; i != VX_NONE; i = group_at(other, i)->next)
        if (adopt_group(over, group_at(other, i)) < 0)
            return -1;
    uint32_t count = 0;
    ranked *all = vx_allocate((size_t)journeys->groups.index.used + 1, sizeof *all);
    if (all == NULL)
        return -1;
    for (uint32_t i = journeys->group_order.first; i != VX_NONE; i = group_at(journeys, i)->next)
        rank(all, &count, group_at(journeys, i)->clock, i);
    qsort(all, count, sizeof *all, by_rank);
    journeys->group_order = EMPTY;
    for (uint32_t i = 0; i < count; i++)
        append_group(journeys, all[i].number);
    free(all);
    return 0;
}

int vx_journeys_merge(vx_journeys *journeys, vx_journeys *other, const vx_numbers *numbers, uint64_t shift,
                      const uint64_t *base) {
    size_t pieces = (size_t)other->pieces.used + 1;
    transfer over = {journeys, other, numbers, base, shift, vx_allocate(pieces, sizeof(uint32_t))};
    if (over.pieces == NULL)
        return -1;
    memset(over.pieces, 0xff, pieces * sizeof *over.pieces); /* VX_NONE */
    int status = replay(&over);
    journeys->clock = shift + other->clock;
    if (status == 0)
        status = vx_journeys_expire(journeys, journeys->clock);
    if (status == 0)
        status = adopt_journeys(&over);
    if (status == 0)
        status = adopt_groups(&over);
    journeys->order += other->order;
    free(over.pieces);
    return status;
}
