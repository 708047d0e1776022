/* The rules, and where they come from, are in vxtool/listing/streams.py, in the same order and by the same
 * names. A stream is four cache lines: the key, each direction, and what the lister keeps. Holes, which few
 * streams have, are apart. */
#include "streams.h"

#include <stdlib.h>
#include <string.h>

#include "table.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

enum {
    END = 0,
    NO_OPERATION = 1,
    WINDOW_SCALE = 3, /* kinds of options */
    MOST_SCALE = 14,
    SCALE_UNKNOWN = -1,
    NOT_SCALED = -2,
    FAST_NS = 20000000,
    REORDERED_NS = 3000000,
    MOST_HOLES = 16,
};

/* Both ends, the lesser first. */
typedef struct {
    uint8_t addresses[2][16]; /* IPv4: zero behind the first four */
    uint16_t ports[2];
    int32_t network_and_family;
} key;

/* A direction's sequence numbers that went by unseen: from begin, up to but without end. */
typedef struct {
    uint32_t begin;
    uint32_t end;
} hole;

typedef struct {
    hole at[MOST_HOLES];
} holes;

typedef struct {
    int64_t next_ns; /* when next moved */
    int64_t time_ns; /* of the last segment */
    uint64_t duplicate_of;
    uint32_t base;
    uint32_t next;
    uint32_t contiguous;
    uint32_t lowest;
    uint32_t acknowledged;
    uint32_t duplicates;
    uint32_t holes; /* in the pool; of no meaning where there are none */
    uint16_t window;
    uint16_t notes; /* of the last segment */
    int8_t scale;
    uint8_t hole_count;
    bool has_opened : 1; /* by a SYN */
    bool has_base : 1;
    bool has_sent : 1;
    bool has_contiguous : 1;
    bool has_acknowledged : 1;
    bool lost_again : 1;
    bool window_of_syn : 1;
} direction;

typedef struct {
    key key;
    uint32_t number;
    uint32_t older; /* in the order of last use */
    uint32_t newer;
    uint32_t reordered_ns; /* 0: not measured */
    int64_t opened_ns;     /* when the last SYN came */
    _Alignas(64) direction directions[2];
    vx_progress progress[2];
} stream;

_Static_assert(sizeof(stream) == 256, "a stream is four cache lines");

struct vx_streams {
    vx_map map;
    vx_pool holes;
    uint32_t most;
    uint32_t oldest;
    uint32_t newest;
    uint32_t count;
    uint64_t forgotten;
};

static inline bool after(uint32_t one, uint32_t other) { return (int32_t)(one - other) > 0; }

static inline bool before(uint32_t one, uint32_t other) { return (int32_t)(one - other) < 0; }

/* Whether less than `limit` lie between two times, the first not later. */
static inline bool within(int64_t from, int64_t to, uint64_t limit) {
    return (uint64_t)to - (uint64_t)from < limit;
}

vx_streams *vx_streams_new(uint32_t most, uint64_t seed) {
    vx_streams *streams = vx_allocate(1, sizeof *streams);
    if (streams == NULL)
        return NULL;
    vx_map_init(&streams->map, sizeof(stream), seed);
    vx_pool_init(&streams->holes, sizeof(holes));
    streams->most = most > 0 ? most : 1;
    streams->oldest = streams->newest = VX_NONE;
    return streams;
}

void vx_streams_free(vx_streams *streams) {
    if (streams == NULL)
        return;
    vx_map_free(&streams->map);
    vx_pool_free(&streams->holes);
    free(streams);
}

uint64_t vx_streams_forgotten(const vx_streams *streams) { return streams->forgotten; }

static stream *stream_at(const vx_streams *streams, uint32_t number) {
    return vx_pool_item(&streams->map.pool, number, sizeof(stream));
}

/* The key, and which direction the segment is of. */
static unsigned key_of(const vx_segment *segment, key *key) {
    size_t size = segment->is_ipv6 ? 16 : 4;
    int order = memcmp(segment->source, segment->destination, size);
    unsigned way = order > 0 || (order == 0 && segment->source_port > segment->destination_port);
    memset(key->addresses, 0, sizeof key->addresses);
    memcpy(key->addresses[way], segment->source, size);
    memcpy(key->addresses[1 - way], segment->destination, size);
    key->ports[way] = segment->source_port;
    key->ports[1 - way] = segment->destination_port;
    key->network_and_family = (int32_t)((uint32_t)segment->network << 1 | segment->is_ipv6);
    return way;
}

/* The order of last use. */

static void take_out(vx_streams *streams, const stream *it) {
    *(it->older != VX_NONE ? &stream_at(streams, it->older)->newer : &streams->oldest) = it->newer;
    *(it->newer != VX_NONE ? &stream_at(streams, it->newer)->older : &streams->newest) = it->older;
}

static void put_newest(vx_streams *streams, stream *it, uint32_t number) {
    it->older = streams->newest;
    it->newer = VX_NONE;
    *(it->older != VX_NONE ? &stream_at(streams, it->older)->newer : &streams->oldest) = number;
    streams->newest = number;
}

/* Begin it anew, as the next stream. */
static void reset(vx_streams *streams, stream *it) {
    for (unsigned i = 0; i < 2; i++) {
        direction *of = &it->directions[i];
        if (of->hole_count > 0)
            vx_pool_give_back(&streams->holes, of->holes);
        *of = (direction){.scale = SCALE_UNKNOWN};
    }
    memset(it->progress, 0, sizeof it->progress);
    it->reordered_ns = 0;
    it->number = streams->count++;
}

static void forget_oldest(vx_streams *streams) {
    uint32_t number = streams->oldest;
    stream *it = stream_at(streams, number);
    for (unsigned i = 0; i < 2; i++)
        if (it->directions[i].hole_count > 0)
            vx_pool_give_back(&streams->holes, it->directions[i].holes);
    take_out(streams, it);
    vx_map_remove(&streams->map, number, sizeof(key));
    streams->forgotten++;
}

/* The stream with this key, the one used last from now on. NULL: no memory. */
static stream *use_stream(vx_streams *streams, const key *key) {
    uint32_t tag = vx_tag(vx_hash(key, sizeof *key, streams->map.seed));
    uint32_t number = vx_map_find_tagged(&streams->map, key, sizeof *key, tag);
    if (number != VX_NONE) {
        stream *it = stream_at(streams, number);
        if (number != streams->newest) {
            take_out(streams, it);
            put_newest(streams, it, number);
        }
        return it;
    }
    if (streams->map.index.used >= streams->most)
        forget_oldest(streams);
    number = vx_map_add(&streams->map, key, sizeof *key, tag);
    if (number == VX_NONE)
        return NULL;
    stream *it = stream_at(streams, number);
    reset(streams, it);
    put_newest(streams, it, number);
    return it;
}

/* Holes. */

/* Put these in the place of a direction's: the highest of them, where they are too many. 0, or -1. */
static int set_holes(vx_streams *streams, direction *of, const hole *from, unsigned count) {
    if (count > MOST_HOLES) {
        from += count - MOST_HOLES;
        count = MOST_HOLES;
    }
    if (of->hole_count == 0 && count > 0) {
        uint32_t number = vx_pool_take_item(&streams->holes, sizeof(holes));
        if (number == VX_NONE)
            return -1;
        of->holes = number;
    } else if (of->hole_count > 0 && count == 0)
        vx_pool_give_back(&streams->holes, of->holes);
    if (count > 0) {
        holes *to = vx_pool_item(&streams->holes, of->holes, sizeof(holes));
        memmove(to->at, from, count * sizeof *from);
    }
    of->hole_count = (uint8_t)count;
    return 0;
}

static const hole *holes_of(const vx_streams *streams, const direction *of) {
    return of->hole_count > 0 ? ((holes *)vx_pool_item(&streams->holes, of->holes, sizeof(holes)))->at : NULL;
}

static int add_hole(vx_streams *streams, direction *of, hole added) {
    hole grown[MOST_HOLES + 1];
    unsigned count = of->hole_count;
    if (count > 0)
        memcpy(grown, holes_of(streams, of), count * sizeof *grown);
    grown[count] = added;
    return set_holes(streams, of, grown, count + 1);
}

/* These sequence numbers were seen. */
static int fill_holes(vx_streams *streams, direction *of, uint32_t sequence, uint32_t end) {
    if (before(sequence, of->lowest))
        of->lowest = sequence;
    if (of->hole_count == 0)
        return 0;
    hole left[2 * MOST_HOLES];
    unsigned count = 0;
    const hole *was = holes_of(streams, of);
    for (unsigned i = 0; i < of->hole_count; i++) {
        hole each = was[i];
        if (!before(sequence, each.end) || !after(end, each.begin)) {
            left[count++] = each;
            continue;
        }
        if (after(sequence, each.begin))
            left[count++] = (hole){each.begin, sequence};
        if (before(end, each.end))
            left[count++] = (hole){end, each.end};
    }
    return set_holes(streams, of, left, count);
}

/* These are acknowledged: nobody will send what lies before. */
static int drop_holes(vx_streams *streams, direction *of, uint32_t acknowledgement) {
    if (of->hole_count == 0)
        return 0;
    const hole *was = holes_of(streams, of);
    unsigned gone = 0;
    while (gone < of->hole_count && !after(was[gone].end, acknowledgement))
        gone++;
    return gone > 0 ? set_holes(streams, of, was + gone, of->hole_count - gone) : 0;
}

/* How far it was seen without a hole from there on. */
static uint32_t seen_from(const vx_streams *streams, const direction *of, uint32_t sequence) {
    const hole *at = holes_of(streams, of);
    for (unsigned i = 0; i < of->hole_count; i++)
        if (!before(at[i].begin, sequence))
            return at[i].begin;
    return of->next;
}

/* Whether some of these were not seen so far. */
static bool is_new(const vx_streams *streams, const direction *of, uint32_t sequence, uint32_t end) {
    if (end == sequence)
        end++;
    if (before(sequence, of->lowest) || after(end, of->next))
        return true;
    const hole *at = holes_of(streams, of);
    for (unsigned i = 0; i < of->hole_count; i++)
        if (before(sequence, at[i].end) && after(end, at[i].begin))
            return true;
    return false;
}

/* What is told. */

static int window_scale(const uint8_t *options, size_t size) {
    size_t at = 0;
    while (at < size && options[at] != END) {
        if (options[at] == NO_OPERATION) {
            at++;
            continue;
        }
        if (size - at < 2 || options[at + 1] < 2 || options[at + 1] > size - at)
            break;
        if (options[at] == WINDOW_SCALE && options[at + 1] == 3)
            return options[at + 2] < MOST_SCALE ? options[at + 2] : MOST_SCALE;
        at += options[at + 1];
    }
    return SCALE_UNKNOWN;
}

/* Of one with data, SYN or FIN: whether it was sent before, or comes late. */
static uint32_t again(const vx_streams *streams, const stream *it, const direction *forward,
                      const direction *backward, const vx_segment *segment, uint32_t notes) {
    uint32_t sequence = segment->sequence, length = segment->payload_length, end = sequence + length;
    bool behind = forward->has_sent && before(sequence, forward->next);
    if (behind && (notes & VX_KEEP_ALIVE) != 0)
        return 0;
    if (length > 1 && sequence == forward->next - 1)
        behind = false;
    if (length > 0 && backward->has_acknowledged && !after(end, backward->acknowledged))
        return VX_SPURIOUS_RETRANSMISSION;
    if (!behind)
        return 0;
    if (backward->duplicates >= 2 && backward->acknowledged == sequence &&
        within(backward->time_ns, segment->time_ns, FAST_NS))
        return VX_FAST_RETRANSMISSION;
    uint64_t reordered = it->reordered_ns > 0 ? it->reordered_ns : REORDERED_NS;
    if (within(forward->next_ns, segment->time_ns, reordered) && end != forward->next &&
        is_new(streams, forward, sequence, end))
        return VX_OUT_OF_ORDER;
    return VX_RETRANSMISSION;
}

static int analyze(vx_streams *streams, const stream *it, direction *forward, direction *backward,
                   const vx_segment *segment, vx_stream_note *note) {
    uint32_t sequence = segment->sequence, acknowledgement = segment->acknowledgement;
    uint32_t length = segment->payload_length, end = sequence + length, notes = note->notes;
    uint16_t window = segment->window;
    uint8_t flags = segment->flags;
    bool plain = (flags & (SYN | FIN | RST)) == 0;
    bool is_next = forward->has_sent && sequence == forward->next;
    bool same = forward->has_acknowledged && acknowledgement == forward->acknowledged;

    if (length == 1 && is_next && backward->has_sent && backward->window == 0)
        notes |= VX_ZERO_WINDOW_PROBE;
    else {
        if (window == 0 && plain)
            notes |= VX_ZERO_WINDOW;
        if (forward->has_sent && after(sequence, forward->next) && (flags & RST) == 0)
            notes |= VX_LOST_SEGMENT;
        if (length <= 1 && forward->has_sent && sequence == forward->next - 1 && plain)
            notes |= VX_KEEP_ALIVE;
        if (length > 0 && plain && backward->scale != SCALE_UNKNOWN && backward->has_acknowledged) {
            int shift = backward->window_of_syn || backward->scale < 0 ? 0 : backward->scale;
            if (end == backward->acknowledged + ((uint32_t)backward->window << shift))
                notes |= VX_WINDOW_FULL;
        }
        if (length == 0 && plain && is_next && same) {
            if (window != forward->window)
                notes |= window != 0 ? VX_WINDOW_UPDATE : 0;
            else if (window != 0 && (backward->notes & VX_KEEP_ALIVE) != 0)
                notes |= VX_KEEP_ALIVE_ACK;
            else if (window == 0 && (backward->notes & VX_ZERO_WINDOW_PROBE) != 0)
                notes |= VX_ZERO_WINDOW_PROBE_ACK;
            else if (window != 0) {
                notes |= VX_DUPLICATE_ACK;
                note->duplicate_number = ++forward->duplicates;
                note->duplicate_of = forward->duplicate_of;
            }
        }
    }
    if (!same) {
        forward->duplicate_of = segment->record;
        forward->duplicates = 0;
    }

    if (backward->has_contiguous && (flags & ACK) != 0 && after(acknowledgement, backward->contiguous)) {
        if ((backward->notes & VX_ZERO_WINDOW_PROBE) != 0 && acknowledgement == backward->next + 1)
            backward->next = backward->contiguous = acknowledgement;
        else {
            notes |= VX_ACKED_LOST_SEGMENT;
            backward->has_contiguous = backward->contiguous != backward->next && !backward->lost_again;
            backward->contiguous = backward->next;
        }
    }

    if (length > 0 || (flags & (SYN | FIN)) != 0)
        notes |= again(streams, it, forward, backward, segment, notes);

    if ((flags & (SYN | FIN)) != 0)
        end++;
    if (!forward->has_sent) {
        forward->has_sent = forward->has_contiguous = true;
        forward->lowest = sequence;
        forward->next = forward->contiguous = end;
        forward->next_ns = segment->time_ns;
    } else if ((notes & VX_ZERO_WINDOW_PROBE) == 0) {
        if (end != sequence && fill_holes(streams, forward, sequence, end) < 0)
            return -1;
        if ((notes & VX_LOST_SEGMENT) != 0 && !forward->has_contiguous) {
            forward->contiguous = forward->next;
            forward->has_contiguous = forward->lost_again = true;
        }
        bool joins = !after(sequence, forward->contiguous) && after(end, forward->contiguous);
        if (after(end, forward->next)) {
            if (after(sequence, forward->next) &&
                add_hole(streams, forward, (hole){forward->next, sequence}) < 0)
                return -1;
            forward->next = end;
            forward->next_ns = segment->time_ns;
        }
        if (joins)
            forward->contiguous = seen_from(streams, forward, end);
    }
    forward->window = window;
    forward->window_of_syn = (flags & SYN) != 0;
    forward->time_ns = segment->time_ns;
    forward->notes = (uint16_t)notes;
    note->notes = notes;
    if ((flags & ACK) == 0)
        return 0;
    forward->acknowledged = acknowledgement;
    forward->has_acknowledged = true;
    return drop_holes(streams, backward, acknowledgement);
}

/* What is the same whether a segment is taken or looked at. */
static void tell(const stream *it, unsigned way, const vx_segment *segment, vx_stream_note *note) {
    const direction *forward = &it->directions[way], *backward = &it->directions[1 - way];
    bool is_scaled = (segment->flags & SYN) == 0 && forward->scale > 0;
    note->stream = it->number;
    note->sequence = forward->has_base ? segment->sequence - forward->base : (segment->flags & SYN) == 0;
    note->acknowledgement = segment->acknowledgement;
    if ((segment->flags & ACK) != 0)
        note->acknowledgement = backward->has_base ? segment->acknowledgement - backward->base : 1;
    note->window = is_scaled ? (uint32_t)segment->window << forward->scale : segment->window;
}

int vx_streams_take(vx_streams *streams, const vx_segment *segment, vx_stream_note *note) {
    key key;
    unsigned way = key_of(segment, &key);
    stream *it = use_stream(streams, &key);
    if (it == NULL)
        return -1;
    *note = (vx_stream_note){0};
    direction *forward = &it->directions[way], *backward = &it->directions[1 - way];
    uint8_t flags = segment->flags;
    bool opens = (flags & (SYN | ACK)) == SYN;

    if ((flags & SYN) != 0 && forward->has_base) {
        if (segment->sequence != forward->base) {
            note->notes = VX_PORTS_REUSED;
            if (opens)
                reset(streams, it);
            else
                forward->base = segment->sequence;
        } else if (opens && forward->has_sent && forward->has_contiguous)
            forward->next = forward->contiguous;
    }
    if (!forward->has_base) {
        forward->base = (flags & SYN) != 0 ? segment->sequence : segment->sequence - 1;
        forward->has_base = true;
    }
    if (!backward->has_base && (flags & ACK) != 0) {
        backward->base = segment->acknowledgement - 1;
        backward->has_base = true;
    }
    if (analyze(streams, it, forward, backward, segment, note) < 0)
        return -1;

    if (opens) {
        it->opened_ns = segment->time_ns;
        forward->has_opened = true;
    } else if ((flags & (SYN | ACK)) == ACK && it->reordered_ns == 0 &&
               (forward->has_opened || backward->has_opened)) {
        uint64_t past = (uint64_t)segment->time_ns - (uint64_t)it->opened_ns;
        it->reordered_ns = past < UINT32_MAX ? (uint32_t)past : UINT32_MAX;
    }
    if ((flags & SYN) != 0) {
        int scale = window_scale(segment->options, segment->options_size);
        if (scale != SCALE_UNKNOWN)
            forward->scale = (int8_t)scale;
        if (forward->scale == SCALE_UNKNOWN)
            forward->scale = backward->scale = NOT_SCALED;
        else if ((flags & ACK) != 0 && backward->scale == NOT_SCALED)
            forward->scale = NOT_SCALED;
    }
    tell(it, way, segment, note);
    note->progress = &it->progress[way];
    return 0;
}

int vx_streams_look(const vx_streams *streams, const vx_segment *segment, vx_stream_note *note) {
    key key;
    unsigned way = key_of(segment, &key);
    uint32_t number = vx_map_find(&streams->map, &key, sizeof key);
    if (number == VX_NONE)
        return -1;
    stream *it = stream_at(streams, number);
    *note = (vx_stream_note){.progress = &it->progress[way]};
    tell(it, way, segment, note);
    return 0;
}
