/* What has to hold for every input. Where it does not, the program ends, and the fuzzer keeps the input. */
#ifndef VXTOOL_MUST_H
#define VXTOOL_MUST_H

#include <stdio.h>
#include <stdlib.h>

#define MUST(expression) ((expression) ? (void)0 : must_fail(__FILE__, __LINE__, #expression))

static inline _Noreturn void must_fail(const char *file, int line, const char *expression) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, expression);
    abort();
}

#endif
