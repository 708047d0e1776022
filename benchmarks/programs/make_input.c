/*
 * Makes a capture of a router between VXLAN nodes, and prints what is true of it as one JSON object.
 *
 * Datagram i belongs to flow (i * stride) mod flows; a stride that shares no factor with the number of flows
 * visits them all before it visits one again, far apart, so that no program under test gains by neighbours.
 * Everything else follows from i by arithmetic: nothing is kept for each flow, and making a file costs little
 * more than writing it.
 *
 * Each datagram comes in on one interface and goes out by the other, `waiting` datagrams later. So `waiting`
 * journeys wait for their egress at any time, and those of the last 10 ms of capture time are settled but
 * still open: spacing and latency are chosen such that both together are the number of open journeys asked
 * for. Dropped datagrams do not go out; none is dropped so shortly before the end that its egress might
 * merely not have been captured.
 *
 * With --constant, packets of one flow differ in nothing but their identifications. Those count datagrams, as
 * on a host with one counter, and wrap after 65,536; where the flows are a power of two and the spacing is
 * small, equal keys return while dropped ones still wait, and only joining with the newest gives the true
 * counts.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLL2, SLL, ETHERNET, PCAPNG };
enum { SMALL, IMIX, FULL };

enum {
    BUFFER = 1 << 22,
    POOL = 1 << 16,
    LARGEST_PACKET = 2048,
    LARGEST_RECORD = LARGEST_PACKET + 128,
    SNAPLEN = 262144,
    VXLAN_PORT = 8472,
    CLIENTS = 250,
    SERVERS = 20,
    NODES = 4, /* on each side */
    IMIX_LENGTH = 12,
};

static const int64_t EPOCH = INT64_C(1754760000) * 1000000000; /* 2025-08-09 17:20:00 UTC */
static const int64_t SETTLE = 10000000;                        /* how long a settled journey stays open */
static const int64_t LONGEST_LATENCY = 490000000;              /* well inside the window of 1 s */
static const int64_t LONGEST_SPACING = 200000;

typedef struct {
    uint64_t records, flows, open, drop_every, spacing;
    int sizes, inner, outer, container;
    bool fragments, constant;
    const char *paths[2];
} options;

typedef struct {
    const char *path;
    int descriptor;
    uint8_t *buffer;
    size_t used;
    uint64_t bytes, records;
} output;

typedef struct {
    options options;
    output outputs[2];
    int output_count;
    uint8_t *pool;
    uint64_t stride;
    int64_t spacing;
    uint64_t waiting, datagrams;
    uint64_t dropped, inner_bytes, outer_bytes, wire_packets;
    int64_t last_time, shortest_latency, longest_latency;
} maker;

/* A packet as it crosses one link: the outer IP packet, and who sends it to whom there. */
typedef struct {
    uint8_t bytes[LARGEST_PACKET];
    size_t length, inner_length;
    int link; /* 0 or 1: the interface */
    bool in;
    unsigned node; /* of the neighbour on that link */
} packet;

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("make_input: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

static uint8_t *put16(uint8_t *to, unsigned value) {
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
    return to + 2;
}

static uint8_t *put32(uint8_t *to, uint32_t value) { return put16(put16(to, value >> 16), value & 0xFFFF); }

/* Capture headers are written in the byte order of most machines that capture. */
static uint8_t *little32(uint8_t *to, uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8)
        *to++ = (uint8_t)(value >> shift);
    return to;
}

static uint8_t *little16(uint8_t *to, unsigned value) {
    *to++ = (uint8_t)value;
    *to++ = (uint8_t)(value >> 8);
    return to;
}

static uint8_t *put(uint8_t *to, const void *from, size_t length) {
    memcpy(to, from, length);
    return to + length;
}

static uint32_t mix(uint64_t value) {
    value *= UINT64_C(0x9E3779B97F4A7C15);
    value ^= value >> 32;
    value *= UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(value >> 32);
}

/* Files. */

static void flush(output *to) {
    size_t done = 0;
    while (done < to->used) {
        ssize_t written = write(to->descriptor, to->buffer + done, to->used - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            fail("%s: %s", to->path, strerror(errno));
        done += (size_t)written;
    }
    to->bytes += to->used;
    to->used = 0;
}

static uint8_t *room(output *to, size_t length) {
    if (to->used + length > BUFFER)
        flush(to);
    return to->buffer + to->used;
}

static void advance(output *to, const uint8_t *end) { to->used = (size_t)(end - to->buffer); }

static void write_pcap_header(output *to, int link_type) {
    uint8_t *at = room(to, 24);
    at = little32(at, 0xA1B2C3D4);
    at = little16(at, 2);
    at = little16(at, 4);
    at = little32(at, 0);
    at = little32(at, 0);
    at = little32(at, SNAPLEN);
    at = little32(at, (uint32_t)link_type);
    advance(to, at);
}

static void write_pcapng_header(output *to) {
    uint8_t *at = room(to, 256);
    at = little32(at, 0x0A0D0D0A);
    at = little32(at, 28);
    at = little32(at, 0x1A2B3C4D);
    at = little16(at, 1);
    at = little16(at, 0);
    at = little32(at, 0xFFFFFFFF);
    at = little32(at, 0xFFFFFFFF);
    at = little32(at, 28);
    for (int link = 0; link < 2; link++) {
        at = little32(at, 1);
        at = little32(at, 40);
        at = little16(at, 1); /* Ethernet */
        at = little16(at, 0);
        at = little32(at, SNAPLEN);
        at = little16(at, 2); /* if_name */
        at = little16(at, 4);
        at = put(at, link ? "eth2" : "eth1", 4);
        at = little16(at, 9); /* if_tsresol: ns */
        at = little16(at, 1);
        at = little32(at, 9);
        at = little32(at, 0); /* end of options */
        at = little32(at, 40);
    }
    advance(to, at);
}

/* Headers. */

static void put_ipv4_checksum(uint8_t *header) {
    uint32_t sum = 0;
    for (int at = 0; at < 20; at += 2)
        sum += (uint32_t)header[at] << 8 | header[at + 1];
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    put16(header + 10, ~sum & 0xFFFF);
}

/* RFC 8200, section 8.1: over IPv6 tunnels have a UDP checksum, as Linux sends them. */
static void put_udp6_checksum(uint8_t *ip, size_t length) {
    uint64_t sum = 17 + length - 40;
    for (size_t at = 8; at < length; at += 2)
        sum += (uint64_t)ip[at] << 8 | (at + 1 < length ? ip[at + 1] : 0);
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    put16(ip + 46, sum == 0xFFFF ? 0xFFFF : ~sum & 0xFFFF);
}

/* `subnet` and `host` make the address: 172.20.subnet.host and 192.168.subnet.host, or the like in IPv6. */
static uint8_t *put_address(uint8_t *to, int version, bool pod, unsigned subnet, unsigned host) {
    if (version == 4) {
        to = put16(to, pod ? 172u << 8 | 20 : 192u << 8 | 168);
        return put16(to, subnet << 8 | host);
    }
    to = put16(to, 0xFD00);
    to = put16(to, pod ? 0x20 : 0x10);
    to = put16(to, subnet);
    memset(to, 0, 8);
    return put16(to + 8, host);
}

static uint8_t *put_ip(uint8_t *to, int version, size_t payload, unsigned protocol, unsigned identification,
                       unsigned ttl) {
    if (version == 4) {
        put16(to, 0x4500);
        put16(to + 2, (unsigned)(20 + payload));
        put16(to + 4, identification);
        put16(to + 6, 0);
        to[8] = (uint8_t)ttl;
        to[9] = (uint8_t)protocol;
        put16(to + 10, 0);
        return to + 12;
    }
    put32(to, 0x60000000);
    put16(to + 4, (unsigned)payload);
    to[6] = (uint8_t)protocol;
    to[7] = (uint8_t)ttl;
    return to + 8;
}

static uint8_t *put_mac(uint8_t *to, unsigned kind, unsigned number) {
    to[0] = 0x02; /* locally administered */
    to[1] = (uint8_t)kind;
    to[2] = to[3] = to[4] = 0;
    to[5] = (uint8_t)number;
    return to + 6;
}

/* IP length of the inner packet `index` of a flow, and the TCP payload that the earlier ones of it carried.
 */
static size_t inner_length(const maker *make, uint64_t index, uint64_t *before) {
    const int inner = make->options.inner;
    const size_t headers = (inner == 4 ? 20 : 40) + 32;
    const size_t largest = make->options.outer == 4 ? 1450 : 1430;
    const size_t mixed[3] = {headers, 576, largest};
    static const uint8_t pattern[IMIX_LENGTH] = {0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 0, 1}; /* 7 : 4 : 1 */

    if (make->options.sizes == SMALL) {
        const size_t length = make->options.fragments ? headers + 48 : headers;
        *before = index * (length - headers);
        return length;
    }
    if (make->options.sizes == FULL) {
        const size_t length = make->options.fragments ? 1500 : largest;
        *before = index * (length - headers);
        return length;
    }
    uint64_t round = 0;
    *before = 0;
    for (int step = 0; step < IMIX_LENGTH; step++) {
        const uint64_t data = mixed[pattern[step]] - headers;
        round += data;
        if ((uint64_t)step < index % IMIX_LENGTH)
            *before += data;
    }
    *before += index / IMIX_LENGTH * round;
    return mixed[pattern[index % IMIX_LENGTH]];
}

static void build(const maker *make, uint64_t datagram, bool in, packet *packet) {
    const options *options = &make->options;
    const uint64_t flow = datagram * make->stride % options->flows;
    const uint64_t index = datagram / options->flows;
    const uint64_t conversation = flow >> 1;
    const bool reply = flow & 1;
    const unsigned client = (unsigned)(conversation % CLIENTS), server = (unsigned)(conversation % SERVERS);
    const unsigned client_port = 10000 + (unsigned)(conversation / CLIENTS % 50000);
    const unsigned server_port = 8000 + server;
    const unsigned client_node = client % NODES, server_node = server % NODES;
    const bool tcp = conversation % 4 != 3;
    const uint64_t varying = options->constant ? 0 : index;

    uint64_t before;
    const size_t inner = inner_length(make, index, &before);
    const size_t inner_header = options->inner == 4 ? 20 : 40, outer_header = options->outer == 4 ? 20 : 40;
    const size_t udp_length = 8 + 8 + 14 + inner;

    packet->in = in;
    packet->link = reply == in; /* clients stand behind link 0, servers behind link 1 */
    packet->node = packet->link ? server_node : client_node;
    packet->length = outer_header + udp_length;
    packet->inner_length = inner;

    uint8_t *at = put_ip(packet->bytes, options->outer, udp_length, 17,
                         (unsigned)(datagram + 0x4000) & 0xFFFF, in ? 64 : 63);
    const unsigned near = reply ? 20 : 10, near_node = reply ? server_node : client_node;
    const unsigned far = reply ? 10 : 20, far_node = reply ? client_node : server_node;
    at = put_address(at, options->outer, false, near, 100 + near_node);
    at = put_address(at, options->outer, false, far, 100 + far_node);
    if (options->outer == 4)
        put_ipv4_checksum(packet->bytes);
    at = put16(at, 32768 + mix(flow + 1) % 28232);
    at = put16(at, VXLAN_PORT);
    at = put16(at, (unsigned)udp_length);
    at = put16(at, 0);

    at = put32(at, 0x08000000);
    at = put32(at, (reply ? 30000 + server % 16 : 20000 + client % 64) << 8);

    at = put_mac(at, 0xCC, reply ? client_node : 16 + server_node);
    at = put_mac(at, 0xCC, reply ? 16 + server_node : client_node);
    at = put16(at, options->inner == 4 ? 0x0800 : 0x86DD);
    uint8_t *const ip = at;
    at =
        put_ip(at, options->inner, inner - inner_header, tcp ? 6 : 17, (unsigned)(datagram + 1) & 0xFFFF, 63);
    for (int end = 0; end < 2; end++) {
        const bool is_server = (end == 0) == reply;
        at = put_address(at, options->inner, true, is_server ? 16 + server_node : client_node,
                         is_server ? 100 + server : 1 + client);
    }
    if (options->inner == 4)
        put_ipv4_checksum(ip);
    at = put16(at, reply ? server_port : client_port);
    at = put16(at, reply ? client_port : server_port);
    if (tcp) {
        at = put32(at, (uint32_t)(mix(flow) + before));
        at = put32(at, (uint32_t)(mix(flow ^ 1) + varying * 1398));
        at = put16(at, inner > inner_header + 32 ? 0x8018 : 0x8010);
        at = put16(at, 501);
        at = put32(at, 0);
        at = put32(at, 0x0101080A);
        at = put32(at, (uint32_t)(1000000 + varying));
        at = put32(at, (uint32_t)(2000000 + varying));
    } else {
        at = put16(at, (unsigned)(inner - inner_header));
        at = put16(at, 0);
        at = put32(at, (uint32_t)varying);
    }
    const size_t payload = (size_t)(packet->bytes + packet->length - at);
    const uint64_t from = (tcp ? before : flow * 40 + varying * 7) % (POOL - LARGEST_PACKET);
    put(at, make->pool + from, payload);
    if (options->outer == 6)
        put_udp6_checksum(packet->bytes, packet->length);
}

/* Records. */

static uint8_t *put_link(uint8_t *to, const maker *make, const packet *packet) {
    const unsigned ethertype = make->options.outer == 4 ? 0x0800 : 0x86DD;
    const unsigned neighbour = packet->node + (packet->link ? 16 : 0);

    switch (make->options.container) {
    case SLL2:
        to = put16(to, ethertype);
        to = put16(to, 0);
        to = put32(to, packet->link ? 4 : 3);
        to = put16(to, 1);
        *to++ = packet->in ? 0 : 4;
        *to++ = 6;
        to = packet->in ? put_mac(to, 0xAA, neighbour) : put_mac(to, 0xEE, (unsigned)packet->link);
        return put16(to, 0);
    case SLL:
        to = put16(to, packet->in ? 0 : 4);
        to = put16(to, 1);
        to = put16(to, 6);
        to = packet->in ? put_mac(to, 0xAA, neighbour) : put_mac(to, 0xEE, (unsigned)packet->link);
        to = put16(to, 0);
        return put16(to, ethertype);
    default:
        if (packet->in) {
            to = put_mac(to, 0xEE, (unsigned)packet->link);
            to = put_mac(to, 0xAA, neighbour);
        } else {
            to = put_mac(to, 0xAA, neighbour);
            to = put_mac(to, 0xEE, (unsigned)packet->link);
        }
        return put16(to, ethertype);
    }
}

static void write_record(maker *make, int64_t time, const packet *packet, const uint8_t *bytes,
                         size_t length) {
    const int container = make->options.container;
    output *to = &make->outputs[make->output_count == 2 ? packet->link : 0];
    uint8_t *const start = room(to, LARGEST_RECORD);
    uint8_t *const header_end = start + (container == PCAPNG ? 28 : 16);
    uint8_t *end = put_link(header_end, make, packet);
    end = put(end, bytes, length);
    const uint32_t captured = (uint32_t)(end - header_end);

    uint8_t *at = start;
    if (container == PCAPNG) {
        while ((end - start) % 4)
            *end++ = 0;
        const uint32_t total = (uint32_t)(end - start) + 4;
        at = little32(at, 6);
        at = little32(at, total);
        at = little32(at, (uint32_t)packet->link);
        at = little32(at, (uint32_t)((uint64_t)time >> 32));
        at = little32(at, (uint32_t)time);
        at = little32(at, captured);
        little32(at, captured);
        end = little32(end, total);
        make->last_time = time;
    } else {
        at = little32(at, (uint32_t)(time / 1000000000));
        at = little32(at, (uint32_t)(time % 1000000000 / 1000));
        at = little32(at, captured);
        little32(at, captured);
        make->last_time = time / 1000 * 1000;
    }
    advance(to, end);
    to->records++;
    make->wire_packets += packet->in;
}

static void write_packet(maker *make, int64_t time, const packet *packet) {
    if (!make->options.fragments) {
        write_record(make, time, packet, packet->bytes, packet->length);
        return;
    }
    /* The first fragment of a small packet holds its headers and a few bytes more. */
    const size_t first = make->options.sizes == SMALL ? 88 : 1480;
    uint8_t fragment[LARGEST_PACKET];
    memcpy(fragment, packet->bytes, 20 + first);
    put16(fragment + 2, (unsigned)(20 + first));
    put16(fragment + 6, 0x2000);
    put16(fragment + 10, 0);
    put_ipv4_checksum(fragment);
    write_record(make, time, packet, fragment, 20 + first);

    const size_t rest = packet->length - 20 - first;
    memcpy(fragment, packet->bytes, 20);
    memcpy(fragment + 20, packet->bytes + 20 + first, rest);
    put16(fragment + 2, (unsigned)(20 + rest));
    put16(fragment + 6, (unsigned)(first / 8));
    put16(fragment + 10, 0);
    put_ipv4_checksum(fragment);
    write_record(make, time + make->spacing / 8, packet, fragment, 20 + rest);
}

static bool is_dropped(const maker *make, uint64_t datagram) {
    const uint64_t every = make->options.drop_every;
    if (!every || datagram % every != every / 2)
        return false;
    const uint64_t margin = make->waiting + (uint64_t)(2000000 / make->spacing) + 2;
    return datagram + margin < make->datagrams;
}

static int64_t ingress_time(const maker *make, uint64_t datagram) {
    return EPOCH + (int64_t)datagram * make->spacing;
}

/* Just before the ingress of the datagram that is `waiting` later, by a little more or less. */
static int64_t egress_time(const maker *make, uint64_t datagram) {
    const int64_t jitter = (int64_t)(mix(datagram) % (uint64_t)(make->spacing / 4));
    return ingress_time(make, datagram + make->waiting) - make->spacing / 2 + jitter;
}

static void write_datagrams(maker *make) {
    packet packet;
    for (uint64_t step = 0; step < make->datagrams + make->waiting; step++) {
        if (step >= make->waiting && !is_dropped(make, step - make->waiting)) {
            const uint64_t datagram = step - make->waiting;
            const int64_t unit = make->options.container == PCAPNG ? 1 : 1000;
            const int64_t out = egress_time(make, datagram);
            const int64_t latency = (out / unit - ingress_time(make, datagram) / unit) * unit;
            if (latency < make->shortest_latency)
                make->shortest_latency = latency;
            if (latency > make->longest_latency)
                make->longest_latency = latency;
            build(make, datagram, false, &packet);
            write_packet(make, out, &packet);
        }
        if (step < make->datagrams) {
            build(make, step, true, &packet);
            write_packet(make, ingress_time(make, step), &packet);
            make->dropped += is_dropped(make, step);
            make->inner_bytes += packet.inner_length;
            make->outer_bytes += packet.length;
        }
    }
}

/* What is asked for. */

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b) {
    while (b) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static void plan(maker *make) {
    options *options = &make->options;
    const uint64_t for_each = options->fragments ? 4 : 2;
    if (options->drop_every) /* every drop saves the records of one egress */
        make->datagrams =
            options->records * options->drop_every / (for_each * options->drop_every - for_each / 2);
    else
        make->datagrams = options->records / for_each;
    if (make->datagrams < 2)
        fail("--records %" PRIu64 ": expected 8 or more", options->records);
    if (options->flows > make->datagrams)
        fail("--flows %" PRIu64 ": expected at most %" PRIu64 ", one datagram for each", options->flows,
             make->datagrams);

    make->spacing = (SETTLE + LONGEST_LATENCY) / (int64_t)options->open;
    if (make->spacing > LONGEST_SPACING)
        make->spacing = LONGEST_SPACING;
    if (options->spacing)
        make->spacing = (int64_t)options->spacing;
    const uint64_t settled = (uint64_t)(SETTLE / make->spacing);
    make->waiting = options->open > settled ? options->open - settled : 1;
    if (make->waiting > make->datagrams)
        fail("--open %" PRIu64 ": expected fewer than the %" PRIu64 " datagrams", options->open,
             make->datagrams);

    if ((int64_t)make->waiting * make->spacing > LONGEST_LATENCY)
        fail("--spacing %" PRIu64 ": --open %" PRIu64 " then makes latencies above 490 ms", options->spacing,
             options->open);
    const uint64_t period = options->flows * (65536 / greatest_common_divisor(options->flows, 65536));
    if (options->constant && period <= make->waiting)
        fail("--constant: identifications return after %" PRIu64 " datagrams, while %" PRIu64 " are waiting",
             period, make->waiting);

    make->stride = options->flows * 618 / 1000 | 1;
    while (greatest_common_divisor(make->stride, options->flows) != 1)
        make->stride += 2;
    make->shortest_latency = INT64_MAX;
}

static void open_outputs(maker *make) {
    static const int link_types[] = {[SLL2] = 276, [SLL] = 113, [ETHERNET] = 1};
    for (int number = 0; number < make->output_count; number++) {
        output *to = &make->outputs[number];
        to->path = make->options.paths[number];
        to->descriptor = open(to->path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (to->descriptor < 0)
            fail("%s: %s", to->path, strerror(errno));
        to->buffer = malloc(BUFFER);
        if (!to->buffer)
            fail("no memory");
        if (make->options.container == PCAPNG)
            write_pcapng_header(to);
        else
            write_pcap_header(to, link_types[make->options.container]);
    }
}

static void print_truth(const maker *make) {
    uint64_t records = 0;
    for (int number = 0; number < make->output_count; number++)
        records += make->outputs[number].records;
    printf("{\"records\": %" PRIu64 ", \"datagrams\": %" PRIu64 ", \"forwarded\": %" PRIu64
           ", \"dropped\": %" PRIu64 ", \"flows\": %" PRIu64 ", \"fragmented\": %" PRIu64,
           records, make->datagrams, make->datagrams - make->dropped, make->dropped, make->options.flows,
           make->options.fragments ? make->datagrams : 0);
    printf(", \"waiting\": %" PRIu64 ", \"settled\": %" PRIu64 ", \"spacing_ns\": %" PRId64, make->waiting,
           (uint64_t)(SETTLE / make->spacing), make->spacing);
    printf(", \"inner_bytes\": %" PRIu64 ", \"outer_bytes\": %" PRIu64 ", \"wire_packets\": %" PRIu64,
           make->inner_bytes, make->outer_bytes, make->wire_packets);
    printf(", \"first_time_ns\": %" PRId64 ", \"last_time_ns\": %" PRId64 ", \"latency_ns\": [%" PRId64
           ", %" PRId64 "], \"files\": [",
           EPOCH, make->last_time, make->shortest_latency, make->longest_latency);
    for (int number = 0; number < make->output_count; number++)
        printf("%s{\"records\": %" PRIu64 ", \"bytes\": %" PRIu64 "}", number ? ", " : "",
               make->outputs[number].records, make->outputs[number].bytes);
    puts("]}");
}

static uint64_t number(const char *name, const char *text, uint64_t most) {
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || value > most)
        fail("%s %s: expected a number up to %" PRIu64, name, text, most);
    return value;
}

static int choice(const char *name, const char *text, const char *const *words, int count) {
    for (int at = 0; at < count; at++)
        if (!strcmp(text, words[at]))
            return at;
    fail("%s %s: unknown", name, text);
}

static void parse(options *options, int count, char **arguments) {
    static const char *const containers[] = {"sll2", "sll", "ethernet", "pcapng"};
    static const char *const sizes[] = {"small", "imix", "full"};
    static const char *const versions[] = {"4", "6"};
    int paths = 0;

    for (int at = 1; at < count; at++) {
        const char *const name = arguments[at];
        if (!strcmp(name, "--fragments")) {
            options->fragments = true;
            continue;
        }
        if (!strcmp(name, "--constant")) {
            options->constant = true;
            continue;
        }
        if (name[0] != '-') {
            if (paths == 2)
                fail("%s: expected one file, or two for ethernet", name);
            options->paths[paths++] = name;
            continue;
        }
        if (at + 1 == count)
            fail("%s: expected a value", name);
        const char *const value = arguments[++at];
        if (!strcmp(name, "--records"))
            options->records = number(name, value, UINT32_MAX);
        else if (!strcmp(name, "--flows"))
            options->flows = number(name, value, 25000000);
        else if (!strcmp(name, "--open"))
            options->open = number(name, value, 1000000);
        else if (!strcmp(name, "--drop-every"))
            options->drop_every = number(name, value, UINT32_MAX);
        else if (!strcmp(name, "--spacing"))
            options->spacing = number(name, value, LONGEST_SPACING);
        else if (!strcmp(name, "--sizes"))
            options->sizes = choice(name, value, sizes, 3);
        else if (!strcmp(name, "--inner"))
            options->inner = choice(name, value, versions, 2) ? 6 : 4;
        else if (!strcmp(name, "--outer"))
            options->outer = choice(name, value, versions, 2) ? 6 : 4;
        else if (!strcmp(name, "--container"))
            options->container = choice(name, value, containers, 4);
        else
            fail("%s: unknown option", name);
    }
    if (paths != (options->container == ETHERNET ? 2 : 1))
        fail("expected one file, or two for ethernet");
    if (!options->flows || !options->open)
        fail("--flows and --open: expected at least 1");
    if (options->spacing && options->spacing < 100)
        fail("--spacing %" PRIu64 ": expected at least 100 ns", options->spacing);
    if (options->drop_every == 1)
        fail("--drop-every 1: expected 0 (none), or 2 and more");
    if (options->fragments && (options->outer != 4 || options->inner != 4 || options->sizes == IMIX))
        fail("--fragments: expected with --outer 4, --inner 4, and small or full sizes");
    if (options->constant && (options->sizes != SMALL || options->fragments))
        fail("--constant: expected with --sizes small, without --fragments");
}

int main(int count, char **arguments) {
    maker make = {.options = {.records = 4000000, .flows = 5000, .open = 60, .inner = 4, .outer = 4}};
    parse(&make.options, count, arguments);
    plan(&make);

    make.output_count = make.options.container == ETHERNET ? 2 : 1;
    make.pool = malloc(POOL);
    if (!make.pool)
        fail("no memory");
    for (size_t at = 0; at < POOL; at++)
        make.pool[at] = (uint8_t)mix(at + 1);
    open_outputs(&make);
    write_datagrams(&make);
    for (int at = 0; at < make.output_count; at++) {
        output *to = &make.outputs[at];
        flush(to);
        if (close(to->descriptor))
            fail("%s: %s", to->path, strerror(errno));
        free(to->buffer);
    }
    free(make.pool);
    print_truth(&make);
    return 0;
}
