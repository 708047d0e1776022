/* Tests of the C engine that need no Python: made to be run under sanitizers, on captures made by chance. It
 * includes what allocates, so that each allocation can be made to fail.
 *
 * What the tables should hold is tested against the pure engine, in Python. Here: that nothing is read too
 * far or leaked, whatever the bytes; that cutting and merging change nothing; that no memory has one answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which allocation from now is to fail; 0: none. */
static size_t failing;

static int allowed(void) { return failing == 0 || --failing > 0; }

static void *test_malloc(size_t size) { return allowed() ? malloc(size) : NULL; }

static void *test_calloc(size_t count, size_t size) { return allowed() ? calloc(count, size) : NULL; }

static void *test_realloc(void *old, size_t size) { return allowed() ? realloc(old, size) : NULL; }

static void *test_aligned_alloc(size_t alignment, size_t size) {
    return allowed() ? aligned_alloc(alignment, size) : NULL;
}

#define malloc test_malloc
#define calloc test_calloc
#define realloc test_realloc
#define aligned_alloc test_aligned_alloc
#include "container.c"
#include "table.c"
#undef malloc
#undef calloc
#undef realloc
#undef aligned_alloc

#include "engine.h"
#include "query.h"

static unsigned checks;
static unsigned failures;

#define CHECK(expression)                                                                                    \
    do {                                                                                                     \
        checks++;                                                                                            \
        if (!(expression)) {                                                                                 \
            failures++;                                                                                      \
            fprintf(stderr, "%s:%d: not so: %s\n", __func__, __LINE__, #expression);                         \
        }                                                                                                    \
    } while (0)

/* Chance: the same at each run. */

static uint64_t state = 1;

static uint32_t chance(uint32_t below) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % below;
}

/* Captures. */

enum { MOST_BYTES = 1 << 19, MOST_RECORDS = 400 };

typedef struct {
    uint8_t bytes[MOST_BYTES];
    size_t size;
    size_t starts[MOST_RECORDS + 1]; /* of records, and the end */
    uint32_t records;
} capture;

static void put(capture *to, uint64_t value, unsigned size) {
    while (size-- > 0)
        to->bytes[to->size++] = size < 8 ? (uint8_t)(value >> (8 * size)) : 0;
}

static void put_ipv4(capture *to, uint8_t protocol, uint16_t length, uint16_t fragment, uint8_t ttl) {
    put(to, 0x4500, 2);
    put(to, length, 2);
    put(to, chance(3), 2);
    put(to, fragment, 2);
    put(to, ttl, 1);
    put(to, protocol, 1);
    put(to, 0, 2);
    put(to, 0x0a000001 + chance(2), 4);
    put(to, 0x0a000101 + chance(2), 4);
}

static void put_ipv6(capture *to, uint8_t protocol, uint16_t length, uint8_t ttl) {
    put(to, 0x60000000, 4);
    put(to, length, 2);
    put(to, protocol, 1);
    put(to, ttl, 1);
    for (unsigned i = 0; i < 2; i++) {
        put(to, 0xfd00000000000000, 8);
        put(to, chance(2), 8);
    }
}

static void put_transport(capture *to, uint8_t protocol, uint16_t payload) {
    put(to, 4000 + chance(2), 2);
    put(to, 80, 2);
    if (protocol == VX_TCP) {
        /* Such that some hold others, as super-frames do their segments, and some leave gaps. */
        put(to, chance(2) > 0 ? chance(8) * 40 : chance(64) * 1000, 4);
        put(to, 0, 4);
        put(to, 0x6012, 2); /* SYN and ACK, with one word of options */
        put(to, 0xffff00000000, 6);
        put(to, 0x02040582, 4);
    } else {
        put(to, 8 + payload, 2);
        put(to, 0, 2);
    }
    for (uint16_t i = 0; i < payload; i++)
        put(to, chance(2), 1);
}

/* An IP packet, whole or a fragment of one. */
static void put_packet(capture *to, bool ipv6) {
    uint8_t protocol = chance(3) > 0 ? VX_UDP : VX_TCP;
    uint16_t payload = (uint16_t)(chance(4) * 40);
    uint16_t length = (uint16_t)((protocol == VX_TCP ? 24 : 8) + payload);
    static const uint16_t fragments[] = {0, 0, 0, 0x4000, 0x2000, 8, 0x2010};
    if (ipv6)
        put_ipv6(to, protocol, length, (uint8_t)(62 + chance(3)));
    else
        put_ipv4(to, protocol, (uint16_t)(20 + length), fragments[chance(7)], (uint8_t)(62 + chance(3)));
    put_transport(to, protocol, payload);
}

/* A packet in VXLAN or Geneve, whose outer packet may be a first fragment or a tail. */
static void put_tunnelled(capture *to) {
    size_t ip = to->size;
    static const uint16_t fragments[] = {0, 0, 0, 0, 0x2000, 12};
    put_ipv4(to, VX_UDP, 0, fragments[chance(6)], (uint8_t)(62 + chance(3)));
    size_t udp = to->size;
    bool geneve = chance(3) == 0;
    put(to, 50000 + chance(30), 2);
    put(to, geneve ? 6081 : 8472, 2);
    put(to, 0, 4);
    put(to, geneve ? 0x00006558 : 0x08000000, 4);
    put(to, (256 + chance(2)) << 8, 4);
    bool ipv6 = chance(3) == 0;
    put(to, 0x020000000001, 6);
    put(to, 0x020000000002, 6);
    put(to, ipv6 ? 0x86dd : 0x0800, 2);
    put_packet(to, ipv6);
    uint16_t length = (uint16_t)(to->size - udp);
    to->bytes[udp + 4] = (uint8_t)(length >> 8);
    to->bytes[udp + 5] = (uint8_t)length;
    length = (uint16_t)(to->size - ip);
    to->bytes[ip + 2] = (uint8_t)(length >> 8);
    to->bytes[ip + 3] = (uint8_t)length;
}

/* A message that a packet was too big, which quotes a tunnel's or a plain one, as far as it likes. */
static void put_too_big(capture *to) {
    size_t ip = to->size;
    put_ipv4(to, VX_ICMP, 0, 0, 64);
    put(to, 0x0304, 2);
    put(to, 0, 4);
    put(to, 1400 + chance(3), 2);
    size_t quote = to->size;
    if (chance(3) > 0)
        put_tunnelled(to);
    else
        put_packet(to, chance(2) == 0);
    if (chance(2) == 0)
        to->size = quote + chance((uint32_t)(to->size - quote));
    uint16_t length = (uint16_t)(to->size - ip);
    to->bytes[ip + 2] = (uint8_t)(length >> 8);
    to->bytes[ip + 3] = (uint8_t)length;
}

/* Records of SLL2, ms apart, of which about `damage` in a thousand bytes behind their headers are wrong. */
static void make_capture(capture *to, uint32_t records, uint32_t damage) {
    to->size = 0;
    put(to, 0xa1b2c3d4, 4);
    put(to, 0x00020004, 4);
    put(to, 0, 8);
    put(to, 65535, 4);
    put(to, VX_LINK_SLL2, 4);
    uint64_t time = 1000000;
    for (to->records = 0; to->records < records; to->records++) {
        size_t start = to->starts[to->records] = to->size;
        time += chance(4) * chance(2000);
        put(to, time / 1000000, 4);
        put(to, time % 1000000, 4);
        put(to, 0, 8);
        size_t frame = to->size;
        uint32_t kind = chance(10);
        put(to, kind == 9 ? 0x86dd : 0x0800, 2);
        put(to, 0, 2);
        put(to, 1 + chance(3), 4);
        put(to, 0x0001, 2);
        put(to, chance(2) * 4, 1);
        put(to, 0, 9);
        if (kind < 5)
            put_tunnelled(to);
        else if (kind == 5)
            put_too_big(to);
        else
            put_packet(to, kind == 9);
        for (size_t i = frame; i < to->size; i++)
            if (chance(1000) < damage)
                to->bytes[i] = (uint8_t)chance(256);
        uint32_t length = (uint32_t)(to->size - frame);
        uint32_t captured = chance(20) == 0 ? chance(length + 1) : length;
        to->size = frame + captured;
        for (unsigned i = 0; i < 4; i++) {
            to->bytes[start + 8 + i] = (uint8_t)(captured >> (8 * (3 - i)));
            to->bytes[start + 12 + i] = (uint8_t)(length >> (8 * (3 - i)));
        }
    }
    to->starts[records] = to->size;
}

/* Engines. */

static uint8_t wears[65536];
static uint64_t most_flows = 100000;

static vx_engine_options options_of(uint32_t inputs, bool part) {
    wears[8472] = VX_VXLAN;
    wears[6081] = VX_GENEVE;
    return (vx_engine_options){
        .inputs = inputs,
        .wears = wears,
        .window = 20000000,
        .settle = 1000000,
        .most_journeys = 100000,
        .most_fragments = 100000,
        .most = {.flows = most_flows, .tunnels = 1000, .places = 1000, .paths = 1000, .rows = 1000},
        .seed = 42,
        .part = part,
    };
}

static vx_engine *new_engine(uint32_t inputs, bool part) {
    vx_engine_options options = options_of(inputs, part);
    return vx_engine_new(&options);
}

/* Feed bytes in pieces of at most `most`, each from a block of just its size; all of them, or half, in two
 * halves, the second when the bytes have gone away. */
static int feed(vx_engine *engine, uint32_t input, const uint8_t *bytes, size_t size, uint32_t most) {
    int status = 0;
    bool split = chance(2) && vx_engine_split(engine) == 0;
    for (size_t at = 0; at < size && status == 0;) {
        size_t length = 1 + chance(most);
        length = length < size - at ? length : size - at;
        uint8_t *piece = malloc(length);
        memcpy(piece, bytes + at, length);
        bool in_two = split && chance(2);
        if (in_two)
            status = vx_engine_read(engine, input, piece, length) < 0 ? -1 : 0;
        else
            status = vx_engine_feed(engine, input, piece, length);
        free(piece);
        if (in_two && status == 0)
            status = vx_engine_take(engine, 0) < 0 ? -1 : 0;
        at += length;
    }
    return status;
}

/* The sum of what the cells hold, of which every journey has its share. */
typedef struct {
    vx_counters counters;
    uint32_t paths;
    uint32_t flows;
    uint32_t cells;
    uint32_t sizes;
    uint32_t steps;
    uint64_t datagrams;
    uint64_t wire_bytes;
    uint64_t latencies;
} summary;

static summary summary_of(const vx_engine *engine) {
    const vx_tally *tally = vx_engine_tally(engine);
    summary sum;
    memset(&sum, 0, sizeof sum);
    sum.counters = tally->counters;
    sum.paths = vx_map_count(&tally->paths);
    sum.flows = vx_map_count(&tally->flows);
    sum.cells = vx_map_count(&tally->cells);
    sum.sizes = vx_map_count(&tally->sizes);
    sum.steps = vx_map_count(&tally->timeline);
    for (uint32_t i = 0; i < sum.cells; i++) {
        const vx_cell *cell = vx_map_at(&tally->cells, i);
        sum.datagrams += cell->datagrams;
        sum.wire_bytes += vx_cell_wire(tally, i).bytes;
    }
    for (uint32_t i = 0; i < sum.paths; i++) {
        const vx_path *path = vx_map_at(&tally->paths, i);
        if (path->latencies != NULL)
            sum.latencies += path->latencies->total;
    }
    return sum;
}

static summary in_one(const capture *from, uint32_t most) {
    vx_engine *engine = new_engine(1, false);
    CHECK(feed(engine, 0, from->bytes, from->size, most) == 0);
    CHECK(vx_engine_end(engine, 0) == 0);
    CHECK(vx_engine_wants(engine) == VX_NONE);
    CHECK(vx_engine_finish(engine) == 0);
    summary sum = summary_of(engine);
    vx_engine_free(engine);
    return sum;
}

static void cutting_changes_nothing(void) {
    static capture made;
    for (unsigned round = 0; round < 60; round++) {
        make_capture(&made, MOST_RECORDS, round % 3 * 4);
        summary whole = in_one(&made, MOST_BYTES);
        summary cut = in_one(&made, round % 2 ? 7 : 700);
        CHECK(whole.counters.records == MOST_RECORDS);
        CHECK(memcmp(&whole, &cut, sizeof whole) == 0);
    }
}

static void merging_changes_nothing(void) {
    static capture made;
    for (unsigned round = 0; round < 60; round++) {
        make_capture(&made, MOST_RECORDS, round % 3 * 4);
        summary whole = in_one(&made, MOST_BYTES);
        enum { PARTS = 4 };
        uint32_t edges[PARTS + 1] = {0, chance(100), 100 + chance(50), 150 + chance(200), MOST_RECORDS};
        vx_engine *parts[PARTS];
        for (unsigned i = 0; i < PARTS; i++) {
            size_t from = made.starts[edges[i]], to = made.starts[edges[i + 1]];
            parts[i] = new_engine(1, i > 0);
            CHECK(feed(parts[i], 0, made.bytes, 24, 24) == 0);
            CHECK(feed(parts[i], 0, made.bytes + from, to - from, 500) == 0);
            CHECK(vx_engine_end(parts[i], 0) == 0);
        }
        static const unsigned groupings[3][PARTS - 1][2] = {
            {{0, 1}, {0, 2}, {0, 3}}, {{2, 3}, {1, 2}, {0, 1}}, {{0, 1}, {2, 3}, {0, 2}}};
        for (unsigned i = 0; i < PARTS - 1; i++) {
            const unsigned *pair = groupings[round % 3][i];
            CHECK(vx_engine_merge(parts[pair[0]], parts[pair[1]]) == 0);
            vx_engine_free(parts[pair[1]]);
        }
        CHECK(vx_engine_finish(parts[0]) == 0);
        summary merged = summary_of(parts[0]);
        CHECK(memcmp(&whole.counters, &merged.counters, sizeof whole.counters) == 0);
        CHECK(whole.paths == merged.paths && whole.flows == merged.flows && whole.cells == merged.cells);
        CHECK(whole.datagrams == merged.datagrams && whole.wire_bytes == merged.wire_bytes);
        CHECK(whole.latencies == merged.latencies && whole.steps == merged.steps);
        vx_engine_free(parts[0]);
    }
}

static void inputs_are_taken_in_order_of_time(void) {
    static capture made[3];
    for (unsigned round = 0; round < 20; round++) {
        vx_engine *engine = new_engine(3, false);
        size_t at[3] = {0};
        uint32_t input;
        for (unsigned i = 0; i < 3; i++)
            make_capture(&made[i], 100, 0);
        while ((input = vx_engine_wants(engine)) != VX_NONE) {
            size_t size = 1 + chance(3000), left = made[input].size - at[input];
            size = size < left ? size : left;
            if (size == 0)
                CHECK(vx_engine_end(engine, input) == 0);
            CHECK(feed(engine, input, made[input].bytes + at[input], size, 3000) == 0);
            at[input] += size;
        }
        CHECK(vx_engine_finish(engine) == 0);
        CHECK(vx_engine_records(engine) == 300);
        CHECK(vx_engine_tally(engine)->counters.time_reversed == 0);
        vx_engine_free(engine);
    }
}

static void damaged_captures_are_read_to_the_damage(void) {
    static capture made;
    for (unsigned round = 0; round < 300; round++) {
        make_capture(&made, 60, 30);
        for (unsigned i = 0; i < 1 + round % 4; i++)
            made.bytes[chance((uint32_t)made.size)] = (uint8_t)chance(256);
        vx_engine *engine = new_engine(1, round % 2 > 0);
        CHECK(feed(engine, 0, made.bytes, made.size - chance(40), 900) == 0);
        CHECK(vx_engine_end(engine, 0) == 0);
        CHECK(vx_engine_wants(engine) == VX_NONE);
        if (round % 2 == 0)
            CHECK(vx_engine_finish(engine) == 0);
        vx_engine_free(engine);
    }
}

static void limits_hold(void) {
    static capture made;
    for (unsigned round = 0; round < 20; round++) {
        make_capture(&made, MOST_RECORDS, 0);
        vx_engine_options options = options_of(1, false);
        options.most_journeys = round % 5;
        options.most.flows = round % 7;
        vx_engine *engine = vx_engine_new(&options);
        CHECK(feed(engine, 0, made.bytes, made.size, 5000) == 0);
        CHECK(vx_engine_finish(engine) == 0);
        CHECK(vx_map_count(&vx_engine_tally(engine)->flows) <= options.most.flows);
        vx_engine_free(engine);
    }
}

/* Two parts fed, merged and finished: 0, or -1 where any step had no memory. */
static int merge_two(const capture *made) {
    uint32_t half = made->records / 2;
    size_t middle = made->starts[half];
    vx_engine *first = new_engine(1, false), *second = new_engine(1, true);
    int status = first == NULL || second == NULL ? -1 : 0;
    if (status == 0)
        status = feed(first, 0, made->bytes, middle, 3000);
    if (status == 0)
        status = feed(second, 0, made->bytes, 24, 24);
    if (status == 0)
        status = feed(second, 0, made->bytes + middle, made->size - middle, 3000);
    if (status == 0)
        status = vx_engine_merge(first, second);
    if (status == 0)
        status = vx_engine_finish(first);
    if (status < 0 && first != NULL) /* what failed is refused from then on, or nothing was begun */
        CHECK(vx_engine_finish(first) < 0 || second == NULL || vx_engine_merge(first, second) < 0);
    vx_engine_free(first);
    vx_engine_free(second);
    return status;
}

/* The summary of one run, in one thread: 0, or -1 where any step had no memory. */
static int run_one(const capture *made, summary *sum) {
    vx_engine *engine = new_engine(1, false);
    int status = engine == NULL ? -1 : vx_engine_feed(engine, 0, made->bytes, made->size);
    if (status == 0)
        status = vx_engine_end(engine, 0);
    if (status == 0)
        status = vx_engine_finish(engine);
    if (status == 0 && vx_container_damage(vx_engine_container(engine, 0))->code == VX_DAMAGE_NO_MEMORY)
        status = -1;
    if (status == 0)
        *sum = summary_of(engine);
    vx_engine_free(engine);
    return status;
}

static void no_memory_changes_no_number(void) {
    static capture made;
    for (unsigned round = 0; round < 10; round++) {
        make_capture(&made, 200, 0);
        most_flows = round % 2 == 0 ? 100000 : 1 + round; /* or flows are folded */
        summary whole, sum;
        CHECK(run_one(&made, &whole) == 0);
        unsigned refused = 0;
        for (size_t at = 1; at < 2000; at++) {
            failing = at;
            int status = run_one(&made, &sum);
            bool reached = failing == 0;
            failing = 0;
            if (!reached)
                break;
            CHECK(status < 0 || memcmp(&whole, &sum, sizeof whole) == 0);
            refused += status < 0;
        }
        CHECK(refused > 50);
    }
    most_flows = 100000;
}

static void no_memory_has_one_answer(void) {
    static capture made;
    make_capture(&made, 200, 0);
    unsigned refused = 0;
    for (size_t at = 1; at < 2000; at++) {
        uint64_t before = state;
        failing = at;
        int status = merge_two(&made);
        bool reached = failing == 0;
        failing = 0;
        state = before;
        if (!reached)
            break;
        refused += status < 0;
    }
    CHECK(refused > 50);
    CHECK(merge_two(&made) == 0);
}

/* Arrays that answers need, as long as the tables of a tally. */
typedef struct {
    uint32_t *bundles;  /* of cells */
    uint32_t *reverses; /* of flows */
    uint32_t *large;    /* rows of large datagrams */
    uint32_t *limits;   /* by path */
    uint8_t *by_path;
    uint8_t *by_flow;
} arrays;

static arrays arrays_for(const vx_tally *tally) {
    size_t paths = vx_map_count(&tally->paths), flows = vx_map_count(&tally->flows);
    arrays made = {
        .bundles = calloc(vx_map_count(&tally->cells) + 1, sizeof(uint32_t)),
        .reverses = calloc(flows + 1, sizeof(uint32_t)),
        .large = calloc(vx_map_count(&tally->large) + 1, sizeof(uint32_t)),
        .limits = calloc(paths + 1, sizeof(uint32_t)),
        .by_path = calloc(paths + 1, 1),
        .by_flow = calloc(flows + 1, 1),
    };
    for (size_t i = 0; i < paths; i++)
        made.by_path[i] = (uint8_t)(i % 3);
    return made;
}

static void free_arrays(arrays *made) {
    free(made->bundles);
    free(made->reverses);
    free(made->large);
    free(made->limits);
    free(made->by_path);
    free(made->by_flow);
}

/* In each order there are all cells of the flows that have something in every second bundle, and when these
 * start or end. */
static int rank_flows_by(vx_order_by by, const vx_tally *tally, const vx_wanted *wanted) {
    uint8_t *half = malloc(wanted->bundles.count);
    for (size_t i = 0; i < wanted->bundles.count; i++)
        half[i] = i % 2 == 0;
    vx_order order = {
        .by = by, .counting = {half, wanted->bundles.count}, .among = {half, wanted->bundles.count}};
    vx_top top = {0};
    int status = vx_query_ranked(tally, wanted, &order, UINT32_MAX, &top);
    uint64_t datagrams = 0;
    for (uint32_t rank = 0; status == 0 && rank < top.count; rank++)
        for (uint32_t i = top.starts[rank]; i < top.starts[rank + 1]; i++) {
            CHECK(top.shares[i].rank == rank);
            CHECK(top.ranks[vx_flow_place(tally, vx_cell_at(tally, top.shares[i].cell)->flow)] == rank + 1);
            if (half[wanted->numbers[top.shares[i].cell]])
                datagrams += vx_cell_at(tally, top.shares[i].cell)->datagrams;
        }
    if (status == 0) {
        CHECK(top.count == top.matching && top.matching <= top.total && top.datagrams == datagrams);
        CHECK(top.starts[top.count] == top.share_count);
        vx_flow_moment *moments = malloc((top.share_count + 1) * sizeof *moments);
        uint32_t count =
            vx_query_moments(tally, wanted->numbers, &order, top.shares, top.share_count, moments);
        CHECK(count <= top.share_count && count >= top.count);
        for (uint32_t i = 1; i < count; i++)
            CHECK(moments[i - 1].time < moments[i].time ||
                  (moments[i - 1].time == moments[i].time && moments[i - 1].rank < moments[i].rank));
        free(moments);
    }
    vx_top_free(&top);
    free(half);
    return status;
}

/* What the cells of all bundles add up to, by each way of asking for them; 0, or -1 where one had no memory.
 */
static int ask_bundles(const vx_tally *tally, arrays *with) {
    vx_bundles bundles;
    int status = vx_query_bundles(tally, with->by_path, NULL, &bundles, with->bundles);
    uint32_t count = status == 0 ? vx_map_count(&bundles.rows) : 0;
    uint64_t datagrams = 0, shared = 0, between = 0;
    for (uint32_t i = 0; i < count; i++)
        datagrams += ((vx_bundle *)vx_map_at(&bundles.rows, i))->datagrams;
    vx_bundles_free(&bundles);
    uint8_t *chosen = malloc((size_t)count + 1);
    memset(chosen, 1, (size_t)count + 1);
    vx_wanted wanted = {
        .numbers = with->bundles, .bundles = {chosen, count}, .vni = -1, .above = -1, .room = INT64_MIN};
    vx_proof proofs[3];
    uint32_t proven = status == 0 ? vx_query_earliest(tally, &wanted, false, proofs, 3) : 0;
    for (uint32_t i = 1; i < proven; i++)
        CHECK(!vx_sample_before(proofs[i].sample, proofs[i - 1].sample));
    vx_map ends;
    vx_map_init(&ends, sizeof(vx_between), 0);
    if (status == 0)
        status = vx_query_ends(tally, &wanted, &ends);
    for (uint32_t i = 0; status == 0 && i < vx_map_count(&ends); i++)
        between += ((vx_between *)vx_map_at(&ends, i))->datagrams;
    vx_map_free(&ends);
    vx_top top = {0};
    if (status == 0)
        status = vx_query_top(tally, &wanted, UINT32_MAX, &top);
    for (uint32_t i = 0; status == 0 && i < top.share_count; i++)
        shared += ((vx_cell *)vx_map_at(&tally->cells, top.shares[i].cell))->datagrams;
    if (status == 0)
        CHECK(shared == datagrams && between == datagrams && top.count == top.total);
    vx_top_free(&top);
    for (int by = VX_BY_BYTES; status == 0 && by <= VX_BY_END; by++)
        status = rank_flows_by((vx_order_by)by, tally, &wanted);
    free(chosen);
    return status;
}

/* What has another direction is itself that of something. */
static void check_reverses(const vx_tally *tally, const uint32_t *reverses) {
    for (uint32_t i = 0; i < vx_map_count(&tally->flows); i++)
        CHECK(reverses[i] == VX_NONE || reverses[reverses[i]] != VX_NONE);
}

typedef int (*question)(const vx_tally *tally, const arrays *with, vx_map *rows);

static int ask_sources(const vx_tally *tally, const arrays *with, vx_map *rows) {
    (void)with;
    return vx_query_sources(tally, rows);
}

static int ask_told_mss(const vx_tally *tally, const arrays *with, vx_map *rows) {
    (void)with;
    return vx_query_told_mss(tally, rows);
}

static int ask_source_ports(const vx_tally *tally, const arrays *with, vx_map *rows) {
    (void)with;
    return vx_query_source_ports(tally, rows);
}

static int ask_pairs(const vx_tally *tally, const arrays *with, vx_map *rows) {
    return vx_query_pairs(tally, with->reverses, rows);
}

static int ask_two_sided(const vx_tally *tally, const arrays *with, vx_map *rows) {
    return vx_query_two_sided(tally, with->by_path, rows);
}

static int ask_large(const vx_tally *tally, const arrays *with, vx_map *rows) {
    return vx_query_large(tally, with->limits, with->reverses, rows, with->large);
}

static int ask_beside(const vx_tally *tally, const arrays *with, vx_map *rows) {
    uint8_t chosen[2] = {1, 0};
    vx_query_large_flows(tally, with->large, (vx_set){chosen, sizeof chosen}, with->by_flow);
    return vx_query_beside(tally, with->large, (vx_set){chosen, sizeof chosen}, rows);
}

static int ask_rewritten(const vx_tally *tally, const arrays *with, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_address), 0);
    int answered = vx_query_is_answered(tally, (vx_set){with->by_path, 1}, with->reverses);
    return answered < 0 ? -1 : vx_query_rewritten(tally, with->by_path, rows, with->reverses, with->by_flow);
}

static int ask_unanswered(const vx_tally *tally, const arrays *with, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_address), 0);
    vx_unanswered sum;
    if (vx_query_unanswered(tally, with->reverses, 0, 0, with->by_flow, &sum) < 0)
        return -1;
    CHECK(sum.datagrams >= 2 * (uint64_t)sum.connections + 3 * (uint64_t)sum.echoes);
    return 0;
}

static int ask_agreed_mss(const vx_tally *tally, const arrays *with, vx_map *rows) {
    return vx_query_agreed_mss(tally, with->reverses, rows);
}

static int ask_stalled(const vx_tally *tally, const arrays *with, vx_map *rows) {
    return vx_query_stalled(tally, with->reverses, 1, UINT64_MAX, 9, rows);
}

static int ask_stuck(const vx_tally *tally, const arrays *with, vx_map *rows) {
    vx_map_init(rows, sizeof(vx_address), 0);
    return vx_query_stuck(tally, with->reverses, 0, with->by_flow) < 0 ? -1 : 0;
}

static int ask_all(const vx_tally *tally, arrays *with) {
    if (ask_bundles(tally, with) < 0 || vx_query_reverses(tally, with->reverses) < 0)
        return -1;
    check_reverses(tally, with->reverses);
    const question questions[] = {ask_sources,    ask_told_mss,   ask_source_ports, ask_pairs,
                                  ask_two_sided,  ask_large,      ask_beside,       ask_rewritten,
                                  ask_unanswered, ask_agreed_mss, ask_stalled,      ask_stuck};
    int status = 0;
    for (size_t i = 0; i < sizeof questions / sizeof *questions && status == 0; i++) {
        vx_map rows;
        status = questions[i](tally, with, &rows);
        vx_map_free(&rows);
    }
    return status;
}

/* An engine that has taken a capture and is finished. */
static vx_engine *finished(const capture *made) {
    vx_engine *engine = new_engine(1, false);
    CHECK(feed(engine, 0, made->bytes, made->size, MOST_BYTES) == 0);
    CHECK(vx_engine_finish(engine) == 0);
    return engine;
}

static void answers_add_up(void) {
    static capture made;
    for (unsigned round = 0; round < 30; round++) {
        make_capture(&made, round % 10 * 40, round % 3 * 4);
        vx_engine *engine = finished(&made);
        arrays with = arrays_for(vx_engine_tally(engine));
        CHECK(ask_all(vx_engine_tally(engine), &with) == 0);
        free_arrays(&with);
        vx_engine_free(engine);
    }
}

static void questions_without_memory_have_one_answer(void) {
    static capture made;
    make_capture(&made, 200, 0);
    vx_engine *engine = finished(&made);
    arrays with = arrays_for(vx_engine_tally(engine));
    unsigned refused = 0;
    for (size_t at = 1; at < 2000; at++) {
        failing = at;
        int status = ask_all(vx_engine_tally(engine), &with);
        bool reached = failing == 0;
        failing = 0;
        if (!reached)
            break;
        CHECK(status < 0);
        refused++;
    }
    CHECK(refused > 20);
    CHECK(ask_all(vx_engine_tally(engine), &with) == 0);
    free_arrays(&with);
    vx_engine_free(engine);
}

int main(void) {
    cutting_changes_nothing();
    merging_changes_nothing();
    inputs_are_taken_in_order_of_time();
    damaged_captures_are_read_to_the_damage();
    limits_hold();
    no_memory_has_one_answer();
    no_memory_changes_no_number();
    answers_add_up();
    questions_without_memory_have_one_answer();
    fprintf(stderr, "%u checks, %u failures\n", checks, failures);
    return failures > 0;
}
