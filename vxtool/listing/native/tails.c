#include "tails.h"

#include <stdlib.h>
#include <string.h>

#include "spot.h"

enum { RECORD_BITS = 48, FRAGMENT_HEADER = 44, SLOTS = 2 * VX_MOST_PIECES };

#define NOTHING UINT32_MAX

/* A packet at a stage. No padding, so that keys can be compared as bytes. */
typedef struct {
    uint8_t addresses[32];
    uint8_t macs[VX_MACS];
    uint32_t input;
    uint32_t interface;
    uint32_t index;
    uint32_t identification;
    uint8_t has_index;
    uint8_t direction;
    uint8_t version;
    uint8_t protocol;
} piece_key;

_Static_assert(sizeof(piece_key) == 64, "padding in a key");

typedef struct {
    piece_key key;
    int64_t time;
    uint64_t first;   /* record; 0: not seen yet */
    uint32_t waiting; /* tails: number of the last in `links`, or NOTHING */
    uint32_t older;   /* in the order of their times */
    uint32_t newer;
    uint32_t same_slot; /* next of the same hash */
} piece;

/* A tail that waits for its first; numbers that are free are a list too. */
typedef struct {
    uint64_t tail;
    uint32_t next;
} waiting_link;

struct vx_tails {
    uint32_t inputs;
    int64_t window;
    uint64_t seed;
    vx_intake *intakes;
    uint64_t *records;
    piece *pieces;
    uint32_t *slots;
    uint32_t piece_count; /* that were ever used */
    uint32_t open;
    uint32_t free_piece;
    uint32_t oldest;
    uint32_t newest;
    waiting_link *links;
    uint32_t link_count;
    uint32_t link_room;
    uint32_t free_link;
    vx_tail *found;
    size_t found_count;
    size_t found_room;
    bool failed;
};

static uint32_t slot_of(const vx_tails *tails, const piece_key *key) {
    uint64_t hash = tails->seed;
    for (size_t i = 0; i < sizeof *key; i += 8) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)key + i, sizeof word);
        __extension__ unsigned __int128 product =
            (unsigned __int128)(word ^ UINT64_C(0x243f6a8885a308d3)) * (hash ^ UINT64_C(0x13198a2e03707345));
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return (uint32_t)hash & (SLOTS - 1);
}

static uint32_t find_piece(const vx_tails *tails, const piece_key *key) {
    uint32_t at = tails->slots[slot_of(tails, key)];
    while (at != NOTHING && memcmp(&tails->pieces[at].key, key, sizeof *key) != 0)
        at = tails->pieces[at].same_slot;
    return at;
}

/* ---- in the order of their times ---- */

static void take_out(vx_tails *tails, uint32_t number) {
    piece *item = &tails->pieces[number];
    *(item->older != NOTHING ? &tails->pieces[item->older].newer : &tails->oldest) = item->newer;
    *(item->newer != NOTHING ? &tails->pieces[item->newer].older : &tails->newest) = item->older;
}

static void put_last(vx_tails *tails, uint32_t number, int64_t time) {
    piece *item = &tails->pieces[number];
    item->time = time;
    item->older = tails->newest;
    item->newer = NOTHING;
    *(tails->newest != NOTHING ? &tails->pieces[tails->newest].newer : &tails->oldest) = number;
    tails->newest = number;
}

static void forget_oldest(vx_tails *tails) {
    uint32_t number = tails->oldest;
    piece *item = &tails->pieces[number];
    take_out(tails, number);
    uint32_t *at = &tails->slots[slot_of(tails, &item->key)];
    while (*at != number)
        at = &tails->pieces[*at].same_slot;
    *at = item->same_slot;
    while (item->waiting != NOTHING) {
        uint32_t link = item->waiting;
        item->waiting = tails->links[link].next;
        tails->links[link].next = tails->free_link;
        tails->free_link = link;
    }
    item->same_slot = tails->free_piece;
    tails->free_piece = number;
    tails->open--;
}

static uint32_t add_piece(vx_tails *tails, const piece_key *key, int64_t time) {
    uint32_t number = tails->free_piece;
    if (number != NOTHING)
        tails->free_piece = tails->pieces[number].same_slot;
    else
        number = tails->piece_count++;
    uint32_t *slot = &tails->slots[slot_of(tails, key)];
    tails->pieces[number] = (piece){.key = *key, .waiting = NOTHING, .same_slot = *slot};
    *slot = number;
    put_last(tails, number, time);
    tails->open++;
    return number;
}

/* ---- what is found ---- */

static int add_found(vx_tails *tails, uint64_t tail, uint64_t first) {
    if (tails->found_count == VX_MOST_TAILS)
        return 0;
    if (tails->found_count == tails->found_room) {
        size_t room = tails->found_room > 0 ? 2 * tails->found_room : 256;
        vx_tail *grown = realloc(tails->found, room * sizeof *grown);
        if (grown == NULL)
            return -1;
        tails->found = grown;
        tails->found_room = room;
    }
    tails->found[tails->found_count++] = (vx_tail){tail, first};
    return 0;
}

static int add_waiting(vx_tails *tails, piece *item, uint64_t tail) {
    uint32_t number = tails->free_link;
    if (number != NOTHING) {
        tails->free_link = tails->links[number].next;
    } else {
        if (tails->link_count == tails->link_room) {
            uint32_t room = tails->link_room > 0 ? 2 * tails->link_room : 256;
            if (room > VX_MOST_TAILS)
                return 0;
            waiting_link *grown = realloc(tails->links, room * sizeof *grown);
            if (grown == NULL)
                return -1;
            tails->links = grown;
            tails->link_room = room;
        }
        number = tails->link_count++;
    }
    tails->links[number] = (waiting_link){tail, item->waiting};
    item->waiting = number;
    return 0;
}

static int give_waiting(vx_tails *tails, piece *item) {
    while (item->waiting != NOTHING) {
        uint32_t number = item->waiting;
        waiting_link *link = &tails->links[number];
        if (add_found(tails, link->tail, item->first) < 0)
            return -1;
        item->waiting = link->next;
        link->next = tails->free_link;
        tails->free_link = number;
    }
    return 0;
}

/* ---- records ---- */

/* Whether the outermost IP packet is a fragment: its key but for the stage, and whether it is the first. */
static bool read_fragment(const vx_record *record, uint32_t link_type, piece_key *key, bool *is_first) {
    struct vx_packet packet;
    packet.layer_count = packet.problem_count = 0;
    if (!vx_link_known(link_type) ||
        !vx_decode(record->data, record->captured, record->length, (enum vx_link)link_type, NULL, 0, &packet))
        return false;
    const struct vx_layer *ip = packet.layers, *end = packet.layers + packet.layer_count;
    while (ip < end && ip->kind != VX_IPV4 && ip->kind != VX_IPV6)
        ip++;
    if (ip == end)
        return false;
    const uint8_t *header = record->data + ip->offset;
    if (ip->kind == VX_IPV4) {
        uint16_t fragment = vx_be16(header + 6);
        key->version = 4;
        key->protocol = header[9];
        key->identification = vx_be16(header + 4);
        memcpy(key->addresses, header + 12, 8);
        *is_first = (fragment & 0x1FFF) == 0;
        return (fragment & 0x3FFF) != 0;
    }
    key->version = 6;
    memcpy(key->addresses, header + 8, 32);
    uint8_t protocol = header[6];
    for (size_t at = 40; at + 8 <= ip->size;) {
        if (protocol == FRAGMENT_HEADER) {
            uint16_t fragment = vx_be16(header + at + 2);
            key->identification = vx_be32(header + at + 4);
            *is_first = (fragment & 0xFFF8) == 0;
            return (fragment & 0xFFF9) != 0;
        }
        size_t size = vx_ipv6_extension_size(protocol, header + at, ip->size - at);
        protocol = header[at];
        at += size;
    }
    return false;
}

static int take_record(vx_tails *tails, uint32_t input, const vx_record *record) {
    uint64_t where = (uint64_t)input << RECORD_BITS | ++tails->records[input];
    uint32_t link_type =
        vx_container_interface(tails->intakes[input].container, record->interface)->link_type;
    piece_key key = {.input = input, .interface = record->interface};
    bool is_first;
    if (!read_fragment(record, link_type, &key, &is_first))
        return 0;
    vx_spot spot = vx_spot_of(record, link_type);
    key.direction = spot.direction;
    key.has_index = spot.index >= 0;
    key.index = spot.index >= 0 ? (uint32_t)spot.index : 0;
    if (spot.macs != NULL)
        memcpy(key.macs, spot.macs, VX_MACS);
    while (tails->oldest != NOTHING) {
        int64_t began = tails->pieces[tails->oldest].time;
        bool is_old =
            record->time_ns > began && (uint64_t)record->time_ns - (uint64_t)began > (uint64_t)tails->window;
        if (!is_old && tails->open < VX_MOST_PIECES)
            break;
        forget_oldest(tails);
    }
    uint32_t number = find_piece(tails, &key);
    if (number == NOTHING)
        number = add_piece(tails, &key, record->time_ns);
    piece *item = &tails->pieces[number];
    if (is_first) {
        take_out(tails, number);
        put_last(tails, number, record->time_ns);
        item->first = where;
        return give_waiting(tails, item);
    }
    return item->first > 0 ? add_found(tails, where, item->first) : add_waiting(tails, item, where);
}

static int take_records(vx_tails *tails) {
    size_t most = tails->inputs == 1 ? VX_READY : 1;
    for (;;) {
        uint32_t number = tails->inputs == 1 ? 0 : vx_intakes_next(tails->intakes, tails->inputs);
        if (number == VX_NO_INPUT || !vx_intake_fill(&tails->intakes[number], most))
            return 0;
        vx_intake *intake = &tails->intakes[number];
        if (take_record(tails, number, &intake->ready[intake->ready_at]) < 0)
            return -1;
        intake->ready_at++;
    }
}

int vx_tails_feed(vx_tails *tails, uint32_t input, const uint8_t *data, size_t size) {
    if (tails->failed)
        return -1;
    vx_intake_offer(&tails->intakes[input], data, size);
    tails->failed = take_records(tails) < 0 || vx_intake_keep(&tails->intakes[input]) < 0;
    return tails->failed ? -1 : 0;
}

int vx_tails_end(vx_tails *tails, uint32_t input) {
    if (tails->failed)
        return -1;
    vx_intake_end(&tails->intakes[input]);
    tails->failed = take_records(tails) < 0;
    return tails->failed ? -1 : 0;
}

uint32_t vx_tails_wants(const vx_tails *tails) { return vx_intakes_wanting(tails->intakes, tails->inputs); }

static int by_tail(const void *one, const void *other) {
    const vx_tail *first = one, *second = other;
    return (first->tail > second->tail) - (first->tail < second->tail);
}

const vx_tail *vx_tails_found(vx_tails *tails, size_t *count) {
    if (tails->found_count > 0)
        qsort(tails->found, tails->found_count, sizeof *tails->found, by_tail);
    *count = tails->found_count;
    return tails->found;
}

vx_tails *vx_tails_new(uint32_t inputs, int64_t window, uint64_t seed) {
    vx_tails *tails = calloc(1, sizeof *tails);
    if (tails == NULL)
        return NULL;
    tails->inputs = inputs;
    tails->window = window;
    tails->seed = seed;
    tails->free_piece = tails->free_link = tails->oldest = tails->newest = NOTHING;
    tails->intakes = calloc((size_t)inputs + 1, sizeof *tails->intakes);
    tails->records = calloc((size_t)inputs + 1, sizeof *tails->records);
    tails->pieces = malloc(VX_MOST_PIECES * sizeof *tails->pieces);
    tails->slots = malloc(SLOTS * sizeof *tails->slots);
    bool complete =
        tails->intakes != NULL && tails->records != NULL && tails->pieces != NULL && tails->slots != NULL;
    for (uint32_t i = 0; complete && i < inputs; i++)
        complete = vx_intake_init(&tails->intakes[i]) == 0;
    if (!complete) {
        vx_tails_free(tails);
        return NULL;
    }
    memset(tails->slots, 0xFF, SLOTS * sizeof *tails->slots);
    return tails;
}

void vx_tails_free(vx_tails *tails) {
    if (tails == NULL)
        return;
    for (uint32_t i = 0; tails->intakes != NULL && i < tails->inputs; i++)
        vx_intake_free(&tails->intakes[i]);
    free(tails->intakes);
    free(tails->records);
    free(tails->pieces);
    free(tails->slots);
    free(tails->links);
    free(tails->found);
    free(tails);
}
