/* The codec: layers follow each other without a gap and lie within the bytes, and each problem has its line.
 * The first bytes choose link type, original length and ports. */
#include "codec.h"
#include "must.h"

#include <string.h>

enum { FRONT = 8, MOST_PACKET = 1 << 16 };

static void check_packet(const struct vx_packet *packet, bool good, size_t size, size_t length) {
    MUST(packet->layer_count <= VX_MAX_LAYERS && packet->problem_count <= VX_MAX_PROBLEMS);
    MUST(good || packet->problem_count > 0);
    for (size_t i = 0; i < packet->problem_count; i++) {
        char text[VX_PROBLEM_TEXT];
        memset(text, 'x', sizeof text);
        vx_problem_text(&packet->problems[i], text);
        const char *end = memchr(text, '\0', sizeof text);
        MUST(end != NULL && end < text + sizeof text - 1);
        MUST(strstr(text, " at offset ") != NULL && strstr(text, ": expected ") != NULL);
        if (!good)
            return;
    }
    size_t at = 0;
    for (size_t i = 0; i < packet->layer_count; i++) {
        MUST(packet->layers[i].offset == at && packet->layers[i].size > 0);
        MUST(packet->layers[i].kind < VX_RECORD);
        at += packet->layers[i].size;
        MUST(at <= size);
    }
    MUST(packet->payload == at && packet->limit >= packet->payload);
    MUST(packet->limit <= (length > size ? length : size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint16_t links[] = {1, 113, 276, 101, 0, 108, 228, 229, 12, 14, 1, 276};
    static const struct vx_port ports[] = {{53, VX_VXLAN}, {8472, VX_GENEVE}, {8472, VX_VXLAN}};
    if (size < FRONT || size > MOST_PACKET)
        return 0;
    size_t captured = size - FRONT;
    uint32_t more;
    memcpy(&more, data + 4, sizeof more);
    size_t length = data[3] & 1 ? captured + more % 4096 : data[3] & 2 ? more : 0;
    uint8_t *block = malloc(captured);
    memcpy(block, data + FRONT, captured);
    static struct vx_packet packet;
    bool usual = data[1] % 4 > 0;
    MUST(vx_link_known(links[data[0] % 12]));
    bool good = vx_decode(block, captured, length, (enum vx_link)links[data[0] % 12], usual ? NULL : ports,
                          usual ? 0 : sizeof ports / sizeof *ports, &packet);
    check_packet(&packet, good, captured, length);
    vx_checksum(block, captured, more);
    free(block);
    return 0;
}
