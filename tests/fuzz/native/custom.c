/* The mutator for libFuzzer. */
#include "mutate.h"

#include "cases.h"

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *other, size_t other_size,
                                 uint8_t *out, size_t most, unsigned seed);

size_t mutate_bytes(uint8_t *data, size_t size, size_t most, uint64_t *state) {
    (void)state;
    return LLVMFuzzerMutate(data, size, most);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    return mutate_case(data, size, most, seed);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *other, size_t other_size,
                                 uint8_t *out, size_t most, unsigned seed) {
    if (one_size > most || most > MOST_CASE)
        return 0;
    memcpy(out, one, one_size);
    return cross_cases(out, one_size, most, other, other_size, seed);
}
