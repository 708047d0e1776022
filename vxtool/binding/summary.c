/* Lists of packets, as Python sees them: vxtool._native.Lister, which vxtool/listing/lister.py wraps.
 *
 * What is given in arrays is borrowed for as long as the lister lives. Questions become calls of functions
 * that were given with it; what raises there, is raised by whoever fed the lister. */
#include "binding.h"
#include "list.h"
#include "tails.h"

enum { BORROWED = 11, QUESTIONS = 5 };

typedef struct {
    PyObject_HEAD vx_lister *lister;
    uint32_t inputs;
    Py_buffer borrowed[BORROWED];
    PyObject *kept;                 /* what else is borrowed: tuples of bytes */
    PyObject *questions[QUESTIONS]; /* party, identity, interface, direction, message */
    PyObject *answer;               /* the last one, whose strings are borrowed until the next question */
    vx_string *paths;
    struct vx_port *ports;
    vx_way *ways;
    vx_column *columns;
} Lister;

/* ---- questions ---- */

/* The string of a bytes object, or of None; -1 with an error set. */
static int string_of(PyObject *object, vx_string *string) {
    *string = (vx_string){NULL, 0};
    if (Py_IsNone(object))
        return 0;
    char *at;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(object, &at, &size) < 0)
        return -1;
    if (size > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a text of 2 GiB or more");
        return -1;
    }
    *string = (vx_string){at, (uint32_t)size};
    return 0;
}

/* Take over what a question gave. 1; 0: it was None; -1: it raised. */
static int keep_answer(Lister *self, PyObject *answer) {
    Py_XDECREF(self->answer);
    self->answer = answer;
    return answer == NULL ? -1 : !Py_IsNone(answer);
}

static int ask_party(void *context, const uint8_t *address, size_t size, vx_party *party) {
    Lister *self = context;
    int status = keep_answer(
        self, PyObject_CallFunction(self->questions[0], "y#", (const char *)address, (Py_ssize_t)size));
    if (status <= 0)
        return status;
    PyObject *name, *pod, *node;
    long long identity;
    if (!PyArg_ParseTuple(self->answer, "OOOL:party", &name, &pod, &node, &identity) ||
        string_of(name, &party->name) < 0 || string_of(pod, &party->pod) < 0 ||
        string_of(node, &party->node) < 0)
        return -1;
    party->identity = identity;
    return 1;
}

static int ask_identity(void *context, uint32_t vni, vx_string *name) {
    Lister *self = context;
    int status = keep_answer(self, PyObject_CallFunction(self->questions[1], "I", (unsigned)vni));
    return status <= 0 ? status : string_of(self->answer, name) < 0 ? -1 : 1;
}

static int ask_interface(void *context, int64_t index, uint32_t input, uint32_t interface, vx_string *label) {
    Lister *self = context;
    int status = keep_answer(self, PyObject_CallFunction(self->questions[2], "LII", (long long)index,
                                                         (unsigned)input, (unsigned)interface));
    return status <= 0 ? status : string_of(self->answer, label) < 0 ? -1 : 1;
}

static int ask_direction(void *context, uint32_t bundle, uint32_t input, uint32_t interface,
                         const uint8_t *macs, uint8_t *direction) {
    Lister *self = context;
    int status = keep_answer(self, PyObject_CallFunction(self->questions[3], "IIIy#", (unsigned)bundle,
                                                         (unsigned)input, (unsigned)interface,
                                                         (const char *)macs, (Py_ssize_t)12));
    if (status <= 0)
        return status;
    long value = PyLong_AsLong(self->answer);
    if (value == -1 && PyErr_Occurred())
        return -1;
    *direction = (uint8_t)value;
    return 1;
}

static int ask_message(void *context, const vx_message_asked *asked, vx_message *message) {
    Lister *self = context;
    int status = keep_answer(
        self, PyObject_CallFunction(self->questions[4], "iiiy#IIiKi", (int)asked->transport,
                                    (int)asked->source_port, (int)asked->destination_port,
                                    (const char *)asked->payload, (Py_ssize_t)asked->captured,
                                    (unsigned)asked->length, (unsigned)asked->stream, (int)asked->is_forward,
                                    (unsigned long long)asked->remaining, (int)asked->is_last));
    if (status <= 0)
        return status;
    PyObject *protocol, *info;
    unsigned long long remaining;
    if (!PyArg_ParseTuple(self->answer, "SSK:message", &protocol, &info, &remaining) ||
        string_of(protocol, &message->protocol) < 0 || string_of(info, &message->info) < 0)
        return -1;
    message->remaining = remaining;
    return 1;
}

/* ---- what is given ---- */

/* Items of a tuple, as an array of the caller's; NULL with an error set. */
static void *array_for(PyObject *tuple, size_t item, Py_ssize_t *count) {
    *count = PyTuple_Size(tuple);
    if (*count < 0)
        return NULL;
    void *array = PyMem_Calloc((size_t)*count + 1, item);
    if (array == NULL)
        PyErr_NoMemory();
    return array;
}

static int take_paths(Lister *self, PyObject *tuple) {
    Py_ssize_t count;
    self->paths = array_for(tuple, sizeof *self->paths, &count);
    if (self->paths == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (string_of(PyTuple_GetItem(tuple, i), &self->paths[i]) < 0)
            return -1;
    self->inputs = (uint32_t)count;
    return 0;
}

static int take_ports(Lister *self, PyObject *tuple, size_t *taken) {
    Py_ssize_t count;
    self->ports = array_for(tuple, sizeof *self->ports, &count);
    if (self->ports == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        int port, is_geneve;
        if (!PyArg_ParseTuple(PyTuple_GetItem(tuple, i), "ip:port", &port, &is_geneve))
            return -1;
        self->ports[i] = (struct vx_port){(uint16_t)port, is_geneve ? VX_GENEVE : VX_VXLAN};
    }
    *taken = (size_t)count;
    return 0;
}

static int take_ways(Lister *self, PyObject *tuple, Py_ssize_t *count) {
    self->ways = array_for(tuple, sizeof *self->ways, count);
    if (self->ways == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < *count; i++) {
        PyObject *ingress, *egress, *both;
        vx_way *way = &self->ways[i];
        if (!PyArg_ParseTuple(PyTuple_GetItem(tuple, i), "OOO:way", &ingress, &egress, &both) ||
            string_of(ingress, &way->ingress) < 0 || string_of(egress, &way->egress) < 0 ||
            string_of(both, &way->both) < 0)
            return -1;
    }
    return 0;
}

static int take_columns(Lister *self, PyObject *tuple, size_t *taken) {
    Py_ssize_t count;
    self->columns = array_for(tuple, sizeof *self->columns, &count);
    if (self->columns == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        int field, width, to_the_right, starts_line;
        if (!PyArg_ParseTuple(PyTuple_GetItem(tuple, i), "iipp:column", &field, &width, &to_the_right,
                              &starts_line))
            return -1;
        if (field < 0 || field >= VX_SHOWN_FIELDS || width < 0 || width > UINT16_MAX) {
            PyErr_Format(PyExc_ValueError, "a column of field %d, %d wide: there is none such", field, width);
            return -1;
        }
        self->columns[i] = (vx_column){(uint8_t)field, to_the_right != 0, starts_line != 0, (uint16_t)width};
    }
    *taken = (size_t)count;
    return 0;
}

/* Hold a buffer of items; their number, or -1 with an error set. */
static Py_ssize_t borrow(Lister *self, unsigned number, PyObject *object, size_t item, const void **at) {
    Py_buffer *view = &self->borrowed[number];
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0)
        return -1;
    *at = view->buf;
    if ((size_t)view->len % item == 0)
        return view->len / (Py_ssize_t)item;
    PyErr_Format(PyExc_ValueError, "an array of %zd bytes, expected items of %zu", view->len, item);
    return -1;
}

static int check_numbers(const uint32_t *numbers, Py_ssize_t count, Py_ssize_t limit, const char *what) {
    for (Py_ssize_t i = 0; i < count; i++)
        if ((Py_ssize_t)numbers[i] >= limit) {
            PyErr_Format(PyExc_ValueError, "%s %u of %zd", what, (unsigned)numbers[i], limit);
            return -1;
        }
    return 0;
}

/* The arrays: (where, bundle, latency, length and VNI of datagrams; where and first of sightings, and of
 * tails; way and outcome of bundles). */
static int take_arrays(Lister *self, PyObject *tuple, Py_ssize_t ways, vx_list_options *options) {
    static const size_t sizes[BORROWED] = {8, 4, 8, 4, 4, 8, 8, 8, 8, 4, 1};
    /* Which of them are of the same things. */
    static const unsigned groups[BORROWED] = {0, 0, 0, 0, 0, 5, 5, 7, 7, 9, 9};
    const void *arrays[BORROWED];
    Py_ssize_t counts[BORROWED];
    if (PyTuple_Size(tuple) != BORROWED) {
        PyErr_Format(PyExc_ValueError, "expected %d arrays", (int)BORROWED);
        return -1;
    }
    for (unsigned i = 0; i < BORROWED; i++) {
        counts[i] = borrow(self, i, PyTuple_GetItem(tuple, i), sizes[i], &arrays[i]);
        if (counts[i] < 0)
            return -1;
        if (counts[i] != counts[groups[i]]) {
            PyErr_SetString(PyExc_ValueError, "arrays of the same things are not of one length");
            return -1;
        }
    }
    options->where = arrays[0];
    options->bundle = arrays[1];
    options->latency = arrays[2];
    options->length = arrays[3];
    options->vni = arrays[4];
    options->datagram_count = (size_t)counts[0];
    options->sighted = (vx_pairs){arrays[5], arrays[6], (size_t)counts[5]};
    options->tails = (vx_pairs){arrays[7], arrays[8], (size_t)counts[7]};
    options->way_of = arrays[9];
    options->outcome_of = arrays[10];
    if (check_numbers(options->bundle, counts[0], counts[9], "bundle") < 0 ||
        check_numbers(options->way_of, counts[9], ways, "way") < 0)
        return -1;
    for (Py_ssize_t i = 0; i < counts[10]; i++)
        if (options->outcome_of[i] > 6) {
            PyErr_SetString(PyExc_ValueError, "an outcome that is none");
            return -1;
        }
    return 0;
}

static int take_questions(Lister *self, PyObject *tuple) {
    if (PyTuple_Size(tuple) != QUESTIONS) {
        PyErr_Format(PyExc_ValueError, "expected %d questions", (int)QUESTIONS);
        return -1;
    }
    for (unsigned i = 0; i < QUESTIONS; i++)
        self->questions[i] = Py_NewRef(PyTuple_GetItem(tuple, i));
    return 0;
}

static PyObject *lister_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"paths",
                            "ports",
                            "arrays",
                            "ways",
                            "columns",
                            "questions",
                            "filter",
                            "format",
                            "time",
                            "time_digits",
                            "all",
                            "color",
                            "ask_names",
                            "ask_identities",
                            "vni_is_network",
                            "vni_is_identity",
                            "way_width",
                            "tail_width",
                            "info_room",
                            "indent",
                            "most",
                            "seed",
                            NULL};
    PyObject *paths, *ports, *arrays, *ways, *columns, *questions, *filter;
    int format, time, time_digits, all, color, ask_names, ask_identities, vni_is_network, vni_is_identity;
    int way_width, tail_width, info_room, indent;
    unsigned long long most, seed;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!O!O!O!O!O!OiiippppppiiiiKK:Lister", names, &PyTuple_Type, &paths, &PyTuple_Type,
            &ports, &PyTuple_Type, &arrays, &PyTuple_Type, &ways, &PyTuple_Type, &columns, &PyTuple_Type,
            &questions, &filter, &format, &time, &time_digits, &all, &color, &ask_names, &ask_identities,
            &vni_is_network, &vni_is_identity, &way_width, &tail_width, &info_room, &indent, &most, &seed))
        return NULL;
    Lister *self = (Lister *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    vx_string program;
    Py_ssize_t way_count;
    vx_list_options options = {
        .format = (uint8_t)format,
        .time = (uint8_t)time,
        .time_digits = (uint8_t)(time_digits < 0   ? 0
                                 : time_digits > 9 ? 9
                                                   : time_digits),
        .all = all != 0,
        .color = color != 0,
        .ask_names = ask_names != 0,
        .ask_identities = ask_identities != 0,
        .vni_is_network = vni_is_network != 0,
        .vni_is_identity = vni_is_identity != 0,
        .way_width = (uint16_t)way_width,
        .tail_width = (uint16_t)tail_width,
        .info_room = (uint16_t)info_room,
        .indent = (uint16_t)indent,
        .most = most,
        .seed = seed,
        .ask = {self, ask_party, ask_identity, ask_interface, ask_direction, ask_message},
    };
    self->kept = PyTuple_Pack(4, paths, ways, columns, filter);
    if (self->kept == NULL || take_paths(self, paths) < 0 ||
        take_ports(self, ports, &options.port_count) < 0 || take_ways(self, ways, &way_count) < 0 ||
        take_columns(self, columns, &options.column_count) < 0 ||
        take_arrays(self, arrays, way_count, &options) < 0 || take_questions(self, questions) < 0 ||
        string_of(filter, &program) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    options.inputs = self->inputs;
    options.paths = self->paths;
    options.ports = self->ports;
    options.ways = self->ways;
    options.columns = self->columns;
    options.filter = (const uint8_t *)program.at;
    options.filter_size = program.size;
    self->lister = vx_lister_new(&options);
    if (self->lister == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void lister_dealloc(PyObject *object) {
    Lister *self = (Lister *)object;
    PyTypeObject *type = Py_TYPE(object);
    vx_lister_free(self->lister);
    for (unsigned i = 0; i < BORROWED; i++)
        PyBuffer_Release(&self->borrowed[i]);
    for (unsigned i = 0; i < QUESTIONS; i++)
        Py_XDECREF(self->questions[i]);
    Py_XDECREF(self->kept);
    Py_XDECREF(self->answer);
    PyMem_Free(self->paths);
    PyMem_Free(self->ports);
    PyMem_Free(self->ways);
    PyMem_Free(self->columns);
    PyObject_Free(object);
    Py_DECREF(type);
}

/* ---- methods ---- */

static int check_input(const Lister *self, unsigned long input) {
    if (input < self->inputs)
        return 0;
    PyErr_Format(PyExc_ValueError, "input %lu of %u", input, (unsigned)self->inputs);
    return -1;
}

/* The lines so far, taken; NULL with an error set. */
static PyObject *take_text(Lister *self, int status) {
    if (status == VX_LIST_FAILED)
        return NULL;
    if (status < 0)
        return PyErr_NoMemory();
    vx_text *text = vx_lister_text(self->lister);
    PyObject *bytes = PyBytes_FromStringAndSize(text->at, (Py_ssize_t)text->size);
    text->size = 0;
    return bytes;
}

static PyObject *lister_feed(PyObject *object, PyObject *args) {
    Lister *self = (Lister *)object;
    unsigned input;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "Iy*:feed", &input, &data))
        return NULL;
    PyObject *text = NULL;
    if (check_input(self, input) == 0)
        text = take_text(self, vx_lister_feed(self->lister, input, data.buf, (size_t)data.len));
    PyBuffer_Release(&data);
    return text;
}

static PyObject *lister_end(PyObject *object, PyObject *number) {
    Lister *self = (Lister *)object;
    unsigned long input = PyLong_AsUnsignedLong(number);
    if ((input == (unsigned long)-1 && PyErr_Occurred()) || check_input(self, input) < 0)
        return NULL;
    return take_text(self, vx_lister_end(self->lister, (uint32_t)input));
}

static PyObject *lister_wants(PyObject *object, PyObject *unused) {
    (void)unused;
    uint32_t input = vx_lister_wants(((Lister *)object)->lister);
    return input == UINT32_MAX ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(input);
}

static PyObject *lister_lines(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(vx_lister_lines(((Lister *)object)->lister));
}

static PyMethodDef lister_methods[] = {
    {"feed", lister_feed, METH_VARARGS, "feed(input, data)\n--\n\nTake bytes of an input, give lines."},
    {"end", lister_end, METH_O, "end(input)\n--\n\nNo more bytes of this input will come; give lines."},
    {"wants", lister_wants, METH_NOARGS, "wants()\n--\n\nThe input whose next bytes are needed, or None."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef lister_values[] = {
    {"lines", lister_lines, NULL, "Lines so far.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot lister_slots[] = {
    {Py_tp_doc, "A list of packets as text; see vxtool.listing.lister."},
    {Py_tp_new, lister_new},
    {Py_tp_dealloc, lister_dealloc},
    {Py_tp_methods, lister_methods},
    {Py_tp_getset, lister_values},
    {0, NULL},
};

static PyType_Spec lister_spec = {
    .name = "vxtool._native.Lister",
    .basicsize = sizeof(Lister),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = lister_slots,
};

/* ---- fragments ---- */

typedef struct {
    PyObject_HEAD vx_tails *tails;
    uint32_t inputs;
} Tails;

static PyObject *tails_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"inputs", "window", "seed", NULL};
    unsigned inputs;
    long long window;
    unsigned long long seed;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "ILK:Tails", names, &inputs, &window, &seed))
        return NULL;
    Tails *self = (Tails *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    self->inputs = inputs;
    self->tails = vx_tails_new(inputs, window, seed);
    if (self->tails == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void tails_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    vx_tails_free(((Tails *)object)->tails);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *tails_feed(PyObject *object, PyObject *args) {
    Tails *self = (Tails *)object;
    unsigned input;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "Iy*:feed", &input, &data))
        return NULL;
    int status = input < self->inputs ? vx_tails_feed(self->tails, input, data.buf, (size_t)data.len) : 1;
    PyBuffer_Release(&data);
    if (status > 0)
        return PyErr_Format(PyExc_ValueError, "input %u of %u", input, (unsigned)self->inputs);
    return status < 0 ? PyErr_NoMemory() : Py_NewRef(Py_None);
}

static PyObject *tails_end(PyObject *object, PyObject *number) {
    Tails *self = (Tails *)object;
    unsigned long input = PyLong_AsUnsignedLong(number);
    if (input == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    if (input >= self->inputs)
        return PyErr_Format(PyExc_ValueError, "input %lu of %u", input, (unsigned)self->inputs);
    return vx_tails_end(self->tails, (uint32_t)input) < 0 ? PyErr_NoMemory() : Py_NewRef(Py_None);
}

static PyObject *tails_wants(PyObject *object, PyObject *unused) {
    (void)unused;
    uint32_t input = vx_tails_wants(((Tails *)object)->tails);
    return input == UINT32_MAX ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(input);
}

/* (where of tails, where of their firsts) */
static PyObject *tails_found(PyObject *object, PyObject *unused) {
    (void)unused;
    size_t count;
    const vx_tail *found = vx_tails_found(((Tails *)object)->tails, &count);
    PyObject *where = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(uint64_t)));
    PyObject *first =
        where != NULL ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(uint64_t))) : NULL;
    if (first == NULL) {
        Py_XDECREF(where);
        return NULL;
    }
    uint64_t *tails = (uint64_t *)(void *)PyBytes_AsString(where);
    uint64_t *firsts = (uint64_t *)(void *)PyBytes_AsString(first);
    for (size_t i = 0; i < count; i++) {
        tails[i] = found[i].tail;
        firsts[i] = found[i].first;
    }
    return Py_BuildValue("(NN)", where, first);
}

static PyMethodDef tails_methods[] = {
    {"feed", tails_feed, METH_VARARGS, "feed(input, data)\n--\n\nTake the next bytes of an input."},
    {"end", tails_end, METH_O, "end(input)\n--\n\nNo more bytes of this input will come."},
    {"wants", tails_wants, METH_NOARGS, "wants()\n--\n\nThe input whose next bytes are needed, or None."},
    {"found", tails_found, METH_NOARGS, "found()\n--\n\nFragments, and the first of each."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot tails_slots[] = {
    {Py_tp_doc, "Which fragments follow which; see vxtool.listing.tails."},
    {Py_tp_new, tails_new},
    {Py_tp_dealloc, tails_dealloc},
    {Py_tp_methods, tails_methods},
    {0, NULL},
};

static PyType_Spec tails_spec = {
    .name = "vxtool._native.Tails",
    .basicsize = sizeof(Tails),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = tails_slots,
};

int vx_add_lister(PyObject *module) {
    return vx_add_type(module, &lister_spec) < 0 ? -1 : vx_add_type(module, &tails_spec);
}
