/* What is asked of a finished engine, as Python sees it: vxtool._native.Queries, which
 * vxtool/engine/native_queries.py wraps.
 *
 * Flows are numbers, -1 for those beyond the limit, and so are paths, bundles and rows. What is said of every
 * cell, flow, path or large row is a bytes object with one item for each, of one byte or of an unsigned int
 * of four; those by flow have one more, for the flows beyond the limit. The engine's tables do not change any
 * more, so nothing is locked. */
#include "binding.h"
#include "query.h"
#include "values.h"

#include <stdlib.h>

typedef struct {
    PyObject_HEAD PyObject *engine; /* whose tally it is */
    const vx_tally *tally;
} Queries;

/* ---- what is given ---- */

/* A bytes object, which stays the caller's. */
typedef struct {
    const uint8_t *bytes; /* NULL: None was given */
    size_t size;
} given;

/* A converter for "O&". */
static int bytes_or_none(PyObject *object, void *at) {
    given *array = at;
    *array = (given){NULL, 0};
    if (Py_IsNone(object))
        return 1;
    Py_ssize_t size;
    char *bytes;
    if (PyBytes_AsStringAndSize(object, &bytes, &size) < 0)
        return 0;
    *array = (given){(const uint8_t *)bytes, (size_t)size};
    return 1;
}

static const uint32_t *words(given array) { return (const uint32_t *)(const void *)array.bytes; }
static vx_set set_of(given array) { return (vx_set){array.bytes, array.size}; }
static vx_lengths lengths_of(given array) {
    return (vx_lengths){words(array), array.size / sizeof(uint32_t)};
}

static int check(given array, uint32_t count, size_t item, const char *what) {
    if (array.bytes != NULL && array.size == count * item)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s: %zu bytes, expected %u items of %zu", what, array.size,
                 (unsigned)count, item);
    return -1;
}

static int check_bundles(const Queries *self, given array) {
    return check(array, vx_map_count(&self->tally->cells), sizeof(uint32_t), "the bundles of the cells");
}

static int check_reverses(const Queries *self, given array) {
    return check(array, vx_map_count(&self->tally->flows), sizeof(uint32_t), "the flows' other directions");
}

static int check_large(const Queries *self, given array) {
    return check(array, vx_map_count(&self->tally->large), sizeof(uint32_t), "the rows of large datagrams");
}

static int check_by_path(const Queries *self, given array, size_t item) {
    return check(array, vx_map_count(&self->tally->paths), item, "what is said by path");
}

static int check_by_flow(const Queries *self, given array) {
    return check(array, vx_map_count(&self->tally->flows) + 1, 1, "what is said by flow");
}

/* (bundles of the cells, bundles, flows or None, lengths in order of which the largest is or None, such of
 * which it is none, source or None, VNI, above, room, whether the smallest too): see vx_wanted */
static int wanted_of(const Queries *self, PyObject *tuple, vx_wanted *wanted) {
    given numbers, bundles, flows, among, beyond, source;
    long long vni, above, room;
    int smallest_too;
    if (!PyArg_ParseTuple(tuple, "O&O&O&O&O&O&LLLp;cells that are wanted", bytes_or_none, &numbers,
                          bytes_or_none, &bundles, bytes_or_none, &flows, bytes_or_none, &among,
                          bytes_or_none, &beyond, bytes_or_none, &source, &vni, &above, &room,
                          &smallest_too) ||
        check_bundles(self, numbers) < 0 || (flows.bytes != NULL && check_by_flow(self, flows) < 0))
        return -1;
    *wanted = (vx_wanted){
        .numbers = words(numbers),
        .bundles = set_of(bundles),
        .flows = set_of(flows),
        .among = lengths_of(among),
        .beyond = lengths_of(beyond),
        .source = {source.bytes, source.size},
        .vni = vni,
        .above = above,
        .room = room,
        .smallest_too = smallest_too,
    };
    return 0;
}

/* ---- what is given back: each gives a new reference, or NULL with an error set ---- */

/* A bytes object of so many items whose bytes are still to be written, at *at. */
static PyObject *blank(size_t count, size_t item, void *at) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * item));
    *(char **)at = bytes != NULL ? PyBytes_AsString(bytes) : NULL;
    return bytes;
}

typedef PyObject *(*row_maker)(const void *row);

/* The rows of an answer, which is used up, as a list; an error where there was no memory for the answer. */
static PyObject *rows_of(vx_map *rows, int status, row_maker row_of) {
    PyObject *list = status == 0 ? PyList_New(0) : PyErr_NoMemory();
    for (uint32_t i = 0; list != NULL && i < vx_map_count(rows); i++)
        if (append(list, row_of(vx_map_at(rows, i))) < 0)
            Py_CLEAR(list);
    vx_map_free(rows);
    return list;
}

/* ---- tunnels ---- */

/* [(source, destination, wear, destination port, datagrams, outer bytes, (time, input, record)), ...] */
static PyObject *queries_tunnels(PyObject *object, PyObject *unused) {
    (void)unused;
    const vx_map *underlays = &((Queries *)object)->tally->underlays;
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < vx_map_count(underlays); i++) {
        const vx_underlay *row = vx_map_at(underlays, i);
        size_t size = row->key.size;
        if (row->datagrams > 0 &&
            append(list, Py_BuildValue("(NNiiKK(LIK))", octets(row->key.addresses, size),
                                       octets(row->key.addresses + size, size), (int)row->key.wear,
                                       (int)row->key.destination_port, (unsigned long long)row->datagrams,
                                       (unsigned long long)row->outer_bytes, (long long)row->first.time,
                                       (unsigned)(row->first.where >> VX_RECORD_BITS),
                                       (unsigned long long)(row->first.where &
                                                            ((UINT64_C(1) << VX_RECORD_BITS) - 1)))) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* (source, destination, count) */
static PyObject *pair_count_of(const void *row) {
    const vx_pair_count *count = row;
    const vx_pair *pair = &count->pair;
    return Py_BuildValue("(NNI)", octets(pair->addresses, pair->size),
                         octets(pair->addresses + pair->size, pair->size), (unsigned)count->count);
}

/* (datagrams, inner bytes) */
static PyObject *queries_folded(PyObject *object, PyObject *unused) {
    (void)unused;
    vx_folded folded = vx_query_folded(((Queries *)object)->tally);
    return Py_BuildValue("(KK)", (unsigned long long)folded.datagrams,
                         (unsigned long long)folded.inner_bytes);
}

static PyObject *queries_source_ports(PyObject *object, PyObject *unused) {
    (void)unused;
    vx_map rows;
    int status = vx_query_source_ports(((Queries *)object)->tally, &rows);
    return rows_of(&rows, status, pair_count_of);
}

static PyObject *queries_tunnel_flows(PyObject *object, PyObject *unused) {
    (void)unused;
    vx_map rows;
    int status = vx_query_tunnel_flows(((Queries *)object)->tally, &rows);
    return rows_of(&rows, status, pair_count_of);
}

/* ---- bundles ---- */

/* (path, source, destination, inside, apart, icmp, grew, datagrams, inner bytes, outer bytes, wire packets,
 * wire bytes, whole bytes, missing packets, fragmented, smallest, largest) */
static PyObject *bundle_of(const vx_bundles *bundles, uint32_t number) {
    const vx_bundle *row = vx_map_at(&bundles->rows, number);
    const vx_pair *pair = vx_map_at(&bundles->pairs, row->pair);
    const vx_pair *inside = row->inside > 0 ? vx_map_at(&bundles->pairs, row->inside - 1) : NULL;
    return Py_BuildValue("(INNNiNNKKKKKKKKII)", (unsigned)row->path, octets(pair->addresses, pair->size),
                         octets(pair->addresses + pair->size, pair->size),
                         inside != NULL ? octets(inside->addresses + inside->size, inside->size)
                                        : octets(NULL, 0),
                         (int)row->apart, PyBool_FromLong(row->icmp), PyBool_FromLong(row->grew),
                         (unsigned long long)row->datagrams, (unsigned long long)row->inner_bytes,
                         (unsigned long long)row->outer_bytes, (unsigned long long)row->wire_packets,
                         (unsigned long long)row->wire_bytes, (unsigned long long)row->whole_bytes,
                         (unsigned long long)row->missing_packets, (unsigned long long)row->fragmented,
                         (unsigned)row->smallest, (unsigned)row->largest);
}

static PyObject *queries_bundles(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given inside, apart;
    if (!PyArg_ParseTuple(args, "O&O&:bundles", bytes_or_none, &inside, bytes_or_none, &apart) ||
        check_by_path(self, inside, 1) < 0 || (apart.bytes != NULL && check_by_flow(self, apart) < 0))
        return NULL;
    uint32_t *numbers;
    PyObject *bytes = blank(vx_map_count(&self->tally->cells), sizeof *numbers, &numbers);
    if (bytes == NULL)
        return NULL;
    vx_bundles bundles;
    int status = vx_query_bundles(self->tally, inside.bytes, apart.bytes, &bundles, numbers);
    PyObject *rows = status == 0 ? PyList_New(0) : PyErr_NoMemory();
    for (uint32_t i = 0; rows != NULL && i < vx_map_count(&bundles.rows); i++)
        if (append(rows, bundle_of(&bundles, i)) < 0)
            Py_CLEAR(rows);
    vx_bundles_free(&bundles);
    if (rows == NULL) {
        Py_DECREF(bytes);
        return NULL;
    }
    return Py_BuildValue("(NN)", rows, bytes);
}

/* (time, input, record, flow, outer source, outer destination, bundle, smallest, largest) */
static PyObject *proof_of(const vx_tally *tally, const vx_wanted *wanted, const vx_proof *proof) {
    const vx_cell *cell = vx_cell_at(tally, proof->cell);
    vx_pair outer = vx_outer_pair(tally, cell->flow);
    return Py_BuildValue(
        "(LIKlNNIII)", (long long)proof->sample.time, (unsigned)(proof->sample.where >> VX_RECORD_BITS),
        (unsigned long long)(proof->sample.where & ((UINT64_C(1) << VX_RECORD_BITS) - 1)),
        flow_number(cell->flow), octets(outer.addresses, outer.size),
        octets(outer.addresses + outer.size, outer.size), (unsigned)wanted->numbers[proof->cell],
        (unsigned)cell->smallest, (unsigned)cell->largest);
}

static PyObject *queries_earliest(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    PyObject *tuple;
    int starts;
    unsigned most;
    vx_wanted wanted;
    if (!PyArg_ParseTuple(args, "O!pI:earliest", &PyTuple_Type, &tuple, &starts, &most) ||
        wanted_of(self, tuple, &wanted) < 0)
        return NULL;
    vx_proof *proofs = vx_allocate((size_t)most + 1, sizeof *proofs);
    if (proofs == NULL)
        return PyErr_NoMemory();
    uint32_t count = vx_query_earliest(self->tally, &wanted, starts, proofs, most);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < count; i++)
        if (append(list, proof_of(self->tally, &wanted, &proofs[i])) < 0)
            Py_CLEAR(list);
    free(proofs);
    return list;
}

/* (`number`, flow, bundle, datagrams, inner bytes, wire packets, first time, last time, outer bytes, wire
 * bytes) */
static PyObject *share_of(const vx_tally *tally, const uint32_t *bundles, uint32_t number, uint32_t at) {
    const vx_cell *cell = vx_cell_at(tally, at);
    const vx_wire wire = vx_cell_wire(tally, at);
    return Py_BuildValue("(IlIKKKLLKK)", (unsigned)number, flow_number(cell->flow), (unsigned)bundles[at],
                         (unsigned long long)cell->datagrams, (unsigned long long)cell->inner_bytes,
                         (unsigned long long)wire.packets, (long long)vx_first_time(tally, at),
                         (long long)cell->last_time, (unsigned long long)cell->outer_bytes,
                         (unsigned long long)wire.bytes);
}

/* Each cell as above, by its own number. */
static PyObject *queries_shares(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    PyObject *tuple;
    vx_wanted wanted;
    if (!PyArg_ParseTuple(args, "O!:shares", &PyTuple_Type, &tuple) || wanted_of(self, tuple, &wanted) < 0)
        return NULL;
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && (i = vx_query_next(self->tally, &wanted, i)) != VX_NONE; i++)
        if (append(list, share_of(self->tally, wanted.numbers, i, i)) < 0)
            Py_CLEAR(list);
    return list;
}

/* (time, input, record, flow, bundle, inner length, flags, ICMP type << 8 | code or -1, source port or -1,
 * latency or -1) */
static PyObject *datagram_of(const vx_tally *tally, const vx_wanted *wanted, const vx_datagram *datagram) {
    return Py_BuildValue("(LIKlIIiiiL)", (long long)datagram->sample.time,
                         (unsigned)(datagram->sample.where >> VX_RECORD_BITS),
                         (unsigned long long)(datagram->sample.where & ((UINT64_C(1) << VX_RECORD_BITS) - 1)),
                         flow_number(vx_cell_at(tally, datagram->cell)->flow),
                         (unsigned)wanted->numbers[datagram->cell], (unsigned)datagram->inner_length,
                         (int)datagram->flags, vx_datagram_icmp(datagram), vx_datagram_port(datagram),
                         (long long)datagram->latency);
}

/* ([datagram, ...], where to go on or None): some of those that are listed, from there on. */
static PyObject *queries_datagrams(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    const vx_tally *tally = self->tally;
    PyObject *tuple;
    unsigned long long at;
    unsigned most;
    vx_wanted wanted;
    if (!PyArg_ParseTuple(args, "O!KI:datagrams", &PyTuple_Type, &tuple, &at, &most) ||
        wanted_of(self, tuple, &wanted) < 0)
        return NULL;
    PyObject *list = PyList_New(0);
    while (list != NULL && most-- > 0 &&
           (at = vx_query_next_datagram(tally, &wanted, at)) < tally->datagram_count)
        if (append(list, datagram_of(tally, &wanted, &tally->datagrams[at++])) < 0)
            Py_CLEAR(list);
    if (list == NULL)
        return NULL;
    return Py_BuildValue("(NN)", list,
                         at < tally->datagram_count ? PyLong_FromUnsignedLongLong(at) : Py_NewRef(Py_None));
}

/* A new bytes object of so many items, to be filled; NULL with an error set. */
static PyObject *array_of(uint64_t count, size_t item) {
    if (count > (uint64_t)PY_SSIZE_T_MAX / item)
        return PyErr_NoMemory();
    return PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * item));
}

static void *items_of(PyObject *array) { return PyBytes_AsString(array); }

/* (where, bundle, latency, length, VNI) of the datagrams that are listed */
static PyObject *queries_listed(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given numbers;
    if (!PyArg_ParseTuple(args, "O&:listed", bytes_or_none, &numbers) || check_bundles(self, numbers) < 0)
        return NULL;
    uint64_t count = self->tally->datagram_count;
    PyObject *where = array_of(count, sizeof(uint64_t));
    PyObject *bundle = array_of(count, sizeof(uint32_t));
    PyObject *latency = array_of(count, sizeof(int64_t));
    PyObject *length = array_of(count, sizeof(uint32_t));
    PyObject *vni = array_of(count, sizeof(int32_t));
    bool complete = where != NULL && bundle != NULL && latency != NULL && length != NULL && vni != NULL;
    if (complete) {
        vx_listed listed = {items_of(where), items_of(bundle), items_of(latency), items_of(length),
                            items_of(vni)};
        if (vx_query_listed(self->tally, words(numbers), &listed) < 0) {
            PyErr_NoMemory();
            complete = false;
        }
    }
    if (complete)
        return Py_BuildValue("(NNNNN)", where, bundle, latency, length, vni);
    Py_XDECREF(where);
    Py_XDECREF(bundle);
    Py_XDECREF(latency);
    Py_XDECREF(length);
    Py_XDECREF(vni);
    return NULL;
}

/* (where, where of the datagram's first) of the further sightings that are listed */
static PyObject *queries_sighted(PyObject *object, PyObject *unused) {
    (void)unused;
    const vx_tally *tally = ((Queries *)object)->tally;
    PyObject *where = array_of(tally->sighted_count, sizeof(uint64_t));
    PyObject *first = where != NULL ? array_of(tally->sighted_count, sizeof(uint64_t)) : NULL;
    if (first == NULL) {
        Py_XDECREF(where);
        return NULL;
    }
    uint64_t *records = items_of(where), *firsts = items_of(first);
    for (uint64_t i = 0; i < tally->sighted_count; i++) {
        records[i] = tally->sighted[i].record;
        firsts[i] = tally->sighted[i].first;
    }
    return Py_BuildValue("(NN)", where, first);
}

/* The innermost addresses of flows, in no order; None: more than `most`. */
static PyObject *queries_addresses(PyObject *object, PyObject *args) {
    unsigned most;
    if (!PyArg_ParseTuple(args, "I:addresses", &most))
        return NULL;
    vx_map rows;
    int status = vx_query_addresses(((Queries *)object)->tally, most, &rows);
    PyObject *list = status == 0 ? PyList_New(0) : status > 0 ? Py_NewRef(Py_None) : PyErr_NoMemory();
    for (uint32_t i = 0; status == 0 && list != NULL && i < vx_map_count(&rows); i++) {
        const vx_listed_address *address = vx_map_at(&rows, i);
        if (append(list, octets(address->octets, address->size)) < 0)
            Py_CLEAR(list);
    }
    vx_map_free(&rows);
    return list;
}

/* (source, destination, datagrams, smallest, largest, first time, last time) */
static PyObject *between_of(const void *row) {
    const vx_between *between = row;
    const vx_pair *pair = &between->pair;
    return Py_BuildValue(
        "(NNKIILL)", octets(pair->addresses, pair->size), octets(pair->addresses + pair->size, pair->size),
        (unsigned long long)between->datagrams, (unsigned)between->smallest, (unsigned)between->largest,
        (long long)between->first_time, (long long)between->last_time);
}

static PyObject *queries_ends(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    PyObject *tuple;
    vx_wanted wanted;
    if (!PyArg_ParseTuple(args, "O!:ends", &PyTuple_Type, &tuple) || wanted_of(self, tuple, &wanted) < 0)
        return NULL;
    vx_map rows;
    int status = vx_query_ends(self->tally, &wanted, &rows);
    return rows_of(&rows, status, between_of);
}

/* A copy as a bytes object. */
static PyObject *copy_of(const void *array, size_t count, size_t item) {
    return PyBytes_FromStringAndSize(array, (Py_ssize_t)(count * item));
}

/* (by, bundles that count or None, bundles of which flows must have some or None): see vx_order */
static int order_of(PyObject *tuple, vx_order *order) {
    given counting, among;
    int by;
    if (!PyArg_ParseTuple(tuple, "iO&O&;the order of flows", &by, bytes_or_none, &counting, bytes_or_none,
                          &among))
        return -1;
    if (by < VX_BY_BYTES || by > VX_BY_END) {
        PyErr_Format(PyExc_ValueError, "an order of %d: expected %d at most", by, VX_BY_END);
        return -1;
    }
    *order = (vx_order){.by = (vx_order_by)by, .counting = set_of(counting), .among = set_of(among)};
    return 0;
}

/* (flows, how many there are, how many match, their datagrams, starts, shares, ranks by flow): see vx_top.
 * The arrays are bytes objects; -1 of a flow is UINT32_MAX there. */
static PyObject *queries_ranked(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    PyObject *tuple, *by;
    unsigned most;
    vx_wanted wanted;
    vx_order order;
    if (!PyArg_ParseTuple(args, "O!O!I:ranked", &PyTuple_Type, &tuple, &PyTuple_Type, &by, &most) ||
        wanted_of(self, tuple, &wanted) < 0 || order_of(by, &order) < 0)
        return NULL;
    vx_top top;
    PyObject *result = NULL;
    if (vx_query_ranked(self->tally, &wanted, &order, most, &top) == 0)
        result = Py_BuildValue(
            "(NIIKNNN)", copy_of(top.flows, top.count, sizeof *top.flows), (unsigned)top.total,
            (unsigned)top.matching, (unsigned long long)top.datagrams,
            copy_of(top.starts, (size_t)top.count + 1, sizeof *top.starts),
            copy_of(top.shares, top.share_count, sizeof *top.shares),
            copy_of(top.ranks, (size_t)vx_map_count(&self->tally->flows) + 1, sizeof *top.ranks));
    else
        PyErr_NoMemory();
    vx_top_free(&top);
    return result;
}

/* Shares as they stood in an answer, each of a cell that there is: 0, or -1 with an error set. */
static int check_shares(const Queries *self, given shares) {
    const vx_share *rows = (const vx_share *)(const void *)shares.bytes;
    uint32_t cells = vx_map_count(&self->tally->cells);
    bool fit = shares.bytes != NULL && shares.size % sizeof *rows == 0 && shares.size / sizeof *rows <= cells;
    for (size_t i = 0; fit && i < shares.size / sizeof *rows; i++)
        fit = rows[i].cell < cells;
    if (fit)
        return 0;
    PyErr_SetString(PyExc_ValueError, "shares: expected those of an answer");
    return -1;
}

/* [(rank, flow, bundle, ...), ...] as share_of has it, of some shares */
static PyObject *queries_shared(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given numbers, shares;
    if (!PyArg_ParseTuple(args, "O&O&:shared", bytes_or_none, &numbers, bytes_or_none, &shares) ||
        check_bundles(self, numbers) < 0 || check_shares(self, shares) < 0)
        return NULL;
    const vx_share *rows = (const vx_share *)(const void *)shares.bytes;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < shares.size / sizeof *rows; i++)
        if (append(list, share_of(self->tally, words(numbers), rows[i].rank, rows[i].cell)) < 0)
            Py_CLEAR(list);
    return list;
}

/* (time, rank) of each moment, as a bytes object of two 64-bit numbers for each: see vx_query_moments */
static PyObject *queries_moments(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given numbers, shares;
    PyObject *by;
    vx_order order;
    if (!PyArg_ParseTuple(args, "O&O!O&:moments", bytes_or_none, &numbers, &PyTuple_Type, &by, bytes_or_none,
                          &shares) ||
        check_bundles(self, numbers) < 0 || order_of(by, &order) < 0 || check_shares(self, shares) < 0)
        return NULL;
    size_t count = shares.size / sizeof(vx_share);
    vx_flow_moment *moments = vx_allocate(count + 1, sizeof *moments);
    if (moments == NULL)
        return PyErr_NoMemory();
    uint32_t found = vx_query_moments(self->tally, words(numbers), &order,
                                      (const vx_share *)(const void *)shares.bytes, (uint32_t)count, moments);
    PyObject *bytes = copy_of(moments, found, sizeof *moments);
    free(moments);
    return bytes;
}

/* A byte by flow: 1 for those that have a rank and, unless None is given, a byte that is not 0 by rank. */
static PyObject *queries_of_ranks(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given ranks, chosen;
    if (!PyArg_ParseTuple(args, "O&O&:of_ranks", bytes_or_none, &ranks, bytes_or_none, &chosen) ||
        check(ranks, vx_map_count(&self->tally->flows) + 1, sizeof(uint32_t), "the ranks of the flows") < 0)
        return NULL;
    size_t count = (size_t)vx_map_count(&self->tally->flows) + 1;
    uint8_t *flags;
    PyObject *bytes = blank(count, 1, &flags);
    for (size_t i = 0; bytes != NULL && i < count; i++) {
        uint32_t rank = words(ranks)[i];
        flags[i] = rank > 0 && (chosen.bytes == NULL || vx_set_has(set_of(chosen), rank - 1));
    }
    return bytes;
}

/* ---- conversations ---- */

static PyObject *queries_large_count(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(vx_map_count(&((Queries *)object)->tally->large));
}

static PyObject *queries_flow_count(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(vx_map_count(&((Queries *)object)->tally->flows));
}

static PyObject *queries_reverses(PyObject *object, PyObject *unused) {
    (void)unused;
    const Queries *self = (Queries *)object;
    uint32_t *reverses;
    PyObject *bytes = blank(vx_map_count(&self->tally->flows), sizeof *reverses, &reverses);
    if (bytes == NULL)
        return NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS;
    status = vx_query_reverses(self->tally, reverses);
    Py_END_ALLOW_THREADS;
    if (status < 0) {
        Py_DECREF(bytes);
        return PyErr_NoMemory();
    }
    return bytes;
}

static PyObject *queries_is_answered(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given paths, reverses;
    if (!PyArg_ParseTuple(args, "O&O&:is_answered", bytes_or_none, &paths, bytes_or_none, &reverses) ||
        check_by_path(self, paths, 1) < 0 || check_reverses(self, reverses) < 0)
        return NULL;
    int answered = vx_query_is_answered(self->tally, set_of(paths), words(reverses));
    return answered < 0 ? PyErr_NoMemory() : PyBool_FromLong(answered);
}

/* (by flow, connections, echoes, datagrams) */
static PyObject *queries_unanswered(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given reverses;
    long long wait, end;
    if (!PyArg_ParseTuple(args, "O&LL:unanswered", bytes_or_none, &reverses, &wait, &end) ||
        check_reverses(self, reverses) < 0)
        return NULL;
    uint8_t *found;
    PyObject *bytes = blank((size_t)vx_map_count(&self->tally->flows) + 1, 1, &found);
    if (bytes == NULL)
        return NULL;
    vx_unanswered sum;
    if (vx_query_unanswered(self->tally, words(reverses), wait, end, found, &sum) < 0) {
        Py_DECREF(bytes);
        return PyErr_NoMemory();
    }
    return Py_BuildValue("(NIIK)", bytes, (unsigned)sum.connections, (unsigned)sum.echoes,
                         (unsigned long long)sum.datagrams);
}

/* By flow, or None where no flow is such. */
static PyObject *queries_stuck(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given reverses;
    long long wait;
    if (!PyArg_ParseTuple(args, "O&L:stuck", bytes_or_none, &reverses, &wait) ||
        check_reverses(self, reverses) < 0)
        return NULL;
    uint8_t *found;
    PyObject *bytes = blank((size_t)vx_map_count(&self->tally->flows) + 1, 1, &found);
    if (bytes == NULL)
        return NULL;
    int any = vx_query_stuck(self->tally, words(reverses), wait, found);
    if (any > 0)
        return bytes;
    Py_DECREF(bytes);
    return any < 0 ? PyErr_NoMemory() : Py_NewRef(Py_None);
}

/* (VNI, VNI of the other direction or -1, address, datagrams, inner bytes, first time, last time) */
static PyObject *identity_of(const void *row) {
    const vx_identity *identity = row;
    return Py_BuildValue("(iiNKKLL)", (int)identity->vni, (int)identity->reverse_vni,
                         octets(identity->address, identity->size), (unsigned long long)identity->datagrams,
                         (unsigned long long)identity->inner_bytes, (long long)identity->first_time,
                         (long long)identity->last_time);
}

static PyObject *queries_sources(PyObject *object, PyObject *unused) {
    (void)unused;
    vx_map rows;
    int status = vx_query_sources(((Queries *)object)->tally, &rows);
    return rows_of(&rows, status, identity_of);
}

static PyObject *queries_pairs(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given reverses;
    if (!PyArg_ParseTuple(args, "O&:pairs", bytes_or_none, &reverses) || check_reverses(self, reverses) < 0)
        return NULL;
    vx_map rows;
    int status = vx_query_pairs(self->tally, words(reverses), &rows);
    return rows_of(&rows, status, identity_of);
}

/* (in a tunnel, IPv6, MSS, flows) */
static PyObject *told_of(const void *row) {
    const vx_count *told = row;
    return Py_BuildValue("(NNIK)", PyBool_FromLong((long)(told->key >> 33 & 1)),
                         PyBool_FromLong((long)(told->key >> 32 & 1)), (unsigned)(told->key & UINT32_MAX),
                         (unsigned long long)told->count);
}

static PyObject *queries_told_mss(PyObject *object, PyObject *unused) {
    (void)unused;
    vx_map rows;
    int status = vx_query_told_mss(((Queries *)object)->tally, &rows);
    return rows_of(&rows, status, told_of);
}

static PyObject *queries_agreed_mss(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given reverses;
    if (!PyArg_ParseTuple(args, "O&:agreed_mss", bytes_or_none, &reverses) ||
        check_reverses(self, reverses) < 0)
        return NULL;
    vx_map rows;
    int status = vx_query_agreed_mss(self->tally, words(reverses), &rows);
    return rows_of(&rows, status, told_of);
}

/* (flow, other direction, bytes sent again, datagrams, largest, answers, last time, that of the answers) */
static PyObject *stalled_of(const void *row) {
    const vx_stalled *stalled = row;
    return Py_BuildValue("(llKKIKLLN)", flow_number(stalled->flow), flow_number(stalled->reverse),
                         (unsigned long long)stalled->repeated, (unsigned long long)stalled->datagrams,
                         (unsigned)stalled->largest, (unsigned long long)stalled->answers,
                         (long long)stalled->last_time, (long long)stalled->answered_time,
                         PyBool_FromLong(stalled->closed));
}

static PyObject *queries_stalled(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given reverses;
    unsigned long long least, most, few;
    if (!PyArg_ParseTuple(args, "O&KKK:stalled", bytes_or_none, &reverses, &least, &most, &few) ||
        check_reverses(self, reverses) < 0)
        return NULL;
    vx_map rows;
    int status = vx_query_stalled(self->tally, words(reverses), least, most, few, &rows);
    return rows_of(&rows, status, stalled_of);
}

/* ---- one-sided journeys ---- */

/* (flow, datagrams in, largest in, datagrams out, largest out) */
static PyObject *two_sided_of(const void *row) {
    const vx_two_sided *sides = row;
    return Py_BuildValue("(lKIKI)", flow_number(sides->flow), (unsigned long long)sides->datagrams[0],
                         (unsigned)sides->largest[0], (unsigned long long)sides->datagrams[1],
                         (unsigned)sides->largest[1]);
}

static PyObject *queries_two_sided(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given sides;
    if (!PyArg_ParseTuple(args, "O&:two_sided", bytes_or_none, &sides) || check_by_path(self, sides, 1) < 0)
        return NULL;
    vx_map rows;
    int status = vx_query_two_sided(self->tally, sides.bytes, &rows);
    return rows_of(&rows, status, two_sided_of);
}

/* Put a list of addresses, each of at most 16 bytes, into a map of vx_address: 0, or -1 with an error set. */
static int addresses_of(PyObject *list, vx_map *addresses) {
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
        char *bytes;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyList_GetItem(list, i), &bytes, &size) < 0)
            return -1;
        vx_address address = {.size = (uint32_t)size};
        if ((size_t)size > sizeof address.address) {
            PyErr_Format(PyExc_ValueError, "an address of %zd bytes: expected 16 at most", size);
            return -1;
        }
        memcpy(address.address, bytes, (size_t)size);
        bool made;
        if (vx_map_intern(addresses, &address, sizeof address, &made) == VX_NONE) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

/* [flow, ...] of those for which it is said. */
static PyObject *flows_of(const Queries *self, const uint8_t *flags) {
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < vx_map_count(&self->tally->flows); i++)
        if (flags[i] != 0 && append(list, PyLong_FromUnsignedLong(i)) < 0)
            Py_CLEAR(list);
    return list;
}

static PyObject *queries_rewritten(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given sides, reverses;
    PyObject *list;
    if (!PyArg_ParseTuple(args, "O&O!O&:rewritten", bytes_or_none, &sides, &PyList_Type, &list, bytes_or_none,
                          &reverses) ||
        check_by_path(self, sides, 1) < 0 || check_reverses(self, reverses) < 0)
        return NULL;
    PyObject *result = NULL;
    vx_map own;
    vx_map_init(&own, sizeof(vx_address), 0);
    if (addresses_of(list, &own) == 0) {
        uint8_t *found = vx_allocate((size_t)vx_map_count(&self->tally->flows) + 1, 1);
        if (found != NULL && vx_query_rewritten(self->tally, sides.bytes, &own, words(reverses), found) == 0)
            result = flows_of(self, found);
        else
            PyErr_NoMemory();
        free(found);
    }
    vx_map_free(&own);
    return result;
}

/* ---- large datagrams ---- */

/* (in a tunnel, protocol, IPv6, options, told MSS, both told, limit, segment, outer length, inner length,
 * payload length, datagrams) */
static PyObject *large_row_of(const void *row) {
    const vx_large_row *large = row;
    return Py_BuildValue("(NiNiINIIIIIK)", PyBool_FromLong(large->tunnelled), (int)large->protocol,
                         PyBool_FromLong(large->ipv6), (int)large->options, (unsigned)large->told_mss,
                         PyBool_FromLong(large->both_told), (unsigned)large->limit, (unsigned)large->segment,
                         (unsigned)large->outer_length, (unsigned)large->inner_length,
                         (unsigned)large->payload_length, (unsigned long long)large->datagrams);
}

static PyObject *queries_large(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given limits, reverses;
    if (!PyArg_ParseTuple(args, "O&O&:large", bytes_or_none, &limits, bytes_or_none, &reverses) ||
        check_by_path(self, limits, sizeof(uint32_t)) < 0 ||
        (vx_map_count(&self->tally->large) > 0 && check_reverses(self, reverses) < 0))
        return NULL;
    uint32_t *numbers;
    PyObject *bytes = blank(vx_map_count(&self->tally->large), sizeof *numbers, &numbers);
    if (bytes == NULL)
        return NULL;
    vx_map rows;
    int status = vx_query_large(self->tally, words(limits), words(reverses), &rows, numbers);
    PyObject *list = rows_of(&rows, status, large_row_of);
    if (list == NULL) {
        Py_DECREF(bytes);
        return NULL;
    }
    return Py_BuildValue("(NN)", list, bytes);
}

/* (row, largest payload in other rows, datagrams) */
static PyObject *beside_of(const void *row) {
    const vx_beside *beside = row;
    return Py_BuildValue("(IIK)", (unsigned)beside->row, (unsigned)beside->payload_length,
                         (unsigned long long)beside->datagrams);
}

static PyObject *queries_beside(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given numbers, chosen;
    if (!PyArg_ParseTuple(args, "O&O&:beside", bytes_or_none, &numbers, bytes_or_none, &chosen) ||
        check_large(self, numbers) < 0)
        return NULL;
    vx_map rows;
    int status = vx_query_beside(self->tally, words(numbers), set_of(chosen), &rows);
    return rows_of(&rows, status, beside_of);
}

static PyObject *queries_large_flows(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given numbers, chosen;
    if (!PyArg_ParseTuple(args, "O&O&:large_flows", bytes_or_none, &numbers, bytes_or_none, &chosen) ||
        check_large(self, numbers) < 0)
        return NULL;
    uint8_t *flows;
    PyObject *bytes = blank((size_t)vx_map_count(&self->tally->flows) + 1, 1, &flows);
    if (bytes != NULL)
        vx_query_large_flows(self->tally, words(numbers), set_of(chosen), flows);
    return bytes;
}

/* [(flow, row, datagrams), ...] of some flows */
static PyObject *queries_large_of(PyObject *object, PyObject *args) {
    const Queries *self = (Queries *)object;
    given numbers, flows;
    if (!PyArg_ParseTuple(args, "O&O&:large_of", bytes_or_none, &numbers, bytes_or_none, &flows) ||
        check_large(self, numbers) < 0 || check_by_flow(self, flows) < 0)
        return NULL;
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < vx_map_count(&self->tally->large); i++) {
        const vx_large *row = vx_map_at(&self->tally->large, i);
        if (vx_set_has(set_of(flows), vx_flow_place(self->tally, row->flow)) &&
            append(list, Py_BuildValue("(lIK)", flow_number(row->flow), (unsigned)words(numbers)[i],
                                       (unsigned long long)row->count)) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* ---- the type ---- */

static PyObject *queries_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"engine", NULL};
    PyObject *engine;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:Queries", names, &engine))
        return NULL;
    const vx_tally *tally = vx_finished_tally(engine);
    if (tally == NULL)
        return NULL;
    Queries *self = (Queries *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    self->engine = Py_NewRef(engine);
    self->tally = tally;
    return (PyObject *)self;
}

static void queries_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    Py_DECREF(((Queries *)object)->engine);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyMethodDef queries_methods[] = {
    {"tunnels", queries_tunnels, METH_NOARGS, "tunnels()\n--\n\nTunnels, without their source ports."},
    {"folded", queries_folded, METH_NOARGS, "folded()\n--\n\nWhat flows that gave way to others had."},
    {"source_ports", queries_source_ports, METH_NOARGS,
     "source_ports()\n--\n\nSource ports by outer addresses."},
    {"tunnel_flows", queries_tunnel_flows, METH_NOARGS,
     "tunnel_flows()\n--\n\nFlows with ports by outer addresses."},
    {"bundles", queries_bundles, METH_VARARGS,
     "bundles(inside, apart)\n--\n\nBundles, and that of each cell."},
    {"earliest", queries_earliest, METH_VARARGS,
     "earliest(wanted, starts, most)\n--\n\nThe earliest records."},
    {"shares", queries_shares, METH_VARARGS, "shares(wanted)\n--\n\nCells one by one."},
    {"datagrams", queries_datagrams, METH_VARARGS,
     "datagrams(wanted, at, most)\n--\n\nDatagrams one by one."},
    {"listed", queries_listed, METH_VARARGS, "listed(numbers)\n--\n\nDatagrams as arrays."},
    {"sighted", queries_sighted, METH_NOARGS, "sighted()\n--\n\nFurther sightings as arrays."},
    {"addresses", queries_addresses, METH_VARARGS, "addresses(most)\n--\n\nInnermost addresses of flows."},
    {"ends", queries_ends, METH_VARARGS, "ends(wanted)\n--\n\nCells by innermost addresses."},
    {"ranked", queries_ranked, METH_VARARGS,
     "ranked(wanted, order, most)\n--\n\nThe flows that come first, as arrays."},
    {"shared", queries_shared, METH_VARARGS, "shared(numbers, shares)\n--\n\nSome of their cells."},
    {"moments", queries_moments, METH_VARARGS,
     "moments(numbers, order, shares)\n--\n\nWhen their cells start or end."},
    {"of_ranks", queries_of_ranks, METH_VARARGS,
     "of_ranks(ranks, chosen)\n--\n\nFlows by their ranks, for what is wanted."},
    {"flow_count", queries_flow_count, METH_NOARGS, "flow_count()\n--\n\nHow many flows there are."},
    {"large_count", queries_large_count, METH_NOARGS,
     "large_count()\n--\n\nHow many kinds of large datagrams there are."},
    {"reverses", queries_reverses, METH_NOARGS, "reverses()\n--\n\nThe other direction of each flow."},
    {"is_answered", queries_is_answered, METH_VARARGS,
     "is_answered(paths, reverses)\n--\n\nWhether both directions of any conversation took these paths."},
    {"unanswered", queries_unanswered, METH_VARARGS,
     "unanswered(reverses, wait, end)\n--\n\nFlows that asked again and again, and how many they are."},
    {"stuck", queries_stuck, METH_VARARGS,
     "stuck(reverses, wait)\n--\n\nFlows that answer a SYN again and again."},
    {"sources", queries_sources, METH_NOARGS, "sources()\n--\n\nSums by VNI and source."},
    {"pairs", queries_pairs, METH_VARARGS,
     "pairs(reverses)\n--\n\nSums by VNI and that of the other direction."},
    {"told_mss", queries_told_mss, METH_NOARGS, "told_mss()\n--\n\nFlows by MSS."},
    {"agreed_mss", queries_agreed_mss, METH_VARARGS,
     "agreed_mss(reverses)\n--\n\nFlows by the smaller MSS of both directions."},
    {"stalled", queries_stalled, METH_VARARGS,
     "stalled(reverses, least, most, few)\n--\n\nFlows that repeat what is hardly answered."},
    {"two_sided", queries_two_sided, METH_VARARGS, "two_sided(sides)\n--\n\nFlows with both kinds of paths."},
    {"rewritten", queries_rewritten, METH_VARARGS,
     "rewritten(sides, own, reverses)\n--\n\nFlows that left under another address, and their answers."},
    {"large", queries_large, METH_VARARGS,
     "large(limits, reverses)\n--\n\nRows of large datagrams, and that of each; reverses only where there "
     "are any."},
    {"beside", queries_beside, METH_VARARGS,
     "beside(numbers, chosen)\n--\n\nRows by what else their flows have."},
    {"large_flows", queries_large_flows, METH_VARARGS,
     "large_flows(numbers, chosen)\n--\n\nFlows in these rows."},
    {"large_of", queries_large_of, METH_VARARGS, "large_of(numbers, flows)\n--\n\nRows of these flows."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot queries_slots[] = {
    {Py_tp_doc, "Questions to a finished engine; see vxtool.engine.native_queries."},
    {Py_tp_new, queries_new},
    {Py_tp_dealloc, queries_dealloc},
    {Py_tp_methods, queries_methods},
    {0, NULL},
};

static PyType_Spec queries_spec = {
    .name = "vxtool._native.Queries",
    .basicsize = sizeof(Queries),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = queries_slots,
};

int vx_add_queries(PyObject *module) { return vx_add_type(module, &queries_spec); }
