/* The table that people see: the command line's own, compiled in, so that both look alike. */
#include "ext.h"

#include "../../cli/output.h"

#include <stdio.h>
#include <stdlib.h>

PyObject *table_text(struct ArrowArrayStream *stream, long long rows, int width)
{
    char *text = NULL;
    size_t size = 0;
    struct apiary_error error = { 0 };
    struct output_figures figures = { 0 };
    FILE *file = open_memstream(&text, &size);
    if (file == NULL) return PyErr_NoMemory();
    struct output output = { .format = OUTPUT_TABLE, .file = file, .terminal = true, .width = width, .rows_shown_max = (size_t)rows };
    int code = output_rows(&output, stream, &figures, &error);
    if (fclose(file) != 0 && code == 0) code = fail_with(&error, APIARY_MEMORY, "out of memory for a table");
    PyObject *shown = code == 0 ? PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, "replace") : raise_error(&error);
    free(text);
    return shown;
}
