#include "document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

yyjson_doc *document_read(const char *json)
{
    return yyjson_read(json, strlen(json), 0);
}

void document_show_with(const char *json, void (*show)(yyjson_val *root))
{
    yyjson_doc *document = document_read(json);
    show(yyjson_doc_get_root(document));
    yyjson_doc_free(document);
}

double document_number(yyjson_val *object, const char *name)
{
    return yyjson_get_num(yyjson_obj_get(object, name));
}

const char *document_show(yyjson_val *value, struct text *out)
{
    text_clear(out);
    char *written = yyjson_is_str(value) || value == NULL ? NULL : yyjson_val_write(value, 0, NULL);
    if (yyjson_is_str(value)) text_add_printable(out, yyjson_get_str(value), yyjson_get_len(value));
    else if (written != NULL) text_puts(out, written);
    free(written);
    return out->data != NULL ? out->data : "";
}

void document_tell_notices(yyjson_val *object)
{
    struct text line = { 0 };
    yyjson_val *notice;
    size_t i, count;
    yyjson_arr_foreach(yyjson_obj_get(object, "notices"), i, count, notice)
        fprintf(stderr, "Notice: %s\n", document_show(notice, &line));
    text_done(&line);
}
