/* Values of the engine as Python has them: what those who give its tables and its answers share. */
#ifndef VXTOOL_VALUES_H
#define VXTOOL_VALUES_H

#include "binding.h"
#include "tally.h"

/* Append a new reference to a list; 0, or -1 with an error set. */
static inline int append(PyObject *list, PyObject *item) {
    if (item == NULL)
        return -1;
    int status = PyList_Append(list, item);
    Py_DECREF(item);
    return status;
}

static inline PyObject *octets(const uint8_t *at, size_t size) {
    return PyBytes_FromStringAndSize((const char *)at, (Py_ssize_t)size);
}

/* The flow that stands for those beyond the limit is -1. */
static inline long flow_number(uint32_t flow) { return flow == VX_OTHER_FLOWS ? -1 : (long)flow; }

#endif
