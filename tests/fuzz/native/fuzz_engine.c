/* The whole engine: whichever way the bytes come in, it counts the same, and what it counts adds up. */
#include "digest.h"
#include "must.h"
#include "running.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    test_case made;
    if (!read_case(data, size, &made))
        return 0;
    static dealt files;
    deal(&made, files.bytes[0], files.sizes);
    vx_engine_options options = options_of(&made, false);
    digest expected = {0};
    /* The last takes as long as all else, for memory that most captures never need. */
    manner last = data[7] % 4 == 1 ? IN_HALVES : IN_CUTS;
    for (manner how = WHOLE_FILES; how <= last; how++) {
        vx_engine *engine = run_case(&made, &files, how);
        check_sums(engine, &options);
        digest sum = digest_of(engine);
        /* Which journeys and fragments are too many depends on when the others are looked through. */
        const vx_counters *counters = &vx_engine_tally(engine)->counters;
        bool too_many = counters->evicted_journeys > 0 || counters->evicted_fragments > 0;
        const char *differing = how == WHOLE_FILES || too_many ? NULL : digests_differ(&expected, &sum, true);
        if (differing != NULL)
            fprintf(stderr, "manner %d: other %s\n", (int)how, differing);
        MUST(differing == NULL);
        expected = sum;
        vx_engine_free(engine);
    }
    return 0;
}
