/* A stock of memory for pools that grow: blocks that a thread which has nothing else to do gets from the
 * kernel ahead of the one that counts.
 *
 * At a million flows the kernel clears 300 MB, a fifth of the time; in a virtual machine whose host takes
 * back what lies free, it takes ten times as long. The stock holds no more blocks than were asked for so far,
 * so that few flows do not pay for it. */
#ifndef VXTOOL_STOCK_H
#define VXTOOL_STOCK_H

#include <stdbool.h>
#include <stddef.h>

#define VX_STOCK_BLOCK ((size_t)1 << 22) /* bytes */

typedef struct vx_stock vx_stock;

/* NULL where there is no memory. */
vx_stock *vx_stock_new(void);
/* NULL is allowed. No thread uses it any more. */
void vx_stock_free(vx_stock *stock);

/* A block of that size, freed with free(); NULL: none is ready. */
void *vx_stock_take(vx_stock *stock);
/* Fill it, for so long: one thread at a time. Whether more may be needed. */
bool vx_stock_fill(vx_stock *stock, unsigned milliseconds);
/* Nothing more is needed: any thread may say so. */
void vx_stock_close(vx_stock *stock);

#endif
