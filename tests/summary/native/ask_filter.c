/* Asks filters about lines, for the test that holds filter.c against its twin:
 * tests/summary/test_filter_twins.py builds it and tells it, on standard input and big-endian, a program (its
 * size and bytes) and lines (how many, then each as `read_line` has it), again and again. For each program it
 * prints a line of 0 and 1. */
#include "filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t number(size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        int byte = getchar();
        if (byte == EOF)
            exit(1);
        value = value << 8 | (uint64_t)byte;
    }
    return value;
}

/* A block of its own with that many bytes and a NUL behind them. */
static uint8_t *bytes(size_t size) {
    uint8_t *block = calloc(size + 1, 1);
    if (block == NULL || fread(block, 1, size, stdin) != size)
        exit(1);
    return block;
}

/* NULL where there are none. */
static uint8_t *optional_bytes(void) {
    size_t size = (size_t)number(2);
    return size == 0xFFFF ? NULL : bytes(size);
}

static vx_end end(void) {
    static const size_t sizes[] = {
        [VX_END_NONE] = 0, [VX_END_IPV4] = 4, [VX_END_IPV6] = 16, [VX_END_MAC] = 6};
    vx_end end = {.kind = (uint8_t)number(1)};
    end.octets = bytes(sizes[end.kind]);
    return end;
}

static void free_end(vx_end end) { free((void *)end.octets); }

static void read_line(vx_seen *seen, vx_stream_note *note, vx_facts *facts) {
    static const enum vx_kind tunnels[] = {VX_NONE, VX_VXLAN, VX_GENEVE};
    seen->captured = (uint32_t)number(4);
    seen->length = (uint32_t)number(4);
    seen->source = end();
    seen->destination = end();
    seen->tunnel = tunnels[number(1)];
    seen->vni = (int32_t)number(4);
    seen->outer_source = end();
    seen->outer_destination = end();
    seen->outer_source_port = (uint16_t)number(2);
    seen->outer_destination_port = (uint16_t)number(2);
    seen->ip = optional_bytes();
    seen->is_ipv6 = number(1) != 0;
    seen->ttl = (uint8_t)number(1);
    seen->transport = (int16_t)number(2);
    seen->has_ports = number(1) != 0;
    seen->source_port = (uint16_t)number(2);
    seen->destination_port = (uint16_t)number(2);
    seen->header = optional_bytes();
    seen->payload_length = (uint32_t)number(4);
    facts->seen = seen;
    facts->note = number(1) != 0 ? note : NULL;
    note->stream = (uint32_t)number(4);
    note->notes = (uint32_t)number(4);
    note->sequence = (uint32_t)number(4);
    note->acknowledgement = (uint32_t)number(4);
    note->window = (uint32_t)number(4);
    note->duplicate_number = (uint32_t)number(4);
    note->duplicate_of = number(8);
    facts->record = number(8);
    facts->input = (uint32_t)number(4);
    facts->time_ns = (int64_t)number(8);
    facts->relative_ns = (int64_t)number(8);
    facts->latency_ns = (int64_t)number(8);
    facts->source_identity = (int64_t)number(8);
    facts->destination_identity = (int64_t)number(8);
    facts->outcome = (uint8_t)number(1);
    facts->protocol = (const char *)optional_bytes();
    facts->source_pod = (const char *)optional_bytes();
    facts->destination_pod = (const char *)optional_bytes();
    facts->source_node = (const char *)optional_bytes();
    facts->destination_node = (const char *)optional_bytes();
    facts->ingress = (const char *)optional_bytes();
    facts->egress = (const char *)optional_bytes();
}

static void free_line(const vx_seen *seen, const vx_facts *facts) {
    free_end(seen->source);
    free_end(seen->destination);
    free_end(seen->outer_source);
    free_end(seen->outer_destination);
    free((void *)seen->ip);
    free((void *)seen->header);
    free((void *)facts->protocol);
    free((void *)facts->source_pod);
    free((void *)facts->destination_pod);
    free((void *)facts->source_node);
    free((void *)facts->destination_node);
    free((void *)facts->ingress);
    free((void *)facts->egress);
}

int main(void) {
    for (;;) {
        int more = getchar();
        if (more == EOF)
            return 0;
        ungetc(more, stdin);
        size_t size = (size_t)number(4);
        uint8_t *program = bytes(size);
        vx_filter *filter;
        if (vx_filter_new(program, size, &filter) != 0)
            return 2;
        free(program);
        for (uint64_t lines = number(4); lines > 0; lines--) {
            vx_seen seen = {.data = NULL};
            vx_stream_note note = {.progress = NULL};
            vx_facts facts = {.seen = NULL};
            read_line(&seen, &note, &facts);
            putchar(vx_filter_holds(filter, &facts) ? '1' : '0');
            free_line(&seen, &facts);
        }
        putchar('\n');
        vx_filter_free(filter);
    }
}
