/* One record as a packet list sees it: what is pointed to lies within the captured bytes, its columns hold
 * nothing that a terminal would obey, and read twice it reads alike. A filter by chance is asked about it.
 * The first bytes choose as those of fuzz_frame.c do, and the filter. */
#include "filter.h"
#include "info.h"
#include "line.h"
#include "must.h"
#include "programs.h"

enum { FRAME_FRONT = 8, MOST_FRAME = 1 << 16, LEAST_TCP = 20, LEAST_ARP = 8, LEAST_HEADER = 4 };

static void check_within(const uint8_t *at, size_t size, const vx_seen *seen) {
    MUST(at >= seen->data && at + size <= seen->data + seen->captured);
}

static void check_end(const vx_seen *seen, vx_end end) {
    static const size_t sizes[] = {0, 4, 16, 6};
    MUST(end.kind <= VX_END_MAC && (end.kind != VX_END_NONE || end.octets == NULL));
    if (end.kind != VX_END_NONE)
        check_within(end.octets, sizes[end.kind], seen);
}

static void check_seen(const vx_seen *seen) {
    check_end(seen, seen->source);
    check_end(seen, seen->destination);
    check_end(seen, seen->outer_source);
    check_end(seen, seen->outer_destination);
    MUST(seen->tells <= VX_TELLS_TUNNEL && seen->transport >= VX_NO_TRANSPORT && seen->transport < 256);
    MUST(seen->vni >= -1 && seen->vni < 1 << 24 && seen->network >= -1 && seen->network < 1 << 24);
    MUST((seen->tunnel == VX_NONE) == (seen->outer_source.kind == VX_END_NONE));
    check_within(seen->told, seen->told_captured, seen);
    if (seen->ip != NULL)
        check_within(seen->ip, seen->is_ipv6 ? 40 : 20, seen);
    if (seen->header != NULL)
        check_within(seen->header,
                     seen->transport == 6                 ? LEAST_TCP
                     : seen->transport == VX_NO_TRANSPORT ? LEAST_ARP
                                                          : LEAST_HEADER,
                     seen);
    if (seen->payload != NULL)
        check_within(seen->payload, seen->payload_captured, seen);
    MUST(seen->payload != NULL || seen->payload_captured == 0);
    MUST(!seen->has_ports || seen->transport == 6 || seen->transport == 17);
    check_printable(seen->protocol, strlen(seen->protocol), "");
}

static void check_segment(const vx_seen *seen) {
    vx_segment segment = {0};
    if (!vx_segment_of(seen, &segment))
        return;
    check_within(segment.source, segment.is_ipv6 ? 16 : 4, seen);
    check_within(segment.destination, segment.is_ipv6 ? 16 : 4, seen);
    check_within(segment.options, segment.options_size, seen);
}

/* All that is written of it, and what the filter says. */
static void write_all(vx_text *text, const vx_seen *seen, const vx_stream_note *note, const vx_filter *filter,
                      uint64_t state) {
    vx_facts facts = {
        .seen = seen,
        .note = chance(&state, 4) > 0 ? note : NULL,
        .record = 1 + chance(&state, 3),
        .input = chance(&state, 2),
        .time_ns = chance(&state, UINT32_MAX),
        .relative_ns = (int64_t)chance(&state, 3) - 1,
        .latency_ns = (int64_t)chance(&state, 3) - 1,
        .protocol = seen->protocol,
        .source_pod = chance(&state, 2) ? "default/pod" : NULL,
        .destination_pod = chance(&state, 2) ? "" : NULL,
        .source_node = chance(&state, 2) ? "w0" : NULL,
        .destination_node = chance(&state, 2) ? "/" : NULL,
        .ingress = chance(&state, 2) ? "eth1" : NULL,
        .egress = chance(&state, 2) ? "ETH1*" : NULL,
        .source_identity = (int64_t)chance(&state, 3) - 1,
        .destination_identity = (int64_t)chance(&state, 3) - 1,
        .outcome = (uint8_t)chance(&state, VX_UNRESOLVED + 1),
    };
    vx_end_write(text, seen->source);
    vx_end_write(text, seen->destination);
    vx_end_write(text, seen->outer_source);
    vx_end_write(text, seen->outer_destination);
    vx_notes_write(text, note);
    vx_info_write(text, seen, facts.note);
    vx_duration_write(text, (uint64_t)chance(&state, UINT32_MAX) << chance(&state, 32));
    vx_text_byte(text, vx_filter_holds(filter, &facts) ? '1' : '0');
    MUST(!text->failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t links[] = {1, 113, 276, 101, 0, 108, 228, 229, 12, 14, 147, 276};
    static const struct vx_port ports[] = {{8472, VX_VXLAN}, {4789, VX_VXLAN}, {6081, VX_GENEVE}};
    static vx_seen seen[2];
    if (size < FRAME_FRONT || size > MOST_FRAME)
        return 0;
    uint32_t captured = (uint32_t)(size - FRAME_FRONT), more;
    memcpy(&more, data + 4, sizeof more);
    uint32_t length = data[3] & 1 ? captured + more % 4096 : data[3] & 2 ? more : captured;
    uint8_t *block = malloc(captured);
    memcpy(block, data + FRAME_FRONT, captured);
    uint64_t state = (uint64_t)data[1] << 8 | data[2];
    uint8_t program[MOST_PROGRAM];
    vx_filter *filter;
    size_t program_size = make_program(program, &state);
    MUST(vx_filter_new(program, program_size, &filter) == 0);
    vx_stream_note note = {.stream = chance(&state, 3), .notes = chance(&state, 1 << 15)};
    note.sequence = chance(&state, UINT32_MAX);
    note.window = chance(&state, UINT32_MAX);
    note.duplicate_number = chance(&state, 3);
    note.duplicate_of = chance(&state, 9);
    vx_text texts[2] = {0};
    for (unsigned i = 0; i < 2; i++) {
        memset(&seen[i], i > 0 ? 0xff : 0, sizeof seen[i]);
        vx_seen_read(&seen[i], block, captured, length, links[data[0] % 12], ports, 3);
        check_seen(&seen[i]);
        check_segment(&seen[i]);
        write_all(&texts[i], &seen[i], &note, filter, state);
        check_printable(texts[i].at, texts[i].size, "");
    }
    MUST(texts[0].size == texts[1].size && memcmp(texts[0].at, texts[1].at, texts[0].size) == 0);
    MUST(seen[0].tells == seen[1].tells && seen[0].vni == seen[1].vni && seen[0].network == seen[1].network);
    MUST(seen[0].payload == seen[1].payload && seen[0].payload_length == seen[1].payload_length);
    vx_filter_free(filter);
    /* A program that was written over may be refused, but not run astray. */
    program[chance(&state, (uint32_t)program_size)] = (uint8_t)chance(&state, 256);
    if (vx_filter_new(program, program_size, &filter) == 0)
        write_all(&texts[0], &seen[0], &note, filter, state);
    vx_filter_free(filter);
    vx_text_free(&texts[0]);
    vx_text_free(&texts[1]);
    free(block);
    return 0;
}
