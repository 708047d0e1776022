#include "programs.h"

#include "filter.h"
#include "must.h"

#include <string.h>

enum { MOST_TESTS = 8, HEADER = 8 };

static void put(uint8_t *at, uint64_t number, size_t size) {
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
}

/* Small alphabets, so that values meet. */
static uint64_t some_number(uint64_t *state) {
    static const uint64_t numbers[] = {0,    1,    2,      6,           17,        64,        80,
                                       1500, 8472, 0xFFFF, 0xFFFFFFFFU, INT64_MIN, INT64_MAX, UINT64_MAX};
    if (chance(state, 4) == 0)
        return (uint64_t)chance(state, UINT32_MAX) << 32 | chance(state, UINT32_MAX);
    return numbers[chance(state, sizeof numbers / sizeof *numbers)];
}

static uint16_t some_next(uint64_t *state, uint32_t number, uint32_t count) {
    if (number + 1 < count && chance(state, 2))
        return (uint16_t)(number + 1 + chance(state, count - number - 1));
    return chance(state, 2) ? VX_ACCEPT : VX_REJECT;
}

static void make_test(uint8_t *at, uint64_t *state, uint32_t number, uint32_t count, uint32_t texts) {
    memset(at, 0, VX_TEST_SIZE);
    at[0] = (uint8_t)chance(state, VX_FIELDS);
    at[1] = (uint8_t)chance(state, 2);
    at[2] = (uint8_t)(chance(state, 2) ? 0 : chance(state, 256));
    put(at + 4, some_next(state, number, count), 2);
    put(at + 6, some_next(state, number, count), 2);
    put(at + 8, chance(state, 2) ? UINT64_MAX : some_number(state), 8);
    if (at[0] < VX_FIELD_FIRST_END) {
        put(at + 24, some_number(state), 8);
        put(at + 40, some_number(state), 8);
    } else if (at[0] < VX_FIELD_FIRST_TEXT) {
        at[2] = (uint8_t)(chance(state, 2) ? 14 : chance(state, 256));
        at[3] = (uint8_t)(VX_END_IPV4 + chance(state, 3));
        for (unsigned i = 16; i < VX_TEST_SIZE; i++)
            at[i] = (uint8_t)(i >= 32 && chance(state, 2) ? 255 : chance(state, 256));
    } else {
        uint32_t begin = chance(state, texts + 1);
        at[2] = (uint8_t)chance(state, 3);
        at[3] = (uint8_t)chance(state, 4);
        put(at + 24, begin, 8);
        put(at + 40, chance(state, texts - begin + 1), 8);
    }
}

size_t make_program(uint8_t *program, uint64_t *state) {
    static const char texts[] = "eth1*default/pod*TCP**h*1/";
    uint32_t count = chance(state, MOST_TESTS + 1), size = sizeof texts - 1;
    put(program, 1, 2);
    put(program + 2, count, 2);
    put(program + 4, size, 4);
    for (uint32_t i = 0; i < count; i++)
        make_test(program + HEADER + (size_t)i * VX_TEST_SIZE, state, i, count, size);
    memcpy(program + HEADER + (size_t)count * VX_TEST_SIZE, texts, size);
    return HEADER + (size_t)count * VX_TEST_SIZE + size;
}

/* The bytes of the sign that begins here; 0: it is no UTF-8. */
static size_t sign_of(const uint8_t *at, size_t left) {
    size_t size = at[0] < 0x80                    ? 1
                  : at[0] >= 0xC2 && at[0] < 0xE0 ? 2
                  : at[0] >= 0xE0 && at[0] < 0xF0 ? 3
                  : at[0] >= 0xF0 && at[0] < 0xF5 ? 4
                                                  : 0;
    if (size == 0 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

void check_characters(const char *at, size_t size, const char *allowed) {
    for (size_t i = 0; i < size;) {
        uint8_t octet = (uint8_t)at[i];
        size_t taken = sign_of((const uint8_t *)at + i, size - i);
        MUST(taken > 0);
        MUST(octet >= 0x20 || (octet != 0 && strchr(allowed, octet) != NULL));
        i += taken;
    }
}

void check_printable(const char *at, size_t size, const char *allowed) {
    check_characters(at, size, allowed);
    for (size_t i = 0; i < size; i++) {
        uint8_t octet = (uint8_t)at[i];
        MUST(octet != 0x7F);
        MUST(octet != 0xC2 || (uint8_t)at[i + 1] >= 0xA0); /* C1 */
    }
}
