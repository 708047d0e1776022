/* Parts of a capture, cut anywhere between its records and merged in any grouping, count what one pass
 * counts. */
#include "digest.h"
#include "must.h"
#include "running.h"

enum { MOST_PARTS = 5 };

/* Where the items of a part begin, and those of the next. */
typedef struct {
    unsigned first;
    unsigned end;
} span;

/* The items that every part needs: those before the first packet. -1: others come later too; or there are
 * simple packets, whose time is that of the record before, which a part does not know. */
static int common_items(const test_case *from, const layout *laid) {
    unsigned common = 0;
    while (laid->ng && common < laid->count && laid->items[common].frame == 0)
        common++;
    for (unsigned i = 0; laid->ng && i < laid->count; i++) {
        uint32_t kind = get32(laid, from->bytes + laid->items[i].start);
        if (kind == SIMPLE_PACKET || (i >= common && (kind == SECTION || kind == INTERFACE || kind == NAMES)))
            return -1;
    }
    return (int)common;
}

static size_t start_of(const layout *laid, unsigned number) {
    return number < laid->count ? laid->items[number].start : laid->end;
}

/* One part: the header, then its items; the last has all that is left. */
static vx_engine *run_part(const test_case *from, const layout *laid, unsigned common, span part,
                           bool is_first, bool is_last, uint64_t *state) {
    static uint8_t file[MOST_CASE];
    size_t header = start_of(laid, common), at = start_of(laid, part.first);
    size_t end = is_last ? from->size : start_of(laid, part.end), size = header + end - at;
    memcpy(file, from->bytes, header);
    memcpy(file + header, from->bytes + at, end - at);
    vx_engine_options options = options_of(from, !is_first);
    vx_engine *engine = vx_engine_new(&options);
    MUST(engine != NULL);
    const uint8_t *files[] = {file};
    feed_files(engine, files, &size, 1, chance(state, 2) ? WHOLE_FILES : IN_CUTS, *state);
    return engine;
}

static void compare(const vx_engine *whole, const vx_engine *merged) {
    digest expected = digest_of(whole), sum = digest_of(merged);
    const char *differing = digests_differ(&expected, &sum, false);
    if (differing != NULL)
        fprintf(stderr, "merged: other %s\n", differing);
    MUST(differing == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static layout laid;
    test_case made;
    if (!read_case(data, size, &made) || !lay_out(made.bytes, made.size, &laid))
        return 0;
    made.inputs = 1;
    int common = common_items(&made, &laid);
    if (common < 0)
        return 0;
    uint64_t state = made.seed + 1;
    unsigned count = 2 + chance(&state, MOST_PARTS - 1), edges[MOST_PARTS + 1];
    edges[0] = (unsigned)common;
    for (unsigned i = 1; i <= count; i++) {
        edges[i] =
            i < count ? (unsigned)common + chance(&state, laid.count - (unsigned)common + 1) : laid.count;
        for (unsigned j = i; j > 1 && edges[j] < edges[j - 1]; j--) {
            unsigned higher = edges[j - 1];
            edges[j - 1] = edges[j];
            edges[j] = higher;
        }
    }

    vx_engine_options options = options_of(&made, false);
    vx_engine *whole = vx_engine_new(&options);
    MUST(whole != NULL);
    feed_files(whole, &made.bytes, &made.size, 1, WHOLE_FILES, 0);
    MUST(vx_engine_finish(whole) == 0);
    /* What one pass stops at, a later part would go on behind. */
    const vx_damage *damage = vx_container_damage(vx_engine_container(whole, 0));
    bool early = damage->code != VX_DAMAGE_NONE && damage->offset < start_of(&laid, edges[count - 1]);

    vx_engine *parts[MOST_PARTS];
    for (unsigned i = 0; i < count; i++) {
        span part = {edges[i], edges[i + 1]};
        parts[i] = run_part(&made, &laid, (unsigned)common, part, i == 0, i == count - 1, &state);
    }
    for (unsigned left = count; left > 1; left--) {
        unsigned at = chance(&state, left - 1);
        MUST(vx_engine_merge(parts[at], parts[at + 1]) == 0);
        vx_engine_free(parts[at + 1]);
        for (unsigned i = at + 1; i + 1 < left; i++)
            parts[i] = parts[i + 1];
    }
    MUST(vx_engine_finish(parts[0]) == 0);
    check_sums(parts[0], &options);
    if (!early && !hit_a_limit(whole) && !hit_a_limit(parts[0]))
        compare(whole, parts[0]);
    vx_engine_free(parts[0]);
    vx_engine_free(whole);
    return 0;
}
