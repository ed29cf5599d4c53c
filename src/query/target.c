#include "query/target.h"
#include "query/looks.h"
#include "query/temporary.h"

#include "core/alloc.h"

void ap_target_done(struct ap_target *target)
{
    ap_entry_done(&target->entry);
    ap_free(target->prefix);
    ap_snapshot_unref(target->base);
    memset(target, 0, sizeof *target);
}

static void whole_name(const struct ap_name3 *name, char *out, size_t size)
{
    snprintf(out, size, "%s.%s.%s", name->hive, name->box, name->frame);
}

/* Asks for the hive and the frame together. */
static void look(struct ap_world *world, const struct ap_name3 *name, int64_t since_us)
{
    AP_AUTO(ap_looks) looks = { 0 };
    ap_looks_begin(&looks, world, since_us);
    ap_looks_add(&looks, name);
    ap_looks_end(&looks);
}

static enum apiary_code take_base(
    struct ap_target *target, bool append, int64_t since_us, struct apiary_error *err)
{
    if (append) target->base = ap_ledger_recent(target->ledger);
    target->assumed = target->base != NULL;
    if (!target->assumed)
        AP_TRY(ap_ledger_snapshot_since(target->ledger, NULL, since_us, &target->base, err));
    AP_TRY(ap_snapshot_check_writable(target->base, err));
    target->metadata = target->base->metadata;
    return APIARY_OK;
}

static enum apiary_code open_existing(struct ap_session *session, const struct ap_name3 *name,
    bool append, struct ap_target *out, struct apiary_error *err)
{
    struct ap_world *world = session->world;
    int64_t since_us = ap_mono_us(world->env);
    AP_AUTO(ap_target) target = { 0 };
    if (!append && !ap_name_temporary(name)) look(world, name, since_us);
    AP_TRY(ap_session_find_since(session, name, since_us, &target.entry, err));
    whole_name(&target.entry.name, target.name, sizeof target.name);
    if (target.entry.kind == AP_ENTRY_VIEW)
        return ap_fail(err, APIARY_UNSUPPORTED, "%s is a view: rows go into frames", target.name);
    const char *prefix = NULL;
    AP_TRY(ap_frames_ledger(
        world->frames, &target.entry, &target.ledger, &target.store, &prefix, err));
    target.prefix = ap_strdup(prefix);
    if (target.prefix == NULL) return ap_fail_memory(err, "a frame");
    AP_TRY(take_base(&target, append, since_us, err));
    *out = AP_TAKE(target);
    return APIARY_OK;
}

enum apiary_code ap_target_open(struct ap_session *session, const struct ap_name3 *name,
    struct ap_target *out, struct apiary_error *err)
{
    return open_existing(session, name, false, out, err);
}

enum apiary_code ap_target_open_append(struct ap_session *session, const struct ap_name3 *name,
    struct ap_target *out, struct apiary_error *err)
{
    return open_existing(session, name, true, out, err);
}

enum apiary_code ap_target_renew(
    struct ap_session *session, struct ap_target *target, bool *moved, struct apiary_error *err)
{
    *moved = false;
    if (!target->assumed) return APIARY_OK;
    struct ap_snapshot *newest = NULL;
    AP_TRY(ap_ledger_snapshot_since(target->ledger, NULL, session->begun_us, &newest, err));
    *moved = newest->version != target->base->version;
    ap_snapshot_unref(target->base);
    target->base = newest;
    target->metadata = newest->metadata;
    target->assumed = false;
    return APIARY_OK;
}

/* May the failure come of a frame that was another one than was assumed? */
static bool may_be_mistaken(enum apiary_code code)
{
    return code != APIARY_OK && code != APIARY_UNCERTAIN && code != APIARY_CANCELLED;
}

bool ap_target_again(struct ap_session *session, struct ap_target *target, enum apiary_code code)
{
    bool moved = false;
    if (!target->assumed || !may_be_mistaken(code)) return false;
    if (ap_target_renew(session, target, &moved, NULL) != APIARY_OK || !moved) return false;
    ap_bytes_clear(&session->notices);
    return true;
}

/* Is anything of a log at this folder? */
static enum apiary_code folder_taken(
    struct ap_store *store, const char *prefix, bool *taken, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) log = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    AP_TRY(ap_bytes_printf(&log, err, "%s%s_delta_log/", prefix, prefix[0] != '\0' ? "/" : ""));
    AP_TRY(ap_store_list(store,
        &(struct ap_list_request) { .prefix = ap_bytes_text(&log), .limit = 1 }, &list, err));
    *taken = list.count > 0;
    return APIARY_OK;
}

static enum apiary_code open_place(
    struct ap_session *session, struct ap_target *target, struct apiary_error *err)
{
    const char *prefix = NULL;
    AP_TRY(ap_frames_ledger(session->world->frames, &target->entry, &target->ledger,
        &target->store, &prefix, err));
    target->prefix = ap_strdup(prefix);
    return target->prefix != NULL ? APIARY_OK : ap_fail_memory(err, "a frame");
}

static enum apiary_code choose_folder(struct ap_session *session, struct ap_target *target,
    const char *location, struct apiary_error *err)
{
    struct ap_world *world = session->world;
    bool taken = false;
    AP_AUTO(ap_bytes) place = { 0 };
    if (ap_name_temporary(&target->entry.name))
        return open_place(session, target, err); /* it came with the entry */
    target->entry.external = location != NULL;
    if (location != NULL)
        AP_TRY(ap_store_canonical(location, &place, err));
    else {
        AP_TRY(ap_catalog_place(world->catalog, &target->entry.name, false, &place, err));
        AP_TRY(folder_taken(world->store, ap_bytes_text(&place), &taken, err));
        if (taken) { /* a dropped frame's, or a stranger's: never adopted */
            ap_bytes_clear(&place);
            AP_TRY(ap_catalog_place(world->catalog, &target->entry.name, true, &place, err));
        }
    }
    AP_TRY(ap_bytes_take_text(&place, &target->entry.location, err));
    return open_place(session, target, err);
}

/* The entry of a frame to be: hive and box have to be there. */
static enum apiary_code new_entry(struct ap_session *session, const struct ap_name3 *name,
    struct ap_entry *out, struct apiary_error *err)
{
    struct ap_catalog *catalog = session->world->catalog;
    struct ap_name3 spelled = { 0 };
    if (ap_name_temporary(name)) return ap_temporary_new(session, name, out, err);
    AP_TRY(ap_name_check(AP_NAME_FRAME, ap_str_from(name->frame), err));
    AP_TRY(ap_catalog_refresh_since(catalog, name->hive, session->begun_us, err));
    AP_TRY(ap_catalog_spell(catalog, name->hive, name->box, &spelled, err));
    memcpy(spelled.frame, name->frame, sizeof name->frame);
    *out = (struct ap_entry) { .kind = AP_ENTRY_FRAME, .name = spelled };
    return APIARY_OK;
}

enum apiary_code ap_target_new(struct ap_session *session, const struct ap_name3 *name,
    const char *location, const struct ap_metadata *metadata, struct ap_target *out,
    struct apiary_error *err)
{
    AP_AUTO(ap_entry) there = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_TRY(new_entry(session, name, &target.entry, err));
    whole_name(&target.entry.name, target.name, sizeof target.name);
    bool taken = ap_name_temporary(name)
                     ? ap_temporary_has(session, name->frame)
                     : ap_catalog_find(session->world->catalog, &target.entry.name, &there, NULL) ==
                           APIARY_OK; /* new_entry has had a look at its newest state */
    if (taken)
        return ap_fail(err, APIARY_EXISTS, "%s %s exists already",
            there.kind == AP_ENTRY_VIEW ? "view" : "frame", target.name);
    AP_TRY(choose_folder(session, &target, location, err));
    target.metadata = *metadata;
    *out = AP_TAKE(target);
    return APIARY_OK;
}

/* Did another one write version 0 under this transaction? */
static enum apiary_code holds_txn(
    struct ap_ledger *ledger, const char *txn, bool *found, struct apiary_error *err)
{
    struct ap_snapshot *newest = NULL;
    *found = false;
    if (txn == NULL) return APIARY_OK;
    AP_TRY(ap_ledger_snapshot(ledger, NULL, &newest, err));
    for (size_t i = 0; i < newest->txn_count; i++) *found |= ap_str_is(newest->txns[i].app_id, txn);
    ap_snapshot_unref(newest);
    return APIARY_OK;
}

/* Was the frame at this place registered already? It may have been renamed or dropped since. */
static enum apiary_code is_registered(struct ap_session *session, const struct ap_target *target,
    bool *found, struct apiary_error *err)
{
    struct ap_catalog *catalog = session->world->catalog;
    const char *hive = target->entry.name.hive;
    AP_AUTO(ap_texts) boxes = { 0 };
    AP_TRY(ap_catalog_refresh(catalog, hive, err));
    AP_TRY(ap_catalog_boxes(catalog, hive, &boxes, err));
    for (size_t i = 0; i < boxes.count && !*found; i++) {
        AP_AUTO(ap_entries) entries = { 0 };
        AP_TRY(ap_catalog_entries(catalog, hive, boxes.items[i], true, &entries, err));
        for (size_t j = 0; j < entries.count; j++)
            *found |= entries.items[j].location != NULL &&
                      strcmp(entries.items[j].location, target->entry.location) == 0;
    }
    return APIARY_OK;
}

static enum apiary_code register_target(struct ap_session *session,
    const struct ap_target *target, bool again, struct apiary_error *err)
{
    struct ap_new_entry entry = {
        .kind = AP_ENTRY_FRAME,
        .name = &target->entry.name,
        .location = target->entry.location,
        .external = target->entry.external,
    };
    bool there = false;
    if (again) AP_TRY(is_registered(session, target, &there, err));
    if (there) return APIARY_OK;
    struct apiary_error why = { 0 };
    enum apiary_code code = ap_catalog_register(session->world->catalog, &entry, &why);
    if (code == APIARY_EXISTS && again) AP_TRY(is_registered(session, target, &there, err));
    if (there) return APIARY_OK;
    if (code != APIARY_OK && err != NULL) *err = why;
    return code;
}

enum apiary_code ap_target_create(struct ap_session *session, struct ap_target *target,
    const struct ap_new_cell *adds, size_t add_count, const char *operation, const char *txn,
    struct apiary_error *err)
{
    const struct ap_metadata *metadata = &target->metadata;
    struct ap_table_spec spec = {
        .schema = metadata->schema,
        .partition_by = metadata->partition_by,
        .partition_count = metadata->partition_count,
        .configuration = metadata->configuration,
        .configuration_count = metadata->configuration_count,
        .name = ap_str_from(target->entry.name.frame),
        .description = metadata->description,
    };
    struct ap_commit commit = {
        .spec = &spec,
        .adds = adds,
        .add_count = add_count,
        .data_change = true,
        .operation = operation,
        .txn_app_id = txn,
        .txn_version = 1,
        .cancel = &session->cancel,
    };
    uint64_t version = 0;
    struct apiary_error why = { 0 };
    enum apiary_code code = ap_ledger_commit(target->ledger, &commit, &version, NULL, &why);
    bool ours = false;
    if (code == APIARY_EXISTS) AP_TRY(holds_txn(target->ledger, txn, &ours, err));
    if (code != APIARY_OK && !ours) {
        if (err != NULL) *err = why;
        return code;
    }
    if (ap_name_temporary(&target->entry.name))
        return ap_temporary_add(session, &target->entry, err);
    return register_target(session, target, txn != NULL, err);
}

enum apiary_code ap_target_name(
    struct ap_session *session, const char *text, struct ap_name3 *out, struct apiary_error *err)
{
    AP_AUTO(ap_tokens) tokens = { 0 };
    struct ap_str parts[AP_NAME_PARTS_MAX];
    AP_AUTO(ap_texts) values = { 0 };
    size_t count = 0;
    AP_TRY(ap_lex(ap_str_from(text), &tokens, err));
    for (size_t i = 0; i < tokens.count && tokens.items[i].kind != AP_TOKEN_END; i++) {
        const struct ap_token *token = &tokens.items[i];
        bool dot = i % 2 == 1;
        bool name = token->kind == AP_TOKEN_WORD || token->kind == AP_TOKEN_QUOTED;
        if (dot ? !ap_token_is(token, ".") : !name || count == AP_NAME_PARTS_MAX)
            return ap_fail(
                err, APIARY_INVALID, "'%s' is no frame's name: write hive.box.frame", text);
        if (dot) continue;
        AP_AUTO(ap_bytes) value = { 0 };
        AP_TRY(ap_token_value(token, &value, err));
        AP_TRY(ap_texts_add(&values, ap_bytes_view(&value), err));
        count++;
    }
    if (count == 0 || tokens.count % 2 == 1)
        return ap_fail(err, APIARY_INVALID, "'%s' is no frame's name: write hive.box.frame", text);
    for (size_t i = 0; i < count; i++) {
        parts[i] = ap_str_from(values.items[i]);
        if (parts[i].size > AP_NAME_MAX)
            return ap_fail(err, APIARY_INVALID, "'%s' is too long for a name", values.items[i]);
    }
    snprintf(out->hive, sizeof out->hive, "%s", count == 3 ? parts[0].data : session->hive);
    snprintf(out->box, sizeof out->box, "%s", count >= 2 ? parts[count - 2].data : session->box);
    snprintf(out->frame, sizeof out->frame, "%s", parts[count - 1].data);
    if (count == 1 && ap_temporary_has(session, out->frame)) {
        snprintf(out->hive, sizeof out->hive, "temp");
        snprintf(out->box, sizeof out->box, "main");
    }
    return APIARY_OK;
}
