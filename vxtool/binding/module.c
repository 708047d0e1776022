/* The extension module: it only brings its parts together. */
#include "binding.h"

int vx_add_type(PyObject *module, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL)
        return -1;
    int status = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return status;
}

static int native_exec(PyObject *module) {
    if (vx_add_codec(module) < 0 || vx_add_engine(module) < 0)
        return -1;
    return vx_add_queries(module) < 0 ? -1 : vx_add_lister(module);
}

static PyModuleDef_Slot native_slots[] = {
    {Py_mod_exec, native_exec},
    {0, NULL},
};

static struct PyModuleDef native_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "vxtool._native",
    .m_doc = "The C engine and codec; see vxtool.engine and vxtool.packet.",
    .m_size = 0,
    .m_slots = native_slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&native_module); }
