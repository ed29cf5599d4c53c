/* Arrow values as Python values.
 *
 * | Arrow                               | Python                                             |
 * | ----------------------------------- | -------------------------------------------------- |
 * | bool, integers, floats              | bool, int, float                                   |
 * | decimals                            | decimal.Decimal; int where it was a HUGEINT        |
 * | strings, binaries                   | str, bytes                                         |
 * | dates, times                        | datetime.date, datetime.time                       |
 * | timestamps                          | datetime.datetime, with the zone if there is one   |
 * | durations, day-time intervals       | datetime.timedelta                                 |
 * | month-day-nano intervals            | timedelta without months, else apiary.Interval     |
 * | lists, structs, maps                | list, dict, dict (list of pairs if a key cannot be hashed) |
 * | unions, dictionaries                | the value                                          |
 *
 * Python's datetime counts microseconds: nanoseconds below are cut. */
#include "ext.h"

#include <errno.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000)
#define DAY (86400 * SECOND)
enum { EPOCH_ORDINAL = 719163, DATE_MIN = -719162, DATE_MAX = 2932896 };

struct pycolumn {
    enum ArrowType type;
    enum ArrowTimeUnit unit;
    int32_t precision, scale, bits; /* decimals */
    PyObject *zone;                 /* tzinfo, or NULL */
    PyObject **names;               /* of the children of a struct */
    struct pycolumn **children;
    int64_t child_count;
    struct pycolumn *dictionary;
    bool whole; /* a decimal that stands for the engine's 128-bit integers: shown as int */
};

/* ---- the classes ---- */

static bool attribute(PyObject *module, const char *name, PyObject **out)
{
    *out = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    return *out != NULL;
}

const struct classes *classes(void)
{
    static struct classes found; /* kept for the life of the process, like the types */
    static bool complete;
    if (complete) return &found;
    PyObject *datetime = PyImport_ImportModule("datetime"), *decimal = PyImport_ImportModule("decimal");
    PyObject *uuid = PyImport_ImportModule("uuid"), *zoneinfo = PyImport_ImportModule("zoneinfo");
    PyObject *ours = PyImport_ImportModule("apiary._types"), *zones = NULL;
    complete = attribute(datetime, "date", &found.date) && attribute(datetime, "datetime", &found.datetime)
        && attribute(datetime, "time", &found.time) && attribute(datetime, "timedelta", &found.timedelta)
        && attribute(datetime, "timezone", &zones) && attribute(zones, "utc", &found.utc)
        && attribute(zoneinfo, "ZoneInfo", &found.zoneinfo) && attribute(decimal, "Decimal", &found.decimal)
        && attribute(uuid, "UUID", &found.uuid) && attribute(ours, "Interval", &found.interval);
    Py_XDECREF(datetime);
    Py_XDECREF(decimal);
    Py_XDECREF(uuid);
    Py_XDECREF(zoneinfo);
    Py_XDECREF(ours);
    Py_XDECREF(zones);
    return complete ? &found : NULL;
}

/* ---- columns ---- */

void pycolumn_free(struct pycolumn *column)
{
    if (column == NULL) return;
    for (int64_t i = 0; i < column->child_count; i++) {
        if (column->children != NULL) pycolumn_free(column->children[i]);
        if (column->names != NULL) Py_XDECREF(column->names[i]);
    }
    free(column->children);
    free(column->names);
    pycolumn_free(column->dictionary);
    Py_XDECREF(column->zone);
    free(column);
}

const struct pycolumn *pycolumn_child(const struct pycolumn *column, int64_t index)
{
    return column->children[index];
}

/* UTC, "+02:00" or a name of the zone database; what Python does not know is shown in UTC. */
static PyObject *zone_of(const char *name)
{
    const struct classes *known = classes();
    int hours = 0, minutes = 0;
    char sign = 0;
    if (known == NULL) return NULL;
    if (strcmp(name, "UTC") == 0 || strcmp(name, "Z") == 0 || strcmp(name, "Etc/UTC") == 0) return Py_NewRef(known->utc);
    if (strlen(name) == 6 && sscanf(name, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-')) {
        int seconds = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
        PyObject *offset = PyObject_CallFunction(known->timedelta, "ii", 0, seconds);
        PyObject *zone = offset == NULL ? NULL : PyObject_CallFunctionObjArgs((PyObject *)Py_TYPE(known->utc), offset, NULL);
        Py_XDECREF(offset);
        return zone;
    }
    PyObject *zone = PyObject_CallFunction(known->zoneinfo, "s", name);
    if (zone != NULL) return zone;
    PyErr_Clear();
    return Py_NewRef(known->utc);
}

static bool fill(struct pycolumn *column, const struct ArrowSchema *schema)
{
    struct ArrowSchemaView view;
    struct ArrowError why = { 0 };
    if (ArrowSchemaViewInit(&view, schema, &why) != NANOARROW_OK) {
        raise_code(APIARY_UNSUPPORTED, "column \"%s\": %s", schema->name != NULL ? schema->name : "", why.message);
        return false;
    }
    column->type = view.type;
    column->unit = view.time_unit;
    column->precision = view.decimal_precision;
    column->scale = view.decimal_scale;
    column->bits = view.decimal_bitwidth;
    struct ArrowStringView engine = { NULL, 0 };
    if (schema->metadata != NULL && ArrowMetadataGetValue(schema->metadata, ArrowCharView("apiary.type"), &engine) == NANOARROW_OK)
        column->whole = view.decimal_scale == 0 && engine.size_bytes >= 7 && memcmp(engine.data + engine.size_bytes - 7, "HUGEINT", 7) == 0;
    if (view.type == NANOARROW_TYPE_TIMESTAMP && view.timezone != NULL && view.timezone[0] != '\0') {
        column->zone = zone_of(view.timezone);
        if (column->zone == NULL) return false;
    }
    if (schema->dictionary != NULL) {
        column->type = NANOARROW_TYPE_DICTIONARY;
        column->dictionary = pycolumn_new(schema->dictionary);
        return column->dictionary != NULL;
    }
    size_t count = (size_t)schema->n_children;
    column->children = calloc(count + 1, sizeof *column->children);
    column->names = calloc(count + 1, sizeof *column->names);
    if (column->children == NULL || column->names == NULL) {
        PyErr_NoMemory();
        return false;
    }
    column->child_count = schema->n_children;
    for (size_t i = 0; i < count; i++) {
        const char *name = schema->children[i]->name;
        column->names[i] = PyUnicode_FromString(name != NULL ? name : "");
        column->children[i] = column->names[i] == NULL ? NULL : pycolumn_new(schema->children[i]);
        if (column->children[i] == NULL) return false;
    }
    return true;
}

struct pycolumn *pycolumn_new(const struct ArrowSchema *schema)
{
    struct pycolumn *column = calloc(1, sizeof *column);
    if (column == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (fill(column, schema)) return column;
    pycolumn_free(column);
    return NULL;
}

/* ---- dates and times ---- */

static PyObject *out_of_range(const char *what)
{
    raise_code(APIARY_UNSUPPORTED, "a %s lies outside of what Python can hold (years 1 to 9999): cast it to VARCHAR", what);
    return NULL;
}

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

static PyObject *date_value(int64_t days)
{
    if (days < DATE_MIN || days > DATE_MAX) return out_of_range("date");
    return PyObject_CallMethod(classes()->date, "fromordinal", "L", (long long)(days + EPOCH_ORDINAL));
}

/* Civil date of a day since 1970 (the usual algorithm over 400-year eras from March on). */
static void civil(int64_t days, int *year, int *month, int *day)
{
    int64_t shifted = days + 719468, era = floor_div(shifted, 146097);
    int64_t of_era = shifted - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * shifted_month + 2) / 5 + 1);
    *month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static bool micros_of(enum ArrowTimeUnit unit, int64_t value, int64_t *out)
{
    switch (unit) {
    case NANOARROW_TIME_UNIT_SECOND: return !__builtin_mul_overflow(value, SECOND, out);
    case NANOARROW_TIME_UNIT_MILLI: return !__builtin_mul_overflow(value, INT64_C(1000), out);
    case NANOARROW_TIME_UNIT_MICRO: *out = value; return true;
    case NANOARROW_TIME_UNIT_NANO: *out = floor_div(value, 1000); return true;
    }
    return false;
}

static PyObject *timestamp_value(const struct pycolumn *column, int64_t value)
{
    const struct classes *known = classes();
    int64_t micros = 0;
    if (!micros_of(column->unit, value, &micros)) return out_of_range("timestamp");
    int64_t days = floor_div(micros, DAY);
    int64_t rest = micros - days * DAY;
    if (days < DATE_MIN || days > DATE_MAX) return out_of_range("timestamp");
    int year, month, day;
    civil(days, &year, &month, &day);
    int seconds = (int)(rest / SECOND);
    PyObject *moment = PyObject_CallFunction(known->datetime, "iiiiiiiO", year, month, day, seconds / 3600, seconds / 60 % 60, seconds % 60,
        (int)(rest % SECOND), column->zone == NULL ? Py_None : known->utc);
    if (moment == NULL || column->zone == NULL || column->zone == known->utc) return moment;
    PyObject *local = PyObject_CallMethod(moment, "astimezone", "O", column->zone);
    Py_DECREF(moment);
    return local;
}

static PyObject *time_value(const struct pycolumn *column, int64_t value)
{
    int64_t micros = 0;
    if (!micros_of(column->unit, value, &micros) || micros < 0 || micros > DAY) return out_of_range("time");
    if (micros == DAY) micros--; /* 24:00 */
    int seconds = (int)(micros / SECOND);
    return PyObject_CallFunction(classes()->time, "iiii", seconds / 3600, seconds / 60 % 60, seconds % 60, (int)(micros % SECOND));
}

static PyObject *delta_value(int64_t days, int64_t micros)
{
    return PyObject_CallFunction(classes()->timedelta, "LLL", (long long)days, (long long)floor_div(micros, SECOND),
        (long long)(micros - floor_div(micros, SECOND) * SECOND));
}

static PyObject *interval_value(const struct pycolumn *column, const struct ArrowArrayView *view, int64_t index)
{
    struct ArrowInterval interval;
    ArrowIntervalInit(&interval, column->type);
    ArrowArrayViewGetIntervalUnsafe(view, index, &interval);
    if (column->type == NANOARROW_TYPE_INTERVAL_DAY_TIME) return delta_value(interval.days, (int64_t)interval.ms * 1000);
    if (interval.months == 0) return delta_value(interval.days, floor_div(interval.ns, 1000));
    return PyObject_CallFunction(classes()->interval, "iiL", interval.months, interval.days, (long long)interval.ns);
}

/* ---- the rest ---- */

static PyObject *decimal_value(const struct pycolumn *column, const struct ArrowArrayView *view, int64_t index)
{
    struct ArrowDecimal decimal;
    struct ArrowBuffer text;
    ArrowDecimalInit(&decimal, column->bits, column->precision, column->scale);
    ArrowArrayViewGetDecimalUnsafe(view, index, &decimal);
    ArrowBufferInit(&text);
    PyObject *value = NULL;
    if (ArrowDecimalAppendStringToBuffer(&decimal, &text) != NANOARROW_OK || ArrowBufferAppendInt8(&text, 0) != NANOARROW_OK)
        PyErr_NoMemory();
    else if (column->whole)
        value = PyLong_FromString((const char *)text.data, NULL, 10);
    else
        value = PyObject_CallFunction(classes()->decimal, "s", (const char *)text.data);
    ArrowBufferReset(&text);
    return value;
}

static PyObject *list_value(const struct pycolumn *column, const struct ArrowArrayView *view, int64_t from, int64_t to)
{
    PyObject *list = PyList_New((Py_ssize_t)(to - from));
    for (int64_t i = from; list != NULL && i < to; i++) {
        PyObject *item = pycolumn_value(column->children[0], view->children[0], i);
        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)(i - from), item) != 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *struct_value(const struct pycolumn *column, const struct ArrowArrayView *view, int64_t index)
{
    PyObject *dict = PyDict_New();
    for (int64_t i = 0; dict != NULL && i < column->child_count; i++) {
        PyObject *item = pycolumn_value(column->children[i], view->children[i], index + view->offset);
        if (item == NULL || PyDict_SetItem(dict, column->names[i], item) != 0) Py_CLEAR(dict);
        Py_XDECREF(item);
    }
    return dict;
}

static PyObject *map_value(const struct pycolumn *column, const struct ArrowArrayView *view, int64_t from, int64_t to)
{
    const struct pycolumn *entry = column->children[0];
    const struct ArrowArrayView *entries = view->children[0];
    PyObject *pairs = PyList_New((Py_ssize_t)(to - from));
    for (int64_t i = from; pairs != NULL && i < to; i++) {
        PyObject *key = pycolumn_value(entry->children[0], entries->children[0], i + entries->offset);
        PyObject *value = key == NULL ? NULL : pycolumn_value(entry->children[1], entries->children[1], i + entries->offset);
        PyObject *pair = value == NULL ? NULL : PyTuple_Pack(2, key, value);
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (pair == NULL || PyList_SetItem(pairs, (Py_ssize_t)(i - from), pair) != 0) Py_CLEAR(pairs);
    }
    if (pairs == NULL) return NULL;
    PyObject *dict = PyObject_CallFunctionObjArgs((PyObject *)&PyDict_Type, pairs, NULL);
    if (dict == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) { /* a key that cannot be hashed */
        PyErr_Clear();
        return pairs;
    }
    Py_DECREF(pairs);
    return dict;
}

static PyObject *text_value(struct ArrowBufferView bytes)
{
    return PyUnicode_DecodeUTF8(bytes.data.as_char, (Py_ssize_t)bytes.size_bytes, "replace");
}

static PyObject *union_value(const struct pycolumn *column, const struct ArrowArrayView *view, int64_t index)
{
    index += view->offset; /* that of the union is not that of its children */
    int8_t child = ArrowArrayViewUnionChildIndex(view, index);
    if (child < 0 || child >= column->child_count) Py_RETURN_NONE;
    return pycolumn_value(column->children[child], view->children[child], ArrowArrayViewUnionChildOffset(view, index));
}

PyObject *pycolumn_value(const struct pycolumn *column, const struct ArrowArrayView *view, int64_t index)
{
    if (column->type == NANOARROW_TYPE_NA) Py_RETURN_NONE;
    bool is_union = column->type == NANOARROW_TYPE_SPARSE_UNION || column->type == NANOARROW_TYPE_DENSE_UNION;
    if (!is_union && ArrowArrayViewIsNull(view, index)) Py_RETURN_NONE;
    switch (column->type) {
    case NANOARROW_TYPE_BOOL: return PyBool_FromLong(ArrowArrayViewGetIntUnsafe(view, index) != 0);
    case NANOARROW_TYPE_INT8:
    case NANOARROW_TYPE_INT16:
    case NANOARROW_TYPE_INT32:
    case NANOARROW_TYPE_INT64:
    case NANOARROW_TYPE_UINT8:
    case NANOARROW_TYPE_UINT16:
    case NANOARROW_TYPE_UINT32: return PyLong_FromLongLong(ArrowArrayViewGetIntUnsafe(view, index));
    case NANOARROW_TYPE_UINT64: return PyLong_FromUnsignedLongLong(ArrowArrayViewGetUIntUnsafe(view, index));
    case NANOARROW_TYPE_HALF_FLOAT:
    case NANOARROW_TYPE_FLOAT:
    case NANOARROW_TYPE_DOUBLE: return PyFloat_FromDouble(ArrowArrayViewGetDoubleUnsafe(view, index));
    case NANOARROW_TYPE_DECIMAL32:
    case NANOARROW_TYPE_DECIMAL64:
    case NANOARROW_TYPE_DECIMAL128:
    case NANOARROW_TYPE_DECIMAL256: return decimal_value(column, view, index);
    case NANOARROW_TYPE_STRING:
    case NANOARROW_TYPE_LARGE_STRING:
    case NANOARROW_TYPE_STRING_VIEW: return text_value(ArrowArrayViewGetBytesUnsafe(view, index));
    case NANOARROW_TYPE_BINARY:
    case NANOARROW_TYPE_LARGE_BINARY:
    case NANOARROW_TYPE_BINARY_VIEW:
    case NANOARROW_TYPE_FIXED_SIZE_BINARY: {
        struct ArrowBufferView bytes = ArrowArrayViewGetBytesUnsafe(view, index);
        return PyBytes_FromStringAndSize(bytes.data.as_char, (Py_ssize_t)bytes.size_bytes);
    }
    case NANOARROW_TYPE_DATE32: return date_value(ArrowArrayViewGetIntUnsafe(view, index));
    case NANOARROW_TYPE_DATE64: return date_value(floor_div(ArrowArrayViewGetIntUnsafe(view, index), DAY / 1000));
    case NANOARROW_TYPE_TIME32:
    case NANOARROW_TYPE_TIME64: return time_value(column, ArrowArrayViewGetIntUnsafe(view, index));
    case NANOARROW_TYPE_TIMESTAMP: return timestamp_value(column, ArrowArrayViewGetIntUnsafe(view, index));
    case NANOARROW_TYPE_DURATION: {
        int64_t micros = 0;
        if (!micros_of(column->unit, ArrowArrayViewGetIntUnsafe(view, index), &micros)) return out_of_range("duration");
        return delta_value(0, micros);
    }
    case NANOARROW_TYPE_INTERVAL_MONTHS:
        return PyObject_CallFunction(classes()->interval, "iii", (int)ArrowArrayViewGetIntUnsafe(view, index), 0, 0);
    case NANOARROW_TYPE_INTERVAL_DAY_TIME:
    case NANOARROW_TYPE_INTERVAL_MONTH_DAY_NANO: return interval_value(column, view, index);
    case NANOARROW_TYPE_LIST:
    case NANOARROW_TYPE_LARGE_LIST:
        return list_value(column, view, ArrowArrayViewListChildOffset(view, index + view->offset),
            ArrowArrayViewListChildOffset(view, index + view->offset + 1));
    case NANOARROW_TYPE_FIXED_SIZE_LIST: {
        int64_t size = view->layout.child_size_elements, from = (index + view->offset) * size;
        return list_value(column, view, from, from + size);
    }
    case NANOARROW_TYPE_STRUCT: return struct_value(column, view, index);
    case NANOARROW_TYPE_MAP:
        return map_value(column, view, ArrowArrayViewListChildOffset(view, index + view->offset),
            ArrowArrayViewListChildOffset(view, index + view->offset + 1));
    case NANOARROW_TYPE_SPARSE_UNION:
    case NANOARROW_TYPE_DENSE_UNION: return union_value(column, view, index);
    case NANOARROW_TYPE_DICTIONARY:
        return pycolumn_value(column->dictionary, view->dictionary, ArrowArrayViewGetIntUnsafe(view, index));
    default: return raise_code(APIARY_UNSUPPORTED, "a value of Arrow type %s cannot be shown here", ArrowTypeString(column->type));
    }
}
