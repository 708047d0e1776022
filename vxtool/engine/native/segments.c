/* See segments.h for what is promised, and vxtool/engine/segments.py for the same in plain words. */
#include "segments.h"

#include "tally.h"
#include "usual.h"

#include <stdlib.h>

enum { MOST_AROUND = 64 };   /* of one flow, that hold one byte: older ones among more are not looked at */
enum { MOST_PIECES = 1024 }; /* of one super-frame: more than BIG TCP's 512 KiB hold of 536 bytes */
enum { MOST_TOGETHER = 1 << 16 }; /* that hang together: more are not waited for */
enum { MOST_NUMBERED = 128 };     /* the same of UDP: UDP_MAX_SEGMENTS in include/linux/udp.h of Linux */
enum { FEWEST_EDGES = 64 };

vx_loose vx_loose_of(const vx_journey *journey, uint32_t number, const vx_sighting *end,
                     const vx_pieces *pieces) {
    const vx_key *key = &journey->key.key;
    bool numbered = key->ends.protocol == VX_UDP;
    uint64_t hash = vx_hash(&key->ends, sizeof key->ends, 0);
    hash = vx_mix(hash ^ vx_word_of(key->transport[1], key->transport[2]), hash ^ key->transport[3]);
    return (vx_loose){
        .sample = end->sample,
        .clock = journey->clock,
        .likeness = hash,
        .journey = number,
        .start = numbered ? 0 : vx_big32((const uint8_t *)key->transport),
        .length = end->traits.payload_length,
        .outer_id = end->traits.outer_id,
        .inner_id = key->identification,
        .vni = vx_vni_of(&end->traits),
        .place = end->place,
        .wear = end->traits.wear,
        .outer_ttl = end->traits.outer_ttl,
        .inner_ttl = end->traits.inner_ttl,
        .side = end->traits.direction == VX_OUT ? VX_WENT_OUT : VX_CAME_IN,
        .untold = end->traits.direction == VX_UNKNOWN,
        .is_large = end->traits.inner_length > VX_LONGEST_PACKET,
        .form = pieces == NULL        ? VX_WHOLE
                : pieces->packets > 1 ? VX_FRAGMENTS
                                      : VX_FIRST_ONLY,
        .lacks = pieces != NULL && pieces->covered < end->traits.outer_length - end->traits.outer_header,
        .numbered = numbered,
    };
}

/* The first of those in fragments. Those of which the first fragment alone was seen stand behind where a loss
 * is sure, since a filter may hide the others. */
const vx_loose *vx_loose_shown(const vx_loose *all, const vx_loose *item) {
    bool sure = vx_loose_is_partial(item);
    for (uint32_t i = item->first_piece; i != VX_NONE; i = all[i].next_piece)
        sure |= all[i].lacks && all[i].form == VX_FRAGMENTS;
    unsigned rank[3];
    rank[VX_FRAGMENTS] = sure ? 0 : 1;
    rank[VX_WHOLE] = sure ? 1 : 2;
    rank[VX_FIRST_ONLY] = sure ? 2 : 0;
    const vx_loose *shown = &all[item->first_piece];
    for (uint32_t i = shown->next_piece; i != VX_NONE; i = all[i].next_piece) {
        const vx_loose *piece = &all[i];
        if (rank[piece->form] != rank[shown->form] ? rank[piece->form] < rank[shown->form]
                                                   : vx_sample_before(piece->sample, shown->sample))
            shown = piece;
    }
    return shown;
}

static void forget(vx_loose *item, uint32_t number) {
    item->decided = false;
    if (item->untold)
        item->side = VX_SIDE_UNKNOWN;
    item->parent = number;
    item->around = item->first_piece = item->last_piece = item->next_piece = VX_NONE;
    item->piece_count = 0;
    item->piece_bytes = 0;
}

static uint32_t root_of(vx_loose *all, uint32_t number) {
    while (all[number].parent != number) {
        all[number].parent = all[all[number].parent].parent;
        number = all[number].parent;
    }
    return number;
}

static uint32_t offset_of(const vx_loose *around, const vx_loose *piece) {
    return piece->start - around->start;
}

static bool ends_with(const vx_loose *around, const vx_loose *piece) {
    return (uint64_t)offset_of(around, piece) + piece->length == around->length;
}

static int hops_behind(const vx_loose *one, const vx_loose *other) {
    return one->wear == other->wear ? one->outer_ttl - other->outer_ttl : one->inner_ttl - other->inner_ttl;
}

/* Whether one came in and the other went out. */
static bool are_opposite(const vx_loose *around, const vx_loose *inside) {
    if (!around->untold || !inside->untold)
        return around->untold == inside->untold && around->side != inside->side;
    int hops = hops_behind(around, inside);
    return around->is_large && around->place != inside->place && (hops == 1 || hops == -1);
}

/* Whether it is the piece that went out, of two that are opposite. */
static bool leaves(const vx_loose *around, const vx_loose *inside) {
    return inside->untold ? hops_behind(around, inside) > 0 : inside->side == VX_WENT_OUT;
}

/* The size of the segments before a piece, as its identification tells; 0: it does not, -1: it is no piece.
 */
static int64_t size_told(const vx_loose *around, const vx_loose *inside) {
    uint32_t steps;
    if (around->outer_id != 0 && inside->outer_id != 0) /* both in a tunnel */
        steps = (inside->outer_id - around->outer_id) & 0xffff;
    else if (around->inner_id != 0 && inside->inner_id != 0)
        steps = (inside->inner_id - around->inner_id) & 0xffff;
    else
        return 0;
    if (steps == 0)
        return 0; /* the first, or all have the same */
    uint32_t size = offset_of(around, inside) / steps;
    if (offset_of(around, inside) % steps != 0 || size < inside->length ||
        (size > inside->length && !ends_with(around, inside)))
        return -1;
    return size;
}

/* Pieces of UDP's, by their numbers. */

static bool is_told_by_tunnel(const vx_loose *around, const vx_loose *inside) {
    return around->vni >= 0 && inside->vni >= 0 && (around->outer_id != 0 || inside->outer_id != 0);
}

/* Which piece of a super-frame it is, from 0, going by identifications alone; -1: none. */
static int64_t number_told(const vx_loose *around, const vx_loose *inside) {
    uint32_t steps = (inside->inner_id - around->inner_id) & 0xffff;
    if (is_told_by_tunnel(around, inside)) {
        uint32_t outer = (inside->outer_id - around->outer_id) & 0xffff;
        return (steps == 0 || steps == outer) && outer < MOST_NUMBERED ? (int64_t)outer : -1;
    }
    if (around->inner_id == 0 && inside->inner_id == 0 && !leaves(around, inside))
        return -1; /* sent without any: what is cut counts up from 0 */
    return steps < MOST_NUMBERED ? (int64_t)steps : -1;
}

static bool may_be_full(const vx_loose *around, const vx_loose *inside, int64_t number) {
    return (number + 1) * inside->length <= around->length &&
           around->length <= (int64_t)MOST_NUMBERED * inside->length;
}

/* The size of the pieces before this one, if this is the last; 0: it cannot be. */
static int64_t size_before_last(const vx_loose *around, const vx_loose *inside, int64_t number) {
    int64_t before = (int64_t)around->length - inside->length;
    if (number == 0 || before % number != 0 || before / number < inside->length)
        return 0;
    return before / number;
}

static bool may_be_piece(const vx_loose *around, const vx_loose *inside) {
    int64_t number = number_told(around, inside);
    return number >= 0 &&
           (may_be_full(around, inside, number) || size_before_last(around, inside, number) > 0);
}

static uint32_t longest_piece(const vx_loose *all, const vx_loose *around) {
    uint32_t longest = 0;
    for (uint32_t i = around->first_piece; i != VX_NONE; i = all[i].next_piece)
        longest = all[i].length > longest ? all[i].length : longest;
    return longest;
}

/* One alone is taken for the last only where it can be no other. */
uint32_t vx_loose_segment(const vx_loose *all, const vx_loose *item) {
    if (!item->numbered)
        return 0;
    if (item->piece_count == 1) {
        const vx_loose *piece = &all[item->first_piece];
        int64_t number = number_told(item, piece);
        if (!may_be_full(item, piece, number))
            return (uint32_t)size_before_last(item, piece, number);
    }
    return longest_piece(all, item);
}

static bool is_at(const vx_loose *around, const vx_loose *piece, int64_t number, int64_t size) {
    return number * size + piece->length == around->length ||
           (piece->length == size && (number + 1) * size <= around->length);
}

/* Whether it can be a piece beside those that were found: with a number of its own, all as long but the last.
 */
static bool fits_numbered(const vx_loose *all, const vx_loose *around, const vx_loose *inside) {
    if (around->first_piece == VX_NONE)
        return true;
    int64_t number = number_told(around, inside), size = longest_piece(all, around);
    size = inside->length > size ? inside->length : size;
    if (!is_at(around, inside, number, size) || around->length > MOST_NUMBERED * size)
        return false;
    for (uint32_t i = around->first_piece; i != VX_NONE; i = all[i].next_piece) {
        int64_t other = number_told(around, &all[i]);
        if (other == number || !is_at(around, &all[i], other, size))
            return false;
    }
    return true;
}

uint32_t vx_loose_packets(const vx_loose *all, const vx_loose *item) {
    if (!vx_loose_is_partial(item))
        return item->piece_count;
    if (item->numbered) {
        uint32_t segment = vx_loose_segment(all, item);
        return (item->length + segment - 1) / segment;
    }
    /* By the size of a piece other than the last; else as their identifications tell it. */
    int64_t size = 0, told = 0;
    for (uint32_t i = item->first_piece; i != VX_NONE; i = all[i].next_piece) {
        const vx_loose *piece = &all[i];
        int64_t by_number = size_told(item, piece);
        if (!ends_with(item, piece) && piece->length > size)
            size = piece->length;
        told = by_number > told ? by_number : told;
    }
    size = size > 0 ? size : told;
    uint32_t least = item->piece_count + 1;
    if (size == 0)
        return least;
    uint32_t packets = (uint32_t)((item->length + size - 1) / size);
    return packets > least ? packets : least;
}

/* What holds, and what is held. */
typedef struct {
    uint32_t around;
    uint32_t inside;
    vx_sample sample; /* of the latter */
} edge;

typedef struct {
    edge *all;
    size_t count;
    size_t capacity;
} edges;

static int add_edge(edges *list, edge added) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? list->capacity * 2 : FEWEST_EDGES;
        edge *grown = vx_resize(list->all, capacity, sizeof *grown);
        if (grown == NULL)
            return -1;
        list->all = grown;
        list->capacity = capacity;
    }
    list->all[list->count++] = added;
    return 0;
}

/* Where one stands in its flow's sequence space, or among its identifications. */
typedef struct {
    uint64_t likeness;
    int64_t start;
    vx_sample sample;
    uint32_t length;
    uint32_t number;
} placed;

static int by_sample(vx_sample one, vx_sample other) {
    return vx_sample_before(one, other) ? -1 : vx_sample_before(other, one);
}

static int by_place(const void *one, const void *other) {
    const placed *first = one, *second = other;
    if (first->likeness != second->likeness)
        return first->likeness < second->likeness ? -1 : 1;
    if (first->start != second->start)
        return first->start < second->start ? -1 : 1;
    if (first->length != second->length)
        return first->length > second->length ? -1 : 1;
    return by_sample(first->sample, second->sample);
}

static int by_inside(const void *one, const void *other) {
    const edge *first = one, *second = other;
    return by_sample(first->sample, second->sample);
}

static bool are_alike(const vx_pool *journeys, const vx_loose *one, const vx_loose *other) {
    const vx_key *first = &((const vx_journey *)vx_pool_at(journeys, one->journey))->key.key;
    const vx_key *second = &((const vx_journey *)vx_pool_at(journeys, other->journey))->key.key;
    return vx_same(&first->ends, &second->ends, sizeof first->ends) &&
           vx_same(&first->transport[1], &second->transport[1], 3 * sizeof first->transport[1]);
}

/* Whether one may be a piece of the other, in whose bytes its own lie. */
static bool holds(const vx_pool *journeys, const vx_loose *around, const vx_loose *inside, uint64_t window) {
    uint64_t apart =
        around->clock > inside->clock ? around->clock - inside->clock : inside->clock - around->clock;
    return are_opposite(around, inside) && around->form == VX_WHOLE &&
           (inside->form == VX_WHOLE || leaves(around, inside)) && around->length != inside->length &&
           apart <= window && (around->vni == inside->vni || around->vni < 0 || inside->vni < 0) &&
           (around->numbered ? may_be_piece(around, inside) : size_told(around, inside) >= 0) &&
           are_alike(journeys, around, inside);
}

/* All in the order of their flows and places. Sequence numbers wrap (RFC 9293): what crosses that point
 * stands before it and behind. */
static placed *place_all(const vx_loose *all, uint32_t count, size_t *placed_count) {
    placed *places = vx_allocate(2 * (size_t)count + 1, sizeof *places);
    if (places == NULL)
        return NULL;
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const vx_loose *item = &all[i];
        if (item->numbered)
            continue;
        places[used++] = (placed){item->likeness, item->start, item->sample, item->length, i};
        if ((uint64_t)item->start + item->length > UINT64_C(1) << 32)
            places[used++] = (placed){item->likeness, (int64_t)item->start - (INT64_C(1) << 32), item->sample,
                                      item->length, i};
    }
    qsort(places, used, sizeof *places, by_place);
    *placed_count = used;
    return places;
}

static int find_edges(const vx_loose *all, uint32_t count, const vx_pool *journeys, uint64_t window,
                      edges *found) {
    size_t places_count, around_count = 0;
    placed *places = place_all(all, count, &places_count);
    if (places == NULL)
        return -1;
    const placed *around[MOST_AROUND + 1]; /* of those that begin no later, and reach beyond this start */
    int status = 0;
    for (size_t i = 0; i < places_count && status == 0; i++) {
        const placed *place = &places[i];
        int64_t end = place->start + place->length;
        size_t kept = 0;
        for (size_t j = 0; j < around_count; j++)
            if (around[j]->likeness == place->likeness && around[j]->start + around[j]->length > place->start)
                around[kept++] = around[j];
        if (kept > MOST_AROUND) {
            memmove(around, around + 1, MOST_AROUND * sizeof(const placed *));
            kept = MOST_AROUND;
        }
        for (size_t j = 0; j < kept && status == 0; j++) {
            const placed *other = around[j];
            if (other->start + other->length >= end &&
                holds(journeys, &all[other->number], &all[place->number], window))
                status = add_edge(found, (edge){other->number, place->number, place->sample});
        }
        around[kept] = place;
        around_count = kept + 1;
    }
    free(places);
    return status;
}

/* All of UDP's in the order of their flows and identifications, which wrap too. */
static placed *place_numbered(const vx_loose *all, uint32_t count, bool of_tunnels, size_t *placed_count) {
    placed *places = vx_allocate(2 * (size_t)count + 1, sizeof *places);
    if (places == NULL)
        return NULL;
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const vx_loose *item = &all[i];
        if (!item->numbered)
            continue;
        int64_t number = of_tunnels ? item->outer_id : item->inner_id;
        places[used++] = (placed){item->likeness, number, item->sample, item->length, i};
        if (number + MOST_NUMBERED > 1 << 16)
            places[used++] = (placed){item->likeness, number - (1 << 16), item->sample, item->length, i};
    }
    qsort(places, used, sizeof *places, by_place);
    *placed_count = used;
    return places;
}

/* What stands before a place on one side, near enough to hold it: the newest last. */
typedef struct {
    const placed *all[MOST_AROUND + 1];
    size_t count;
} nearby;

static void drop_far(nearby *before, const placed *place) {
    size_t kept = 0;
    for (size_t i = 0; i < before->count; i++)
        if (before->all[i]->likeness == place->likeness &&
            place->start - before->all[i]->start < MOST_NUMBERED)
            before->all[kept++] = before->all[i];
    before->count = kept;
}

static void add_nearby(nearby *before, const placed *place) {
    if (before->count == MOST_AROUND) {
        memmove(before->all, before->all + 1, (MOST_AROUND - 1) * sizeof(const placed *));
        before->count--;
    }
    before->all[before->count++] = place;
}

static int find_numbered(const vx_loose *all, uint32_t count, const vx_pool *journeys, uint64_t window,
                         bool of_tunnels, edges *found) {
    size_t places_count;
    placed *places = place_numbered(all, count, of_tunnels, &places_count);
    if (places == NULL)
        return -1;
    /* That came in, that went out, and that may be super-frames where no direction is told. */
    nearby before[3] = {{.count = 0}, {.count = 0}, {.count = 0}};
    int status = 0;
    for (size_t i = 0; i < places_count && status == 0; i++) {
        const placed *place = &places[i];
        const vx_loose *item = &all[place->number];
        nearby *other_side = &before[item->untold ? 2 : item->side != VX_WENT_OUT];
        drop_far(other_side, place);
        for (size_t j = 0; j < other_side->count && status == 0; j++) {
            const vx_loose *other = &all[other_side->all[j]->number];
            if (is_told_by_tunnel(other, item) == of_tunnels && holds(journeys, other, item, window))
                status = add_edge(found, (edge){other_side->all[j]->number, place->number, place->sample});
        }
        if (!item->untold || item->is_large)
            add_nearby(&before[item->untold ? 2 : item->side == VX_WENT_OUT], place);
    }
    free(places);
    return status;
}

static bool has_room(const vx_loose *all, const vx_loose *around, const vx_loose *inside) {
    if (around->numbered)
        return fits_numbered(all, around, inside);
    uint64_t start = offset_of(around, inside), end = start + inside->length;
    if (around->piece_count >= MOST_PIECES)
        return false;
    for (uint32_t i = around->first_piece; i != VX_NONE; i = all[i].next_piece) {
        uint64_t begins = offset_of(around, &all[i]);
        if (begins < end && begins + all[i].length > start)
            return false;
    }
    return true;
}

static void take_piece(vx_loose *all, uint32_t around_number, uint32_t inside_number, bool inside_leaves) {
    vx_loose *around = &all[around_number], *inside = &all[inside_number];
    if (around->last_piece != VX_NONE)
        all[around->last_piece].next_piece = inside_number;
    else
        around->first_piece = inside_number;
    around->last_piece = inside_number;
    around->piece_count++;
    around->piece_bytes += inside->length;
    inside->around = around_number;
    around->side = inside_leaves ? VX_CAME_IN : VX_WENT_OUT;
    inside->side = inside_leaves ? VX_WENT_OUT : VX_CAME_IN;
}

/* Of two that may hold a piece, the one that it rather belongs to: what went out came of the newest that had
 * come in by then, what came in went with the oldest that went out from then on; else the nearest on the
 * other side. */
static bool is_better(const vx_loose *one, const vx_loose *best, const vx_loose *inside, bool went_out) {
    bool is_later = vx_sample_before(inside->sample, one->sample);
    bool best_is_later = vx_sample_before(inside->sample, best->sample);
    if (is_later != best_is_later)
        return is_later != went_out;
    return is_later ? vx_sample_before(one->sample, best->sample)
                    : vx_sample_before(best->sample, one->sample);
}

/* Give each piece of one direction to one of those that may hold it, and each byte of those to one piece
 * alone, so that what is sent again fills no gap. */
static void take_pieces(vx_loose *all, const edges *list, bool went_out) {
    for (size_t i = 0; i < list->count;) {
        uint32_t number = list->all[i].inside, best = VX_NONE;
        const vx_loose *inside = &all[number];
        bool is_asked =
            all[root_of(all, number)].decided && inside->first_piece == VX_NONE && inside->around == VX_NONE;
        for (; i < list->count && list->all[i].inside == number; i++) {
            const vx_loose *around = &all[list->all[i].around];
            if (is_asked && leaves(around, inside) == went_out && around->around == VX_NONE &&
                around->side != (went_out ? VX_WENT_OUT : VX_CAME_IN) && has_room(all, around, inside) &&
                (best == VX_NONE || is_better(around, &all[best], inside, went_out)))
                best = list->all[i].around;
        }
        if (best != VX_NONE)
            take_piece(all, best, number, went_out);
    }
}

/* Where nothing but the order of what left tells that it is of this one, all of it has to be there. */
static void leave_unnumbered(vx_loose *all, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        vx_loose *item = &all[i];
        if (!item->numbered || item->first_piece == VX_NONE || item->outer_id != 0 || item->inner_id != 0 ||
            !vx_loose_is_partial(item))
            continue;
        for (uint32_t piece = item->first_piece; piece != VX_NONE; piece = all[piece].next_piece)
            all[piece].around = VX_NONE;
        item->first_piece = item->last_piece = VX_NONE;
        item->piece_count = 0;
        item->piece_bytes = 0;
    }
}

/* How many hang together, and their first and last clock, by the number of the one that stands for them. */
typedef struct {
    uint64_t first;
    uint64_t last;
    uint32_t count;
} span;

static bool may_decide(const span *whole, const vx_decidable *when) {
    return (!when->has_last || whole->last < when->last_before) &&
           (!when->has_first || whole->first > when->first_behind);
}

static int mark_decided(vx_loose *all, uint32_t count, const vx_decidable *when) {
    span *spans = vx_allocate((size_t)count + 1, sizeof *spans);
    if (spans == NULL)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        spans[i] = (span){UINT64_MAX, 0, 0};
    for (uint32_t i = 0; i < count; i++) {
        span *whole = &spans[root_of(all, i)];
        whole->first = all[i].clock < whole->first ? all[i].clock : whole->first;
        whole->last = all[i].clock > whole->last ? all[i].clock : whole->last;
        whole->count++;
    }
    for (uint32_t i = 0; i < count; i++) {
        const span *whole = &spans[root_of(all, i)];
        bool may = may_decide(whole, when);
        all[i].too_many = !may && whole->count > MOST_TOGETHER;
        all[i].decided = may || all[i].too_many;
    }
    free(spans);
    return 0;
}

int vx_loose_decide(vx_loose *all, uint32_t count, const vx_pool *journeys, uint64_t window,
                    const vx_decidable *when) {
    edges found = {0};
    for (uint32_t i = 0; i < count; i++)
        forget(&all[i], i);
    bool numbered = false;
    for (uint32_t i = 0; i < count; i++)
        numbered |= all[i].numbered;
    int status = find_edges(all, count, journeys, window, &found);
    for (int of_tunnels = 0; of_tunnels < 2 && numbered && status == 0; of_tunnels++)
        status = find_numbered(all, count, journeys, window, of_tunnels != 0, &found);
    for (size_t i = 0; i < found.count && status == 0; i++)
        all[root_of(all, found.all[i].inside)].parent = root_of(all, found.all[i].around);
    if (status == 0)
        status = mark_decided(all, count, when);
    if (status == 0 && found.count > 0) {
        qsort(found.all, found.count, sizeof *found.all, by_inside);
        take_pieces(all, &found, true);
        take_pieces(all, &found, false);
        leave_unnumbered(all, count);
    }
    free(found.all);
    return status;
}
