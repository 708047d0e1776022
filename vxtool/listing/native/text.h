/* Text that grows. What finds no memory is noted in `failed`, and nothing is added from then on: whoever
 * writes much asks once at the end. */
#ifndef VXTOOL_TEXT_H
#define VXTOOL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *at; /* no NUL at the end */
    size_t size;
    size_t room;
    bool failed;
} vx_text;

/* Make room for so many bytes more. false: no memory. */
static inline bool vx_text_room(vx_text *text, size_t more) {
    if (text->room - text->size >= more)
        return !text->failed;
    size_t room = text->room > 0 ? text->room : 256;
    while (room - text->size < more)
        room *= 2;
    char *grown = text->failed ? NULL : realloc(text->at, room);
    if (grown == NULL) {
        text->failed = true;
        return false;
    }
    text->at = grown;
    text->room = room;
    return true;
}

static inline void vx_text_bytes(vx_text *text, const char *bytes, size_t size) {
    if (size > 0 && vx_text_room(text, size)) {
        memcpy(text->at + text->size, bytes, size);
        text->size += size;
    }
}

static inline void vx_text_string(vx_text *text, const char *string) {
    vx_text_bytes(text, string, strlen(string));
}

static inline void vx_text_byte(vx_text *text, char byte) { vx_text_bytes(text, &byte, 1); }

/* A number in decimal. */
static inline void vx_text_number(vx_text *text, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    vx_text_bytes(text, digits + at, sizeof digits - at);
}

static inline void vx_text_free(vx_text *text) { free(text->at); }

#endif
