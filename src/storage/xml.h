/* XML as object stores answer with it. It comes from outside: depth and sizes have limits, entities
 * beyond the five and numeric ones are refused, nothing is expanded. */
#ifndef AP_STORAGE_XML_H
#define AP_STORAGE_XML_H

#include "core/str.h"

/* Called for each element that ends, with its own name and its parent's (both without a prefix), and
 * its text. */
typedef enum apiary_code ap_xml_leaf(void *context, struct ap_str parent, struct ap_str name,
    struct ap_str text, struct apiary_error *err);

/* codes: CORRUPT (no XML, cut, or another root element), MEMORY, what `leaf` says */
AP_CHECKED enum apiary_code ap_xml_walk(struct ap_str document, struct ap_str root,
    ap_xml_leaf *leaf, void *context, struct apiary_error *err);
/* CORRUPT: "the store's answer is no XML that is understood: …" */
enum apiary_code ap_xml_fail(struct apiary_error *err, const char *what);

/* Text as XML content: & < > " and control characters escaped. Appends. */
AP_CHECKED enum apiary_code ap_xml_escape(
    struct ap_bytes *out, struct ap_str text, struct apiary_error *err);

#endif
