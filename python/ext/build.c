/* Python values into Arrow arrays of a given schema. A value that does not fit its column is an
 * error that names column, row and value; nothing is rounded or cut. */
#include "ext.h"

#include <errno.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000)

/* A column while it is built. */
struct builder {
    const struct ArrowSchema *schema;
    struct ArrowSchemaView view;
    PyObject *name;             /* str */
    const char *column;         /* the outermost name, for messages */
    struct builder *children;
    int64_t child_count;
};

static void builder_done(struct builder *builder)
{
    for (int64_t i = 0; i < builder->child_count; i++) builder_done(&builder->children[i]);
    free(builder->children);
    Py_XDECREF(builder->name);
}

static bool builder_init(struct builder *builder, const struct ArrowSchema *schema, const char *column)
{
    struct ArrowError why = { 0 };
    memset(builder, 0, sizeof *builder);
    builder->schema = schema;
    builder->column = column;
    builder->name = PyUnicode_FromString(schema->name != NULL ? schema->name : "");
    if (builder->name == NULL) return false;
    if (ArrowSchemaViewInit(&builder->view, schema, &why) != NANOARROW_OK) {
        raise_code(APIARY_SCHEMA, "column \"%s\": %s", column != NULL ? column : "", why.message);
        return false;
    }
    if (schema->n_children == 0) return true;
    builder->children = calloc((size_t)schema->n_children, sizeof *builder->children);
    if (builder->children == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        builder->child_count = i + 1;
        if (!builder_init(&builder->children[i], schema->children[i], column != NULL ? column : schema->children[i]->name)) return false;
    }
    return true;
}

/* ---- failures ---- */

static bool unfit(const struct builder *builder, PyObject *value)
{
    enum { SHOWN_MAX = 60 };
    if (PyErr_Occurred()) return false;
    PyObject *text = PyObject_Repr(value), *bytes = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    PyErr_Clear();
    raise_code(APIARY_SCHEMA, "column \"%s\": %.*s does not fit type %s", builder->column, SHOWN_MAX,
        bytes != NULL ? PyBytes_AsString(bytes) : "a value", ArrowTypeString(builder->view.type));
    Py_XDECREF(text);
    Py_XDECREF(bytes);
    return false;
}

static bool done(const struct builder *builder, PyObject *value, int code)
{
    if (code == NANOARROW_OK) return true;
    if (code == ENOMEM) {
        PyErr_NoMemory();
        return false;
    }
    return unfit(builder, value);
}

/* ---- plain values ---- */

static bool append_int(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    if (!PyLong_Check(value) || PyBool_Check(value)) return unfit(builder, value);
    if (builder->view.type == NANOARROW_TYPE_UINT64) {
        unsigned long long number = PyLong_AsUnsignedLongLong(value);
        if (PyErr_Occurred()) {
            PyErr_Clear();
            return unfit(builder, value);
        }
        return done(builder, value, ArrowArrayAppendUInt(out, number));
    }
    int overflow = 0;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0) return unfit(builder, value);
    return done(builder, value, ArrowArrayAppendInt(out, number));
}

static bool append_float(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    if (!PyFloat_Check(value) && (!PyLong_Check(value) || PyBool_Check(value)) && PyObject_IsInstance(value, classes()->decimal) != 1)
        return unfit(builder, value);
    double number = PyFloat_AsDouble(value);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return unfit(builder, value);
    }
    return done(builder, value, ArrowArrayAppendDouble(out, number));
}

static bool append_text(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    if (!PyUnicode_Check(value) && PyObject_IsInstance(value, classes()->uuid) != 1) return unfit(builder, value);
    PyObject *text = PyObject_Str(value), *bytes = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    Py_XDECREF(text);
    if (bytes == NULL) return false;
    struct ArrowStringView view = { PyBytes_AsString(bytes), PyBytes_Size(bytes) };
    bool good = done(builder, value, ArrowArrayAppendString(out, view));
    Py_DECREF(bytes);
    return good;
}

static bool append_bytes(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    if (!PyBytes_Check(value) && !PyByteArray_Check(value) && !PyMemoryView_Check(value)) return unfit(builder, value);
    PyObject *bytes = PyBytes_FromObject(value);
    if (bytes == NULL) return false;
    struct ArrowBufferView view = { .data = { .data = PyBytes_AsString(bytes) }, .size_bytes = PyBytes_Size(bytes) };
    bool good = done(builder, value, ArrowArrayAppendBytes(out, view));
    Py_DECREF(bytes);
    return good;
}

/* Microseconds in the column's unit; false when something would be lost. */
static bool to_unit(enum ArrowTimeUnit unit, int64_t micros, int64_t *out)
{
    int64_t by = unit == NANOARROW_TIME_UNIT_SECOND ? SECOND : unit == NANOARROW_TIME_UNIT_MILLI ? 1000 : 1;
    if (unit == NANOARROW_TIME_UNIT_NANO) return !__builtin_mul_overflow(micros, INT64_C(1000), out);
    *out = micros / by;
    return micros % by == 0;
}

static bool append_moment(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    const struct classes *known = classes();
    int64_t micros = 0, number = 0;
    bool zoned = false;
    if (PyObject_IsInstance(value, known->datetime) == 1) {
        if (!datetime_micros(value, &micros, &zoned)) return false;
        bool has_zone = builder->view.timezone != NULL && builder->view.timezone[0] != '\0';
        if (zoned && !has_zone) {
            raise_code(APIARY_SCHEMA, "column \"%s\" has no time zone, but a datetime in the data has one", builder->column);
            return false;
        }
    } else if (PyObject_IsInstance(value, known->date) == 1) {
        if (!date_parts(value, &micros)) return false;
        micros *= 86400 * SECOND;
    } else
        return unfit(builder, value);
    if (!to_unit(builder->view.time_unit, micros, &number)) return unfit(builder, value);
    return done(builder, value, ArrowArrayAppendInt(out, number));
}

static bool append_date(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    const struct classes *known = classes();
    int64_t days = 0, of_day = 0;
    if (PyObject_IsInstance(value, known->date) != 1) return unfit(builder, value);
    if (!date_parts(value, &days)) return false;
    /* A datetime at midnight is a date; at another time something would be lost. */
    if (PyObject_IsInstance(value, known->datetime) == 1 && (!time_micros(value, &of_day) || of_day != 0)) return unfit(builder, value);
    if (builder->view.type == NANOARROW_TYPE_DATE64) days *= 86400000;
    return done(builder, value, ArrowArrayAppendInt(out, days));
}

static bool append_time(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    const struct classes *known = classes();
    bool delta = builder->view.type == NANOARROW_TYPE_DURATION;
    int64_t micros = 0, number = 0;
    if (PyObject_IsInstance(value, delta ? known->timedelta : known->time) != 1) return unfit(builder, value);
    if (!(delta ? timedelta_micros(value, &micros) : time_micros(value, &micros))) return false;
    if (!to_unit(builder->view.time_unit, micros, &number)) return unfit(builder, value);
    return done(builder, value, ArrowArrayAppendInt(out, number));
}

/* The digits of a number at the column's scale: "-12.5" at scale 2 is "-1250". */
static int scaled_digits(const char *text, int precision, int scale, char *out, size_t size)
{
    size_t length = 0;
    int digits = 0;
    if (*text == '-') out[length++] = *text++;
    while (*text == '0' && text[1] != '\0' && text[1] != '.') text++;
    const char *point = strchr(text, '.');
    size_t whole = point != NULL ? (size_t)(point - text) : strlen(text);
    const char *fraction = point != NULL ? point + 1 : "";
    for (size_t i = 0; i < whole; i++) {
        if (text[i] < '0' || text[i] > '9' || length + 2 >= size) return EINVAL;
        out[length++] = text[i];
        digits += digits > 0 || text[i] != '0';
    }
    for (int i = 0; i < scale; i++) {
        char digit = *fraction != '\0' ? *fraction++ : '0';
        if (digit < '0' || digit > '9' || length + 2 >= size) return EINVAL;
        out[length++] = digit;
        digits += digits > 0 || digit != '0';
    }
    for (; *fraction != '\0'; fraction++)
        if (*fraction != '0') return EINVAL; /* more digits than the column keeps */
    out[length] = '\0';
    return digits > precision ? EINVAL : NANOARROW_OK;
}

static bool append_decimal(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    if ((!PyLong_Check(value) || PyBool_Check(value)) && PyObject_IsInstance(value, classes()->decimal) != 1) return unfit(builder, value);
    PyObject *form = PyUnicode_FromString(PyLong_Check(value) ? "d" : "f");
    PyObject *text = form == NULL ? NULL : PyObject_Format(value, form);
    PyObject *bytes = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    Py_XDECREF(form);
    Py_XDECREF(text);
    if (bytes == NULL) return false;
    char digits[96];
    struct ArrowDecimal decimal;
    ArrowDecimalInit(&decimal, builder->view.decimal_bitwidth, builder->view.decimal_precision, builder->view.decimal_scale);
    int code = scaled_digits(PyBytes_AsString(bytes), builder->view.decimal_precision, builder->view.decimal_scale, digits, sizeof digits);
    Py_DECREF(bytes);
    if (code == NANOARROW_OK) code = ArrowDecimalSetDigits(&decimal, ArrowCharView(digits));
    if (code == NANOARROW_OK) code = ArrowArrayAppendDecimal(out, &decimal);
    return done(builder, value, code);
}

/* ---- nested values ---- */

static bool append(const struct builder *builder, PyObject *value, struct ArrowArray *out);

static bool append_list(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    if (!PyList_Check(value) && !PyTuple_Check(value)) return unfit(builder, value);
    Py_ssize_t count = PySequence_Size(value);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(value, i);
        bool good = item != NULL && append(&builder->children[0], item, out->children[0]);
        Py_XDECREF(item);
        if (!good) return false;
    }
    return done(builder, value, ArrowArrayFinishElement(out));
}

static bool append_fields(const struct builder *builder, PyObject *dict, struct ArrowArray *out)
{
    for (int64_t i = 0; i < builder->child_count; i++) {
        PyObject *item = PyDict_GetItemWithError(dict, builder->children[i].name);
        if (item == NULL && PyErr_Occurred()) return false;
        if (!append(&builder->children[i], item != NULL ? item : Py_None, out->children[i])) return false;
    }
    return done(builder, dict, ArrowArrayFinishElement(out));
}

static bool append_map(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    PyObject *key = NULL, *item = NULL;
    Py_ssize_t at = 0;
    if (!PyDict_Check(value)) return unfit(builder, value);
    const struct builder *entry = &builder->children[0];
    struct ArrowArray *entries = out->children[0];
    while (PyDict_Next(value, &at, &key, &item)) {
        if (!append(&entry->children[0], key, entries->children[0]) || !append(&entry->children[1], item, entries->children[1])) return false;
        if (!done(builder, value, ArrowArrayFinishElement(entries))) return false;
    }
    return done(builder, value, ArrowArrayFinishElement(out));
}

static bool append_plain(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    if (is_null(value)) return done(builder, value, ArrowArrayAppendNull(out, 1));
    switch (builder->view.type) {
    case NANOARROW_TYPE_BOOL:
        if (!PyBool_Check(value)) return unfit(builder, value);
        return done(builder, value, ArrowArrayAppendInt(out, value == Py_True));
    case NANOARROW_TYPE_INT8:
    case NANOARROW_TYPE_INT16:
    case NANOARROW_TYPE_INT32:
    case NANOARROW_TYPE_INT64:
    case NANOARROW_TYPE_UINT8:
    case NANOARROW_TYPE_UINT16:
    case NANOARROW_TYPE_UINT32:
    case NANOARROW_TYPE_UINT64: return append_int(builder, value, out);
    case NANOARROW_TYPE_HALF_FLOAT:
    case NANOARROW_TYPE_FLOAT:
    case NANOARROW_TYPE_DOUBLE: return append_float(builder, value, out);
    case NANOARROW_TYPE_STRING:
    case NANOARROW_TYPE_LARGE_STRING: return append_text(builder, value, out);
    case NANOARROW_TYPE_BINARY:
    case NANOARROW_TYPE_LARGE_BINARY:
    case NANOARROW_TYPE_FIXED_SIZE_BINARY: return append_bytes(builder, value, out);
    case NANOARROW_TYPE_DECIMAL32:
    case NANOARROW_TYPE_DECIMAL64:
    case NANOARROW_TYPE_DECIMAL128:
    case NANOARROW_TYPE_DECIMAL256: return append_decimal(builder, value, out);
    case NANOARROW_TYPE_DATE32:
    case NANOARROW_TYPE_DATE64: return append_date(builder, value, out);
    case NANOARROW_TYPE_TIMESTAMP: return append_moment(builder, value, out);
    case NANOARROW_TYPE_TIME32:
    case NANOARROW_TYPE_TIME64:
    case NANOARROW_TYPE_DURATION: return append_time(builder, value, out);
    case NANOARROW_TYPE_LIST:
    case NANOARROW_TYPE_LARGE_LIST:
    case NANOARROW_TYPE_FIXED_SIZE_LIST: return append_list(builder, value, out);
    case NANOARROW_TYPE_STRUCT:
        if (!PyDict_Check(value)) return unfit(builder, value);
        return append_fields(builder, value, out);
    case NANOARROW_TYPE_MAP: return append_map(builder, value, out);
    default: return unfit(builder, value);
    }
}

static bool append(const struct builder *builder, PyObject *value, struct ArrowArray *out)
{
    PyObject *plain = plain_value(value);
    bool good = plain != NULL && append_plain(builder, plain, out);
    Py_XDECREF(plain);
    return good;
}

/* ---- whole arrays ---- */

static bool build(PyObject *values, bool rows, const struct builder *builder, struct ArrowArray *out)
{
    struct ArrowError why = { 0 };
    Py_ssize_t count = PyList_Size(values);
    memset(out, 0, sizeof *out);
    bool good = count >= 0 && ArrowArrayInitFromSchema(out, builder->schema, &why) == NANOARROW_OK
        && ArrowArrayStartAppending(out) == NANOARROW_OK;
    if (!good && !PyErr_Occurred()) raise_code(APIARY_SCHEMA, "the data cannot be built: %s", why.message);
    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *value = PyList_GetItem(values, i);
        if (value == NULL) good = false; /* the list changed under us */
        else if (!rows) good = append(builder, value, out);
        else if (PyDict_Check(value)) good = append_fields(builder, value, out);
        else good = unfit(builder, value);
    }
    if (good && ArrowArrayFinishBuildingDefault(out, &why) != NANOARROW_OK) {
        raise_code(APIARY_SCHEMA, "the data cannot be built: %s", why.message);
        good = false;
    }
    if (!good && out->release != NULL) ArrowArrayRelease(out);
    return good;
}

bool build_rows(PyObject *rows, const struct ArrowSchema *schema, struct ArrowArray *out)
{
    struct builder builder;
    bool good = builder_init(&builder, schema, NULL) && build(rows, true, &builder, out);
    builder_done(&builder);
    return good;
}

bool build_column(PyObject *values, const struct ArrowSchema *schema, struct ArrowArray *out)
{
    struct builder builder;
    bool good = builder_init(&builder, schema, schema->name != NULL ? schema->name : "") && build(values, false, &builder, out);
    builder_done(&builder);
    return good;
}

/* Every column of the rows must be one of `schema`, which stays as it is. */
static bool check_columns(const struct ArrowSchema *found, const struct ArrowSchema *schema)
{
    for (int64_t i = 0; i < found->n_children; i++) {
        bool there = false;
        for (int64_t j = 0; !there && j < schema->n_children; j++) there = strcmp(found->children[i]->name, schema->children[j]->name) == 0;
        if (there) continue;
        raise_code(APIARY_SCHEMA, "a later row has the column \"%s\", which the first ones lack", found->children[i]->name);
        return false;
    }
    return true;
}

/* rows_stream(list of dicts, known ArrowSchema or None, exact) -> Stream of one batch.
 * known gives the types of columns; exact: it is the whole schema of the batch. */
PyObject *build_rows_stream(PyObject *module, PyObject *args)
{
    PyObject *rows, *known;
    int exact;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOp", &rows, &known, &exact)) return NULL;
    if (!PyList_Check(rows)) {
        PyErr_SetString(PyExc_TypeError, "expected a list of dicts");
        return NULL;
    }
    struct ArrowSchema given = { 0 }, schema = { 0 };
    struct ArrowArray array = { 0 };
    struct ArrowArrayStream stream;
    bool good = known == Py_None || schema_from(known, &given);
    good = good && infer_rows(rows, given.release != NULL ? &given : NULL, &schema);
    if (good && exact && given.release != NULL) {
        good = check_columns(&schema, &given);
        ArrowSchemaRelease(&schema);
        ArrowSchemaMove(&given, &schema);
    }
    good = good && build_rows(rows, &schema, &array);
    if (given.release != NULL) ArrowSchemaRelease(&given);
    if (good && ArrowBasicArrayStreamInit(&stream, &schema, 1) == NANOARROW_OK) {
        ArrowBasicArrayStreamSetArray(&stream, 0, &array);
        return stream_object(&stream);
    }
    if (schema.release != NULL) ArrowSchemaRelease(&schema);
    if (array.release != NULL) ArrowArrayRelease(&array);
    return PyErr_Occurred() ? NULL : PyErr_NoMemory();
}
