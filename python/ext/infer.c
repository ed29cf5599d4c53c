/* Which Arrow type Python values need: one look at every value, kinds merged as they come. */
#include "ext.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum kind { NOTHING, BOOL, INT, FLOAT, DECIMAL, TEXT, BYTES, DATE, MOMENT, ZONED, TIME, DELTA, LIST, STRUCT };
static const char *const kind_names[] = { "None", "bool", "int", "float", "Decimal", "str", "bytes", "date", "datetime",
    "datetime with a zone", "time", "timedelta", "list", "dict" };

enum { DEPTH_MAX = 32, FIELDS_MAX = 10000, DECIMAL_DIGITS_MAX = 38 };

struct shape {
    enum kind kind;
    bool negative;      /* INT: one below 0 was seen, */
    int width;          /* 64: all fit 64 bits with sign, 65: without sign, 128: neither */
    int whole, scale;   /* digits before and behind the point: INT of 128, DECIMAL */
    struct shape *item; /* LIST */
    PyObject *index;    /* STRUCT: name -> position */
    PyObject *names;    /* STRUCT: list, in order of appearance */
    struct shape **fields;
    Py_ssize_t count, capacity;
};

static void shape_free(struct shape *shape)
{
    if (shape == NULL) return;
    shape_free(shape->item);
    for (Py_ssize_t i = 0; i < shape->count; i++) shape_free(shape->fields[i]);
    free(shape->fields);
    Py_XDECREF(shape->index);
    Py_XDECREF(shape->names);
    free(shape);
}

static struct shape *shape_new(void)
{
    struct shape *shape = calloc(1, sizeof *shape);
    if (shape == NULL) PyErr_NoMemory();
    return shape;
}

/* ---- Python's values ---- */

static bool type_is(PyObject *value, const char *name)
{
    PyObject *type = PyType_GetName(Py_TYPE(value));
    bool is = type != NULL && PyUnicode_CompareWithASCIIString(type, name) == 0;
    Py_XDECREF(type);
    PyErr_Clear();
    return is;
}

bool is_null(PyObject *value)
{
    if (value == Py_None) return true;
    if (PyLong_Check(value) || PyFloat_Check(value) || PyUnicode_Check(value)) return false;
    return type_is(value, "NAType") || type_is(value, "NaTType");
}

PyObject *plain_value(PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyLong_Type || type == &PyFloat_Type || type == &PyUnicode_Type || type == &PyBool_Type || value == Py_None
        || PyDict_Check(value) || PyList_Check(value))
        return Py_NewRef(value);
    /* Scalars of NumPy have item(), arrays tolist(); a str or datetime has neither. */
    if (PyObject_HasAttrString(value, "dtype")) {
        PyObject *plain = PyObject_CallMethod(value, PyObject_HasAttrString(value, "tolist") ? "tolist" : "item", NULL);
        if (plain == NULL) PyErr_Clear();
        else return plain;
    }
    return Py_NewRef(value);
}

static bool long_attribute(PyObject *object, const char *name, int64_t *out)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    if (value == NULL) return false;
    *out = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return !PyErr_Occurred();
}

bool date_parts(PyObject *date, int64_t *days)
{
    PyObject *ordinal = PyObject_CallMethod(date, "toordinal", NULL);
    if (ordinal == NULL) return false;
    *days = PyLong_AsLongLong(ordinal) - 719163;
    Py_DECREF(ordinal);
    return !PyErr_Occurred();
}

bool time_micros(PyObject *time, int64_t *micros)
{
    int64_t hour = 0, minute = 0, second = 0, fraction = 0;
    if (!long_attribute(time, "hour", &hour) || !long_attribute(time, "minute", &minute) || !long_attribute(time, "second", &second)
        || !long_attribute(time, "microsecond", &fraction))
        return false;
    *micros = ((hour * 60 + minute) * 60 + second) * 1000000 + fraction;
    return true;
}

bool timedelta_micros(PyObject *delta, int64_t *micros)
{
    int64_t days = 0, seconds = 0, fraction = 0;
    if (!long_attribute(delta, "days", &days) || !long_attribute(delta, "seconds", &seconds) || !long_attribute(delta, "microseconds", &fraction))
        return false;
    if (!__builtin_mul_overflow(days, INT64_C(86400000000), micros)
        && !__builtin_add_overflow(*micros, seconds * 1000000 + fraction, micros))
        return true;
    raise_code(APIARY_SCHEMA, "a timedelta is too long for 64 bits of microseconds");
    return false;
}

bool datetime_micros(PyObject *datetime, int64_t *micros, bool *zoned)
{
    int64_t days = 0, of_day = 0, offset = 0;
    if (!date_parts(datetime, &days) || !time_micros(datetime, &of_day)) return false;
    PyObject *delta = PyObject_CallMethod(datetime, "utcoffset", NULL);
    if (delta == NULL) return false;
    *zoned = delta != Py_None;
    bool good = delta == Py_None || timedelta_micros(delta, &offset);
    Py_DECREF(delta);
    *micros = days * INT64_C(86400000000) + of_day - offset;
    return good;
}

static bool decimal_digits(PyObject *value, int *whole, int *scale)
{
    PyObject *form = PyUnicode_FromString("f");
    PyObject *text = form == NULL ? NULL : PyObject_Format(value, form);
    PyObject *bytes = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    Py_XDECREF(form);
    Py_XDECREF(text);
    if (bytes == NULL) return false;
    const char *digits = PyBytes_AsString(bytes);
    if (*digits == '-') digits++;
    const char *point = strchr(digits, '.');
    bool number = digits[0] >= '0' && digits[0] <= '9';
    if (!number) raise_code(APIARY_SCHEMA, "a Decimal that is NaN or infinite cannot be stored");
    *whole = (int)(point != NULL ? (size_t)(point - digits) : strlen(digits));
    *scale = point != NULL ? (int)strlen(point + 1) : 0;
    Py_DECREF(bytes);
    return number;
}

/* ---- looking at values ---- */

static bool clash(const struct shape *shape, enum kind kind, const char *column)
{
    raise_code(APIARY_SCHEMA, "column \"%s\" has values of different types: %s and %s", column, kind_names[shape->kind], kind_names[kind]);
    return false;
}

/* The kind that holds both, if there is one. */
static bool merge(struct shape *shape, enum kind kind, const char *column)
{
    static const enum kind pairs[][3] = {
        { INT, FLOAT, FLOAT }, { INT, DECIMAL, DECIMAL }, { DATE, MOMENT, MOMENT }, { DATE, ZONED, ZONED } };
    if (shape->kind == NOTHING) shape->kind = kind;
    if (shape->kind == kind) return true;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if ((pairs[i][0] == shape->kind && pairs[i][1] == kind) || (pairs[i][1] == shape->kind && pairs[i][0] == kind)) {
            shape->kind = pairs[i][2];
            return true;
        }
    return clash(shape, kind, column);
}

static bool look(struct shape *shape, PyObject *value, const char *column, int depth);

static bool look_int(struct shape *shape, PyObject *value, const char *column)
{
    int overflow = 0, width = 64, whole = 1;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    for (long long rest = number / 10; overflow == 0 && rest != 0; rest /= 10) whole++;
    if (overflow == 0 && number < 0) shape->negative = true;
    if (overflow != 0) {
        PyObject *text = PyObject_Str(value);
        if (text == NULL) return false;
        whole = (int)PyUnicode_GetLength(text) - (overflow < 0);
        Py_DECREF(text);
        width = 65;
        if (overflow < 0 || (PyLong_AsUnsignedLongLong(value) == (unsigned long long)-1 && PyErr_Occurred())) width = 128;
        PyErr_Clear();
    }
    if (width > shape->width) shape->width = width;
    if (whole > shape->whole) shape->whole = whole;
    if (whole > DECIMAL_DIGITS_MAX) {
        raise_code(APIARY_SCHEMA, "column \"%s\" has an int of %d digits; at most %d fit", column, whole, DECIMAL_DIGITS_MAX);
        return false;
    }
    return merge(shape, INT, column);
}

static bool look_list(struct shape *shape, PyObject *value, const char *column, int depth)
{
    if (!merge(shape, LIST, column)) return false;
    if (shape->item == NULL) shape->item = shape_new();
    Py_ssize_t count = PySequence_Size(value);
    bool good = shape->item != NULL && count >= 0;
    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *item = PySequence_GetItem(value, i);
        good = item != NULL && look(shape->item, item, column, depth + 1);
        Py_XDECREF(item);
    }
    return good;
}

static struct shape *field_of(struct shape *shape, PyObject *name)
{
    if (shape->index == NULL) {
        shape->index = PyDict_New();
        shape->names = PyList_New(0);
        if (shape->index == NULL || shape->names == NULL) return NULL;
    }
    PyObject *at = PyDict_GetItemWithError(shape->index, name);
    if (at != NULL) return shape->fields[PyLong_AsSsize_t(at)];
    if (PyErr_Occurred()) return NULL;
    if (!PyUnicode_Check(name)) {
        raise_code(APIARY_SCHEMA, "the keys of a dict of data must be str");
        return NULL;
    }
    if (shape->count == FIELDS_MAX) {
        raise_code(APIARY_LIMIT, "the data has more than %d columns", FIELDS_MAX);
        return NULL;
    }
    if (shape->count == shape->capacity) {
        Py_ssize_t capacity = shape->capacity == 0 ? 16 : 2 * shape->capacity;
        struct shape **more = realloc(shape->fields, (size_t)capacity * sizeof *more);
        if (more == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        shape->fields = more;
        shape->capacity = capacity;
    }
    struct shape *field = shape_new();
    at = PyLong_FromSsize_t(shape->count);
    bool good = field != NULL && at != NULL && PyDict_SetItem(shape->index, name, at) == 0 && PyList_Append(shape->names, name) == 0;
    Py_XDECREF(at);
    if (!good) {
        shape_free(field);
        return NULL;
    }
    shape->fields[shape->count++] = field;
    return field;
}

static bool look_dict(struct shape *shape, PyObject *value, const char *column, int depth)
{
    PyObject *name = NULL, *item = NULL;
    Py_ssize_t at = 0;
    if (!merge(shape, STRUCT, column)) return false;
    if (PyDict_Size(value) == 0 && shape->index == NULL) {
        shape->index = PyDict_New();
        shape->names = PyList_New(0);
    }
    while (PyDict_Next(value, &at, &name, &item)) {
        struct shape *field = field_of(shape, name);
        if (field == NULL || !look(field, item, column, depth + 1)) return false;
    }
    return true;
}

static bool look_plain(struct shape *shape, PyObject *value, const char *column, int depth)
{
    const struct classes *known = classes();
    if (known == NULL) return false;
    if (is_null(value)) return true;
    if (depth > DEPTH_MAX) {
        raise_code(APIARY_LIMIT, "column \"%s\" is nested deeper than %d", column, DEPTH_MAX);
        return false;
    }
    if (PyBool_Check(value)) return merge(shape, BOOL, column);
    if (PyLong_Check(value)) return look_int(shape, value, column);
    if (PyFloat_Check(value)) return merge(shape, FLOAT, column);
    if (PyUnicode_Check(value)) return merge(shape, TEXT, column);
    if (PyBytes_Check(value) || PyByteArray_Check(value) || PyMemoryView_Check(value)) return merge(shape, BYTES, column);
    if (PyDict_Check(value)) return look_dict(shape, value, column, depth);
    if (PyList_Check(value) || PyTuple_Check(value)) return look_list(shape, value, column, depth);
    if (PyObject_IsInstance(value, known->datetime) == 1) {
        int64_t micros = 0;
        bool zoned = false;
        return datetime_micros(value, &micros, &zoned) && merge(shape, zoned ? ZONED : MOMENT, column);
    }
    if (PyObject_IsInstance(value, known->date) == 1) return merge(shape, DATE, column);
    if (PyObject_IsInstance(value, known->time) == 1) return merge(shape, TIME, column);
    if (PyObject_IsInstance(value, known->timedelta) == 1) return merge(shape, DELTA, column);
    if (PyObject_IsInstance(value, known->uuid) == 1) return merge(shape, TEXT, column);
    if (PyObject_IsInstance(value, known->decimal) == 1) {
        int whole = 0, scale = 0;
        if (!decimal_digits(value, &whole, &scale)) return false;
        if (whole > shape->whole) shape->whole = whole;
        if (scale > shape->scale) shape->scale = scale;
        return merge(shape, DECIMAL, column);
    }
    PyObject *name = PyType_GetName(Py_TYPE(value));
    PyObject *bytes = name == NULL ? NULL : PyUnicode_AsUTF8String(name);
    if (bytes != NULL) raise_code(APIARY_SCHEMA, "column \"%s\" has a value of type %s, which cannot be stored", column, PyBytes_AsString(bytes));
    Py_XDECREF(name);
    Py_XDECREF(bytes);
    return false;
}

static bool look(struct shape *shape, PyObject *value, const char *column, int depth)
{
    PyObject *plain = plain_value(value);
    bool good = plain != NULL && look_plain(shape, plain, column, depth);
    Py_XDECREF(plain);
    return good;
}

/* ---- to a schema ---- */

static int set_format(const struct shape *shape, const char *column, struct ArrowSchema *out)
{
    static const char *const formats[] = { "n", "b", "l", "g", "", "u", "z", "tdD", "tsu:", "tsu:UTC", "ttu", "tDu", "+l", "+s" };
    char text[32];
    int whole = shape->whole;
    if (shape->kind == INT && shape->width <= 64) return ArrowSchemaSetFormat(out, "l");
    if (shape->kind == INT && shape->width == 65 && !shape->negative) return ArrowSchemaSetFormat(out, "L");
    if (shape->kind != DECIMAL && shape->kind != INT) return ArrowSchemaSetFormat(out, formats[shape->kind]);
    if (shape->kind == INT) whole = DECIMAL_DIGITS_MAX;
    if (whole + shape->scale > DECIMAL_DIGITS_MAX) {
        raise_code(APIARY_SCHEMA, "column \"%s\" needs a decimal of %d digits; at most %d fit", column, whole + shape->scale, DECIMAL_DIGITS_MAX);
        return EINVAL;
    }
    int digits = shape->kind == INT ? DECIMAL_DIGITS_MAX : whole + shape->scale;
    snprintf(text, sizeof text, "d:%d,%d", digits > 0 ? digits : 1, shape->scale);
    return ArrowSchemaSetFormat(out, text);
}

static bool shape_schema(const struct shape *shape, const char *name, const char *column, struct ArrowSchema *out)
{
    Py_ssize_t children = shape->kind == LIST ? 1 : shape->kind == STRUCT ? shape->count : 0;
    ArrowSchemaInit(out);
    int code = set_format(shape, column, out);
    if (code == NANOARROW_OK) code = ArrowSchemaSetName(out, name);
    if (code == NANOARROW_OK && children > 0) code = ArrowSchemaAllocateChildren(out, children);
    out->flags = ARROW_FLAG_NULLABLE;
    bool good = code == NANOARROW_OK;
    if (good && shape->kind == LIST) good = shape_schema(shape->item, "item", column, out->children[0]);
    for (Py_ssize_t i = 0; good && shape->kind == STRUCT && i < children; i++) {
        PyObject *bytes = PyUnicode_AsUTF8String(PyList_GetItem(shape->names, i));
        good = bytes != NULL && shape_schema(shape->fields[i], PyBytes_AsString(bytes), column, out->children[i]);
        Py_XDECREF(bytes);
    }
    if (!good && !PyErr_Occurred()) PyErr_NoMemory();
    return good;
}

bool infer_column(PyObject *values, const char *name, struct ArrowSchema *out)
{
    struct shape *shape = shape_new();
    bool good = shape != NULL;
    Py_ssize_t count = PyList_Size(values);
    for (Py_ssize_t i = 0; good && i < count; i++) good = look(shape, PyList_GetItem(values, i), name, 0);
    if (good) {
        good = shape_schema(shape, name, name, out);
        if (!good && out->release != NULL) ArrowSchemaRelease(out);
    }
    shape_free(shape);
    return good;
}

static const struct ArrowSchema *known_column(const struct ArrowSchema *known, const char *name)
{
    for (int64_t i = 0; known != NULL && i < known->n_children; i++)
        if (known->children[i]->name != NULL && strcasecmp(known->children[i]->name, name) == 0) return known->children[i];
    return NULL;
}

/* Columns of known type are only named; the others are looked at. */
static bool look_row(struct shape *shape, PyObject *row, const struct ArrowSchema *known)
{
    PyObject *name = NULL, *value = NULL;
    Py_ssize_t at = 0;
    while (PyDict_Next(row, &at, &name, &value)) {
        struct shape *field = field_of(shape, name);
        if (field == NULL) return false;
        if (field->width < 0) continue; /* known */
        PyObject *bytes = PyUnicode_AsUTF8String(name);
        if (bytes == NULL) return false;
        bool good = true;
        if (field->width == 0 && field->kind == NOTHING && known_column(known, PyBytes_AsString(bytes)) != NULL)
            field->width = -1;
        else
            good = look(field, value, PyBytes_AsString(bytes), 0);
        Py_DECREF(bytes);
        if (!good) return false;
    }
    return true;
}

static bool rows_schema(const struct shape *shape, const struct ArrowSchema *known, struct ArrowSchema *out)
{
    ArrowSchemaInit(out);
    if (ArrowSchemaSetTypeStruct(out, shape->count) != NANOARROW_OK) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < shape->count; i++) {
        PyObject *bytes = PyUnicode_AsUTF8String(PyList_GetItem(shape->names, i));
        if (bytes == NULL) return false;
        const char *name = PyBytes_AsString(bytes);
        const struct ArrowSchema *given = shape->fields[i]->width < 0 ? known_column(known, name) : NULL;
        bool good;
        ArrowSchemaRelease(out->children[i]);
        if (given != NULL) {
            good = ArrowSchemaDeepCopy(given, out->children[i]) == NANOARROW_OK && ArrowSchemaSetName(out->children[i], name) == NANOARROW_OK;
            if (!good) PyErr_NoMemory();
        } else
            good = shape_schema(shape->fields[i], name, name, out->children[i]);
        Py_DECREF(bytes);
        if (!good) return false;
    }
    return true;
}

bool infer_rows(PyObject *rows, const struct ArrowSchema *known, struct ArrowSchema *out)
{
    struct shape *shape = shape_new();
    bool good = shape != NULL;
    Py_ssize_t count = PyList_Size(rows);
    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *row = PyList_GetItem(rows, i);
        if (!PyDict_Check(row)) {
            raise_code(APIARY_SCHEMA, "row %lld of the data is not a dict", (long long)i);
            good = false;
        } else
            good = look_row(shape, row, known);
    }
    if (good) {
        good = rows_schema(shape, known, out);
        if (!good && out->release != NULL) ArrowSchemaRelease(out);
    }
    shape_free(shape);
    return good;
}
