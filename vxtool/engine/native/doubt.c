/* See doubt.h, and PureEngine._find_acknowledged for the same in plain words. */
#include "doubt.h"

#include "usual.h"

#include <stdlib.h>

enum { ACK = 0x10, SYN = 2 };
/* Under more VNIs than these the same ends are not weighed: each of them takes a look at all. */
enum { MOST_VNIS = 8 };

/* Whose data it is. */
typedef struct {
    vx_ends ends;
    uint32_t tunnelled;
    /* end of the key */
    uint32_t unused;
} ends_row;
enum { ENDS_KEY = sizeof(vx_ends) + 4 };

/* A flow that has such ends, or those of the other direction. */
typedef struct {
    uint32_t ends;
    uint32_t flow;
} seen_flow;

typedef struct {
    seen_flow *flows; /* by ends, then VNI */
    uint32_t count;
    uint32_t room;
} flow_list;

/* Bytes that were seen, and whose they are: the place of a doubt, or VX_NONE. */
typedef struct {
    int64_t low;
    int64_t high;
    uint32_t doubt;
} span;

void vx_doubt_ends_init(vx_map *ends, uint64_t seed) { vx_map_init(ends, sizeof(ends_row), seed); }

bool vx_is_doubtful(const vx_view *view) {
    return view->ingress != NULL && view->egress == NULL && view->key->key.ends.protocol == VX_TCP &&
           view->sightings[0]->traits.payload_length > 0;
}

static int32_t vni_of(const vx_view *view) {
    for (unsigned i = 0; i < view->count; i++)
        if (view->sightings[i]->traits.wear != VX_PLAIN)
            return (int32_t)view->sightings[i]->traits.vni;
    return -1;
}

int vx_doubt_of(vx_doubt *doubt, const vx_view *view, uint32_t journey, vx_map *ends) {
    const vx_key *key = &view->key->key;
    const vx_traits *traits = &view->sightings[0]->traits;
    int32_t vni = vni_of(view);
    ends_row row = {.ends = vx_flow_ends(&key->ends), .tunnelled = vni >= 0};
    bool made;
    uint32_t number = vx_map_intern(ends, &row, ENDS_KEY, &made);
    *doubt = (vx_doubt){
        .start = vx_view_start(view)->sample,
        .journey = journey,
        .ends = number,
        .vni = vni,
        .sequence = vx_big32((const uint8_t *)key->transport) + (traits->tcp_flags & SYN ? 1 : 0),
        .length = traits->payload_length,
    };
    return number != VX_NONE ? 0 : -1;
}

static vx_ends turned(const vx_ends *ends) {
    vx_ends other = *ends;
    size_t size = ends->shape & VX_KEY_IPV6 ? 16 : 4;
    memcpy(other.addresses, ends->addresses + size, size);
    memcpy(other.addresses + size, ends->addresses, size);
    other.source_port = ends->destination_port;
    other.destination_port = ends->source_port;
    return other;
}

static uint32_t find_ends(const vx_map *ends, const vx_ends *of, int32_t vni) {
    const ends_row key = {.ends = *of, .tunnelled = vni >= 0};
    return vx_map_find(ends, &key, ENDS_KEY);
}

/* Add a flow under these ends, unless nobody asks for them. */
static int list_flow(flow_list *list, uint32_t ends, uint32_t flow) {
    if (ends == VX_NONE)
        return 0;
    if (list->count == list->room) {
        uint32_t room = list->room > 0 ? 2 * list->room : 64;
        seen_flow *grown = vx_resize(list->flows, room, sizeof *grown);
        if (grown == NULL)
            return -1;
        list->flows = grown;
        list->room = room;
    }
    list->flows[list->count++] = (seen_flow){ends, flow};
    return 0;
}

static int by_ends(const void *one, const void *other) {
    const seen_flow *first = one, *second = other;
    return (first->ends > second->ends) - (first->ends < second->ends);
}

static int doubts_by_ends(const void *one, const void *other) {
    const vx_doubt *first = one, *second = other;
    if (first->ends != second->ends)
        return first->ends < second->ends ? -1 : 1;
    return (first->vni > second->vni) - (first->vni < second->vni);
}

static int by_place(const void *one, const void *other) {
    const span *first = one, *second = other;
    if (first->low != second->low)
        return first->low < second->low ? -1 : 1;
    return (first->high > second->high) - (first->high < second->high);
}

/* The flows of these ends: those from *at on, and *at behind them. */
static uint32_t of_ends(const flow_list *list, uint32_t ends, uint32_t *at) {
    while (*at < list->count && list->flows[*at].ends < ends)
        ++*at;
    uint32_t begin = *at;
    while (*at < list->count && list->flows[*at].ends == ends)
        ++*at;
    return begin;
}

/* The flow that answers one of this VNI: that of the same, else of the lowest; NULL: none was seen. */
static const vx_flow *answer_of(const vx_tally *tally, const seen_flow *flows, uint32_t count, int32_t vni) {
    const vx_flow *answer = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const vx_flow *flow = vx_map_at(&tally->flows, flows[i].flow);
        if (flow->vni == vni)
            return flow;
        if (answer == NULL || flow->vni < answer->vni)
            answer = flow;
    }
    return answer;
}

/* Add what was seen of the same ends to the *count spans, near a number. */
static void add_ranges(const vx_tally *tally, const seen_flow *flows, uint32_t flow_count, int64_t near,
                       span *spans, uint32_t *count) {
    for (uint32_t i = 0; i < flow_count; i++) {
        const vx_flow *flow = vx_map_at(&tally->flows, flows[i].flow);
        const int64_t *ranges = vx_flow_ranges(flow);
        for (uint32_t j = 0; j < flow->range_count; j++) {
            int64_t low = vx_unwrap(ranges[2 * j] & UINT32_MAX, near);
            spans[(*count)++] = (span){low, low + ranges[2 * j + 1] - ranges[2 * j], VX_NONE};
        }
    }
}

static bool are_known(const vx_tally *tally, const seen_flow *flows, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const vx_flow *flow = vx_map_at(&tally->flows, flows[i].flow);
        const int64_t *ranges = vx_flow_ranges(flow);
        if (flow->ranges_folded ||
            (flow->range_count > 0 && ranges[2 * flow->range_count - 1] - ranges[0] >= INT64_C(1) << 31))
            return false;
    }
    return true;
}

/* Mark those of this VNI whose bytes were seen once, and from which on all bytes up to `reached` were seen.
 */
static void mark(vx_doubt *doubts, const span *spans, uint32_t count, int32_t vni, int64_t reached) {
    uint32_t part = 0; /* where what hangs together begins */
    int64_t before = spans[0].low;
    for (uint32_t at = 0; at <= count; at++) {
        if (at == count || spans[at].low > before) {
            int64_t highest = spans[part].low; /* as far as those before each one reach */
            for (uint32_t i = part; i < at; i++) {
                bool alone = spans[i].low >= highest && (i + 1 == count || spans[i + 1].low >= spans[i].high);
                /* A FIN takes a number. */
                if (spans[i].doubt != VX_NONE && alone && spans[i].high <= reached && reached <= before + 1 &&
                    doubts[spans[i].doubt].vni == vni)
                    doubts[spans[i].doubt].acknowledged = true;
                highest = spans[i].high > highest ? spans[i].high : highest;
            }
            part = at;
        }
        if (at < count && spans[at].high > before)
            before = spans[at].high;
    }
}

/* Those of equal ends; `spans` has room for them and for what was seen. */
static void weigh(vx_doubt *doubts, uint32_t count, const vx_tally *tally, const seen_flow *seen,
                  uint32_t seen_count, const seen_flow *answers, uint32_t answer_count, span *spans) {
    uint32_t vnis = 1;
    for (uint32_t i = 1; i < count; i++)
        vnis += doubts[i].vni != doubts[i - 1].vni;
    if (vnis > MOST_VNIS || !are_known(tally, seen, seen_count))
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && doubts[i].vni == doubts[i - 1].vni)
            continue;
        const vx_flow *answer = answer_of(tally, answers, answer_count, doubts[i].vni);
        if (answer == NULL || !(answer->tcp_flags & ACK))
            continue;
        int64_t reached = answer->acknowledged;
        uint32_t all = 0;
        add_ranges(tally, seen, seen_count, reached, spans, &all);
        for (uint32_t j = 0; j < count; j++) {
            int64_t low = vx_unwrap(doubts[j].sequence, reached);
            spans[all++] = (span){low, low + doubts[j].length, j};
        }
        qsort(spans, all, sizeof *spans, by_place);
        mark(doubts, spans, all, doubts[i].vni, reached);
    }
}

static int list_flows(const vx_tally *tally, const vx_map *ends, flow_list *seen, flow_list *answers) {
    for (uint32_t i = 0; i < vx_map_count(&tally->flows); i++) {
        const vx_flow *flow = vx_map_at(&tally->flows, i);
        if (flow->ends.protocol != VX_TCP)
            continue;
        vx_ends other = turned(&flow->ends);
        if (list_flow(seen, find_ends(ends, &flow->ends, flow->vni), i) < 0 ||
            list_flow(answers, find_ends(ends, &other, flow->vni), i) < 0)
            return -1;
    }
    if (seen->count > 0)
        qsort(seen->flows, seen->count, sizeof *seen->flows, by_ends);
    if (answers->count > 0)
        qsort(answers->flows, answers->count, sizeof *answers->flows, by_ends);
    return 0;
}

/* How many spans the largest group of equal ends has, with what was seen of it. */
static size_t most_spans(const vx_doubt *doubts, size_t count, const flow_list *seen, const vx_tally *tally) {
    size_t most = 0;
    uint32_t at = 0;
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i; next < count && doubts[next].ends == doubts[i].ends;)
            next++;
        size_t spans = next - i;
        for (uint32_t j = of_ends(seen, doubts[i].ends, &at); j < at; j++)
            spans += ((const vx_flow *)vx_map_at(&tally->flows, seen->flows[j].flow))->range_count;
        most = spans > most ? spans : most;
    }
    return most;
}

/* NULL where there are none: not even 0 may be added to that. */
static const seen_flow *flows_from(const flow_list *list, uint32_t at) {
    return list->count > 0 ? list->flows + at : NULL;
}

int vx_doubts_weigh(vx_doubt *doubts, size_t count, const vx_map *ends, const vx_tally *tally) {
    if (count == 0 || tally->counters.folded_flows > 0)
        return 0;
    flow_list seen = {NULL, 0, 0}, answers = {NULL, 0, 0};
    int status = list_flows(tally, ends, &seen, &answers);
    span *spans = NULL;
    if (status == 0) {
        qsort(doubts, count, sizeof *doubts, doubts_by_ends);
        spans = vx_allocate(most_spans(doubts, count, &seen, tally), sizeof *spans);
        status = spans != NULL ? 0 : -1;
    }
    if (status == 0) {
        uint32_t seen_at = 0, answer_at = 0;
        for (size_t i = 0, next; i < count; i = next) {
            for (next = i; next < count && doubts[next].ends == doubts[i].ends;)
                next++;
            uint32_t seen_from = of_ends(&seen, doubts[i].ends, &seen_at);
            uint32_t answers_from = of_ends(&answers, doubts[i].ends, &answer_at);
            weigh(doubts + i, (uint32_t)(next - i), tally, flows_from(&seen, seen_from), seen_at - seen_from,
                  flows_from(&answers, answers_from), answer_at - answers_from, spans);
        }
    }
    free(spans);
    free(seen.flows);
    free(answers.flows);
    return status;
}
