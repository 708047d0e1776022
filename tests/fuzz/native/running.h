/* Running the engine over a case, in the several ways that have to come to the same. */
#ifndef VXTOOL_RUNNING_H
#define VXTOOL_RUNNING_H

#include "cases.h"
#include "engine.h"

vx_engine_options options_of(const test_case *from, bool part);

/* How bytes come in. */
typedef enum { WHOLE_FILES, IN_CUTS, IN_HALVES } manner;

/* Feed the files until nothing is wanted, each input's end included. Bytes behind damage are left. */
void feed_files(vx_engine *engine, const uint8_t *const *files, const size_t *sizes, uint32_t count,
                manner how, uint64_t state);

/* An engine that has taken the case and is finished. */
vx_engine *run_case(const test_case *from, const dealt *files, manner how);

#endif
