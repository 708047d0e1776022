/* One record's headers: nothing is read behind the captured bytes, what is pointed to lies within them, and a
 * record read twice reads alike. The first bytes choose link type, direction, budget and original length. */
#include "frame.h"
#include "must.h"
#include "quote.h"

enum { FRONT = 8, MOST_FRAME = 1 << 16 };

static void check_within(const void *at, size_t size, const uint8_t *block, size_t captured) {
    const uint8_t *begin = at;
    MUST(begin >= block && begin + size <= block + captured);
}

static void check_frame(const vx_frame *frame, const uint8_t *block, uint32_t captured, uint32_t length,
                        const uint8_t *wears) {
    bool read = frame->kind == VX_FRAME_DATAGRAM || frame->kind == VX_FRAME_TAIL;
    MUST(frame->kind <= VX_FRAME_DATAGRAM && frame->index >= -1 && frame->traits->direction <= VX_MULTICAST);
    MUST(frame->kind != VX_FRAME_CUT || captured < length);
    if (frame->macs != NULL)
        check_within(frame->macs, 12, block, captured);
    if (!read)
        return;
    MUST(frame->covered <= (length > captured ? length : captured));
    if (frame->kind == VX_FRAME_TAIL)
        return;
    const vx_ends *ends = &frame->key->ends;
    MUST(frame->traits->wear <= VX_GENEVE);
    if (frame->traits->wear != VX_PLAIN) {
        check_within(frame->outer.addresses, frame->outer.ipv6 ? 32 : 8, block, captured);
        MUST(frame->traits->vni < 1U << 24);
    }
    if (!(ends->shape & VX_KEY_IPV6))
        for (unsigned i = 8; i < 32; i++)
            MUST(ends->addresses[i] == 0);
    MUST((ends->shape & (VX_KEY_SOURCE_PORT | VX_KEY_OPAQUE)) || ends->source_port == 0);
    MUST((ends->shape & VX_KEY_DESTINATION_PORT) || ends->destination_port == 0);
    if (frame->quote != NULL) {
        vx_quote quote;
        check_within(frame->quote, frame->quote_size, block, captured);
        uint8_t *behind = malloc(frame->quote_size);
        memcpy(behind, frame->quote, frame->quote_size);
        vx_read_quote(&quote, behind, frame->quote_size, wears);
        MUST(quote.version == 0 || quote.version == 4 || quote.version == 6);
        MUST(quote.vni >= -1 && quote.vni < 1 << 24);
        free(behind);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t links[] = {1, 113, 276, 101, 0, 108, 228, 229, 12, 14, 147, 276};
    static const uint32_t snaplens[] = {0, 262144, 60, 90, 150, 1, 0, 14};
    static uint8_t wears[65536];
    wears[8472] = wears[4789] = VX_VXLAN;
    wears[6081] = VX_GENEVE;
    wears[4790] = VX_VXLAN_GPE;
    if (size < FRONT || size > MOST_FRAME)
        return 0;
    uint32_t captured = (uint32_t)(size - FRONT), more;
    memcpy(&more, data + 4, sizeof more);
    uint32_t length = data[3] & 1 ? captured + more % 4096 : data[3] & 2 ? more : captured;
    uint8_t *block = malloc(captured);
    memcpy(block, data + FRONT, captured);
    vx_reading told;
    vx_reading_init(&told, wears, 42);
    int64_t budget = vx_key_budget(snaplens[data[2] % 8]);
    told.budget = budget < told.budget ? budget : told.budget;
    vx_tagged_key keys[2];
    vx_traits traits[2];
    vx_frame frames[2];
    vx_secrets secrets;
    vx_secrets_init(&secrets, 42);
    for (unsigned i = 0; i < 2; i++) {
        memset(&keys[i], i > 0 ? 0xff : 0, sizeof keys[i]);
        memset(&traits[i], i > 0 ? 0xff : 0, sizeof traits[i]);
        frames[i].key = &keys[i].key;
        frames[i].traits = &traits[i];
        vx_frame_read(&frames[i], &told, block, captured, length, links[data[0] % 12], data[1] % 6);
        check_frame(&frames[i], block, captured, length, wears);
        if (frames[i].kind == VX_FRAME_DATAGRAM || frames[i].kind == VX_FRAME_TAIL)
            vx_tag_key(&keys[i], vx_vni_of(&traits[i]), &secrets);
    }
    MUST(frames[0].kind == frames[1].kind && frames[0].index == frames[1].index);
    MUST(frames[0].odd == frames[1].odd && frames[0].malformed == frames[1].malformed);
    if (frames[0].kind == VX_FRAME_DATAGRAM) {
        MUST(memcmp(&keys[0], &keys[1], sizeof keys[0]) == 0);
        MUST(traits[0].inner_length == traits[1].inner_length && traits[0].wear == traits[1].wear);
        MUST(traits[0].outer_length == traits[1].outer_length && traits[0].vni == traits[1].vni);
        MUST(frames[0].covered == frames[1].covered);
    }
    free(block);
    return 0;
}
