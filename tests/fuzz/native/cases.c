#include "cases.h"

#include <string.h>

uint32_t chance(uint64_t *state, uint32_t below) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return below > 0 ? (uint32_t)(*state >> 33) % below : 0;
}

bool read_case(const uint8_t *data, size_t size, test_case *out) {
    static const uint64_t windows[] = {1000000000, 1000, 0, 10000000, 100000, 1, 5000000000, 60000000000};
    static const uint64_t settles[] = {10000000, 100, 0, 700, 1000000, 70000};
    static const uint64_t limits[] = {65536, 65536, 0, 1, 2, 5, 20, 65536};
    static const uint64_t listed[] = {0, 1 << 20, 1, 3};
    if (size < FRONT || size > MOST_CASE)
        return false;
    *out = (test_case){
        .inputs = 1 + (data[0] & 127) % MOST_INPUTS,
        .window = windows[data[1] % 8],
        .settle = settles[data[2] % 6],
        .most_journeys = limits[data[3] % 8],
        .most_fragments = limits[data[12] % 8],
        .most_flows = limits[data[4] % 8],
        .most_tunnels = limits[data[13] % 8],
        .most_places = limits[data[13] / 16 % 8],
        .most_paths = limits[data[15] % 8],
        .most_rows = limits[data[15] / 16 % 8],
        .most_datagrams = listed[data[5] % 4],
        .most_sightings = listed[data[6] % 4],
        .bytes = data + FRONT,
        .size = size - FRONT,
    };
    memcpy(&out->seed, data + 8, sizeof out->seed);
    return true;
}

static void append(uint8_t *file, size_t *size, const uint8_t *bytes, size_t more) {
    memcpy(file + *size, bytes, more);
    *size += more;
}

/* Of pcapng all blocks but those of packets go to every file, so that each knows all interfaces. */
void deal(const test_case *from, uint8_t *files, size_t *sizes) {
    static layout laid;
    memset(sizes, 0, from->inputs * sizeof *sizes);
    if (from->inputs == 1 || !lay_out(from->bytes, from->size, &laid)) {
        append(files, sizes, from->bytes, from->size);
        return;
    }
    uint64_t state = from->seed;
    for (uint32_t i = 0; i < from->inputs; i++)
        append(files + i * MOST_CASE, &sizes[i], from->bytes, laid.header);
    for (unsigned i = 0; i < laid.count; i++) {
        uint32_t owner = chance(&state, from->inputs);
        for (uint32_t j = 0; j < from->inputs; j++)
            if (j == owner || laid.items[i].frame == 0)
                append(files + j * MOST_CASE, &sizes[j], from->bytes + laid.items[i].start,
                       laid.items[i].size);
    }
    uint32_t owner = chance(&state, from->inputs);
    append(files + owner * MOST_CASE, &sizes[owner], from->bytes + laid.end, from->size - laid.end);
}
