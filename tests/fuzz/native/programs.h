/* Filters by chance: programs as filter.h has them, and what every text of a packet list has to be. */
#ifndef VXTOOL_PROGRAMS_H
#define VXTOOL_PROGRAMS_H

#include "cases.h"

enum { MOST_PROGRAM = 1024 };

/* A program that vx_filter_new must take, into MOST_PROGRAM bytes: its size. */
size_t make_program(uint8_t *program, uint64_t *state);

/* See that it is UTF-8, and holds no control character but those in `allowed`; DEL and C1 are none
 * of them here. */
void check_characters(const char *at, size_t size, const char *allowed);

/* See that there is nothing in it that a terminal would obey, but for the bytes in `allowed`, and that it is
 * UTF-8. */
void check_printable(const char *at, size_t size, const char *allowed);

#endif
