/* Statements that write frames, each to its file. */
#include "query/create.h"
#include "query/dml.h"
#include "query/optimize.h"
#include "query/write.h"

enum apiary_code ap_run_write(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    switch (request->statement->kind) {
        case AP_STATEMENT_CREATE_FRAME: return ap_run_create_frame(request, result, err);
        case AP_STATEMENT_INSERT: return ap_run_insert(request, result, err);
        case AP_STATEMENT_ALTER_FRAME: return ap_run_alter(request, result, err);
        case AP_STATEMENT_VACUUM: return ap_run_vacuum(request, result, err);
        case AP_STATEMENT_RESTORE: return ap_run_restore(request, result, err);
        case AP_STATEMENT_PIN:
        case AP_STATEMENT_UNPIN: return ap_run_pin(request, result, err);

        case AP_STATEMENT_DELETE: return ap_run_delete(request, result, err);
        case AP_STATEMENT_UPDATE: return ap_run_update(request, result, err);
        case AP_STATEMENT_TRUNCATE: return ap_run_truncate(request, result, err);
        case AP_STATEMENT_FSCK: return ap_run_fsck(request, result, err);
        case AP_STATEMENT_OPTIMIZE: return ap_run_optimize(request, result, err);
        case AP_STATEMENT_MERGE:
            ap_fail(err, APIARY_UNSUPPORTED, "MERGE is not supported yet");
            return ap_hint(err, "DELETE what matches, then INSERT: each is one version of the frame");
        default: break;
    }
    return ap_fail(err, APIARY_UNSUPPORTED, "this statement is not supported yet");
}
