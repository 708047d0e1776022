/* One line of a list of packets: what is known of a record, and how it is written. */
#ifndef VXTOOL_LINE_H
#define VXTOOL_LINE_H

#include "info.h"
#include "list.h"

typedef struct {
    const vx_seen *seen;
    const vx_stream_note *note; /* NULL: no TCP, or its stream is not followed */
    uint64_t number;
    uint32_t input;
    int64_t time_ns;   /* since 1970 */
    int64_t shown_ns;  /* since the first record, or the last line, as the options have it */
    int64_t latency;   /* -1: not known */
    uint64_t datagram; /* number of its first record; 0: none */
    uint8_t outcome;
    vx_string interfaces; /* by which it went; "eth1→eth2", or of one record "eth1 in" */
    vx_string ingress;
    vx_string egress;
    const vx_party *source;
    const vx_party *destination;
    vx_string identity; /* the name of the source's */
    vx_string protocol;
    vx_string message; /* of an application; NULL: what is below tells more */
    uint64_t request;  /* the record of the ping that it answers; 0: none */
    bool is_part;      /* of an application's message that a later segment completes */
} vx_line;

/* `is_first`: no record was written before. */
void vx_line_write(vx_text *text, const vx_list_options *options, const vx_line *line, bool is_first);

/* How long, in two or three figures: "16 µs", "1.2 ms". As vxtool/report/units.py has it. */
void vx_duration_write(vx_text *text, uint64_t nanoseconds);

/* The terminal columns that UTF-8 takes. */
size_t vx_columns_of(const char *at, size_t size);

#endif
