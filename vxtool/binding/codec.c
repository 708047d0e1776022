/* The C codec as Python sees it: decode and encode of vxtool.packet, with the values and error lines of
 * decoder.py and encoder.py.
 *
 * Nothing here knows the Python modules: `codec(classes)` is given the classes and returns functions that
 * hold them. A layer is a NamedTuple, so fields are read and written by their index, in the order in
 * which the class declares them.
 *
 * What decode returns is a packet that holds the bytes and where the layers are. A layer's value is made when
 * it is first asked for; the fields that are read most are read straight from the bytes, with no layer made.
 */
#include "codec.h"
#include "binding.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The order of the classes in choice.py. The first are those of enum vx_kind. */
enum class_index {
    IPV6_EXTENSION = VX_GENEVE + 1,
    IPV6_FRAGMENT,
    END_OF_OPTIONS,
    NOP,
    MSS,
    WINDOW_SCALE,
    SACK_PERMITTED,
    SACK,
    TIMESTAMPS,
    UNKNOWN_OPTION,
    BROKEN_OPTION,
    PACKET,
    PACKET_ERROR,
    PLAIN_VXLAN_PACKET, /* no class, but what makes the unusual packets, and the errors, of vxlan_packet */
    CLASS_COUNT,
};

enum { MAC_SIZE = 6, MAC_TEXT = 17, IPV4_ADDRESS = 4, IPV6_ADDRESS = 16, LARGEST_LENGTH = 0xFFFF };

/* The names of keyword arguments, those of one function beside each other in their order. */
enum name {
    NAME_DATA,
    NAME_LINK_TYPE,
    NAME_LENGTH,
    NAME_PORTS,
    NAME_PAYLOAD,
    NAME_PADDING,
    NAME_INNER,
    NAME_SOURCE,
    NAME_DESTINATION,
    NAME_VNI,
    NAME_SOURCE_PORT,
    NAME_DESTINATION_PORT,
    NAME_SOURCE_MAC,
    NAME_DESTINATION_MAC,
    NAME_IDENTIFICATION,
    NAME_TTL,
    NAME_COUNT,
};
static const char *const name_texts[NAME_COUNT] = {
    "data",       "link_type",       "length",         "ports", "payload",     "padding",
    "inner",      "source",          "destination",    "vni",   "source_port", "destination_port",
    "source_mac", "destination_mac", "identification", "ttl"};

/* What the functions share: the classes, the type of what decode returns, and the interned names. */
struct codec {
    PyObject_HEAD;
    PyTypeObject *classes[CLASS_COUNT];
    PyTypeObject *packet;
    PyObject *names[NAME_COUNT];
};

static PyTypeObject *class_of(const struct codec *codec, int index) { return codec->classes[index]; }

/* Sort the arguments of a call into `values`, of which there are `count` that are named from `first` on; one
 * that was not given stays NULL. At most `positional` of them may be given without a name. */
static bool sort_arguments(const struct codec *codec, const char *function, PyObject *const *arguments,
                           Py_ssize_t given, PyObject *keywords, enum name first, int count,
                           Py_ssize_t positional, PyObject **values) {
    for (int i = 0; i < count; i++)
        values[i] = NULL;
    if (given > positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional arguments (%zd given)", function,
                     positional, given);
        return false;
    }
    for (Py_ssize_t i = 0; i < given; i++)
        values[i] = arguments[i];
    Py_ssize_t named = keywords ? PyTuple_Size(keywords) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(keywords, i);
        int at = 0;
        while (at < count && codec->names[(int)first + at] != name)
            at++;
        if (at == count) /* a name that was not interned */
            for (at = 0; at < count && PyUnicode_Compare(codec->names[(int)first + at], name) != 0;)
                at++;
        if (at == count || values[at]) {
            PyErr_Format(PyExc_TypeError,
                         at == count ? "%s() got an unexpected keyword argument '%U'"
                                     : "%s() got multiple values for argument '%U'",
                         function, name);
            return false;
        }
        values[at] = arguments[given + i];
    }
    return true;
}

/* ---- values: fields to Python ---- */

/* A new NamedTuple that owns `count` fields. A field may be NULL with an error set: then all are released. */
static PyObject *made(const struct codec *codec, int index, Py_ssize_t count, PyObject *const *fields) {
    PyObject *value = NULL;
    bool whole = true;
    for (Py_ssize_t i = 0; i < count; i++)
        whole = whole && fields[i];
    if (whole)
        value = PyType_GenericAlloc(class_of(codec, index), count);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (value)
            PyTuple_SetItem(value, i, fields[i]);
        else
            Py_XDECREF(fields[i]);
    }
    return value;
}

static PyObject *number(uint32_t value) { return PyLong_FromUnsignedLong(value); }

static PyObject *bytes_of(const uint8_t *data, size_t size) {
    return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
}

static PyObject *mac_of(const uint8_t *data) {
    static const char digits[] = "0123456789abcdef";
    char text[MAC_TEXT + 1];
    for (int i = 0; i < MAC_SIZE; i++) {
        text[3 * i] = digits[data[i] >> 4];
        text[3 * i + 1] = digits[data[i] & 15];
        text[3 * i + 2] = ':';
    }
    return PyUnicode_FromStringAndSize(text, MAC_TEXT);
}

static PyObject *ip_of(int family, const uint8_t *data) {
    char text[INET6_ADDRSTRLEN];
    if (family == AF_INET) {
        /* What inet_ntop gives, without its detour over printf. */
        Py_ssize_t used = 0;
        for (int i = 0; i < IPV4_ADDRESS; i++) {
            uint8_t part = data[i];
            if (i)
                text[used++] = '.';
            if (part >= 100)
                text[used++] = (char)('0' + part / 100);
            if (part >= 10)
                text[used++] = (char)('0' + part / 10 % 10);
            text[used++] = (char)('0' + part % 10);
        }
        return PyUnicode_FromStringAndSize(text, used);
    }
    if (!inet_ntop(family, data, text, sizeof text))
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyUnicode_FromString(text);
}

static PyObject *ipv6_value(const struct codec *codec, const uint8_t *header, size_t size) {
    PyObject *extensions = PyList_New(0);
    if (!extensions)
        return NULL;
    uint8_t protocol = header[6];
    for (size_t at = 40; at < size;) {
        const uint8_t *extension = header + at;
        size_t taken = vx_ipv6_extension_size(protocol, extension, size - at);
        PyObject *value;
        if (protocol == 44) {
            uint16_t word = vx_be16(extension + 2);
            value = made(codec, IPV6_FRAGMENT, 4,
                         (PyObject *[]){number(word & 0xFFF8), number(vx_be32(extension + 4)),
                                        number(word & 7), number(extension[1])});
        } else {
            value = made(codec, IPV6_EXTENSION, 2,
                         (PyObject *[]){number(protocol), bytes_of(extension + 2, taken - 2)});
        }
        if (!value || PyList_Append(extensions, value) < 0) {
            Py_XDECREF(value);
            Py_DECREF(extensions);
            return NULL;
        }
        Py_DECREF(value);
        protocol = extension[0];
        at += taken;
    }
    PyObject *chain = PyList_AsTuple(extensions);
    Py_DECREF(extensions);
    if (!chain)
        return NULL;
    uint32_t word = vx_be32(header);
    return made(codec, VX_IPV6, 8,
                (PyObject *[]){ip_of(AF_INET6, header + 8), ip_of(AF_INET6, header + 24), number(protocol),
                               number(header[7]), number(word >> 20 & 0xFF), number(word & 0xFFFFF),
                               number(vx_be16(header + 4)), chain});
}

static PyObject *sack_blocks(const uint8_t *data, size_t size) {
    PyObject *blocks = PyTuple_New((Py_ssize_t)(size / 8));
    if (!blocks)
        return NULL;
    for (size_t i = 0; i < size / 8; i++) {
        PyObject *pair = Py_BuildValue("(kk)", (unsigned long)vx_be32(data + 8 * i),
                                       (unsigned long)vx_be32(data + 8 * i + 4));
        if (!pair) {
            Py_DECREF(blocks);
            return NULL;
        }
        PyTuple_SetItem(blocks, (Py_ssize_t)i, pair);
    }
    return blocks;
}

/* One TCP option; `taken` is what vx_tcp_option_size said of it, with `left` bytes of options there. */
static PyObject *option_value(const struct codec *codec, const uint8_t *at, size_t taken, size_t left) {
    if (taken == 0)
        return made(codec, BROKEN_OPTION, 1, (PyObject *[]){bytes_of(at, left)});
    uint8_t kind = at[0];
    if (kind == 0)
        return made(codec, END_OF_OPTIONS, 2, (PyObject *[]){bytes_of(at + 1, left - 1), number(kind)});
    if (kind == 1)
        return made(codec, NOP, 1, (PyObject *[]){number(kind)});
    const uint8_t *data = at + 2;
    size_t size = taken - 2;
    if (kind == 2 && size == 2)
        return made(codec, MSS, 2, (PyObject *[]){number(vx_be16(data)), number(kind)});
    if (kind == 3 && size == 1)
        return made(codec, WINDOW_SCALE, 2, (PyObject *[]){number(data[0]), number(kind)});
    if (kind == 4 && size == 0)
        return made(codec, SACK_PERMITTED, 1, (PyObject *[]){number(kind)});
    if (kind == 5 && size % 8 == 0)
        return made(codec, SACK, 2, (PyObject *[]){sack_blocks(data, size), number(kind)});
    if (kind == 8 && size == 8)
        return made(codec, TIMESTAMPS, 3,
                    (PyObject *[]){number(vx_be32(data)), number(vx_be32(data + 4)), number(kind)});
    return made(codec, UNKNOWN_OPTION, 2, (PyObject *[]){bytes_of(data, size), number(kind)});
}

static PyObject *option_values(const struct codec *codec, const uint8_t *options, size_t size) {
    PyObject *list = PyList_New(0);
    if (!list)
        return NULL;
    for (size_t at = 0; at < size;) {
        size_t taken = vx_tcp_option_size(options + at, size - at);
        PyObject *value = option_value(codec, options + at, taken, size - at);
        if (!value || PyList_Append(list, value) < 0) {
            Py_XDECREF(value);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(value);
        at += taken ? taken : size - at;
    }
    PyObject *tuple = PyList_AsTuple(list);
    Py_DECREF(list);
    return tuple;
}

static PyObject *layer_value(const struct codec *codec, const struct vx_layer *layer, const uint8_t *data,
                             bool loop) {
    const uint8_t *at = data + layer->offset;
    switch (layer->kind) {
    case VX_ETHERNET:
        return made(codec, VX_ETHERNET, 3,
                    (PyObject *[]){mac_of(at + 6), mac_of(at), number(vx_be16(at + 12))});
    case VX_VLAN: {
        uint16_t control = vx_be16(at);
        return made(codec, VX_VLAN, 4,
                    (PyObject *[]){number(control & 0xFFF), number(control >> 13), number(control >> 12 & 1),
                                   number(vx_be16(at + 2))});
    }
    case VX_SLL:
        return made(codec, VX_SLL, 5,
                    (PyObject *[]){number(vx_be16(at)), number(vx_be16(at + 2)), number(vx_be16(at + 4)),
                                   bytes_of(at + 6, 8), number(vx_be16(at + 14))});
    case VX_SLL2:
        return made(codec, VX_SLL2, 7,
                    (PyObject *[]){number(vx_be32(at + 4)), number(at[10]), number(vx_be16(at + 8)),
                                   number(at[11]), bytes_of(at + 12, 8), number(vx_be16(at + 2)),
                                   number(vx_be16(at))});
    case VX_LOOPBACK: {
        bool big = loop || vx_loopback_is_big(at);
        uint32_t family = vx_be32(at);
        if (!big)
            family = (family & 0xFF) << 24 | (family & 0xFF00) << 8 | (family >> 8 & 0xFF00) | family >> 24;
        return made(codec, VX_LOOPBACK, 2,
                    (PyObject *[]){number(family), PyUnicode_InternFromString(big ? "big" : "little")});
    }
    case VX_IPV4: {
        uint16_t fragment = vx_be16(at + 6);
        return made(codec, VX_IPV4, 11,
                    (PyObject *[]){ip_of(AF_INET, at + 12), ip_of(AF_INET, at + 16), number(at[9]),
                                   number(at[8]), number(at[1]), number(vx_be16(at + 4)),
                                   number(fragment >> 13), number((fragment & 0x1FFFu) * 8),
                                   number(vx_be16(at + 2)), number(vx_be16(at + 10)),
                                   bytes_of(at + 20, layer->size - 20)});
    }
    case VX_IPV6:
        return ipv6_value(codec, at, layer->size);
    case VX_UDP:
        return made(codec, VX_UDP, 4,
                    (PyObject *[]){number(vx_be16(at)), number(vx_be16(at + 2)), number(vx_be16(at + 4)),
                                   number(vx_be16(at + 6))});
    case VX_TCP:
        return made(codec, VX_TCP, 9,
                    (PyObject *[]){number(vx_be16(at)), number(vx_be16(at + 2)), number(vx_be32(at + 4)),
                                   number(vx_be32(at + 8)), number(vx_be16(at + 12) & 0xFFF),
                                   number(vx_be16(at + 14)), number(vx_be16(at + 16)),
                                   number(vx_be16(at + 18)),
                                   option_values(codec, at + 20, layer->size - 20)});
    case VX_ICMP:
    case VX_ICMPV6:
        return made(
            codec, layer->kind, 4,
            (PyObject *[]){number(at[0]), number(at[1]), number(vx_be32(at + 4)), number(vx_be16(at + 2))});
    case VX_ARP:
        return made(codec, VX_ARP, 7,
                    (PyObject *[]){number(vx_be16(at + 6)), mac_of(at + 8), ip_of(AF_INET, at + 14),
                                   mac_of(at + 18), ip_of(AF_INET, at + 24), number(vx_be16(at)),
                                   number(vx_be16(at + 2))});
    case VX_VXLAN:
        return made(codec, VX_VXLAN, 4,
                    (PyObject *[]){number(vx_be32(at + 4) >> 8), number(at[0]),
                                   number(vx_be32(at) & 0xFFFFFF), number(at[7])});
    case VX_GENEVE:
        return made(codec, VX_GENEVE, 5,
                    (PyObject *[]){number(vx_be32(at + 4) >> 8), number(vx_be16(at + 2)), number(at[1]),
                                   number(at[7]), bytes_of(at + 8, layer->size - 8)});
    default:
        PyErr_SetString(PyExc_SystemError, "a layer of no kind");
        return NULL;
    }
}

/* ---- arguments: Python to fields ---- */

/* An integer of so many bits, else PacketError. Returns false with the error set. */
static bool fit(const struct codec *codec, PyObject *value, int bits, const char *layer, const char *field,
                uint32_t *out) {
    if (!value)
        return false;
    unsigned long long most = (1ULL << bits) - 1;
    if (Py_IS_TYPE(value, &PyLong_Type) || PyLong_Check(value)) {
        int overflow;
        long long got = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (got == -1 && !overflow && PyErr_Occurred())
            return false;
        if (!overflow && got >= 0 && (unsigned long long)got <= most) {
            *out = (uint32_t)got;
            return true;
        }
    }
    PyErr_Format((PyObject *)class_of(codec, PACKET_ERROR),
                 "%s.%s: expected an integer from 0 to %llu, found %R", layer, field, most, value);
    return false;
}

/* Fresh bytes, or the same ones, of any object with a buffer. */
static PyObject *as_bytes(PyObject *data) {
    if (PyBytes_CheckExact(data))
        return Py_NewRef(data);
    PyObject *view = PyMemoryView_FromObject(data);
    if (!view)
        return NULL;
    PyObject *bytes = PyBytes_FromObject(view);
    Py_DECREF(view);
    return bytes;
}

struct link_name {
    const char *name;
    enum vx_link link;
};

static const struct link_name link_names[] = {
    {"NULL", VX_LINK_NULL}, {"EN10MB", VX_LINK_EN10MB},   {"RAW", VX_LINK_RAW},
    {"LOOP", VX_LINK_LOOP}, {"LINUX_SLL", VX_LINK_SLL},   {"IPV4", VX_LINK_IPV4},
    {"IPV6", VX_LINK_IPV6}, {"LINUX_SLL2", VX_LINK_SLL2},
};
enum { LINK_NAMES = sizeof link_names / sizeof *link_names };

static bool link_of(const struct codec *codec, PyObject *value, enum vx_link *link) {
    if (!value) {
        *link = VX_LINK_EN10MB;
        return true;
    }
    if (PyUnicode_Check(value)) {
        for (int i = 0; i < LINK_NAMES; i++) {
            if (PyUnicode_CompareWithASCIIString(value, link_names[i].name) == 0) {
                *link = link_names[i].link;
                return true;
            }
        }
    } else if (PyLong_Check(value)) {
        int overflow;
        long long got = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (got == -1 && !overflow && PyErr_Occurred())
            return false;
        if (!overflow && vx_link_known(got)) {
            *link = (enum vx_link)got;
            return true;
        }
    }
    char known[256];
    size_t used = 0;
    for (int i = 0; i < LINK_NAMES && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s (%d)", i ? ", " : "",
                                 link_names[i].name, (int)link_names[i].link);
    PyErr_Format((PyObject *)class_of(codec, PACKET_ERROR), "link type %R: expected one of %s", value, known);
    return false;
}

static bool port_of(const struct codec *codec, PyObject *item, struct vx_port *port) {
    PyObject *key, *kind;
    if (!PyArg_ParseTuple(item, "OO", &key, &kind))
        return false;
    if (PyUnicode_Check(kind) && PyUnicode_CompareWithASCIIString(kind, "vxlan") == 0) {
        port->kind = VX_VXLAN;
    } else if (PyUnicode_Check(kind) && PyUnicode_CompareWithASCIIString(kind, "geneve") == 0) {
        port->kind = VX_GENEVE;
    } else {
        PyErr_Format((PyObject *)class_of(codec, PACKET_ERROR),
                     "port %R: expected 'vxlan' or 'geneve', found %R", key, kind);
        return false;
    }
    uint32_t value;
    if (!fit(codec, key, 16, "ports", "port", &value))
        return false;
    port->port = (uint16_t)value;
    return true;
}

/* The ports of a mapping, to be freed; NULL with no error set for None, which leaves the usual ones. */
static struct vx_port *ports_of(const struct codec *codec, PyObject *mapping, size_t *count) {
    *count = 0;
    if (!mapping || mapping == Py_None)
        return NULL;
    PyObject *items = PyMapping_Items(mapping);
    if (!items)
        return NULL;
    Py_ssize_t size = PyList_Size(items);
    struct vx_port *ports = malloc((size_t)(size + 1) * sizeof *ports);
    if (!ports) {
        Py_DECREF(items);
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!port_of(codec, PyList_GetItem(items, i), &ports[i])) {
            free(ports);
            Py_DECREF(items);
            return NULL;
        }
    }
    *count = (size_t)size;
    Py_DECREF(items);
    return ports;
}

/* ---- decode ---- */

enum { FEW_LAYERS = 8, PACKET_SLOTS = 4 };

/* A decoded packet whose values are not made yet. It is an instance of a subclass of vxtool.packet.Packet, so
 * the slots of that class come first; they stay empty, since this type answers for their names itself. */
struct lazy {
    PyObject_HEAD;
    PyObject *slots[PACKET_SLOTS];
    const struct codec *codec;
    PyObject *bytes;
    const uint8_t *data;
    size_t size, payload, end;
    PyObject *values; /* the layers that were made so far, NULL or a tuple with gaps */
    const struct vx_layer *layers;
    size_t layer_count;
    struct vx_problem *problems;
    size_t problem_count;
    bool loop;
    struct vx_layer few[FEW_LAYERS];
};

static struct lazy *lazy_of(PyObject *self) { return (struct lazy *)self; }

static int lazy_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(lazy_of(self)->values);
    return 0;
}

static void lazy_dealloc(PyObject *self) {
    struct lazy *packet = lazy_of(self);
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(packet->values);
    Py_DECREF(packet->bytes);
    if (packet->layers != packet->few)
        free((void *)packet->layers);
    free(packet->problems);
    Py_DECREF((PyObject *)packet->codec);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* A new packet of what was decoded in `bytes`. It is not given to the garbage collector: it refers to bytes
 * and to values of bytes, text and numbers, so it is in no cycle. */
static PyObject *lazy_new(const struct codec *codec, const struct vx_packet *packet, PyObject *bytes,
                          const uint8_t *data, size_t size, bool loop) {
    struct vx_layer *many = NULL;
    struct vx_problem *problems = NULL;
    size_t layers_size = packet->layer_count * sizeof *many;
    size_t problems_size = packet->problem_count * sizeof *problems;
    if ((packet->layer_count > FEW_LAYERS && !(many = malloc(layers_size))) ||
        (problems_size && !(problems = malloc(problems_size)))) {
        free(many);
        return PyErr_NoMemory();
    }
    struct lazy *value = PyObject_GC_New(struct lazy, codec->packet);
    if (!value) {
        free(many);
        free(problems);
        return NULL;
    }
    for (int i = 0; i < PACKET_SLOTS; i++)
        value->slots[i] = NULL;
    value->codec = codec;
    Py_INCREF((PyObject *)codec);
    value->bytes = Py_NewRef(bytes);
    value->data = data;
    value->size = size;
    value->payload = packet->payload;
    value->end = packet->limit < size ? packet->limit : size;
    value->values = NULL;
    value->layers = memcpy(many ? many : value->few, packet->layers, layers_size);
    value->layer_count = packet->layer_count;
    value->problems = problems;
    if (problems)
        memcpy(problems, packet->problems, problems_size);
    value->problem_count = packet->problem_count;
    value->loop = loop;
    return (PyObject *)value;
}

/* A packet is made of what decode found; made of values it is one of the class above. */
static PyObject *lazy_call(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    PyObject *bases = PyObject_GetAttrString((PyObject *)type, "__bases__");
    PyObject *base = bases ? PyTuple_GetItem(bases, 0) : NULL;
    PyObject *value = base ? PyObject_Call(base, arguments, keywords) : NULL;
    Py_XDECREF(bases);
    return value;
}

/* The value of one layer, borrowed. */
static PyObject *lazy_layer(struct lazy *packet, size_t index) {
    if (!packet->values && !(packet->values = PyTuple_New((Py_ssize_t)packet->layer_count)))
        return NULL;
    PyObject *value = PyTuple_GetItem(packet->values, (Py_ssize_t)index);
    if (!value) {
        value = layer_value(packet->codec, &packet->layers[index], packet->data, packet->loop);
        if (value)
            PyTuple_SetItem(packet->values, (Py_ssize_t)index, value);
    }
    return value;
}

static PyObject *lazy_layers(PyObject *self, void *closure) {
    (void)closure;
    struct lazy *packet = lazy_of(self);
    for (size_t i = 0; i < packet->layer_count; i++)
        if (!lazy_layer(packet, i))
            return NULL;
    return packet->values ? Py_NewRef(packet->values) : PyTuple_New(0);
}

static PyObject *lazy_payload(PyObject *self, void *closure) {
    (void)closure;
    const struct lazy *packet = lazy_of(self);
    return bytes_of(packet->data + packet->payload, packet->end - packet->payload);
}

static PyObject *lazy_padding(PyObject *self, void *closure) {
    (void)closure;
    const struct lazy *packet = lazy_of(self);
    return bytes_of(packet->data + packet->end, packet->size - packet->end);
}

static PyObject *lazy_problems(PyObject *self, void *closure) {
    (void)closure;
    const struct lazy *packet = lazy_of(self);
    PyObject *texts = PyTuple_New((Py_ssize_t)packet->problem_count);
    for (size_t i = 0; texts && i < packet->problem_count; i++) {
        char line[VX_PROBLEM_TEXT];
        vx_problem_text(&packet->problems[i], line);
        PyObject *text = PyUnicode_FromString(line);
        if (!text)
            Py_CLEAR(texts);
        else
            PyTuple_SetItem(texts, (Py_ssize_t)i, text);
    }
    return texts;
}

/* ---- the layers that a packet is asked for by what they are ---- */

enum { NO_LAYER = VX_MAX_LAYERS };

static bool is_ip(enum vx_kind kind) { return kind == VX_IPV4 || kind == VX_IPV6; }

static size_t first_of(const struct lazy *packet, enum vx_kind kind) {
    for (size_t i = 0; i < packet->layer_count; i++)
        if (packet->layers[i].kind == kind)
            return i;
    return NO_LAYER;
}

static size_t tunnel_of(const struct lazy *packet) {
    for (size_t i = 0; i < packet->layer_count; i++)
        if (packet->layers[i].kind == VX_VXLAN || packet->layers[i].kind == VX_GENEVE)
            return i;
    return NO_LAYER;
}

static size_t ip_behind(const struct lazy *packet, size_t index) {
    for (; index < packet->layer_count; index++)
        if (is_ip(packet->layers[index].kind))
            return index;
    return NO_LAYER;
}

static size_t outer_ip_of(const struct lazy *packet) {
    return tunnel_of(packet) == NO_LAYER ? NO_LAYER : ip_behind(packet, 0);
}

static size_t outer_udp_of(const struct lazy *packet) {
    size_t tunnel = tunnel_of(packet);
    return tunnel != NO_LAYER && tunnel > 0 && packet->layers[tunnel - 1].kind == VX_UDP ? tunnel - 1
                                                                                         : NO_LAYER;
}

static size_t innermost_ip_of(const struct lazy *packet) {
    for (size_t i = packet->layer_count; i-- > 0;)
        if (is_ip(packet->layers[i].kind))
            return i;
    return NO_LAYER;
}

static size_t frame_of(const struct lazy *packet) {
    for (size_t i = packet->layer_count; i-- > 0;)
        if (packet->layers[i].kind == VX_ETHERNET)
            return i;
    return NO_LAYER;
}

static size_t transport_of(const struct lazy *packet) {
    if (packet->layer_count == 0)
        return NO_LAYER;
    enum vx_kind last = packet->layers[packet->layer_count - 1].kind;
    bool transport = last == VX_UDP || last == VX_TCP || last == VX_ICMP || last == VX_ICMPV6;
    return transport ? packet->layer_count - 1 : NO_LAYER;
}

static PyObject *layer_or_none(PyObject *self, size_t index) {
    if (index == NO_LAYER)
        Py_RETURN_NONE;
    return Py_XNewRef(lazy_layer(lazy_of(self), index));
}

/* What a getter is asked for, given as its closure. */
enum asked {
    ASKED_VXLAN,
    ASKED_GENEVE,
    ASKED_TUNNEL,
    ASKED_OUTER_IP,
    ASKED_OUTER_UDP,
    ASKED_INNER_IP,
    ASKED_IP,
    ASKED_TRANSPORT,
    ASKED_VNI,
    ASKED_INTERFACE,
    ASKED_OUTER_SOURCE,
    ASKED_OUTER_DESTINATION,
    ASKED_OUTER_TTL,
    ASKED_OUTER_SOURCE_PORT,
    ASKED_OUTER_DESTINATION_PORT,
    ASKED_SOURCE_MAC,
    ASKED_DESTINATION_MAC,
    ASKED_ETHERTYPE,
    ASKED_SOURCE,
    ASKED_DESTINATION,
    ASKED_PROTOCOL,
    ASKED_TTL,
    ASKED_SOURCE_PORT,
    ASKED_DESTINATION_PORT,
    ASKED_ICMP_TYPE,
};

static PyObject *lazy_found(PyObject *self, void *closure) {
    const struct lazy *packet = lazy_of(self);
    size_t tunnel;
    switch ((enum asked)(uintptr_t)closure) {
    case ASKED_VXLAN:
        return layer_or_none(self, first_of(packet, VX_VXLAN));
    case ASKED_GENEVE:
        return layer_or_none(self, first_of(packet, VX_GENEVE));
    case ASKED_TUNNEL:
        return layer_or_none(self, tunnel_of(packet));
    case ASKED_OUTER_IP:
        return layer_or_none(self, outer_ip_of(packet));
    case ASKED_OUTER_UDP:
        return layer_or_none(self, outer_udp_of(packet));
    case ASKED_INNER_IP:
        tunnel = tunnel_of(packet);
        return layer_or_none(self, tunnel == NO_LAYER ? NO_LAYER : ip_behind(packet, tunnel));
    case ASKED_IP:
        return layer_or_none(self, innermost_ip_of(packet));
    default:
        return layer_or_none(self, transport_of(packet));
    }
}

/* The number that the last of an IPv6 header's extension headers gives for what follows. */
static uint8_t last_protocol(const uint8_t *header, size_t size) {
    uint8_t protocol = header[6];
    for (size_t at = 40; at < size;) {
        size_t taken = vx_ipv6_extension_size(protocol, header + at, size - at);
        protocol = header[at];
        at += taken;
    }
    return protocol;
}

static PyObject *ip_field(const struct vx_layer *layer, const uint8_t *header, enum asked asked) {
    bool four = layer->kind == VX_IPV4;
    int family = four ? AF_INET : AF_INET6;
    switch (asked) {
    case ASKED_SOURCE:
    case ASKED_OUTER_SOURCE:
        return ip_of(family, header + (four ? 12 : 8));
    case ASKED_DESTINATION:
    case ASKED_OUTER_DESTINATION:
        return ip_of(family, header + (four ? 16 : 24));
    case ASKED_PROTOCOL:
        return number(four ? header[9] : last_protocol(header, layer->size));
    default:
        return number(header[four ? 8 : 7]);
    }
}

/* A field read from the bytes, or None where there is no such layer. */
static PyObject *lazy_field(PyObject *self, void *closure) {
    const struct lazy *packet = lazy_of(self);
    enum asked asked = (enum asked)(uintptr_t)closure;
    size_t index;
    switch (asked) {
    case ASKED_VNI:
        index = tunnel_of(packet);
        break;
    case ASKED_INTERFACE:
        index = packet->layer_count && packet->layers[0].kind == VX_SLL2 ? 0 : NO_LAYER;
        break;
    case ASKED_OUTER_SOURCE:
    case ASKED_OUTER_DESTINATION:
    case ASKED_OUTER_TTL:
        index = outer_ip_of(packet);
        break;
    case ASKED_OUTER_SOURCE_PORT:
    case ASKED_OUTER_DESTINATION_PORT:
        index = outer_udp_of(packet);
        break;
    case ASKED_SOURCE_MAC:
    case ASKED_DESTINATION_MAC:
    case ASKED_ETHERTYPE:
        index = frame_of(packet);
        break;
    case ASKED_SOURCE_PORT:
    case ASKED_DESTINATION_PORT:
    case ASKED_ICMP_TYPE:
        index = transport_of(packet);
        break;
    default:
        index = innermost_ip_of(packet);
        break;
    }
    if (index == NO_LAYER)
        Py_RETURN_NONE;
    const struct vx_layer *layer = &packet->layers[index];
    const uint8_t *header = packet->data + layer->offset;
    bool icmp = layer->kind == VX_ICMP || layer->kind == VX_ICMPV6;
    switch (asked) {
    case ASKED_VNI:
        return number(vx_be32(header + 4) >> 8);
    case ASKED_INTERFACE:
        return number(vx_be32(header + 4));
    case ASKED_OUTER_SOURCE_PORT:
        return number(vx_be16(header));
    case ASKED_OUTER_DESTINATION_PORT:
        return number(vx_be16(header + 2));
    case ASKED_SOURCE_MAC:
        return mac_of(header + 6);
    case ASKED_DESTINATION_MAC:
        return mac_of(header);
    case ASKED_ETHERTYPE:
        return number(vx_be16(header + 12));
    case ASKED_SOURCE_PORT:
    case ASKED_DESTINATION_PORT:
        if (icmp)
            Py_RETURN_NONE;
        return number(vx_be16(header + (asked == ASKED_SOURCE_PORT ? 0 : 2)));
    case ASKED_ICMP_TYPE:
        if (!icmp)
            Py_RETURN_NONE;
        return number(header[0]);
    default:
        return ip_field(layer, header, asked);
    }
}

/* The outermost layer of a class, as isinstance has it: a new reference to its value, or NULL, with an error
 * set if there is one. */
static PyObject *lazy_of_class(PyObject *self, PyObject *wanted) {
    struct lazy *packet = lazy_of(self);
    for (int kind = 0; kind <= VX_GENEVE; kind++) {
        if (wanted == (PyObject *)packet->codec->classes[kind]) {
            size_t index = first_of(packet, (enum vx_kind)kind);
            return index == NO_LAYER ? NULL : Py_XNewRef(lazy_layer(packet, index));
        }
    }
    for (size_t i = 0; i < packet->layer_count; i++) {
        PyObject *value = lazy_layer(packet, i);
        int is = value ? PyObject_IsInstance(value, wanted) : -1;
        if (is)
            return is < 0 ? NULL : Py_NewRef(value);
    }
    return NULL;
}

static PyObject *lazy_get(PyObject *self, PyObject *wanted) {
    PyObject *value = lazy_of_class(self, wanted);
    return value || PyErr_Occurred() ? value : Py_NewRef(Py_None);
}

static PyObject *lazy_subscript(PyObject *self, PyObject *wanted) {
    PyObject *value = lazy_of_class(self, wanted);
    if (!value && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, wanted);
    return value;
}

static int lazy_contains(PyObject *self, PyObject *wanted) {
    PyObject *value = lazy_of_class(self, wanted);
    if (!value)
        return PyErr_Occurred() ? -1 : 0;
    Py_DECREF(value);
    return 1;
}

/* The names that the class above explains; the docstrings are there. */
static PyGetSetDef lazy_getters[] = {
    {"layers", lazy_layers, NULL, NULL, NULL},
    {"payload", lazy_payload, NULL, NULL, NULL},
    {"padding", lazy_padding, NULL, NULL, NULL},
    {"problems", lazy_problems, NULL, NULL, NULL},
    {"vxlan", lazy_found, NULL, NULL, (void *)(uintptr_t)ASKED_VXLAN},
    {"geneve", lazy_found, NULL, NULL, (void *)(uintptr_t)ASKED_GENEVE},
    {"tunnel", lazy_found, NULL, NULL, (void *)(uintptr_t)ASKED_TUNNEL},
    {"outer_ip", lazy_found, NULL, NULL, (void *)(uintptr_t)ASKED_OUTER_IP},
    {"outer_udp", lazy_found, NULL, NULL, (void *)(uintptr_t)ASKED_OUTER_UDP},
    {"inner_ip", lazy_found, NULL, NULL, (void *)(uintptr_t)ASKED_INNER_IP},
    {"ip", lazy_found, NULL, NULL, (void *)(uintptr_t)ASKED_IP},
    {"transport", lazy_found, NULL, NULL, (void *)(uintptr_t)ASKED_TRANSPORT},
    {"vni", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_VNI},
    {"interface", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_INTERFACE},
    {"outer_source", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_OUTER_SOURCE},
    {"outer_destination", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_OUTER_DESTINATION},
    {"outer_ttl", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_OUTER_TTL},
    {"outer_source_port", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_OUTER_SOURCE_PORT},
    {"outer_destination_port", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_OUTER_DESTINATION_PORT},
    {"source_mac", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_SOURCE_MAC},
    {"destination_mac", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_DESTINATION_MAC},
    {"ethertype", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_ETHERTYPE},
    {"source", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_SOURCE},
    {"destination", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_DESTINATION},
    {"protocol", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_PROTOCOL},
    {"ttl", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_TTL},
    {"source_port", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_SOURCE_PORT},
    {"destination_port", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_DESTINATION_PORT},
    {"icmp_type", lazy_field, NULL, NULL, (void *)(uintptr_t)ASKED_ICMP_TYPE},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef lazy_methods[] = {
    {"get", lazy_get, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lazy_slots[] = {
    {Py_tp_new, lazy_call},          {Py_tp_dealloc, lazy_dealloc},
    {Py_tp_traverse, lazy_traverse}, {Py_tp_getset, lazy_getters},
    {Py_tp_methods, lazy_methods},   {Py_mp_subscript, lazy_subscript},
    {Py_sq_contains, lazy_contains}, {0, NULL},
};

static PyType_Spec lazy_spec = {
    .name = "vxtool._native.Packet",
    .basicsize = sizeof(struct lazy),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = lazy_slots,
};

PyDoc_STRVAR(decode_doc, "decode(data, link_type=1, length=None, ports=None)\n--\n\n"
                         "Decode one packet; see vxtool.packet.decoder.decode.");

static PyObject *codec_decode(PyObject *self, PyObject *const *arguments, Py_ssize_t given,
                              PyObject *keywords) {
    const struct codec *codec = (const struct codec *)self;
    PyObject *values[4];
    if (!sort_arguments(codec, "decode", arguments, given, keywords, NAME_DATA, 4, 4, values))
        return NULL;
    PyObject *data = values[0], *link_type = values[1], *length = values[2], *value = NULL;
    if (!data) {
        PyErr_SetString(PyExc_TypeError, "decode() missing 1 required positional argument: 'data'");
        return NULL;
    }
    PyObject *bytes = as_bytes(data);
    if (!bytes)
        return NULL;
    struct vx_port *ports = NULL;
    size_t port_count;
    enum vx_link link;
    uint32_t wire = 0;
    char *start;
    Py_ssize_t size;
    if (!link_of(codec, link_type, &link))
        goto done;
    ports = ports_of(codec, values[3], &port_count);
    if (!ports && values[3] && PyErr_Occurred())
        goto done;
    if (length && length != Py_None && !fit(codec, length, 32, "record", "length", &wire))
        goto done;
    if (PyBytes_AsStringAndSize(bytes, &start, &size) < 0)
        goto done;
    struct vx_packet packet;
    const uint8_t *first = (const uint8_t *)start;
    if (vx_decode(first, (size_t)size, wire, link, ports, port_count, &packet)) {
        value = lazy_new(codec, &packet, bytes, first, (size_t)size, link == VX_LINK_LOOP);
    } else {
        char line[VX_PROBLEM_TEXT];
        vx_problem_text(&packet.problems[0], line);
        PyErr_SetString((PyObject *)class_of(codec, PACKET_ERROR), line);
    }
done:
    free(ports);
    Py_DECREF(bytes);
    return value;
}

/* ---- encode ---- */

/* Where a layer came to lie: how far before the packet's end it begins, and how many bytes it has with all
 * that it carries. */
struct place {
    size_t before_end, size;
};

/* A packet under construction, filled from the end to the front: its bytes are those from `start` to `end` of
 * `buffer`. Behind `end`, up to `capacity`, the padding waits until its frame is reached. */
struct building {
    const struct codec *codec;
    PyObject *const *layers;
    const enum vx_kind *kinds;
    Py_ssize_t count;
    uint8_t *buffer;
    const uint8_t *lent; /* the buffer that was begun with, which is not malloc's */
    size_t capacity, start, end;
    struct place *places; /* NULL, or one for each layer, to be filled in */
};

/* Room for `size` bytes before those there are, or NULL with the error set. */
static uint8_t *prepend(struct building *building, size_t size) {
    if (building->start < size) {
        size_t grown = building->capacity + size, kept = building->capacity - building->start;
        uint8_t *buffer = malloc(grown + building->capacity);
        if (!buffer) {
            PyErr_NoMemory();
            return NULL;
        }
        size_t capacity = grown + building->capacity;
        memcpy(buffer + capacity - kept, building->buffer + building->start, kept);
        if (building->buffer != building->lent)
            free(building->buffer);
        building->buffer = buffer;
        building->end += capacity - building->capacity;
        building->start = capacity - kept;
        building->capacity = capacity;
    }
    building->start -= size;
    return building->buffer + building->start;
}

static size_t built(const struct building *building) { return building->end - building->start; }

static void put16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value) {
    put16(at, value >> 16);
    put16(at + 2, value);
}

/* Which layer a value is, or VX_NONE. */
static enum vx_kind kind_of(const struct codec *codec, PyObject *value) {
    for (int kind = 0; kind <= VX_GENEVE; kind++)
        if (Py_IS_TYPE(value, codec->classes[kind]))
            return (enum vx_kind)kind;
    for (int kind = 0; kind <= VX_GENEVE; kind++)
        if (PyObject_TypeCheck(value, codec->classes[kind]))
            return (enum vx_kind)kind;
    return VX_NONE;
}

/* The kind of the layer at an index, VX_NONE beyond the ends. */
static enum vx_kind kind_at(const struct building *building, Py_ssize_t index) {
    return index < 0 || index >= building->count ? VX_NONE : building->kinds[index];
}

/* One layer that is being emitted: its value, and the name that errors give it. */
struct emission {
    struct building *building;
    PyObject *value;
    Py_ssize_t index;
    const char *name;
};

static PyObject *field_at(const struct emission *layer, Py_ssize_t index) {
    return PyTuple_GetItem(layer->value, index);
}

static bool fit_at(const struct emission *layer, Py_ssize_t index, int bits, const char *field,
                   uint32_t *out) {
    return fit(layer->building->codec, field_at(layer, index), bits, layer->name, field, out);
}

static bool is_none_at(const struct emission *layer, Py_ssize_t index) {
    return PyTuple_GetItem(layer->value, index) == Py_None;
}

/* A number that the next layer tells (`told`, or -1 where it tells nothing) if the value leaves it as None.
 */
static bool told_at(const struct emission *layer, Py_ssize_t index, int bits, const char *field, long told,
                    uint32_t *out) {
    if (is_none_at(layer, index) && told >= 0) {
        *out = (uint32_t)told;
        return true;
    }
    return fit_at(layer, index, bits, field, out);
}

/* The bytes of a field that must be bytes, borrowed, and their number. */
static bool raw_at(const struct emission *layer, Py_ssize_t index, const char *field, const uint8_t **data,
                   size_t *size) {
    PyObject *value = field_at(layer, index);
    if (!value)
        return false;
    if (!PyBytes_Check(value)) {
        PyErr_Format((PyObject *)class_of(layer->building->codec, PACKET_ERROR),
                     "%s.%s: expected bytes, found %R", layer->name, field, value);
        return false;
    }
    *data = (const uint8_t *)PyBytes_AsString(value);
    *size = (size_t)PyBytes_Size(value);
    return true;
}

/* The text of a str without zero bytes, or NULL with no error set for anything else. */
static const char *text_of(PyObject *value, size_t *size) {
    if (!Py_IS_TYPE(value, &PyUnicode_Type) && !PyUnicode_Check(value))
        return NULL;
    Py_ssize_t length = 0;
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    if (!text)
        PyErr_Clear();
    *size = (size_t)length;
    return text && !memchr(text, 0, *size) ? text : NULL;
}

/* Read an IPv4 address as inet_ntop writes it. Returns false for any other text, which may be an address too.
 */
static bool plain_ipv4(const char *text, size_t size, uint8_t *out) {
    size_t at = 0;
    for (int i = 0; i < IPV4_ADDRESS; i++) {
        if (i && (at == size || text[at++] != '.'))
            return false;
        unsigned value = 0;
        size_t first = at;
        while (at < size && at < first + 3 && text[at] >= '0' && text[at] <= '9')
            value = value * 10 + (unsigned)(text[at++] - '0');
        if (at == first || value > 255 || (at > first + 1 && text[first] == '0'))
            return false;
        out[i] = (uint8_t)value;
    }
    return at == size;
}

static bool ip_from(PyObject *value, int family, uint8_t *out) {
    size_t size;
    const char *text = text_of(value, &size);
    return text && ((family == AF_INET && plain_ipv4(text, size, out)) || inet_pton(family, text, out) == 1);
}

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

static bool mac_from(PyObject *value, uint8_t *out) {
    size_t size;
    const char *text = text_of(value, &size);
    if (!text || size != MAC_TEXT)
        return false;
    for (int i = 0; i < MAC_SIZE; i++) {
        int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);
        if (high < 0 || low < 0 || (i < MAC_SIZE - 1 && text[3 * i + 2] != ':'))
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool mac_at(const struct emission *layer, Py_ssize_t index, const char *field, uint8_t *out) {
    PyObject *value = field_at(layer, index);
    if (!value)
        return false;
    if (mac_from(value, out))
        return true;
    PyErr_Format((PyObject *)class_of(layer->building->codec, PACKET_ERROR),
                 "%s.%s: expected a MAC address such as 02:00:00:00:00:01, found %R", layer->name, field,
                 value);
    return false;
}

static bool ip_at(const struct emission *layer, Py_ssize_t index, int family, const char *field,
                  uint8_t *out) {
    PyObject *value = field_at(layer, index);
    if (!value)
        return false;
    if (ip_from(value, family, out))
        return true;
    PyErr_Format((PyObject *)class_of(layer->building->codec, PACKET_ERROR),
                 "%s.%s: expected an %s address, found %R", layer->name, field,
                 family == AF_INET ? "IPv4" : "IPv6", value);
    return false;
}

/* The sum of the pseudo-header for a transport of all bytes built so far (RFC 768, RFC 8200 section 8.1). */
static bool pseudo_sum(const struct emission *transport, uint8_t protocol, uint64_t *sum) {
    struct building *building = transport->building;
    enum vx_kind before = kind_at(building, transport->index - 1);
    if (!is_ip(before)) {
        PyErr_Format((PyObject *)class_of(building->codec, PACKET_ERROR),
                     "%s.checksum: expected an IP layer before it, found none", transport->name);
        return false;
    }
    bool four = before == VX_IPV4;
    struct emission ip = {building, building->layers[transport->index - 1], transport->index - 1,
                          four ? "IPv4" : "IPv6"};
    int family = four ? AF_INET : AF_INET6;
    size_t size = four ? IPV4_ADDRESS : IPV6_ADDRESS;
    uint8_t addresses[2 * IPV6_ADDRESS];
    if (!ip_at(&ip, 0, family, "source", addresses) ||
        !ip_at(&ip, 1, family, "destination", addresses + size))
        return false;
    uint64_t length = built(building);
    *sum = protocol + (length >> 16) + (length & 0xFFFF);
    for (size_t i = 0; i < 2 * size; i += 2)
        *sum += vx_be16(addresses + i);
    return true;
}

static long ethertype_told(const struct emission *layer) {
    switch (kind_at(layer->building, layer->index + 1)) {
    case VX_IPV4:
        return 0x0800;
    case VX_ARP:
        return 0x0806;
    case VX_IPV6:
        return 0x86DD;
    case VX_VLAN:
        /* IEEE 802.1ad: every tag but the innermost is a service tag. */
        return kind_at(layer->building, layer->index + 2) == VX_VLAN ? 0x88A8 : 0x8100;
    default:
        return -1;
    }
}

static long protocol_told(const struct emission *layer) {
    switch (kind_at(layer->building, layer->index + 1)) {
    case VX_ICMP:
        return 1;
    case VX_TCP:
        return 6;
    case VX_UDP:
        return 17;
    case VX_ICMPV6:
        return 58;
    default:
        return -1;
    }
}

static bool emit_ethernet(const struct emission *layer) {
    uint8_t header[14];
    uint32_t ethertype;
    if (!mac_at(layer, 1, "destination", header) || !mac_at(layer, 0, "source", header + 6) ||
        !told_at(layer, 2, 16, "ethertype", ethertype_told(layer), &ethertype))
        return false;
    put16(header + 12, ethertype);
    uint8_t *at = prepend(layer->building, sizeof header);
    return at && memcpy(at, header, sizeof header);
}

static bool emit_vlan(const struct emission *layer) {
    uint32_t vid, pcp, dei, ethertype;
    if (!fit_at(layer, 0, 12, "vid", &vid) || !fit_at(layer, 1, 3, "pcp", &pcp) ||
        !fit_at(layer, 2, 1, "dei", &dei) ||
        !told_at(layer, 3, 16, "ethertype", ethertype_told(layer), &ethertype))
        return false;
    uint8_t *at = prepend(layer->building, 4);
    if (!at)
        return false;
    put16(at, vid | pcp << 13 | dei << 12);
    put16(at + 2, ethertype);
    return true;
}

static bool address_at(const struct emission *layer, Py_ssize_t index, const uint8_t **address) {
    size_t size;
    if (!raw_at(layer, index, "address", address, &size))
        return false;
    if (size == 8)
        return true;
    PyErr_Format((PyObject *)class_of(layer->building->codec, PACKET_ERROR),
                 "%s.address: expected 8 bytes, found %zu", layer->name, size);
    return false;
}

static bool emit_sll(const struct emission *layer) {
    uint32_t packet_type, hardware_type, address_length, ethertype;
    const uint8_t *address;
    if (!fit_at(layer, 0, 16, "packet_type", &packet_type) ||
        !fit_at(layer, 1, 16, "hardware_type", &hardware_type) ||
        !fit_at(layer, 2, 16, "address_length", &address_length) || !address_at(layer, 3, &address) ||
        !told_at(layer, 4, 16, "ethertype", ethertype_told(layer), &ethertype))
        return false;
    uint8_t *at = prepend(layer->building, 16);
    if (!at)
        return false;
    put16(at, packet_type);
    put16(at + 2, hardware_type);
    put16(at + 4, address_length);
    memcpy(at + 6, address, 8);
    put16(at + 14, ethertype);
    return true;
}

static bool emit_sll2(const struct emission *layer) {
    uint32_t ethertype, reserved, interface, hardware_type, packet_type, address_length;
    const uint8_t *address;
    if (!told_at(layer, 6, 16, "ethertype", ethertype_told(layer), &ethertype) ||
        !fit_at(layer, 5, 16, "reserved", &reserved) || !fit_at(layer, 0, 32, "interface", &interface) ||
        !fit_at(layer, 2, 16, "hardware_type", &hardware_type) ||
        !fit_at(layer, 1, 8, "packet_type", &packet_type) ||
        !fit_at(layer, 3, 8, "address_length", &address_length) || !address_at(layer, 4, &address))
        return false;
    uint8_t *at = prepend(layer->building, 20);
    if (!at)
        return false;
    put16(at, ethertype);
    put16(at + 2, reserved);
    put32(at + 4, interface);
    put16(at + 8, hardware_type);
    at[10] = (uint8_t)packet_type;
    at[11] = (uint8_t)address_length;
    memcpy(at + 12, address, 8);
    return true;
}

static bool emit_loopback(const struct emission *layer) {
    enum vx_kind following = kind_at(layer->building, layer->index + 1);
    long told = following == VX_IPV4 ? 2 : following == VX_IPV6 ? 24 : -1;
    uint32_t family;
    if (!told_at(layer, 0, 32, "family", told, &family))
        return false;
    PyObject *order = field_at(layer, 1);
    if (!order)
        return false;
    bool big = PyUnicode_Check(order) && PyUnicode_CompareWithASCIIString(order, "big") == 0;
    if (!big && !(PyUnicode_Check(order) && PyUnicode_CompareWithASCIIString(order, "little") == 0)) {
        PyErr_Format((PyObject *)class_of(layer->building->codec, PACKET_ERROR),
                     "Loopback.byteorder: expected 'little' or 'big', found %R", order);
        return false;
    }
    uint8_t *at = prepend(layer->building, 4);
    if (!at)
        return false;
    for (int i = 0; i < 4; i++)
        at[big ? 3 - i : i] = (uint8_t)(family >> 8 * i);
    return true;
}

/* Options filled with zeros to whole words of 32 bits: `size` becomes the size of that, at most 40. */
static bool padded(const struct emission *layer, size_t *size) {
    if (*size > 40) {
        PyErr_Format((PyObject *)class_of(layer->building->codec, PACKET_ERROR),
                     "%s.options: expected at most 40 bytes, found %zu", layer->name, *size);
        return false;
    }
    *size = (*size + 3) / 4 * 4;
    return true;
}

static bool emit_ipv4(const struct emission *layer) {
    uint8_t header[60] = {0};
    const uint8_t *options;
    size_t given, size;
    if (!raw_at(layer, 10, "options", &options, &given))
        return false;
    size = given;
    if (!padded(layer, &size))
        return false;
    memcpy(header + 20, options, given);
    size += 20;
    size_t whole = size + built(layer->building);
    uint32_t total = whole > LARGEST_LENGTH ? 0 : (uint32_t)whole;
    uint32_t offset, tos, identification, flags, ttl, protocol, checksum = 0;
    if (!fit_at(layer, 7, 16, "fragment_offset", &offset))
        return false;
    if (offset % 8) {
        PyErr_Format((PyObject *)class_of(layer->building->codec, PACKET_ERROR),
                     "IPv4.fragment_offset: expected a multiple of 8, found %u", (unsigned)offset);
        return false;
    }
    bool computed = is_none_at(layer, 9);
    if (!fit_at(layer, 4, 8, "tos", &tos) ||
        (!is_none_at(layer, 8) && !fit_at(layer, 8, 16, "total_length", &total)) ||
        !fit_at(layer, 5, 16, "identification", &identification) || !fit_at(layer, 6, 3, "flags", &flags) ||
        !fit_at(layer, 3, 8, "ttl", &ttl) ||
        !told_at(layer, 2, 8, "protocol", protocol_told(layer), &protocol) ||
        (!computed && !fit_at(layer, 9, 16, "checksum", &checksum)) ||
        !ip_at(layer, 0, AF_INET, "source", header + 12) ||
        !ip_at(layer, 1, AF_INET, "destination", header + 16))
        return false;
    header[0] = (uint8_t)(4 << 4 | size / 4);
    header[1] = (uint8_t)tos;
    put16(header + 2, total);
    put16(header + 4, identification);
    put16(header + 6, flags << 13 | offset / 8);
    header[8] = (uint8_t)ttl;
    header[9] = (uint8_t)protocol;
    put16(header + 10, checksum);
    if (computed)
        put16(header + 10, vx_checksum(header, size, 0));
    uint8_t *at = prepend(layer->building, size);
    return at && memcpy(at, header, size);
}

/* Put what `value.emit(...)` returns before the bytes there are. */
static bool prepend_emitted(struct building *building, PyObject *emitted) {
    if (!emitted)
        return false;
    char *data;
    Py_ssize_t size;
    uint8_t *at = NULL;
    if (PyBytes_AsStringAndSize(emitted, &data, &size) == 0)
        at = prepend(building, (size_t)size);
    if (at)
        memcpy(at, data, (size_t)size);
    Py_DECREF(emitted);
    return at != NULL;
}

/* Extension headers are rare, so their own emit writes them; only the chain is made here. */
static bool emit_extensions(const struct emission *layer, uint32_t *following) {
    PyObject *chain = PySequence_Tuple(field_at(layer, 7));
    if (!chain)
        return false;
    bool good = true;
    for (Py_ssize_t i = PyTuple_Size(chain) - 1; good && i >= 0; i--) {
        PyObject *extension = PyTuple_GetItem(chain, i);
        good = prepend_emitted(layer->building,
                               PyObject_CallMethod(extension, "emit", "k", (unsigned long)*following));
        PyObject *kind = good ? PyObject_GetAttrString(extension, "kind") : NULL;
        good = kind && fit(layer->building->codec, kind, 8, "IPv6Extension", "kind", following);
        Py_XDECREF(kind);
    }
    Py_DECREF(chain);
    return good;
}

static bool emit_ipv6(const struct emission *layer) {
    enum vx_kind next = kind_at(layer->building, layer->index + 1);
    long told = next == VX_NONE ? 59 : protocol_told(layer);
    uint32_t following, traffic_class, flow_label, hop_limit;
    if (!told_at(layer, 2, 8, "protocol", told, &following) || !emit_extensions(layer, &following))
        return false;
    size_t payload = built(layer->building);
    uint32_t length = payload > LARGEST_LENGTH ? 0 : (uint32_t)payload;
    uint8_t header[40];
    if (!fit_at(layer, 4, 8, "traffic_class", &traffic_class) ||
        !fit_at(layer, 5, 20, "flow_label", &flow_label) ||
        (!is_none_at(layer, 6) && !fit_at(layer, 6, 16, "payload_length", &length)) ||
        !fit_at(layer, 3, 8, "hop_limit", &hop_limit) || !ip_at(layer, 0, AF_INET6, "source", header + 8) ||
        !ip_at(layer, 1, AF_INET6, "destination", header + 24))
        return false;
    put32(header, 6u << 28 | traffic_class << 20 | flow_label);
    put16(header + 4, length);
    header[6] = (uint8_t)following;
    header[7] = (uint8_t)hop_limit;
    uint8_t *at = prepend(layer->building, sizeof header);
    return at && memcpy(at, header, sizeof header);
}

static bool emit_udp(const struct emission *layer) {
    size_t size = 8 + built(layer->building);
    uint32_t source, destination, length = size > LARGEST_LENGTH ? 0 : (uint32_t)size, checksum = 0;
    if (!fit_at(layer, 0, 16, "source_port", &source) ||
        !fit_at(layer, 1, 16, "destination_port", &destination) ||
        (!is_none_at(layer, 2) && !fit_at(layer, 2, 16, "length", &length)))
        return false;
    bool computed = is_none_at(layer, 3);
    if (!computed && !fit_at(layer, 3, 16, "checksum", &checksum))
        return false;
    uint8_t *at = prepend(layer->building, 8);
    if (!at)
        return false;
    put16(at, source);
    put16(at + 2, destination);
    put16(at + 4, length);
    put16(at + 6, checksum);
    if (computed) {
        uint64_t sum;
        if (!pseudo_sum(layer, 17, &sum))
            return false;
        uint16_t value = vx_checksum(at, size, sum);
        put16(at + 6, value ? value : 0xFFFF);
    }
    return true;
}

/* The bytes of all options, as a new bytes object. Each option's own emit writes it. */
static PyObject *emitted_options(const struct emission *layer) {
    PyObject *joined = PyBytes_FromStringAndSize("", 0);
    PyObject *options = joined ? PySequence_Tuple(field_at(layer, 8)) : NULL;
    if (!options)
        Py_CLEAR(joined);
    for (Py_ssize_t i = 0; joined && i < PyTuple_Size(options); i++) {
        PyObject *part = PyObject_CallMethod(PyTuple_GetItem(options, i), "emit", NULL);
        if (!part) {
            Py_CLEAR(joined);
            break;
        }
        PyObject *longer = PySequence_Concat(joined, part);
        Py_DECREF(part);
        Py_DECREF(joined);
        joined = longer;
    }
    Py_XDECREF(options);
    return joined;
}

static bool emit_tcp(const struct emission *layer) {
    uint8_t header[60] = {0};
    PyObject *options = emitted_options(layer);
    if (!options)
        return false;
    size_t given = (size_t)PyBytes_Size(options), size = given;
    bool good = padded(layer, &size);
    if (good)
        memcpy(header + 20, PyBytes_AsString(options), given);
    Py_DECREF(options);
    uint32_t source, destination, sequence, acknowledgement, flags, window, urgent, checksum = 0;
    bool computed = is_none_at(layer, 6);
    if (!good || !fit_at(layer, 0, 16, "source_port", &source) ||
        !fit_at(layer, 1, 16, "destination_port", &destination) ||
        !fit_at(layer, 2, 32, "sequence", &sequence) ||
        !fit_at(layer, 3, 32, "acknowledgement", &acknowledgement) ||
        !fit_at(layer, 4, 12, "flags", &flags) || !fit_at(layer, 5, 16, "window", &window) ||
        (!computed && !fit_at(layer, 6, 16, "checksum", &checksum)) ||
        !fit_at(layer, 7, 16, "urgent", &urgent))
        return false;
    size += 20;
    put16(header, source);
    put16(header + 2, destination);
    put32(header + 4, sequence);
    put32(header + 8, acknowledgement);
    put16(header + 12, (uint32_t)(size / 4) << 12 | flags);
    put16(header + 14, window);
    put16(header + 16, checksum);
    put16(header + 18, urgent);
    uint8_t *at = prepend(layer->building, size);
    if (!at)
        return false;
    memcpy(at, header, size);
    uint64_t sum;
    if (computed && !pseudo_sum(layer, 6, &sum))
        return false;
    if (computed)
        put16(at + 16, vx_checksum(at, built(layer->building), sum));
    return true;
}

static bool emit_icmp(const struct emission *layer, bool six) {
    uint32_t type, code, rest, checksum = 0;
    bool computed = is_none_at(layer, 3);
    if (!fit_at(layer, 0, 8, "type", &type) || !fit_at(layer, 1, 8, "code", &code) ||
        !fit_at(layer, 2, 32, "rest", &rest) || (!computed && !fit_at(layer, 3, 16, "checksum", &checksum)))
        return false;
    uint8_t *at = prepend(layer->building, 8);
    if (!at)
        return false;
    at[0] = (uint8_t)type;
    at[1] = (uint8_t)code;
    put16(at + 2, checksum);
    put32(at + 4, rest);
    uint64_t sum = 0;
    if (computed && six && !pseudo_sum(layer, 58, &sum))
        return false;
    if (computed)
        put16(at + 2, vx_checksum(at, built(layer->building), sum));
    return true;
}

static bool emit_arp(const struct emission *layer) {
    uint8_t packet[28];
    uint32_t hardware_type, protocol_type, operation;
    if (!fit_at(layer, 5, 16, "hardware_type", &hardware_type) ||
        !fit_at(layer, 6, 16, "protocol_type", &protocol_type) ||
        !fit_at(layer, 0, 16, "operation", &operation) || !mac_at(layer, 1, "sender_mac", packet + 8) ||
        !ip_at(layer, 2, AF_INET, "sender_ip", packet + 14) || !mac_at(layer, 3, "target_mac", packet + 18) ||
        !ip_at(layer, 4, AF_INET, "target_ip", packet + 24))
        return false;
    put16(packet, hardware_type);
    put16(packet + 2, protocol_type);
    packet[4] = MAC_SIZE;
    packet[5] = IPV4_ADDRESS;
    put16(packet + 6, operation);
    uint8_t *at = prepend(layer->building, sizeof packet);
    return at && memcpy(at, packet, sizeof packet);
}

static bool emit_vxlan(const struct emission *layer) {
    uint32_t flags, reserved, vni, reserved_low;
    if (!fit_at(layer, 1, 8, "flags", &flags) || !fit_at(layer, 2, 24, "reserved", &reserved) ||
        !fit_at(layer, 0, 24, "vni", &vni) || !fit_at(layer, 3, 8, "reserved_low", &reserved_low))
        return false;
    uint8_t *at = prepend(layer->building, 8);
    if (!at)
        return false;
    put32(at, flags << 24 | reserved);
    put32(at + 4, vni << 8 | reserved_low);
    return true;
}

static bool emit_geneve(const struct emission *layer) {
    const uint8_t *options;
    size_t size;
    uint32_t flags, protocol_type, vni, reserved;
    if (!raw_at(layer, 4, "options", &options, &size))
        return false;
    if (size % 4 || size > 252) {
        PyErr_Format((PyObject *)class_of(layer->building->codec, PACKET_ERROR),
                     "Geneve.options: expected a multiple of 4 up to 252, found %zu", size);
        return false;
    }
    if (!fit_at(layer, 2, 8, "flags", &flags) || !fit_at(layer, 1, 16, "protocol_type", &protocol_type) ||
        !fit_at(layer, 0, 24, "vni", &vni) || !fit_at(layer, 3, 8, "reserved", &reserved))
        return false;
    uint8_t *at = prepend(layer->building, 8 + size);
    if (!at)
        return false;
    at[0] = (uint8_t)(size / 4);
    at[1] = (uint8_t)flags;
    put16(at + 2, protocol_type);
    put32(at + 4, vni << 8 | reserved);
    memcpy(at + 8, options, size);
    return true;
}

static bool emit_layer(struct building *building, Py_ssize_t index) {
    struct emission layer = {building, building->layers[index], index, NULL};
    switch (building->kinds[index]) {
    case VX_ETHERNET:
        layer.name = "Ethernet";
        return emit_ethernet(&layer);
    case VX_VLAN:
        layer.name = "Vlan";
        return emit_vlan(&layer);
    case VX_SLL:
        layer.name = "SLL";
        return emit_sll(&layer);
    case VX_SLL2:
        layer.name = "SLL2";
        return emit_sll2(&layer);
    case VX_LOOPBACK:
        layer.name = "Loopback";
        return emit_loopback(&layer);
    case VX_IPV4:
        layer.name = "IPv4";
        return emit_ipv4(&layer);
    case VX_IPV6:
        layer.name = "IPv6";
        return emit_ipv6(&layer);
    case VX_UDP:
        layer.name = "UDP";
        return emit_udp(&layer);
    case VX_TCP:
        layer.name = "TCP";
        return emit_tcp(&layer);
    case VX_ICMP:
        layer.name = "ICMP";
        return emit_icmp(&layer, false);
    case VX_ICMPV6:
        layer.name = "ICMPv6";
        return emit_icmp(&layer, true);
    case VX_ARP:
        layer.name = "ARP";
        return emit_arp(&layer);
    case VX_VXLAN:
        layer.name = "VXLAN";
        return emit_vxlan(&layer);
    case VX_GENEVE:
        layer.name = "Geneve";
        return emit_geneve(&layer);
    default:
        PyErr_Format((PyObject *)class_of(building->codec, PACKET_ERROR),
                     "layer %zd: expected a layer of vxtool.packet, found %R", index, layer.value);
        return false;
    }
}

enum { USUAL_LAYERS = 16, USUAL_BUFFER = 2048 };

/* Emit all layers before the payload, which is in the buffer. */
static bool emit_layers(struct building *building) {
    Py_ssize_t innermost = building->count;
    for (Py_ssize_t i = 0; i < building->count; i++)
        if (is_ip(building->kinds[i]))
            innermost = i;
    if (innermost == building->count)
        building->end = building->capacity;
    for (Py_ssize_t i = building->count - 1; i >= 0; i--) {
        if (!emit_layer(building, i))
            return false;
        if (building->places)
            building->places[i] = (struct place){building->capacity - building->start, built(building)};
        if (i == innermost)
            building->end = building->capacity;
    }
    return true;
}

/* The bytes of a packet. `payload` and `padding` are bytes, or NULL for none; so may be `places`. */
static PyObject *build(const struct codec *codec, PyObject *const *layers, Py_ssize_t count,
                       PyObject *payload, PyObject *padding, struct place *places) {
    enum vx_kind usual_kinds[USUAL_LAYERS], *kinds = usual_kinds;
    uint8_t usual_buffer[USUAL_BUFFER], *buffer = usual_buffer;
    char *payload_data = NULL, *padding_data = NULL;
    Py_ssize_t payload_size = 0, padding_size = 0;
    if ((payload && PyBytes_AsStringAndSize(payload, &payload_data, &payload_size) < 0) ||
        (padding && PyBytes_AsStringAndSize(padding, &padding_data, &padding_size) < 0))
        return NULL;
    size_t behind = (size_t)payload_size + (size_t)padding_size;
    size_t capacity = behind + 64 * ((size_t)count + 1);
    if (capacity <= sizeof usual_buffer)
        capacity = sizeof usual_buffer;
    else
        buffer = malloc(capacity);
    if (count > USUAL_LAYERS)
        kinds = malloc((size_t)count * sizeof *kinds);
    PyObject *data = NULL;
    if (!buffer || !kinds) {
        free(buffer);
        PyErr_NoMemory();
    } else {
        for (Py_ssize_t i = 0; i < count; i++)
            kinds[i] = kind_of(codec, layers[i]);
        struct building building = {.codec = codec,
                                    .layers = layers,
                                    .kinds = kinds,
                                    .count = count,
                                    .buffer = buffer,
                                    .lent = usual_buffer,
                                    .places = places,
                                    .capacity = capacity,
                                    .start = capacity - behind,
                                    .end = capacity - (size_t)padding_size};
        if (payload_size)
            memcpy(buffer + building.start, payload_data, (size_t)payload_size);
        if (padding_size)
            memcpy(buffer + building.end, padding_data, (size_t)padding_size);
        if (emit_layers(&building))
            data = bytes_of(building.buffer + building.start, built(&building));
        if (building.buffer != usual_buffer)
            free(building.buffer);
    }
    if (kinds != usual_kinds)
        free(kinds);
    return data;
}

PyDoc_STRVAR(encode_doc, "encode(*layers, payload=b'', padding=b'')\n--\n\n"
                         "Return the bytes of a packet; see vxtool.packet.encoder.encode.");

static PyObject *codec_encode(PyObject *self, PyObject *const *arguments, Py_ssize_t given,
                              PyObject *keywords) {
    const struct codec *codec = (const struct codec *)self;
    PyObject *values[2];
    if (!sort_arguments(codec, "encode", arguments + given, 0, keywords, NAME_PAYLOAD, 2, 0, values))
        return NULL;
    PyObject *data = NULL;
    PyObject *payload = values[0] ? as_bytes(values[0]) : NULL;
    PyObject *padding = values[1] && !(values[0] && !payload) ? as_bytes(values[1]) : NULL;
    if ((payload || !values[0]) && (padding || !values[1]))
        data = build(codec, arguments, given, payload, padding, NULL);
    Py_XDECREF(payload);
    Py_XDECREF(padding);
    return data;
}

/* ---- many packets of one template ---- */

/* A field that counts up in the bytes of a packet: `bits` of it, `shift` above the last of its `size` bytes.
 * A field is at most 48 bits long, or is an IPv6 address. */
struct step {
    Py_ssize_t layer;
    size_t at, size;
    unsigned bits, shift;
    uint64_t first[2], each[2]; /* high and low half */
};

static uint64_t load(const uint8_t *at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | at[i];
    return value;
}

static void store(uint8_t *at, size_t size, uint64_t value) {
    for (size_t i = size; i-- > 0; value >>= 8)
        at[i] = (uint8_t)value;
}

static void add_in(uint8_t *packet, const struct step *step, const uint64_t add[2]) {
    uint8_t *at = packet + step->at;
    if (step->size == IPV6_ADDRESS) {
        uint64_t low = load(at + 8, 8), sum = low + add[1];
        store(at, 8, load(at, 8) + add[0] + (sum < low));
        store(at + 8, 8, sum);
        return;
    }
    uint64_t mask = ((uint64_t)1 << step->bits) - 1, word = load(at, step->size);
    uint64_t field = ((word >> step->shift) + add[1]) & mask;
    store(at, step->size, (word & ~(mask << step->shift)) | field << step->shift);
}

/* Read a step as bulk.py writes it; `length` is that of the packet. */
static bool step_of(PyObject *item, const struct place *places, Py_ssize_t count, size_t length,
                    struct step *step) {
    Py_ssize_t bit, bits;
    const char *first, *each;
    Py_ssize_t first_size, each_size;
    if (!PyArg_ParseTuple(item, "nnny#y#", &step->layer, &bit, &bits, &first, &first_size, &each, &each_size))
        return false;
    bool good = step->layer >= 0 && step->layer < count && bit >= 0 && bits > 0 && first_size == 16 &&
                each_size == 16;
    good = good && ((bits <= 48 && bit % 8 + bits <= 64) || (bits == 128 && bit % 8 == 0));
    if (good) {
        size_t start = length - places[step->layer].before_end + (size_t)bit / 8;
        step->at = start;
        step->size = (size_t)(bit % 8 + bits + 7) / 8;
        step->bits = (unsigned)bits;
        step->shift = (unsigned)(step->size * 8 - (size_t)(bit % 8 + bits));
        good = start <= length && step->size <= length - start;
    }
    if (!good) {
        PyErr_SetString(PyExc_ValueError, "repeat: a step outside the packet");
        return false;
    }
    for (int half = 0; half < 2; half++) {
        step->first[half] = load((const uint8_t *)first + 8 * half, 8);
        step->each[half] = load((const uint8_t *)each + 8 * half, 8);
    }
    return true;
}

/* A checksum that has to be made anew for each packet. */
struct summed {
    enum vx_kind kind, ip;
    size_t at, size, ip_at, field;
    uint8_t protocol;
};

/* Whether a step touches what layer `index` sums: itself, what it carries, or the addresses before it. */
static bool is_touched(Py_ssize_t index, enum vx_kind kind, const struct step *steps, Py_ssize_t step_count) {
    for (Py_ssize_t i = 0; i < step_count; i++) {
        if (kind == VX_IPV4 ? steps[i].layer == index : steps[i].layer >= index - 1)
            return true;
    }
    return false;
}

/* The checksums of a packet's layers that their values leave to be computed, from the innermost out. Their
 * number is returned. */
static size_t find_sums(const struct codec *codec, PyObject *layers, const struct place *places,
                        const uint8_t *packet, size_t length, const struct step *steps, Py_ssize_t step_count,
                        struct summed *sums) {
    size_t found = 0;
    enum vx_kind before = VX_NONE;
    Py_ssize_t count = PyTuple_Size(layers);
    for (Py_ssize_t i = count - 1; i >= 0; i--) {
        PyObject *value = PyTuple_GetItem(layers, i);
        enum vx_kind kind = kind_of(codec, value);
        before = i ? kind_of(codec, PyTuple_GetItem(layers, i - 1)) : VX_NONE;
        struct summed sum = {
            .kind = kind, .ip = before, .at = length - places[i].before_end, .size = places[i].size};
        Py_ssize_t index = 3;
        switch (kind) {
        case VX_IPV4:
            index = 9;
            sum.field = 10;
            sum.size = (size_t)(packet[sum.at] & 0x0F) * 4;
            break;
        case VX_UDP:
            sum.field = 6;
            sum.protocol = 17;
            break;
        case VX_TCP:
            index = 6;
            sum.field = 16;
            sum.protocol = 6;
            break;
        case VX_ICMP:
            sum.field = 2;
            break;
        case VX_ICMPV6:
            sum.field = 2;
            sum.protocol = 58;
            break;
        default:
            continue;
        }
        if (PyTuple_GetItem(value, index) != Py_None || !is_touched(i, kind, steps, step_count))
            continue;
        if (sum.protocol)
            sum.ip_at = length - places[i - 1].before_end;
        sums[found++] = sum;
    }
    return found;
}

static void sum_again(uint8_t *packet, const struct summed *sum) {
    uint8_t *at = packet + sum->at;
    uint64_t start = 0;
    if (sum->protocol) {
        bool four = sum->ip == VX_IPV4;
        const uint8_t *addresses = packet + sum->ip_at + (four ? 12 : 8);
        start = sum->protocol + ((uint64_t)sum->size >> 16) + (sum->size & 0xFFFF);
        for (size_t i = 0; i < (four ? 2 * IPV4_ADDRESS : 2 * IPV6_ADDRESS); i += 2)
            start += vx_be16(addresses + i);
    }
    put16(at + sum->field, 0);
    uint16_t value = vx_checksum(at, sum->size, start);
    put16(at + sum->field, value == 0 && sum->kind == VX_UDP ? 0xFFFF : value);
}

static void put_little(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

enum { RECORD_HEADER = 16, NANOSECONDS = 1000000000 };

/* Write `count` records, of which `packet` becomes the last one. */
static void write_records(uint8_t *out, uint8_t *packet, size_t length, const struct step *steps,
                          Py_ssize_t step_count, const struct summed *sums, size_t sum_count, size_t count,
                          uint64_t time, uint64_t interval) {
    for (size_t number = 0; number < count; number++) {
        for (Py_ssize_t i = 0; i < step_count; i++)
            add_in(packet, &steps[i], number ? steps[i].each : steps[i].first);
        for (size_t i = 0; i < sum_count; i++)
            sum_again(packet, &sums[i]);
        put_little(out, (uint32_t)(time / NANOSECONDS));
        put_little(out + 4, (uint32_t)(time % NANOSECONDS));
        put_little(out + 8, (uint32_t)length);
        put_little(out + 12, (uint32_t)length);
        memcpy(out + RECORD_HEADER, packet, length);
        out += RECORD_HEADER + length;
        time += interval;
    }
}

/* All records of `template`, whose layers lie at `places`. The three arrays have room for every layer and
 * step. */
static PyObject *records_of(const struct codec *codec, PyObject *layers, PyObject *template,
                            PyObject *step_list, const struct place *places, struct step *steps,
                            struct summed *sums, size_t count, uint64_t time, uint64_t interval) {
    char *data;
    Py_ssize_t length, step_count = PyList_Size(step_list);
    if (PyBytes_AsStringAndSize(template, &data, &length) < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < step_count; i++)
        if (!step_of(PyList_GetItem(step_list, i), places, PyTuple_Size(layers), (size_t)length, &steps[i]))
            return NULL;
    if (count > (size_t)PTRDIFF_MAX / (RECORD_HEADER + (size_t)length))
        return PyErr_NoMemory();
    PyObject *records =
        PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * (RECORD_HEADER + (size_t)length)));
    uint8_t *packet = records ? malloc((size_t)length + 1) : NULL;
    if (!packet) {
        Py_XDECREF(records);
        return PyErr_NoMemory();
    }
    memcpy(packet, data, (size_t)length);
    size_t sum_count = find_sums(codec, layers, places, packet, (size_t)length, steps, step_count, sums);
    uint8_t *out = (uint8_t *)PyBytes_AsString(records);
    Py_BEGIN_ALLOW_THREADS;
    write_records(out, packet, (size_t)length, steps, step_count, sums, sum_count, count, time, interval);
    Py_END_ALLOW_THREADS;
    free(packet);
    return records;
}

PyDoc_STRVAR(repeat_doc, "repeat(layers, payload, padding, steps, count, time_ns, interval_ns)\n--\n\n"
                         "Return the records of a pcap file; see vxtool.packet.bulk.repeat.");

static PyObject *codec_repeat(PyObject *self, PyObject *arguments) {
    const struct codec *codec = (const struct codec *)self;
    PyObject *layers, *payload, *padding, *step_list;
    Py_ssize_t count;
    unsigned long long time, interval;
    if (!PyArg_ParseTuple(arguments, "O!SSO!nKK:repeat", &PyTuple_Type, &layers, &payload, &padding,
                          &PyList_Type, &step_list, &count, &time, &interval))
        return NULL;
    if (count < 0) {
        PyErr_SetString(PyExc_ValueError, "repeat: a negative count");
        return NULL;
    }
    Py_ssize_t size = PyTuple_Size(layers), step_count = PyList_Size(step_list);
    PyObject **values = malloc(((size_t)size + 1) * sizeof(PyObject *));
    struct place *places = calloc((size_t)size + 1, sizeof *places);
    struct summed *sums = malloc(((size_t)size + 1) * sizeof *sums);
    struct step *steps = malloc(((size_t)step_count + 1) * sizeof *steps);
    PyObject *records = NULL;
    if (values && places && sums && steps) {
        for (Py_ssize_t i = 0; i < size; i++)
            values[i] = PyTuple_GetItem(layers, i);
        PyObject *template = build(codec, values, size, payload, padding, places);
        if (template)
            records = records_of(codec, layers, template, step_list, places, steps, sums, (size_t)count, time,
                                 interval);
        Py_XDECREF(template);
    } else {
        PyErr_NoMemory();
    }
    free(values);
    free(places);
    free(sums);
    free(steps);
    return records;
}

/* ---- one usual VXLAN packet ---- */

enum { FIRST_PORT = 32768, PORTS = 60999 - 32768 + 1, FLOW_TEXT = 160, VXLAN_HEADERS = 14 + 40 + 8 + 8 };

static uint32_t crc32_of(const char *text, size_t size) {
    /* Four bits at a time: a table of 256 would cost more to warm than these few bytes are worth. */
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t sum = 0xFFFFFFFF;
    for (size_t i = 0; i < size; i++) {
        sum ^= (uint8_t)text[i];
        sum = sum >> 4 ^ table[sum & 15];
        sum = sum >> 4 ^ table[sum & 15];
    }
    return ~sum;
}

/* The port that build.py's flow_port gives an inner frame with an IP header; false for any other. */
static bool flow_port_of(const uint8_t *inner, size_t size, uint32_t *port) {
    struct vx_packet packet;
    if (!vx_decode(inner, size, 0, VX_LINK_EN10MB, NULL, 0, &packet) || packet.layer_count == 0)
        return false;
    size_t ip = packet.layer_count;
    while (ip-- > 0 && !is_ip(packet.layers[ip].kind))
        continue;
    if (ip >= packet.layer_count)
        return false;
    const struct vx_layer *layer = &packet.layers[ip], *last = &packet.layers[packet.layer_count - 1];
    const uint8_t *header = inner + layer->offset;
    bool four = layer->kind == VX_IPV4;
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN], ports[32] = "", text[FLOW_TEXT];
    if (!inet_ntop(four ? AF_INET : AF_INET6, header + (four ? 12 : 8), source, sizeof source) ||
        !inet_ntop(four ? AF_INET : AF_INET6, header + (four ? 16 : 24), destination, sizeof destination))
        return false;
    const uint8_t *transport = inner + last->offset;
    if ((last->kind == VX_UDP || last->kind == VX_TCP) &&
        snprintf(ports, sizeof ports, "%u, %u", vx_be16(transport), vx_be16(transport + 2)) < 0)
        return false;
    int used = snprintf(text, sizeof text, "(('%s', '%s', %u), (%s))", source, destination,
                        four ? header[9] : last_protocol(header, layer->size), ports);
    if (used < 0 || used >= FLOW_TEXT)
        return false;
    *port = FIRST_PORT + crc32_of(text, (size_t)used) % PORTS;
    return true;
}

/* A number of an argument that was given as an int, or what stands for one that was not given. */
static bool small_of(PyObject *value, uint32_t most, uint32_t otherwise, uint32_t *out) {
    int overflow = 0;
    *out = otherwise;
    if (!value)
        return true;
    if (!Py_IS_TYPE(value, &PyLong_Type))
        return false;
    long long got = PyLong_AsLongLongAndOverflow(value, &overflow);
    *out = (uint32_t)got;
    return !overflow && got >= 0 && got <= (long long)most;
}

/* The MAC address of an argument, or 02:00:00:00:00:`last` for one that was not given. */
static bool mac_or(PyObject *value, uint8_t last, uint8_t *out) {
    if (value)
        return mac_from(value, out);
    memcpy(out, (const uint8_t[]){2, 0, 0, 0, 0, last}, MAC_SIZE);
    return true;
}

/* Write the headers of a usual packet to `out`, with room for VXLAN_HEADERS. Returns their size, or 0 for
 * arguments that are not usual. `values` are those of vxlan_packet, in order. */
static size_t usual_headers(PyObject *const *values, const uint8_t *inner, size_t size, uint8_t *out) {
    uint32_t vni, source_port, destination_port, identification, ttl;
    if (!values[1] || !values[2] || !values[3] || size > LARGEST_LENGTH - VXLAN_HEADERS)
        return 0;
    uint8_t *ip = out + 14;
    bool four = ip_from(values[1], AF_INET, ip + 12);
    if (four ? !ip_from(values[2], AF_INET, ip + 16)
             : !ip_from(values[1], AF_INET6, ip + 8) || !ip_from(values[2], AF_INET6, ip + 24))
        return 0;
    bool told = values[4] && values[4] != Py_None;
    if (!mac_or(values[7], 2, out) || !mac_or(values[6], 1, out + 6) ||
        !small_of(values[3], 0xFFFFFF, 0, &vni) || !small_of(values[5], 0xFFFF, 8472, &destination_port) ||
        !small_of(values[8], 0xFFFF, 0, &identification) || !small_of(values[9], 0xFF, 64, &ttl))
        return 0;
    if (told ? !small_of(values[4], 0xFFFF, 0, &source_port) : !flow_port_of(inner, size, &source_port))
        return 0;
    uint8_t *udp = ip + (four ? 20 : 40);
    uint32_t length = 16 + (uint32_t)size;
    put16(out + 12, four ? 0x0800 : 0x86DD);
    if (four) {
        put16(ip, 0x4500);
        put16(ip + 2, 20 + length);
        put16(ip + 4, identification);
        put16(ip + 6, 0);
        ip[8] = (uint8_t)ttl;
        ip[9] = 17;
        put16(ip + 10, 0);
        put16(ip + 10, vx_checksum(ip, 20, 0));
    } else {
        put32(ip, 6u << 28);
        put16(ip + 4, length);
        ip[6] = 17;
        ip[7] = (uint8_t)ttl;
    }
    put16(udp, source_port);
    put16(udp + 2, destination_port);
    put16(udp + 4, length);
    put16(udp + 6, 0);
    put32(udp + 8, 0x08000000);
    put32(udp + 12, vni << 8);
    return (size_t)(udp + 16 - out);
}

PyDoc_STRVAR(
    vxlan_packet_doc,
    "vxlan_packet(inner, *, source, destination, vni, source_port=None, destination_port=8472, "
    "source_mac='02:00:00:00:00:01', destination_mac='02:00:00:00:00:02', identification=0, ttl=64)\n--\n\n"
    "Return a frame that carries another; see vxtool.packet.build.vxlan_packet.");

/* The usual packet is written here; all others, and what is wrong, are left to the plain function. */
static PyObject *codec_vxlan_packet(PyObject *self, PyObject *const *arguments, Py_ssize_t given,
                                    PyObject *keywords) {
    const struct codec *codec = (const struct codec *)self;
    enum { VALUES = NAME_TTL - NAME_INNER + 1 };
    PyObject *values[VALUES];
    if (!sort_arguments(codec, "vxlan_packet", arguments, given, keywords, NAME_INNER, VALUES, 1, values))
        return NULL;
    char *inner;
    Py_ssize_t size;
    uint8_t headers[VXLAN_HEADERS];
    if (values[0] && PyBytes_CheckExact(values[0]) &&
        PyBytes_AsStringAndSize(values[0], &inner, &size) == 0) {
        size_t taken = usual_headers(values, (const uint8_t *)inner, (size_t)size, headers);
        PyObject *frame = taken ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)taken + size) : NULL;
        if (frame) {
            uint8_t *out = (uint8_t *)PyBytes_AsString(frame);
            memcpy(out, headers, taken);
            memcpy(out + taken, inner, (size_t)size);
            if (taken == VXLAN_HEADERS)
                sum_again(out, &(struct summed){.kind = VX_UDP,
                                                .ip = VX_IPV6,
                                                .at = 54,
                                                .size = 16 + (size_t)size,
                                                .ip_at = 14,
                                                .field = 6,
                                                .protocol = 17});
            return frame;
        }
        if (taken)
            return NULL;
    }
    PyObject *positional = PyTuple_New(values[0] ? 1 : 0), *named = PyDict_New(), *frame = NULL;
    bool good = positional && named;
    if (good && values[0])
        PyTuple_SetItem(positional, 0, Py_NewRef(values[0]));
    for (int i = 1; good && i < VALUES; i++)
        good = !values[i] || PyDict_SetItem(named, codec->names[NAME_INNER + i], values[i]) == 0;
    if (good)
        frame = PyObject_Call((PyObject *)codec->classes[PLAIN_VXLAN_PACKET], positional, named);
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return frame;
}

/* ---- the module's part ---- */

static void codec_dealloc(PyObject *self) {
    struct codec *codec = (struct codec *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (int i = 0; i < CLASS_COUNT; i++)
        Py_XDECREF((PyObject *)codec->classes[i]);
    for (int i = 0; i < NAME_COUNT; i++)
        Py_XDECREF(codec->names[i]);
    Py_XDECREF((PyObject *)codec->packet);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot codec_slots[] = {
    {Py_tp_dealloc, codec_dealloc},
    {0, NULL},
};

static PyType_Spec codec_spec = {
    .name = "vxtool._native.Codec",
    .basicsize = sizeof(struct codec),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = codec_slots,
};

static bool is_codec_class(int index, PyObject *item) {
    if (index == PLAIN_VXLAN_PACKET)
        return PyCallable_Check(item);
    if (!PyType_Check(item))
        return false;
    if (index < PACKET)
        return PyType_IsSubtype((PyTypeObject *)item, &PyTuple_Type);
    if (index > PACKET)
        return true;
    /* A type made from this one must begin as it does. */
    PyObject *size = PyObject_GetAttrString(item, "__basicsize__");
    bool fits = size && PyLong_AsSize_t(size) == offsetof(struct lazy, codec);
    Py_XDECREF(size);
    PyErr_Clear();
    return fits;
}

/* Fill in what a codec refers to. */
static bool fill_codec(struct codec *codec, PyObject *classes) {
    for (int i = 0; i < CLASS_COUNT; i++)
        codec->classes[i] = (PyTypeObject *)Py_NewRef(PyTuple_GetItem(classes, i));
    for (int i = 0; i < NAME_COUNT; i++)
        if (!(codec->names[i] = PyUnicode_InternFromString(name_texts[i])))
            return false;
    codec->packet = (PyTypeObject *)PyType_FromSpecWithBases(&lazy_spec, (PyObject *)codec->classes[PACKET]);
    return codec->packet != NULL;
}

static PyObject *new_codec(PyObject *classes) {
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(&codec_spec);
    PyObject *codec = type ? PyType_GenericAlloc(type, 0) : NULL;
    Py_XDECREF((PyObject *)type);
    if (codec && !fill_codec((struct codec *)codec, classes))
        Py_CLEAR(codec);
    return codec;
}

/* The casts are how Python's C API takes functions that are called fast. */
static PyMethodDef codec_functions[] = {
    {"decode", (PyCFunction)(void (*)(void))codec_decode, METH_FASTCALL | METH_KEYWORDS, decode_doc},
    {"encode", (PyCFunction)(void (*)(void))codec_encode, METH_FASTCALL | METH_KEYWORDS, encode_doc},
    {"repeat", codec_repeat, METH_VARARGS, repeat_doc},
    {"vxlan_packet", (PyCFunction)(void (*)(void))codec_vxlan_packet, METH_FASTCALL | METH_KEYWORDS,
     vxlan_packet_doc},
};
enum { FUNCTIONS = sizeof codec_functions / sizeof *codec_functions };

PyDoc_STRVAR(codec_doc, "codec(classes)\n--\n\n"
                        "Return the codec's functions for these classes; see vxtool.packet.choice.");

static PyObject *module_codec(PyObject *module, PyObject *classes) {
    (void)module;
    if (!PyTuple_Check(classes) || PyTuple_Size(classes) != CLASS_COUNT) {
        PyErr_Format(PyExc_TypeError, "codec: expected a tuple of %d classes", CLASS_COUNT);
        return NULL;
    }
    for (int i = 0; i < CLASS_COUNT; i++) {
        PyObject *item = PyTuple_GetItem(classes, i);
        if (!is_codec_class(i, item)) {
            PyErr_Format(PyExc_TypeError, "codec: expected a class at %d, found %R", i, item);
            return NULL;
        }
    }
    PyObject *codec = new_codec(classes), *functions = codec ? PyTuple_New(FUNCTIONS) : NULL;
    for (int i = 0; functions && i < FUNCTIONS; i++) {
        PyObject *function = PyCFunction_NewEx(&codec_functions[i], codec, NULL);
        if (!function)
            Py_CLEAR(functions);
        else
            PyTuple_SetItem(functions, i, function);
    }
    Py_XDECREF(codec);
    return functions;
}

int vx_add_codec(PyObject *module) {
    static PyMethodDef methods[] = {
        {"codec", module_codec, METH_O, codec_doc},
        {NULL, NULL, 0, NULL},
    };
    return PyModule_AddFunctions(module, methods);
}
