#include "listed.h"

#include "must.h"
#include "query.h"
#include "running.h"

static void *block(uint64_t count, size_t size) {
    void *made = malloc(count * size > 0 ? count * size : 1);
    MUST(made != NULL);
    return made;
}

static void take_listed(told *told, const vx_tally *tally) {
    vx_bundles bundles;
    uint32_t paths = vx_map_count(&tally->paths);
    uint32_t *numbers = block(vx_map_count(&tally->cells), sizeof *numbers);
    uint8_t *inside = calloc((size_t)paths + 1, 1);
    MUST(inside != NULL && vx_query_bundles(tally, inside, NULL, &bundles, numbers) == 0);
    told->bundles = vx_map_count(&bundles.rows);
    told->datagrams = (size_t)tally->datagram_count;
    told->where = block(told->datagrams, sizeof *told->where);
    told->bundle = block(told->datagrams, sizeof *told->bundle);
    told->latency = block(told->datagrams, sizeof *told->latency);
    told->length = block(told->datagrams, sizeof *told->length);
    told->vni = block(told->datagrams, sizeof *told->vni);
    vx_listed listed = {told->where, told->bundle, told->latency, told->length, told->vni};
    MUST(vx_query_listed(tally, numbers, &listed) == 0);
    vx_bundles_free(&bundles);
    free(inside);
    free(numbers);
}

told tell(const test_case *from, const dealt *files) {
    test_case listing = *from;
    if (listing.most_datagrams == 0)
        listing.most_datagrams = 1 << 20;
    if (listing.most_sightings == 0)
        listing.most_sightings = 1 << 20;
    vx_engine *engine = run_case(&listing, files, WHOLE_FILES);
    const vx_tally *tally = vx_engine_tally(engine);
    told made = {.records = tally->counters.records, .sightings = (size_t)tally->sighted_count};
    take_listed(&made, tally);
    made.sighted = block(made.sightings, sizeof *made.sighted);
    made.first = block(made.sightings, sizeof *made.first);
    for (size_t i = 0; i < made.sightings; i++) {
        made.sighted[i] = tally->sighted[i].record;
        made.first[i] = tally->sighted[i].first;
        MUST(i == 0 || made.sighted[i] >= made.sighted[i - 1]);
    }
    for (size_t i = 0; i < made.datagrams; i++) {
        MUST(i == 0 || made.where[i] > made.where[i - 1]);
        MUST(made.bundle[i] < made.bundles);
    }
    vx_engine_free(engine);
    return made;
}

void told_free(told *told) {
    free(told->where);
    free(told->bundle);
    free(told->latency);
    free(told->length);
    free(told->vni);
    free(told->sighted);
    free(told->first);
}
