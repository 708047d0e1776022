/* See journey.h for what is promised, and vxtool/engine/pure.py for the same in plain words. */
#include "journey.h"

#include "doubt.h"
#include "usual.h"

#include <stdlib.h>

enum { LONGEST_IP = 40 + 65535 }; /* of IPv6 without a jumbo payload, put together from fragments */
enum { SHORTEST_END = 1000000 }; /* ns: what came in this shortly before the end may have gone out after it */
enum { FEWEST_ENTRIES = 64 };    /* of a ring */
enum { CLOSING = 32 };           /* journeys that are closed together */
/* So many times as much memory has a journey with more sightings than it has room for itself. */
enum { LARGE_WEIGHT = 4 };
/* Of all journeys, at most such a part waits for what may be of the same super-frame, and for the end. */
enum { LOOSE_PART = 2, UNDECIDED_PART = 4, DOUBTFUL_PART = 4 };

static const vx_list EMPTY = {VX_NONE, VX_NONE};

/* What is attached: a key of either kind, and behind it the clock when it was seen last. */
static size_t attached_clock(size_t key_size) { return (key_size + 7) & ~(size_t)7; }

static size_t attached_size(size_t key_size) { return attached_clock(key_size) + sizeof(uint64_t); }

void vx_journeys_init(vx_journeys *journeys, vx_tally *tally, const vx_journey_options *options) {
    *journeys = (vx_journeys){
        .tally = tally,
        .window = options->window,
        .settle = options->settle,
        .most = options->most_journeys,
        .most_open = options->most_journeys,
        .most_fragments = options->most_fragments,
        .part = options->part,
        .undecided = EMPTY,
        .doubtful = EMPTY,
    };
    vx_pool_init(&journeys->journeys, sizeof(vx_journey));
    vx_pool_init(&journeys->more, sizeof(vx_more));
    vx_pool_init(&journeys->held, sizeof(vx_held));
    vx_pool_init(&journeys->moments, VX_MOST_STAGES * sizeof(vx_moment));
    vx_pool_init(&journeys->groups, sizeof(vx_group));
    vx_pool_init(&journeys->pieces, sizeof(vx_pieces));
    vx_pool_init(&journeys->group_keys, sizeof(vx_group_key));
    vx_pool_init(&journeys->tails, sizeof(vx_tail));
    vx_map_init(&journeys->attached, attached_size(sizeof(vx_key)), options->seed);
    vx_map_init(&journeys->attached_groups, attached_size(sizeof(vx_group_key)), options->seed);
}

void vx_journeys_free(vx_journeys *journeys) {
    vx_pool_free(&journeys->journeys);
    vx_pool_free(&journeys->more);
    vx_pool_free(&journeys->held);
    vx_pool_free(&journeys->moments);
    vx_pool_free(&journeys->groups);
    vx_pool_free(&journeys->pieces);
    vx_pool_free(&journeys->group_keys);
    vx_pool_free(&journeys->tails);
    vx_index_free(&journeys->index);
    vx_index_free(&journeys->group_index);
    vx_map_free(&journeys->attached);
    vx_map_free(&journeys->attached_groups);
    free(journeys->open.entries);
    free(journeys->settled.entries);
    free(journeys->group_order.entries);
    free(journeys->events);
    free(journeys->large_at_up1);
    free(journeys->loose);
    journeys->loose = NULL;
    journeys->open = journeys->settled = journeys->group_order = (vx_ring){0};
    journeys->events = NULL;
    journeys->large_at_up1 = NULL;
}

static inline vx_journey *journey_at(const vx_journeys *journeys, uint32_t number) {
    return vx_pool_item(&journeys->journeys, number, sizeof(vx_journey));
}

static inline vx_group *group_at(const vx_journeys *journeys, uint32_t number) {
    return vx_pool_item(&journeys->groups, number, sizeof(vx_group));
}

static inline vx_pieces *pieces_at(const vx_journeys *journeys, uint32_t number) {
    return vx_pool_item(&journeys->pieces, number, sizeof(vx_pieces));
}

static inline vx_held *held_at(const vx_journeys *journeys, uint32_t number) {
    return vx_pool_at(&journeys->held, number);
}

/* Rings. */

static inline vx_ring_entry *entry_at(const vx_ring *ring, uint32_t position) {
    return &ring->entries[position & ring->mask];
}

/* The first entry that is not vacant, at the head from now on; NULL: there is none. */
static inline const vx_ring_entry *first_of(vx_ring *ring) {
    for (; ring->head != ring->tail; ring->head++)
        if (entry_at(ring, ring->head)->number != VX_NONE)
            return entry_at(ring, ring->head);
    return NULL;
}

/* Where a journey, or a group, remembers its position in this ring. */
static inline uint32_t *position_in(const vx_journeys *journeys, const vx_ring *ring, uint32_t number) {
    if (ring == &journeys->group_order)
        return &group_at(journeys, number)->order_at;
    vx_journey *journey = journey_at(journeys, number);
    return ring == &journeys->open ? &journey->open_at : &journey->settled_at;
}

/* Have room for one more entry: those before the first that is not vacant, or else, where half of them are
 * vacant, as after a loss that waits at the head for its window to end, the others move together; else there
 * will be twice as many. */
static VX_RARE int make_room(vx_journeys *journeys, vx_ring *ring) {
    first_of(ring);
    if (ring->entries != NULL && ring->tail - ring->head <= ring->mask)
        return 0;
    vx_ring old = *ring;
    uint32_t capacity = old.entries != NULL ? old.mask + 1 : 0;
    if (capacity == 0 || old.taken > capacity / 2) {
        if (capacity > UINT32_MAX / 4)
            return -1;
        capacity = capacity > 0 ? capacity * 2 : FEWEST_ENTRIES;
        ring->entries = vx_allocate(capacity, sizeof *ring->entries);
        if (ring->entries == NULL) {
            *ring = old;
            return -1;
        }
        ring->mask = capacity - 1;
    }
    ring->tail = ring->head;
    for (uint32_t at = old.head; at != old.tail; at++) {
        vx_ring_entry entry = *entry_at(&old, at);
        if (entry.number == VX_NONE)
            continue;
        *entry_at(ring, ring->tail) = entry;
        *position_in(journeys, ring, entry.number) = ring->tail++;
    }
    if (ring->entries != old.entries)
        free(old.entries);
    return 0;
}

/* Something that is not settled waits from this clock on. */
static inline void wait_from(vx_journeys *journeys, uint64_t clock) {
    uint64_t due = clock + journeys->window + 1;
    if ((int64_t)(due - journeys->due) < 0)
        journeys->due = due;
}

/* The position of a new entry: 0, or -1. */
static inline int enter_ring(vx_journeys *journeys, vx_ring *ring, uint32_t number, uint64_t clock,
                             uint32_t *position) {
    if (VX_RARELY(ring->entries == NULL || ring->tail - ring->head == ring->mask + 1) &&
        make_room(journeys, ring) < 0)
        return -1;
    *position = ring->tail++;
    *entry_at(ring, *position) = (vx_ring_entry){clock, number};
    ring->taken++;
    return 0;
}

static inline void leave_ring(vx_ring *ring, uint32_t position) {
    entry_at(ring, position)->number = VX_NONE;
    ring->taken--;
}

static inline int enter_open(vx_journeys *journeys, uint32_t number, vx_journey *journey, uint64_t clock) {
    if (enter_ring(journeys, &journeys->open, number, clock, &journey->open_at) < 0)
        return -1;
    wait_from(journeys, clock);
    journey->is_open = true;
    return 0;
}

static inline void leave_open(vx_journeys *journeys, vx_journey *journey) {
    if (journey->is_open)
        leave_ring(&journeys->open, journey->open_at);
    journey->is_open = false;
}

static inline int enter_settled(vx_journeys *journeys, uint32_t number, vx_journey *journey, uint64_t clock) {
    if (enter_ring(journeys, &journeys->settled, number, clock, &journey->settled_at) < 0)
        return -1;
    journey->is_settled = true;
    return 0;
}

static inline void leave_settled(vx_journeys *journeys, vx_journey *journey) {
    if (journey->is_settled)
        leave_ring(&journeys->settled, journey->settled_at);
    journey->is_settled = false;
}

/* Fragments. */

static vx_tagged_group tagged_group(const vx_journeys *journeys, const vx_group_key *key) {
    const vx_fragment *whole = &key->fragment;
    uint32_t tag = vx_fragment_tag(whole->identification, whole->protocol, whole->version, whole->addresses,
                                   &journeys->tally->secrets);
    return (vx_tagged_group){*key, vx_group_tag(tag, key->spot)};
}

/* Remember the group of pieces, in case that their sighting has to be held back after all. */
static int keep_group_key(vx_journeys *journeys, uint32_t pieces, const vx_group_key *key) {
    if (!journeys->part)
        return 0;
    while (journeys->group_keys.used <= pieces)
        if (vx_pool_take(&journeys->group_keys) == VX_NONE)
            return -1;
    *(vx_group_key *)vx_pool_at(&journeys->group_keys, pieces) = *key;
    return 0;
}

uint32_t vx_journeys_pieces(vx_journeys *journeys, const vx_piece *first, uint8_t wear) {
    uint32_t number = vx_pool_take_item(&journeys->pieces, sizeof(vx_pieces));
    if (number == VX_NONE)
        return VX_NONE;
    *pieces_at(journeys, number) = (vx_pieces){
        .covered = first->covered,
        .wire_bytes = first->wire_bytes,
        .packets = 1,
        .first_covered = first->covered,
        .holders = 1,
        .wear = wear,
    };
    return keep_group_key(journeys, number, &first->group.key) == 0 ? number : VX_NONE;
}

static inline void release_pieces(vx_journeys *journeys, uint32_t number) {
    if (number != VX_NONE && --pieces_at(journeys, number)->holders == 0)
        vx_pool_give_back(&journeys->pieces, number);
}

/* Nothing is added to this sighting any more: it is as long as what has come. */
static void close_pieces(vx_journeys *journeys, vx_sighting *sighting) {
    vx_pieces *pieces = pieces_at(journeys, sighting->pieces);
    if (pieces->closed)
        return;
    pieces->closed = true;
    if (pieces->wear != VX_PLAIN)
        return; /* a tunnel's headers tell how long the whole is; without one, only its fragments do */
    vx_traits *traits = &sighting->traits;
    uint64_t whole = traits->inner_length + pieces->covered - pieces->first_covered;
    if (pieces->packets > 1)
        traits->inner_length = whole < LONGEST_IP ? (uint32_t)whole : LONGEST_IP;
    traits->outer_length = traits->inner_length;
}

static void add_tail(vx_journeys *journeys, uint32_t number, uint32_t covered, uint32_t wire_bytes) {
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

/* Take a group away. Tails that still wait for its first fragment are orphans. */
static void end_group(vx_journeys *journeys, uint32_t number) {
    vx_group *group = group_at(journeys, number);
    vx_tally *tally = journeys->tally;
    while (VX_RARELY(group->pending != VX_NONE)) {
        uint32_t pending = group->pending;
        const vx_tail *tail = vx_pool_at(&journeys->tails, pending);
        group->pending = tail->next;
        tally->counters.orphan_fragments++;
        tally->counters.ip_records++;
        vx_samples_keep(&tally->samples[VX_SAMPLE_ORPHAN], tail->sample);
        vx_pool_give_back(&journeys->tails, pending);
        journeys->fragments--;
    }
    release_pieces(journeys, group->pieces);
    leave_ring(&journeys->group_order, group->order_at);
    vx_index_remove(&journeys->group_index, vx_index_slot(&journeys->group_index, group->tag, number));
    vx_pool_give_back_at(&journeys->groups, number, group);
}

/* The clock at which a group was opened. */
static inline uint64_t opened_at(const vx_journeys *journeys, const vx_group *group) {
    return entry_at(&journeys->group_order, group->order_at)->clock;
}

/* The group with this key, where it is open; else VX_NONE. */
static inline uint32_t find_group(vx_journeys *journeys, const vx_tagged_group *wanted) {
    uint32_t at = wanted->tag, number;
    while ((number = vx_index_next(&journeys->group_index, wanted->tag, &at)) != VX_NONE)
        if (vx_same(&group_at(journeys, number)->key, &wanted->key, sizeof wanted->key))
            break;
    if (number == VX_NONE ||
        journeys->clock - opened_at(journeys, group_at(journeys, number)) <= journeys->window)
        return number;
    end_group(journeys, number);
    return VX_NONE;
}

/* Open a group whose key is not there yet, now; VX_NONE: no memory. */
static inline uint32_t add_group(vx_journeys *journeys, const vx_tagged_group *tagged, uint32_t pieces) {
    if (vx_index_reserve(&journeys->group_index) < 0)
        return VX_NONE;
    uint32_t number = vx_pool_take_item(&journeys->groups, sizeof(vx_group)), position;
    if (number == VX_NONE ||
        enter_ring(journeys, &journeys->group_order, number, journeys->clock, &position) < 0)
        return VX_NONE;
    vx_index_add(&journeys->group_index, tagged->tag, number);
    *group_at(journeys, number) = (vx_group){
        .key = tagged->key, .tag = tagged->tag, .pieces = pieces, .pending = VX_NONE, .order_at = position};
    return number;
}

static void end_groups(vx_journeys *journeys);

/* Where groups and tails are too many, the oldest groups end. */
static inline void make_room_for_fragments(vx_journeys *journeys) {
    if (journeys->fragments + journeys->group_order.taken < journeys->most_fragments)
        return;
    end_groups(journeys);
    const vx_ring_entry *first;
    while (journeys->fragments + journeys->group_order.taken >= journeys->most_fragments &&
           (first = first_of(&journeys->group_order)) != NULL) {
        journeys->tally->counters.evicted_fragments++;
        end_group(journeys, first->number);
    }
}

/* Its first fragment takes the tails that waited for it, and waits a window for more from here on. */
static VX_RARE int open_group_again(vx_journeys *journeys, uint32_t number, const vx_sighting *first) {
    vx_group *group = group_at(journeys, number);
    uint32_t pieces = first->pieces;
    while (group->pending != VX_NONE) {
        uint32_t pending = group->pending;
        const vx_tail *tail = vx_pool_at(&journeys->tails, pending);
        group->pending = tail->next;
        pieces_at(journeys, pieces)->overtaken |= tail->sample.time < first->sample.time;
        add_tail(journeys, pieces, tail->covered, tail->wire_bytes);
        vx_pool_give_back(&journeys->tails, pending);
        journeys->fragments--;
    }
    release_pieces(journeys, group->pieces);
    group->pieces = pieces;
    leave_ring(&journeys->group_order, group->order_at);
    return enter_ring(journeys, &journeys->group_order, number, journeys->clock, &group->order_at);
}

static inline int open_group(vx_journeys *journeys, const vx_tagged_group *tagged, const vx_sighting *first) {
    make_room_for_fragments(journeys);
    pieces_at(journeys, first->pieces)->holders++;
    uint32_t number = find_group(journeys, tagged);
    if (VX_RARELY(number != VX_NONE))
        return open_group_again(journeys, number, first);
    return add_group(journeys, tagged, first->pieces) == VX_NONE ? -1 : 0;
}

/* A tail whose first fragment was not yet seen. */
static VX_RARE int keep_tail(vx_journeys *journeys, uint32_t number, const vx_piece *tail, vx_sample sample) {
    if (number == VX_NONE)
        number = add_group(journeys, &tail->group, VX_NONE);
    uint32_t pending = vx_pool_take(&journeys->tails);
    if (number == VX_NONE || pending == VX_NONE)
        return -1;
    vx_group *group = group_at(journeys, number);
    *(vx_tail *)vx_pool_at(&journeys->tails, pending) = (vx_tail){
        .next = group->pending,
        .covered = tail->covered,
        .wire_bytes = tail->wire_bytes,
        .sample = sample,
    };
    group->pending = pending;
    journeys->fragments++;
    return 0;
}

/* End those that have been open for too long. Until then they stand in the way of nobody who asks by
 * find_group. */
static void end_groups(vx_journeys *journeys) {
    vx_ring *order = &journeys->group_order;
    uint64_t clock = journeys->clock;
    uint32_t numbers[CLOSING];
    size_t count;
    do {
        first_of(order);
        count = 0;
        for (uint32_t at = order->head; at != order->tail && count < CLOSING; at++) {
            const vx_ring_entry *entry = entry_at(order, at);
            if (clock - entry->clock <= journeys->window)
                break;
            if (entry->number == VX_NONE)
                continue;
            __builtin_prefetch(group_at(journeys, entry->number), 1);
            numbers[count++] = entry->number;
        }
        for (size_t i = 0; i < count; i++) {
            const vx_group *group = group_at(journeys, numbers[i]);
            vx_index_prefetch(&journeys->group_index, group->tag);
            if (group->pieces != VX_NONE)
                __builtin_prefetch(pieces_at(journeys, group->pieces), 1);
        }
        for (size_t i = 0; i < count; i++)
            end_group(journeys, numbers[i]);
    } while (count == CLOSING);
}

/* Journeys. */

/* Take a journey out of its chain. */
static inline void leave_chain(vx_journeys *journeys, uint32_t number, vx_journey *journey) {
    if (journey->older != VX_NONE)
        journey_at(journeys, journey->older)->newer = journey->newer;
    if (journey->newer != VX_NONE) {
        journey_at(journeys, journey->newer)->older = journey->older;
        return;
    }
    vx_slot *slot = vx_index_slot(&journeys->index, journey->key.tag, number);
    if (journey->older == VX_NONE) {
        vx_index_remove(&journeys->index, slot);
        return;
    }
    slot->number_up1 = journey->older + 1;
    if (journey->held != VX_NONE) {
        vx_journey *older = journey_at(journeys, journey->older);
        uint32_t outdated = older->held;
        older->held = journey->held;
        journey->held = outdated;
    }
}

/* Make it the newest of its key. `newest` is the one so far, or VX_NONE. */
static inline int enter_chain(vx_journeys *journeys, uint32_t number, vx_journey *journey, uint32_t newest) {
    journey->newer = VX_NONE;
    journey->older = newest;
    if (newest == VX_NONE) {
        if (vx_index_reserve(&journeys->index) < 0)
            return -1;
        vx_index_add(&journeys->index, journey->key.tag, number);
        return 0;
    }
    vx_index_slot(&journeys->index, journey->key.tag, newest)->number_up1 = number + 1;
    journey_at(journeys, newest)->newer = number;
    return 0;
}

static inline uint32_t newest_of(const vx_journeys *journeys, const vx_tagged_key *key) {
    uint32_t at = key->tag, number;
    while ((number = vx_index_next(&journeys->index, key->tag, &at)) != VX_NONE)
        if (vx_same_key(&journey_at(journeys, number)->key.key, &key->key))
            break;
    return number;
}

/* Give back a journey, which stands nowhere any more, and what it holds: here one without fragments and
 * without more sightings than it has room for. */
static inline void free_usual_journey(vx_journeys *journeys, uint32_t number, vx_journey *journey) {
    if (VX_RARELY(journey->held != VX_NONE))
        vx_pool_give_back(&journeys->held, journey->held);
    vx_pool_give_back_at(&journeys->journeys, number, journey);
}

static void free_journey(vx_journeys *journeys, uint32_t number) {
    vx_journey *journey = journey_at(journeys, number);
    for (unsigned i = 0; i < journey->count; i++)
        release_pieces(journeys, vx_sighting_at(journey, &journeys->more, i)->pieces);
    if (journey->more != VX_NONE)
        vx_pool_give_back(&journeys->more, journey->more);
    free_usual_journey(journeys, number, journey);
}

static void close_all_pieces(vx_journeys *journeys, vx_journey *journey) {
    for (unsigned i = 0; i < journey->count; i++) {
        vx_sighting *sighting = vx_sighting_at(journey, &journeys->more, i);
        if (sighting->pieces != VX_NONE)
            close_pieces(journeys, sighting);
    }
}

static vx_view view_of(const vx_journeys *journeys, uint32_t number) {
    vx_view view;
    vx_view_of(&view, journey_at(journeys, number), &journeys->more, &journeys->pieces);
    return view;
}

static inline uint64_t weight_of(const vx_journey *journey) {
    return journey->count > VX_FIRST_SIGHTINGS ? LARGE_WEIGHT : 1;
}

/* So many may be open beside those that wait. */
static void share_room(vx_journeys *journeys) {
    uint64_t waiting = journeys->loose_weight + journeys->undecided_count;
    journeys->most_open = waiting < journeys->most ? journeys->most - waiting : 0;
}

/* Count a journey at the end. */
static void put_off(vx_journeys *journeys, vx_list *list, uint32_t number) {
    journey_at(journeys, number)->newer = VX_NONE;
    if (list->last != VX_NONE)
        journey_at(journeys, list->last)->newer = number;
    else
        list->first = number;
    list->last = number;
}

/* The same of one that is doubtful; false: there are too many. */
static bool doubt(vx_journeys *journeys, uint32_t number) {
    if (journeys->doubtful_count == VX_MOST_DOUBTFUL ||
        journeys->doubtful_count >= journeys->most / DOUBTFUL_PART) {
        journeys->tally->counters.unweighed_journeys++;
        return false;
    }
    journeys->doubtful_count++;
    put_off(journeys, &journeys->doubtful, number);
    return true;
}

/* How close to an end of the capture a journey's other side may be missing: the longest latency so far. */
static uint64_t grace_of(const vx_journeys *journeys) {
    uint64_t longest = vx_tally_longest(journeys->tally);
    return longest > SHORTEST_END ? longest : SHORTEST_END;
}

/* Whether what came in may have come before the capture began. */
static bool begins(const vx_journeys *journeys, const vx_view *view, uint64_t grace) {
    int64_t time = vx_view_start(view)->sample.time;
    return view->ingress == NULL && (uint64_t)time - (uint64_t)journeys->tally->first_time <= grace;
}

/* Whether it came in and went out, as far as directions are known. */
static inline bool has_settled(const vx_journey *journey) {
    const uint8_t both = VX_CAME_IN | VX_WENT_OUT;
    return (journey->sides & both) == both || (journey->sides & VX_SIDE_UNKNOWN && journey->count > 1);
}

/* There is no room to let a journey wait as long as it should: count that once. */
static VX_RARE void crowd_out(vx_journeys *journeys, uint32_t number) {
    vx_journey *journey = journey_at(journeys, number);
    journeys->tally->counters.evicted_journeys += !(journey->sides & VX_EVICTED);
    journey->sides |= VX_EVICTED;
}

/* Count a journey that stands nowhere any more and waits for no other, and give it back. */
static int count_alone(vx_journeys *journeys, uint32_t number) {
    const vx_journey *journey = journey_at(journeys, number);
    vx_view view = view_of(journeys, number);
    uint32_t flags = 0;
    if (view.ingress == NULL && !journeys->part && journey->clock <= journeys->window) {
        if (journeys->undecided_count < journeys->most / UNDECIDED_PART) {
            put_off(journeys, &journeys->undecided, number);
            journeys->undecided_count++;
            share_room(journeys);
            return 0;
        }
        crowd_out(journeys, number);
        flags = begins(journeys, &view, grace_of(journeys)) ? VX_AT_START : 0;
    }
    if (vx_is_doubtful(&view) && doubt(journeys, number))
        return 0;
    int status = vx_tally_count(journeys->tally, &view, flags);
    free_journey(journeys, number);
    return status;
}

/* Super-frames that were cut on their way, or put together. */

/* Whether it may be of a super-frame. The first of a pod's own fragments has less than UDP says of it. */
static bool has_segment(const vx_key *key, const vx_sighting *sighting) {
    uint32_t length = sighting->traits.payload_length;
    if (length == 0)
        return false;
    return key->ends.protocol == VX_TCP ||
           (key->ends.protocol == VX_UDP && key->transport[0] == length + VX_UDP_HEADER);
}

/* How far from the start of a part an earlier one may know what is seen. */
static inline uint64_t reach_of(const vx_journeys *journeys) { return journeys->window + journeys->settle; }

/* The hash of a flow, which the pure engine has alike: protocol, ports and addresses as one number, modulo a
 * prime. Flows that share it wait alike. */
static uint32_t large_hash(const vx_key *key) {
    uint64_t rest = key->ends.protocol;
    rest = (rest << 32 | (uint32_t)key->ends.source_port << 16 | key->ends.destination_port) % VX_FLOW_HASHES;
    unsigned size = key->ends.shape & VX_KEY_IPV6 ? 32 : 8;
    for (unsigned at = 0; at < size; at += 4)
        rest = (rest << 32 | vx_big32(key->ends.addresses + at)) % VX_FLOW_HASHES;
    return (uint32_t)rest;
}

/* Note that a flow had a super-frame. */
static VX_RARE int note_large(vx_journeys *journeys, const vx_key *key, uint64_t clock) {
    if (journeys->large_at_up1 == NULL) {
        journeys->large_at_up1 = vx_allocate(VX_FLOW_HASHES, sizeof *journeys->large_at_up1);
        if (journeys->large_at_up1 == NULL)
            return -1;
        memset(journeys->large_at_up1, 0, VX_FLOW_HASHES * sizeof *journeys->large_at_up1);
    }
    uint64_t *last = &journeys->large_at_up1[large_hash(key)];
    if (*last < clock + 1)
        *last = clock + 1;
    return 0;
}

static inline bool is_large_untold(const vx_key *key, const vx_sighting *sighting) {
    return sighting->traits.inner_length > VX_LONGEST_PACKET && sighting->traits.direction == VX_UNKNOWN &&
           !(key->ends.shape & (VX_KEY_OPAQUE | VX_KEY_NON_IP)) &&
           (key->ends.protocol == VX_TCP || key->ends.protocol == VX_UDP);
}

/* Whether a journey of which no direction is told may be one: it was seen once, or else TTLs have to tell the
 * sides; and there has to be a super-frame close by: within what a part holds back, so that what an earlier
 * one knows does not matter to what this one counts. */
static bool may_be_untold(vx_journeys *journeys, const vx_journey *journey) {
    if (journeys->large_at_up1 == NULL || journey->count > 2 ||
        (journey->sides & (VX_CAME_IN | VX_WENT_OUT | VX_SIDE_UNKNOWN)) != VX_SIDE_UNKNOWN)
        return false;
    if (journey->count == 2) {
        const vx_traits *first = &journey->sightings[0].traits, *last = &journey->sightings[1].traits;
        int hops = first->outer_ttl - last->outer_ttl;
        if (first->payload_length == last->payload_length || (hops != 1 && hops != -1))
            return false;
    }
    uint64_t last_up1 = journeys->large_at_up1[large_hash(&journey->key.key)];
    return last_up1 > 0 && (journey->clock < last_up1 || journey->clock - last_up1 < reach_of(journeys));
}

/* Whether a journey may be one side of a super-frame's: data of which one side alone was seen, or more on one
 * side than on the other. The first segment of TCP may have the super-frame's key, since a router may cut
 * IPv4 without DF into fragments, and so its length tells nothing. */
static bool may_be_loose(vx_journeys *journeys, uint32_t number) {
    const vx_journey *journey = journey_at(journeys, number);
    const uint8_t both = VX_CAME_IN | VX_WENT_OUT;
    if (journey->sides & VX_SIDE_UNKNOWN ? !may_be_untold(journeys, journey)
                                         : (journeys->sides & both) != both)
        return false; /* there is nothing that it might belong to */
    for (unsigned i = 0; i < journey->count; i++) {
        const vx_sighting *sighting = vx_sighting_at(journey, &journeys->more, i);
        if (!has_segment(&journey->key.key, sighting) || sighting->looped)
            return false;
    }
    const vx_view view = view_of(journeys, number);
    /* A router fragments the tunnel's packets that it has cut. How long the segment inside is, each tells. */
    for (unsigned i = 0; i < view.count; i++)
        if (view.sightings[i]->pieces != VX_NONE &&
            (view.sightings[i]->traits.wear == VX_PLAIN ||
             (view.directions[i] != VX_OUT && view.directions[i] != VX_UNKNOWN)))
            return false;
    if (view.ingress != NULL && view.egress != NULL) {
        if (view.egress->pieces != VX_NONE && !vx_view_is_partial(&view))
            return false;
        const vx_traits *came = &view.ingress->traits, *went = &view.egress->traits;
        if (came->payload_length == went->payload_length || came->wear != went->wear ||
            came->outer_length - came->outer_header == went->outer_length - went->outer_header)
            return false;
    }
    return true;
}

/* Give what went out of a journey one of its own, where something else came in: its number, or VX_NONE. What
 * was seen later opens when the journey settled: no ring has been entered since it left that one. */
static uint32_t split_egress(vx_journeys *journeys, uint32_t number) {
    uint32_t other_number = vx_pool_take(&journeys->journeys);
    if (other_number == VX_NONE)
        return VX_NONE;
    vx_journey *journey = journey_at(journeys, number), *other = journey_at(journeys, other_number);
    const vx_view view = view_of(journeys, number);
    const uint8_t kept_sides = journey->sides & (VX_SIDE_UNKNOWN | VX_EVICTED);
    other->key = journey->key;
    other->more = other->held = VX_NONE;
    other->outer_id = journey->outer_id;
    other->count = 0;
    other->sides = VX_WENT_OUT | kept_sides;
    other->is_open = other->is_settled = false;
    other->clock = journey->clock;
    other->order = journey->order;
    bool came_first = view.directions[0] != VX_OUT;
    (came_first ? other : journey)->clock = entry_at(&journeys->settled, journey->settled_at)->clock;
    unsigned kept = 0;
    for (unsigned i = 0; i < journey->count; i++) {
        const vx_sighting *sighting = vx_sighting_at(journey, &journeys->more, i);
        if (view.directions[i] != VX_OUT) {
            *vx_sighting_at(journey, &journeys->more, kept++) = *sighting;
            continue;
        }
        if (other->count == VX_FIRST_SIGHTINGS) {
            other->more = vx_pool_take(&journeys->more);
            if (other->more == VX_NONE)
                return VX_NONE;
        }
        *vx_sighting_at(other, &journeys->more, other->count++) = *sighting;
    }
    journey->count = (uint8_t)kept;
    journey->sides = VX_CAME_IN | kept_sides;
    const vx_secrets *secrets = &journeys->tally->secrets;
    vx_tag_key(&journey->key, vx_vni_of(&journey->sightings[0].traits), secrets);
    vx_tag_key(&other->key, vx_vni_of(&other->sightings[0].traits), secrets);
    return other_number;
}

static int add_loose(vx_journeys *journeys, vx_loose added) {
    if (journeys->loose_count == journeys->loose_capacity) {
        if (journeys->loose_capacity > UINT32_MAX / 4)
            return -1;
        uint32_t capacity = journeys->loose_capacity > 0 ? journeys->loose_capacity * 2 : FEWEST_ENTRIES;
        vx_loose *grown = vx_resize(journeys->loose, capacity, sizeof *grown);
        if (grown == NULL)
            return -1;
        journeys->loose = grown;
        journeys->loose_capacity = capacity;
    }
    journeys->loose[journeys->loose_count++] = added;
    journeys->loose_weight += weight_of(journey_at(journeys, added.journey));
    share_room(journeys);
    return 0;
}

static const vx_sighting *end_of(const vx_journeys *journeys, const vx_journey *journey) {
    return vx_sighting_at(journey, &journeys->more, journey->sides & VX_WENT_OUT ? journey->count - 1U : 0);
}

/* Let a journey that stands nowhere any more wait, both of its sides apart. */
static int set_loose(vx_journeys *journeys, uint32_t number, bool is_open) {
    uint32_t numbers[2] = {number, VX_NONE};
    const vx_view view = view_of(journeys, number);
    if (view.ingress != NULL && view.egress != NULL) {
        numbers[1] = split_egress(journeys, number);
        if (numbers[1] == VX_NONE)
            return -1;
    }
    for (unsigned i = 0; i < 2 && numbers[i] != VX_NONE; i++) {
        const vx_journey *journey = journey_at(journeys, numbers[i]);
        const vx_sighting *end = end_of(journeys, journey);
        const vx_pieces *pieces = end->pieces != VX_NONE ? pieces_at(journeys, end->pieces) : NULL;
        vx_loose item = vx_loose_of(journey, numbers[i], end, pieces);
        item.is_open = is_open;
        if (add_loose(journeys, item) < 0)
            return -1;
    }
    return 0;
}

/* List what is seen of the other pieces of a super-frame as sightings of it. */
static VX_RARE int list_pieces(vx_journeys *journeys, const vx_loose *item, const vx_loose *counted,
                               vx_sample start) {
    const vx_loose *all = journeys->loose;
    for (uint32_t i = item->first_piece; i != VX_NONE; i = all[i].next_piece) {
        const vx_journey *piece = journey_at(journeys, all[i].journey);
        for (unsigned j = 0; &all[i] != counted && j < piece->count; j++)
            if (vx_tally_list_sighting(journeys->tally, vx_sighting_at(piece, &journeys->more, j)->sample,
                                       start) < 0)
                return -1;
    }
    return 0;
}

/* Count what came in as one super-frame and went out in pieces, or the reverse. */
static int count_super(vx_journeys *journeys, const vx_loose *item, uint32_t flags) {
    const vx_loose *all = journeys->loose;
    vx_view view = view_of(journeys, item->journey);
    const vx_loose *first = NULL, *last = NULL;
    view.ingress = end_of(journeys, journey_at(journeys, item->journey));
    for (unsigned i = 0; i < view.count; i++)
        view.directions[i] = view.directions[i] != VX_UNKNOWN ? view.directions[i] : VX_IN;
    if (item->around != VX_NONE) {
        flags |= VX_JOINED;
        first = last = &all[item->around];
    } else {
        flags |= VX_SEGMENTED | (vx_loose_is_partial(item) ? VX_PARTIAL : 0);
        view.left = item->piece_count;
        for (uint32_t i = item->first_piece; i != VX_NONE; i = all[i].next_piece) {
            flags |= all[i].lacks ? VX_PARTIAL : 0;
            view.left -= all[i].lacks;
            view.fragmented += all[i].form != VX_WHOLE;
            last = last == NULL || vx_sample_before(last->sample, all[i].sample) ? &all[i] : last;
        }
        first = vx_loose_shown(all, item);
        view.packets = vx_loose_packets(all, item);
        view.segment = vx_loose_segment(all, item);
    }
    const vx_journey *out = journey_at(journeys, first->journey);
    for (unsigned i = 0; i < out->count && view.count < VX_MOST_STAGES; i++) {
        view.sightings[view.count] = vx_sighting_at(out, &journeys->more, i);
        view.directions[view.count++] = VX_OUT;
    }
    /* As if all that came in had gone out in one piece, like the last. */
    vx_sighting whole = *end_of(journeys, journey_at(journeys, last->journey));
    whole.pieces = VX_NONE;
    vx_traits *traits = &whole.traits;
    const vx_traits *came = &view.ingress->traits;
    traits->outer_length = came->inner_length + traits->outer_length - traits->inner_length;
    traits->inner_length = came->inner_length;
    traits->payload_length = came->payload_length;
    view.egress = &whole;
    flags |= item->numbered ? VX_OF_UDP : 0;
    if (journeys->tally->most.sightings > 0 && list_pieces(journeys, item, first, view.ingress->sample) < 0)
        return -1;
    return vx_tally_count(journeys->tally, &view, flags);
}

static bool is_alone(const vx_loose *item) { return item->around == VX_NONE && item->first_piece == VX_NONE; }

/* Whether it was open when the capture ended, and its other side is missing, all of it or a part. */
static bool waits_for_end(const vx_loose *item) {
    return item->is_open && (is_alone(item) || (item->side != VX_WENT_OUT && item->around == VX_NONE &&
                                                vx_loose_is_partial(item)));
}

/* Count those that are decided, but for what the end of the capture has yet to judge. */
static int count_decided(vx_journeys *journeys) {
    for (uint32_t i = 0; i < journeys->loose_count; i++) {
        const vx_loose *item = &journeys->loose[i];
        int status = 0;
        if (!item->decided || waits_for_end(item))
            continue;
        if (is_alone(item))
            status = count_alone(journeys, item->journey);
        else if (item->side != VX_WENT_OUT)
            status = count_super(journeys, item, 0);
        if (status < 0)
            return -1;
    }
    return 0;
}

/* Look which of the loose ones belong together, and count those of which nothing more can come; all of them
 * where that is to be decided at once. */
static VX_RARE int decide_loose(vx_journeys *journeys, bool at_once) {
    uint64_t clock = journeys->clock, window = journeys->window, wait = 2 * window + journeys->settle;
    const vx_decidable when = {
        .has_last = !at_once,
        .last_before = clock > wait ? clock - wait : 0,
        .has_first = !at_once && journeys->holds_segments,
        .first_behind = journeys->last_held + window,
    };
    if (vx_loose_decide(journeys->loose, journeys->loose_count, &journeys->journeys, window, &when) < 0)
        return -1;
    for (uint32_t i = 0; i < journeys->loose_count; i++)
        if (VX_RARELY(journeys->loose[i].too_many))
            crowd_out(journeys, journeys->loose[i].journey);
    return count_decided(journeys);
}

/* Give back those that are counted. */
static void drop_decided(vx_journeys *journeys) {
    uint32_t kept = 0;
    uint64_t weight = 0;
    for (uint32_t i = 0; i < journeys->loose_count; i++) {
        const vx_loose *item = &journeys->loose[i];
        if (!item->decided) {
            weight += weight_of(journey_at(journeys, item->journey));
            journeys->loose[kept++] = *item;
        } else if (!is_alone(item))
            free_journey(journeys, item->journey);
    }
    journeys->loose_count = kept;
    journeys->loose_weight = weight;
    share_room(journeys);
}

static int settle_loose(vx_journeys *journeys, bool at_once) {
    if (journeys->loose_count == 0)
        return 0;
    if (decide_loose(journeys, at_once) < 0)
        return -1;
    drop_decided(journeys);
    return 0;
}

/* Count a journey that stands nowhere any more, now or once it is known what belongs to it. */
static VX_RARE int count_closed(vx_journeys *journeys, uint32_t number) {
    if (!may_be_loose(journeys, number))
        return count_alone(journeys, number);
    if (set_loose(journeys, number, false) < 0)
        return -1;
    if (journeys->loose_weight <= journeys->most / LOOSE_PART)
        return 0;
    for (uint32_t i = 0; i < journeys->loose_count; i++)
        crowd_out(journeys, journeys->loose[i].journey);
    return settle_loose(journeys, true);
}

/* The same for what most journeys with fragments are. `flow`: the number that is most likely its flow's, or
 * VX_NONE. */
static VX_RARE int count_closed_in_pieces(vx_journeys *journeys, uint32_t number, uint32_t flow) {
    vx_journey *journey = journey_at(journeys, number);
    close_all_pieces(journeys, journey);
    int counted = vx_tally_count_usual_in_pieces(journeys->tally, journey, &journeys->pieces, flow);
    if (counted == 0)
        return count_closed(journeys, number);
    free_journey(journeys, number);
    return counted < 0 ? -1 : 0;
}

static inline int close_journey(vx_journeys *journeys, uint32_t number, uint32_t flow) {
    vx_journey *journey = journey_at(journeys, number);
    leave_chain(journeys, number, journey);
    leave_open(journeys, journey);
    leave_settled(journeys, journey);
    journeys->open_count -= weight_of(journey);
    if (VX_RARELY(journey->sides & VX_IN_PIECES))
        return count_closed_in_pieces(journeys, number, flow);
    int counted = vx_tally_count_usual(journeys->tally, journey, flow);
    if (counted == 0)
        return count_closed(journeys, number);
    free_usual_journey(journeys, number, journey);
    return counted < 0 ? -1 : 0;
}

/* When something that is not settled may have to close next, or what is loose has to be looked at. */
static uint64_t next_due(vx_journeys *journeys) {
    uint64_t clock = journeys->clock, wait = INT64_MAX / 2;
    const vx_ring_entry *first = first_of(&journeys->open);
    if (first != NULL) {
        uint64_t until = first->clock + journeys->window + 1 - clock;
        wait = until < wait ? until : wait;
    }
    uint64_t until = journeys->loose_clock + journeys->window + 1 - clock;
    wait = until < wait ? until : wait;
    return clock + wait;
}

/* Take the first of the settled ones that nothing could continue at this clock out of their ring: how many.
 */
static inline size_t take_settled(vx_journeys *journeys, uint64_t clock, uint32_t numbers[CLOSING]) {
    vx_ring *settled = &journeys->settled;
    size_t count = 0;
    for (; settled->head != settled->tail && count < CLOSING; settled->head++) {
        const vx_ring_entry *entry = entry_at(settled, settled->head);
        if (clock - entry->clock <= journeys->settle) /* equality still joins */
            break;
        if (entry->number == VX_NONE)
            continue;
        journey_at(journeys, entry->number)->is_settled = false;
        numbers[count++] = entry->number;
    }
    settled->taken -= (uint32_t)count;
    return count;
}

/* A journey was last touched when it settled, and where many are open is out of the nearest caches by the
 * time that it closes; where there are many flows, so is its flow. Fetch what closing these will need, each
 * step of it for all of them ahead of the next, and find the numbers that most likely are their flows'. */
static inline void fetch_closing(const vx_journeys *journeys, const uint32_t *numbers, size_t count,
                                 uint32_t *flows) {
    const vx_tally *tally = journeys->tally;
    if (vx_journeys_are_many(journeys)) {
        for (size_t i = 0; i < count; i++) {
            const vx_journey *journey = journey_at(journeys, numbers[i]);
            for (size_t at = 64; at < sizeof *journey; at += 64)
                __builtin_prefetch((const uint8_t *)journey + at);
            vx_index_prefetch(&journeys->index, journey->key.tag);
        }
    }
    if (vx_tally_is_large(tally))
        for (size_t i = 0; i < count; i++)
            vx_tally_prefetch_slot(tally, journey_at(journeys, numbers[i])->key.flow_tag);
    for (size_t i = 0; i < count; i++) {
        flows[i] = vx_tally_guess_flow(tally, journey_at(journeys, numbers[i])->key.flow_tag);
        if (flows[i] != VX_NONE)
            vx_tally_prefetch_flow(tally, flows[i]);
    }
    for (size_t i = 0; i < count; i++)
        if (flows[i] != VX_NONE)
            vx_tally_prefetch_cell(tally, flows[i]);
}

/* Close the settled ones that nothing could continue at this clock. */
static int close_settled(vx_journeys *journeys, uint64_t clock) {
    uint32_t numbers[CLOSING], flows[CLOSING];
    size_t count;
    do {
        count = take_settled(journeys, clock, numbers);
        fetch_closing(journeys, numbers, count, flows);
        for (size_t i = 0; i < count; i++)
            if (close_journey(journeys, numbers[i], flows[i]) < 0)
                return -1;
    } while (count == CLOSING);
    return 0;
}

int vx_journeys_tidy(vx_journeys *journeys) {
    end_groups(journeys);
    return close_settled(journeys, journeys->clock);
}

int vx_journeys_close_due(vx_journeys *journeys, uint64_t before) {
    /* Journeys are counted in the order in which they would close if each did at once. */
    if (close_settled(journeys, before) < 0)
        return -1;
    uint64_t clock = journeys->clock;
    const vx_ring_entry *first;
    while ((first = first_of(&journeys->open)) != NULL && clock - first->clock > journeys->window) {
        vx_journey *journey = journey_at(journeys, first->number);
        if (journey->is_settled)
            leave_open(journeys, journey);
        else if (close_journey(journeys, first->number, VX_NONE) < 0)
            return -1;
    }
    if (clock - journeys->loose_clock > journeys->window) {
        journeys->loose_clock = clock;
        if (close_settled(journeys, clock) < 0 || settle_loose(journeys, false) < 0)
            return -1;
    }
    journeys->due = next_due(journeys);
    return 0;
}

/* Space for one more sighting in a journey; NULL: no memory. */
static inline vx_sighting *next_sighting(vx_journeys *journeys, vx_journey *journey) {
    if (VX_RARELY(journey->count >= VX_FIRST_SIGHTINGS)) {
        if (journey->more == VX_NONE)
            journey->more = vx_pool_take(&journeys->more);
        if (journey->more == VX_NONE)
            return NULL;
    }
    return vx_sighting_at(journey, &journeys->more, journey->count++);
}

/* Remember when a sighting was seen, in case that it has to be held back after all. */
static VX_RARE int keep_moment(vx_journeys *journeys, uint32_t number, unsigned sighting,
                               const vx_moment *moment) {
    while (journeys->moments.used <= number)
        if (vx_pool_take(&journeys->moments) == VX_NONE)
            return -1;
    ((vx_moment *)vx_pool_at(&journeys->moments, number))[sighting] = *moment;
    return 0;
}

static inline uint8_t side_of(const vx_traits *traits) {
    return traits->direction == VX_OUT       ? VX_WENT_OUT
           : traits->direction == VX_UNKNOWN ? VX_SIDE_UNKNOWN
                                             : VX_CAME_IN;
}

/* Keep for the merge what a part holds back. */
static int keep_event(vx_journeys *journeys, const vx_event *event) {
    if (journeys->event_count == journeys->event_capacity) {
        size_t capacity = journeys->event_capacity > 0 ? journeys->event_capacity * 2 : 64;
        vx_event *grown = vx_resize(journeys->events, capacity, sizeof *grown);
        if (grown == NULL)
            return -1;
        journeys->events = grown;
        journeys->event_capacity = capacity;
    }
    journeys->events[journeys->event_count++] = *event;
    return 0;
}

/* Note a super-frame, for what closes from now on. In a part that also concerns what an earlier one has to
 * close. */
static VX_RARE int see_large(vx_journeys *journeys, const vx_tagged_key *key, const vx_moment *moment) {
    if (close_settled(journeys, journeys->clock) < 0)
        return -1;
    if (note_large(journeys, &key->key, moment->clock) < 0)
        return -1;
    vx_event event = {.key = *key, .moment = *moment, .is_large = true};
    return journeys->part ? keep_event(journeys, &event) : 0;
}

static inline int add_sighting(vx_journeys *journeys, uint32_t number, vx_journey *journey,
                               const vx_sighting *sighting, const vx_moment *moment) {
    if (VX_RARELY(journeys->part) && keep_moment(journeys, number, journey->count, moment) < 0)
        return -1;
    vx_sighting *added = next_sighting(journeys, journey);
    if (added == NULL)
        return -1;
    *added = *sighting;
    journeys->sides |= side_of(&sighting->traits);
    if (VX_RARELY(is_large_untold(&journey->key.key, sighting)) &&
        see_large(journeys, &journey->key, moment) < 0)
        return -1;
    journey->sides |= side_of(&sighting->traits) | (sighting->pieces != VX_NONE ? VX_IN_PIECES : 0);
    if (journey->outer_id == 0)
        journey->outer_id = sighting->traits.outer_id; /* 0 of what is plain */
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

static VX_RARE int evict(vx_journeys *journeys) {
    if (close_settled(journeys, journeys->clock) < 0)
        return -1;
    const vx_ring_entry *first;
    while (journeys->open_count > journeys->most_open && (first = first_of(&journeys->open)) != NULL) {
        crowd_out(journeys, first->number);
        if (close_journey(journeys, first->number, VX_NONE) < 0)
            return -1;
    }
    return 0;
}

/* Whether there may be more than there is room for. One that settled, and that may be due to close, can then
 * weigh more than before: both of its sides wait. */
static inline bool may_be_too_many(const vx_journeys *journeys) {
    return journeys->open_count + LARGE_WEIGHT * (uint64_t)journeys->settled.taken > journeys->most_open;
}

/* The new journey's number; VX_NONE: no memory. */
static inline uint32_t open_journey(vx_journeys *journeys, const vx_tagged_key *key, uint32_t newest,
                                    const vx_sighting *sighting, const vx_moment *moment) {
    uint32_t number = vx_pool_take_item(&journeys->journeys, sizeof(vx_journey));
    if (number == VX_NONE)
        return VX_NONE;
    vx_journey *journey = journey_at(journeys, number);
    journey->key = *key;
    journey->more = VX_NONE;
    journey->held = VX_NONE;
    journey->outer_id = 0;
    journey->count = journey->sides = 0;
    journey->is_settled = false;
    journey->clock = moment->clock;
    journey->order = moment->order;
    if (add_sighting(journeys, number, journey, sighting, moment) < 0 ||
        enter_chain(journeys, number, journey, newest) < 0 ||
        enter_open(journeys, number, journey, moment->clock) < 0)
        return VX_NONE;
    journeys->open_count++;
    return number;
}

/* Open the only journey of a key. */
static inline int open_first(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                             const vx_moment *moment) {
    if (open_journey(journeys, key, VX_NONE, sighting, moment) == VX_NONE)
        return -1;
    return VX_RARELY(may_be_too_many(journeys)) ? evict(journeys) : 0;
}

/* Whether equal inner packets are not told apart by the outer identification, where both have one. */
static inline bool may_be_one(const vx_journey *journey, const vx_sighting *sighting) {
    uint32_t outer_id = sighting->traits.outer_id;
    return journey->outer_id == outer_id || journey->outer_id == 0 || outer_id == 0;
}

/* Add a sighting at a stage that a journey does not yet hold. */
static inline int continue_journey(vx_journeys *journeys, uint32_t number, vx_journey *journey,
                                   const vx_sighting *sighting, const vx_moment *moment) {
    if (add_sighting(journeys, number, journey, sighting, moment) < 0)
        return -1;
    if (VX_RARELY(journey->is_settled) && sighting->pieces != VX_NONE)
        pieces_at(journeys, sighting->pieces)->joined_late = true;
    if (has_settled(journey) && !journey->is_settled &&
        enter_settled(journeys, number, journey, moment->clock) < 0)
        return -1;
    if (journey->count != VX_FIRST_SIGHTINGS + 1)
        return 0;
    journeys->open_count += LARGE_WEIGHT - 1;
    return VX_RARELY(may_be_too_many(journeys)) ? evict(journeys) : 0;
}

/* Whether it is the same datagram in a loop, that this journey has seen at this stage before. */
static bool goes_round(vx_journeys *journeys, vx_sighting *there, const vx_sighting *sighting) {
    if (sighting->traits.outer_ttl >= there->lowest_ttl)
        return false;
    there->lowest_ttl = sighting->traits.outer_ttl;
    there->looped = true;
    if (sighting->pieces != VX_NONE) {
        pieces_at(journeys, sighting->pieces)->closed = true;
        release_pieces(journeys, sighting->pieces);
    }
    return true;
}

/* Remember, at the newest of a key, what is known of the others. */
static int remember_held(vx_journeys *journeys, uint32_t newest, const vx_held *held) {
    uint32_t number = vx_pool_take(&journeys->held);
    if (number == VX_NONE)
        return -1;
    *held_at(journeys, number) = *held;
    journey_at(journeys, newest)->held = number;
    return 0;
}

/* Continue the newest journey with this key that does not yet hold this stage, or open one.
 *
 * In a flood of equal packets of which one side is seen, no journey takes another of their sightings. What
 * has been looked at once is not looked at again, for it stays so: journeys only gain stages, and stages only
 * lower TTLs. */
static VX_RARE int join_chain(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                              const vx_moment *moment) {
    if (close_settled(journeys, journeys->clock) < 0)
        return -1;
    uint32_t newest = newest_of(journeys, key);
    if (newest == VX_NONE)
        return open_first(journeys, key, sighting, moment);
    uint32_t held_number = journey_at(journeys, newest)->held;
    vx_held held = {0};
    if (held_number != VX_NONE)
        held = *held_at(journeys, held_number);
    uint8_t outer_ttl = sighting->traits.outer_ttl;
    bool is_known = held_number != VX_NONE;
    bool helps = is_known && held.place == sighting->place && held.highest_ttl <= outer_ttl;
    uint64_t known = helps ? held.order : 0;
    uint8_t highest = helps ? held.highest_ttl : 0;
    bool all_hold = true;
    for (uint32_t number = newest; number != VX_NONE;) {
        vx_journey *journey = journey_at(journeys, number);
        if (journey->order <= known)
            break;
        vx_sighting *there = sighting_of_place(journeys, journey, sighting->place);
        if (may_be_one(journey, sighting)) {
            if (there == NULL && journey->count < VX_MOST_STAGES)
                return continue_journey(journeys, number, journey, sighting, moment);
            if (there != NULL && goes_round(journeys, there, sighting))
                return journeys->tally->most.sightings > 0
                           ? vx_tally_list_sighting(journeys->tally, sighting->sample, there->sample)
                           : 0;
        }
        if (there != NULL ? there->lowest_ttl > outer_ttl : journey->count < VX_MOST_STAGES)
            all_hold = false;
        else if (there != NULL && there->lowest_ttl > highest)
            highest = there->lowest_ttl;
        number = journey->older;
    }
    if (all_hold)
        held = (vx_held){journey_at(journeys, newest)->order, sighting->place, highest};
    uint32_t opened = open_journey(journeys, key, newest, sighting, moment);
    if (opened == VX_NONE || ((all_hold || is_known) && remember_held(journeys, opened, &held) < 0))
        return -1;
    return evict(journeys);
}

/* Most often there is none of this key, or one that holds another stage and has not settled. */
static VX_ALWAYS_INLINE int join(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                                 const vx_moment *moment) {
    uint32_t newest = newest_of(journeys, key);
    if (newest == VX_NONE)
        return open_first(journeys, key, sighting, moment);
    vx_journey *journey = journey_at(journeys, newest);
    if (journey->count == 1 && journey->sightings[0].place != sighting->place &&
        may_be_one(journey, sighting))
        return continue_journey(journeys, newest, journey, sighting, moment);
    return join_chain(journeys, key, sighting, moment);
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
    uint64_t reach = reach_of(journeys);
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
    journeys->sides |= side_of(&event->sighting.traits);
    uint64_t clock = event->moment.clock;
    if (!event->is_tail && is_large_untold(&event->key.key, &event->sighting) &&
        note_large(journeys, &event->key.key, clock) < 0)
        return -1;
    if (!event->is_tail && has_segment(&event->key.key, &event->sighting)) {
        journeys->last_held =
            journeys->holds_segments && journeys->last_held > clock ? journeys->last_held : clock;
        journeys->holds_segments = true;
    }
    return keep_event(journeys, event);
}

/* Hold the tails that are still to come: how long their datagram is open depends on the earlier part. */
static int hold_group(vx_journeys *journeys, uint32_t number, uint64_t clock) {
    const vx_group_key key = group_at(journeys, number)->key;
    end_group(journeys, number);
    return attach(&journeys->attached_groups, &key, sizeof key, clock);
}

/* Undo what is open of this key: its sightings are held as if they had been from the start. */
static int take_back(vx_journeys *journeys, const vx_tagged_key *key) {
    uint32_t number;
    while ((number = newest_of(journeys, key)) != VX_NONE) {
        vx_journey *journey = journey_at(journeys, number);
        leave_chain(journeys, number, journey);
        leave_open(journeys, journey);
        leave_settled(journeys, journey);
        journeys->open_count -= weight_of(journey);
        const vx_moment *moments = vx_pool_at(&journeys->moments, number);
        for (unsigned i = 0; i < journey->count; i++) {
            vx_sighting *sighting = vx_sighting_at(journey, &journeys->more, i);
            uint32_t pieces = sighting->pieces;
            vx_event event = {.key = *key, .moment = moments[i], .sighting = *sighting};
            /* Equal keys may be of several networks. */
            vx_tag_key(&event.key, vx_vni_of(&sighting->traits), &journeys->tally->secrets);
            if (pieces != VX_NONE)
                event.piece.group = tagged_group(journeys, vx_pool_at(&journeys->group_keys, pieces));
            if (hold(journeys, &event) < 0)
                return -1;
            sighting->pieces = VX_NONE; /* the event holds them now */
            if (pieces == VX_NONE)
                continue;
            uint32_t group = find_group(journeys, &event.piece.group);
            if (group != VX_NONE && group_at(journeys, group)->pieces == pieces &&
                hold_group(journeys, group, event.moment.clock) < 0)
                return -1;
        }
        free_journey(journeys, number);
    }
    return 0;
}

/* What a part does with a sighting: 1: hold it, 0: join it, -1: no memory. */
static int see_in_part(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                       const vx_tagged_group *group, uint64_t clock) {
    int held = is_attached(journeys, &journeys->attached, &key->key, sizeof key->key, clock);
    if (held < 0 || group == NULL)
        return held;
    int group_held = is_attached(journeys, &journeys->attached_groups, &group->key, sizeof group->key, clock);
    if (group_held < 0)
        return -1;
    if (group_held) {
        /* Its tails, and so what is known of its datagram, depend on the earlier part. */
        if (!held && (take_back(journeys, key) < 0 ||
                      attach(&journeys->attached, &key->key, sizeof key->key, clock) < 0))
            return -1;
        return 1;
    }
    if (open_group(journeys, group, sighting) < 0)
        return -1;
    if (!held)
        return 0;
    return hold_group(journeys, find_group(journeys, group), clock) < 0 ? -1 : 1;
}

/* In a part: take a sighting. */
static int see_or_hold(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                       const vx_tagged_group *group, const vx_moment *moment) {
    if (close_settled(journeys, journeys->clock) < 0)
        return -1;
    int held = see_in_part(journeys, key, sighting, group, moment->clock);
    if (held == 0)
        return join(journeys, key, sighting, moment);
    vx_event event = {.key = *key, .moment = *moment, .sighting = *sighting};
    if (group != NULL)
        event.piece.group = *group;
    return held < 0 ? -1 : hold(journeys, &event);
}

/* Take a sighting, and where it is of a first fragment, whose pieces it holds, open its group. */
static VX_RARE int see(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                       const vx_tagged_group *group, const vx_moment *moment) {
    if (journeys->part)
        return see_or_hold(journeys, key, sighting, group, moment);
    if (group != NULL && open_group(journeys, group, sighting) < 0)
        return -1;
    return join(journeys, key, sighting, moment);
}

/* Whether the journey of a group's pieces cannot be due to close: it came no earlier than the group was
 * opened, and has not settled before that. One that has not settled at all is closed by its age, at once, and
 * the group with it. */
static inline bool is_surely_open(const vx_journeys *journeys, const vx_group *group) {
    return !pieces_at(journeys, group->pieces)->joined_late &&
           journeys->clock - opened_at(journeys, group) <= journeys->settle;
}

static inline int join_tail(vx_journeys *journeys, const vx_piece *tail, vx_sample sample) {
    make_room_for_fragments(journeys);
    uint32_t number = find_group(journeys, &tail->group);
    if (VX_RARELY(number == VX_NONE || group_at(journeys, number)->pieces == VX_NONE))
        return keep_tail(journeys, number, tail, sample);
    const vx_group *group = group_at(journeys, number);
    if (VX_RARELY(!is_surely_open(journeys, group)) && close_settled(journeys, journeys->clock) < 0)
        return -1;
    add_tail(journeys, group->pieces, tail->covered, tail->wire_bytes);
    return 0;
}

/* Take a tail as such. */
static inline int see_tail(vx_journeys *journeys, const vx_piece *tail, const vx_sighting *sighting,
                           const vx_moment *moment) {
    int held = 0;
    if (VX_RARELY(journeys->part))
        held = is_attached(journeys, &journeys->attached_groups, &tail->group.key, sizeof tail->group.key,
                           moment->clock);
    if (held == 0)
        return join_tail(journeys, tail, sighting->sample);
    vx_event event = {.moment = *moment, .is_tail = true, .piece = *tail, .sighting = *sighting};
    return held < 0 ? -1 : hold(journeys, &event);
}

int vx_journeys_see(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                    const vx_tagged_group *group) {
    vx_moment moment = {journeys->clock, ++journeys->order};
    if (VX_RARELY((group != NULL) | journeys->part))
        return see(journeys, key, sighting, group, &moment);
    return join(journeys, key, sighting, &moment);
}

int vx_journeys_see_tail(vx_journeys *journeys, const vx_tagged_key *key, const vx_sighting *sighting,
                         const vx_piece *tail) {
    vx_moment moment = {journeys->clock, ++journeys->order};
    if (see_tail(journeys, tail, sighting, &moment) < 0)
        return -1;
    if (VX_RARELY(journeys->part))
        return see(journeys, key, sighting, NULL, &moment);
    return join(journeys, key, sighting, &moment);
}

/* The end. */

/* A journey that is still there when the capture ends. */
typedef struct {
    uint32_t number;
    bool open;
} remaining;

/* Count it, unless it is doubtful: 0, 1: it is, -1: no memory. */
static int count_late(vx_journeys *journeys, remaining rest, uint64_t grace) {
    vx_tally *tally = journeys->tally;
    vx_view view = view_of(journeys, rest.number);
    int64_t time = vx_view_start(&view)->sample.time;
    uint32_t flags = 0;
    /* One that closed is undecided: there was time for more, but none before. */
    bool ends = rest.open && (uint64_t)tally->last_time - (uint64_t)time <= grace;
    if (ends && (view.egress == NULL || view.ingress != NULL))
        flags |= VX_AT_END;
    if (begins(journeys, &view, grace))
        flags |= VX_AT_START;
    if (!(flags & VX_AT_END) && vx_is_doubtful(&view))
        return 1;
    return vx_tally_count(tally, &view, flags);
}

static int by_start(const void *one, const void *other) {
    const vx_doubt *first = one, *second = other;
    return (int)vx_sample_before(second->start, first->start) -
           (int)vx_sample_before(first->start, second->start);
}

/* Count the doubtful ones, now that it can be told which of them were acknowledged. */
static int count_doubtful(vx_journeys *journeys, const uint32_t *numbers, size_t count) {
    if (count == 0)
        return 0;
    vx_doubt *doubts = vx_allocate(count, sizeof *doubts);
    if (doubts == NULL)
        return -1;
    vx_map ends;
    vx_doubt_ends_init(&ends, journeys->attached.seed);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        vx_view view = view_of(journeys, numbers[i]);
        status = vx_doubt_of(&doubts[i], &view, numbers[i], &ends);
    }
    if (status == 0)
        status = vx_doubts_weigh(doubts, count, &ends, journeys->tally);
    if (status == 0)
        qsort(doubts, count, sizeof *doubts, by_start);
    for (size_t i = 0; i < count && status == 0; i++) {
        vx_view view = view_of(journeys, doubts[i].journey);
        status = vx_tally_count(journeys->tally, &view, doubts[i].acknowledged ? VX_ACKNOWLEDGED : 0);
    }
    vx_map_free(&ends);
    free(doubts);
    return status;
}

/* Count those that are complete now, and keep the others in `rest`, for when all latencies are known. */
static int count_complete(vx_journeys *journeys, remaining *rest, size_t *count) {
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        close_all_pieces(journeys, journey_at(journeys, rest[i].number));
        vx_view view = view_of(journeys, rest[i].number);
        if (view.ingress == NULL || view.egress == NULL || vx_view_is_partial(&view))
            rest[kept++] = rest[i];
        else if (vx_tally_count(journeys->tally, &view, 0) < 0)
            return -1;
    }
    *count = kept;
    return 0;
}

/* Of one that is open: keep it, or let it wait for what it may belong to. */
static int keep_or_set_loose(vx_journeys *journeys, uint32_t number, remaining *rest, size_t *count) {
    close_all_pieces(journeys, journey_at(journeys, number));
    if (may_be_loose(journeys, number))
        return set_loose(journeys, number, true);
    rest[(*count)++] = (remaining){number, true};
    return 0;
}

int vx_journeys_finish(vx_journeys *journeys) {
    const vx_ring_entry *group;
    while ((group = first_of(&journeys->group_order)) != NULL)
        end_group(journeys, group->number);
    if (vx_tally_fit_timeline(journeys->tally) < 0)
        return -1;
    size_t count = 0, most = 2 * (size_t)journeys->journeys.used + 1; /* each may have two sides */
    remaining *rest = vx_allocate(most, sizeof *rest);
    if (rest == NULL)
        return -1;
    int status = 0;
    const vx_ring *open = &journeys->open, *settled = &journeys->settled;
    for (uint32_t at = open->head; at != open->tail && status == 0; at++)
        if (entry_at(open, at)->number != VX_NONE)
            status = keep_or_set_loose(journeys, entry_at(open, at)->number, rest, &count);
    for (uint32_t at = settled->head; at != settled->tail && status == 0; at++) {
        uint32_t number = entry_at(settled, at)->number;
        if (number != VX_NONE && !journey_at(journeys, number)->is_open)
            status = keep_or_set_loose(journeys, number, rest, &count);
    }
    if (status == 0)
        status = decide_loose(journeys, true);
    for (uint32_t i = 0; i < journeys->loose_count && status == 0; i++)
        if (waits_for_end(&journeys->loose[i]) && is_alone(&journeys->loose[i]))
            rest[count++] = (remaining){journeys->loose[i].journey, true};
    for (uint32_t i = journeys->undecided.first; i != VX_NONE; i = journey_at(journeys, i)->newer)
        rest[count++] = (remaining){i, false};
    if (status == 0)
        status = count_complete(journeys, rest, &count);
    uint64_t grace = grace_of(journeys);
    uint32_t *doubtful = vx_allocate(most + 1, sizeof *doubtful);
    size_t doubts = 0;
    if (doubtful == NULL)
        status = -1;
    for (size_t i = 0; i < count && status >= 0; i++) {
        status = count_late(journeys, rest[i], grace);
        if (status == 1)
            doubtful[doubts++] = rest[i].number;
    }
    status = status > 0 ? 0 : status;
    for (uint32_t i = 0; i < journeys->loose_count && status == 0; i++) {
        const vx_loose *item = &journeys->loose[i];
        if (!waits_for_end(item) || is_alone(item))
            continue;
        bool ends = (uint64_t)journeys->tally->last_time - (uint64_t)item->sample.time <= grace;
        status = count_super(journeys, item, ends ? VX_AT_END : 0);
    }
    for (uint32_t i = journeys->doubtful.first; i != VX_NONE && status >= 0;
         i = journey_at(journeys, i)->newer)
        doubtful[doubts++] = i;
    if (status >= 0)
        status = count_doubtful(journeys, doubtful, doubts);
    free(doubtful);
    free(rest);
    return status;
}

/* Parts together. */

static int by_order(const void *one, const void *other) {
    const vx_event *first = one, *second = other;
    if (first->moment.order != second->moment.order)
        return first->moment.order < second->moment.order ? -1 : 1;
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

static vx_moment transfer_moment(const transfer *over, vx_moment moment) {
    return (vx_moment){moment.clock + over->shift, moment.order + over->to->order};
}

static vx_tagged_group transfer_group(const transfer *over, const vx_group_key *key) {
    vx_group_key here = *key;
    here.spot = over->numbers->places[key->spot];
    return tagged_group(over->to, &here);
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
        *pieces_at(over->to, *here) = *pieces_at(over->from, *number);
        const vx_tagged_group group = transfer_group(over, vx_pool_at(&over->from->group_keys, *number));
        if (keep_group_key(over->to, *here, &group.key) < 0)
            return -1;
    }
    *number = *here;
    return 0;
}

static int transfer_sighting(const transfer *over, vx_sighting *sighting) {
    sighting->sample = vx_renumber(sighting->sample, over->base);
    sighting->place = over->numbers->places[sighting->place];
    if (sighting->underlay != VX_NONE)
        sighting->underlay = over->numbers->underlays[sighting->underlay];
    return transfer_pieces(over, &sighting->pieces);
}

/* See what was held back, as if it had come here first. */
static int replay(const transfer *over) {
    vx_journeys *journeys = over->to, *other = over->from;
    if (other->event_count > 1)
        qsort(other->events, other->event_count, sizeof *other->events, by_order);
    for (size_t i = 0; i < other->event_count; i++) {
        vx_event *event = &other->events[i];
        vx_moment moment = transfer_moment(over, event->moment);
        if (vx_journeys_advance(journeys, moment.clock) < 0)
            return -1;
        if (event->is_large) {
            if (see_large(journeys, &event->key, &moment) < 0)
                return -1;
            continue;
        }
        if (transfer_sighting(over, &event->sighting) < 0)
            return -1;
        int status;
        vx_piece piece = event->piece;
        if (event->is_tail || event->sighting.pieces != VX_NONE)
            piece.group = transfer_group(over, &piece.group.key);
        if (event->is_tail)
            status = see_tail(journeys, &piece, &event->sighting, &moment);
        else
            status = see(journeys, &event->key, &event->sighting,
                         event->sighting.pieces != VX_NONE ? &piece.group : NULL, &moment);
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

/* Copy a journey of the other, without putting it anywhere. `moments`: when its sightings were seen, or NULL
 * for one that is never held back. VX_NONE: no memory. */
static uint32_t copy_journey(const transfer *over, uint32_t theirs_number, const vx_moment *moments) {
    vx_journeys *journeys = over->to;
    const vx_journey *theirs = journey_at(over->from, theirs_number);
    uint32_t number = vx_pool_take(&journeys->journeys);
    if (number == VX_NONE)
        return VX_NONE;
    vx_journey *journey = journey_at(journeys, number);
    *journey = *theirs;
    journey->is_open = journey->is_settled = false;
    journey->held = VX_NONE; /* places and orders are other ones here */
    if (theirs->more != VX_NONE) {
        journey->more = vx_pool_take(&journeys->more);
        if (journey->more == VX_NONE)
            return VX_NONE;
        memcpy(vx_pool_at(&journeys->more, journey->more), vx_pool_at(&over->from->more, theirs->more),
               sizeof(vx_more));
    }
    journey->clock += over->shift;
    journey->order += journeys->order;
    for (unsigned i = 0; i < journey->count; i++) {
        if (transfer_sighting(over, vx_sighting_at(journey, &journeys->more, i)) < 0)
            return VX_NONE;
        if (!journeys->part || moments == NULL)
            continue;
        vx_moment moment = transfer_moment(over, moments[i]);
        if (keep_moment(journeys, number, i, &moment) < 0)
            return VX_NONE;
    }
    return number;
}

static uint32_t copy_open_journey(const transfer *over, uint32_t theirs_number) {
    return copy_journey(over, theirs_number, vx_pool_at(&over->from->moments, theirs_number));
}

/* Before anything is replayed: what hangs together with it may be decided then. */
static int take_over_loose(const transfer *over) {
    vx_journeys *journeys = over->to;
    const vx_journeys *other = over->from;
    journeys->sides |= other->sides;
    for (uint32_t i = 0; i < other->loose_count; i++) {
        vx_loose item = other->loose[i];
        item.journey = copy_journey(over, item.journey, NULL);
        item.clock += over->shift;
        item.place = over->numbers->places[item.place];
        item.sample = vx_renumber(item.sample, over->base);
        if (item.journey == VX_NONE || add_loose(journeys, item) < 0)
            return -1;
    }
    return 0;
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
    uint32_t *here; /* by the other's number, for those that stand in both rings */
} gathering;

static int gather(const transfer *over, gathering *all) {
    vx_journeys *journeys = over->to, *other = over->from;
    for (uint32_t at = journeys->open.head; at != journeys->open.tail; at++) {
        uint32_t number = entry_at(&journeys->open, at)->number;
        if (number != VX_NONE)
            rank(all->open, &all->open_count, journey_at(journeys, number)->order, number);
    }
    for (uint32_t at = journeys->settled.head; at != journeys->settled.tail; at++) {
        vx_ring_entry entry = *entry_at(&journeys->settled, at);
        if (entry.number != VX_NONE)
            rank(all->settled, &all->settled_count, entry.clock, entry.number);
    }
    for (uint32_t at = other->open.head; at != other->open.tail; at++) {
        uint32_t theirs = entry_at(&other->open, at)->number;
        if (theirs == VX_NONE)
            continue;
        uint32_t number = copy_open_journey(over, theirs);
        if (number == VX_NONE)
            return -1;
        all->here[theirs] = number;
        rank(all->open, &all->open_count, journey_at(journeys, number)->order, number);
        rank(all->adopted, &all->adopted_count, journey_at(journeys, number)->order, number);
    }
    for (uint32_t at = other->settled.head; at != other->settled.tail; at++) {
        vx_ring_entry entry = *entry_at(&other->settled, at);
        if (entry.number == VX_NONE)
            continue;
        bool in_both = journey_at(other, entry.number)->is_open;
        uint32_t number = in_both ? all->here[entry.number] : copy_open_journey(over, entry.number);
        if (number == VX_NONE)
            return -1;
        rank(all->settled, &all->settled_count, entry.clock + over->shift, number);
        if (!in_both)
            rank(all->adopted, &all->adopted_count, journey_at(journeys, number)->order, number);
    }
    return 0;
}

/* Put what was gathered into rings and chains. */
static int arrange(vx_journeys *journeys, gathering *all) {
    qsort(all->open, all->open_count, sizeof *all->open, by_rank);
    qsort(all->settled, all->settled_count, sizeof *all->settled, by_rank);
    qsort(all->adopted, all->adopted_count, sizeof *all->adopted, by_rank);
    vx_ring *rings[] = {&journeys->open, &journeys->settled};
    for (unsigned i = 0; i < 2; i++) {
        rings[i]->head = rings[i]->tail;
        rings[i]->taken = 0;
    }
    for (uint32_t i = 0; i < all->open_count; i++) {
        uint32_t number = all->open[i].number;
        vx_journey *journey = journey_at(journeys, number);
        if (enter_open(journeys, number, journey, journey->clock) < 0)
            return -1;
    }
    for (uint32_t i = 0; i < all->settled_count; i++) {
        uint32_t number = all->settled[i].number;
        if (enter_settled(journeys, number, journey_at(journeys, number), all->settled[i].rank) < 0)
            return -1;
    }
    /* Oldest first: a settled one may have left the open ones before those that opened after it. */
    for (uint32_t i = 0; i < all->adopted_count; i++) {
        uint32_t number = all->adopted[i].number;
        vx_journey *journey = journey_at(journeys, number);
        journeys->open_count += weight_of(journey);
        if (enter_chain(journeys, number, journey, newest_of(journeys, &journey->key)) < 0)
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

static int adopt_doubtful(const transfer *over) {
    vx_journeys *journeys = over->to;
    for (uint32_t i = over->from->doubtful.first; i != VX_NONE; i = journey_at(over->from, i)->newer) {
        uint32_t number = copy_journey(over, i, NULL);
        if (number == VX_NONE)
            return -1;
        if (doubt(journeys, number))
            continue;
        vx_view view = view_of(journeys, number);
        int status = vx_tally_count(journeys->tally, &view, 0);
        free_journey(journeys, number);
        if (status < 0)
            return -1;
    }
    return 0;
}

static int adopt_group(const transfer *over, const vx_group *theirs, uint64_t clock) {
    vx_journeys *journeys = over->to;
    const vx_tagged_group tagged = transfer_group(over, &theirs->key);
    uint32_t number = find_group(journeys, &tagged), pieces = theirs->pieces;
    if (number != VX_NONE)
        end_group(journeys, number);
    if (transfer_pieces(over, &pieces) < 0)
        return -1;
    number = add_group(journeys, &tagged, pieces);
    if (number == VX_NONE)
        return -1;
    vx_group *group = group_at(journeys, number);
    entry_at(&journeys->group_order, group->order_at)->clock = clock + over->shift;
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
        journeys->fragments++;
        i = tail->next;
    }
    return 0;
}

static int adopt_groups(const transfer *over) {
    const vx_ring *theirs = &over->from->group_order;
    for (uint32_t at = theirs->head; at != theirs->tail; at++) {
        const vx_ring_entry *entry = entry_at(theirs, at);
        if (entry->number != VX_NONE &&
            adopt_group(over, group_at(over->from, entry->number), entry->clock) < 0)
            return -1;
    }
    vx_journeys *journeys = over->to;
    vx_ring *order = &journeys->group_order;
    uint32_t count = 0;
    ranked *all = vx_allocate((size_t)order->taken + 1, sizeof *all);
    if (all == NULL)
        return -1;
    for (uint32_t at = order->head; at != order->tail; at++) {
        vx_ring_entry entry = *entry_at(order, at);
        if (entry.number != VX_NONE)
            rank(all, &count, entry.clock, entry.number);
    }
    qsort(all, count, sizeof *all, by_rank);
    int status = 0;
    order->tail = order->head;
    order->taken = 0;
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = enter_ring(journeys, order, all[i].number, all[i].rank,
                            &group_at(journeys, all[i].number)->order_at);
    free(all);
    return status;
}

int vx_journeys_merge(vx_journeys *journeys, vx_journeys *other, const vx_numbers *numbers, uint64_t shift,
                      const uint64_t *base) {
    size_t pieces = (size_t)other->pieces.used + 1;
    transfer over = {journeys, other, numbers, base, shift, vx_allocate(pieces, sizeof(uint32_t))};
    if (over.pieces == NULL)
        return -1;
    end_groups(other);                                       /* only those that are open are adopted */
    memset(over.pieces, 0xff, pieces * sizeof *over.pieces); /* VX_NONE */
    int status = take_over_loose(&over);
    if (status == 0)
        status = replay(&over);
    if (status == 0)
        status = vx_journeys_advance(journeys, shift + other->clock);
    if (status == 0)
        status = vx_journeys_tidy(journeys);
    if (status == 0)
        status = adopt_journeys(&over);
    if (status == 0)
        status = adopt_doubtful(&over);
    if (status == 0)
        status = adopt_groups(&over);
    journeys->order += other->order;
    free(over.pieces);
    return status;
}
