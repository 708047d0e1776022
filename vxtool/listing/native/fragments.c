#include "fragments.h"

#include <stdlib.h>

enum {
    LEAST_GROUPS = 16,
    MOST_NESTED = 4, /* a fragment within what was put together, and so on */
    /* An IP header with what may stand before a fragment header. */
    HEADER_ROOM = 512,
    GROUP_BYTES = HEADER_ROOM + VX_FRAGMENT_BYTES,
    LARGEST_DATAGRAM = 0xFFFF,
    IPV6_SIZE = 40,
    NONE = UINT32_MAX,
};

/* By what fragments belong together; no padding, so that it can be hashed and compared. */
struct key {
    uint64_t stage;
    uint8_t source[16];
    uint8_t destination[16];
    uint32_t identification;
    int32_t network;
    uint32_t protocol;
    uint32_t is_ipv6;
};

struct range {
    uint32_t from, to;
};

struct group {
    struct key key;
    uint32_t next; /* in its bucket */
    bool live;
    uint8_t range_count;
    struct range ranges[VX_FRAGMENT_RANGES]; /* in order, with holes between */
    uint32_t total;                          /* bytes behind the IP header; 0: not known yet */
    uint32_t header_size;                    /* 0: the first fragment was not seen */
    uint8_t *bytes;                          /* the header ends at HEADER_ROOM, what follows begins there */
};

struct vx_fragments {
    uint32_t most, at, bucket_mask;
    uint64_t seed, forgotten;
    uint32_t *buckets;
    struct group *groups;
    uint8_t *bytes; /* of all groups */
};

/* A fragment, as its IP header has it. */
struct piece {
    struct key key;
    const uint8_t *header, *bytes;
    uint32_t header_size; /* of IPv6 with the fragment header */
    uint32_t offset, size;
    bool more;
};

vx_fragments *vx_fragments_new(uint32_t most, uint64_t seed) {
    vx_fragments *fragments = calloc(1, sizeof *fragments);
    if (fragments == NULL)
        return NULL;
    if (most < LEAST_GROUPS)
        most = LEAST_GROUPS;
    if (most > UINT32_C(1) << 24)
        most = UINT32_C(1) << 24;
    uint32_t buckets = 16;
    while (buckets < most)
        buckets *= 2;
    fragments->most = most;
    fragments->bucket_mask = buckets - 1;
    fragments->seed = seed;
    fragments->groups = calloc(most, sizeof *fragments->groups);
    fragments->buckets = malloc(buckets * sizeof *fragments->buckets);
    /* Of what nobody writes to, the system gives nothing. */
    fragments->bytes = malloc((size_t)most * GROUP_BYTES);
    if (fragments->groups == NULL || fragments->buckets == NULL || fragments->bytes == NULL) {
        vx_fragments_free(fragments);
        return NULL;
    }
    for (uint32_t i = 0; i < most; i++)
        fragments->groups[i].bytes = fragments->bytes + (size_t)i * GROUP_BYTES;
    for (uint32_t i = 0; i < buckets; i++)
        fragments->buckets[i] = NONE;
    return fragments;
}

void vx_fragments_free(vx_fragments *fragments) {
    if (fragments == NULL)
        return;
    free(fragments->bytes);
    free(fragments->groups);
    free(fragments->buckets);
    free(fragments);
}

uint64_t vx_fragments_forgotten(const vx_fragments *fragments) { return fragments->forgotten; }

static uint32_t *bucket_of(const vx_fragments *fragments, const struct key *key) {
    /* Seeded, so that a capture cannot be made to fill one bucket. */
    const uint8_t *at = (const uint8_t *)key;
    uint64_t hash = fragments->seed ^ UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = 0; i < sizeof *key; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        hash = (hash ^ word) * UINT64_C(0xD6E8FEB86659FD93);
        hash ^= hash >> 32;
    }
    return &fragments->buckets[hash & fragments->bucket_mask];
}

static void remove_group(vx_fragments *fragments, uint32_t index) {
    struct group *group = &fragments->groups[index];
    uint32_t *link = bucket_of(fragments, &group->key);
    while (*link != index)
        link = &fragments->groups[*link].next;
    *link = group->next;
    group->live = false;
}

/* The datagram's, begun where it is new. */
static uint32_t find_group(vx_fragments *fragments, const struct key *key) {
    uint32_t *bucket = bucket_of(fragments, key);
    for (uint32_t index = *bucket; index != NONE; index = fragments->groups[index].next)
        if (memcmp(&fragments->groups[index].key, key, sizeof *key) == 0)
            return index;
    uint32_t index = fragments->at;
    struct group *group = &fragments->groups[index];
    fragments->at = index + 1 < fragments->most ? index + 1 : 0;
    if (group->live) {
        remove_group(fragments, index);
        fragments->forgotten++;
    }
    group->key = *key;
    group->live = true;
    group->range_count = 0;
    group->total = group->header_size = 0;
    group->next = *bucket;
    *bucket = index;
    return index;
}

/* The fragment that `seen` tells of, where it was captured whole and has bytes. */
static bool read_piece(const vx_seen *seen, uint64_t stage, struct piece *piece) {
    if (seen->tells != VX_TELLS_FRAGMENT)
        return false;
    const uint8_t *ip = seen->told;
    uint32_t captured = seen->told_captured, claimed;
    memset(piece, 0, sizeof *piece);
    piece->header = ip;
    if (seen->is_ipv6) {
        uint8_t protocol = ip[6];
        uint32_t at = IPV6_SIZE;
        while (protocol != 44) {
            uint32_t size = (uint32_t)vx_ipv6_extension_size(protocol, ip + at, captured - at);
            protocol = ip[at];
            at += size;
        }
        uint16_t fragment = vx_be16(ip + at + 2);
        piece->offset = fragment & 0xFFF8;
        piece->more = fragment & 1;
        piece->key.identification = vx_be32(ip + at + 4);
        piece->key.protocol = ip[at];
        piece->header_size = at + 8;
        claimed = IPV6_SIZE + vx_be16(ip + 4);
        memcpy(piece->key.source, ip + 8, 16);
        memcpy(piece->key.destination, ip + 24, 16);
    } else {
        uint16_t fragment = vx_be16(ip + 6);
        piece->offset = (fragment & 0x1FFFu) * 8;
        piece->more = fragment & 0x2000;
        piece->key.identification = vx_be16(ip + 4);
        piece->key.protocol = ip[9];
        piece->header_size = (uint32_t)(ip[0] & 15) * 4;
        claimed = vx_be16(ip + 2);
        memcpy(piece->key.source, ip + 12, 4);
        memcpy(piece->key.destination, ip + 16, 4);
    }
    if (claimed <= piece->header_size || claimed > captured || piece->header_size > HEADER_ROOM)
        return false;
    piece->size = claimed - piece->header_size;
    piece->bytes = ip + piece->header_size;
    piece->key.stage = stage;
    piece->key.network = seen->network;
    piece->key.is_ipv6 = seen->is_ipv6;
    return piece->offset + piece->size <= LARGEST_DATAGRAM;
}

/* Note which bytes were seen. false: in too many pieces. */
static bool add_range(struct group *group, uint32_t from, uint32_t to) {
    struct range *ranges = group->ranges;
    unsigned count = group->range_count, first = 0;
    while (first < count && ranges[first].to < from)
        first++;
    unsigned last = first;
    while (last < count && ranges[last].from <= to) {
        from = ranges[last].from < from ? ranges[last].from : from;
        to = ranges[last].to > to ? ranges[last].to : to;
        last++;
    }
    if (first == last && count == VX_FRAGMENT_RANGES)
        return false;
    memmove(ranges + first + 1, ranges + last, (count - last) * sizeof *ranges);
    ranges[first] = (struct range){from, to};
    group->range_count = (uint8_t)(count + 1 - (last - first));
    return true;
}

/* Put a piece in. 1: the datagram is whole. 0: not yet. -1: it cannot become so. */
static int add_piece(struct group *group, const struct piece *piece) {
    uint32_t end = piece->offset + piece->size;
    if (piece->offset == 0 && group->header_size == 0) {
        group->header_size = piece->header_size;
        memcpy(group->bytes + HEADER_ROOM - piece->header_size, piece->header, piece->header_size);
    }
    if (!piece->more && group->total == 0)
        group->total = end;
    if (piece->offset < VX_FRAGMENT_BYTES) {
        uint32_t room = VX_FRAGMENT_BYTES - piece->offset;
        memcpy(group->bytes + HEADER_ROOM + piece->offset, piece->bytes,
               piece->size < room ? piece->size : room);
    }
    if (!add_range(group, piece->offset, end))
        return -1;
    return group->total > 0 && group->header_size > 0 && group->ranges[0].from == 0 &&
           group->ranges[0].to >= group->total;
}

/* Make the first fragment's header the datagram's. The bytes of the IP packet begin at the answer. */
static uint8_t *mend_header(struct group *group, uint32_t *size) {
    uint8_t *ip = group->bytes + HEADER_ROOM - group->header_size;
    uint32_t whole = group->header_size + group->total;
    *size = whole;
    if (group->key.is_ipv6) {
        uint32_t payload = whole - IPV6_SIZE;
        uint8_t *fragment = group->bytes + HEADER_ROOM - 8;
        if (payload > LARGEST_DATAGRAM)
            payload = 0;
        ip[4] = (uint8_t)(payload >> 8);
        ip[5] = (uint8_t)payload;
        fragment[2] = fragment[3] = 0;
    } else {
        if (whole > LARGEST_DATAGRAM)
            whole = 0;
        ip[2] = (uint8_t)(whole >> 8);
        ip[3] = (uint8_t)whole;
        ip[6] &= 0xC0;
        ip[7] = 0;
    }
    return ip;
}

/* Read a whole datagram in the place of its last fragment. */
static void read_whole(vx_seen *seen, struct group *group, const struct vx_port *ports, size_t port_count) {
    enum vx_kind tunnel = seen->tunnel;
    int32_t vni = seen->network;
    vx_end source = seen->outer_source, destination = seen->outer_destination;
    uint16_t source_port = seen->outer_source_port, destination_port = seen->outer_destination_port;
    uint32_t length = seen->length, captured = seen->captured, size;
    uint8_t *ip = mend_header(group, &size);
    uint32_t kept = group->total < VX_FRAGMENT_BYTES ? group->total : VX_FRAGMENT_BYTES;
    vx_seen_read(seen, ip, group->header_size + kept, size, group->key.is_ipv6 ? VX_LINK_IPV6 : VX_LINK_IPV4,
                 ports, port_count);
    seen->length = length;
    seen->captured = captured;
    if (tunnel == VX_NONE)
        return;
    if (seen->tunnel == VX_NONE)
        seen->vni = vni;
    seen->tunnel = tunnel;
    seen->outer_source = source;
    seen->outer_destination = destination;
    seen->outer_source_port = source_port;
    seen->outer_destination_port = destination_port;
}

int vx_fragments_take(vx_fragments *fragments, vx_seen *seen, uint64_t stage, const struct vx_port *ports,
                      size_t port_count) {
    struct piece piece;
    int whole = 0;
    for (unsigned nested = 0; nested < MOST_NESTED && read_piece(seen, stage, &piece); nested++) {
        uint32_t index = find_group(fragments, &piece.key);
        struct group *group = &fragments->groups[index];
        int added = add_piece(group, &piece);
        if (added != 0)
            remove_group(fragments, index);
        if (added < 0)
            fragments->forgotten++;
        if (added <= 0)
            break;
        read_whole(seen, group, ports, port_count);
        whole = 1;
    }
    return whole;
}
