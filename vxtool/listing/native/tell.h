/* What seen.c and info.c share: frames of neither IP nor TCP, UDP and ICMP. */
#ifndef VXTOOL_TELL_H
#define VXTOOL_TELL_H

#include "seen.h"
#include "text.h"

/* The name of an IP protocol (IANA's numbers, Wireshark's words). */
const char *vx_ip_protocol_name(uint8_t protocol);

/* Set `protocol` by what `told` is, as far as it is more than IP: told of is what follows an IP header. */
void vx_ip_protocol_of(vx_seen *seen);
/* Of ARP by its operation, where that was captured. */
void vx_arp_protocol_of(vx_seen *seen);
/* Of a frame, by the ethertype or length in its last link layer. */
void vx_link_protocol_of(vx_seen *seen, const struct vx_layer *last, uint16_t ethertype);

/* Write the info of these. */
void vx_ip_protocol_write(vx_text *text, const vx_seen *seen);
void vx_arp_write(vx_text *text, const vx_seen *seen);
void vx_link_write(vx_text *text, const vx_seen *seen);
void vx_cut_link_write(vx_text *text, const vx_seen *seen);

/* Say why no more is told: the record was cut, or lengths leave too little. */
void vx_shortage_write(vx_text *text, const vx_seen *seen);

#endif
