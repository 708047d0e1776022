/* TCP as it went: what each segment is, given those before it on its stream. The twin of
 * vxtool/listing/streams.py, which says how each is told.
 *
 * Segments are taken in order of time, each datagram once, however often it was captured: so what a router
 * passed on is no retransmission. A stream is a connection: both directions between two addresses and ports
 * in one network, until a new SYN opens the next. The streams that are followed are bounded; the one that was
 * quiet longest gives way, which is counted. */
#ifndef VXTOOL_STREAMS_H
#define VXTOOL_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a segment is, beside what it says. */
enum {
    VX_RETRANSMISSION = 1,
    VX_FAST_RETRANSMISSION = 2,
    VX_SPURIOUS_RETRANSMISSION = 4,
    VX_OUT_OF_ORDER = 8,
    VX_LOST_SEGMENT = 16, /* the one before it was not captured */
    VX_ACKED_LOST_SEGMENT = 32,
    VX_DUPLICATE_ACK = 64,
    VX_ZERO_WINDOW = 128,
    VX_ZERO_WINDOW_PROBE = 256,
    VX_ZERO_WINDOW_PROBE_ACK = 512,
    VX_WINDOW_UPDATE = 1024,
    VX_WINDOW_FULL = 2048,
    VX_KEEP_ALIVE = 4096,
    VX_KEEP_ALIVE_ACK = 8192,
    VX_PORTS_REUSED = 16384,
};

/* One segment, as it is taken. */
typedef struct {
    int64_t time_ns;
    uint64_t record; /* number, for "Dup ACK 12#1" */
    int32_t network; /* where addresses are those of a VNI: that; else -1 */
    bool is_ipv6;
    uint8_t flags;         /* the low 8 bits of TCP's */
    const uint8_t *source; /* 4 or 16 bytes */
    const uint8_t *destination;
    uint16_t source_port;
    uint16_t destination_port;
    uint16_t window;
    uint32_t sequence;
    uint32_t acknowledgement;
    uint32_t payload_length;
    const uint8_t *options; /* as far as captured */
    size_t options_size;
} vx_segment;

/* What follows of an application's message of which some was seen: whoever lists packets keeps it here. */
typedef struct {
    uint64_t remaining; /* bytes of it that are still to come; 0: no message is under way */
    uint32_t message;   /* the lister's number for it */
    uint32_t kind;      /* the lister's mark for the direction; 0 at first */
} vx_progress;

/* What is told of it. */
typedef struct {
    uint32_t stream;           /* counted from 0 */
    uint32_t notes;            /* VX_RETRANSMISSION and so on */
    uint32_t sequence;         /* relative to the direction's first */
    uint32_t acknowledgement;  /* likewise; as it is in the segment where its flags have no ACK */
    uint32_t window;           /* scaled where both SYNs say how */
    uint32_t duplicate_number; /* of duplicate ACKs: how many so far, and */
    uint64_t duplicate_of;     /* the record of the first with this number */
    vx_progress *progress;     /* of this direction; good until the next segment is taken */
} vx_stream_note;

typedef struct vx_streams vx_streams;

/* `most` streams are followed at once. NULL: no memory. */
vx_streams *vx_streams_new(uint32_t most, uint64_t seed);
/* NULL is allowed. */
void vx_streams_free(vx_streams *streams);
/* 0, or -1: no memory. */
int vx_streams_take(vx_streams *streams, const vx_segment *segment, vx_stream_note *note);
/* What would be said of one that was taken before, without its notes: a further sighting of a datagram. 0, or
 * -1 where its stream is not followed. */
int vx_streams_look(const vx_streams *streams, const vx_segment *segment, vx_stream_note *note);
/* Streams that gave way so far. */
uint64_t vx_streams_forgotten(const vx_streams *streams);

#endif
