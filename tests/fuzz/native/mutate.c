#include "mutate.h"

#include "cases.h"

#include <string.h>

enum {
    MOST_FRAME = 1 << 14,
    SLL = 113,
    SLL2 = 276,
    UDP = 17,
    TCP = 6,
    MOST_PIECES = 4,
};

/* A case that is being changed. */
typedef struct {
    uint8_t *data;
    size_t size;
    size_t most;
    uint64_t state;
    layout laid;
} change;

static uint8_t *capture_of(change *of) { return of->data + FRONT; }

static uint32_t pick(change *of, uint32_t below) { return chance(&of->state, below); }

static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static void put16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Put `more` bytes in the place of `old` ones at this place of the capture. */
static bool splice(change *of, size_t at, size_t old, const uint8_t *bytes, size_t more) {
    size_t place = FRONT + at;
    if (of->size - old + more > of->most)
        return false;
    memmove(of->data + place + more, of->data + place + old, of->size - place - old);
    if (more > 0)
        memcpy(of->data + place, bytes, more);
    of->size += more - old;
    return true;
}

/* ---- records ---- */

/* A packet taken out of its record, to be changed. */
typedef struct {
    item from;
    uint8_t bytes[MOST_FRAME];
    size_t size;
    size_t cut; /* how many bytes of it were not captured */
} packet;

static bool take_packet(change *of, const item *from, packet *out) {
    if (from->frame == 0 || from->captured > MOST_FRAME / 2)
        return false;
    const uint8_t *record = capture_of(of) + from->start;
    out->from = *from;
    out->size = from->captured;
    memcpy(out->bytes, record + from->frame, from->captured);
    uint32_t length = get32(&of->laid, record + from->frame - 4);
    out->cut = length > from->captured && length - from->captured < (1 << 20) ? length - from->captured : 0;
    return true;
}

/* Write its record, as that from which it was taken in all else: its size; 0: no room. */
static size_t put_packet(change *of, const packet *from, uint8_t *out, size_t room) {
    const uint8_t *record = capture_of(of) + from->from.start;
    size_t frame = from->from.frame, size = from->size;
    if (!of->laid.ng) {
        if (frame + size > room)
            return 0;
        memcpy(out, record, frame);
        put32(&of->laid, out + 8, (uint32_t)size);
        put32(&of->laid, out + 12, (uint32_t)(size + from->cut));
        memcpy(out + frame, from->bytes, size);
        return frame + size;
    }
    size_t padded = (size + 3) & ~(size_t)3, old = (from->from.captured + 3) & ~(size_t)3;
    size_t options = from->from.size - frame - 4 > old ? from->from.size - frame - 4 - old : 0;
    size_t total = frame + padded + options + 4;
    if (total > room)
        return 0;
    memcpy(out, record, frame);
    put32(&of->laid, out + 4, (uint32_t)total);
    put32(&of->laid, out + 20, (uint32_t)size);
    put32(&of->laid, out + 24, (uint32_t)(size + from->cut));
    memcpy(out + frame, from->bytes, size);
    memset(out + frame + size, 0, padded - size);
    memcpy(out + frame + padded, record + frame + old, options);
    put32(&of->laid, out + total - 4, (uint32_t)total);
    return total;
}

/* A time stamp of a record, in its own units; of pcap in those of its second part. */
static int64_t time_of(change *of, const uint8_t *record) {
    if (of->laid.ng)
        return (int64_t)((uint64_t)get32(&of->laid, record + 12) << 32 | get32(&of->laid, record + 16));
    bool nanoseconds = capture_of(of)[of->laid.big ? 3 : 0] == 0x4d;
    return (int64_t)get32(&of->laid, record) * (nanoseconds ? 1000000000 : 1000000) +
           get32(&of->laid, record + 4);
}

static void set_time(change *of, uint8_t *record, int64_t time) {
    if (of->laid.ng) {
        put32(&of->laid, record + 12, (uint32_t)((uint64_t)time >> 32));
        put32(&of->laid, record + 16, (uint32_t)time);
        return;
    }
    int64_t unit = capture_of(of)[of->laid.big ? 3 : 0] == 0x4d ? 1000000000 : 1000000;
    if (time < 0)
        time = 0;
    put32(&of->laid, record, (uint32_t)(time / unit));
    put32(&of->laid, record + 4, (uint32_t)(time % unit));
}

/* ---- packets ---- */

/* Where the IP header of a frame is; `size`: none is to be seen. */
static size_t network_of(const change *of, const uint8_t *bytes, size_t size) {
    size_t at;
    switch (of->laid.link_type) {
    case 1:
        at = size > 14 && get16(bytes + 12) == 0x8100 ? 18 : 14;
        break;
    case SLL:
        at = 16;
        break;
    case SLL2:
        at = 20;
        break;
    case 0:
    case 108:
        at = 4;
        break;
    default:
        at = 0;
    }
    return at < size && (bytes[at] >> 4 == 4 || bytes[at] >> 4 == 6) ? at : size;
}

/* Headers of a packet, each counted from the frame's start; a header that is not there begins at its end. */
typedef struct {
    size_t ip;        /* the outermost */
    size_t tunnel;    /* the UDP header of a tunnel, or the end */
    size_t inner;     /* the innermost IP header that is known: the outermost where there is no tunnel */
    size_t transport; /* behind it */
} headers;

static size_t behind_ip(const uint8_t *bytes, size_t at, size_t size) {
    if (at >= size)
        return size;
    size_t behind = at + (bytes[at] >> 4 == 4 ? (size_t)(bytes[at] & 15) * 4 : 40);
    return behind < size ? behind : size;
}

static uint8_t protocol_of(const uint8_t *bytes, size_t at, size_t size) {
    size_t place = at + (at < size && bytes[at] >> 4 == 4 ? 9 : 6);
    return place < size ? bytes[place] : 0;
}

static headers find_headers(const change *of, const uint8_t *bytes, size_t size) {
    headers found = {.ip = network_of(of, bytes, size), .tunnel = size};
    found.inner = found.ip;
    found.transport = behind_ip(bytes, found.ip, size);
    if (protocol_of(bytes, found.ip, size) != UDP || found.transport + 16 + 14 >= size)
        return found;
    uint16_t port = get16(bytes + found.transport + 2);
    if (port != 8472 && port != 4789 && port != 6081)
        return found;
    size_t options = port == 6081 ? (size_t)(bytes[found.transport + 8] & 63) * 4 : 0;
    size_t inner = found.transport + 16 + options + 14;
    if (inner < size && (bytes[inner] >> 4 == 4 || bytes[inner] >> 4 == 6)) {
        found.tunnel = found.transport;
        found.inner = inner;
        found.transport = behind_ip(bytes, inner, size);
    }
    return found;
}

static void set_ip_length(uint8_t *bytes, size_t at, size_t length) {
    if (bytes[at] >> 4 == 4)
        put16(bytes + at + 2, length);
    else
        put16(bytes + at + 4, length >= 40 ? length - 40 : 0);
}

/* The same datagram elsewhere: another interface, the other direction, a lower TTL. */
static void see_elsewhere(change *of, packet *with) {
    uint8_t *bytes = with->bytes;
    headers found = find_headers(of, bytes, with->size);
    if (of->laid.link_type == SLL2 && with->size >= 20) {
        bytes[7] = (uint8_t)(1 + pick(of, 3));
        bytes[10] = pick(of, 5) ? bytes[10] ^ 4 : (uint8_t)pick(of, 6);
    } else if (of->laid.link_type == SLL && with->size >= 16) {
        bytes[1] = pick(of, 5) ? bytes[1] ^ 4 : (uint8_t)pick(of, 6);
    } else if (of->laid.link_type == 1 && with->size >= 14) {
        for (unsigned i = 0; i < 6; i++) {
            uint8_t other = bytes[i];
            bytes[i] = bytes[6 + i];
            bytes[6 + i] = other;
        }
    }
    if (pick(of, 3) > 0 && found.ip + 9 < with->size)
        bytes[found.ip + (bytes[found.ip] >> 4 == 4 ? 8 : 7)]--;
    if (pick(of, 4) == 0 && found.inner + 9 < with->size)
        bytes[found.inner + (bytes[found.inner] >> 4 == 4 ? 8 : 7)]--;
}

/* A header's field made to what lengths and numbers are at their ends. */
static void set_field(change *of, packet *with) {
    static const uint16_t values[] = {0,      1,      2,      3,      4,    7,    8,      19,
                                      20,     21,     28,     40,     1400, 1500, 0x2000, 0x4000,
                                      0x7fff, 0x8000, 0xfffe, 0xffff, 8472, 4789, 6081,   4790};
    headers found = find_headers(of, with->bytes, with->size);
    const size_t starts[] = {0, found.ip, found.tunnel, found.inner, found.transport};
    size_t at = starts[pick(of, 5)] + pick(of, 24);
    if (at + 2 > with->size)
        return;
    switch (pick(of, 4)) {
    case 0:
        with->bytes[at] = (uint8_t)values[pick(of, 11)];
        break;
    case 1:
        with->bytes[at] ^= (uint8_t)(1 << pick(of, 8));
        break;
    case 2:
        put16(with->bytes + at, get16(with->bytes + at) + (size_t)pick(of, 9) - 4);
        break;
    default:
        put16(with->bytes + at, values[pick(of, sizeof values / sizeof *values)]);
    }
}

/* A tunnel around its IP packet. */
static void wrap(change *of, packet *with) {
    enum { ADDED = 20 + 8 + 8 + 14 };
    size_t ip = network_of(of, with->bytes, with->size);
    if (ip >= with->size || with->size + ADDED > MOST_FRAME)
        return;
    uint8_t *at = with->bytes + ip;
    size_t inner = with->size - ip, whole = inner + with->cut + ADDED;
    bool geneve = pick(of, 3) == 0, ipv6 = at[0] >> 4 == 6;
    memmove(at + ADDED, at, inner);
    memset(at, 0, ADDED);
    memcpy(at, "\x45\0\0\0\0\1\0\0\x40\x11\0\0\xc0\xa8\1\1\xc0\xa8\2\1", 20);
    put16(at + 2, whole);
    at[5] = (uint8_t)pick(of, 4);
    put16(at + 20, 50000 + pick(of, 20));
    put16(at + 22, geneve ? 6081 : 8472);
    put16(at + 24, whole - 20);
    memcpy(at + 28, geneve ? "\0\0\x65\x58" : "\x08\0\0\0", 4);
    at[34] = (uint8_t)pick(of, 3);
    memcpy(at + 36, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
    put16(at + 48, ipv6 ? 0x86dd : 0x0800);
    if (ipv6 && of->laid.link_type == SLL2)
        put16(with->bytes, 0x0800);
    else if (ipv6 && ip >= 2)
        put16(at - 2, 0x0800);
    with->size += ADDED;
}

/* Cut its IPv4 packet, the outer or the inner one, into two fragments: `with` is the first, `rest` the other.
 */
static bool fragment(change *of, packet *with, packet *rest) {
    headers found = find_headers(of, with->bytes, with->size);
    bool within = found.inner != found.ip && pick(of, 3) == 0;
    size_t ip = within ? found.inner : found.ip, behind = behind_ip(with->bytes, ip, with->size);
    if (ip + 20 > with->size || with->bytes[ip] >> 4 != 4 || with->size < behind + 16)
        return false;
    uint16_t before = get16(with->bytes + ip + 6);
    size_t payload = with->size - behind, cut = 8 * (1 + pick(of, (uint32_t)(payload / 8 - 1)));
    *rest = *with;
    memmove(rest->bytes + behind, rest->bytes + behind + cut, payload - cut);
    rest->size -= cut;
    put16(rest->bytes + ip + 6, (size_t)before + cut / 8);
    with->size = behind + cut;
    with->cut = 0;
    put16(with->bytes + ip + 6, before | 0x2000);
    for (packet *one = with;; one = rest) {
        size_t length = one->size + one->cut - ip;
        set_ip_length(one->bytes, ip, length);
        if (within && found.tunnel < found.inner) {
            set_ip_length(one->bytes, found.ip, one->size + one->cut - found.ip);
            put16(one->bytes + found.tunnel + 4, one->size + one->cut - found.tunnel);
        }
        if (one == rest)
            break;
    }
    return true;
}

/* Cut a super-frame as a network card does: `out` are its segments, most often each as long. */
static unsigned segment(change *of, const packet *from, packet *out) {
    headers found = find_headers(of, from->bytes, from->size);
    uint8_t protocol = protocol_of(from->bytes, found.inner, from->size);
    bool tcp = protocol == TCP;
    if ((!tcp && protocol != UDP) || found.transport + 20 > from->size)
        return 0;
    size_t data = found.transport + (tcp ? (size_t)(from->bytes[found.transport + 12] >> 4) * 4 : 8);
    if (data + 2 > from->size)
        return 0;
    size_t total = from->size - data, pieces = 2 + pick(of, MOST_PIECES - 1);
    size_t length = pick(of, 6) ? (total + pieces - 1) / pieces : 1 + pick(of, (uint32_t)total);
    unsigned count = 0;
    for (size_t at = 0; at < total && count < MOST_PIECES; at += length, count++) {
        packet *one = &out[count];
        *one = *from;
        one->cut = 0;
        size_t taken = length < total - at ? length : total - at;
        memmove(one->bytes + data, from->bytes + data + at, taken);
        one->size = data + taken;
        uint8_t *header = one->bytes + found.transport;
        if (tcp) {
            uint32_t sequence = (uint32_t)get16(header + 4) << 16 | get16(header + 6);
            sequence += (uint32_t)at;
            put16(header + 4, sequence >> 16);
            put16(header + 6, sequence);
        } else {
            put16(header + 4, 8 + taken);
        }
        const size_t both[] = {found.ip, found.inner};
        for (unsigned i = 0; i < 2 && (i == 0 || found.inner != found.ip); i++) {
            uint8_t *ip = one->bytes + both[i];
            set_ip_length(one->bytes, both[i], one->size - both[i]);
            if (ip[0] >> 4 == 4 && get16(ip + 4) > 0)
                put16(ip + 4, get16(ip + 4) + (size_t)count);
        }
        if (found.tunnel < found.inner)
            put16(one->bytes + found.tunnel + 4, one->size - found.tunnel);
    }
    return count;
}

/* ---- changes ---- */

/* Write these packets where the record of the first was, or behind it. */
static void write_packets(change *of, const packet *packets, unsigned count, bool instead) {
    static uint8_t records[(MOST_PIECES + 1) * (MOST_FRAME + 256)];
    size_t size = 0;
    for (unsigned i = 0; i < count; i++)
        size += put_packet(of, &packets[i], records + size, sizeof records - size);
    const item *from = &packets->from;
    if (instead)
        splice(of, from->start, from->size, records, size);
    else
        splice(of, from->start + from->size, 0, records, size);
}

/* A super-frame, and behind it its segments, most often where they went out. Without DF, the first has the
 * same key. */
static void cut_super_frame(change *of, packet *packets) {
    headers found = find_headers(of, packets->bytes, packets->size);
    if (pick(of, 3) == 0 && found.inner + 7 < packets->size && packets->bytes[found.inner] >> 4 == 4)
        packets->bytes[found.inner + 6] &= 0x1f;
    unsigned count = segment(of, packets, packets + 1);
    bool elsewhere = pick(of, 3) > 0;
    uint64_t state = of->state;
    for (unsigned i = 1; i <= count && elsewhere; i++) {
        of->state = state; /* all at the same place */
        see_elsewhere(of, &packets[i]);
    }
    if (pick(of, 4) == 0 && count > 1) { /* one was lost */
        packets[1 + pick(of, count)] = packets[count];
        count--;
    }
    write_packets(of, packets, 1 + count, true);
}

static void change_packet(change *of, const item *chosen) {
    static packet packets[MOST_PIECES + 1], other;
    if (!take_packet(of, chosen, packets))
        return;
    switch (pick(of, 12)) {
    case 0:
    case 1:
        packets->size = mutate_bytes(packets->bytes, packets->size, packets->size + 64, &of->state);
        write_packets(of, packets, 1, true);
        break;
    case 2:
    case 3:
    case 4:
        see_elsewhere(of, packets);
        write_packets(of, packets, 1, pick(of, 4) == 0);
        break;
    case 5:
    case 6:
        set_field(of, packets);
        write_packets(of, packets, 1, pick(of, 3) > 0);
        break;
    case 7:
        wrap(of, packets);
        write_packets(of, packets, 1, pick(of, 2) == 0);
        break;
    case 8:
    case 9:
        if (fragment(of, packets, &packets[1])) {
            if (pick(of, 4) == 0) {
                other = packets[0];
                packets[0] = packets[1];
                packets[1] = other;
            }
            write_packets(of, packets, 2, pick(of, 3) > 0);
        }
        break;
    case 10:
        cut_super_frame(of, packets);
        break;
    default: { /* captured less, or told to be longer */
        size_t less = pick(of, (uint32_t)packets->size + 1);
        packets->size -= less;
        packets->cut += pick(of, 4) ? less : pick(of, 70000);
        write_packets(of, packets, 1, true);
    }
    }
}

static void change_time(change *of, unsigned number) {
    static const int64_t gaps[] = {0,
                                   1,
                                   99,
                                   100,
                                   101,
                                   700,
                                   999,
                                   1000,
                                   1001,
                                   10000,
                                   70000,
                                   1000000,
                                   10000000,
                                   1000000000,
                                   1000000001,
                                   60000000000,
                                   100000000000000000};
    item *chosen = &of->laid.items[number];
    if (chosen->frame == 0 || number == 0 || of->laid.items[number - 1].frame == 0)
        return;
    int64_t gap = gaps[pick(of, sizeof gaps / sizeof *gaps)];
    int64_t before = time_of(of, capture_of(of) + of->laid.items[number - 1].start);
    if (before > INT64_MAX / 2 || before < INT64_MIN / 2)
        before = 0;
    set_time(of, capture_of(of) + chosen->start, pick(of, 5) ? before + gap : before - gap);
}

static void change_items(change *of) {
    static uint8_t copy[MOST_CASE];
    unsigned number = pick(of, of->laid.count);
    item chosen = of->laid.items[number];
    switch (pick(of, 10)) {
    case 0:
        splice(of, chosen.start, chosen.size, NULL, 0);
        break;
    case 1: { /* to another place */
        item to = of->laid.items[pick(of, of->laid.count)];
        memcpy(copy, capture_of(of) + chosen.start, chosen.size);
        splice(of, to.start, 0, copy, chosen.size);
        break;
    }
    case 2:
    case 3:
        change_time(of, number);
        break;
    case 4:
        if (of->laid.ng) { /* what is in a block, and its lengths with it */
            size_t inside = chosen.size - 12, room = of->most - of->size;
            memcpy(copy, capture_of(of) + chosen.start, chosen.size);
            room = (room < 64 ? room : 64) + inside;
            room = room < sizeof copy - 12 ? room : sizeof copy - 12;
            size_t size = inside > 0 ? mutate_bytes(copy + 8, inside, room, &of->state) & ~(size_t)3 : 0;
            put32(&of->laid, copy + 4, (uint32_t)(size + 12));
            put32(&of->laid, copy + 8 + size, (uint32_t)(size + 12));
            splice(of, chosen.start, chosen.size, copy, size + 12);
            break;
        }
        /* fall through */
    default:
        change_packet(of, &chosen);
    }
}

size_t mutate_case(uint8_t *data, size_t size, size_t most, uint64_t seed) {
    static change of;
    if (most > MOST_CASE)
        most = MOST_CASE;
    if (size > most)
        size = most;
    of.data = data;
    of.size = size;
    of.most = most;
    of.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    if (size < FRONT || !lay_out(data + FRONT, size - FRONT, &of.laid) || of.laid.count == 0 ||
        pick(&of, 8) == 0)
        return mutate_bytes(data, size, most, &of.state);
    if (pick(&of, 10) == 0) {
        data[pick(&of, FRONT)] = (uint8_t)pick(&of, 256);
        return size;
    }
    change_items(&of);
    while (pick(&of, 2) && lay_out(data + FRONT, of.size - FRONT, &of.laid) && of.laid.count > 0)
        change_items(&of);
    return of.size;
}

size_t cross_cases(uint8_t *data, size_t size, size_t most, const uint8_t *other, size_t other_size,
                   uint64_t seed) {
    static change of;
    static layout theirs;
    of.data = data;
    of.size = size;
    of.most = most > MOST_CASE ? MOST_CASE : most;
    of.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 2;
    if (size < FRONT || size > of.most || other_size < FRONT ||
        !lay_out(data + FRONT, size - FRONT, &of.laid) ||
        !lay_out(other + FRONT, other_size - FRONT, &theirs) || theirs.count == 0 ||
        theirs.ng != of.laid.ng || theirs.big != of.laid.big)
        return size;
    unsigned from = pick(&of, theirs.count), count = 1 + pick(&of, 4);
    count = count < theirs.count - from ? count : theirs.count - from;
    unsigned to = of.laid.count > 0 ? pick(&of, of.laid.count) : 0;
    size_t place = of.laid.count > 0 ? of.laid.items[to].start : of.laid.header,
           start = theirs.items[from].start;
    const item *last = &theirs.items[from + count - 1];
    splice(&of, place, 0, other + FRONT + start, last->start + last->size - start);
    return of.size;
}
