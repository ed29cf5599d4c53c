/* Arrow streams brought in: objects that speak Arrow, IPC bytes, iterators, columns of NumPy. */
#include "ext.h"

#include <errno.h>
#include <nanoarrow/nanoarrow_ipc.h>
#include <stdlib.h>

/* ---- Stream ---- */

struct stream_object {
    PyObject_HEAD
    struct ArrowArrayStream stream; /* release NULL once it was moved out */
};

/* A producer may want the GIL, or another thread that waits for it. */
static void release_stream(struct ArrowArrayStream *stream)
{
    if (stream->release == NULL) return;
    Py_BEGIN_ALLOW_THREADS
    stream->release(stream);
    Py_END_ALLOW_THREADS
}

PyObject *stream_object(struct ArrowArrayStream *stream)
{
    struct stream_object *self = PyObject_New(struct stream_object, stream_type);
    if (self == NULL) {
        release_stream(stream);
        return NULL;
    }
    ArrowArrayStreamMove(stream, &self->stream);
    return (PyObject *)self;
}

static void stream_dealloc(PyObject *object)
{
    struct stream_object *self = (struct stream_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    release_stream(&self->stream);
    PyObject_Free(self);
    Py_DECREF(type);
}

static void capsule_release(PyObject *capsule)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");
    release_stream(stream);
    free(stream);
}

static PyObject *stream_export(struct stream_object *self, PyObject *args)
{
    PyObject *requested = Py_None;
    if (!PyArg_ParseTuple(args, "|O", &requested)) return NULL;
    if (self->stream.release == NULL) return raise_code(APIARY_INVALID, "this Arrow stream was used up already");
    struct ArrowArrayStream *moved = malloc(sizeof *moved);
    if (moved == NULL) return PyErr_NoMemory();
    ArrowArrayStreamMove(&self->stream, moved);
    PyObject *capsule = PyCapsule_New(moved, "arrow_array_stream", capsule_release);
    if (capsule == NULL) {
        release_stream(moved);
        free(moved);
    }
    return capsule;
}

/* schema() -> ArrowSchema; the stream stays as it is. */
static PyObject *stream_schema(struct stream_object *self, PyObject *unused)
{
    (void)unused;
    struct ArrowSchema schema = { 0 };
    if (self->stream.release == NULL) return raise_code(APIARY_INVALID, "this Arrow stream was used up already");
    if (self->stream.get_schema(&self->stream, &schema) != 0) {
        const char *why = self->stream.get_last_error(&self->stream);
        return raise_code(APIARY_SCHEMA, "the schema cannot be read: %s", why != NULL ? why : "unknown");
    }
    return schema_object(&schema);
}

static PyMethodDef stream_methods[] = {
    { "schema", (PyCFunction)stream_schema, METH_NOARGS, NULL },
    { "__arrow_c_stream__", (PyCFunction)stream_export, METH_VARARGS, "The stream as an Arrow PyCapsule, once." },
    { 0 },
};

static PyType_Slot stream_slots[] = {
    { Py_tp_dealloc, stream_dealloc },
    { Py_tp_methods, stream_methods },
    { Py_tp_doc, (void *)(uintptr_t)"An Arrow stream, to be read once." },
    { 0 },
};
PyType_Spec stream_spec = {
    .name = "apiary._apiary.Stream",
    .basicsize = sizeof(struct stream_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = stream_slots,
};

/* ---- objects that speak Arrow ---- */

static bool from_stream_capsule(PyObject *capsule, struct ArrowArrayStream *out)
{
    struct ArrowArrayStream *stream = capsule == NULL ? NULL : PyCapsule_GetPointer(capsule, "arrow_array_stream");
    bool good = stream != NULL && stream->release != NULL;
    if (stream != NULL && !good) raise_code(APIARY_INVALID, "this Arrow stream was used up already");
    if (good) ArrowArrayStreamMove(stream, out);
    Py_XDECREF(capsule);
    return good;
}

/* Moves schema and array out of the pair of capsules that __arrow_c_array__ gives. Takes `pair`. */
static bool from_array_capsules(PyObject *pair, struct ArrowSchema *schema, struct ArrowArray *array)
{
    struct ArrowSchema *from_schema = NULL;
    struct ArrowArray *from_array = NULL;
    if (pair != NULL && PyTuple_Check(pair) && PyTuple_Size(pair) == 2) {
        from_schema = PyCapsule_GetPointer(PyTuple_GetItem(pair, 0), "arrow_schema");
        from_array = from_schema == NULL ? NULL : PyCapsule_GetPointer(PyTuple_GetItem(pair, 1), "arrow_array");
    } else if (pair != NULL) {
        PyErr_SetString(PyExc_TypeError, "__arrow_c_array__ did not give a pair of capsules");
    }
    bool good = from_array != NULL && from_schema->release != NULL && from_array->release != NULL;
    if (from_array != NULL && !good) raise_code(APIARY_INVALID, "this Arrow array was used up already");
    if (good) {
        ArrowSchemaMove(from_schema, schema);
        ArrowArrayMove(from_array, array);
    }
    Py_XDECREF(pair);
    return good;
}

/* A stream of one batch; takes both. */
static bool one_batch(struct ArrowSchema *schema, struct ArrowArray *array, struct ArrowArrayStream *out)
{
    if (ArrowBasicArrayStreamInit(out, schema, 1) != NANOARROW_OK) {
        ArrowSchemaRelease(schema);
        ArrowArrayRelease(array);
        PyErr_NoMemory();
        return false;
    }
    ArrowBasicArrayStreamSetArray(out, 0, array);
    return true;
}

bool stream_from(PyObject *object, struct ArrowArrayStream *out)
{
    if (Py_TYPE(object) == stream_type) {
        struct stream_object *stream = (struct stream_object *)object;
        if (stream->stream.release == NULL) {
            raise_code(APIARY_INVALID, "this Arrow stream was used up already");
            return false;
        }
        ArrowArrayStreamMove(&stream->stream, out);
        return true;
    }
    if (PyObject_HasAttrString(object, "__arrow_c_stream__"))
        return from_stream_capsule(PyObject_CallMethod(object, "__arrow_c_stream__", NULL), out);
    if (PyObject_HasAttrString(object, "__arrow_c_array__")) {
        struct ArrowSchema schema;
        struct ArrowArray array;
        return from_array_capsules(PyObject_CallMethod(object, "__arrow_c_array__", NULL), &schema, &array)
            && one_batch(&schema, &array, out);
    }
    PyErr_SetString(PyExc_TypeError, "expected an object that speaks Arrow (__arrow_c_stream__ or __arrow_c_array__)");
    return false;
}

/* ---- IPC bytes ---- */

static void release_view(struct ArrowBufferAllocator *allocator, uint8_t *data, int64_t size)
{
    (void)data;
    (void)size;
    PyGILState_STATE state = PyGILState_Ensure();
    PyBuffer_Release(allocator->private_data);
    free(allocator->private_data);
    PyGILState_Release(state);
}

/* An ArrowBuffer over the memory of a Python object. */
static bool borrow_buffer(PyObject *data, int flags, Py_buffer **view, struct ArrowBuffer *out)
{
    *view = malloc(sizeof **view);
    if (*view == NULL) {
        PyErr_NoMemory();
        return false;
    }
    if (PyObject_GetBuffer(data, *view, flags) != 0) {
        free(*view);
        return false;
    }
    ArrowBufferInit(out);
    out->data = (*view)->buf;
    out->size_bytes = (*view)->len;
    out->capacity_bytes = (*view)->len;
    out->allocator = ArrowBufferDeallocator(release_view, *view);
    return true;
}

/* ipc_stream(bytes) -> Stream */
PyObject *source_ipc(PyObject *module, PyObject *data)
{
    (void)module;
    struct ArrowBuffer buffer;
    Py_buffer *view = NULL;
    if (!borrow_buffer(data, PyBUF_SIMPLE, &view, &buffer)) return NULL;
    if (buffer.size_bytes >= 6 && memcmp(buffer.data, "ARROW1", 6) == 0) {
        ArrowBufferReset(&buffer);
        return raise_code(APIARY_SCHEMA, "these bytes are an Arrow IPC file (Feather); a stream is expected");
    }
    struct ArrowIpcInputStream input;
    struct ArrowArrayStream stream = { 0 };
    int code = ArrowIpcInputStreamInitBuffer(&input, &buffer);
    if (code != NANOARROW_OK)
        ArrowBufferReset(&buffer);
    else {
        code = ArrowIpcArrayStreamReaderInit(&stream, &input, NULL);
        if (code != NANOARROW_OK) input.release(&input);
    }
    if (code != NANOARROW_OK) return PyErr_NoMemory();
    struct ArrowSchema schema = { 0 };
    code = stream.get_schema(&stream, &schema); /* bytes that are no IPC stream are told here */
    if (code != 0) {
        const char *why = stream.get_last_error(&stream);
        raise_code(APIARY_SCHEMA, "these bytes are no Arrow IPC stream: %s", why != NULL && why[0] != '\0' ? why : strerror(code));
        release_stream(&stream);
        return NULL;
    }
    schema.release(&schema);
    return stream_object(&stream);
}

/* ---- iterators ---- */

struct producer {
    PyObject *iterator, *errors; /* what next() raised is put into the list `errors` */
    struct ArrowSchema schema;
    struct ArrowArrayStream current;
    int failed; /* an errno: whoever asks again gets it again */
    char message[512];
};

static bool same_type(const struct ArrowSchema *a, const struct ArrowSchema *b)
{
    if (strcmp(a->format, b->format) != 0 || a->n_children != b->n_children || (a->dictionary == NULL) != (b->dictionary == NULL))
        return false;
    if (a->dictionary != NULL && !same_type(a->dictionary, b->dictionary)) return false;
    for (int64_t i = 0; i < a->n_children; i++) {
        const char *left = a->children[i]->name, *right = b->children[i]->name;
        if (strcmp(left != NULL ? left : "", right != NULL ? right : "") != 0 || !same_type(a->children[i], b->children[i])) return false;
    }
    return true;
}

/* The GIL is held. Keeps the error where the caller finds it again. */
static int producer_raised(struct producer *producer)
{
    struct call call = { 0 };
    call_keep_error(&call);
    PyObject *text = call.error == NULL ? NULL : PyObject_Str(call.error);
    PyObject *bytes = text == NULL ? NULL : PyUnicode_AsUTF8String(text);
    PyErr_Clear();
    snprintf(producer->message, sizeof producer->message, "the data source failed: %s", bytes != NULL ? PyBytes_AsString(bytes) : "an error");
    if (call.error != NULL && producer->errors != Py_None) PyList_Append(producer->errors, call.error);
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(bytes);
    Py_XDECREF(call.error);
    return EIO;
}

/* The next item of the iterator as `current`; 0 with current.release NULL at the end. */
static int producer_advance(struct producer *producer)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int code = 0;
    PyObject *item = PyErr_CheckSignals() == 0 ? PyIter_Next(producer->iterator) : NULL;
    if (item != NULL && !stream_from(item, &producer->current)) code = producer_raised(producer);
    if (item == NULL && PyErr_Occurred()) code = producer_raised(producer);
    Py_XDECREF(item);
    PyGILState_Release(state);
    if (code != 0 || producer->current.release == NULL || producer->schema.release == NULL) return code;
    struct ArrowSchema schema = { 0 };
    code = producer->current.get_schema(&producer->current, &schema);
    if (code != 0) return code;
    if (!same_type(&schema, &producer->schema)) {
        snprintf(producer->message, sizeof producer->message, "the batches of the data source have different columns or types");
        code = EINVAL;
    }
    schema.release(&schema);
    return code;
}

static int producer_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct producer *producer = stream->private_data;
    return ArrowSchemaDeepCopy(&producer->schema, out);
}

static int producer_step(struct producer *producer, struct ArrowArray *out)
{
    for (;;) {
        if (producer->current.release == NULL) {
            int code = producer_advance(producer);
            if (code != 0 || producer->current.release == NULL) return code;
        }
        int code = producer->current.get_next(&producer->current, out);
        if (code != 0) {
            const char *why = producer->current.get_last_error(&producer->current);
            snprintf(producer->message, sizeof producer->message, "%s", why != NULL ? why : strerror(code));
            return code;
        }
        if (out->release != NULL) return 0;
        producer->current.release(&producer->current);
    }
}

static int producer_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct producer *producer = stream->private_data;
    memset(out, 0, sizeof *out);
    if (producer->failed == 0) producer->failed = producer_step(producer, out);
    return producer->failed;
}

static const char *producer_error(struct ArrowArrayStream *stream)
{
    struct producer *producer = stream->private_data;
    return producer->message[0] != '\0' ? producer->message : NULL;
}

static void producer_release(struct ArrowArrayStream *stream)
{
    struct producer *producer = stream->private_data;
    PyGILState_STATE state = PyGILState_Ensure();
    if (producer->current.release != NULL) producer->current.release(&producer->current);
    if (producer->schema.release != NULL) producer->schema.release(&producer->schema);
    Py_XDECREF(producer->iterator);
    Py_XDECREF(producer->errors);
    PyGILState_Release(state);
    free(producer);
    stream->release = NULL;
}

/* iterator_stream(iterator, errors) -> Stream, or None when it gives nothing at all. Its items
 * speak Arrow; the first one is asked for now, since its schema is that of the whole. */
PyObject *source_iterator(PyObject *module, PyObject *args)
{
    PyObject *iterator, *errors;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &iterator, &errors)) return NULL;
    PyObject *first = PyIter_Next(iterator);
    if (first == NULL && PyErr_Occurred()) return NULL;
    if (first == NULL) Py_RETURN_NONE;
    struct producer *producer = calloc(1, sizeof *producer);
    bool good = producer != NULL && stream_from(first, &producer->current);
    Py_DECREF(first);
    if (good && producer->current.get_schema(&producer->current, &producer->schema) != 0) {
        const char *why = producer->current.get_last_error(&producer->current);
        raise_code(APIARY_SCHEMA, "the schema of the data cannot be read: %s", why != NULL ? why : "unknown");
        release_stream(&producer->current);
        good = false;
    }
    if (!good) {
        free(producer);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    producer->iterator = Py_NewRef(iterator);
    producer->errors = Py_NewRef(errors);
    struct ArrowArrayStream stream = {
        .get_schema = producer_schema,
        .get_next = producer_next,
        .get_last_error = producer_error,
        .release = producer_release,
        .private_data = producer,
    };
    return stream_object(&stream);
}

/* ---- columns ---- */

static enum ArrowType type_of(const Py_buffer *view)
{
    const char *format = view->format != NULL ? view->format : "B";
    if (*format == '<' || *format == '=' || *format == '@' || *format == '|') format++;
    if (format[0] == '\0' || format[1] != '\0') return NANOARROW_TYPE_UNINITIALIZED;
    static const enum ArrowType with_sign[] = { [1] = NANOARROW_TYPE_INT8, [2] = NANOARROW_TYPE_INT16, [4] = NANOARROW_TYPE_INT32, [8] = NANOARROW_TYPE_INT64 };
    static const enum ArrowType without[] = { [1] = NANOARROW_TYPE_UINT8, [2] = NANOARROW_TYPE_UINT16, [4] = NANOARROW_TYPE_UINT32, [8] = NANOARROW_TYPE_UINT64 };
    if (view->itemsize < 1 || view->itemsize > 8) return NANOARROW_TYPE_UNINITIALIZED;
    if (strchr("bhilqn", *format) != NULL) return with_sign[view->itemsize];
    if (strchr("BHILQN", *format) != NULL) return without[view->itemsize];
    if (*format == '?') return NANOARROW_TYPE_BOOL;
    if (*format == 'e') return NANOARROW_TYPE_HALF_FLOAT;
    if (*format == 'f') return NANOARROW_TYPE_FLOAT;
    if (*format == 'd') return NANOARROW_TYPE_DOUBLE;
    return NANOARROW_TYPE_UNINITIALIZED;
}

/* Nulls from a mask of one byte a value (not 0: null). */
static int set_mask(struct ArrowArray *array, const Py_buffer *mask)
{
    const uint8_t *flags = mask->buf;
    struct ArrowBitmap *bitmap = ArrowArrayValidityBitmap(array);
    NANOARROW_RETURN_NOT_OK(ArrowBitmapReserve(bitmap, array->length));
    int64_t nulls = 0;
    for (Py_ssize_t i = 0; i < mask->len; i++) {
        ArrowBitmapAppendUnsafe(bitmap, flags[i] == 0, 1);
        nulls += flags[i] != 0;
    }
    array->null_count = nulls;
    return NANOARROW_OK;
}

static int pack_bools(const struct ArrowBuffer *bytes, struct ArrowBuffer *bits)
{
    struct ArrowBitmap bitmap;
    ArrowBitmapInit(&bitmap);
    NANOARROW_RETURN_NOT_OK(ArrowBitmapReserve(&bitmap, bytes->size_bytes));
    for (int64_t i = 0; i < bytes->size_bytes; i++) ArrowBitmapAppendUnsafe(&bitmap, bytes->data[i] != 0, 1);
    ArrowBufferMove(&bitmap.buffer, bits);
    return NANOARROW_OK;
}

/* Takes `values`. format: NULL for the type of the buffer. */
static int array_over(struct ArrowBuffer *values, enum ArrowType type, int64_t length, const Py_buffer *mask, struct ArrowArray *out)
{
    struct ArrowBuffer bits;
    NANOARROW_RETURN_NOT_OK(ArrowArrayInitFromType(out, type));
    out->length = length;
    out->null_count = 0;
    if (type == NANOARROW_TYPE_BOOL) {
        NANOARROW_RETURN_NOT_OK(pack_bools(values, &bits));
        ArrowBufferReset(values);
        ArrowBufferMove(&bits, values);
    }
    if (mask != NULL) NANOARROW_RETURN_NOT_OK(set_mask(out, mask));
    NANOARROW_RETURN_NOT_OK(ArrowArraySetBuffer(out, 1, values));
    return ArrowArrayFinishBuilding(out, NANOARROW_VALIDATION_LEVEL_MINIMAL, NULL);
}

static bool buffer_column(PyObject *value, const char *format, PyObject *mask, struct ArrowSchema *schema, struct ArrowArray *array)
{
    struct ArrowBuffer buffer;
    Py_buffer *view = NULL, nulls = { 0 };
    if (!borrow_buffer(value, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS, &view, &buffer)) return false;
    enum ArrowType type = type_of(view);
    int64_t length = view->itemsize > 0 ? view->len / view->itemsize : 0;
    bool good = true;
    if (type == NANOARROW_TYPE_UNINITIALIZED || view->ndim > 1) {
        raise_code(APIARY_SCHEMA, "an array of format '%s' with %d dimensions cannot be a column", view->format != NULL ? view->format : "B", view->ndim);
        good = false;
    }
    if (good && mask != Py_None) good = PyObject_GetBuffer(mask, &nulls, PyBUF_C_CONTIGUOUS) == 0;
    if (good && mask != Py_None && nulls.len != length) {
        raise_code(APIARY_SCHEMA, "a mask of %lld values does not fit %lld values", (long long)nulls.len, (long long)length);
        good = false;
    }
    if (good) {
        int code = array_over(&buffer, type, length, mask != Py_None ? &nulls : NULL, array);
        if (code == NANOARROW_OK) {
            ArrowSchemaInit(schema);
            code = format != NULL ? ArrowSchemaSetFormat(schema, format) : ArrowSchemaSetType(schema, type);
            schema->flags = ARROW_FLAG_NULLABLE;
            if (code == NANOARROW_OK) code = ArrowSchemaSetName(schema, "");
        }
        good = code == NANOARROW_OK;
        if (!good) PyErr_NoMemory();
    }
    ArrowBufferReset(&buffer); /* moved into the array if all went well */
    if (nulls.obj != NULL) PyBuffer_Release(&nulls);
    return good;
}

/* One column: (name, value, format, mask); value speaks Arrow, is a list, or a buffer. */
static bool column_from(PyObject *item, struct ArrowSchema *schema, struct ArrowArray *array)
{
    const char *name, *format;
    PyObject *value, *mask, *known;
    if (!PyArg_ParseTuple(item, "sOzOO", &name, &value, &format, &mask, &known)) return false;
    bool good;
    if (PyList_Check(value)) {
        good = known == Py_None ? infer_column(value, name, schema) : schema_from(known, schema);
        good = good && build_column(value, schema, array);
    } else if (PyObject_HasAttrString(value, "__arrow_c_array__"))
        good = from_array_capsules(PyObject_CallMethod(value, "__arrow_c_array__", NULL), schema, array);
    else
        good = buffer_column(value, format, mask, schema, array);
    if (good && ArrowSchemaSetName(schema, name) != NANOARROW_OK) {
        PyErr_NoMemory();
        good = false;
    }
    return good;
}

/* columns_stream(list of (name, value, format, mask, known)) -> Stream of one batch */
PyObject *source_columns(PyObject *module, PyObject *args)
{
    PyObject *list;
    (void)module;
    if (!PyArg_ParseTuple(args, "O", &list)) return NULL;
    Py_ssize_t count = PyList_Size(list);
    if (count < 0) return NULL;
    struct ArrowSchema schema;
    struct ArrowArray array = { 0 };
    struct ArrowArrayStream stream;
    ArrowSchemaInit(&schema);
    int code = ArrowSchemaSetTypeStruct(&schema, count);
    if (code == NANOARROW_OK) code = ArrowArrayInitFromType(&array, NANOARROW_TYPE_STRUCT);
    if (code == NANOARROW_OK) code = ArrowArrayAllocateChildren(&array, count);
    bool good = code == NANOARROW_OK;
    for (Py_ssize_t i = 0; good && i < count; i++) {
        struct ArrowSchema child_schema = { 0 };
        struct ArrowArray child = { 0 };
        good = column_from(PyList_GetItem(list, i), &child_schema, &child);
        if (good) {
            if (schema.children[i]->release != NULL) ArrowSchemaRelease(schema.children[i]);
            ArrowSchemaMove(&child_schema, schema.children[i]);
            ArrowArrayMove(&child, array.children[i]);
            if (i > 0 && array.children[i]->length != array.length) {
                raise_code(APIARY_SCHEMA, "column \"%s\" has %lld values, \"%s\" has %lld", schema.children[i]->name,
                    (long long)array.children[i]->length, schema.children[0]->name, (long long)array.length);
                good = false;
            }
            array.length = array.children[0]->length;
        } else {
            if (child_schema.release != NULL) ArrowSchemaRelease(&child_schema);
            if (child.release != NULL) ArrowArrayRelease(&child);
        }
    }
    if (good) {
        array.null_count = 0;
        good = ArrowArrayFinishBuilding(&array, NANOARROW_VALIDATION_LEVEL_NONE, NULL) == NANOARROW_OK;
    }
    if (good) return one_batch(&schema, &array, &stream) ? stream_object(&stream) : NULL;
    if (schema.release != NULL) ArrowSchemaRelease(&schema);
    if (array.release != NULL) ArrowArrayRelease(&array);
    return PyErr_Occurred() ? NULL : PyErr_NoMemory();
}
