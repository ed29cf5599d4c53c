/* JSON documents that the library gives, read. */
#ifndef CLI_DOCUMENT_H
#define CLI_DOCUMENT_H

#include "value.h"

#include <yyjson.h>

/* NULL when memory is out. Free with yyjson_doc_free. */
yyjson_doc *document_read(const char *json);
/* Reads it, shows what is in it, frees it. */
void document_show_with(const char *json, void (*show)(yyjson_val *root));
/* A number; 0 when it is none. */
double document_number(yyjson_val *object, const char *name);
/* A value as people read it: a text without quotes, control characters escaped; anything else as JSON.
 * Nothing for what is not there. The text is cleared first; its data is what is given back. */
const char *document_show(yyjson_val *value, struct text *out);
/* "Notice: …" on stderr for each of the document's notices. */
void document_tell_notices(yyjson_val *object);

#endif
