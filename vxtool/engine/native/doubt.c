/* See doubt.h, and PureEngine._is_acknowledged for the same in plain words. */
#include "doubt.h"

#include "usual.h"

enum { ACK = 0x10, SYN = 2 };

/* Both directions have the same ends, turned; of several VNIs, the lowest, unless the flow's own is among
 * them. */
typedef struct {
    vx_ends ends;
    uint32_t tunnelled;
    /* end of the key */
    uint32_t flow_up1; /* of the lowest VNI, + 1; 0: none */
} answer_row;
enum { ANSWER_KEY = sizeof(vx_ends) + 4 };

void vx_doubts_init(vx_doubts *doubts, uint64_t seed) {
    vx_map_init(&doubts->rows, sizeof(answer_row), seed);
}

void vx_doubts_free(vx_doubts *doubts) { vx_map_free(&doubts->rows); }

static int32_t vni_of(const vx_view *view) {
    for (unsigned i = 0; i < view->count; i++)
        if (view->sightings[i]->traits.wear != VX_PLAIN)
            return (int32_t)view->sightings[i]->traits.vni;
    return -1;
}

bool vx_is_doubtful(const vx_view *view) {
    return view->ingress != NULL && view->egress == NULL && view->key->key.ends.protocol == VX_TCP &&
           view->sightings[0]->traits.payload_length > 0;
}

/* The ends of the other direction. */
static vx_ends turned(const vx_view *view) {
    vx_ends ends = vx_flow_ends(&view->key->key.ends), other = ends;
    size_t size = ends.shape & VX_KEY_IPV6 ? 16 : 4;
    memcpy(other.addresses, ends.addresses + size, size);
    memcpy(other.addresses + size, ends.addresses, size);
    other.source_port = ends.destination_port;
    other.destination_port = ends.source_port;
    return other;
}

static answer_row key_of(const vx_ends *ends, int32_t vni) {
    return (answer_row){.ends = *ends, .tunnelled = vni >= 0};
}

int vx_doubts_ask(vx_doubts *doubts, const vx_view *view) {
    vx_ends ends = turned(view);
    answer_row key = key_of(&ends, vni_of(view));
    bool made;
    return vx_map_intern(&doubts->rows, &key, ANSWER_KEY, &made) != VX_NONE ? 0 : -1;
}

void vx_doubts_find(vx_doubts *doubts, const vx_tally *tally) {
    for (uint32_t i = 0; i < vx_map_count(&tally->flows); i++) {
        const vx_flow *flow = vx_map_at(&tally->flows, i);
        if (flow->ends.protocol != VX_TCP)
            continue;
        answer_row key = key_of(&flow->ends, flow->vni);
        uint32_t number = vx_map_find(&doubts->rows, &key, ANSWER_KEY);
        if (number == VX_NONE)
            continue;
        answer_row *row = vx_map_at(&doubts->rows, number);
        if (row->flow_up1 == 0 ||
            flow->vni < ((const vx_flow *)vx_map_at(&tally->flows, row->flow_up1 - 1))->vni)
            row->flow_up1 = i + 1;
    }
}

/* The flow that answers; NULL: none was seen. */
static const vx_flow *answer_to(const vx_doubts *doubts, const vx_tally *tally, const vx_view *view) {
    int32_t vni = vni_of(view);
    vx_ends ends = turned(view);
    const vx_flow *own = vx_tally_flow(tally, &ends, vni);
    if (own != NULL)
        return own;
    answer_row key = key_of(&ends, vni);
    uint32_t number = vx_map_find(&doubts->rows, &key, ANSWER_KEY);
    const answer_row *row = number != VX_NONE ? vx_map_at(&doubts->rows, number) : NULL;
    return row != NULL && row->flow_up1 > 0 ? vx_map_at(&tally->flows, row->flow_up1 - 1) : NULL;
}

bool vx_doubts_is_acknowledged(const vx_doubts *doubts, const vx_tally *tally, const vx_view *view) {
    const vx_flow *answer = answer_to(doubts, tally, view);
    if (answer == NULL || !(answer->tcp_flags & ACK))
        return false;
    const vx_key *key = &view->key->key;
    const vx_traits *traits = &view->sightings[0]->traits;
    uint32_t start = vx_big32((const uint8_t *)key->transport) + (traits->tcp_flags & SYN ? 1 : 0);
    uint32_t end = start + traits->payload_length;
    if (answer->acknowledged - end >= UINT32_C(1) << 31)
        return false;
    vx_ends ends = vx_flow_ends(&key->ends);
    const vx_flow *flow = vx_tally_flow(tally, &ends, vni_of(view));
    if (flow == NULL)
        return tally->counters.folded_flows == 0;
    if (flow->range_count == 0)
        return true;
    const int64_t *ranges = vx_flow_ranges(flow);
    int64_t last = ranges[2 * flow->range_count - 1];
    if (last - ranges[0] >= INT64_C(1) << 31)
        return false; /* sequence numbers have come round: which bytes were acknowledged is not sure */
    int64_t low = vx_unwrap(start, last), high = low + traits->payload_length;
    for (uint32_t i = 0; i < flow->range_count; i++)
        if (ranges[2 * i] < high && low < ranges[2 * i + 1])
            return false;
    return true;
}
