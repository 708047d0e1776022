/* Whether a line is wanted: a display filter, made from text by vxtool/listing/filter_text.py. The twin of
 * vxtool/listing/filter.py.
 *
 * A program is a row of tests. Each looks at one field and says which test is next where it holds, and where
 * not: always a later one, or an end. So every program comes to an end, and needs no stack. As bytes (all
 * big-endian):
 *
 *      2  the version, 1
 *      2  number of tests
 *      4  bytes of text behind the tests
 *     48  for each test:
 *          1  field       one of VX_FIELD_...
 *          1  quantifier  VX_ANY_VALUE or VX_NO_VALUE
 *          1  choice      numbers: the IP protocol or version that must be there (0: any)
 *                         ends: which kinds are values, a sum of 1 << VX_END_...
 *                         text: VX_WHOLE_TEXT or another
 *          1  how         ends: the kind of the range, VX_END_...
 *                         text: a sum of VX_TEXT_...
 *          2  next, where it holds: a test's number, VX_ACCEPT or VX_REJECT
 *          2  next, where not
 *          8  mask        numbers: the bits that count
 *         16  low         numbers: signed, the least in the range
 *                         ends: octets, at the end of the 16; the least in the range
 *                         text: where it begins
 *         16  high        the last in the range; or the text's size
 *      then the bytes of text. */
#ifndef VXTOOL_FILTER_H
#define VXTOOL_FILTER_H

#include "facts.h"

/* What is asked of a record, in the order of vxtool.listing.filter.Field. */
enum {
    /* Numbers. */
    VX_FIELD_RECORD,
    VX_FIELD_INPUT,
    VX_FIELD_TIME,
    VX_FIELD_RELATIVE,
    VX_FIELD_LATENCY,
    VX_FIELD_OUTCOME,
    VX_FIELD_LENGTH,
    VX_FIELD_CAPTURED,
    VX_FIELD_PROTOCOLS, /* a sum of VX_HAS_... */
    VX_FIELD_VNI,
    VX_FIELD_VXLAN_VNI,
    VX_FIELD_GENEVE_VNI,
    VX_FIELD_IDENTITY, /* of both ends */
    VX_FIELD_SOURCE_IDENTITY,
    VX_FIELD_DESTINATION_IDENTITY,
    VX_FIELD_PORT, /* both */
    VX_FIELD_SOURCE_PORT,
    VX_FIELD_DESTINATION_PORT,
    VX_FIELD_OUTER_PORT, /* both */
    VX_FIELD_OUTER_SOURCE_PORT,
    VX_FIELD_OUTER_DESTINATION_PORT,
    VX_FIELD_TTL,
    VX_FIELD_TRANSPORT,
    VX_FIELD_IP_LENGTH, /* IPv4's total length, IPv6's payload length */
    VX_FIELD_IP_ID,
    VX_FIELD_IP_FRAGMENT, /* of IPv4: the three flags, and in the low 16 bits the offset in bytes */
    VX_FIELD_IP_TRAFFIC,  /* the 8 bits of DSCP and ECN */
    VX_FIELD_TCP_PAYLOAD, /* bytes */
    VX_FIELD_TCP_FLAGS,   /* 12 bits */
    VX_FIELD_TCP_WINDOW_VALUE,
    VX_FIELD_TCP_RAW_SEQUENCE,
    VX_FIELD_TCP_RAW_ACKNOWLEDGEMENT,
    VX_FIELD_TCP_STREAM,
    VX_FIELD_TCP_SEQUENCE, /* relative, as the stream's note has it; so the next two */
    VX_FIELD_TCP_ACKNOWLEDGEMENT,
    VX_FIELD_TCP_WINDOW,
    VX_FIELD_TCP_NOTES, /* a sum of VX_RETRANSMISSION and so on */
    VX_FIELD_TCP_DUPLICATE_NUMBER,
    VX_FIELD_TCP_DUPLICATE_OF,
    VX_FIELD_UDP_LENGTH,
    VX_FIELD_ICMP_TYPE, /* of ICMP or ICMPv6, by the choice */
    VX_FIELD_ICMP_CODE,
    VX_FIELD_ARP_OPERATION,
    /* Ends. */
    VX_FIELD_ENDS, /* both */
    VX_FIELD_SOURCE,
    VX_FIELD_DESTINATION,
    VX_FIELD_OUTER_ENDS,
    VX_FIELD_OUTER_SOURCE,
    VX_FIELD_OUTER_DESTINATION,
    /* Text. */
    VX_FIELD_PROTOCOL,
    VX_FIELD_POD, /* of both ends */
    VX_FIELD_SOURCE_POD,
    VX_FIELD_DESTINATION_POD,
    VX_FIELD_NODE,
    VX_FIELD_SOURCE_NODE,
    VX_FIELD_DESTINATION_NODE,
    VX_FIELD_INTERFACE,
    VX_FIELD_INGRESS,
    VX_FIELD_EGRESS,
    VX_FIELDS,
    VX_FIELD_FIRST_END = VX_FIELD_ENDS,
    VX_FIELD_FIRST_TEXT = VX_FIELD_PROTOCOL,
};

/* What VX_FIELD_PROTOCOLS is a sum of. */
enum {
    VX_HAS_IPV4 = 1,
    VX_HAS_IPV6 = 2,
    VX_HAS_TCP = 4,
    VX_HAS_UDP = 8,
    VX_HAS_ICMP = 16,
    VX_HAS_ICMPV6 = 32,
    VX_HAS_ARP = 64,
    VX_HAS_VXLAN = 128,
    VX_HAS_GENEVE = 256,
};

/* That a value of the field is as the test says; or that there are values, and none is. */
enum { VX_ANY_VALUE, VX_NO_VALUE };
/* Of "namespace/name": all of it, what is before the first slash, or behind it. */
enum { VX_WHOLE_TEXT, VX_NAMESPACE_OF_TEXT, VX_NAME_OF_TEXT };
/* Text is to be like the test's, in which * stands for any bytes; or to contain it, where * is a star. */
enum { VX_TEXT_CONTAINS = 1, VX_TEXT_ANY_CASE = 2 };
enum { VX_ACCEPT = 0xFFFF, VX_REJECT = 0xFFFE, VX_MOST_TESTS = 4096, VX_TEST_SIZE = 48 };

enum { VX_FILTER_NO_MEMORY = -1, VX_FILTER_MALFORMED = -2 };

typedef struct vx_filter vx_filter;

/* Check a program and keep a copy. 0, or one of VX_FILTER_..., then `*filter` is NULL. */
int vx_filter_new(const uint8_t *program, size_t size, vx_filter **filter);
/* NULL is allowed. */
void vx_filter_free(vx_filter *filter);
/* Whether the line is wanted. Nothing is allocated. */
bool vx_filter_holds(const vx_filter *filter, const vx_facts *facts);
/* Whether the program asks for one of these fields at all: a lister need not find out what nobody asks. */
bool vx_filter_asks(const vx_filter *filter, uint8_t first_field, uint8_t last_field);

#endif
