/* Capture containers, pcap and pcapng. See container.h for what is promised, and vxtool/capture/container.py
 * for the same in plain words: the two are held equal by tests.
 *
 * Unread bytes lie in two places, one after the other: what is held (copied, because a header, record or
 * block did not end within an offer), then the rest of the offer. peek() gives a run of them as one piece:
 * from the offer where nothing is held, which is nearly always, else from the held bytes, which it fills up
 * from the offer to just that many. So the held bytes are never more than one block, but after a detach.
 *
 * Sources: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html and
 * https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html */
#include "container.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAGIC = 4,
    PCAP_HEADER = 24,
    PCAP_RECORD = 16,
    PCAP_VERSION = 2,
    /* Type and length in front of a block, then a section's byte-order magic or, at the least, the trailer.
     */
    BLOCK = 12,
    BLOCK_HEAD = 8,
    PCAPNG_VERSION = 1,
    SECTION_BODY = 16,
    INTERFACE_BODY = 8,
    PACKET_BODY = 20,
    SIMPLE_PACKET_BODY = 4,
    STATISTICS_BODY = 12,
};

enum { INTERFACE = 1, OLD_PACKET, SIMPLE_PACKET, NAMES, STATISTICS, PACKET };
enum { NAME_IPV4 = 1, NAME_IPV6 = 2 };
enum { EPB_FLAGS = 2, IF_NAME = 2, ISB_IFDROP = 5, IF_TSRESOL = 9, IF_TSOFFSET = 14 };
enum { MICROSECONDS = 6, NANOSECONDS = 9, BINARY = 0x80 };

enum { NO_LINK_TYPE = 0xffff }; /* of an interface whose description does not hold one */

static const uint32_t SECTION = 0x0a0d0d0a; /* the same in either byte order */
static const uint32_t BYTE_ORDER_MAGIC = 0x1a2b3c4d;
static const int64_t SECOND = 1000000000;

struct vx_container {
    const uint8_t *cursor; /* the unread part of the offer */
    const uint8_t *end;
    uint8_t *hold; /* held_from to held_to are unread, and come before the offer */
    size_t held_from;
    size_t held_to;
    size_t hold_capacity;

    vx_format format;
    bool big;         /* byte order of the file or section */
    bool waiting;     /* the last answer was that more bytes are needed: */
    bool ended;       /* no more will come */
    uint32_t need;    /* this many */
    int64_t fraction; /* nanoseconds in a unit of pcap's second word */
    int64_t time_ns;  /* of the last pcapng record */
    uint32_t section; /* index of the section's first interface */
    uint64_t records;
    uint64_t offset;
    vx_damage damage;
    uint64_t skipped; /* blocks */
    vx_damage first_skipped;

    vx_interface *interfaces;
    uint32_t interface_count;
    uint32_t interface_capacity;
    vx_name *names;
    uint32_t name_count;
    uint32_t name_capacity;
};

/* Part of a block, read from the front. What is taken has been checked to be there. */
typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    bool big;
} cursor;

typedef struct {
    uint16_t code;
    uint16_t size;
    const uint8_t *value;
} option;

static inline uint16_t load16(const uint8_t *at, bool big) {
    return big ? (uint16_t)(at[0] << 8 | at[1]) : (uint16_t)(at[1] << 8 | at[0]);
}

static inline uint32_t load32(const uint8_t *at, bool big) {
    return big ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]
               : (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static uint64_t load64(const uint8_t *at, bool big) {
    uint64_t first = load32(at, big);
    uint64_t second = load32(at + 4, big);
    return big ? first << 32 | second : second << 32 | first;
}

static size_t left(const cursor *bytes) { return (size_t)(bytes->end - bytes->at); }

static uint16_t take16(cursor *bytes) {
    uint16_t value = load16(bytes->at, bytes->big);
    bytes->at += 2;
    return value;
}

static uint32_t take32(cursor *bytes) {
    uint32_t value = load32(bytes->at, bytes->big);
    bytes->at += 4;
    return value;
}

/* The padding of data and option values to 4 bytes. Sizes are below 2^32 - 4 wherever this is used. */
static uint32_t padded(uint32_t size) { return (size + 3) & ~UINT32_C(3); }

/* Stop for good. Returns -1, for the caller to return in turn. */
static int stop(vx_container *container, vx_damage_code code, uint32_t value, uint32_t expected) {
    container->damage = (vx_damage){code, container->offset, container->records, value, expected};
    return -1;
}

static int no_memory(vx_container *container, size_t wanted) {
    return stop(container, VX_DAMAGE_NO_MEMORY, wanted > UINT32_MAX ? UINT32_MAX : (uint32_t)wanted, 0);
}

/* The held bytes. */

static size_t held(const vx_container *container) { return container->held_to - container->held_from; }

/* Copy the next `count` bytes of the offer, which are there, behind the held ones. */
static int hold(vx_container *container, size_t count) {
    if (count == 0)
        return 0;
    if (container->held_from > 0) {
        memmove(container->hold, container->hold + container->held_from, held(container));
        container->held_to -= container->held_from;
        container->held_from = 0;
    }
    if (count > container->hold_capacity - container->held_to) {
        size_t least = container->held_to + count;
        size_t capacity = container->hold_capacity * 2 > least ? container->hold_capacity * 2 : least;
        uint8_t *grown = realloc(container->hold, capacity);
        if (grown == NULL)
            return no_memory(container, capacity);
        container->hold = grown;
        container->hold_capacity = capacity;
    }
    memcpy(container->hold + container->held_to, container->cursor, count);
    container->held_to += count;
    container->cursor += count;
    return 0;
}

static const uint8_t *peek_held(vx_container *container, size_t count) {
    if (held(container) < count) {
        size_t offered = (size_t)(container->end - container->cursor);
        size_t missing = count - held(container);
        if (hold(container, missing < offered ? missing : offered) < 0 || missing > offered)
            return NULL;
    }
    return container->hold + container->held_from;
}

/* The next `count` unread bytes in one piece, or NULL: they are not there yet, or there is no memory. */
static inline const uint8_t *peek(vx_container *container, size_t count) {
    if (container->held_to == 0 && (size_t)(container->end - container->cursor) >= count)
        return container->cursor;
    return peek_held(container, count);
}

/* Go past `count` bytes that were peeked at. They stay where they are until the next call. */
static inline void skip(vx_container *container, size_t count) {
    container->offset += count;
    if (container->held_to == 0) {
        container->cursor += count;
        return;
    }
    container->held_from += count;
    if (container->held_from == container->held_to)
        container->held_from = container->held_to = 0;
}

/* Judge what is left when no more bytes will come. 0: nothing, all was well. */
static int finish(vx_container *container) {
    uint32_t there = (uint32_t)held(container);
    if (container->offset > 0)
        return there > 0 ? stop(container, VX_DAMAGE_CUT_RECORD, there, container->need) : 0;
    if (there == 0)
        return stop(container, VX_DAMAGE_EMPTY, 0, 0);
    return stop(container, VX_DAMAGE_CUT_HEADER, there,
                container->format == VX_FORMAT_UNKNOWN ? PCAP_HEADER : container->need);
}

/* What next() answers where peek(container, need) gave NULL. */
static int starve(vx_container *container, uint32_t need) {
    if (container->damage.code != VX_DAMAGE_NONE)
        return -1;
    container->need = need;
    if (container->ended)
        return finish(container);
    container->waiting = true;
    return 0;
}

/* Interfaces, names and times. */

/* The text of `size` bytes at `at` up to its first NUL, at most VX_MAX_TEXT of it. NULL: no memory. */
static char *copy_text(const uint8_t *at, size_t size) {
    const uint8_t *nul = size > 0 ? memchr(at, 0, size) : NULL;
    size_t length = nul == NULL ? size : (size_t)(nul - at);
    if (length > VX_MAX_TEXT)
        length = VX_MAX_TEXT;
    char *text = malloc(length + 1);
    if (text == NULL)
        return NULL;
    if (length > 0)
        memcpy(text, at, length);
    text[length] = '\0';
    return text;
}

/* Space for one more element in an array; NULL: no memory, and the array is as it was. */
static void *grow(void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity)
        return array;
    uint32_t wanted = *capacity > 0 ? *capacity * 2 : 4;
    void *grown = realloc(array, wanted * size);
    if (grown != NULL)
        *capacity = wanted;
    return grown;
}

/* Takes over the interface's name, also where it fails. */
static int add_interface(vx_container *container, vx_interface interface) {
    vx_interface *grown = grow(container->interfaces, container->interface_count,
                               &container->interface_capacity, sizeof *container->interfaces);
    if (grown == NULL) {
        free(interface.name);
        return no_memory(container, sizeof *container->interfaces);
    }
    container->interfaces = grown;
    container->interfaces[container->interface_count++] = interface;
    return 0;
}

static int add_name(vx_container *container, const uint8_t *address, uint32_t address_size,
                    const uint8_t *text, uint32_t text_size) {
    if (container->name_count == VX_MAX_NAMES || text_size == 0 || text[0] == '\0')
        return 0;
    vx_name *grown =
        grow(container->names, container->name_count, &container->name_capacity, sizeof *container->names);
    if (grown == NULL)
        return no_memory(container, sizeof *container->names);
    container->names = grown;
    vx_name name = {.family = address_size == 4 ? 4 : 6, .name = copy_text(text, text_size)};
    if (name.name == NULL)
        return no_memory(container, text_size);
    memcpy(name.address, address, address_size);
    container->names[container->name_count++] = name;
    return 0;
}

static uint64_t power_of_ten(unsigned exponent) {
    uint64_t power = 1;
    while (exponent-- > 0)
        power *= 10;
    return power;
}

/* ticks * 10^9 / 10^exponent, rounded down, at most INT64_MAX. */
static int64_t decimal_ns(uint64_t ticks, unsigned exponent) {
    if (exponent == NANOSECONDS)
        return ticks > INT64_MAX ? INT64_MAX : (int64_t)ticks;
    if (exponent > NANOSECONDS) {
        exponent -= NANOSECONDS;
        return exponent > 19 ? 0 : (int64_t)(ticks / power_of_ten(exponent)); /* 10^20 > 2^64 */
    }
    int64_t time_ns;
    if (__builtin_mul_overflow(ticks, power_of_ten(NANOSECONDS - exponent), &time_ns))
        return INT64_MAX;
    return time_ns;
}

/* ticks * 10^9 / 2^exponent, rounded down, at most INT64_MAX. */
static int64_t binary_ns(uint64_t ticks, unsigned exponent) {
    /* The product has up to 94 bits: high * 2^32 + low. */
    uint64_t low = (ticks & UINT32_MAX) * (uint64_t)SECOND;
    uint64_t high = (ticks >> 32) * (uint64_t)SECOND + (low >> 32);
    low &= UINT32_MAX;
    if (exponent >= 96)
        return 0;
    if (exponent >= 32)
        return (int64_t)(high >> (exponent - 32));
    unsigned up = 32 - exponent;
    if (high > (uint64_t)INT64_MAX >> up)
        return INT64_MAX;
    return (int64_t)((high << up) + (low >> exponent));
}

static int64_t interface_time_ns(const vx_interface *interface, uint64_t ticks) {
    unsigned exponent = interface->resolution & ~(unsigned)BINARY;
    int64_t time_ns =
        interface->resolution & BINARY ? binary_ns(ticks, exponent) : decimal_ns(ticks, exponent);
    int64_t seconds = interface->offset_seconds;
    if (seconds == 0)
        return time_ns;
    int64_t offset_ns;
    if (__builtin_mul_overflow(seconds, SECOND, &offset_ns))
        offset_ns = seconds < 0 ? INT64_MIN : INT64_MAX;
    /* Times without an offset are not negative, so only a positive offset can overflow. */
    if (__builtin_add_overflow(time_ns, offset_ns, &time_ns))
        return INT64_MAX;
    return time_ns;
}

/* pcap: a file header of 24 bytes, then records. */

static int read_pcap_header(vx_container *container) {
    const uint8_t *header = peek(container, PCAP_HEADER);
    if (header == NULL)
        return starve(container, PCAP_HEADER);
    uint16_t major = load16(header + 4, container->big);
    if (major != PCAP_VERSION)
        return stop(container, VX_DAMAGE_BAD_VERSION, major, PCAP_VERSION);
    bool nanoseconds = container->format == VX_FORMAT_PCAP_NS;
    container->fraction = nanoseconds ? 1 : 1000;
    vx_interface interface = {
        .link_type = load32(header + 20, container->big) & 0xffff, /* above it: frame check sequence length */
        .snaplen = load32(header + 16, container->big),
        .resolution = nanoseconds ? NANOSECONDS : MICROSECONDS,
    };
    if (add_interface(container, interface) < 0)
        return -1;
    skip(container, PCAP_HEADER);
    return 1;
}

/* Seconds, fraction, captured length, original length, data. A fraction may exceed a second. Field by field:
 * a record made as a whole is copied as a whole, which waits for its parts to be written. */
static inline void take_whole(vx_record *record, const uint8_t *at, bool big, int64_t fraction) {
    record->time_ns = load32(at, big) * SECOND + load32(at + 4, big) * fraction;
    record->data = at + PCAP_RECORD;
    record->captured = load32(at + 8, big);
    record->length = load32(at + 12, big);
    record->interface = 0;
    record->direction = VX_DIRECTION_UNKNOWN;
}

static inline int next_pcap(vx_container *container, vx_record *record) {
    bool big = container->big;
    const uint8_t *at = peek(container, PCAP_RECORD);
    if (at == NULL)
        return starve(container, PCAP_RECORD);
    uint32_t captured = load32(at + 8, big);
    if (captured > VX_MAX_RECORD)
        return stop(container, VX_DAMAGE_BAD_RECORD_LENGTH, captured, VX_MAX_RECORD);
    uint32_t size = PCAP_RECORD + captured;
    at = peek(container, size);
    if (at == NULL)
        return starve(container, size);
    take_whole(record, at, big, container->fraction);
    skip(container, size);
    container->records++;
    return 1;
}

/* Those records that lie whole in the offer, which nearly all do: how many. */
static inline size_t next_whole_pcap(vx_container *container, bool big, vx_record *records, size_t most) {
    const uint8_t *at = container->cursor;
    int64_t fraction = container->fraction;
    size_t count = 0;
    for (; count < most && container->end - at >= PCAP_RECORD; count++) {
        uint32_t captured = load32(at + 8, big);
        if (captured > VX_MAX_RECORD || container->end - at - PCAP_RECORD < (ptrdiff_t)captured)
            break;
        take_whole(&records[count], at, big, fraction);
        at += PCAP_RECORD + captured;
    }
    container->offset += (uint64_t)(at - container->cursor);
    container->records += count;
    container->cursor = at;
    return count;
}

/* pcapng: blocks, the first of each section a section header.
 *
 * The readers of blocks get the body and answer 1: *record is one, 0: nothing to give, -1: stopped. */

static int short_block(vx_container *container, const cursor *body, uint32_t least) {
    return stop(container, VX_DAMAGE_SHORT_BLOCK, (uint32_t)left(body), least);
}

static uint32_t section_interfaces(const vx_container *container) {
    return container->interface_count - container->section;
}

/* The section's interface number `index`, or NULL: stopped. */
static vx_interface *known_interface(vx_container *container, uint32_t index) {
    if (index >= section_interfaces(container)) {
        stop(container, VX_DAMAGE_UNKNOWN_INTERFACE, index, section_interfaces(container));
        return NULL;
    }
    return &container->interfaces[container->section + index];
}

/* Whether a record's captured bytes are in its block, and within the limit; 0, or -1: stopped. */
static int check_captured(vx_container *container, uint32_t captured, size_t room) {
    uint32_t most = room < VX_MAX_RECORD ? (uint32_t)room : VX_MAX_RECORD;
    return captured > most ? stop(container, VX_DAMAGE_BAD_RECORD_LENGTH, captured, most) : 0;
}

/* The next option, or record of a name, which has the same shape. 1, 0: no more, -1: stopped. */
static int next_option(vx_container *container, cursor *options, option *next) {
    if (left(options) < 4)
        return 0;
    next->code = take16(options);
    next->size = take16(options);
    if (next->code == 0)
        return 0;
    if (next->size > left(options))
        return stop(container, VX_DAMAGE_BAD_OPTION, next->size, (uint32_t)left(options));
    next->value = options->at;
    size_t step = padded(next->size);
    options->at += step < left(options) ? step : left(options);
    return 1;
}

static int check_size(vx_container *container, const option *checked, uint16_t size) {
    return checked->size == size ? 0 : stop(container, VX_DAMAGE_BAD_OPTION, checked->size, size);
}

/* Byte-order magic, version, section length, options. The blocks' own lengths make the section's idle. */
static int read_section(vx_container *container, cursor body) {
    if (left(&body) < SECTION_BODY)
        return short_block(container, &body, SECTION_BODY);
    uint16_t major = load16(body.at + 4, body.big);
    if (major != PCAPNG_VERSION)
        return stop(container, VX_DAMAGE_BAD_VERSION, major, PCAPNG_VERSION);
    container->section = container->interface_count;
    return 0;
}

static int read_interface_options(vx_container *container, cursor options, vx_interface *interface) {
    option next;
    int more;
    while ((more = next_option(container, &options, &next)) == 1) {
        switch (next.code) {
        case IF_NAME:
            free(interface->name);
            interface->name = NULL;
            if (next.size == 0 || next.value[0] == '\0')
                break;
            interface->name = copy_text(next.value, next.size);
            if (interface->name == NULL)
                return no_memory(container, next.size);
            break;
        case IF_TSRESOL:
            if (check_size(container, &next, 1) < 0)
                return -1;
            interface->resolution = next.value[0];
            break;
        case IF_TSOFFSET:
            if (check_size(container, &next, 8) < 0)
                return -1;
            interface->offset_seconds = (int64_t)load64(next.value, options.big);
            break;
        }
    }
    return more;
}

/* Link type, reserved, snaplen, options. One that is damaged keeps its number: others are counted behind it.
 */
static int read_interface(vx_container *container, cursor body) {
    if (container->interface_count == VX_MAX_INTERFACES)
        return stop(container, VX_DAMAGE_TOO_MANY_INTERFACES, VX_MAX_INTERFACES + 1, VX_MAX_INTERFACES);
    vx_interface interface = {.link_type = NO_LINK_TYPE, .resolution = MICROSECONDS};
    if (left(&body) < INTERFACE_BODY)
        return add_interface(container, interface) < 0 ? -1 : short_block(container, &body, INTERFACE_BODY);
    interface.link_type = take16(&body);
    take16(&body);
    interface.snaplen = take32(&body);
    int status = read_interface_options(container, body, &interface);
    return add_interface(container, interface) < 0 ? -1 : status;
}

/* Of epb_flags: bits 0-1 in or out, bits 2-4 how it was received. */
static uint8_t direction_of(uint32_t flags) {
    enum { INBOUND = 1, OUTBOUND = 2, MULTICAST = 2, BROADCAST = 3, PROMISCUOUS = 4 };
    if ((flags & 3) == OUTBOUND)
        return VX_DIRECTION_OUT;
    if ((flags & 3) != INBOUND)
        return VX_DIRECTION_UNKNOWN;
    switch (flags >> 2 & 7) {
    case MULTICAST:
        return VX_DIRECTION_IN_MULTICAST;
    case BROADCAST:
        return VX_DIRECTION_IN_BROADCAST;
    case PROMISCUOUS:
        return VX_DIRECTION_FOREIGN;
    default:
        return VX_DIRECTION_IN;
    }
}

/* Interface, time (high and low word), captured length, original length, data, options. In the obsolete
 * packet block the interface has 16 bits, and the next 16 count drops. */
static int read_packet(vx_container *container, cursor body, bool obsolete, vx_record *record) {
    if (left(&body) < PACKET_BODY)
        return short_block(container, &body, PACKET_BODY);
    uint32_t index = obsolete ? load16(body.at, body.big) : load32(body.at, body.big);
    body.at += 4;
    uint64_t high = take32(&body);
    uint64_t low = take32(&body);
    uint32_t captured = take32(&body);
    uint32_t length = take32(&body);
    const vx_interface *interface = known_interface(container, index);
    if (interface == NULL || check_captured(container, captured, left(&body)) < 0)
        return -1;
    record->data = body.at;
    body.at += padded(captured); /* within the body, whose size is a multiple of 4 */
    uint8_t direction = VX_DIRECTION_UNKNOWN;
    option next;
    int more;
    while ((more = next_option(container, &body, &next)) == 1) {
        if (next.code != EPB_FLAGS)
            continue;
        if (check_size(container, &next, 4) < 0)
            return -1;
        direction = direction_of(load32(next.value, body.big));
    }
    if (more < 0)
        return -1;
    record->time_ns = interface_time_ns(interface, high << 32 | low);
    record->captured = captured;
    record->length = length;
    record->interface = container->section + index;
    record->direction = direction;
    return 1;
}

/* Original length, data: no time, and always the section's first interface, whose snaplen says how much was
 * captured. The time of the record before is the best that can be said. */
static int read_simple_packet(vx_container *container, cursor body, vx_record *record) {
    if (left(&body) < SIMPLE_PACKET_BODY)
        return short_block(container, &body, SIMPLE_PACKET_BODY);
    const vx_interface *interface = known_interface(container, 0);
    if (interface == NULL)
        return -1;
    uint32_t length = take32(&body);
    uint32_t captured = interface->snaplen > 0 && interface->snaplen < length ? interface->snaplen : length;
    if (check_captured(container, captured, left(&body)) < 0)
        return -1;
    *record = (vx_record){
        .time_ns = container->time_ns,
        .data = body.at,
        .captured = captured,
        .length = length,
        .interface = container->section,
        .direction = VX_DIRECTION_UNKNOWN,
    };
    return 1;
}

/* Interface, time (high and low word), options. */
static int read_statistics(vx_container *container, cursor body) {
    if (left(&body) < STATISTICS_BODY)
        return short_block(container, &body, STATISTICS_BODY);
    vx_interface *interface = known_interface(container, load32(body.at, body.big));
    if (interface == NULL)
        return -1;
    body.at += STATISTICS_BODY;
    bool has_dropped = false;
    uint64_t dropped = 0;
    option next;
    int more;
    while ((more = next_option(container, &body, &next)) == 1) {
        if (next.code != ISB_IFDROP)
            continue;
        if (check_size(container, &next, 8) < 0)
            return -1;
        dropped = load64(next.value, body.big);
        has_dropped = true;
    }
    if (more == 0 && has_dropped) {
        interface->dropped = dropped;
        interface->has_dropped = true;
    }
    return more;
}

/* Records of an address and its name. Only the first name of an entry counts. */
static int read_names(vx_container *container, cursor body) {
    option next;
    int more;
    while ((more = next_option(container, &body, &next)) == 1) {
        if (next.code != NAME_IPV4 && next.code != NAME_IPV6)
            continue;
        uint16_t size = next.code == NAME_IPV4 ? 4 : 16;
        if (next.size < size)
            return stop(container, VX_DAMAGE_BAD_OPTION, next.size, size);
        if (add_name(container, next.value, size, next.value + size, next.size - size) < 0)
            return -1;
    }
    return more;
}

static int read_block(vx_container *container, uint32_t kind, cursor body, vx_record *record) {
    switch (kind) {
    case PACKET:
        return read_packet(container, body, false, record);
    case OLD_PACKET:
        return read_packet(container, body, true, record);
    case SIMPLE_PACKET:
        return read_simple_packet(container, body, record);
    case INTERFACE:
        return read_interface(container, body);
    case STATISTICS:
        return read_statistics(container, body);
    case NAMES:
        return read_names(container, body);
    default:
        return kind == SECTION ? read_section(container, body) : 0;
    }
}

static int take_byte_order(vx_container *container, const uint8_t *magic) {
    bool big = load32(magic, true) == BYTE_ORDER_MAGIC;
    if (!big && load32(magic, false) != BYTE_ORDER_MAGIC)
        return stop(container, VX_DAMAGE_BAD_BYTE_ORDER, load32(magic, true), BYTE_ORDER_MAGIC);
    container->big = big;
    return 0;
}

/* Go on behind a block whose damage is its own: its length stands at both ends. false: it is not. */
static bool forgive(vx_container *container) {
    if (container->damage.code == VX_DAMAGE_NO_MEMORY)
        return false;
    if (container->skipped++ == 0)
        container->first_skipped = container->damage;
    container->damage = (vx_damage){.code = VX_DAMAGE_NONE};
    return true;
}

static int next_pcapng(vx_container *container, vx_record *record) {
    for (;;) {
        const uint8_t *at = peek(container, BLOCK);
        if (at == NULL)
            return starve(container, BLOCK);
        uint32_t kind = load32(at, container->big);
        if (kind == SECTION && take_byte_order(container, at + BLOCK_HEAD) < 0)
            return -1;
        uint32_t total = load32(at + 4, container->big);
        if (total < BLOCK || total % 4 != 0 || total > VX_MAX_BLOCK)
            return stop(container, VX_DAMAGE_BAD_BLOCK_LENGTH, total, VX_MAX_BLOCK);
        at = peek(container, total);
        if (at == NULL)
            return starve(container, total);
        const uint8_t *trailer = at + total - 4;
        if (load32(trailer, container->big) != total)
            return stop(container, VX_DAMAGE_BAD_BLOCK_TRAILER, load32(trailer, container->big), total);
        int given = read_block(container, kind, (cursor){at + BLOCK_HEAD, trailer, container->big}, record);
        /* By a damaged section header all that follows would be read. */
        if (given < 0 && (kind == SECTION || !forgive(container)))
            return -1;
        skip(container, total);
        if (given == 1) {
            container->time_ns = record->time_ns;
            container->records++;
            return 1;
        }
    }
}

/* Tell the format by the first bytes. 1, or as next(). */
static int sniff(vx_container *container) {
    const uint8_t *at = peek(container, MAGIC);
    if (at == NULL)
        return starve(container, MAGIC);
    uint32_t magic = load32(at, true);
    container->big = true;
    switch (magic) {
    case 0x0a0d0d0a:
        container->format = VX_FORMAT_PCAPNG;
        return 1;
    case 0xd4c3b2a1:
        container->big = false;
        container->format = VX_FORMAT_PCAP;
        return 1;
    case 0xa1b2c3d4:
        container->format = VX_FORMAT_PCAP;
        return 1;
    case 0x4d3cb2a1:
        container->big = false;
        container->format = VX_FORMAT_PCAP_NS;
        return 1;
    case 0xa1b23c4d:
        container->format = VX_FORMAT_PCAP_NS;
        return 1;
    case 0xa1b2cd34: /* Alexey Kuznetzov's patched libpcap of 1999, with more fields in each record */
    case 0x34cdb2a1:
        return stop(container, VX_DAMAGE_MODIFIED_PCAP, magic, 0);
    default:
        return stop(container, VX_DAMAGE_NOT_CAPTURE, magic, 0);
    }
}

int vx_container_next(vx_container *container, vx_record *record) {
    if (container->damage.code != VX_DAMAGE_NONE)
        return -1;
    if (container->offset == 0) {
        int begun = container->format == VX_FORMAT_UNKNOWN ? sniff(container) : 1;
        if (begun == 1 && container->format != VX_FORMAT_PCAPNG)
            begun = read_pcap_header(container);
        if (begun != 1)
            return begun;
    }
    if (container->format == VX_FORMAT_PCAPNG)
        return next_pcapng(container, record);
    return next_pcap(container, record);
}

size_t vx_container_next_few(vx_container *container, vx_record *records, size_t most) {
    bool begun = container->offset > 0 && container->damage.code == VX_DAMAGE_NONE;
    if (begun && container->format != VX_FORMAT_PCAPNG && container->held_to == 0) {
        size_t count = container->big ? next_whole_pcap(container, true, records, most)
                                      : next_whole_pcap(container, false, records, most);
        if (count > 0)
            return count;
    }
    return vx_container_next(container, records) == 1 ? 1 : 0;
}

void vx_container_offer(vx_container *container, const uint8_t *data, size_t length) {
    if (length == 0)
        return;
    container->cursor = data;
    container->end = data + length;
    container->waiting = false;
}

int vx_container_detach(vx_container *container) {
    if (container->damage.code != VX_DAMAGE_NONE) {
        container->cursor = container->end = NULL;
        return container->damage.code == VX_DAMAGE_NO_MEMORY ? -1 : 0;
    }
    int copied = hold(container, (size_t)(container->end - container->cursor));
    container->cursor = container->end = NULL;
    return copied;
}

void vx_container_end(vx_container *container) {
    container->ended = true;
    if (container->waiting && container->damage.code == VX_DAMAGE_NONE)
        finish(container);
}

vx_container *vx_container_new(void) { return calloc(1, sizeof(vx_container)); }

void vx_container_free(vx_container *container) {
    if (container == NULL)
        return;
    for (uint32_t i = 0; i < container->interface_count; i++)
        free(container->interfaces[i].name);
    for (uint32_t i = 0; i < container->name_count; i++)
        free(container->names[i].name);
    free(container->interfaces);
    free(container->names);
    free(container->hold);
    free(container);
}

vx_format vx_container_format(const vx_container *container) { return container->format; }

uint64_t vx_container_skipped(const vx_container *container) { return container->skipped; }

const vx_damage *vx_container_first_skipped(const vx_container *container) {
    return &container->first_skipped;
}

const vx_damage *vx_container_damage(const vx_container *container) { return &container->damage; }

uint64_t vx_container_records(const vx_container *container) { return container->records; }

uint64_t vx_container_offset(const vx_container *container) { return container->offset; }

uint32_t vx_container_interface_count(const vx_container *container) { return container->interface_count; }

const vx_interface *vx_container_interface(const vx_container *container, uint32_t index) {
    return index < container->interface_count ? &container->interfaces[index] : NULL;
}

void vx_container_inherit(vx_container *container, const vx_container *earlier) {
    if (earlier->skipped > 0)
        container->first_skipped = earlier->first_skipped;
    container->skipped += earlier->skipped;
    uint32_t theirs = earlier->interface_count, mine = container->interface_count;
    for (uint32_t i = 0; i < (theirs < mine ? theirs : mine); i++) {
        vx_interface *interface = &container->interfaces[i];
        if (!interface->has_dropped) {
            interface->has_dropped = earlier->interfaces[i].has_dropped;
            interface->dropped = earlier->interfaces[i].dropped;
        }
    }
}

uint32_t vx_container_name_count(const vx_container *container) { return container->name_count; }

const vx_name *vx_container_name(const vx_container *container, uint32_t index) {
    return index < container->name_count ? &container->names[index] : NULL;
}
