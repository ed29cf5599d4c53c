/* Writing to a bucket: puts, deletions, and staged files (cloud.h).
 *
 * A staged file lies on this machine without a name. Small ones are sent whole when they are
 * committed. Larger ones go in parts, several at a time, and may begin to go while the file still
 * grows (ap_stage_advance): parts are invisible until the last request names them all. What was
 * begun and not completed is aborted when the stage is closed; what a crash leaves is found by the
 * store's own rules (a lifecycle rule for unfinished uploads) and costs nothing to readers. */
#include "storage/cloud.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PARTS_MAX = 10000,
    PARTS_AT_A_TIME = 8,
    WHOLE_PARTS_MAX = 2, /* files of more bytes than so many parts go in parts */
    COMMIT_ATTEMPTS_MAX = 8,
    COMMIT_BACKOFF_US = 50000,
    COMMIT_BACKOFF_CAP_US = 5000000,
    DELETES_AT_A_TIME = 256,
    DOCUMENT_MAX = 4 << 20,
};

/* ---- puts and deletions ---- */

/* A store without conditions that was opened for one writer: it is asked whether there is an
 * object, and then written to, without a condition. Nobody of this process comes between. The call
 * stays a conditional one: after an unclear end the object is looked for, not written again. */
static enum apiary_code run_looking(
    struct ap_cloud *cloud, struct ap_cloud_call *call, struct apiary_error *err)
{
    struct ap_get look = { .key = call->key, .range = { 0, 0, false } };
    ap_lock(cloud->store.env, cloud->one_writer);
    ap_store_tally(&cloud->store, gets, 1);
    ap_cloud_get_many(&cloud->store, &look, 1);
    if (look.code == APIARY_NOT_FOUND) ap_cloud_run(cloud, call, 1);
    ap_unlock(cloud->store.env, cloud->one_writer);
    if (look.code == APIARY_NOT_FOUND) return APIARY_OK;
    if (look.code == APIARY_OK)
        return ap_fail(err, APIARY_CONFLICT, "object %s/%s exists", cloud->store.uri, call->key);
    if (err) *err = look.error;
    return look.code;
}

enum apiary_code ap_cloud_put(
    struct ap_cloud *cloud, struct ap_cloud_call *call, struct apiary_error *err)
{
    if (call->absent && cloud->store.one_writer)
        AP_TRY(run_looking(cloud, call, err));
    else
        ap_cloud_run(cloud, call, 1);
    if (ap_cloud_good(cloud, call)) return APIARY_OK;
    enum apiary_code code = ap_cloud_fail(cloud, call, "write", err);
    /* What is said is said of the second; the first may have been carried out. */
    if (call->absent && call->http.deliveries > 1)
        return ap_fail(err, APIARY_UNCERTAIN,
            "object %s/%s may have been written: the request was delivered twice, and the second time %s",
            cloud->store.uri, call->key, code == APIARY_CONFLICT ? "it existed" : "it was refused");
    if (code == APIARY_CONFLICT)
        return ap_fail(err, code, "object %s/%s exists", cloud->store.uri, call->key);
    if (code == APIARY_NOT_FOUND) return ap_hint(err, "is the bucket's name right?");
    if (call->absent && code == APIARY_UNSUPPORTED && !cloud->store.one_writer) {
        __atomic_store_n(&cloud->store.shared_writing, false, __ATOMIC_RELAXED);
        return ap_hint(
            err, "this store knows no conditional writes: it cannot be shared by writers");
    }
    return code;
}

static enum apiary_code put(struct ap_store *store, const char *key, struct ap_str body,
    bool absent, struct apiary_error *err)
{
    struct ap_cloud_call call = {
        .kind = AP_CLOUD_PUT, .key = key, .absent = absent, .body = body
    };
    enum apiary_code code = ap_cloud_put(ap_cloud_of(store), &call, err);
    ap_cloud_call_done(&call);
    return code;
}

static enum apiary_code cloud_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return put(store, key, body, false, err);
}

static enum apiary_code cloud_put_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return put(store, key, body, true, err);
}

/* No such key is success; no such bucket is not, but it says 404 as well. */
static enum apiary_code deleted(
    struct ap_cloud *cloud, const struct ap_cloud_call *call, struct apiary_error *err)
{
    struct ap_cloud_error error = { 0 };
    if (ap_cloud_good(cloud, call)) return APIARY_OK;
    enum apiary_code code = ap_cloud_fail(cloud, call, "delete", err);
    if (code != APIARY_NOT_FOUND) return code;
    cloud->provider->error(call, &error);
    bool no_place =
        strcmp(error.code, "NoSuchBucket") == 0 || strcmp(error.code, "ContainerNotFound") == 0;
    return no_place ? code : APIARY_OK;
}

static enum apiary_code delete_each(
    struct ap_cloud *cloud, const char *const *keys, size_t count, struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    struct ap_cloud_call *calls = ap_calloc(count, sizeof *calls);
    if (!calls) return ap_fail_memory(err, "requests");
    for (size_t i = 0; i < count; i++)
        calls[i] = (struct ap_cloud_call) { .kind = AP_CLOUD_DELETE, .key = keys[i] };
    ap_cloud_run(cloud, calls, count);
    for (size_t i = 0; i < count; i++) {
        if (code == APIARY_OK) code = deleted(cloud, &calls[i], err);
        ap_cloud_call_done(&calls[i]);
    }
    ap_free(calls);
    return code;
}

static enum apiary_code cloud_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    struct ap_cloud *cloud = ap_cloud_of(store);
    bool batch = cloud->provider->delete_many && !cloud->deletes_each && count > 1;
    size_t most = batch ? cloud->provider->delete_many_max : DELETES_AT_A_TIME;
    for (size_t at = 0; at < count; at += most) {
        size_t some = count - at < most ? count - at : most;
        AP_TRY(batch ? cloud->provider->delete_many(cloud, keys + at, some, err)
                     : delete_each(cloud, keys + at, some, err));
    }
    return APIARY_OK;
}

/* ---- staging ---- */

enum apiary_code ap_cloud_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder) folder = "/tmp";
    struct ap_stage *stage = ap_calloc(1, sizeof *stage);
    if (!stage) return ap_fail_memory(err, "a stage");
    *stage = (struct ap_stage) { .store = store,
        .fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) };
    if (stage->fd < 0) {
        int error = errno;
        ap_free(stage);
        return ap_fail_errno(err, error, "cannot stage a file in %s", folder);
    }
    *out = stage;
    return APIARY_OK;
}

/* What the store has under a key that only this stage uses, after an unclear end or a CONFLICT that
 * may be with our own bytes. OK: it is there, and whole. */
static enum apiary_code look(struct ap_store *store, const char *key, uint64_t size,
    struct ap_object *object, struct apiary_error *err)
{
    struct ap_get get = { .key = key, .range = { 0, 0, false } };
    ap_store_tally(store, gets, 1);
    ap_cloud_get_many(store, &get, 1);
    if (get.code != APIARY_OK) {
        if (err) *err = get.error;
        return get.code;
    }
    *object = get.object;
    if (object->size == size) return APIARY_OK;
    return ap_fail(err, APIARY_CORRUPT, "object %s/%s has %llu bytes, and %llu were sent",
        store->uri, key, (unsigned long long)object->size, (unsigned long long)size);
}

static enum apiary_code fail_unknown(
    struct ap_store *store, const char *key, struct apiary_error *err)
{
    return ap_fail(
        err, APIARY_UNCERTAIN, "it is not known whether %s/%s was written", store->uri, key);
}

/* One attempt after the other at a conditional write whose key nobody else uses: what is unclear is
 * sent again, and a CONFLICT behind something unclear is with our own bytes. */
static enum apiary_code write_settled(struct ap_cloud *cloud, const struct ap_cloud_call *wanted,
    uint64_t size, struct ap_object *object, struct apiary_error *err)
{
    struct ap_store *store = &cloud->store;
    enum apiary_code code = APIARY_UNCERTAIN;
    bool unclear = false;
    for (int attempt = 0; attempt < COMMIT_ATTEMPTS_MAX && code == APIARY_UNCERTAIN; attempt++) {
        struct ap_cloud_call call = *wanted;
        if (attempt) {
            ap_backoff(store->env, attempt - 1, COMMIT_BACKOFF_US, COMMIT_BACKOFF_CAP_US);
            ap_store_tally(store, retries, 1);
            ap_cloud_count(cloud, &call);
        }
        code = ap_cloud_put(cloud, &call, err);
        if (code == APIARY_OK && call.kind == AP_CLOUD_PUT) {
            memset(object, 0, sizeof *object);
            cloud->provider->describe(&call, object);
            object->size = size;
            if (!object->modified_us)
                (void)ap_http_date_parse(ap_http_header(&call.http, "date"), &object->modified_us);
        }
        unclear |= code == APIARY_UNCERTAIN || call.http.deliveries > 1;
        ap_cloud_call_done(&call);
        /* The upload is gone: it was completed by a request whose answer was lost. */
        if (unclear && code == APIARY_NOT_FOUND) code = APIARY_CONFLICT;
    }
    if (code == APIARY_UNCERTAIN || (code == APIARY_CONFLICT && unclear)) {
        if (look(store, wanted->key, size, object, NULL) != APIARY_OK)
            return fail_unknown(store, wanted->key, err);
        return APIARY_OK;
    }
    return code;
}

static enum apiary_code send_whole(struct ap_cloud *cloud, int fd, const char *key, uint64_t size,
    struct ap_object *object, struct apiary_error *err)
{
    struct ap_cloud_call call = { .kind = AP_CLOUD_PUT,
        .key = key,
        .absent = true,
        .from_file = true,
        .body_fd = fd,
        .body = { NULL, (size_t)size } };
    return write_settled(cloud, &call, size, object, err);
}

/* ---- parts ---- */

static void upload_free(struct ap_cloud_upload *upload)
{
    if (!upload) return;
    ap_bytes_done(&upload->key);
    ap_bytes_done(&upload->id);
    ap_free(upload->etags);
    ap_free(upload);
}

/* The id of a new upload. */
static enum apiary_code ask_upload(
    struct ap_cloud *cloud, const char *key, struct ap_bytes *id, struct apiary_error *err)
{
    struct ap_cloud_call call = { .kind = AP_CLOUD_BEGIN, .key = key, .answer_max = DOCUMENT_MAX };
    if (!cloud->provider->has_begin) return ap_bytes_add_text(id, "", err);
    ap_cloud_count(cloud, &call);
    ap_cloud_run(cloud, &call, 1);
    enum apiary_code code = ap_cloud_good(cloud, &call) ? cloud->provider->upload_id(&call, id, err)
                                                        : ap_cloud_fail(cloud, &call, "write", err);
    ap_cloud_call_done(&call);
    return code;
}

static enum apiary_code begin(
    struct ap_cloud *cloud, struct ap_stage *stage, const char *key, struct apiary_error *err)
{
    if (stage->upload) return APIARY_OK;
    struct ap_cloud_upload *upload = ap_calloc(1, sizeof *upload);
    if (!upload) return ap_fail_memory(err, "an upload");
    enum apiary_code code = ap_bytes_add_text(&upload->key, key, err);
    if (code == APIARY_OK) code = ask_upload(cloud, key, &upload->id, err);
    if (code != APIARY_OK) {
        upload_free(upload);
        return code;
    }
    stage->upload = upload;
    return APIARY_OK;
}

static enum apiary_code part_answer(struct ap_cloud *cloud, struct ap_cloud_upload *upload,
    const struct ap_cloud_call *call, struct apiary_error *err)
{
    struct ap_object object = { 0 };
    if (!ap_cloud_good(cloud, call)) return ap_cloud_fail(cloud, call, "write", err);
    cloud->provider->describe(call, &object);
    memcpy(upload->etags[upload->count], object.etag, AP_ETAG_MAX);
    upload->count++;
    upload->sent += call->body.size;
    return APIARY_OK;
}

/* Sends the next parts, up to `end` of the file; a part that is not full only when it is the
 * `last`. Parts that arrived count, up to the first that did not. */
static enum apiary_code send_parts(struct ap_cloud *cloud, struct ap_stage *stage, uint64_t end,
    bool last, struct apiary_error *err)
{
    struct ap_cloud_upload *upload = stage->upload;
    while (end > upload->sent && (last || end - upload->sent >= cloud->part_bytes)) {
        struct ap_cloud_call calls[PARTS_AT_A_TIME] = { 0 };
        size_t some = 0;
        enum apiary_code code = APIARY_OK;
        uint64_t at = upload->sent;
        for (; some < PARTS_AT_A_TIME && at < end; some++) {
            uint64_t size = end - at < cloud->part_bytes ? end - at : cloud->part_bytes;
            if (size < cloud->part_bytes && !last) break;
            calls[some] = (struct ap_cloud_call) { .kind = AP_CLOUD_PART,
                .key = ap_bytes_text(&upload->key),
                .upload = ap_bytes_text(&upload->id),
                .part = (unsigned)(upload->count + some + 1),
                .from_file = true,
                .body_fd = stage->fd,
                .body_offset = at,
                .body = { NULL, (size_t)size } };
            at += size;
        }
        if (upload->count + some > PARTS_MAX)
            return ap_fail(err, APIARY_LIMIT, "object %s/%s would have more than %d parts",
                cloud->store.uri, ap_bytes_text(&upload->key), PARTS_MAX);
        AP_TRY(AP_GROW(upload->etags, upload->capacity, upload->count + some, err));
        for (size_t i = 0; i < some; i++) {
            ap_cloud_count(cloud, &calls[i]);
            ap_store_tally(&cloud->store, bytes_out, calls[i].body.size);
        }
        ap_cloud_run(cloud, calls, some);
        for (size_t i = 0; i < some; i++) {
            if (code == APIARY_OK) code = part_answer(cloud, upload, &calls[i], err);
            ap_cloud_call_done(&calls[i]);
        }
        if (code != APIARY_OK) return code;
    }
    return APIARY_OK;
}

enum apiary_code ap_cloud_stage_advance(struct ap_store *store, struct ap_stage *stage,
    const char *key, uint64_t written, struct apiary_error *err)
{
    struct ap_cloud *cloud = ap_cloud_of(store);
    struct ap_cloud_upload *upload = stage->upload;
    uint64_t sent = upload ? upload->sent : 0;
    if (!cloud->provider->has_parts || stage->fd < 0 || written < sent) return APIARY_OK;
    if (!upload && written <= WHOLE_PARTS_MAX * cloud->part_bytes) return APIARY_OK;
    if (written - sent < cloud->part_bytes) return APIARY_OK;
    AP_TRY(begin(cloud, stage, key, err));
    return send_parts(cloud, stage, written, false, err);
}

static enum apiary_code complete(struct ap_cloud *cloud, struct ap_stage *stage, uint64_t size,
    struct ap_object *object, struct apiary_error *err)
{
    struct ap_cloud_upload *upload = stage->upload;
    AP_AUTO(ap_bytes) body = { 0 };
    AP_TRY(cloud->provider->complete_body(upload, &body, err));
    struct ap_cloud_call call = { .kind = AP_CLOUD_COMPLETE,
        .key = ap_bytes_text(&upload->key),
        .absent = true,
        .upload = ap_bytes_text(&upload->id),
        .body = ap_bytes_view(&body),
        .answer_max = DOCUMENT_MAX };
    AP_TRY(write_settled(cloud, &call, size, object, err));
    const char *key = ap_bytes_text(&upload->key);
    /* What a commit names was seen to have its length. */
    return look(&cloud->store, key, size, object, err);
}

void ap_cloud_stage_drop(struct ap_store *store, struct ap_stage *stage)
{
    struct ap_cloud *cloud = ap_cloud_of(store);
    struct ap_cloud_upload *upload = stage->upload;
    stage->upload = NULL;
    if (upload && cloud->provider->has_begin) {
        struct ap_cloud_call call = { .kind = AP_CLOUD_ABORT,
            .key = ap_bytes_text(&upload->key),
            .upload = ap_bytes_text(&upload->id) };
        ap_cloud_count(cloud, &call);
        ap_cloud_run(cloud, &call, 1); /* that it fails harms nobody */
        ap_cloud_call_done(&call);
    }
    upload_free(upload);
}

enum apiary_code ap_cloud_stage_commit(struct ap_store *store, struct ap_stage *stage,
    const char *key, struct ap_object *object, struct apiary_error *err)
{
    struct ap_cloud *cloud = ap_cloud_of(store);
    struct ap_cloud_upload *upload = stage->upload;
    struct stat info;
    if (fstat(stage->fd, &info) != 0) return ap_fail_errno(err, errno, "cannot read a staged file");
    uint64_t size = (uint64_t)info.st_size;
    /* A file that shrank, or goes elsewhere than was said, is sent anew. */
    if (upload && (upload->sent > size || strcmp(ap_bytes_text(&upload->key), key) != 0))
        ap_cloud_stage_drop(store, stage);
    if (!stage->upload &&
        (size <= WHOLE_PARTS_MAX * cloud->part_bytes || !cloud->provider->has_parts)) {
        ap_store_tally(store, bytes_out, size);
        return send_whole(cloud, stage->fd, key, size, object, err);
    }
    AP_TRY(begin(cloud, stage, key, err));
    AP_TRY(send_parts(cloud, stage, size, true, err));
    AP_TRY(complete(cloud, stage, size, object, err));
    upload_free(stage->upload);
    stage->upload = NULL;
    return APIARY_OK;
}

static enum apiary_code cloud_identity(
    struct ap_store *store, struct ap_store_identity *out, struct apiary_error *err)
{
    struct ap_cloud *cloud = ap_cloud_of(store);
    return cloud->provider->identity(cloud, out, err);
}

const struct ap_store_ops ap_cloud_ops = {
    .identity = cloud_identity,
    .put = cloud_put,
    .put_if_absent = cloud_put_if_absent,
    .get_many = ap_cloud_get_many,
    .list = ap_cloud_list,
    .delete_many = cloud_delete_many,
    .stage = ap_cloud_stage,
    .stage_commit = ap_cloud_stage_commit,
    .stage_advance = ap_cloud_stage_advance,
    .stage_drop = ap_cloud_stage_drop,
    .close = ap_cloud_close,
};
