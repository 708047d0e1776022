/* Changes of bytes at random, for programs that have no libFuzzer. */
#include "mutate.h"

#include "cases.h"

#include <string.h>

static size_t change_bytes(uint8_t *data, size_t size, size_t most, uint64_t *state) {
    static const uint8_t ends[] = {0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xfe, 0xff};
    size_t at = chance(state, (uint32_t)size), length = 1 + chance(state, 8);
    length = length < size - at ? length : size - at;
    switch (chance(state, 6)) {
    case 0:
        data[at] ^= (uint8_t)(1 << chance(state, 8));
        break;
    case 1:
        data[at] = (uint8_t)chance(state, 256);
        break;
    case 2:
        memset(data + at, ends[chance(state, sizeof ends)], length);
        break;
    case 3:
        memmove(data + at, data + chance(state, (uint32_t)(size - length + 1)), length);
        break;
    case 4: /* away */
        memmove(data + at, data + at + length, size - at - length);
        return size - length;
    default: /* more of the same */
        if (size + length <= most) {
            memmove(data + at + length, data + at, size - at);
            return size + length;
        }
    }
    return size;
}

size_t mutate_bytes(uint8_t *data, size_t size, size_t most, uint64_t *state) {
    for (uint32_t i = 1 + chance(state, 4); i > 0 && size > 0; i--)
        size = change_bytes(data, size, most, state);
    return size;
}
