/* Statement parameters: Python values as struct apiary_value.
 *
 * None, bool, int, float, str, bytes, date, datetime (with or without zone), time, Decimal, UUID
 * (as text), lists and tuples of these, and scalars of NumPy. An int of more than 64 bits goes as
 * a decimal of up to 38 digits. */
#include "ext.h"

enum { VALUE_DEPTH_MAX = 16 };

void values_done(struct values *values)
{
    struct values *next = values;
    bool first = true;
    while (next != NULL) {
        struct values *after = next->nested;
        PyMem_Free(next->items);
        Py_XDECREF(next->keep);
        if (!first) PyMem_Free(next);
        first = false;
        next = after;
    }
    memset(values, 0, sizeof *values);
}

static bool keep(struct values *values, PyObject *object)
{
    if (values->keep == NULL) values->keep = PyList_New(0);
    bool kept = object != NULL && values->keep != NULL && PyList_Append(values->keep, object) == 0;
    Py_XDECREF(object);
    return kept;
}

/* Takes `object`, a str. */
static bool set_text(struct values *values, PyObject *object, enum apiary_value_type type, struct apiary_value *out)
{
    if (object == NULL) return false;
    PyObject *bytes = PyUnicode_AsUTF8String(object);
    Py_DECREF(object);
    if (!keep(values, bytes)) return false;
    out->type = type;
    out->text = PyBytes_AsString(bytes);
    out->length = (size_t)PyBytes_Size(bytes);
    return true;
}

static bool set_int(struct values *values, PyObject *object, struct apiary_value *out)
{
    int overflow = 0;
    out->type = APIARY_VALUE_INT64;
    out->integer = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) return !PyErr_Occurred();
    if (overflow > 0) {
        unsigned long long large = PyLong_AsUnsignedLongLong(object);
        if (!PyErr_Occurred()) {
            out->type = APIARY_VALUE_UINT64;
            out->integer = (int64_t)large;
            return true;
        }
        PyErr_Clear();
    }
    return set_text(values, PyObject_Str(object), APIARY_VALUE_DECIMAL, out);
}

static bool set_decimal(struct values *values, PyObject *object, struct apiary_value *out)
{
    PyObject *finite = PyObject_CallMethod(object, "is_finite", NULL);
    if (finite == NULL) return false;
    bool number = PyObject_IsTrue(finite) == 1;
    Py_DECREF(finite);
    if (!number) {
        raise_code(APIARY_INVALID, "a Decimal parameter must be a number, not NaN or infinite");
        return false;
    }
    PyObject *form = PyUnicode_FromString("f");
    PyObject *text = form == NULL ? NULL : PyObject_Format(object, form);
    Py_XDECREF(form);
    return set_text(values, text, APIARY_VALUE_DECIMAL, out);
}

static bool set_value(struct values *values, PyObject *object, int depth, struct apiary_value *out);

static bool set_list(struct values *values, PyObject *object, int depth, struct apiary_value *out)
{
    Py_ssize_t count = PySequence_Size(object);
    if (count < 0) return false;
    struct values *nested = PyMem_Calloc(1, sizeof *nested);
    if (nested != NULL) nested->items = PyMem_Calloc((size_t)count + 1, sizeof *nested->items);
    if (nested == NULL || nested->items == NULL) {
        PyMem_Free(nested);
        PyErr_NoMemory();
        return false;
    }
    nested->nested = values->nested; /* all lists hang in one chain, freed together */
    values->nested = nested;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(object, i);
        bool set = keep(nested, item) && set_value(values, item, depth + 1, &nested->items[i]);
        if (!set) return false;
    }
    out->type = APIARY_VALUE_LIST;
    out->items = nested->items;
    out->length = (size_t)count;
    return true;
}

static bool set_moment(struct values *values, PyObject *object, struct apiary_value *out)
{
    const struct classes *known = classes();
    bool zoned = false;
    (void)values;
    if (PyObject_IsInstance(object, known->datetime) == 1) {
        if (!datetime_micros(object, &out->integer, &zoned)) return false;
        out->type = zoned ? APIARY_VALUE_TIMESTAMP_TZ : APIARY_VALUE_TIMESTAMP;
        return true;
    }
    if (PyObject_IsInstance(object, known->date) == 1) {
        out->type = APIARY_VALUE_DATE;
        return date_parts(object, &out->integer);
    }
    out->type = APIARY_VALUE_TIME;
    return time_micros(object, &out->integer);
}

static bool set_plain(struct values *values, PyObject *object, int depth, struct apiary_value *out)
{
    const struct classes *known = classes();
    if (known == NULL) return false;
    if (is_null(object)) {
        out->type = APIARY_VALUE_NULL;
        return true;
    }
    if (PyBool_Check(object)) {
        out->type = APIARY_VALUE_BOOL;
        out->integer = object == Py_True;
        return true;
    }
    if (PyLong_Check(object)) return set_int(values, object, out);
    if (PyFloat_Check(object)) {
        out->type = APIARY_VALUE_DOUBLE;
        out->real = PyFloat_AsDouble(object);
        return true;
    }
    if (PyUnicode_Check(object)) return set_text(values, Py_NewRef(object), APIARY_VALUE_TEXT, out);
    if (PyBytes_Check(object) || PyByteArray_Check(object) || PyMemoryView_Check(object)) {
        PyObject *bytes = PyBytes_FromObject(object);
        if (!keep(values, bytes)) return false;
        out->type = APIARY_VALUE_BLOB;
        out->text = PyBytes_AsString(bytes);
        out->length = (size_t)PyBytes_Size(bytes);
        return true;
    }
    if (PyObject_IsInstance(object, known->date) == 1 || PyObject_IsInstance(object, known->time) == 1)
        return set_moment(values, object, out);
    if (PyObject_IsInstance(object, known->decimal) == 1) return set_decimal(values, object, out);
    if (PyObject_IsInstance(object, known->uuid) == 1) return set_text(values, PyObject_Str(object), APIARY_VALUE_TEXT, out);
    if (depth < VALUE_DEPTH_MAX && (PyList_Check(object) || PyTuple_Check(object))) return set_list(values, object, depth, out);
    PyObject *name = PyType_GetName(Py_TYPE(object));
    PyObject *bytes = name == NULL ? NULL : PyUnicode_AsUTF8String(name);
    if (bytes != NULL) raise_code(APIARY_INVALID, "a value of type %s cannot be a parameter", PyBytes_AsString(bytes));
    Py_XDECREF(name);
    Py_XDECREF(bytes);
    return false;
}

static bool set_value(struct values *values, PyObject *object, int depth, struct apiary_value *out)
{
    PyObject *plain = plain_value(object);
    if (plain == NULL) return false;
    bool set = set_plain(values, plain, depth, out);
    /* What is borrowed from it was kept; the value itself may go. */
    Py_DECREF(plain);
    return set;
}

static bool set_named(struct values *out, PyObject *params)
{
    PyObject *items = PyMapping_Items(params);
    Py_ssize_t count = items == NULL ? -1 : PyList_Size(items);
    if (count >= 0) out->items = PyMem_Calloc((size_t)count + 1, sizeof *out->items);
    bool good = out->items != NULL;
    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *pair = PyList_GetItem(items, i);
        PyObject *name = PyUnicode_AsUTF8String(PyTuple_GetItem(pair, 0));
        good = keep(out, name) && set_value(out, PyTuple_GetItem(pair, 1), 0, &out->items[i]);
        if (!good) break;
        const char *text = PyBytes_AsString(name);
        out->items[i].name = text[0] == '$' ? text + 1 : text;
        out->count++;
    }
    good = good && out->items != NULL && keep(out, Py_NewRef(items)); /* the values stay alive with it */
    Py_XDECREF(items);
    return good;
}

bool values_from(PyObject *params, struct values *out)
{
    memset(out, 0, sizeof *out);
    if (params == Py_None) return true;
    bool good = false;
    if (PyUnicode_Check(params) || PyBytes_Check(params))
        raise_code(APIARY_INVALID, "params is a list, a tuple or a dict of values, not one text");
    else if (PyDict_Check(params) || (PyMapping_Check(params) && !PySequence_Check(params)))
        good = set_named(out, params);
    else {
        PyObject *list = PySequence_List(params);
        Py_ssize_t count = list == NULL ? -1 : PyList_Size(list);
        if (count >= 0) out->items = PyMem_Calloc((size_t)count + 1, sizeof *out->items);
        good = out->items != NULL && keep(out, Py_NewRef(list));
        for (Py_ssize_t i = 0; good && i < count; i++) {
            good = set_value(out, PyList_GetItem(list, i), 0, &out->items[i]);
            if (good) out->count++;
        }
        Py_XDECREF(list);
    }
    if (!good) {
        values_done(out);
        if (!PyErr_Occurred()) PyErr_NoMemory();
    }
    return good;
}
