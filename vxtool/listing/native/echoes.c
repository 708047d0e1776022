#include "echoes.h"

#include <stdlib.h>

enum { LEAST_ECHOES = 16, NONE = UINT32_MAX };

/* By what request and reply find each other. No padding. */
struct key {
    uint8_t requester[16];
    uint8_t target[16];
    uint16_t identifier;
    uint16_t sequence;
    uint32_t is_ipv6;
};

struct echo {
    struct key key;
    uint64_t record;
    uint32_t next; /* in its bucket */
    bool live;
};

struct vx_echoes {
    uint32_t most, at, bucket_mask;
    uint64_t seed;
    uint32_t *buckets;
    struct echo *echoes;
};

vx_echoes *vx_echoes_new(uint32_t most, uint64_t seed) {
    vx_echoes *echoes = calloc(1, sizeof *echoes);
    if (echoes == NULL)
        return NULL;
    if (most < LEAST_ECHOES)
        most = LEAST_ECHOES;
    if (most > UINT32_C(1) << 24)
        most = UINT32_C(1) << 24;
    uint32_t buckets = 16;
    while (buckets < most)
        buckets *= 2;
    echoes->most = most;
    echoes->bucket_mask = buckets - 1;
    echoes->seed = seed;
    echoes->echoes = calloc(most, sizeof *echoes->echoes);
    echoes->buckets = malloc(buckets * sizeof *echoes->buckets);
    if (echoes->echoes == NULL || echoes->buckets == NULL) {
        vx_echoes_free(echoes);
        return NULL;
    }
    for (uint32_t i = 0; i < buckets; i++)
        echoes->buckets[i] = NONE;
    return echoes;
}

void vx_echoes_free(vx_echoes *echoes) {
    if (echoes == NULL)
        return;
    free(echoes->echoes);
    free(echoes->buckets);
    free(echoes);
}

static uint32_t *bucket_of(const vx_echoes *echoes, const struct key *key) {
    const uint8_t *at = (const uint8_t *)key;
    uint64_t hash = echoes->seed ^ UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = 0; i < sizeof *key; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        hash = (hash ^ word) * UINT64_C(0xD6E8FEB86659FD93);
        hash ^= hash >> 32;
    }
    return &echoes->buckets[hash & echoes->bucket_mask];
}

/* The waiting request with a key: where the link to it is; what that holds is NONE where there is none. */
static uint32_t *find(const vx_echoes *echoes, const struct key *key) {
    uint32_t *link = bucket_of(echoes, key);
    while (*link != NONE && memcmp(&echoes->echoes[*link].key, key, sizeof *key) != 0)
        link = &echoes->echoes[*link].next;
    return link;
}

static void take_out(vx_echoes *echoes, uint32_t *link) {
    struct echo *echo = &echoes->echoes[*link];
    echo->live = false;
    *link = echo->next;
}

uint64_t vx_echoes_take(vx_echoes *echoes, const vx_seen *seen, uint64_t record) {
    bool request, reply;
    if (seen->header == NULL)
        return 0;
    if (seen->tells == VX_TELLS_ICMP) {
        request = seen->header[0] == 8;
        reply = seen->header[0] == 0;
    } else if (seen->tells == VX_TELLS_ICMPV6) {
        request = seen->header[0] == 128;
        reply = seen->header[0] == 129;
    } else {
        return 0;
    }
    if (!request && !reply)
        return 0;
    struct key key;
    size_t size = seen->is_ipv6 ? 16 : 4;
    memset(&key, 0, sizeof key);
    memcpy(key.requester, request ? seen->source.octets : seen->destination.octets, size);
    memcpy(key.target, request ? seen->destination.octets : seen->source.octets, size);
    key.identifier = vx_be16(seen->header + 4);
    key.sequence = vx_be16(seen->header + 6);
    key.is_ipv6 = seen->is_ipv6;
    uint32_t *link = find(echoes, &key);
    if (reply) {
        if (*link == NONE)
            return 0;
        uint64_t answered = echoes->echoes[*link].record;
        take_out(echoes, link);
        return answered;
    }
    if (*link != NONE) {
        echoes->echoes[*link].record = record;
        return 0;
    }
    uint32_t index = echoes->at;
    struct echo *echo = &echoes->echoes[index];
    echoes->at = index + 1 < echoes->most ? index + 1 : 0;
    if (echo->live)
        take_out(echoes, find(echoes, &echo->key));
    uint32_t *bucket = bucket_of(echoes, &key);
    *echo = (struct echo){.key = key, .record = record, .next = *bucket, .live = true};
    *bucket = index;
    return 0;
}

void vx_echo_write(vx_text *text, uint64_t request) {
    if (request == 0)
        return;
    vx_text_string(text, " (request in ");
    vx_text_number(text, request);
    vx_text_byte(text, ')');
}
