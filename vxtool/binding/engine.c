/* The C engine as Python sees it: vxtool._native.Engine, which vxtool/engine/native_engine.py wraps.
 *
 * Bytes are taken without the GIL. An engine in use by one thread refuses all others, rather than let them
 * wait: who shares one has made a mistake. Only once it is split may its two halves be in use by two threads,
 * of which one reads records and the other takes them. Tables come out as lists of plain tuples, in which
 * flows, paths and places are numbers of other lists; each method below says what its rows hold. */
#define _POSIX_C_SOURCE 200809L /* for clock_gettime */
#include "engine.h"
#include "binding.h"
#include "values.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef enum { READY, FINISHED, USED_UP } engine_state;

typedef struct {
    PyObject_HEAD vx_engine *engine;
    uint32_t inputs;
    uint64_t seed;
    bool part;
    bool busy;    /* the half that takes records, and */
    bool reading; /* the half that reads them */
    bool providing;
    bool split;   /* the halves may be in use by two threads, until all is taken */
    bool stopped; /* which will never be */
    engine_state state;
} Engine;

/* ---- one thread at a time ---- */

static int refuse(void) {
    PyErr_SetString(PyExc_RuntimeError, "the engine is in use by another thread");
    return -1;
}

static int check_state(const Engine *self, engine_state wanted) {
    if (self->state != wanted) {
        PyErr_SetString(PyExc_RuntimeError, self->state == READY      ? "the engine is not finished"
                                            : self->state == FINISHED ? "the engine has given its tables"
                                                                      : "the engine was merged into another");
        return -1;
    }
    return 0;
}

/* Begin to use the whole engine: 0, or -1 with an error set. */
static int enter(Engine *self, engine_state wanted) {
    if (self->busy || self->reading)
        return refuse();
    if (check_state(self, wanted) < 0)
        return -1;
    if (self->split) {
        PyErr_SetString(PyExc_RuntimeError, "the engine is split: what was read has not all been taken");
        return -1;
    }
    self->busy = true;
    return 0;
}

static int check_split(const Engine *self) {
    if (self->split)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "the engine is not split");
    return -1;
}

/* Begin to use one of the halves: 0, or -1 with an error set. */
static int enter_half(const Engine *self, bool *in_use) {
    if (*in_use)
        return refuse();
    if (check_state(self, READY) < 0)
        return -1;
    *in_use = true;
    return 0;
}

static PyObject *leave(Engine *self, int status) {
    self->busy = false;
    if (status < 0)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static bool is_input(const Engine *self, Py_ssize_t input) {
    if (input >= 0 && input < (Py_ssize_t)self->inputs)
        return true;
    PyErr_Format(PyExc_IndexError, "input %zd: the engine has %u", input, (unsigned)self->inputs);
    return false;
}

/* ---- bytes in ---- */

static PyObject *engine_feed(PyObject *object, PyObject *args) {
    Engine *self = (Engine *)object;
    Py_ssize_t input;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "ny*:feed", &input, &data))
        return NULL;
    PyObject *result = NULL;
    if (is_input(self, input) && enter(self, READY) == 0) {
        int status;
        Py_BEGIN_ALLOW_THREADS;
        status = vx_engine_feed(self->engine, (uint32_t)input, data.buf, (size_t)data.len);
        Py_END_ALLOW_THREADS;
        result = leave(self, status);
    }
    PyBuffer_Release(&data);
    return result;
}

static PyObject *engine_end(PyObject *object, PyObject *argument) {
    Engine *self = (Engine *)object;
    Py_ssize_t input = PyLong_AsSsize_t(argument);
    if ((input == -1 && PyErr_Occurred()) || !is_input(self, input) || enter(self, READY) < 0)
        return NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS;
    status = vx_engine_end(self->engine, (uint32_t)input);
    Py_END_ALLOW_THREADS;
    return leave(self, status);
}

/* ---- bytes in, in two halves ---- */

static PyObject *engine_split(PyObject *object, PyObject *unused) {
    (void)unused;
    Engine *self = (Engine *)object;
    if (self->providing) {
        refuse();
        return NULL;
    }
    if (enter(self, READY) < 0)
        return NULL;
    int status = vx_engine_split(self->engine);
    self->split = status == 0;
    return leave(self, status);
}

/* Whether the other half still takes what is read. */
static PyObject *leave_reading(Engine *self, int status) {
    self->reading = false;
    return status < 0 ? PyErr_NoMemory() : PyBool_FromLong(status);
}

static PyObject *engine_read(PyObject *object, PyObject *args) {
    Engine *self = (Engine *)object;
    Py_ssize_t input;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "ny*:read", &input, &data))
        return NULL;
    PyObject *result = NULL;
    if (is_input(self, input) && check_split(self) == 0 && enter_half(self, &self->reading) == 0) {
        int status;
        Py_BEGIN_ALLOW_THREADS;
        status = vx_engine_read(self->engine, (uint32_t)input, data.buf, (size_t)data.len);
        Py_END_ALLOW_THREADS;
        result = leave_reading(self, status);
    }
    PyBuffer_Release(&data);
    return result;
}

static int feed_piece(vx_engine *engine, uint32_t input, const uint8_t *data, size_t length) {
    return vx_engine_feed(engine, input, data, length) < 0 ? -1 : 1;
}

/* The rest of a file, in pieces of at most `size` bytes. */
typedef struct {
    uint32_t input;
    int descriptor;
    size_t size;
} file_rest;

static uint64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Read it until the engine wants another input or none, so much time has passed, nothing more can be read, a
 * signal came, or a piece is not taken: 1, 0: the other half has stopped, -1: no memory. `give`: feed_piece
 * or vx_engine_read. */
static int read_pieces(vx_engine *engine, const file_rest *rest,
                       int (*give)(vx_engine *, uint32_t, const uint8_t *, size_t)) {
    enum { MOST = 50 }; /* ms: so long nothing is told of the progress, and nobody can interrupt */
    uint8_t *piece = vx_resize(NULL, rest->size, 1);
    int status = piece != NULL ? 1 : -1;
    uint64_t begin = milliseconds();
    while (status == 1 && vx_engine_wants(engine) == rest->input && milliseconds() - begin <= MOST) {
        ssize_t length = read(rest->descriptor, piece, rest->size);
        if (length <= 0)
            break;
        status = give(engine, rest->input, piece, (size_t)length);
    }
    free(piece);
    return status;
}

/* The arguments (input, descriptor, size): whether they make sense, else an error is set. */
static bool rest_of(const Engine *self, PyObject *args, file_rest *rest) {
    Py_ssize_t input, size;
    if (!PyArg_ParseTuple(args, "nin", &input, &rest->descriptor, &size) || !is_input(self, input))
        return false;
    if (size < 1) {
        PyErr_SetString(PyExc_ValueError, "pieces of at least one byte are wanted");
        return false;
    }
    rest->input = (uint32_t)input;
    rest->size = (size_t)size;
    return true;
}

static PyObject *engine_feed_from(PyObject *object, PyObject *args) {
    Engine *self = (Engine *)object;
    file_rest rest;
    if (!rest_of(self, args, &rest) || enter(self, READY) < 0)
        return NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS;
    status = read_pieces(self->engine, &rest, feed_piece);
    Py_END_ALLOW_THREADS;
    return leave(self, status);
}

static PyObject *engine_read_from(PyObject *object, PyObject *args) {
    Engine *self = (Engine *)object;
    file_rest rest;
    if (!rest_of(self, args, &rest) || check_split(self) < 0 || enter_half(self, &self->reading) < 0)
        return NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS;
    status = read_pieces(self->engine, &rest, vx_engine_read);
    Py_END_ALLOW_THREADS;
    return leave_reading(self, status);
}

static PyObject *engine_read_end(PyObject *object, PyObject *argument) {
    Engine *self = (Engine *)object;
    Py_ssize_t input = PyLong_AsSsize_t(argument);
    if ((input == -1 && PyErr_Occurred()) || !is_input(self, input) || check_split(self) < 0 ||
        enter_half(self, &self->reading) < 0)
        return NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS;
    status = vx_engine_read_end(self->engine, (uint32_t)input);
    Py_END_ALLOW_THREADS;
    return leave_reading(self, status);
}

static PyObject *engine_read_all(PyObject *object, PyObject *unused) {
    (void)unused;
    Engine *self = (Engine *)object;
    if (check_split(self) < 0)
        return NULL;
    vx_engine_read_all(self->engine);
    Py_RETURN_NONE;
}

static PyObject *engine_take(PyObject *object, PyObject *unused) {
    enum { LONGEST_WAIT = 1000 }; /* ms */
    (void)unused;
    Engine *self = (Engine *)object;
    if (check_split(self) < 0 || enter_half(self, &self->busy) < 0)
        return NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS;
    do
        status = vx_engine_take(self->engine, LONGEST_WAIT);
    while (status > 0);
    Py_END_ALLOW_THREADS;
    self->busy = false;
    if (status < 0)
        return PyErr_NoMemory();
    self->split = self->stopped;
    return PyBool_FromLong(!self->stopped);
}

static PyObject *engine_provide(PyObject *object, PyObject *argument) {
    Engine *self = (Engine *)object;
    unsigned long milliseconds = PyLong_AsUnsignedLong(argument);
    if (milliseconds == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    if (milliseconds > INT32_MAX)
        milliseconds = INT32_MAX;
    if (enter_half(self, &self->providing) < 0)
        return NULL;
    bool goes_on;
    Py_BEGIN_ALLOW_THREADS;
    goes_on = vx_engine_provide(self->engine, (unsigned)milliseconds);
    Py_END_ALLOW_THREADS;
    self->providing = false;
    return PyBool_FromLong(goes_on);
}

static PyObject *engine_stop(PyObject *object, PyObject *unused) {
    (void)unused;
    Engine *self = (Engine *)object;
    if (self->split) { /* else all is taken, and there is nothing to be stopped */
        self->stopped = true;
        vx_engine_stop(self->engine);
    }
    Py_RETURN_NONE;
}

static PyObject *engine_wants(PyObject *object, PyObject *unused) {
    (void)unused;
    Engine *self = (Engine *)object;
    if (enter_half(self, &self->reading) < 0)
        return NULL;
    uint32_t input = vx_engine_wants(self->engine);
    self->reading = false;
    if (input == VX_NONE)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(input);
}

static PyObject *engine_merge(PyObject *object, PyObject *argument) {
    Engine *self = (Engine *)object;
    if (Py_TYPE(argument) != Py_TYPE(object)) {
        PyErr_SetString(PyExc_TypeError, "only an engine of the same kind can be merged");
        return NULL;
    }
    Engine *other = (Engine *)argument;
    if (self == other || !other->part || other->inputs != self->inputs || other->seed != self->seed) {
        PyErr_SetString(PyExc_ValueError, "only a part of the same inputs can be merged");
        return NULL;
    }
    if (enter(self, READY) < 0)
        return NULL;
    if (enter(other, READY) < 0) {
        self->busy = false;
        return NULL;
    }
    int status;
    vx_engine *used_up = other->engine;
    other->engine = NULL; /* `records` may be asked for meanwhile */
    other->state = USED_UP;
    other->busy = false;
    Py_BEGIN_ALLOW_THREADS;
    status = vx_engine_merge(self->engine, used_up);
    vx_engine_free(used_up);
    Py_END_ALLOW_THREADS;
    return leave(self, status);
}

static PyObject *engine_finish(PyObject *object, PyObject *unused) {
    (void)unused;
    Engine *self = (Engine *)object;
    if (self->part) {
        PyErr_SetString(PyExc_ValueError,
                        "a part has no tables of its own: merge it into an engine that is none");
        return NULL;
    }
    if (enter(self, READY) < 0)
        return NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS;
    status = vx_engine_finish(self->engine);
    Py_END_ALLOW_THREADS;
    self->state = FINISHED;
    return leave(self, status);
}

static PyObject *engine_records(PyObject *object, void *unused) {
    (void)unused;
    const Engine *self = (Engine *)object;
    /* One word, which another thread may be counting up: it is for a progress bar. */
    return PyLong_FromUnsignedLongLong(self->engine != NULL ? vx_engine_records(self->engine) : 0);
}

static PyObject *engine_new(PyTypeObject *type, PyObject *args, PyObject *keywords);

const vx_tally *vx_finished_tally(PyObject *engine) {
    /* Each module object has a type of its own; this is what they share. */
    if (PyType_GetSlot(Py_TYPE(engine), Py_tp_new) != (void *)engine_new) {
        PyErr_SetString(PyExc_TypeError, "only an engine can be asked");
        return NULL;
    }
    const Engine *self = (Engine *)engine;
    return check_state(self, FINISHED) < 0 ? NULL : vx_engine_tally(self->engine);
}

/* ---- values ---- */

static PyObject *none(void) { return Py_NewRef(Py_None); }

static PyObject *text_or_none(const char *text) {
    return text == NULL || *text == '\0' ? none() : PyBytes_FromString(text);
}

static unsigned long long record_of(vx_sample sample) {
    return sample.where & ((UINT64_C(1) << VX_RECORD_BITS) - 1);
}

static unsigned input_of(vx_sample sample) { return (unsigned)(sample.where >> VX_RECORD_BITS); }

/* [(time, input, record), ...] */
static PyObject *samples_of(const vx_samples *samples) {
    PyObject *list = PyList_New(samples->count);
    for (unsigned i = 0; list != NULL && i < samples->count; i++) {
        vx_sample sample = samples->samples[i];
        PyObject *row = Py_BuildValue("(LIK)", (long long)sample.time, input_of(sample), record_of(sample));
        if (row == NULL || PyList_SetItem(list, i, row) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* {key: count} */
static PyObject *counts_of(const vx_map *counts) {
    PyObject *dict = PyDict_New();
    for (uint32_t i = 0; dict != NULL && i < vx_map_count(counts); i++) {
        const vx_count *row = vx_map_at(counts, i);
        PyObject *key = PyLong_FromLongLong((long long)row->key);
        PyObject *count = PyLong_FromUnsignedLongLong(row->count);
        if (key == NULL || count == NULL || PyDict_SetItem(dict, key, count) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(key);
        Py_XDECREF(count);
    }
    return dict;
}

/* ---- tables out: each gives a new reference, or NULL with an error set ---- */

/* (first time, last time, width of a step), the times None without records */
static PyObject *times_of(const Engine *self, const vx_tally *tally) {
    if (!vx_engine_has_records(self->engine))
        return Py_BuildValue("(OOL)", Py_None, Py_None, (long long)tally->step);
    return Py_BuildValue("(LLL)", (long long)tally->first_time, (long long)tally->last_time,
                         (long long)tally->step);
}

static PyObject *counters_of(const vx_tally *tally) {
    const uint64_t *counters = (const uint64_t *)&tally->counters;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < sizeof tally->counters / sizeof *counters; i++)
        if (append(list, PyLong_FromUnsignedLongLong(counters[i])) < 0)
            Py_CLEAR(list);
    return list;
}

/* (SLL2 index, input, interface, name, link type, records in, out, unknown) */
static PyObject *interface_of(const vx_tally *tally, uint32_t number) {
    const vx_interface_row *row = vx_map_at(&tally->interfaces, number);
    return Py_BuildValue("(LiiNIKKK)", (long long)row->index, (int)row->input, (int)row->interface,
                         text_or_none(row->name), (unsigned)row->link_type,
                         (unsigned long long)row->records[0], (unsigned long long)row->records[1],
                         (unsigned long long)row->records[2]);
}

/* (interface, direction, wear, loopback, MACs) */
static PyObject *place_of(const vx_tally *tally, uint32_t number) {
    const vx_place *row = vx_map_at(&tally->places, number);
    return Py_BuildValue("(IiiNN)", (unsigned)row->interface, (int)row->direction, (int)row->wear,
                         PyBool_FromLong(row->loopback),
                         octets(row->macs, row->has_macs ? sizeof row->macs : 0));
}

/* (flags, [place << 2 | form, ...]) */
static PyObject *path_of(const vx_tally *tally, uint32_t number) {
    const vx_path *row = vx_map_at(&tally->paths, number);
    PyObject *stages = PyList_New(0);
    for (uint32_t i = 0; stages != NULL && i < row->count; i++)
        if (append(stages, PyLong_FromUnsignedLongLong(row->stages[i])) < 0)
            Py_CLEAR(stages);
    return stages == NULL ? NULL : Py_BuildValue("(IN)", (unsigned)row->flags, stages);
}

/* (VNI, protocol, source, source port, destination, destination port), as FlowKey of tables.py has them */
static PyObject *flow_key(int vni, const vx_ends *ends) {
    enum { NON_IP = 1 << 16, OPAQUE = 1 << 17, NO_PORT = -1, TAIL_PORT = -2 };
    bool is_ip = !(ends->shape & (VX_KEY_OPAQUE | VX_KEY_NON_IP));
    size_t size = !is_ip ? 0 : ends->shape & VX_KEY_IPV6 ? 16 : 4;
    int protocol = ends->shape & VX_KEY_FOLDED   ? (int)vx_folded_protocol(ends)
                   : ends->shape & VX_KEY_OPAQUE ? OPAQUE
                   : is_ip                       ? ends->protocol
                                                 : NON_IP + ends->fragment_offset;
    int source_port = ends->shape & VX_KEY_SOURCE_PORT ? ends->source_port : NO_PORT;
    if (is_ip && ends->fragment_offset > 0)
        source_port = TAIL_PORT;
    int destination_port = ends->shape & VX_KEY_DESTINATION_PORT ? ends->destination_port : NO_PORT;
    return Py_BuildValue("(iiNiNi)", vni, protocol, octets(ends->addresses, size), source_port,
                         octets(ends->addresses + size, size), destination_port);
}

static PyObject *flow_key_of(const vx_tally *tally, uint32_t number) {
    const vx_flow *row = vx_map_at(&tally->flows, number);
    return flow_key(row->vni, &row->ends);
}

static PyObject *ranges_of(const vx_flow *flow) {
    const int64_t *ranges = vx_flow_ranges(flow);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < flow->range_count; i++)
        if (append(list, Py_BuildValue("(LL)", (long long)ranges[2 * i], (long long)ranges[2 * i + 1])) < 0)
            Py_CLEAR(list);
    return list;
}

/* ((time, input, record), outer source, outer destination, TCP flags, MSS, options, data bytes, ranges,
 * folded, acknowledged, outer source port) */
static PyObject *flow_of(const vx_tally *tally, uint32_t number) {
    const vx_flow *row = vx_map_at(&tally->flows, number);
    const uint8_t *addresses = NULL;
    size_t size = 0;
    if (row->underlay != VX_NONE) {
        const vx_underlay_key *underlay =
            &((const vx_underlay *)vx_map_at(&tally->underlays, row->underlay))->key;
        addresses = underlay->addresses;
        size = underlay->size;
    }
    int port = row->ports_seen == 1 ? row->port : row->ports_seen == 0 ? -1 : -2;
    return Py_BuildValue(
        "((LIK)NNiiiKNNIii)", (long long)row->first.time, input_of(row->first), record_of(row->first),
        octets(addresses, size), octets(size > 0 ? addresses + size : NULL, size), (int)row->tcp_flags,
        (int)row->mss, (int)row->options, (unsigned long long)row->data_bytes, ranges_of(row),
        PyBool_FromLong(row->ranges_folded), (unsigned)row->acknowledged, port, (int)row->segment);
}

/* (flow, path, datagrams, inner bytes, outer bytes, wire packets, wire bytes, egress packets, fragmented,
 * smallest, largest, last time, samples), the first of which has the first time; the flow -1 stands for those
 * beyond the limit */
static PyObject *cell_of(const vx_tally *tally, uint32_t number) {
    const vx_cell *row = vx_cell_at(tally, number);
    vx_wire wire = vx_cell_wire(tally, number);
    vx_samples samples = vx_cell_samples(tally, number);
    return Py_BuildValue("(lIKKKKKKKIILN)", flow_number(row->flow), (unsigned)row->path,
                         (unsigned long long)row->datagrams, (unsigned long long)row->inner_bytes,
                         (unsigned long long)row->outer_bytes, (unsigned long long)wire.packets,
                         (unsigned long long)wire.bytes, (unsigned long long)wire.egress_packets,
                         (unsigned long long)wire.fragmented, (unsigned)row->smallest, (unsigned)row->largest,
                         (long long)row->last_time, samples_of(&samples));
}

static PyObject *buckets_of(const vx_latencies *latencies) {
    PyObject *list = PyList_New(0);
    for (unsigned page = 0; list != NULL && page < VX_LATENCY_PAGES; page++) {
        for (unsigned i = 0; list != NULL && latencies->pages[page] != NULL && i < 64; i++) {
            unsigned long long count = latencies->pages[page][i];
            if (count > 0 && append(list, Py_BuildValue("(IK)", page * 64 + i, count)) < 0)
                Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *exact_of(const vx_latencies *latencies) {
    if (latencies->count > VX_EXACT_LATENCIES)
        return none();
    PyObject *list = PyList_New(0);
    for (uint64_t i = 0; list != NULL && i < latencies->count; i++)
        if (append(list, PyLong_FromUnsignedLongLong(latencies->exact[i])) < 0)
            Py_CLEAR(list);
    if (list != NULL && PyList_Sort(list) < 0)
        Py_CLEAR(list);
    return list;
}

/* (count, total, 2^64 so many times beside it, smallest, largest, [(bucket, count), ...], exact ones or
 * None), or None where a path has none */
static PyObject *latencies_of(const vx_tally *tally, uint32_t number) {
    const vx_latencies *row = ((const vx_path *)vx_map_at(&tally->paths, number))->latencies;
    if (row == NULL)
        return none();
    return Py_BuildValue("(KKKKKNN)", (unsigned long long)row->count, (unsigned long long)row->total,
                         (unsigned long long)row->carried, (unsigned long long)row->smallest,
                         (unsigned long long)row->largest, buckets_of(row), exact_of(row));
}

static PyObject *ports_of(const vx_underlay *underlay) {
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && underlay->ports == NULL && i < underlay->few_ports; i++)
        if (append(list, PyLong_FromLong(underlay->few[i])) < 0)
            Py_CLEAR(list);
    for (uint32_t port = 0; list != NULL && underlay->ports != NULL && port < 65536; port++)
        if (underlay->ports[port >> 6] >> (port & 63) & 1 && append(list, PyLong_FromLong((long)port)) < 0)
            Py_CLEAR(list);
    return list;
}

/* (source, destination, wear, destination port, datagrams, outer bytes, source ports, first record as (time,
 * input, record)), or None for one that no datagram was counted under */
static PyObject *tunnel_of(const vx_tally *tally, uint32_t number) {
    const vx_underlay *row = vx_map_at(&tally->underlays, number);
    if (row->datagrams == 0)
        return none();
    const vx_underlay_key *key = &row->key;
    size_t size = key->size;
    return Py_BuildValue("(NNiiKKN(LIK))", octets(key->addresses, size), octets(key->addresses + size, size),
                         (int)key->wear, (int)key->destination_port, (unsigned long long)row->datagrams,
                         (unsigned long long)row->outer_bytes, ports_of(row), (long long)row->first.time,
                         input_of(row->first), record_of(row->first));
}

/* (flow, outer length, inner length, payload length, count) */
static PyObject *large_of(const vx_tally *tally, uint32_t number) {
    const vx_large *row = vx_map_at(&tally->large, number);
    return Py_BuildValue("(lIIIK)", flow_number(row->flow), (unsigned)row->outer_length,
                         (unsigned)row->inner_length, (unsigned)row->payload_length,
                         (unsigned long long)row->count);
}

/* ((time, input, record), cell, inner length, flags, ICMP type << 8 | code or -1, source port or -1, latency
 * or -1) */
static PyObject *datagram_of(const vx_tally *tally, uint32_t number) {
    const vx_datagram *row = &tally->datagrams[number];
    return Py_BuildValue("((LIK)IIiiiL)", (long long)row->sample.time, input_of(row->sample),
                         record_of(row->sample), (unsigned)row->cell, (unsigned)row->inner_length,
                         (int)row->flags, vx_datagram_icmp(row), vx_datagram_port(row),
                         (long long)row->latency);
}

/* (input, record, input and record of its datagram's first) */
static PyObject *sighted_of(const vx_tally *tally, uint32_t number) {
    const vx_sighted *row = &tally->sighted[number];
    vx_sample record = {.where = row->record}, first = {.where = row->first};
    return Py_BuildValue("(IKIK)", input_of(record), record_of(record), input_of(first), record_of(first));
}

/* (in a tunnel, IP version, type, code, MTU, count, samples) */
static PyObject *icmp_of(const vx_tally *tally, uint32_t number) {
    const vx_icmp *row = vx_map_at(&tally->icmp, number);
    return Py_BuildValue("(NiiiIKN)", PyBool_FromLong((long)(row->key >> 49 & 1)), row->key >> 48 & 1 ? 6 : 4,
                         (int)(row->key >> 40 & 0xff), (int)(row->key >> 32 & 0xff),
                         (unsigned)(row->key & UINT32_MAX), (unsigned long long)row->count,
                         samples_of(&row->samples));
}

/* (outer source, destination, records whose checksum is wrong) */
static PyObject *wrong_of(const vx_tally *tally, uint32_t number) {
    const vx_count *row = vx_map_at(&tally->wrong, number);
    const vx_underlay *underlay = vx_map_at(&tally->underlays, (uint32_t)row->key);
    size_t size = underlay->key.size;
    return Py_BuildValue("(NNK)", octets(underlay->key.addresses, size),
                         octets(underlay->key.addresses + size, size), (unsigned long long)row->count);
}

/* (place, IP length, records) */
static PyObject *fragments_of(const vx_tally *tally, uint32_t number) {
    const vx_count *row = vx_map_at(&tally->fragments, number);
    return Py_BuildValue("(IIK)", (unsigned)(row->key >> 32), (unsigned)(row->key & UINT32_MAX),
                         (unsigned long long)row->count);
}

/* (in a tunnel, source, destination, MTU, quoted: source, destination, wear, flow key; largest, records in,
 * out, unknown, last time, samples) */
static PyObject *too_big_of(const vx_tally *tally, uint32_t number) {
    const vx_too_big *row = vx_map_at(&tally->too_big, number);
    size_t size = row->version == 6 ? 16 : 4;
    size_t quoted = row->quoted_version == 6 ? 16 : row->quoted_version == 4 ? 4 : 0;
    return Py_BuildValue("(NNNINNiNIKKKLN)", PyBool_FromLong(row->tunnelled), octets(row->addresses, size),
                         octets(row->addresses + size, size), (unsigned)row->mtu, octets(row->quoted, quoted),
                         octets(row->quoted + quoted, quoted), (int)row->wear, flow_key(row->vni, &row->flow),
                         (unsigned)row->largest, (unsigned long long)row->records[0],
                         (unsigned long long)row->records[1], (unsigned long long)row->records[2],
                         (long long)row->last_time, samples_of(&row->samples));
}

/* (step, path, outer destination or nothing, datagrams, outer bytes) */
static PyObject *step_of(const vx_tally *tally, uint32_t number) {
    const vx_step *row = vx_map_at(&tally->timeline, number);
    return Py_BuildValue("(LINKK)", (long long)row->step, (unsigned)row->path,
                         octets(row->address, row->address_size), (unsigned long long)row->datagrams,
                         (unsigned long long)row->outer_bytes);
}

typedef PyObject *(*row_maker)(const vx_tally *, uint32_t);

/* The rows of a table from `start` on, as far as there are any before `end`. */
static PyObject *some_rows_of(const vx_tally *tally, uint64_t count, row_maker row_of, uint32_t start,
                              uint32_t end) {
    PyObject *list = PyList_New(0);
    for (uint32_t i = start; list != NULL && i < end && i < count; i++)
        if (append(list, row_of(tally, i)) < 0)
            Py_CLEAR(list);
    return list;
}

/* All rows of a table. */
static PyObject *rows_of(const vx_tally *tally, const vx_map *map, row_maker row_of) {
    return some_rows_of(tally, vx_map_count(map), row_of, 0, UINT32_MAX);
}

/* Clipped, cut, malformed, orphan. */
static PyObject *all_samples_of(const vx_tally *tally) {
    PyObject *list = PyList_New(0);
    for (unsigned kind = 0; list != NULL && kind < VX_SAMPLE_KINDS; kind++)
        if (append(list, samples_of(&tally->samples[kind])) < 0)
            Py_CLEAR(list);
    return list;
}

/* (in a tunnel, IPv6, MSS, flows) */
static PyObject *folded_mss_of(const vx_tally *tally, uint32_t number) {
    const vx_count *told = vx_map_at(&tally->folded_mss, number);
    return Py_BuildValue("(NNIK)", PyBool_FromLong((long)(told->key >> 33 & 1)),
                         PyBool_FromLong((long)(told->key >> 32 & 1)), (unsigned)(told->key & UINT32_MAX),
                         (unsigned long long)told->count);
}

/* Add a table to what is given out, unless something failed before. */
static void put(PyObject **tables, const char *name, PyObject *table) {
    if (table == NULL || *tables == NULL || PyDict_SetItemString(*tables, name, table) < 0)
        Py_CLEAR(*tables);
    Py_XDECREF(table);
}

/* The tables that grow with the flows, as a tunnel's source ports do, come a piece at a time, so that they
 * never exist twice. */
static PyObject *engine_rows(PyObject *object, PyObject *args) {
    Engine *self = (Engine *)object;
    const char *name;
    unsigned start, count;
    if (!PyArg_ParseTuple(args, "sII:rows", &name, &start, &count) || enter(self, FINISHED) < 0)
        return NULL;
    const vx_tally *tally = vx_engine_tally(self->engine);
    const struct {
        const char *name;
        uint64_t count;
        row_maker row_of;
    } tables[] = {
        {"flow_keys", vx_map_count(&tally->flows), flow_key_of},
        {"flows", vx_map_count(&tally->flows), flow_of},
        {"cells", vx_map_count(&tally->cells), cell_of},
        {"large", vx_map_count(&tally->large), large_of},
        {"tunnels", vx_map_count(&tally->underlays), tunnel_of},
        {"datagrams", tally->datagram_count, datagram_of},
        {"sightings", tally->sighted_count, sighted_of},
    };
    PyObject *rows = NULL;
    uint32_t end = count < UINT32_MAX - start ? start + count : UINT32_MAX;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (strcmp(name, tables[i].name) == 0)
            rows = some_rows_of(tally, tables[i].count, tables[i].row_of, start, end);
    if (rows == NULL && !PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "no table of rows is called %s", name);
    self->busy = false;
    return rows;
}

static PyObject *engine_tables(PyObject *object, PyObject *unused) {
    (void)unused;
    Engine *self = (Engine *)object;
    if (enter(self, FINISHED) < 0)
        return NULL;
    const vx_tally *tally = vx_engine_tally(self->engine);
    PyObject *tables = PyDict_New();
    put(&tables, "times", times_of(self, tally));
    put(&tables, "counters", counters_of(tally));
    put(&tables, "interfaces", rows_of(tally, &tally->interfaces, interface_of));
    put(&tables, "places", rows_of(tally, &tally->places, place_of));
    put(&tables, "paths", rows_of(tally, &tally->paths, path_of));
    put(&tables, "latencies", rows_of(tally, &tally->paths, latencies_of));
    put(&tables, "icmp", rows_of(tally, &tally->icmp, icmp_of));
    put(&tables, "fragments", rows_of(tally, &tally->fragments, fragments_of));
    put(&tables, "too_big", rows_of(tally, &tally->too_big, too_big_of));
    put(&tables, "wrong", rows_of(tally, &tally->wrong, wrong_of));
    put(&tables, "timeline", rows_of(tally, &tally->timeline, step_of));
    put(&tables, "overheads", counts_of(&tally->overheads));
    put(&tables, "sizes", counts_of(&tally->sizes));
    put(&tables, "mss", counts_of(&tally->mss));
    put(&tables, "folded_mss", rows_of(tally, &tally->folded_mss, folded_mss_of));
    put(&tables, "samples", all_samples_of(tally));
    self->busy = false;
    return tables;
}

/* What the containers say; for every state but that of one merged into another. */

static PyObject *value_of_damage(const vx_damage *damage) {
    if (damage->code == VX_DAMAGE_NONE)
        return none();
    return Py_BuildValue("(iKKII)", (int)damage->code, (unsigned long long)damage->offset,
                         (unsigned long long)damage->record, (unsigned)damage->value,
                         (unsigned)damage->expected);
}

/* (link type, snaplen, dropped or None) */
static PyObject *described_of(const vx_container *container) {
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < vx_container_interface_count(container); i++) {
        const vx_interface *row = vx_container_interface(container, i);
        PyObject *dropped = row->has_dropped ? PyLong_FromUnsignedLongLong(row->dropped) : none();
        if (append(list, Py_BuildValue("(IIN)", (unsigned)row->link_type, (unsigned)row->snaplen, dropped)) <
            0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *engine_inputs(PyObject *object, PyObject *unused) {
    (void)unused;
    Engine *self = (Engine *)object;
    if (enter(self, FINISHED) < 0)
        return NULL;
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < self->inputs; i++) {
        const vx_container *container = vx_engine_container(self->engine, i);
        vx_input_row row = vx_engine_input(self->engine, i);
        if (append(list, Py_BuildValue("(iKKNNKN)", (int)row.format, (unsigned long long)row.records,
                                       (unsigned long long)row.bytes, described_of(container),
                                       value_of_damage(vx_container_damage(container)),
                                       (unsigned long long)vx_container_skipped(container),
                                       value_of_damage(vx_container_first_skipped(container)))) < 0)
            Py_CLEAR(list);
    }
    self->busy = false;
    return list;
}

static PyObject *engine_names(PyObject *object, PyObject *unused) {
    (void)unused;
    Engine *self = (Engine *)object;
    if (enter(self, self->state == FINISHED ? FINISHED : READY) < 0)
        return NULL;
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < self->inputs; i++) {
        const vx_container *container = vx_engine_container(self->engine, i);
        for (uint32_t j = 0; list != NULL && j < vx_container_name_count(container); j++) {
            const vx_name *row = vx_container_name(container, j);
            if (append(list,
                       Py_BuildValue("(Ny)", octets(row->address, row->family == 4 ? 4 : 16), row->name)) < 0)
                Py_CLEAR(list);
        }
    }
    self->busy = false;
    return list;
}

/* ---- the type ---- */

static PyObject *engine_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"inputs",     "wears",          "window",         "settle",
                            "part",       "seed",           "most_journeys",  "most_fragments",
                            "most_flows", "most_tunnels",   "most_places",    "most_paths",
                            "most_rows",  "most_datagrams", "most_sightings", NULL};
    enum { LIMITS = 9 };
    Py_ssize_t inputs, wears_size;
    const char *wears;
    long long window, settle, most[LIMITS];
    unsigned long long seed;
    int part;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "ny#LLpKLLLLLLLLL:Engine", names, &inputs, &wears,
                                     &wears_size, &window, &settle, &part, &seed, &most[0], &most[1],
                                     &most[2], &most[3], &most[4], &most[5], &most[6], &most[7], &most[8]))
        return NULL;
    if (inputs < 0 || inputs > VX_MOST_INPUTS)
        return PyErr_Format(PyExc_ValueError, "%zd inputs: expected 0 to %d", inputs, VX_MOST_INPUTS);
    if (wears_size != 65536)
        return PyErr_Format(PyExc_ValueError, "what %zd ports are: expected 65536", wears_size);
    for (Py_ssize_t i = 0; i < wears_size; i++)
        if ((uint8_t)wears[i] > VX_VXLAN_GPE)
            return PyErr_Format(PyExc_ValueError, "port %zd is %d: expected 0 to %d", i, wears[i],
                                VX_VXLAN_GPE);
    if (window < 0 || settle < 0 || window > VX_LONGEST_WAIT || settle > VX_LONGEST_WAIT)
        return PyErr_Format(PyExc_ValueError, "waiting times of %lld and %lld ns: expected 0 to %lld", window,
                            settle, (long long)VX_LONGEST_WAIT);
    for (unsigned i = 0; i < LIMITS; i++)
        if (most[i] < 0)
            return PyErr_Format(PyExc_ValueError, "a limit of %lld: expected 0 or more", most[i]);
    vx_engine_options options = {
        .inputs = (uint32_t)inputs,
        .wears = (const uint8_t *)wears,
        .window = (uint64_t)window,
        .settle = (uint64_t)settle,
        .most_journeys = (uint64_t)most[0],
        .most_fragments = (uint64_t)most[1],
        .most = {.flows = (uint64_t)most[2],
                 .tunnels = (uint64_t)most[3],
                 .places = (uint64_t)most[4],
                 .paths = (uint64_t)most[5],
                 .rows = (uint64_t)most[6],
                 .datagrams = (uint64_t)most[7],
                 .sightings = (uint64_t)most[8]},
        .seed = seed,
        .part = part,
    };
    Engine *self = (Engine *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    self->engine = vx_engine_new(&options);
    self->inputs = options.inputs;
    self->seed = seed;
    self->part = part;
    self->busy = self->reading = self->split = false;
    self->state = READY;
    if (self->engine == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void engine_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    vx_engine_free(((Engine *)object)->engine);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyMethodDef engine_methods[] = {
    {"feed", engine_feed, METH_VARARGS, "feed(input, data)\n--\n\nTake the next bytes of an input."},
    {"end", engine_end, METH_O, "end(input)\n--\n\nNo more bytes of this input will come."},
    {"feed_from", engine_feed_from, METH_VARARGS,
     "feed_from(input, descriptor, size)\n--\n\nTake some more of a file in pieces of at most so many "
     "bytes, as long as its input is wanted and nothing fails."},
    {"split", engine_split, METH_NOARGS,
     "split()\n--\n\nLet one thread read and another take, until all is taken."},
    {"read", engine_read, METH_VARARGS,
     "read(input, data)\n--\n\nRead the next bytes of an input, for the other half to take: whether it still "
     "does."},
    {"read_from", engine_read_from, METH_VARARGS,
     "read_from(input, descriptor, size)\n--\n\nRead some more of a file in pieces of at most so many "
     "bytes, as long as its input is wanted and nothing fails: whether the other half still takes."},
    {"read_end", engine_read_end, METH_O,
     "read_end(input)\n--\n\nNo more bytes of this input will come: whether the other half still takes."},
    {"read_all", engine_read_all, METH_NOARGS, "read_all()\n--\n\nNothing more will be read."},
    {"take", engine_take, METH_NOARGS,
     "take()\n--\n\nTake what is read, until all is taken; False: stopped before."},
    {"provide", engine_provide, METH_O,
     "provide(milliseconds)\n--\n\nMake memory ready for what takes; False: no more is needed."},
    {"stop", engine_stop, METH_NOARGS, "stop()\n--\n\nNothing more will be taken."},
    {"wants", engine_wants, METH_NOARGS, "wants()\n--\n\nThe input whose next bytes are needed, or None."},
    {"merge", engine_merge, METH_O, "merge(other)\n--\n\nTake in the part that directly follows."},
    {"finish", engine_finish, METH_NOARGS, "finish()\n--\n\nClose what is open; nothing more is taken."},
    {"tables", engine_tables, METH_NOARGS, "tables()\n--\n\nThe small tables as lists of rows, by name."},
    {"rows", engine_rows, METH_VARARGS,
     "rows(name, start, count)\n--\n\nSo many rows of a large table from there on: flow_keys, flows, cells, "
     "large, tunnels, datagrams, sightings."},
    {"inputs", engine_inputs, METH_NOARGS,
     "inputs()\n--\n\nFormat, records, bytes, interfaces and damage of each input."},
    {"names", engine_names, METH_NOARGS, "names()\n--\n\nAddresses and names in the order of the inputs."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef engine_attributes[] = {
    {"records", engine_records, NULL, "Records taken so far.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot engine_slots[] = {
    {Py_tp_doc, "The C engine; see vxtool.engine.native_engine."},
    {Py_tp_new, engine_new},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_methods, engine_methods},
    {Py_tp_getset, engine_attributes},
    {0, NULL},
};

static PyType_Spec engine_spec = {
    .name = "vxtool._native.Engine",
    .basicsize = sizeof(Engine),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = engine_slots,
};

int vx_add_engine(PyObject *module) { return vx_add_type(module, &engine_spec); }
