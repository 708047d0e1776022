/* The engine: bytes of one or more captures in, tables out. Without I/O, and without Python.
 *
 *     vx_engine *engine = vx_engine_new(&options);
 *     while ((input = vx_engine_wants(engine)) != VX_NONE)
 *         ... vx_engine_feed(engine, input, data, length), or vx_engine_end(engine, input) ...
 *     vx_engine_finish(engine);
 *     const vx_tally *tally = vx_engine_tally(engine);
 *
 * Fed bytes stay the caller's, and may go away after the call. Functions that give an int answer 0, or -1
 * where there was no memory; the engine then takes nothing more, and can only be freed. */
#ifndef VXTOOL_ENGINE_H
#define VXTOOL_ENGINE_H

#include "container.h"
#include "tally.h"

enum { VX_MOST_INPUTS = 1 << 15 };
/* The longest waiting times, so that no sum of them overflows. */
#define VX_LONGEST_WAIT (INT64_MAX / 8)

typedef struct {
    uint32_t inputs; /* at most VX_MOST_INPUTS */
    const uint8_t
        *wears; /* by UDP destination port, 65,536 of them: VX_PLAIN, VX_VXLAN, VX_GENEVE or VX_VXLAN_GPE */
    uint64_t window; /* ns, at most VX_LONGEST_WAIT */
    uint64_t settle;
    uint64_t most_journeys;  /* open, and waiting */
    uint64_t most_fragments; /* groups of them that wait for more, and tails for their first */
    vx_limits most;
    uint64_t seed; /* equal for all that are to be merged */
    bool part;
} vx_engine_options;

/* What is known of an input. */
typedef struct {
    vx_format format;
    uint64_t records; /* of all parts so far */
    uint64_t bytes;
} vx_input_row;

typedef struct vx_engine vx_engine;

/* NULL where there is no memory. */
vx_engine *vx_engine_new(const vx_engine_options *options);
/* NULL is allowed. */
void vx_engine_free(vx_engine *engine);

int vx_engine_feed(vx_engine *engine, uint32_t input, const uint8_t *data, size_t length);
int vx_engine_end(vx_engine *engine, uint32_t input);

/* The same in two halves, for two threads: after vx_engine_split, one reads (vx_engine_wants, _read,
 * _read_end, and at last _read_all), the other takes until there is nothing more to take. All other calls,
 * and the next split, want both halves at rest and everything taken. */
int vx_engine_split(vx_engine *engine);
/* 1, 0: the other half has stopped, -1: no memory. They wait where the other half is far behind. */
int vx_engine_read(vx_engine *engine, uint32_t input, const uint8_t *data, size_t length);
int vx_engine_read_end(vx_engine *engine, uint32_t input);
/* Nothing more will be read, whyever. */
void vx_engine_read_all(vx_engine *engine);
/* Take some of what was read, waiting so long for it where there is nothing. 1: go on, 0: all is taken, or
 * the half has stopped, -1: no memory. */
int vx_engine_take(vx_engine *engine, unsigned milliseconds);
/* Nothing more will be taken: any thread may say so. */
void vx_engine_stop(vx_engine *engine);
/* Make memory ready that the half which takes may need, for so long: by a third thread, which has nothing
 * else to do. false: nothing more is needed. */
bool vx_engine_provide(vx_engine *engine, unsigned milliseconds);

/* The input without whose next bytes nothing goes on; VX_NONE when all have ended or are damaged. */
uint32_t vx_engine_wants(const vx_engine *engine);
/* Records taken so far: any thread may ask. */
uint64_t vx_engine_records(const vx_engine *engine);

/* Take in the part that directly follows, made with `part` and of as many inputs; it is used up but for being
 * freed. */
int vx_engine_merge(vx_engine *engine, vx_engine *other);
/* Close what is open. The engine must not be a part: merge one into an engine that is none. */
int vx_engine_finish(vx_engine *engine);

/* Whether any record was taken: the tally's times are set. */
bool vx_engine_has_records(const vx_engine *engine);
const vx_tally *vx_engine_tally(const vx_engine *engine);
vx_input_row vx_engine_input(const vx_engine *engine, uint32_t input);
/* The container of an input, for what it says of interfaces, names and damage. */
const vx_container *vx_engine_container(const vx_engine *engine, uint32_t input);

#endif
