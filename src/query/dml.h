/* DELETE, UPDATE, TRUNCATE: private to this room. */
#ifndef AP_QUERY_DML_H
#define AP_QUERY_DML_H

#include "query/query.h"

AP_CHECKED enum apiary_code ap_run_delete(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_run_update(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_run_truncate(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err);

#endif
