/* Which tables we read and write: protocol versions and features (delta.md, section 6). */
#ifndef AP_LEDGER_PROTOCOL_H
#define AP_LEDGER_PROTOCOL_H

#include "ledger/snapshot.h"

/* UNSUPPORTED names the version or feature. */
AP_CHECKED enum apiary_code ap_protocol_check_readable(
    const struct ap_protocol *protocol, struct apiary_error *err);
/* What a feature asks of the schema for reading: type changes that we can follow. */
AP_CHECKED enum apiary_code ap_protocol_check_schema(const struct ap_protocol *protocol,
    const struct ap_metadata *metadata, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_protocol_check_writable(const struct ap_protocol *protocol,
    const struct ap_metadata *metadata, struct apiary_error *err);

/* What a new table of this schema and these properties needs: (1,2), (2,5) with column mapping, or
 * (3,7) with timestampNtz. Static storage. */
struct ap_protocol ap_protocol_for(const struct ap_metadata *metadata);

struct ap_str ap_metadata_property(
    const struct ap_metadata *metadata, const char *key); /* data NULL: not set */
bool ap_metadata_property_is(
    const struct ap_metadata *metadata, const char *key, const char *value); /* ignoring case */

#endif
