/* Print the columns of a capture's records, for a test that compares them with the plain twin's, or with
 * another tool's: number, source, destination, protocol, length and info, between tabs. */
#include <stdio.h>
#include <stdlib.h>

#include "container.h"
#include "echoes.h"
#include "fragments.h"

static uint8_t *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    size_t room = 0;
    *size = 0;
    if (file == NULL)
        return NULL;
    for (size_t taken = 1; taken > 0; *size += taken) {
        if (room - *size < 1 << 16) {
            room = room * 2 + (1 << 17);
            uint8_t *grown = realloc(bytes, room);
            if (grown == NULL)
                abort();
            bytes = grown;
        }
        taken = fread(bytes + *size, 1, room - *size, file);
    }
    fclose(file);
    return bytes;
}

int main(int count, char **words) {
    if (count != 2)
        return 2;
    size_t size;
    uint8_t *bytes = read_all(words[1], &size);
    vx_container *container = vx_container_new();
    vx_fragments *fragments = vx_fragments_new(1024, 1);
    vx_echoes *echoes = vx_echoes_new(1024, 1);
    vx_seen *seen = malloc(sizeof *seen);
    if (bytes == NULL || container == NULL || fragments == NULL || echoes == NULL || seen == NULL)
        return 1;
    vx_container_offer(container, bytes, size);
    vx_record record;
    vx_text text = {0};
    for (uint64_t number = 1; vx_container_next(container, &record) == 1; number++) {
        /* In memory of its own size, so that a sanitizer sees a step too far. */
        uint8_t *alone = malloc(record.captured > 0 ? record.captured : 1);
        if (alone == NULL)
            return 1;
        memcpy(alone, record.data, record.captured);
        const vx_interface *interface = vx_container_interface(container, record.interface);
        vx_seen_read(seen, alone, record.captured, record.length, interface->link_type, NULL, 0);
        vx_fragments_take(fragments, seen, 0, NULL, 0);
        vx_text_number(&text, number);
        vx_text_byte(&text, '\t');
        vx_end_write(&text, seen->source);
        vx_text_byte(&text, '\t');
        vx_end_write(&text, seen->destination);
        vx_text_byte(&text, '\t');
        vx_text_string(&text, seen->protocol);
        vx_text_byte(&text, '\t');
        vx_text_number(&text, seen->length);
        vx_text_byte(&text, '\t');
        vx_info_write(&text, seen, NULL);
        vx_echo_write(&text, vx_echoes_take(echoes, seen, number));
        vx_text_byte(&text, '\n');
        free(alone);
    }
    fwrite(text.at, 1, text.size, stdout);
    int failed = text.failed;
    vx_text_free(&text);
    free(seen);
    vx_echoes_free(echoes);
    vx_fragments_free(fragments);
    vx_container_free(container);
    free(bytes);
    return failed;
}
