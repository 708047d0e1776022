/* Drives the C of streams for a test in Python: `drive_streams MOST SEED` takes packed segments from the
 * input, or looks at them, and writes what is told of each. Both formats are in
 * tests/summary/test_streams.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "streams.h"

typedef struct {
    int64_t time_ns;
    uint64_t record;
    int32_t network;
    uint32_t sequence;
    uint32_t acknowledgement;
    uint32_t payload_length;
    uint16_t source_port;
    uint16_t destination_port;
    uint16_t window;
    uint8_t flags;
    uint8_t is_ipv6;
    uint8_t is_look;
    uint8_t options_size;
    uint8_t source[16];
    uint8_t destination[16];
    uint8_t options[40];
} packed_segment;

typedef struct {
    uint64_t duplicate_of;
    uint64_t forgotten;
    uint32_t stream;
    uint32_t notes;
    uint32_t sequence;
    uint32_t acknowledgement;
    uint32_t window;
    uint32_t duplicate_number;
    uint32_t kind; /* what was left in the progress by the segment of this direction before */
    int32_t answer;
} packed_note;

int main(int count, char **arguments) {
    if (count != 3)
        return 2;
    vx_streams *streams =
        vx_streams_new((uint32_t)strtoul(arguments[1], NULL, 10), strtoull(arguments[2], NULL, 10));
    packed_segment from;
    uint32_t taken = 0;
    while (streams != NULL && fread(&from, sizeof from, 1, stdin) == 1) {
        vx_segment segment = {
            .time_ns = from.time_ns,
            .record = from.record,
            .network = from.network,
            .is_ipv6 = from.is_ipv6 != 0,
            .flags = from.flags,
            .source = from.source,
            .destination = from.destination,
            .source_port = from.source_port,
            .destination_port = from.destination_port,
            .window = from.window,
            .sequence = from.sequence,
            .acknowledgement = from.acknowledgement,
            .payload_length = from.payload_length,
            .options = from.options,
            .options_size = from.options_size,
        };
        vx_stream_note note = {0};
        int answer = from.is_look != 0 ? vx_streams_look(streams, &segment, &note)
                                       : vx_streams_take(streams, &segment, &note);
        packed_note to = {
            .duplicate_of = note.duplicate_of,
            .forgotten = vx_streams_forgotten(streams),
            .stream = note.stream,
            .notes = note.notes,
            .sequence = note.sequence,
            .acknowledgement = note.acknowledgement,
            .window = note.window,
            .duplicate_number = note.duplicate_number,
            .answer = answer,
        };
        if (note.progress != NULL) {
            to.kind = note.progress->kind;
            if (from.is_look == 0)
                note.progress->kind = ++taken;
        }
        fwrite(&to, sizeof to, 1, stdout);
    }
    vx_streams_free(streams);
    return 0;
}
