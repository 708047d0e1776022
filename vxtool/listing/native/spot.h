/* Where one record was seen: by which interface, and which way it went. */
#ifndef VXTOOL_SPOT_H
#define VXTOOL_SPOT_H

#include "codec.h"
#include "container.h"

/* As vxtool.engine.tables has them, and containers too. */
enum { VX_WAY_UNKNOWN, VX_WAY_IN, VX_WAY_OUT, VX_WAY_OTHER, VX_WAY_BROADCAST, VX_WAY_MULTICAST };

enum { VX_MACS = 12 };

typedef struct {
    int64_t index; /* of the interface; -1: the link header tells none */
    bool is_any;   /* it cannot be told which interface */
    uint8_t direction;
    const uint8_t *macs; /* where only they may tell the direction; else NULL */
} vx_spot;

vx_spot vx_spot_of(const vx_record *record, uint32_t link_type);

#endif
