/* The module apiary._apiary: types, a few functions, the table of codes. */
#include "ext.h"

#include <stdarg.h>
#include <stdio.h>

PyTypeObject *handle_type, *session_type, *rows_type, *stream_type, *schema_type;

/* ---- errors ---- */

PyObject *raise_error(const struct apiary_error *error)
{
    PyObject *errors = PyImport_ImportModule("apiary._errors");
    PyObject *message = PyUnicode_DecodeUTF8(error->message, (Py_ssize_t)strlen(error->message), "replace");
    PyObject *hint = PyUnicode_DecodeUTF8(error->hint, (Py_ssize_t)strlen(error->hint), "replace");
    PyObject *made = NULL;
    if (errors != NULL && message != NULL && hint != NULL)
        made = PyObject_CallMethod(errors, "make", "sOO", apiary_code_name(error->code), message, hint);
    if (made != NULL) PyErr_SetObject((PyObject *)Py_TYPE(made), made);
    Py_XDECREF(errors);
    Py_XDECREF(message);
    Py_XDECREF(hint);
    Py_XDECREF(made);
    return NULL;
}

__attribute__((format(printf, 3, 0))) static void set_error(struct apiary_error *error, int code, const char *format, va_list args)
{
    memset(error, 0, sizeof *error);
    error->code = code;
    vsnprintf(error->message, sizeof error->message, format, args);
}

PyObject *raise_code(int code, const char *format, ...)
{
    struct apiary_error error;
    va_list args;
    va_start(args, format);
    set_error(&error, code, format, args);
    va_end(args);
    return raise_error(&error);
}

int fail_with(struct apiary_error *error, int code, const char *format, ...)
{
    va_list args;
    if (error == NULL) return code;
    va_start(args, format);
    set_error(error, code, format, args);
    va_end(args);
    return code;
}

/* ---- functions ---- */

/* statements(text) -> list of (start, end, complete), offsets in UTF-8 bytes */
static PyObject *module_statements(PyObject *module, PyObject *args)
{
    const char *sql;
    Py_ssize_t length;
    (void)module;
    if (!PyArg_ParseTuple(args, "s#", &sql, &length)) return NULL;
    PyObject *list = PyList_New(0);
    size_t position = 0, start = 0, end = 0;
    int complete = 0;
    while (list != NULL && apiary_next_statement(sql, (size_t)length, &position, &start, &end, &complete)) {
        PyObject *item = Py_BuildValue("(nnO)", (Py_ssize_t)start, (Py_ssize_t)end, complete ? Py_True : Py_False);
        if (item == NULL || PyList_Append(list, item) != 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyMethodDef module_methods[] = {
    { "statements", module_statements, METH_VARARGS, NULL },
    { "ipc_stream", source_ipc, METH_O, NULL },
    { "iterator_stream", source_iterator, METH_VARARGS, NULL },
    { "columns_stream", source_columns, METH_VARARGS, NULL },
    { "rows_stream", build_rows_stream, METH_VARARGS, NULL },
    { 0 },
};

/* ---- the module ---- */

static bool add_type(PyObject *module, PyType_Spec *spec, const char *name, PyTypeObject **out)
{
    *out = (PyTypeObject *)PyType_FromSpec(spec);
    return *out != NULL && PyModule_AddObjectRef(module, name, (PyObject *)*out) == 0;
}

static bool add_codes(PyObject *module)
{
    PyObject *codes = PyDict_New();
    bool good = codes != NULL;
#define ADD(name, value, text)                                                 \
    if (good) {                                                                \
        PyObject *pair = Py_BuildValue("(is)", value, text);                   \
        good = pair != NULL && PyDict_SetItemString(codes, #name, pair) == 0;  \
        Py_XDECREF(pair);                                                      \
    }
    APIARY_CODES(ADD)
#undef ADD
    good = good && PyModule_AddObjectRef(module, "codes", codes) == 0;
    Py_XDECREF(codes);
    return good;
}

extern PyType_Spec handle_spec, session_spec;

static int module_exec(PyObject *module)
{
    /* The types are the process's: a second interpreter would share objects with the first. */
    if (handle_type != NULL) {
        PyErr_SetString(PyExc_ImportError, "apiary can be imported into one interpreter of a process only");
        return -1;
    }
    bool good = add_type(module, &handle_spec, "Handle", &handle_type) && add_type(module, &session_spec, "Session", &session_type)
        && add_type(module, &rows_spec, "Rows", &rows_type) && add_type(module, &stream_spec, "Stream", &stream_type)
        && add_type(module, &schema_spec, "ArrowSchema", &schema_type) && add_codes(module)
        && PyModule_AddStringConstant(module, "version", apiary_version()) == 0
        && PyModule_AddStringConstant(module, "hint_other_schema", APIARY_HINT_OTHER_SCHEMA) == 0;
    return good ? 0 : -1;
}

static PyModuleDef_Slot module_slots[] = {
    { Py_mod_exec, module_exec },
    { 0 },
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "apiary._apiary",
    .m_doc = "Apiary's C library as Python sees it. Use the package apiary instead.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__apiary(void); /* no header of ours has it */
PyMODINIT_FUNC PyInit__apiary(void)
{
    return PyModuleDef_Init(&definition);
}
