/* One file of a web server (https://, http://), as a store that can only be read and has one object.
 *
 * The first question (ap_store_get of no bytes, which asks for the size) is a GET of the first byte. A
 * server that answers with a part gives ranges from then on; one that answers with the whole file has
 * sent it, and it is kept in a file without a name until the question is asked again. The ETag is
 * the server's, else its Last-Modified, else one that is made up for each question.
 *
 * Redirects are followed a few times, never from https to http. A user and password in the URL go to
 * its own host alone; they and what stands behind '?' are in no URI, error or log. */
#ifndef AP_STORAGE_WEB_H
#define AP_STORAGE_WEB_H

#include "storage/store.h"

bool ap_web_is(struct ap_str uri); /* http:// or https://, in any case */
/* The URL as it may be shown: without user, password, query and fragment. */
AP_CHECKED enum apiary_code ap_web_shown(
    struct ap_str url, struct ap_bytes *out, struct apiary_error *err);
/* Takes user, password and query (and the mark that stands for them in a store's URI) out of every URL
 * of a web server that stands in a text, in place. */
void ap_web_redact(char *text);
/* The URI of the store of a URL (two URLs that differ have different ones) and the object's key.
 * codes: INVALID (no host, no file, characters that must be escaped), LIMIT */
AP_CHECKED enum apiary_code ap_web_name(
    struct ap_str url, struct ap_bytes *uri, struct ap_bytes *key, struct apiary_error *err);
/* Asks nobody. */
AP_CHECKED enum apiary_code ap_web_open(
    struct ap_env *env, struct ap_str url, struct ap_store **out, struct apiary_error *err);

#endif
