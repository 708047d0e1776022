/* Which ping a reply answers: the twin of vxtool/listing/echoes.py. */
#ifndef VXTOOL_ECHOES_H
#define VXTOOL_ECHOES_H

#include "info.h"

typedef struct vx_echoes vx_echoes;

/* `most` requests wait at once, at least 16; the first of them gives way. NULL: no memory. */
vx_echoes *vx_echoes_new(uint32_t most, uint64_t seed);
/* NULL is allowed. */
void vx_echoes_free(vx_echoes *echoes);
/* Take a datagram, in order of time. The record of the request that it answers, which waits no more; 0: none,
 * or it is no reply. Of a request that is sent again, the last is the one. */
uint64_t vx_echoes_take(vx_echoes *echoes, const vx_seen *seen, uint64_t record);
/* Write " (request in 12)"; nothing for 0. It stands behind the info. */
void vx_echo_write(vx_text *text, uint64_t request);

#endif
