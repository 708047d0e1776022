/* A relay: batches of records on their way from the half of the engine that reads them to the half that
 * counts them, in another thread. Batches go round: one fills them, the other empties them and gives them
 * back. One thread fills, one thread empties; each function says whose it is.
 *
 * Who waits is woken when it is worth its while: the one that fills when half of the batches are empty, the
 * other when half are full or the filling one says that no more come soon. So two threads that are about
 * equally fast rarely sleep. */
#ifndef VXTOOL_RELAY_H
#define VXTOOL_RELAY_H

#include "journey.h"
#include "scene.h"

enum { VX_BATCH_RECORDS = 256 };

/* A record as it goes from reading to counting: a cache line for its sighting, whose place and underlay have
 * the scene's numbers. */
typedef struct {
    vx_sighting sighting;
    vx_tagged_key key;
    uint8_t kind;     /* of its frame; where it is neither DATAGRAM nor TAIL, only the time is set */
    bool is_fragment; /* the batch has its piece */
    bool is_tagged;   /* the key has its tags; else those are made when it is taken */
} vx_read_record;

typedef struct {
    size_t count;
    vx_news_list news; /* of all that these records refer to, and no batch before did */
    vx_read_record records[VX_BATCH_RECORDS];
    vx_piece pieces[VX_BATCH_RECORDS]; /* of those records that are fragments */
} vx_batch;

/* NULL where there is no memory. */
vx_batch *vx_batch_new(void);
/* NULL is allowed. */
void vx_batch_free(vx_batch *batch);
/* Without records and news. */
void vx_batch_clear(vx_batch *batch);

typedef struct vx_relay vx_relay;

/* NULL where there is no memory. */
vx_relay *vx_relay_new(void);
/* NULL is allowed. No thread uses it any more. */
void vx_relay_free(vx_relay *relay);

/* The filling thread's. The next empty batch, waited for; NULL: nobody will take it. */
vx_batch *vx_relay_empty(vx_relay *relay);
/* That batch is full. */
void vx_relay_pass(vx_relay *relay);
/* No more comes soon: what was passed is to be taken now. */
void vx_relay_flush(vx_relay *relay);
/* No more will come. */
void vx_relay_end(vx_relay *relay);

/* The emptying thread's. The next full batch, waited for so many milliseconds; NULL: there is none yet, or no
 * more will come or be taken, which *ended tells. */
vx_batch *vx_relay_full(vx_relay *relay, unsigned milliseconds, bool *ended);
/* That batch is empty. */
void vx_relay_return(vx_relay *relay);
/* No more will be taken: any thread may say so. */
void vx_relay_stop(vx_relay *relay);

#endif
