/* Schema: an Arrow schema, from a description in Python or from anything that brings one.
 *
 * A description of a field is a tuple (name, format, nullable, children, metadata): the format
 * words of the Arrow C data interface; metadata is a dict of text to text or None. */
#include "ext.h"

#include <nanoarrow/nanoarrow.h>

enum { SCHEMA_DEPTH_MAX = 64 };

static bool describe(PyObject *description, struct ArrowSchema *out, int depth)
{
    const char *name, *format;
    int nullable;
    PyObject *children;
    if (depth > SCHEMA_DEPTH_MAX) {
        raise_code(APIARY_LIMIT, "a type is nested deeper than %d", SCHEMA_DEPTH_MAX);
        return false;
    }
    if (!PyArg_ParseTuple(description, "zspO", &name, &format, &nullable, &children)) return false;
    Py_ssize_t count = PySequence_Size(children);
    if (count < 0) return false;
    ArrowSchemaInit(out);
    int code = ArrowSchemaSetFormat(out, format);
    if (code == NANOARROW_OK) code = ArrowSchemaSetName(out, name != NULL ? name : "");
    if (code == NANOARROW_OK && count > 0) code = ArrowSchemaAllocateChildren(out, count);
    if (code != NANOARROW_OK) {
        PyErr_NoMemory();
        return false;
    }
    out->flags = nullable ? ARROW_FLAG_NULLABLE : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *child = PySequence_GetItem(children, i);
        bool good = child != NULL && describe(child, out->children[i], depth + 1);
        Py_XDECREF(child);
        if (!good) return false;
    }
    return true;
}

bool schema_describe(PyObject *description, struct ArrowSchema *out)
{
    if (!PyTuple_Check(description)) {
        PyErr_SetString(PyExc_TypeError, "a field is described by a tuple (name, format, nullable, children)");
        return false;
    }
    memset(out, 0, sizeof *out);
    bool good = describe(description, out, 0);
    struct ArrowSchemaView view;
    struct ArrowError why = { 0 };
    if (good && ArrowSchemaViewInit(&view, out, &why) != NANOARROW_OK) {
        raise_code(APIARY_SCHEMA, "not an Arrow type: %s", why.message);
        good = false;
    }
    if (!good && out->release != NULL) out->release(out);
    return good;
}

PyObject *schema_object(struct ArrowSchema *schema)
{
    struct schema_object *self = PyObject_New(struct schema_object, schema_type);
    if (self == NULL) {
        schema->release(schema);
        return NULL;
    }
    ArrowSchemaMove(schema, &self->schema);
    return (PyObject *)self;
}

static PyObject *schema_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *from;
    struct ArrowSchema schema;
    (void)type;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O", &from)) return NULL;
    bool good = PyTuple_Check(from) ? schema_describe(from, &schema) : schema_from(from, &schema);
    return good ? schema_object(&schema) : NULL;
}

static void schema_dealloc(PyObject *object)
{
    struct schema_object *self = (struct schema_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->schema.release != NULL) self->schema.release(&self->schema);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *metadata_of(const char *metadata)
{
    struct ArrowMetadataReader reader;
    struct ArrowStringView key, value;
    PyObject *dict = PyDict_New();
    if (dict == NULL || metadata == NULL || ArrowMetadataReaderInit(&reader, metadata) != NANOARROW_OK) return dict;
    while (ArrowMetadataReaderRead(&reader, &key, &value) == NANOARROW_OK) {
        PyObject *name = PyUnicode_DecodeUTF8(key.data, (Py_ssize_t)key.size_bytes, "replace");
        PyObject *text = PyUnicode_DecodeUTF8(value.data, (Py_ssize_t)value.size_bytes, "replace");
        if (name != NULL && text != NULL) PyDict_SetItem(dict, name, text);
        Py_XDECREF(name);
        Py_XDECREF(text);
    }
    return dict;
}

/* The description with metadata as a fifth member. A dictionary gives that of its values. */
static PyObject *description_of(const struct ArrowSchema *schema)
{
    if (schema->dictionary != NULL) {
        const struct ArrowSchema *values = schema->dictionary;
        PyObject *inner = description_of(values);
        if (inner == NULL) return NULL;
        PyObject *whole = Py_BuildValue("(zOOOO)", schema->name, PyTuple_GetItem(inner, 1),
            schema->flags & ARROW_FLAG_NULLABLE ? Py_True : Py_False, PyTuple_GetItem(inner, 3), PyTuple_GetItem(inner, 4));
        Py_DECREF(inner);
        return whole;
    }
    PyObject *children = PyList_New(0);
    for (int64_t i = 0; children != NULL && i < schema->n_children; i++) {
        PyObject *child = description_of(schema->children[i]);
        if (child == NULL || PyList_Append(children, child) != 0) Py_CLEAR(children);
        Py_XDECREF(child);
    }
    PyObject *metadata = children == NULL ? NULL : metadata_of(schema->metadata);
    PyObject *whole = metadata == NULL ? NULL : Py_BuildValue("(zsOOO)", schema->name, schema->format,
        schema->flags & ARROW_FLAG_NULLABLE ? Py_True : Py_False, children, metadata);
    Py_XDECREF(children);
    Py_XDECREF(metadata);
    return whole;
}

static PyObject *schema_description(struct schema_object *self, PyObject *unused)
{
    (void)unused;
    return description_of(&self->schema);
}

static void capsule_release(PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema->release != NULL) schema->release(schema);
    free(schema);
}

static PyObject *schema_export(struct schema_object *self, PyObject *unused)
{
    (void)unused;
    struct ArrowSchema *copy = malloc(sizeof *copy);
    if (copy == NULL) return PyErr_NoMemory();
    if (ArrowSchemaDeepCopy(&self->schema, copy) != NANOARROW_OK) {
        free(copy);
        return PyErr_NoMemory();
    }
    PyObject *capsule = PyCapsule_New(copy, "arrow_schema", capsule_release);
    if (capsule == NULL) {
        copy->release(copy);
        free(copy);
    }
    return capsule;
}

static bool from_capsule(PyObject *capsule, struct ArrowSchema *out)
{
    struct ArrowSchema *schema = capsule == NULL ? NULL : PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema != NULL && schema->release == NULL) raise_code(APIARY_INVALID, "an Arrow schema was used up already");
    bool good = schema != NULL && schema->release != NULL;
    if (good) ArrowSchemaMove(schema, out);
    Py_XDECREF(capsule);
    return good;
}

bool schema_from(PyObject *object, struct ArrowSchema *out)
{
    if (PyObject_HasAttrString(object, "__arrow_c_schema__"))
        return from_capsule(PyObject_CallMethod(object, "__arrow_c_schema__", NULL), out);
    if (PyObject_HasAttrString(object, "__arrow_c_stream__")) {
        struct ArrowArrayStream stream;
        if (!stream_from(object, &stream)) return false;
        int code = stream.get_schema(&stream, out);
        if (code != 0) {
            const char *why = stream.get_last_error(&stream);
            raise_code(APIARY_SCHEMA, "the schema cannot be read: %s", why != NULL ? why : "unknown");
        }
        stream.release(&stream);
        return code == 0;
    }
    PyErr_SetString(PyExc_TypeError, "expected a schema: a dict of column to type, or an object with __arrow_c_schema__");
    return false;
}

static PyMethodDef schema_methods[] = {
    { "__arrow_c_schema__", (PyCFunction)schema_export, METH_NOARGS, "The schema as an Arrow PyCapsule." },
    { "description", (PyCFunction)schema_description, METH_NOARGS, NULL },
    { 0 },
};

static PyType_Slot schema_slots[] = {
    { Py_tp_new, schema_new },
    { Py_tp_dealloc, schema_dealloc },
    { Py_tp_methods, schema_methods },
    { Py_tp_doc, (void *)(uintptr_t)"ArrowSchema(description): a schema that speaks Arrow." },
    { 0 },
};
PyType_Spec schema_spec = {
    .name = "apiary._apiary.ArrowSchema",
    .basicsize = sizeof(struct schema_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = schema_slots,
};
