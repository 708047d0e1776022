/* A list of packets, as text: records in, finished lines out. The twin of vxtool/listing/pure.py.
 *
 * An engine has seen the records before: which is the first of which datagram, and which a further sighting,
 * is given in arrays. Here each record is read once more, in the order in which the engine took them, and
 * those that are wanted get a line. What needs Python (names, and the messages of applications) is asked for
 * by pointers to functions.
 *
 *     vx_lister_feed(lister, input, data, size);     ... vx_lister_end(lister, input);
 *     vx_text *text = vx_lister_text(lister);        taken by the caller, who sets its size to 0
 */
#ifndef VXTOOL_LIST_H
#define VXTOOL_LIST_H

#include "codec.h"
#include "text.h"

/* What a line may show, in the order of vxtool.listing.fields.FIELDS. */
enum {
    VX_SHOW_NUMBER,
    VX_SHOW_INPUT,
    VX_SHOW_TIME,
    VX_SHOW_INTERFACES,
    VX_SHOW_INGRESS,
    VX_SHOW_EGRESS,
    VX_SHOW_LATENCY,
    VX_SHOW_OUTCOME,
    VX_SHOW_DATAGRAM,
    VX_SHOW_SOURCE,
    VX_SHOW_DESTINATION,
    VX_SHOW_SOURCE_NAME,
    VX_SHOW_DESTINATION_NAME,
    VX_SHOW_SOURCE_PORT,
    VX_SHOW_DESTINATION_PORT,
    VX_SHOW_VNI,
    VX_SHOW_IDENTITY,
    VX_SHOW_OUTER_SOURCE,
    VX_SHOW_OUTER_DESTINATION,
    VX_SHOW_PROTOCOL,
    VX_SHOW_LENGTH,
    VX_SHOW_STREAM,
    VX_SHOW_NOTES,
    VX_SHOW_INFO,
    VX_SHOWN_FIELDS,
};

enum { VX_AS_TEXT, VX_AS_TSV, VX_AS_JSON };
enum { VX_TIME_RELATIVE, VX_TIME_ABSOLUTE, VX_TIME_DELTA };

/* Bytes that live as long as is said where they are given; `at` NULL: not known. */
typedef struct {
    const char *at;
    uint32_t size;
} vx_string;

/* A column of the text, or a value of the other formats. */
typedef struct {
    uint8_t field;
    bool to_the_right; /* how it stands in its width */
    bool starts_line;  /* a further line of the same record begins with it */
    uint16_t width;    /* terminal columns; 0: as wide as it is */
} vx_column;

/* By which interfaces datagrams went. */
typedef struct {
    vx_string ingress;
    vx_string egress;
    vx_string both; /* as shown: "eth1→eth2" */
} vx_way;

/* Who has an address, or what a VNI is called. */
typedef struct {
    vx_string name;   /* as columns show it */
    vx_string pod;    /* as filters ask for it: "namespace/name", likewise */
    vx_string node;   /* that it is on, or that it is of */
    int64_t identity; /* -1: not known */
} vx_party;

/* A datagram that may tell of applications: see vxtool/listing/applications.py. */
typedef struct {
    uint8_t transport;
    uint16_t source_port;
    uint16_t destination_port;
    const uint8_t *payload;
    uint32_t captured;
    uint32_t length;
    uint32_t stream;    /* of TCP, as the rest */
    bool is_forward;    /* which direction of the connection */
    bool is_last;       /* FIN */
    uint64_t remaining; /* what the last answer in this direction said was to come, less what came since */
} vx_message_asked;

/* What its line shows, and how many bytes of the direction are to come before the next question. No protocol:
 * the line is TCP's, a part of a message that is under way. */
typedef struct {
    vx_string protocol;
    vx_string info;
    uint64_t remaining;
} vx_message;

/* Records in order, each with one that belongs to the same datagram: input << 48 | number. */
typedef struct {
    const uint64_t *where;
    const uint64_t *first;
    size_t count;
} vx_pairs;

/* Questions to whoever knows more. Each answers 1, 0 (there is nothing to say; the answer stays all zero) or
 * -1: it failed, and so does the lister. Strings are good until the next question. */
typedef struct {
    void *context;
    int (*party)(void *context, const uint8_t *address, size_t size, vx_party *party);
    int (*identity)(void *context, uint32_t vni, vx_string *name);
    /* The label of an interface: by `index` where that is not -1. */
    int (*interface)(void *context, int64_t index, uint32_t input, uint32_t interface, vx_string *label);
    /* Which way a record of this bundle went, of which only its MACs (12 bytes) may tell. */
    int (*direction)(void *context, uint32_t bundle, uint32_t input, uint32_t interface, const uint8_t *macs,
                     uint8_t *direction);
    int (*message)(void *context, const vx_message_asked *asked, vx_message *message);
} vx_list_questions;

/* What is borrowed stays the caller's, for as long as the lister lives. */
typedef struct {
    uint32_t inputs;
    const vx_string *paths; /* of the inputs, as shown; borrowed */
    const struct vx_port *ports;
    size_t port_count; /* borrowed */

    /* Borrowed. Datagrams by the record whose time is theirs (input << 48 | number), in order; */
    const uint64_t *where;
    const uint32_t *bundle;
    const int64_t *latency;
    const uint32_t *length; /* of the innermost IP packet */
    const int32_t *vni;     /* of its flow; -1: none */
    size_t datagram_count;
    vx_pairs sighted;          /* further sightings of datagrams, and */
    vx_pairs tails;            /* fragments behind the first of a record: see tails.h */
    const uint32_t *way_of;    /* by bundle: its place in `ways`, and */
    const uint8_t *outcome_of; /* VX_FORWARDED and so on, as in facts.h */
    const vx_way *ways;

    const vx_column *columns; /* borrowed */
    size_t column_count;
    uint8_t format;
    uint8_t time;
    uint8_t time_digits; /* behind the point of a second */
    bool all;            /* each record is a line */
    bool color;
    bool ask_names;       /* it is worth to ask for parties, and */
    bool ask_identities;  /* for names of VNIs */
    bool vni_is_network;  /* addresses are those of a VNI, else of the whole cluster */
    bool vni_is_identity; /* of the source */
    uint16_t way_width;   /* of `both`, in the column of interfaces */
    uint16_t tail_width;  /* of the latency behind it */
    uint16_t info_room;   /* terminal columns; 0: no limit */
    uint16_t indent;      /* of further lines of a record */
    uint64_t most;        /* lines; 0: no limit */
    /* How much is followed at once; 0: as much as pure.py does. What is beyond makes the oldest give way. */
    uint32_t most_streams;    /* TCP connections */
    uint32_t most_fragmented; /* datagrams that come in fragments */
    uint32_t most_echoes;     /* pings that wait for a reply */
    const uint8_t *filter;    /* a program; NULL: all; copied */
    size_t filter_size;
    uint64_t seed;
    vx_list_questions ask;
} vx_list_options;

typedef struct vx_lister vx_lister;

/* NULL: no memory. */
vx_lister *vx_lister_new(const vx_list_options *options);
/* NULL is allowed. */
void vx_lister_free(vx_lister *lister);

enum { VX_LIST_NO_MEMORY = -1, VX_LIST_FAILED = -2 /* a question did */ };

/* Give the next bytes of an input, or that none come. 0, or one of VX_LIST_..., and then ever after. */
int vx_lister_feed(vx_lister *lister, uint32_t input, const uint8_t *data, size_t size);
int vx_lister_end(vx_lister *lister, uint32_t input);
/* The input that has to go on; UINT32_MAX: none, or all lines that are wanted are written. */
uint32_t vx_lister_wants(const vx_lister *lister);
/* The lines so far; whoever takes them sets the size to 0. */
vx_text *vx_lister_text(vx_lister *lister);
uint64_t vx_lister_lines(const vx_lister *lister);

#endif
