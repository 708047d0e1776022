/* The binding: the only part of the C code that knows Python. Each file here adds its types and functions
 * to the one extension module, vxtool._native. */
#ifndef VXTOOL_BINDING_H
#define VXTOOL_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Add a type of the module's. Returns 0, or -1 with a Python error set. */
int vx_add_type(PyObject *module, PyType_Spec *spec);

/* Add decode and encode of single packets. Returns 0, or -1 with a Python error set. */
int vx_add_codec(PyObject *module);

/* Add the Engine type. Returns 0, or -1 with a Python error set. */
int vx_add_engine(PyObject *module);

/* Add the Queries type. Returns 0, or -1 with a Python error set. */
int vx_add_queries(PyObject *module);

/* Add the Lister and Tails types. Returns 0, or -1 with a Python error set. */
int vx_add_lister(PyObject *module);

/* The tally of a finished Engine, which lives as long as that; NULL with a Python error set. */
struct vx_tally;
const struct vx_tally *vx_finished_tally(PyObject *engine);

#endif
