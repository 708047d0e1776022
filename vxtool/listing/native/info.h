/* The columns of one record below the applications: the twin of vxtool/listing/info.py. */
#ifndef VXTOOL_INFO_H
#define VXTOOL_INFO_H

#include "seen.h"
#include "streams.h"
#include "text.h"

/* Decode a record and say who sent what to whom. Of one whose link header is cut off, or of an unknown link
 * type, only what there is. `ports` as for vx_decode. */
void vx_seen_read(vx_seen *seen, const uint8_t *data, uint32_t captured, uint32_t length, uint32_t link_type,
                  const struct vx_port *ports, size_t port_count);

/* Fill what vx_streams_take wants of a TCP segment, but for time, record and network. false: it is none, or
 * its header was not captured, or it is quoted in an ICMP error, or a fragment. */
bool vx_segment_of(const vx_seen *seen, vx_segment *segment);

/* Write a stream's notes as Wireshark does, "[TCP Dup ACK 12#1] ": nothing where there are none. */
void vx_notes_write(vx_text *text, const vx_stream_note *note);

/* Write the info column, as Wireshark writes it, without the stream's notes; `note` is the stream's, NULL
 * where it is no TCP or is not known: then numbers are as they are in the segment. */
void vx_info_write(vx_text *text, const vx_seen *seen, const vx_stream_note *note);

/* Write an address or MAC as columns show it: nothing for VX_END_NONE. */
void vx_end_write(vx_text *text, vx_end end);

#endif
