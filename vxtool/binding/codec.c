/* The C codec as Python sees it: decode and encode of vxtool.packet, with the values and error lines of
 * decoder.py and encoder.py.
 *
 * Nothing here knows the Python modules: `codec(classes)` is given the classes and returns two functions that
 * hold them. A layer is a NamedTuple, so fields are read and written by their index, in the order in
 * which the class declares them. */
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
    CLASS_COUNT,
};

enum { MAC_SIZE = 6, MAC_TEXT = 17, IPV4_ADDRESS = 4, IPV6_ADDRESS = 16, LARGEST_LENGTH = 0xFFFF };

static PyTypeObject *class_of(PyObject *classes, int index) {
    return (PyTypeObject *)PyTuple_GetItem(classes, index);
}

/* ---- values: fields to Python ---- */

/* A new NamedTuple that owns `count` fields. A field may be NULL with an error set: then all are released. */
static PyObject *made(PyObject *classes, int index, Py_ssize_t count, PyObject *const *fields) {
    PyObject *value = NULL;
    bool whole = true;
    for (Py_ssize_t i = 0; i < count; i++)
        whole = whole && fields[i];
    if (whole)
        value = PyType_GenericAlloc(class_of(classes, index), count);
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
    if (!inet_ntop(family, data, text, sizeof text))
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyUnicode_FromString(text);
}

static PyObject *ipv6_value(PyObject *classes, const uint8_t *header, size_t size) {
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
            value = made(classes, IPV6_FRAGMENT, 4,
                         (PyObject *[]){number(word & 0xFFF8), number(vx_be32(extension + 4)),
                                        number(word & 7), number(extension[1])});
        } else {
            value = made(classes, IPV6_EXTENSION, 2,
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
    return made(classes, VX_IPV6, 8,
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
static PyObject *option_value(PyObject *classes, const uint8_t *at, size_t taken, size_t left) {
    if (taken == 0)
        return made(classes, BROKEN_OPTION, 1, (PyObject *[]){bytes_of(at, left)});
    uint8_t kind = at[0];
    if (kind == 0)
        return made(classes, END_OF_OPTIONS, 2, (PyObject *[]){bytes_of(at + 1, left - 1), number(kind)});
    if (kind == 1)
        return made(classes, NOP, 1, (PyObject *[]){number(kind)});
    const uint8_t *data = at + 2;
    size_t size = taken - 2;
    if (kind == 2 && size == 2)
        return made(classes, MSS, 2, (PyObject *[]){number(vx_be16(data)), number(kind)});
    if (kind == 3 && size == 1)
        return made(classes, WINDOW_SCALE, 2, (PyObject *[]){number(data[0]), number(kind)});
    if (kind == 4 && size == 0)
        return made(classes, SACK_PERMITTED, 1, (PyObject *[]){number(kind)});
    if (kind == 5 && size % 8 == 0)
        return made(classes, SACK, 2, (PyObject *[]){sack_blocks(data, size), number(kind)});
    if (kind == 8 && size == 8)
        return made(classes, TIMESTAMPS, 3,
                    (PyObject *[]){number(vx_be32(data)), number(vx_be32(data + 4)), number(kind)});
    return made(classes, UNKNOWN_OPTION, 2, (PyObject *[]){bytes_of(data, size), number(kind)});
}

static PyObject *option_values(PyObject *classes, const uint8_t *options, size_t size) {
    PyObject *list = PyList_New(0);
    if (!list)
        return NULL;
    for (size_t at = 0; at < size;) {
        size_t taken = vx_tcp_option_size(options + at, size - at);
        PyObject *value = option_value(classes, options + at, taken, size - at);
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

static PyObject *layer_value(PyObject *classes, const struct vx_layer *layer, const uint8_t *data,
                             bool loop) {
    const uint8_t *at = data + layer->offset;
    switch (layer->kind) {
    case VX_ETHERNET:
        return made(classes, VX_ETHERNET, 3,
                    (PyObject *[]){mac_of(at + 6), mac_of(at), number(vx_be16(at + 12))});
    case VX_VLAN: {
        uint16_t control = vx_be16(at);
        return made(classes, VX_VLAN, 4,
                    (PyObject *[]){number(control & 0xFFF), number(control >> 13), number(control >> 12 & 1),
                                   number(vx_be16(at + 2))});
    }
    case VX_SLL:
        return made(classes, VX_SLL, 5,
                    (PyObject *[]){number(vx_be16(at)), number(vx_be16(at + 2)), number(vx_be16(at + 4)),
                                   bytes_of(at + 6, 8), number(vx_be16(at + 14))});
    case VX_SLL2:
        return made(classes, VX_SLL2, 7,
                    (PyObject *[]){number(vx_be32(at + 4)), number(at[10]), number(vx_be16(at + 8)),
                                   number(at[11]), bytes_of(at + 12, 8), number(vx_be16(at + 2)),
                                   number(vx_be16(at))});
    case VX_LOOPBACK: {
        bool big = loop || vx_loopback_is_big(at);
        uint32_t family = vx_be32(at);
        if (!big)
            family = (family & 0xFF) << 24 | (family & 0xFF00) << 8 | (family >> 8 & 0xFF00) | family >> 24;
        return made(classes, VX_LOOPBACK, 2,
                    (PyObject *[]){number(family), PyUnicode_InternFromString(big ? "big" : "little")});
    }
    case VX_IPV4: {
        uint16_t fragment = vx_be16(at + 6);
        return made(classes, VX_IPV4, 11,
                    (PyObject *[]){ip_of(AF_INET, at + 12), ip_of(AF_INET, at + 16), number(at[9]),
                                   number(at[8]), number(at[1]), number(vx_be16(at + 4)),
                                   number(fragment >> 13), number((fragment & 0x1FFFu) * 8),
                                   number(vx_be16(at + 2)), number(vx_be16(at + 10)),
                                   bytes_of(at + 20, layer->size - 20)});
    }
    case VX_IPV6:
        return ipv6_value(classes, at, layer->size);
    case VX_UDP:
        return made(classes, VX_UDP, 4,
                    (PyObject *[]){number(vx_be16(at)), number(vx_be16(at + 2)), number(vx_be16(at + 4)),
                                   number(vx_be16(at + 6))});
    case VX_TCP:
        return made(classes, VX_TCP, 9,
                    (PyObject *[]){number(vx_be16(at)), number(vx_be16(at + 2)), number(vx_be32(at + 4)),
                                   number(vx_be32(at + 8)), number(vx_be16(at + 12) & 0xFFF),
                                   number(vx_be16(at + 14)), number(vx_be16(at + 16)),
                                   number(vx_be16(at + 18)),
                                   option_values(classes, at + 20, layer->size - 20)});
    case VX_ICMP:
    case VX_ICMPV6:
        return made(
            classes, layer->kind, 4,
            (PyObject *[]){number(at[0]), number(at[1]), number(vx_be32(at + 4)), number(vx_be16(at + 2))});
    case VX_ARP:
        return made(classes, VX_ARP, 7,
                    (PyObject *[]){number(vx_be16(at + 6)), mac_of(at + 8), ip_of(AF_INET, at + 14),
                                   mac_of(at + 18), ip_of(AF_INET, at + 24), number(vx_be16(at)),
                                   number(vx_be16(at + 2))});
    case VX_VXLAN:
        return made(classes, VX_VXLAN, 4,
                    (PyObject *[]){number(vx_be32(at + 4) >> 8), number(at[0]),
                                   number(vx_be32(at) & 0xFFFFFF), number(at[7])});
    case VX_GENEVE:
        return made(classes, VX_GENEVE, 5,
                    (PyObject *[]){number(vx_be32(at + 4) >> 8), number(vx_be16(at + 2)), number(at[1]),
                                   number(at[7]), bytes_of(at + 8, layer->size - 8)});
    default:
        PyErr_SetString(PyExc_SystemError, "a layer of no kind");
        return NULL;
    }
}

/* ---- arguments: Python to fields ---- */

/* An integer of so many bits, else PacketError. Returns false with the error set. */
static bool fit(PyObject *classes, PyObject *value, int bits, const char *layer, const char *field,
                uint32_t *out) {
    if (!value)
        return false;
    unsigned long long most = (1ULL << bits) - 1;
    if (PyLong_Check(value)) {
        int overflow;
        long long got = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (got == -1 && !overflow && PyErr_Occurred())
            return false;
        if (!overflow && got >= 0 && (unsigned long long)got <= most) {
            *out = (uint32_t)got;
            return true;
        }
    }
    PyErr_Format((PyObject *)class_of(classes, PACKET_ERROR),
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

static bool link_of(PyObject *classes, PyObject *value, enum vx_link *link) {
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
    PyErr_Format((PyObject *)class_of(classes, PACKET_ERROR), "link type %R: expected one of %s", value,
                 known);
    return false;
}

static bool port_of(PyObject *classes, PyObject *item, struct vx_port *port) {
    PyObject *key, *kind;
    if (!PyArg_ParseTuple(item, "OO", &key, &kind))
        return false;
    if (PyUnicode_Check(kind) && PyUnicode_CompareWithASCIIString(kind, "vxlan") == 0) {
        port->kind = VX_VXLAN;
    } else if (PyUnicode_Check(kind) && PyUnicode_CompareWithASCIIString(kind, "geneve") == 0) {
        port->kind = VX_GENEVE;
    } else {
        PyErr_Format((PyObject *)class_of(classes, PACKET_ERROR),
                     "port %R: expected 'vxlan' or 'geneve', found %R", key, kind);
        return false;
    }
    uint32_t value;
    if (!fit(classes, key, 16, "ports", "port", &value))
        return false;
    port->port = (uint16_t)value;
    return true;
}

/* The ports of a mapping, to be freed; NULL with no error set for None, which leaves the usual ones. */
static struct vx_port *ports_of(PyObject *classes, PyObject *mapping, size_t *count) {
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
        if (!port_of(classes, PyList_GetItem(items, i), &ports[i])) {
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

static PyObject *problem_texts(const struct vx_packet *packet) {
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

static PyObject *layer_values(PyObject *classes, const struct vx_packet *packet, const uint8_t *data,
                              bool loop) {
    PyObject *layers = PyTuple_New((Py_ssize_t)packet->layer_count);
    for (size_t i = 0; layers && i < packet->layer_count; i++) {
        PyObject *value = layer_value(classes, &packet->layers[i], data, loop);
        if (!value)
            Py_CLEAR(layers);
        else
            PyTuple_SetItem(layers, (Py_ssize_t)i, value);
    }
    return layers;
}

static PyObject *packet_value(PyObject *classes, const struct vx_packet *packet, const uint8_t *data,
                              size_t size, bool loop) {
    size_t end = packet->limit < size ? packet->limit : size;
    PyObject *value = NULL, *layers = layer_values(classes, packet, data, loop);
    PyObject *payload = layers ? bytes_of(data + packet->payload, end - packet->payload) : NULL;
    PyObject *padding = payload ? bytes_of(data + end, size - end) : NULL;
    PyObject *problems = padding ? problem_texts(packet) : NULL;
    if (problems)
        value = PyObject_CallFunctionObjArgs((PyObject *)class_of(classes, PACKET), layers, payload, padding,
                                             problems, NULL);
    Py_XDECREF(layers);
    Py_XDECREF(payload);
    Py_XDECREF(padding);
    Py_XDECREF(problems);
    return value;
}

PyDoc_STRVAR(decode_doc, "decode(data, link_type=1, length=None, ports=None)\n--\n\n"
                         "Decode one packet; see vxtool.packet.decoder.decode.");

static PyObject *codec_decode(PyObject *classes, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"data", "link_type", "length", "ports", NULL};
    PyObject *data, *link_type = NULL, *length = NULL, *mapping = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|OOO:decode", names, &data, &link_type, &length,
                                     &mapping))
        return NULL;
    PyObject *bytes = as_bytes(data), *value = NULL;
    if (!bytes)
        return NULL;
    struct vx_port *ports = NULL;
    size_t port_count;
    enum vx_link link;
    uint32_t wire = 0;
    if (!link_of(classes, link_type, &link))
        goto done;
    ports = ports_of(classes, mapping, &port_count);
    if (!ports && PyErr_Occurred())
        goto done;
    if (length && length != Py_None && !fit(classes, length, 32, "record", "length", &wire))
        goto done;
    const uint8_t *start = (const uint8_t *)PyBytes_AsString(bytes);
    size_t size = (size_t)PyBytes_Size(bytes);
    struct vx_packet packet;
    if (vx_decode(start, size, wire, link, ports, port_count, &packet)) {
        value = packet_value(classes, &packet, start, size, link == VX_LINK_LOOP);
    } else {
        char line[VX_PROBLEM_TEXT];
        vx_problem_text(&packet.problems[0], line);
        PyErr_SetString((PyObject *)class_of(classes, PACKET_ERROR), line);
    }
done:
    free(ports);
    Py_DECREF(bytes);
    return value;
}

/* ---- encode ---- */

/* A packet under construction, filled from the end to the front: its bytes are those from `start` to `end` of
 * `buffer`. Behind `end`, up to `capacity`, the padding waits until its frame is reached. */
struct building {
    PyObject *classes;
    PyObject *layers;
    uint8_t *buffer;
    size_t capacity, start, end;
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
static enum vx_kind kind_of(const struct building *building, PyObject *value) {
    for (int kind = 0; kind <= VX_GENEVE; kind++)
        if (PyObject_TypeCheck(value, class_of(building->classes, kind)))
            return (enum vx_kind)kind;
    return VX_NONE;
}

/* The kind of the layer at an index, VX_NONE beyond the ends. */
static enum vx_kind kind_at(const struct building *building, Py_ssize_t index) {
    if (index < 0 || index >= PyTuple_Size(building->layers))
        return VX_NONE;
    return kind_of(building, PyTuple_GetItem(building->layers, index));
}

static bool is_ip(enum vx_kind kind) { return kind == VX_IPV4 || kind == VX_IPV6; }

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
    return fit(layer->building->classes, field_at(layer, index), bits, layer->name, field, out);
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
        PyErr_Format((PyObject *)class_of(layer->building->classes, PACKET_ERROR),
                     "%s.%s: expected bytes, found %R", layer->name, field, value);
        return false;
    }
    *data = (const uint8_t *)PyBytes_AsString(value);
    *size = (size_t)PyBytes_Size(value);
    return true;
}

/* The text of a str without zero bytes, or NULL with no error set for anything else. */
static const char *text_of(PyObject *value) {
    if (!PyUnicode_Check(value))
        return NULL;
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(value, &size);
    if (!text)
        PyErr_Clear();
    return text && strlen(text) == (size_t)size ? text : NULL;
}

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

static bool mac_at(const struct emission *layer, Py_ssize_t index, const char *field, uint8_t *out) {
    PyObject *value = field_at(layer, index);
    if (!value)
        return false;
    const char *text = text_of(value);
    bool good = text && strlen(text) == MAC_TEXT;
    for (int i = 0; good && i < MAC_SIZE; i++) {
        int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);
        good = high >= 0 && low >= 0 && (i == MAC_SIZE - 1 || text[3 * i + 2] == ':');
        if (good)
            out[i] = (uint8_t)(high << 4 | low);
    }
    if (!good)
        PyErr_Format((PyObject *)class_of(layer->building->classes, PACKET_ERROR),
                     "%s.%s: expected a MAC address such as 02:00:00:00:00:01, found %R", layer->name, field,
                     value);
    return good;
}

static bool ip_at(const struct emission *layer, Py_ssize_t index, int family, const char *field,
                  uint8_t *out) {
    PyObject *value = field_at(layer, index);
    if (!value)
        return false;
    const char *text = text_of(value);
    if (text && inet_pton(family, text, out) == 1)
        return true;
    PyErr_Format((PyObject *)class_of(layer->building->classes, PACKET_ERROR),
                 "%s.%s: expected an %s address, found %R", layer->name, field,
                 family == AF_INET ? "IPv4" : "IPv6", value);
    return false;
}

/* The sum of the pseudo-header for a transport of all bytes built so far (RFC 768, RFC 8200 section 8.1). */
static bool pseudo_sum(const struct emission *transport, uint8_t protocol, uint64_t *sum) {
    struct building *building = transport->building;
    enum vx_kind before = kind_at(building, transport->index - 1);
    if (!is_ip(before)) {
        PyErr_Format((PyObject *)class_of(building->classes, PACKET_ERROR),
                     "%s.checksum: expected an IP layer before it, found none", transport->name);
        return false;
    }
    bool four = before == VX_IPV4;
    struct emission ip = {building, PyTuple_GetItem(building->layers, transport->index - 1),
                          transport->index - 1, four ? "IPv4" : "IPv6"};
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
    PyErr_Format((PyObject *)class_of(layer->building->classes, PACKET_ERROR),
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
        PyErr_Format((PyObject *)class_of(layer->building->classes, PACKET_ERROR),
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
        PyErr_Format((PyObject *)class_of(layer->building->classes, PACKET_ERROR),
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
        PyErr_Format((PyObject *)class_of(layer->building->classes, PACKET_ERROR),
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
        good = kind && fit(layer->building->classes, kind, 8, "IPv6Extension", "kind", following);
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
        PyErr_Format((PyObject *)class_of(layer->building->classes, PACKET_ERROR),
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
    struct emission layer = {building, PyTuple_GetItem(building->layers, index), index, NULL};
    switch (kind_of(building, layer.value)) {
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
        PyErr_Format((PyObject *)class_of(building->classes, PACKET_ERROR),
                     "layer %zd: expected a layer of vxtool.packet, found %R", index, layer.value);
        return false;
    }
}

static PyObject *build(PyObject *classes, PyObject *layers, PyObject *payload, PyObject *padding) {
    size_t payload_size = (size_t)PyBytes_Size(payload), padding_size = (size_t)PyBytes_Size(padding);
    Py_ssize_t count = PyTuple_Size(layers), innermost = count;
    size_t capacity = payload_size + padding_size + 64 * ((size_t)count + 1);
    struct building building = {.classes = classes,
                                .layers = layers,
                                .buffer = malloc(capacity),
                                .capacity = capacity,
                                .start = capacity - padding_size - payload_size,
                                .end = capacity - padding_size};
    if (!building.buffer)
        return PyErr_NoMemory();
    memcpy(building.buffer + building.start, PyBytes_AsString(payload), payload_size);
    memcpy(building.buffer + building.end, PyBytes_AsString(padding), padding_size);
    for (Py_ssize_t i = 0; i < count; i++)
        if (is_ip(kind_at(&building, i)))
            innermost = i;
    if (innermost == count)
        building.end = building.capacity;
    bool good = true;
    for (Py_ssize_t i = count - 1; good && i >= 0; i--) {
        good = emit_layer(&building, i);
        if (i == innermost)
            building.end = building.capacity;
    }
    PyObject *data = good ? bytes_of(building.buffer + building.start, built(&building)) : NULL;
    free(building.buffer);
    return data;
}

PyDoc_STRVAR(encode_doc, "encode(*layers, payload=b'', padding=b'')\n--\n\n"
                         "Return the bytes of a packet; see vxtool.packet.encoder.encode.");

static PyObject *codec_encode(PyObject *classes, PyObject *layers, PyObject *keywords) {
    static char *names[] = {"payload", "padding", NULL};
    PyObject *payload = NULL, *padding = NULL, *none = PyTuple_New(0), *data = NULL;
    bool good = none && PyArg_ParseTupleAndKeywords(none, keywords, "|$OO:encode", names, &payload, &padding);
    Py_XDECREF(none);
    if (!good)
        return NULL;
    payload = payload ? as_bytes(payload) : PyBytes_FromStringAndSize("", 0);
    padding = padding && payload ? as_bytes(padding) : PyBytes_FromStringAndSize("", 0);
    if (payload && padding)
        data = build(classes, layers, payload, padding);
    Py_XDECREF(payload);
    Py_XDECREF(padding);
    return data;
}

/* ---- the module's part ---- */

/* The casts are how Python's C API takes functions with keywords. */
static PyMethodDef decode_method = {"decode", (PyCFunction)(void (*)(void))codec_decode,
                                    METH_VARARGS | METH_KEYWORDS, decode_doc};
static PyMethodDef encode_method = {"encode", (PyCFunction)(void (*)(void))codec_encode,
                                    METH_VARARGS | METH_KEYWORDS, encode_doc};

PyDoc_STRVAR(codec_doc, "codec(classes)\n--\n\n"
                        "Return decode and encode for these classes; see vxtool.packet.choice.");

static PyObject *module_codec(PyObject *module, PyObject *classes) {
    (void)module;
    if (!PyTuple_Check(classes) || PyTuple_Size(classes) != CLASS_COUNT) {
        PyErr_Format(PyExc_TypeError, "codec: expected a tuple of %d classes", CLASS_COUNT);
        return NULL;
    }
    for (int i = 0; i < CLASS_COUNT; i++) {
        PyObject *item = PyTuple_GetItem(classes, i);
        bool layer = i < PACKET;
        if (!PyType_Check(item) || (layer && !PyType_IsSubtype((PyTypeObject *)item, &PyTuple_Type))) {
            PyErr_Format(PyExc_TypeError, "codec: expected a class at %d, found %R", i, item);
            return NULL;
        }
    }
    PyObject *decode = PyCFunction_NewEx(&decode_method, classes, NULL);
    PyObject *encode = decode ? PyCFunction_NewEx(&encode_method, classes, NULL) : NULL;
    if (!encode) {
        Py_XDECREF(decode);
        return NULL;
    }
    return Py_BuildValue("(NN)", decode, encode);
}

int vx_add_codec(PyObject *module) {
    static PyMethodDef methods[] = {
        {"codec", module_codec, METH_O, codec_doc},
        {NULL, NULL, 0, NULL},
    };
    return PyModule_AddFunctions(module, methods);
}
