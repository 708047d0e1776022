#include "list.h"

#include "echoes.h"
#include "filter.h"
#include "fragments.h"
#include "intake.h"
#include "line.h"
#include "spot.h"
#include "table.h"

enum {
    RECORD_BITS = 48,
    MOST_KNOWN = 1 << 16, /* answers that are remembered */
    ARENA_CHUNK = 1 << 16,
    KNOWN_KEY = 32,
    MOST_HOPS = 4, /* from a record to its datagram's: more than one where it came round in a loop */
    /* Where the options do not say: */
    MOST_STREAMS = 1 << 18,
    MOST_FRAGMENTED = 4096,
    MOST_ECHOES = 65536,
};

#define NOWHERE SIZE_MAX
#define RECORD_MASK ((UINT64_C(1) << RECORD_BITS) - 1)

/* What is asked once: the kind of a question, in its key. */
enum { ABOUT_PARTY = 1, ABOUT_IDENTITY, ABOUT_INTERFACE, ABOUT_DIRECTION };

typedef struct {
    uint8_t key[KNOWN_KEY];
    vx_party answer; /* of other questions than for parties, the name alone, or the direction as identity */
} known_answer;

/* Text that lives until all is forgotten at once. */
typedef struct arena_chunk {
    struct arena_chunk *before;
    size_t used;
    size_t room;
} arena_chunk;

typedef struct {
    known_answer *answers;
    uint32_t *slots; /* number + 1 of an answer, or 0; twice as many as there is room for answers */
    uint32_t count;
    uint32_t room;
    arena_chunk *texts;
} known_table;

typedef struct {
    uint64_t records;
    size_t datagram; /* the next in the arrays */
    size_t sighting;
    size_t tail;
} list_input;

/* How a record stands to its datagram: its first; a fragment that belongs to its first; of a further
 * sighting; or it has none. */
typedef enum { IS_FIRST, IS_TAIL, IS_FURTHER, IS_APART } standing;

/* A datagram whose first record stands in the file behind a further sighting, as where each processor wrote
 * its own records: its segment was taken there, and this is what is to be said of it. */
typedef struct {
    uint64_t datagram;
    /* end of the key */
    uint64_t duplicate_of;
    uint32_t duplicate_number;
    uint32_t notes;
} overtaken;
enum { OVERTAKEN_KEY = 8 };

struct vx_lister {
    vx_list_options options;
    vx_filter *filter;
    bool asks_parties;
    vx_intake *intakes;
    list_input *inputs;
    vx_streams *streams;
    vx_fragments *fragments;
    vx_echoes *echoes;
    known_table known;
    vx_map overtaken;
    vx_text text;
    vx_text protocol; /* of the message at hand, ends with NUL */
    vx_text message;
    vx_text label; /* of the record's interface and direction */
    vx_text whole; /* of a first fragment, as if it were all of its packet */
    int failure;
    bool has_records;
    int64_t first_time;
    int64_t last_line; /* time of the record that was written last */
    uint64_t lines;
};

/* ---- what is remembered of answers ---- */

static uint64_t hash_of(const uint8_t *key, uint64_t seed) {
    for (size_t i = 0; i < KNOWN_KEY; i += 8) {
        uint64_t word;
        memcpy(&word, key + i, sizeof word);
        __extension__ unsigned __int128 product =
            (unsigned __int128)(word ^ UINT64_C(0x243f6a8885a308d3)) * (seed ^ UINT64_C(0x13198a2e03707345));
        seed = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return seed;
}

static void forget_all(known_table *known) {
    while (known->texts != NULL) {
        arena_chunk *before = known->texts->before;
        free(known->texts);
        known->texts = before;
    }
    known->count = 0;
    if (known->slots != NULL)
        memset(known->slots, 0, 2 * (size_t)known->room * sizeof *known->slots);
}

/* A copy of a string, with a NUL behind it. false: no memory. */
static bool keep_text(known_table *known, vx_string *string) {
    if (string->at == NULL)
        return true;
    size_t size = (size_t)string->size + 1;
    arena_chunk *chunk = known->texts;
    if (chunk == NULL || chunk->room - chunk->used < size) {
        size_t room = size > ARENA_CHUNK ? size : ARENA_CHUNK;
        chunk = malloc(sizeof *chunk + room);
        if (chunk == NULL)
            return false;
        *chunk = (arena_chunk){known->texts, 0, room};
        known->texts = chunk;
    }
    char *copy = (char *)(chunk + 1) + chunk->used;
    memcpy(copy, string->at, string->size);
    copy[string->size] = '\0';
    chunk->used += size;
    string->at = copy;
    return true;
}

static uint32_t *slot_of(const known_table *known, const uint8_t *key, uint64_t seed) {
    uint32_t mask = 2 * known->room - 1, at = (uint32_t)hash_of(key, seed) & mask;
    while (known->slots[at] != 0 && memcmp(known->answers[known->slots[at] - 1].key, key, KNOWN_KEY) != 0)
        at = (at + 1) & mask;
    return &known->slots[at];
}

static bool grow_known(known_table *known, uint64_t seed) {
    uint32_t room = known->room > 0 ? 2 * known->room : 256;
    known_answer *answers = realloc(known->answers, room * sizeof *answers);
    if (answers == NULL)
        return false;
    known->answers = answers;
    uint32_t *slots = calloc(2 * (size_t)room, sizeof *slots);
    if (slots == NULL)
        return false;
    free(known->slots);
    known->slots = slots;
    known->room = room;
    for (uint32_t i = 0; i < known->count; i++)
        *slot_of(known, answers[i].key, seed) = i + 1;
    return true;
}

/* Ask, unless it is known. The key tells what about. */
static int ask(vx_lister *lister, const uint8_t *key, vx_party *answer);

/* 0, or one of VX_LIST_...; the answer is good until all is forgotten, which is between two records. */
static int know(vx_lister *lister, const uint8_t *key, vx_party *answer) {
    known_table *known = &lister->known;
    if (known->room > 0) {
        uint32_t number = *slot_of(known, key, lister->options.seed);
        if (number > 0) {
            *answer = known->answers[number - 1].answer;
            return 0;
        }
    }
    *answer = (vx_party){.identity = -1};
    if (ask(lister, key, answer) < 0)
        return VX_LIST_FAILED;
    if (!keep_text(known, &answer->name) || !keep_text(known, &answer->pod) ||
        !keep_text(known, &answer->node))
        return VX_LIST_NO_MEMORY;
    if (known->count == known->room && !grow_known(known, lister->options.seed))
        return VX_LIST_NO_MEMORY;
    known_answer *entry = &known->answers[known->count++];
    memcpy(entry->key, key, KNOWN_KEY);
    entry->answer = *answer;
    *slot_of(known, key, lister->options.seed) = known->count;
    return 0;
}

static void put32(uint8_t *at, uint32_t number) {
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (24 - 8 * i));
}

static int ask(vx_lister *lister, const uint8_t *key, vx_party *answer) {
    const vx_list_questions *questions = &lister->options.ask;
    uint8_t direction = 0;
    int status;
    switch (key[0]) {
    case ABOUT_PARTY:
        return questions->party(questions->context, key + 4, key[1], answer);
    case ABOUT_IDENTITY:
        return questions->identity(questions->context, vx_be32(key + 4), &answer->name);
    case ABOUT_INTERFACE:
        return questions->interface(questions->context, key[1] ? (int64_t)vx_be32(key + 4) : -1,
                                    vx_be32(key + 8), vx_be32(key + 12), &answer->name);
    default:
        status = questions->direction(questions->context, vx_be32(key + 4), vx_be32(key + 8),
                                      vx_be32(key + 12), key + 16, &direction);
        answer->identity = direction;
        return status;
    }
}

static int know_party(vx_lister *lister, vx_end end, vx_party *party) {
    *party = (vx_party){.identity = -1};
    if (end.kind != VX_END_IPV4 && end.kind != VX_END_IPV6)
        return 0;
    uint8_t key[KNOWN_KEY] = {ABOUT_PARTY, end.kind == VX_END_IPV4 ? 4 : 16};
    memcpy(key + 4, end.octets, key[1]);
    return know(lister, key, party);
}

static int know_identity(vx_lister *lister, int64_t identity, vx_string *name) {
    uint8_t key[KNOWN_KEY] = {ABOUT_IDENTITY};
    vx_party answer;
    put32(key + 4, (uint32_t)identity);
    int status = know(lister, key, &answer);
    *name = answer.name;
    return status;
}

/* ---- where a record was seen ---- */

static int know_interface(vx_lister *lister, uint32_t input, uint32_t interface, const vx_spot *place,
                          vx_string *label) {
    uint8_t key[KNOWN_KEY] = {ABOUT_INTERFACE, place->index >= 0};
    vx_party answer;
    *label = (vx_string){NULL, 0};
    if (place->is_any)
        return 0;
    if (place->index >= 0) {
        put32(key + 4, (uint32_t)place->index);
    } else {
        put32(key + 8, input);
        put32(key + 12, interface);
    }
    int status = know(lister, key, &answer);
    *label = answer.name;
    return status;
}

static int know_direction(vx_lister *lister, uint32_t bundle, uint32_t input, uint32_t interface,
                          const uint8_t *macs, uint8_t *direction) {
    uint8_t key[KNOWN_KEY] = {ABOUT_DIRECTION};
    vx_party answer;
    put32(key + 4, bundle);
    put32(key + 8, input);
    put32(key + 12, interface);
    memcpy(key + 16, macs, VX_MACS);
    int status = know(lister, key, &answer);
    if (status == 0)
        *direction = (uint8_t)answer.identity;
    return status;
}

/* Where this one record was seen: "eth1 in". And of one without a datagram, from where or to where it went.
 */
static int tell_spot(vx_lister *lister, const vx_record *record, size_t datagram, vx_line *line) {
    uint32_t link_type =
        vx_container_interface(lister->intakes[line->input].container, record->interface)->link_type;
    vx_spot place = vx_spot_of(record, link_type);
    vx_string label;
    int status = know_interface(lister, line->input, record->interface, &place, &label);
    if (status == 0 && place.macs != NULL && datagram != NOWHERE)
        status = know_direction(lister, lister->options.bundle[datagram], line->input, record->interface,
                                place.macs, &place.direction);
    if (status < 0)
        return status;
    bool out = place.direction == VX_WAY_OUT;
    bool in = place.direction == VX_WAY_IN || place.direction == VX_WAY_BROADCAST ||
              place.direction == VX_WAY_MULTICAST;
    if (datagram == NOWHERE && in)
        line->ingress = label;
    if (datagram == NOWHERE && out)
        line->egress = label;
    const char *way = in ? "in" : out ? "out" : place.direction == VX_WAY_OTHER ? "other" : "";
    vx_text *text = &lister->label;
    text->size = 0;
    vx_text_bytes(text, label.at, label.size);
    if (text->size > 0 && way[0] != '\0')
        vx_text_byte(text, ' ');
    vx_text_string(text, way);
    if (text->failed)
        return VX_LIST_NO_MEMORY;
    line->interfaces = (vx_string){text->size > 0 ? text->at : NULL, (uint32_t)text->size};
    return 0;
}

/* ---- datagrams ---- */

/* The place of `where` in the array, or where it would be: looked for from `hint` on, both ways. */
static size_t place_of(const uint64_t *array, size_t count, size_t hint, uint64_t where) {
    size_t low = 0, high = count;
    if (hint < count && array[hint] < where) {
        size_t step = 1;
        for (low = hint + 1; low + step < count && array[low + step - 1] < where; step *= 2)
            low += step;
        high = low + step < count ? low + step : count;
    } else if (hint <= count && hint > 0) {
        size_t step = 1;
        for (high = hint; high > step && array[high - step] > where; step *= 2)
            high -= step;
        low = high > step ? high - step : 0;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (array[middle] < where)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The datagram of the record at `where`, or NOWHERE. */
static size_t datagram_at(const vx_list_options *options, uint64_t where, size_t hint) {
    size_t at = place_of(options->where, options->datagram_count, hint, where);
    return at < options->datagram_count && options->where[at] == where ? at : NOWHERE;
}

/* What `pairs` has for `where`, which lies at `*at` or behind; `*at` then is behind it. Of a record of
 * several datagrams, as one super-frame is of all that it holds, the first is the one. 0: nothing. */
static uint64_t next_pair(const vx_pairs *pairs, size_t *at, uint64_t where) {
    while (*at < pairs->count && pairs->where[*at] < where)
        ++*at;
    if (*at == pairs->count || pairs->where[*at] != where)
        return 0;
    return pairs->first[(*at)++];
}

static uint64_t find_pair(const vx_pairs *pairs, size_t hint, uint64_t where) {
    size_t at = place_of(pairs->where, pairs->count, hint, where);
    return at < pairs->count && pairs->where[at] == where ? pairs->first[at] : 0;
}

/* What the next record of an input is, and of which datagram. */
static standing find_datagram(vx_lister *lister, uint32_t number, uint64_t where, size_t *datagram) {
    const vx_list_options *options = &lister->options;
    list_input *input = &lister->inputs[number];
    *datagram = NOWHERE;
    if (input->datagram < options->datagram_count && options->where[input->datagram] == where) {
        *datagram = input->datagram++;
        return IS_FIRST;
    }
    uint64_t first = next_pair(&options->sighted, &input->sighting, where);
    bool is_tail = first == 0;
    if (is_tail)
        first = next_pair(&options->tails, &input->tail, where);
    for (unsigned hops = 0; first > 0 && hops < MOST_HOPS; hops++) {
        *datagram = datagram_at(options, first, input->datagram);
        if (*datagram != NOWHERE)
            return is_tail && hops == 0 ? IS_TAIL : IS_FURTHER;
        uint64_t before = find_pair(&options->sighted, input->sighting, first);
        first = before > 0 ? before : find_pair(&options->tails, input->tail, first);
    }
    return IS_APART;
}

/* ---- messages of applications ---- */

static bool is_message_port(uint16_t port) {
    static const uint16_t ports[] = {53, 67, 68, 123, 546, 547, 5353, 5355};
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
        if (port == ports[i])
            return true;
    return false;
}

static bool begins_with(const uint8_t *at, size_t size, const char *word) {
    size_t length = strlen(word);
    return size >= length && memcmp(at, word, length) == 0;
}

/* Whether it is worth to ask: the twin of vxtool.listing.applications.may_begin. */
static bool may_begin(const vx_seen *seen) {
    static const char *const words[] = {
        "HTTP/1.",  "GET ",    "POST ",     "PUT ",       "HEAD ",      "DELETE ",      "OPTIONS ",  "PATCH ",
        "CONNECT ", "TRACE ",  "PROPFIND ", "PROPPATCH ", "MKCOL ",     "COPY ",        "MOVE ",     "LOCK ",
        "UNLOCK ",  "SEARCH ", "REPORT ",   "NOTIFY ",    "SUBSCRIBE ", "UNSUBSCRIBE ", "M-SEARCH ",
    };
    const uint8_t *payload = seen->payload;
    size_t size = seen->payload_captured;
    if (size == 0)
        return false;
    if (seen->tells == VX_TELLS_UDP)
        return is_message_port(seen->source_port) || is_message_port(seen->destination_port);
    if (seen->source_port == 22 || seen->destination_port == 22)
        return true;
    if (size >= 3 && payload[0] >= 20 && payload[0] <= 24 && payload[1] == 3 && payload[2] <= 4)
        return size < 4 || payload[3] <= 0x48;
    if (seen->source_port == 53 || seen->destination_port == 53)
        return true;
    if (payload[0] < 'C' || payload[0] > 'U')
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (begins_with(payload, size, words[i]))
            return true;
    return false;
}

/* One of the two directions of a connection, always the same. */
static bool is_forward(const vx_seen *seen) {
    int order = memcmp(seen->source.octets, seen->destination.octets, seen->is_ipv6 ? 16 : 4);
    return order != 0 ? order < 0 : seen->source_port < seen->destination_port;
}

/* Ask what a datagram that is met for the first time tells of applications, if it is worth it. */
static int follow_messages(vx_lister *lister, const vx_seen *seen, const vx_stream_note *note,
                           vx_line *line) {
    const uint32_t again = VX_RETRANSMISSION | VX_FAST_RETRANSMISSION | VX_SPURIOUS_RETRANSMISSION |
                           VX_KEEP_ALIVE | VX_ZERO_WINDOW_PROBE;
    const vx_list_questions *questions = &lister->options.ask;
    vx_progress *progress = NULL;
    vx_message_asked asked = {
        .transport = (uint8_t)seen->transport,
        .source_port = seen->source_port,
        .destination_port = seen->destination_port,
        .payload = seen->payload,
        .captured = seen->payload_captured,
        .length = seen->payload_length,
    };
    if (seen->tells == VX_TELLS_TCP) {
        if (note == NULL || note->progress == NULL || note->notes & again)
            return 0;
        progress = note->progress;
        if (note->notes & VX_LOST_SEGMENT)
            progress->remaining = 0;
        asked.stream = note->stream;
        asked.is_forward = is_forward(seen);
        asked.remaining = progress->remaining;
        asked.is_last = (seen->header[13] & 1) != 0; /* FIN */
        if (asked.remaining > asked.length && !asked.is_last) {
            progress->remaining -= asked.length;
            line->is_part = asked.length > 0;
            return 0;
        }
    } else if (seen->tells != VX_TELLS_UDP) {
        return 0;
    }
    if (asked.remaining == 0 && !may_begin(seen))
        return 0;
    vx_message message = {0};
    int status = questions->message(questions->context, &asked, &message);
    if (progress != NULL)
        progress->remaining = status > 0 ? message.remaining : 0;
    if (status <= 0)
        return status < 0 ? VX_LIST_FAILED : 0;
    if (message.protocol.size == 0) {
        line->is_part = asked.length > 0;
        return 0;
    }
    /* Another question may be asked before the line is written. */
    vx_text *protocol = &lister->protocol, *info = &lister->message;
    protocol->size = info->size = 0;
    vx_text_bytes(protocol, message.protocol.at, message.protocol.size);
    vx_text_byte(protocol, '\0');
    vx_text_bytes(info, message.info.at, message.info.size);
    vx_text_byte(info, '\0');
    if (protocol->failed || info->failed)
        return VX_LIST_NO_MEMORY;
    line->protocol = (vx_string){protocol->at, message.protocol.size};
    line->message = (vx_string){info->at, message.info.size};
    return 0;
}

/* ---- records ---- */

/* The bytes of a record whose outermost packet is the first of several fragments, as if it were the whole, of
 * which the rest was not captured. `length` is the whole's where it holds no tunnel, 0: unknown. Where it
 * cannot be told, `seen` stays as it is. -1: no memory. */
static int read_as_whole(vx_lister *lister, vx_seen *seen, const vx_record *record, uint32_t link_type,
                         uint32_t length) {
    enum { MORE = 0x20, UDP = 17, FRAGMENT_HEADER = 44, UDP_HEADER = 8, IPV6_HEADER = 40 };
    const struct vx_layer *ip = seen->packet.layers, *end = ip + seen->packet.layer_count;
    while (ip < end && ip->kind != VX_IPV4 && ip->kind != VX_IPV6)
        ip++;
    if (ip == end)
        return 0;
    vx_text *whole = &lister->whole;
    whole->size = 0;
    vx_text_bytes(whole, (const char *)record->data, record->captured);
    if (whole->failed)
        return -1;
    uint8_t *header = (uint8_t *)whole->at + ip->offset;
    size_t payload = ip->offset + ip->size;
    uint8_t protocol;
    if (ip->kind == VX_IPV4) {
        if (!(header[6] & MORE) || (vx_be16(header + 6) & 0x1FFF) != 0)
            return 0;
        header[6] &= (uint8_t)~MORE;
        protocol = header[9];
    } else {
        size_t at = IPV6_HEADER;
        protocol = header[6];
        while (at + 8 <= ip->size && protocol != FRAGMENT_HEADER) {
            size_t size = vx_ipv6_extension_size(protocol, header + at, ip->size - at);
            protocol = header[at];
            at += size;
        }
        if (at + 8 > ip->size || (vx_be16(header + at + 2) & 0xFFF9) != 1)
            return 0;
        header[at + 3] &= 0xFE;
        protocol = header[at];
        length += length > 0 ? 8 : 0; /* the engine leaves that header out */
    }
    uint32_t before = ip->kind == VX_IPV4 ? vx_be16(header + 2) : vx_be16(header + 4) + IPV6_HEADER,
             after = length;
    if (protocol == UDP && payload + UDP_HEADER <= record->captured)
        after = (uint32_t)ip->size + vx_be16((const uint8_t *)whole->at + payload + 4);
    uint32_t field = ip->kind == VX_IPV4 ? after : after - IPV6_HEADER;
    if (after < before || field > UINT16_MAX)
        return 0;
    uint8_t *at = header + (ip->kind == VX_IPV4 ? 2 : 4);
    at[0] = (uint8_t)(field >> 8);
    at[1] = (uint8_t)field;
    uint32_t more = after - before, most = UINT32_MAX - record->length;
    vx_seen_read(seen, (const uint8_t *)whole->at, record->captured,
                 record->length + (more < most ? more : most), link_type, lister->options.ports,
                 lister->options.port_count);
    seen->length = record->length;
    return 0;
}

/* A number for a place where records are seen, so that what is seen there is put together apart. */
static uint64_t stage_of(const vx_lister *lister, uint32_t input, const vx_record *record,
                         uint32_t link_type) {
    vx_spot spot = vx_spot_of(record, link_type);
    uint8_t key[KNOWN_KEY] = {spot.direction, spot.index >= 0};
    put32(key + 4, (uint32_t)spot.index);
    put32(key + 8, input);
    put32(key + 12, record->interface);
    if (spot.macs != NULL)
        memcpy(key + 16, spot.macs, VX_MACS);
    return hash_of(key, lister->options.seed);
}

/* Say who sent what. -1: no memory. */
static int read_record(vx_lister *lister, vx_seen *seen, uint32_t input, const vx_record *record,
                       standing standing, size_t datagram) {
    const vx_list_options *options = &lister->options;
    uint32_t link_type =
        vx_container_interface(lister->intakes[input].container, record->interface)->link_type;
    vx_seen_read(seen, record->data, record->captured, record->length, link_type, options->ports,
                 options->port_count);
    if (seen->tells != VX_TELLS_FRAGMENT)
        return 0;
    /* One line for a datagram tells of all of it; one for each record, when it is complete. */
    if (!options->all && standing == IS_FIRST &&
        read_as_whole(lister, seen, record, link_type, options->length[datagram]) < 0)
        return -1;
    if (seen->tells != VX_TELLS_FRAGMENT)
        return 0;
    uint64_t stage = options->all ? stage_of(lister, input, record, link_type) : 0;
    vx_fragments_take(lister->fragments, seen, stage, options->ports, options->port_count);
    return 0;
}

/* Whether a further sighting is met before its datagram's first record, and before any other. */
static bool overtakes(const vx_lister *lister, standing standing, uint64_t where, uint64_t datagram) {
    if (standing != IS_FURTHER)
        return false;
    uint64_t first = lister->options.where[datagram];
    return first > where && first >> RECORD_BITS == where >> RECORD_BITS &&
           vx_map_find(&lister->overtaken, &datagram, OVERTAKEN_KEY) == VX_NONE;
}

/* Take the segment of such a one. 0, or -1: no memory. */
static int take_overtaken(vx_lister *lister, const vx_segment *segment, uint64_t datagram,
                          vx_stream_note *note) {
    if (vx_streams_take(lister->streams, segment, note) < 0)
        return -1;
    bool made;
    uint32_t number = vx_map_intern(&lister->overtaken, &datagram, OVERTAKEN_KEY, &made);
    if (number == VX_NONE)
        return -1;
    overtaken *item = vx_map_at(&lister->overtaken, number);
    item->notes = note->notes;
    item->duplicate_of = note->duplicate_of;
    item->duplicate_number = note->duplicate_number;
    return 0;
}

/* Tell the stream of a segment, or ask it; `note` is filled where the answer is 1. -1: no memory. */
static int follow_stream(vx_lister *lister, const vx_seen *seen, standing standing, const vx_record *record,
                         uint64_t where, uint64_t datagram, vx_stream_note *note) {
    vx_segment segment = {0};
    if (!vx_segment_of(seen, &segment))
        return 0;
    segment.time_ns = record->time_ns;
    segment.record = where & RECORD_MASK;
    segment.network = -1;
    if (lister->options.vni_is_network)
        segment.network = datagram != NOWHERE ? lister->options.vni[datagram] : seen->network;
    if (overtakes(lister, standing, where, datagram)) {
        if (take_overtaken(lister, &segment, datagram, note) < 0)
            return -1;
        note->notes = 0; /* its first record has them */
        note->progress = NULL;
        return 1;
    }
    if (standing == IS_FURTHER) {
        if (vx_streams_look(lister->streams, &segment, note) < 0)
            return 0;
        note->progress = NULL;
        return 1;
    }
    uint32_t known = vx_map_count(&lister->overtaken) > 0
                         ? vx_map_find(&lister->overtaken, &datagram, OVERTAKEN_KEY)
                         : VX_NONE;
    if (known != VX_NONE) {
        const overtaken *item = vx_map_at(&lister->overtaken, known);
        if (vx_streams_look(lister->streams, &segment, note) < 0)
            return 0;
        note->notes = item->notes;
        note->duplicate_of = item->duplicate_of;
        note->duplicate_number = item->duplicate_number;
        return 1;
    }
    return vx_streams_take(lister->streams, &segment, note) < 0 ? -1 : 1;
}

/* From one time to another, in ns; what is beyond 64 bits is the most that they hold. */
static int64_t between(int64_t from, int64_t to) {
    int64_t difference;
    if (__builtin_sub_overflow(to, from, &difference))
        return to > from ? INT64_MAX : INT64_MIN;
    return difference;
}

static bool is_wanted(const vx_lister *lister, const vx_line *line, const vx_party parties[4]) {
    if (lister->filter == NULL)
        return true;
    const vx_seen *seen = line->seen;
    const vx_party *source = &parties[0], *destination = &parties[1];
    bool of_vni = lister->options.vni_is_identity && seen->vni >= 0;
    /* Where there is a tunnel, its ends say which nodes they are. */
    vx_string from = parties[2].node.at != NULL ? parties[2].node : source->node;
    vx_string to = parties[3].node.at != NULL ? parties[3].node : destination->node;
    const vx_facts facts = {
        .seen = seen,
        .note = line->note,
        .record = line->number,
        .input = line->input,
        .time_ns = line->time_ns,
        .relative_ns = between(lister->first_time, line->time_ns),
        .latency_ns = line->latency,
        .protocol = line->protocol.at,
        .source_pod = source->pod.at,
        .destination_pod = destination->pod.at,
        .source_node = from.at,
        .destination_node = to.at,
        .ingress = line->ingress.at,
        .egress = line->egress.at,
        .source_identity = of_vni ? seen->vni : source->identity,
        .destination_identity = destination->identity,
        .outcome = line->outcome,
    };
    return vx_filter_holds(lister->filter, &facts);
}

static int write_line(vx_lister *lister, vx_line *line) {
    const vx_list_options *options = &lister->options;
    const vx_seen *seen = line->seen;
    vx_party parties[4];
    vx_end ends[4] = {seen->source, seen->destination, seen->outer_source, seen->outer_destination};
    for (unsigned i = 0; i < 4; i++) {
        parties[i] = (vx_party){.identity = -1};
        if (lister->asks_parties && (i < 2 || lister->filter != NULL)) {
            int status = know_party(lister, ends[i], &parties[i]);
            if (status < 0)
                return status;
        }
    }
    line->source = &parties[0];
    line->destination = &parties[1];
    if (!is_wanted(lister, line, parties))
        return 0;
    int64_t identity = options->vni_is_identity && seen->vni >= 0 ? seen->vni : parties[0].identity;
    if (options->ask_identities && identity >= 0) {
        int status = know_identity(lister, identity, &line->identity);
        if (status < 0)
            return status;
    }
    int64_t since = options->time == VX_TIME_DELTA ? lister->last_line : lister->first_time;
    if (options->time == VX_TIME_DELTA && lister->lines == 0)
        since = line->time_ns;
    line->shown_ns = between(since, line->time_ns);
    lister->last_line = line->time_ns;
    vx_line_write(&lister->text, options, line, lister->lines == 0);
    lister->lines++;
    return lister->text.failed ? VX_LIST_NO_MEMORY : 0;
}

static int take_record(vx_lister *lister, uint32_t input, const vx_record *record) {
    const vx_list_options *options = &lister->options;
    uint64_t number = ++lister->inputs[input].records;
    if (!lister->has_records) {
        lister->has_records = true;
        lister->first_time = record->time_ns;
    }
    size_t datagram;
    uint64_t where = (uint64_t)input << RECORD_BITS | number;
    standing standing = find_datagram(lister, input, where, &datagram);
    bool is_shown = options->all || (standing != IS_FURTHER && standing != IS_TAIL);
    if (!is_shown && !overtakes(lister, standing, where, datagram))
        return 0;
    if (lister->known.count >= MOST_KNOWN)
        forget_all(&lister->known);
    vx_seen seen;
    vx_stream_note note = {0};
    if (read_record(lister, &seen, input, record, standing, datagram) < 0)
        return VX_LIST_NO_MEMORY;
    int noted = follow_stream(lister, &seen, standing, record, where, datagram, &note);
    if (noted < 0)
        return VX_LIST_NO_MEMORY;
    if (!is_shown)
        return 0;
    vx_line line = {
        .seen = &seen,
        .note = noted > 0 ? &note : NULL,
        .number = number,
        .input = input,
        .time_ns = record->time_ns,
        .latency = -1,
        .protocol = {seen.protocol, (uint32_t)strlen(seen.protocol)},
    };
    int status = 0;
    if (standing != IS_FURTHER) {
        line.request = vx_echoes_take(lister->echoes, &seen, number);
        status = follow_messages(lister, &seen, line.note, &line);
    }
    if (status == 0 && datagram != NOWHERE) {
        uint32_t bundle = options->bundle[datagram];
        const vx_way *way = &options->ways[options->way_of[bundle]];
        line.latency = options->latency[datagram];
        line.datagram = options->where[datagram] & RECORD_MASK;
        line.outcome = options->outcome_of[bundle];
        line.interfaces = way->both;
        line.ingress = way->ingress;
        line.egress = way->egress;
    }
    if (status == 0 && (options->all || datagram == NOWHERE))
        status = tell_spot(lister, record, datagram, &line);
    return status == 0 ? write_line(lister, &line) : status;
}

/* ---- what others call ---- */

static bool is_full(const vx_lister *lister) {
    return lister->options.most > 0 && lister->lines >= lister->options.most;
}

static int fail_with(vx_lister *lister, int status) {
    if (status < 0 && lister->failure == 0)
        lister->failure = status;
    return lister->failure;
}

/* Write the lines of all records that can be read. */
static int list_records(vx_lister *lister) {
    uint32_t inputs = lister->options.inputs;
    size_t most = inputs == 1 ? VX_READY : 1;
    while (!is_full(lister)) {
        uint32_t number = inputs == 1 ? 0 : vx_intakes_next(lister->intakes, inputs);
        if (number == VX_NO_INPUT || !vx_intake_fill(&lister->intakes[number], most))
            return 0;
        vx_intake *intake = &lister->intakes[number];
        int status = take_record(lister, number, &intake->ready[intake->ready_at]);
        if (status < 0)
            return status;
        intake->ready_at++;
    }
    return 0;
}

int vx_lister_feed(vx_lister *lister, uint32_t input, const uint8_t *data, size_t size) {
    if (lister->failure != 0)
        return lister->failure;
    vx_intake_offer(&lister->intakes[input], data, size);
    int status = list_records(lister);
    if (status == 0 && !is_full(lister) && vx_intake_keep(&lister->intakes[input]) < 0)
        status = VX_LIST_NO_MEMORY;
    return fail_with(lister, status);
}

int vx_lister_end(vx_lister *lister, uint32_t input) {
    if (lister->failure != 0)
        return lister->failure;
    vx_intake_end(&lister->intakes[input]);
    return fail_with(lister, list_records(lister));
}

uint32_t vx_lister_wants(const vx_lister *lister) {
    if (is_full(lister))
        return VX_NO_INPUT;
    return vx_intakes_wanting(lister->intakes, lister->options.inputs);
}

vx_text *vx_lister_text(vx_lister *lister) { return &lister->text; }

uint64_t vx_lister_lines(const vx_lister *lister) { return lister->lines; }

static uint32_t either(uint32_t given, uint32_t usual) { return given > 0 ? given : usual; }

vx_lister *vx_lister_new(const vx_list_options *options) {
    vx_lister *lister = calloc(1, sizeof *lister);
    if (lister == NULL)
        return NULL;
    lister->options = *options;
    vx_map_init(&lister->overtaken, sizeof(overtaken), options->seed);
    lister->intakes = calloc((size_t)options->inputs + 1, sizeof *lister->intakes);
    lister->inputs = calloc((size_t)options->inputs + 1, sizeof *lister->inputs);
    lister->streams = vx_streams_new(either(options->most_streams, MOST_STREAMS), options->seed);
    lister->fragments = vx_fragments_new(either(options->most_fragmented, MOST_FRAGMENTED), options->seed);
    lister->echoes = vx_echoes_new(either(options->most_echoes, MOST_ECHOES), options->seed);
    bool complete = lister->intakes != NULL && lister->inputs != NULL && lister->streams != NULL &&
                    lister->fragments != NULL && lister->echoes != NULL;
    if (complete && options->filter != NULL)
        complete = vx_filter_new(options->filter, options->filter_size, &lister->filter) == 0;
    for (uint32_t i = 0; complete && i < options->inputs; i++) {
        complete = vx_intake_init(&lister->intakes[i]) == 0;
        uint64_t begins = (uint64_t)i << RECORD_BITS;
        lister->inputs[i].datagram = place_of(options->where, options->datagram_count, 0, begins);
        lister->inputs[i].sighting = place_of(options->sighted.where, options->sighted.count, 0, begins);
        lister->inputs[i].tail = place_of(options->tails.where, options->tails.count, 0, begins);
    }
    if (!complete) {
        vx_lister_free(lister);
        return NULL;
    }
    lister->asks_parties = options->ask_names;
    return lister;
}

void vx_lister_free(vx_lister *lister) {
    if (lister == NULL)
        return;
    for (uint32_t i = 0; lister->intakes != NULL && i < lister->options.inputs; i++)
        vx_intake_free(&lister->intakes[i]);
    forget_all(&lister->known);
    free(lister->known.answers);
    free(lister->known.slots);
    free(lister->intakes);
    free(lister->inputs);
    vx_streams_free(lister->streams);
    vx_fragments_free(lister->fragments);
    vx_echoes_free(lister->echoes);
    vx_filter_free(lister->filter);
    vx_map_free(&lister->overtaken);
    vx_text_free(&lister->text);
    vx_text_free(&lister->protocol);
    vx_text_free(&lister->message);
    vx_text_free(&lister->label);
    vx_text_free(&lister->whole);
    free(lister);
}
