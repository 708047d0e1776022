#include "filter.h"

#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, HEADER_SIZE = 8, TCP = 6, UDP = 17, ICMP = 1, ICMPV6 = 58 };

typedef struct {
    uint8_t field;
    uint8_t quantifier;
    uint8_t choice;
    uint8_t how;
    uint16_t if_true;
    uint16_t if_false;
    uint64_t mask;
    /* By the field's kind. */
    int64_t low;
    int64_t high;
    uint8_t low_octets[16];
    uint8_t high_octets[16];
    const char *text;
    size_t text_size;
} test;

struct vx_filter {
    test *tests;
    char *texts;
    uint16_t count;
};

typedef struct {
    const char *at;
    size_t size;
} piece;

static uint64_t be64(const uint8_t *at) { return (uint64_t)vx_be32(at) << 32 | vx_be32(at + 4); }

/* Whether a program may go on there from test number `from`. */
static bool leads_on(uint16_t next, uint16_t from, uint16_t count) {
    return next == VX_ACCEPT || next == VX_REJECT || (next > from && next < count);
}

/* false: it is malformed. */
static bool read_test(test *test, const uint8_t *at, uint16_t number, uint16_t count, const char *texts,
                      size_t texts_size) {
    test->field = at[0];
    test->quantifier = at[1];
    test->choice = at[2];
    test->how = at[3];
    test->if_true = vx_be16(at + 4);
    test->if_false = vx_be16(at + 6);
    test->mask = be64(at + 8);
    if (test->field >= VX_FIELDS || test->quantifier > VX_NO_VALUE ||
        !leads_on(test->if_true, number, count) || !leads_on(test->if_false, number, count))
        return false;
    if (test->field < VX_FIELD_FIRST_END) {
        test->low = (int64_t)be64(at + 24);
        test->high = (int64_t)be64(at + 40);
        return true;
    }
    if (test->field < VX_FIELD_FIRST_TEXT) {
        memcpy(test->low_octets, at + 16, 16);
        memcpy(test->high_octets, at + 32, 16);
        return test->how == VX_END_IPV4 || test->how == VX_END_IPV6 || test->how == VX_END_MAC;
    }
    uint64_t begin = be64(at + 24);
    uint64_t size = be64(at + 40);
    if (begin > texts_size || size > texts_size - begin || test->choice > VX_NAME_OF_TEXT)
        return false;
    test->text = texts + begin;
    test->text_size = (size_t)size;
    return true;
}

int vx_filter_new(const uint8_t *program, size_t size, vx_filter **filter) {
    *filter = NULL;
    if (size < HEADER_SIZE || vx_be16(program) != VERSION)
        return VX_FILTER_MALFORMED;
    uint16_t count = vx_be16(program + 2);
    size_t texts_size = vx_be32(program + 4);
    size_t tests_size = (size_t)count * VX_TEST_SIZE;
    if (count > VX_MOST_TESTS || size - HEADER_SIZE < tests_size ||
        size - HEADER_SIZE - tests_size != texts_size)
        return VX_FILTER_MALFORMED;
    vx_filter *made = calloc(1, sizeof *made);
    if (made == NULL)
        return VX_FILTER_NO_MEMORY;
    /* One more than needed, so that an empty one is no failure. */
    made->tests = calloc((size_t)count + 1, sizeof *made->tests);
    made->texts = malloc(texts_size + 1);
    made->count = count;
    if (made->tests == NULL || made->texts == NULL) {
        vx_filter_free(made);
        return VX_FILTER_NO_MEMORY;
    }
    memcpy(made->texts, program + HEADER_SIZE + tests_size, texts_size);
    for (uint16_t i = 0; i < count; i++) {
        const uint8_t *at = program + HEADER_SIZE + (size_t)i * VX_TEST_SIZE;
        if (!read_test(&made->tests[i], at, i, count, made->texts, texts_size)) {
            vx_filter_free(made);
            return VX_FILTER_MALFORMED;
        }
    }
    *filter = made;
    return 0;
}

void vx_filter_free(vx_filter *filter) {
    if (filter == NULL)
        return;
    free(filter->tests);
    free(filter->texts);
    free(filter);
}

bool vx_filter_asks(const vx_filter *filter, uint8_t first_field, uint8_t last_field) {
    for (uint16_t i = 0; i < filter->count; i++)
        if (filter->tests[i].field >= first_field && filter->tests[i].field <= last_field)
            return true;
    return false;
}

/* The header of this transport, where it was captured; else NULL. */
static const uint8_t *header_of(const vx_seen *seen, int16_t transport) {
    return seen->transport == transport ? seen->header : NULL;
}

static int64_t protocols_of(const vx_seen *seen) {
    int64_t all = 0;
    if (seen->ip != NULL)
        all |= seen->is_ipv6 ? VX_HAS_IPV6 : VX_HAS_IPV4;
    if (header_of(seen, TCP) != NULL)
        all |= VX_HAS_TCP;
    if (header_of(seen, UDP) != NULL)
        all |= VX_HAS_UDP;
    if (header_of(seen, ICMP) != NULL)
        all |= VX_HAS_ICMP;
    if (header_of(seen, ICMPV6) != NULL)
        all |= VX_HAS_ICMPV6;
    if (header_of(seen, VX_NO_TRANSPORT) != NULL)
        all |= VX_HAS_ARP;
    if (seen->tunnel == VX_VXLAN)
        all |= VX_HAS_VXLAN;
    if (seen->tunnel == VX_GENEVE)
        all |= VX_HAS_GENEVE;
    return all;
}

static unsigned one(int64_t values[2], int64_t value) {
    values[0] = value;
    return 1;
}

static unsigned two(int64_t values[2], int64_t first, int64_t second) {
    values[0] = first;
    values[1] = second;
    return 2;
}

/* Those of one or two numbers that are known: what is not, is negative. */
static unsigned known(int64_t values[2], int64_t first, int64_t second) {
    unsigned count = 0;
    if (first >= 0)
        values[count++] = first;
    if (second >= 0)
        values[count++] = second;
    return count;
}

/* What a TCP segment says, or its stream's note. */
static unsigned tcp_numbers(const test *test, const vx_facts *facts, int64_t values[2]) {
    const vx_stream_note *note = facts->note;
    const uint8_t *header = header_of(facts->seen, TCP);
    if (header == NULL)
        return 0;
    switch (test->field) {
    case VX_FIELD_TCP_PAYLOAD:
        return one(values, facts->seen->payload_length);
    case VX_FIELD_TCP_FLAGS:
        return one(values, vx_be16(header + 12) & 0x0FFF);
    case VX_FIELD_TCP_WINDOW_VALUE:
        return one(values, vx_be16(header + 14));
    case VX_FIELD_TCP_RAW_SEQUENCE:
        return one(values, vx_be32(header + 4));
    case VX_FIELD_TCP_RAW_ACKNOWLEDGEMENT:
        return one(values, vx_be32(header + 8));
    default:
        break;
    }
    if (note == NULL)
        return 0;
    switch (test->field) {
    case VX_FIELD_TCP_STREAM:
        return one(values, note->stream);
    case VX_FIELD_TCP_SEQUENCE:
        return one(values, note->sequence);
    case VX_FIELD_TCP_ACKNOWLEDGEMENT:
        return one(values, note->acknowledgement);
    case VX_FIELD_TCP_WINDOW:
        return one(values, note->window);
    case VX_FIELD_TCP_NOTES:
        return one(values, note->notes);
    default:
        break;
    }
    if ((note->notes & VX_DUPLICATE_ACK) == 0)
        return 0;
    if (test->field == VX_FIELD_TCP_DUPLICATE_NUMBER)
        return one(values, note->duplicate_number);
    return one(values, (int64_t)note->duplicate_of);
}

/* What the innermost IP header says. */
static unsigned ip_numbers(const test *test, const vx_seen *seen, int64_t values[2]) {
    const uint8_t *ip = seen->ip;
    if (ip == NULL || (test->choice != 0 && test->choice != (seen->is_ipv6 ? 6 : 4)))
        return 0;
    switch (test->field) {
    case VX_FIELD_TTL:
        return one(values, seen->ttl);
    case VX_FIELD_TRANSPORT:
        return one(values, seen->transport);
    case VX_FIELD_IP_LENGTH:
        return one(values, vx_be16(ip + (seen->is_ipv6 ? 4 : 2)));
    case VX_FIELD_IP_TRAFFIC:
        return one(values, seen->is_ipv6 ? vx_be16(ip) >> 4 & 0xFF : ip[1]);
    default:
        break;
    }
    if (seen->is_ipv6)
        return 0;
    if (test->field == VX_FIELD_IP_ID)
        return one(values, vx_be16(ip + 4));
    uint16_t fragment = vx_be16(ip + 6);
    return one(values, (int64_t)(fragment >> 13) << 16 | (fragment & 0x1FFF) << 3);
}

static unsigned port_numbers(const test *test, const vx_seen *seen, int64_t values[2]) {
    bool outer = test->field >= VX_FIELD_OUTER_PORT;
    if (outer ? seen->outer_source.kind == VX_END_NONE
              : !seen->has_ports || (test->choice != 0 && test->choice != seen->transport))
        return 0;
    uint16_t source = outer ? seen->outer_source_port : seen->source_port;
    uint16_t destination = outer ? seen->outer_destination_port : seen->destination_port;
    switch (test->field) {
    case VX_FIELD_SOURCE_PORT:
    case VX_FIELD_OUTER_SOURCE_PORT:
        return one(values, source);
    case VX_FIELD_DESTINATION_PORT:
    case VX_FIELD_OUTER_DESTINATION_PORT:
        return one(values, destination);
    default:
        return two(values, source, destination);
    }
}

/* The values of a field that is a number: how many. */
static unsigned numbers(const test *test, const vx_facts *facts, int64_t values[2]) {
    const vx_seen *seen = facts->seen;
    const uint8_t *header;
    switch (test->field) {
    case VX_FIELD_RECORD:
        return one(values, (int64_t)facts->record);
    case VX_FIELD_INPUT:
        return one(values, facts->input);
    case VX_FIELD_TIME:
        return one(values, facts->time_ns);
    case VX_FIELD_RELATIVE:
        return one(values, facts->relative_ns);
    case VX_FIELD_LATENCY:
        return known(values, facts->latency_ns, -1);
    case VX_FIELD_OUTCOME:
        return known(values, facts->outcome == VX_NO_OUTCOME ? -1 : facts->outcome, -1);
    case VX_FIELD_LENGTH:
        return one(values, seen->length);
    case VX_FIELD_CAPTURED:
        return one(values, seen->captured);
    case VX_FIELD_PROTOCOLS:
        return one(values, protocols_of(seen));
    case VX_FIELD_VNI:
        return known(values, seen->vni, -1);
    case VX_FIELD_VXLAN_VNI:
        return known(values, seen->tunnel == VX_VXLAN ? seen->vni : -1, -1);
    case VX_FIELD_GENEVE_VNI:
        return known(values, seen->tunnel == VX_GENEVE ? seen->vni : -1, -1);
    case VX_FIELD_IDENTITY:
        return known(values, facts->source_identity, facts->destination_identity);
    case VX_FIELD_SOURCE_IDENTITY:
        return known(values, facts->source_identity, -1);
    case VX_FIELD_DESTINATION_IDENTITY:
        return known(values, facts->destination_identity, -1);
    case VX_FIELD_PORT:
    case VX_FIELD_SOURCE_PORT:
    case VX_FIELD_DESTINATION_PORT:
    case VX_FIELD_OUTER_PORT:
    case VX_FIELD_OUTER_SOURCE_PORT:
    case VX_FIELD_OUTER_DESTINATION_PORT:
        return port_numbers(test, seen, values);
    case VX_FIELD_TTL:
    case VX_FIELD_TRANSPORT:
    case VX_FIELD_IP_LENGTH:
    case VX_FIELD_IP_ID:
    case VX_FIELD_IP_FRAGMENT:
    case VX_FIELD_IP_TRAFFIC:
        return ip_numbers(test, seen, values);
    case VX_FIELD_UDP_LENGTH:
        header = header_of(seen, UDP);
        return header == NULL ? 0 : one(values, vx_be16(header + 4));
    case VX_FIELD_ICMP_TYPE:
    case VX_FIELD_ICMP_CODE:
        header = test->choice == ICMP || test->choice == ICMPV6 ? header_of(seen, test->choice) : NULL;
        return header == NULL ? 0 : one(values, header[test->field == VX_FIELD_ICMP_CODE]);
    case VX_FIELD_ARP_OPERATION:
        header = header_of(seen, VX_NO_TRANSPORT);
        return header == NULL ? 0 : one(values, vx_be16(header + 6));
    default:
        return tcp_numbers(test, facts, values);
    }
}

static bool number_is_in(const test *test, int64_t value) {
    value = (int64_t)((uint64_t)value & test->mask);
    return value >= test->low && value <= test->high;
}

static unsigned ends(const test *test, const vx_seen *seen, vx_end values[2]) {
    vx_end both[2] = {seen->source, seen->destination};
    unsigned first = 0, last = 1, count = 0;
    if (test->field >= VX_FIELD_OUTER_ENDS) {
        both[0] = seen->outer_source;
        both[1] = seen->outer_destination;
    }
    if (test->field == VX_FIELD_SOURCE || test->field == VX_FIELD_OUTER_SOURCE)
        last = 0;
    if (test->field == VX_FIELD_DESTINATION || test->field == VX_FIELD_OUTER_DESTINATION)
        first = 1;
    for (unsigned i = first; i <= last; i++)
        if (both[i].kind != VX_END_NONE && (test->choice >> both[i].kind & 1) != 0)
            values[count++] = both[i];
    return count;
}

static bool end_is_in(const test *test, vx_end end) {
    size_t size = end.kind == VX_END_IPV4 ? 4 : end.kind == VX_END_IPV6 ? 16 : 6;
    return end.kind == test->how && memcmp(end.octets, test->low_octets + 16 - size, size) >= 0 &&
           memcmp(end.octets, test->high_octets + 16 - size, size) <= 0;
}

/* The part of a text that a test looks at; without bytes where it has none. */
static bool part_of(piece *part, const test *test, const char *text) {
    if (text == NULL)
        return false;
    part->at = text;
    part->size = strlen(text);
    if (test->choice == VX_WHOLE_TEXT)
        return true;
    const char *slash = memchr(text, '/', part->size);
    if (slash == NULL)
        return test->choice == VX_NAME_OF_TEXT;
    size_t before = (size_t)(slash - text);
    if (test->choice == VX_NAMESPACE_OF_TEXT) {
        part->size = before;
    } else {
        part->at = slash + 1;
        part->size -= before + 1;
    }
    return true;
}

static unsigned texts(const test *test, const vx_facts *facts, piece values[2]) {
    const char *first = NULL, *second = NULL;
    switch (test->field) {
    case VX_FIELD_PROTOCOL:
        first = facts->protocol;
        break;
    case VX_FIELD_POD:
        first = facts->source_pod;
        second = facts->destination_pod;
        break;
    case VX_FIELD_SOURCE_POD:
        first = facts->source_pod;
        break;
    case VX_FIELD_DESTINATION_POD:
        first = facts->destination_pod;
        break;
    case VX_FIELD_NODE:
        first = facts->source_node;
        second = facts->destination_node;
        break;
    case VX_FIELD_SOURCE_NODE:
        first = facts->source_node;
        break;
    case VX_FIELD_DESTINATION_NODE:
        first = facts->destination_node;
        break;
    case VX_FIELD_INTERFACE:
        first = facts->ingress;
        second = facts->egress;
        break;
    case VX_FIELD_INGRESS:
        first = facts->ingress;
        break;
    default:
        first = facts->egress;
        break;
    }
    unsigned count = part_of(&values[0], test, first) ? 1 : 0;
    return part_of(&values[count], test, second) ? count + 1 : count;
}

static char folded(char byte, bool any_case) {
    if (any_case && byte >= 'A' && byte <= 'Z')
        byte += 'a' - 'A';
    return byte;
}

/* Whether all of a text is like the test's. After a star that matched too little it goes back to that star
 * alone, the last: earlier ones need never be asked again. */
static bool is_like(const test *test, piece text) {
    bool any_case = (test->how & VX_TEXT_ANY_CASE) != 0;
    size_t at = 0, wanted = 0;
    size_t star = SIZE_MAX, star_at = 0;
    while (at < text.size) {
        if (wanted < test->text_size && test->text[wanted] == '*') {
            star = wanted++;
            star_at = at;
        } else if (wanted < test->text_size &&
                   folded(test->text[wanted], any_case) == folded(text.at[at], any_case)) {
            wanted++;
            at++;
        } else if (star != SIZE_MAX) {
            wanted = star + 1;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (wanted < test->text_size && test->text[wanted] == '*')
        wanted++;
    return wanted == test->text_size;
}

static bool contains(const test *test, piece text) {
    bool any_case = (test->how & VX_TEXT_ANY_CASE) != 0;
    for (size_t begin = 0; begin + test->text_size <= text.size; begin++) {
        size_t same = 0;
        while (same < test->text_size &&
               folded(test->text[same], any_case) == folded(text.at[begin + same], any_case))
            same++;
        if (same == test->text_size)
            return true;
    }
    return false;
}

static bool text_is_in(const test *test, piece text) {
    return (test->how & VX_TEXT_CONTAINS) != 0 ? contains(test, text) : is_like(test, text);
}

static bool test_holds(const test *test, const vx_facts *facts) {
    unsigned count, within = 0;
    if (test->field < VX_FIELD_FIRST_END) {
        int64_t values[2] = {0, 0};
        count = numbers(test, facts, values);
        for (unsigned i = 0; i < count; i++)
            within += number_is_in(test, values[i]);
    } else if (test->field < VX_FIELD_FIRST_TEXT) {
        vx_end values[2];
        count = ends(test, facts->seen, values);
        for (unsigned i = 0; i < count; i++)
            within += end_is_in(test, values[i]);
    } else {
        piece values[2];
        count = texts(test, facts, values);
        for (unsigned i = 0; i < count; i++)
            within += text_is_in(test, values[i]);
    }
    return test->quantifier == VX_ANY_VALUE ? within > 0 : count > 0 && within == 0;
}

bool vx_filter_holds(const vx_filter *filter, const vx_facts *facts) {
    uint16_t at = filter->count > 0 ? 0 : VX_ACCEPT;
    while (at < filter->count)
        at = test_holds(&filter->tests[at], facts) ? filter->tests[at].if_true : filter->tests[at].if_false;
    return at == VX_ACCEPT;
}
