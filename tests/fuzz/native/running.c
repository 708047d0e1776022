#include "running.h"

#include "must.h"

vx_engine_options options_of(const test_case *from, bool part) {
    static uint8_t wears[65536];
    wears[8472] = wears[4789] = VX_VXLAN;
    wears[6081] = VX_GENEVE;
    wears[4790] = VX_VXLAN_GPE;
    return (vx_engine_options){
        .inputs = from->inputs,
        .wears = wears,
        .window = from->window,
        .settle = from->settle,
        .most_journeys = from->most_journeys,
        .most_fragments = from->most_fragments,
        .most = {.flows = from->most_flows,
                 .tunnels = from->most_tunnels,
                 .places = from->most_places,
                 .paths = from->most_paths,
                 .rows = from->most_rows,
                 .datagrams = from->most_datagrams,
                 .sightings = from->most_sightings},
        .seed = 42,
        .part = part,
    };
}

/* One piece, in a block of its own size that goes away behind it. */
static void feed_piece(vx_engine *engine, uint32_t input, const uint8_t *bytes, size_t size, bool in_halves,
                       uint64_t *state) {
    uint8_t *piece = malloc(size);
    memcpy(piece, bytes, size);
    if (in_halves)
        MUST(vx_engine_read(engine, input, piece, size) == 1);
    else
        MUST(vx_engine_feed(engine, input, piece, size) == 0);
    free(piece);
    /* The other half may be behind, but not so far that the first would wait for it. */
    if (in_halves && chance(state, 2) == 0)
        MUST(vx_engine_take(engine, 0) == 1);
}

void feed_files(vx_engine *engine, const uint8_t *const *files, const size_t *sizes, uint32_t count,
                manner how, uint64_t state) {
    size_t at[MOST_INPUTS] = {0};
    bool ended[MOST_INPUTS] = {false}, in_halves = how == IN_HALVES;
    uint32_t most = how == WHOLE_FILES ? MOST_CASE : 1 + chance(&state, chance(&state, 2) ? 60 : 4000), input;
    if (in_halves) {
        MUST(vx_engine_split(engine) == 0);
        most = most < 200 ? 200 : most;
    }
    while ((input = vx_engine_wants(engine)) != VX_NONE) {
        MUST(input < count && !ended[input]);
        if (how == IN_CUTS && chance(&state, 4) == 0)
            input = chance(&state, count); /* what nobody asked for yet */
        size_t left = sizes[input] - at[input];
        if (left > 0) {
            size_t size = how == WHOLE_FILES ? left : 1 + chance(&state, most);
            size = size < left ? size : left;
            feed_piece(engine, input, files[input] + at[input], size, in_halves, &state);
            at[input] += size;
        } else if (!ended[input]) {
            ended[input] = true;
            if (in_halves)
                MUST(vx_engine_read_end(engine, input) == 1);
            else
                MUST(vx_engine_end(engine, input) == 0);
        }
    }
    if (in_halves) {
        int status;
        vx_engine_read_all(engine);
        while ((status = vx_engine_take(engine, 0)) == 1)
            ;
        MUST(status == 0);
    }
    for (uint32_t i = 0; i < count; i++)
        MUST(ended[i] || vx_container_damage(vx_engine_container(engine, i))->code != VX_DAMAGE_NONE);
}

vx_engine *run_case(const test_case *from, const dealt *files, manner how) {
    vx_engine_options options = options_of(from, false);
    vx_engine *engine = vx_engine_new(&options);
    MUST(engine != NULL);
    const uint8_t *starts[MOST_INPUTS];
    for (uint32_t i = 0; i < MOST_INPUTS; i++)
        starts[i] = files->bytes[i];
    feed_files(engine, starts, files->sizes, from->inputs, how, from->seed);
    MUST(vx_engine_finish(engine) == 0);
    return engine;
}
