/*
 * The native engine over a file, without Python: what `vxtool analyze` does in C, and nothing else.
 * For tools that count or profile, such as valgrind. Prints how many records there were.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHUNK = 1 << 20, PORTS = 1 << 16 };

static int feed(vx_engine *engine, FILE *file, uint8_t *chunk) {
    while (vx_engine_wants(engine) != VX_NONE) {
        size_t length = fread(chunk, 1, CHUNK, file);
        if (length ? vx_engine_feed(engine, 0, chunk, length) : vx_engine_end(engine, 0))
            return -1;
    }
    return ferror(file) ? -1 : vx_engine_finish(engine);
}

int main(int count, char **arguments) {
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (!file) {
        fprintf(stderr, "engine_loop: expected one capture that can be read\n");
        return 2;
    }
    uint8_t *chunk = malloc(CHUNK);
    uint8_t *wears = calloc(PORTS, 1);
    if (!chunk || !wears)
        return 1;
    wears[8472] = wears[4789] = VX_VXLAN;
    wears[6081] = VX_GENEVE;
    vx_engine_options options = {
        .inputs = 1,
        .wears = wears,
        .window = 1000000000,
        .settle = 10000000,
        .most_journeys = 4000000,
        .most_fragments = 1000000,
        .most = {.flows = 4000000, .tunnels = 65536, .places = 65536, .paths = 65536, .rows = 65536},
        .seed = 0x2545f4914f6cdd1d, /* a fixed one, so that tables look alike in every run */
    };
    vx_engine *engine = vx_engine_new(&options);
    if (!engine || feed(engine, file, chunk))
        return 1;
    printf("{\"records\": %llu}\n", (unsigned long long)vx_engine_records(engine));
    vx_engine_free(engine);
    free(wears);
    free(chunk);
    fclose(file);
    return 0;
}
