/* Changes to a capture that leave it one: the fuzzer's own changes of bytes hardly ever make a second
 * sighting of a datagram, a fragment that fits another, or a tunnel in a tunnel. */
#ifndef VXTOOL_MUTATE_H
#define VXTOOL_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* Change a case (see cases.h) in place: its new size, at most `most`. */
size_t mutate_case(uint8_t *data, size_t size, size_t most, uint64_t seed);
/* Put some items of another case into this one, where both are of a kind. */
size_t cross_cases(uint8_t *data, size_t size, size_t most, const uint8_t *other, size_t other_size,
                   uint64_t seed);

/* Change bytes at random: libFuzzer's own where it is linked. */
size_t mutate_bytes(uint8_t *data, size_t size, size_t most, uint64_t *state);

#endif
