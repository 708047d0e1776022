/* Which fragments follow which: for each record that holds a fragment of the outermost IP packet behind the
 * first, the record that holds the first one, at the same stage and in any order. The twin of
 * vxtool/listing/tails.py.
 *
 * Of a first fragment it is remembered for a window of capture time, and of those that came before their
 * first likewise; at most so many packets at once, of which the oldest gives way. */
#ifndef VXTOOL_TAILS_H
#define VXTOOL_TAILS_H

#include "codec.h"
#include "intake.h"

enum {
    VX_MOST_PIECES = 65536, /* packets of which more fragments may come */
    VX_MOST_TAILS = 1 << 26,
};

/* By the record: input << 48 | number. */
typedef struct {
    uint64_t tail;
    uint64_t first;
} vx_tail;

typedef struct vx_tails vx_tails;

/* `window` in ns. NULL: no memory. */
vx_tails *vx_tails_new(uint32_t inputs, int64_t window, uint64_t seed);
/* NULL is allowed. */
void vx_tails_free(vx_tails *tails);

/* Give the next bytes of an input, or that none come. 0, or -1: no memory. */
int vx_tails_feed(vx_tails *tails, uint32_t input, const uint8_t *data, size_t size);
int vx_tails_end(vx_tails *tails, uint32_t input);
/* The input that has to go on; UINT32_MAX: none. */
uint32_t vx_tails_wants(const vx_tails *tails);
/* What was found, in order of `tail`. */
const vx_tail *vx_tails_found(vx_tails *tails, size_t *count);

#endif
