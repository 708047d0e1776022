/* What is asked of a finished tally: answers name nothing that is not there, and add up to what was counted.
 */
#include "digest.h"
#include "must.h"
#include "query.h"
#include "running.h"

/* What every question of one tally may need: arrays as long as its tables. */
typedef struct {
    const vx_tally *tally;
    uint64_t state;
    uint32_t cells;
    uint32_t flows;
    uint32_t paths;
    uint64_t journeys;
    uint32_t *bundles;  /* of cells */
    uint32_t *reverses; /* of flows */
    uint32_t *large;    /* rows of large datagrams */
    uint32_t *limits;   /* by path */
    uint8_t *inside;    /* by path */
    uint8_t *sides;     /* by path */
    uint8_t *found;     /* by flow */
} asker;

static void *items(size_t count, size_t size) {
    void *made = calloc(count > 0 ? count : 1, size);
    MUST(made != NULL);
    return made;
}

static asker ask_of(const vx_tally *tally, uint64_t state) {
    asker made = {.tally = tally, .state = state};
    made.cells = vx_map_count(&tally->cells);
    made.flows = vx_map_count(&tally->flows);
    made.paths = vx_map_count(&tally->paths);
    made.bundles = items(made.cells, sizeof(uint32_t));
    made.reverses = items(made.flows, sizeof(uint32_t));
    made.large = items(vx_map_count(&tally->large), sizeof(uint32_t));
    made.limits = items(made.paths, sizeof(uint32_t));
    made.inside = items(made.paths, 1);
    made.sides = items(made.paths, 1);
    made.found = items((size_t)made.flows + 1, 1);
    static const uint32_t limits[] = {64, 1400, 1500, 9000};
    for (uint32_t i = 0; i < made.paths; i++) {
        made.limits[i] = limits[chance(&made.state, 4)];
        made.inside[i] = (uint8_t)chance(&made.state, 2);
        made.sides[i] = (uint8_t)chance(&made.state, 3);
    }
    for (uint32_t i = 0; i < made.cells; i++)
        made.journeys += vx_cell_at(tally, i)->datagrams;
    return made;
}

static void stop_asking(asker *of) {
    free(of->bundles);
    free(of->reverses);
    free(of->large);
    free(of->limits);
    free(of->inside);
    free(of->sides);
    free(of->found);
}

static void clear_found(asker *of) { memset(of->found, 0, (size_t)of->flows + 1); }

/* ---- bundles ---- */

static void check_ends(asker *of, const vx_wanted *all) {
    vx_map rows;
    uint64_t datagrams = 0;
    MUST(vx_query_ends(of->tally, all, &rows) == 0);
    for (uint32_t i = 0; i < vx_map_count(&rows); i++) {
        const vx_between *row = vx_map_at(&rows, i);
        MUST(row->smallest <= row->largest && row->first_time <= row->last_time);
        datagrams += row->datagrams;
    }
    MUST(datagrams == of->journeys);
    vx_map_free(&rows);
}

static void check_moments(asker *of, const vx_wanted *all, const vx_order *order, const vx_top *top) {
    vx_flow_moment *moments = items(top->share_count + 1, sizeof *moments);
    uint32_t found = vx_query_moments(of->tally, all->numbers, order, top->shares, top->share_count, moments);
    MUST(found <= top->share_count);
    for (uint32_t i = 0; i < found; i++) {
        MUST(moments[i].rank >= 0 && moments[i].rank < top->count);
        MUST(i == 0 || moments[i - 1].time <= moments[i].time);
    }
    free(moments);
}

static void check_top(asker *of, const vx_wanted *all, uint32_t count) {
    vx_top top = {0};
    uint32_t most = chance(&of->state, 2) ? UINT32_MAX : chance(&of->state, 5);
    uint8_t *flags = items(2 * count + 1, 1);
    for (uint32_t i = 0; i < 2 * count; i++)
        flags[i] = chance(&of->state, 2) > 0;
    vx_order order = {.by = (vx_order_by)chance(&of->state, VX_BY_END + 1)};
    if (chance(&of->state, 2) == 0)
        order.counting = (vx_set){flags, count};
    bool some = chance(&of->state, 3) == 0;
    if (some)
        order.among = (vx_set){flags + count, count};
    uint64_t datagrams = 0;
    MUST(vx_query_ranked(of->tally, all, &order, most, &top) == 0);
    MUST(top.count <= top.matching && top.count <= most && top.matching <= top.total);
    MUST(top.total <= of->flows + 1 && (some || top.matching == top.total));
    for (uint32_t i = 0; i < top.count; i++) {
        MUST(top.flows[i] == VX_OTHER_FLOWS || top.flows[i] < of->flows);
        MUST(top.starts[i] <= top.starts[i + 1] && top.starts[i + 1] <= top.share_count);
    }
    for (uint32_t i = 0; i < top.share_count; i++) {
        MUST(top.shares[i].rank < top.count && top.shares[i].cell < of->cells);
        MUST(i == 0 || top.shares[i - 1].rank <= top.shares[i].rank);
        datagrams += vx_cell_at(of->tally, top.shares[i].cell)->datagrams;
    }
    /* Those that were folded are none of the top. */
    uint64_t told = of->journeys - vx_query_folded(of->tally).datagrams;
    MUST(most < UINT32_MAX || some ? datagrams <= told : datagrams == told);
    check_moments(of, all, &order, &top);
    vx_top_free(&top);
    free(flags);
}

static void check_wanted(asker *of, const vx_wanted *all, uint32_t count) {
    uint8_t *chosen = items(count, 1);
    for (uint32_t i = 0; i < count; i++)
        chosen[i] = chance(&of->state, 2) > 0;
    vx_wanted wanted = *all;
    wanted.bundles.flags = chosen;
    wanted.vni = chance(&of->state, 3) == 0 ? (int64_t)chance(&of->state, 3) : -1;
    wanted.above = chance(&of->state, 2) ? -1 : (int64_t)chance(&of->state, 1500);
    wanted.smallest_too = chance(&of->state, 2);
    if (chance(&of->state, 3) == 0)
        wanted.room = (int64_t)chance(&of->state, 1600);
    uint32_t lengths[8] = {chance(&of->state, 100)}; /* in order, as they have to be */
    for (unsigned i = 1; i < 8; i++)
        lengths[i] = lengths[i - 1] + 1 + chance(&of->state, 400);
    if (chance(&of->state, 3) == 0)
        wanted.beyond = (vx_lengths){lengths, chance(&of->state, 9)};
    if (chance(&of->state, 3) == 0)
        wanted.among = (vx_lengths){lengths, chance(&of->state, 9)};
    uint32_t cells = 0;
    for (uint32_t i = vx_query_next(of->tally, &wanted, 0); i != VX_NONE;
         i = vx_query_next(of->tally, &wanted, i + 1), cells++)
        MUST(i < of->cells && of->bundles[i] < count && chosen[of->bundles[i]]);
    MUST(cells <= of->cells);
    vx_proof proofs[3];
    for (unsigned starts = 0; starts < 2; starts++) {
        uint32_t proven = vx_query_earliest(of->tally, &wanted, starts > 0, proofs, 3);
        MUST(proven <= 3 && (proven > 0) == (cells > 0));
        for (uint32_t i = 0; i < proven; i++) {
            MUST(proofs[i].cell < of->cells);
            MUST(i == 0 || !vx_sample_before(proofs[i].sample, proofs[i - 1].sample));
        }
    }
    for (uint64_t i = vx_query_next_datagram(of->tally, &wanted, 0); i < of->tally->datagram_count;
         i = vx_query_next_datagram(of->tally, &wanted, i + 1))
        MUST(chosen[of->bundles[of->tally->datagrams[i].cell]]);
    free(chosen);
}

static void ask_bundles(asker *of) {
    vx_bundles bundles;
    uint8_t *apart = items((size_t)of->flows + 1, 1);
    for (uint32_t i = 0; i <= of->flows; i++)
        apart[i] = (uint8_t)chance(&of->state, 3);
    MUST(vx_query_bundles(of->tally, of->inside, chance(&of->state, 2) ? apart : NULL, &bundles,
                          of->bundles) == 0);
    free(apart);
    uint32_t count = vx_map_count(&bundles.rows), pairs = vx_map_count(&bundles.pairs);
    uint64_t datagrams = 0;
    for (uint32_t i = 0; i < count; i++) {
        const vx_bundle *row = vx_map_at(&bundles.rows, i);
        MUST(row->path < of->paths && row->pair < pairs && row->inside <= pairs);
        MUST(row->datagrams > 0 && row->smallest <= row->largest && row->whole_bytes >= row->wire_bytes);
        datagrams += row->datagrams;
    }
    MUST(datagrams == of->journeys && count <= of->cells);
    for (uint32_t i = 0; i < of->cells; i++)
        MUST(of->bundles[i] < count);
    uint8_t *everything = items(count, 1);
    memset(everything, 1, count);
    vx_wanted all = {
        .numbers = of->bundles, .bundles = {everything, count}, .vni = -1, .above = -1, .room = INT64_MIN};
    check_ends(of, &all);
    check_top(of, &all, count);
    check_wanted(of, &all, count);
    free(everything);
    vx_bundles_free(&bundles);
}

/* ---- conversations ---- */

static void ask_conversations(asker *of) {
    vx_map rows;
    MUST(vx_query_reverses(of->tally, of->reverses) == 0);
    for (uint32_t i = 0; i < of->flows; i++) {
        uint32_t reverse = of->reverses[i];
        MUST(reverse == VX_NONE || (reverse < of->flows && of->reverses[reverse] != VX_NONE));
    }
    int answered = vx_query_is_answered(of->tally, (vx_set){of->inside, of->paths}, of->reverses);
    MUST(answered == 0 || answered == 1);
    vx_unanswered sum;
    clear_found(of);
    MUST(vx_query_unanswered(of->tally, of->reverses, chance(&of->state, 3) * INT64_C(1000000),
                             of->tally->last_time, of->found, &sum) == 0);
    uint64_t found = 0;
    for (uint32_t i = 0; i < of->flows; i++)
        found += of->found[i] != 0;
    MUST(found == (uint64_t)sum.connections + sum.echoes && sum.datagrams <= of->journeys);
    clear_found(of);
    int stuck = vx_query_stuck(of->tally, of->reverses, 0, of->found);
    MUST(stuck == 0 || stuck == 1);
    MUST(vx_query_stalled(of->tally, of->reverses, chance(&of->state, 2), UINT64_MAX, 1000, &rows) == 0);
    for (uint32_t i = 0; i < vx_map_count(&rows); i++) {
        const vx_stalled *row = vx_map_at(&rows, i);
        MUST(row->flow < of->flows && row->reverse < of->flows && row->datagrams > 0);
    }
    vx_map_free(&rows);
}

static void ask_identities(asker *of) {
    vx_map rows;
    MUST(vx_query_sources(of->tally, &rows) == 0);
    for (uint32_t i = 0; i < vx_map_count(&rows); i++) {
        const vx_identity *row = vx_map_at(&rows, i);
        MUST(row->datagrams > 0 && row->datagrams <= of->journeys && row->first_time <= row->last_time);
    }
    vx_map_free(&rows);
    MUST(vx_query_pairs(of->tally, of->reverses, &rows) == 0);
    vx_map_free(&rows);
    MUST(vx_query_told_mss(of->tally, &rows) == 0);
    vx_map_free(&rows);
    MUST(vx_query_agreed_mss(of->tally, of->reverses, &rows) == 0);
    vx_map_free(&rows);
    MUST(vx_query_source_ports(of->tally, &rows) == 0);
    vx_map_free(&rows);
    MUST(vx_query_tunnel_flows(of->tally, &rows) == 0);
    for (uint32_t i = 0; i < vx_map_count(&rows); i++)
        MUST(((const vx_pair_count *)vx_map_at(&rows, i))->count <= of->flows);
    vx_map_free(&rows);
}

static void ask_sides(asker *of) {
    vx_map rows, own;
    MUST(vx_query_two_sided(of->tally, of->sides, &rows) == 0);
    for (uint32_t i = 0; i < vx_map_count(&rows); i++) {
        const vx_two_sided *row = vx_map_at(&rows, i);
        MUST(row->flow < of->flows || row->flow == VX_OTHER_FLOWS);
        MUST(row->datagrams[0] > 0 && row->datagrams[1] > 0);
    }
    vx_map_free(&rows);
    vx_map_init(&own, sizeof(vx_address), 1);
    for (uint32_t i = 0; i < of->flows; i++) {
        const vx_ends *ends = &((const vx_flow *)vx_map_at(&of->tally->flows, i))->ends;
        vx_address address = {.size = ends->shape & VX_KEY_IPV6 ? 16 : 4};
        memcpy(address.address, ends->addresses, address.size);
        bool made;
        if (chance(&of->state, 3) == 0)
            MUST(vx_map_intern(&own, &address, sizeof address, &made) != VX_NONE);
    }
    clear_found(of);
    MUST(vx_query_rewritten(of->tally, of->sides, &own, of->reverses, of->found) >= 0);
    vx_map_free(&own);
}

static void ask_large(asker *of) {
    vx_map rows, beside;
    MUST(vx_query_large(of->tally, of->limits, of->reverses, &rows, of->large) == 0);
    uint32_t count = vx_map_count(&rows), all = vx_map_count(&of->tally->large);
    uint64_t given = 0, had = 0;
    for (uint32_t i = 0; i < count; i++)
        given += ((const vx_large_row *)vx_map_at(&rows, i))->datagrams;
    for (uint32_t i = 0; i < all; i++) {
        MUST(of->large[i] < count);
        had += ((const vx_large *)vx_map_at(&of->tally->large, i))->count;
    }
    MUST(given == had);
    uint8_t *chosen = items(count, 1);
    for (uint32_t i = 0; i < count; i++)
        chosen[i] = (uint8_t)chance(&of->state, 2);
    MUST(vx_query_beside(of->tally, of->large, (vx_set){chosen, count}, &beside) == 0);
    for (uint32_t i = 0; i < vx_map_count(&beside); i++)
        MUST(((const vx_beside *)vx_map_at(&beside, i))->row < count);
    vx_map_free(&beside);
    clear_found(of);
    vx_query_large_flows(of->tally, of->large, (vx_set){chosen, count}, of->found);
    free(chosen);
    vx_map_free(&rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    test_case made;
    if (!read_case(data, size, &made))
        return 0;
    static dealt files;
    deal(&made, files.bytes[0], files.sizes);
    vx_engine *engine = run_case(&made, &files, WHOLE_FILES);
    asker asking = ask_of(vx_engine_tally(engine), made.seed + 3);
    ask_bundles(&asking);
    ask_conversations(&asking);
    ask_identities(&asking);
    ask_sides(&asking);
    ask_large(&asking);
    stop_asking(&asking);
    vx_engine_free(engine);
    return 0;
}
