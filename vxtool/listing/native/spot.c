#include "spot.h"

enum { SLL_HEADER = 16, SLL2_HEADER = 20 };

static uint8_t direction_of_packet_type(unsigned type) {
    static const uint8_t directions[] = {VX_WAY_IN, VX_WAY_BROADCAST, VX_WAY_MULTICAST, VX_WAY_OTHER,
                                         VX_WAY_OUT};
    return type < sizeof directions ? directions[type] : VX_WAY_UNKNOWN;
}

vx_spot vx_spot_of(const vx_record *record, uint32_t link_type) {
    const uint8_t *data = record->data;
    if (link_type == VX_LINK_SLL2 && record->captured >= SLL2_HEADER)
        return (vx_spot){vx_be32(data + 4), false, direction_of_packet_type(data[10]), NULL};
    if (link_type == VX_LINK_SLL && record->captured >= SLL_HEADER)
        return (vx_spot){-1, true, direction_of_packet_type(vx_be16(data)), NULL};
    if (link_type == VX_LINK_SLL || link_type == VX_LINK_SLL2)
        return (vx_spot){-1, true, VX_WAY_UNKNOWN, NULL};
    uint8_t direction = record->direction;
    bool has_macs = link_type == VX_LINK_EN10MB && direction == VX_WAY_UNKNOWN && record->captured >= VX_MACS;
    return (vx_spot){-1, false, direction, has_macs ? data : NULL};
}
