/* Statements that keep a frame in shape: private to this room. */
#ifndef AP_QUERY_OPTIMIZE_H
#define AP_QUERY_OPTIMIZE_H

#include "query/query.h"

AP_CHECKED enum apiary_code ap_run_optimize(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err);

AP_CHECKED enum apiary_code ap_run_alter(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* alter.c */

AP_CHECKED enum apiary_code ap_run_vacuum(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* vacuum.c */
AP_CHECKED enum apiary_code ap_run_restore(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* pin.c */
AP_CHECKED enum apiary_code ap_run_pin(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* PIN and UNPIN */
AP_CHECKED enum apiary_code ap_rows_of_pins(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_run_fsck(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* fsck.c */

#endif
