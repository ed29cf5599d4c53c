/* Which version was the newest at a moment (delta.md, section 3).
 *
 * A commit's time is its inCommitTimestamp where the table has them, else its object's time, made
 * monotone: each at least a millisecond after the one before. */
#include "core/alloc.h"
#include "core/time.h"
#include "ledger/ledger_private.h"

#include <inttypes.h>

static enum apiary_code fail_too_old(int64_t time_ms, int64_t oldest_ms, struct apiary_error *err)
{
    char wanted[AP_TIME_TEXT_MAX], oldest[AP_TIME_TEXT_MAX];
    ap_timestamp_format(time_ms * 1000, ' ', 3, false, wanted);
    ap_timestamp_format(oldest_ms * 1000, ' ', 3, false, oldest);
    return ap_fail(err, APIARY_NOT_FOUND,
        "there is no version as old as %s UTC; the oldest that is left is of %s UTC", wanted,
        oldest);
}

struct info {
    int64_t in_commit_ms;
};

static enum apiary_code take_info(void *context, uint64_t version, struct ap_str body,
    const char *key, const struct ap_object *object, struct apiary_error *err)
{
    struct info *info = context;
    struct ap_action_reader reader = { 0 };
    struct ap_str line;
    enum apiary_code code = APIARY_OK;
    info->in_commit_ms = -1;
    while (code == APIARY_OK && ap_commit_next_line(&body, &line)) {
        if (ap_action_peek(line) != AP_ACTION_COMMIT_INFO) continue;
        struct ap_action action;
        code = ap_action_parse(&reader, line, &action, err);
        if (code == APIARY_OK) info->in_commit_ms = action.info.in_commit_timestamp_ms;
    }
    ap_action_reader_done(&reader);
    if (code == APIARY_OK && info->in_commit_ms < 0)
        return ap_fail(err, APIARY_CORRUPT, "%s: commitInfo has no inCommitTimestamp", key);
    return code;
}

/* Binary search by reading commits: in-commit times only grow. */
static enum apiary_code search_in_commit(struct ap_ledger *ledger,
    const struct ap_log_commit *commits, size_t count, int64_t time_ms, uint64_t *version,
    struct apiary_error *err)
{
    size_t low = 0, high = count; /* commits below low are not later than time_ms */
    struct info info = { -1 };
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct ap_log_visit visit = { take_info, &info };
        AP_TRY(ap_log_get_commits(&ledger->place, &commits[middle], 1, visit, err));
        if (info.in_commit_ms <= time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return fail_too_old(time_ms, info.in_commit_ms, err);
    *version = commits[low - 1].version;
    return APIARY_OK;
}

static enum apiary_code search_object_times(const struct ap_log_commit *commits, size_t count,
    int64_t time_ms, uint64_t *version, struct apiary_error *err)
{
    int64_t before_ms = INT64_MIN;
    size_t kept = 0;
    for (; kept < count; kept++) {
        int64_t ms = commits[kept].modified_us / 1000;
        if (kept && ms <= before_ms) ms = before_ms + 1;
        if (ms > time_ms) break;
        before_ms = ms;
    }
    if (kept == 0) return fail_too_old(time_ms, commits[0].modified_us / 1000, err);
    *version = commits[kept - 1].version;
    return APIARY_OK;
}

static int64_t number_property(
    const struct ap_snapshot *snapshot, const char *key, int64_t fallback)
{
    int64_t number;
    struct ap_str text = ap_snapshot_property(snapshot, key);
    return text.data && ap_str_to_i64(text, &number) ? number : fallback;
}

static enum apiary_code search(struct ap_ledger *ledger, const struct ap_snapshot *newest,
    const struct ap_log_commit *commits, size_t count, int64_t time_ms, uint64_t *version,
    struct apiary_error *err)
{
    struct ap_str enabled = ap_snapshot_property(newest, "delta.enableInCommitTimestamps");
    if (!enabled.data || !ap_str_equal_nocase(enabled, AP_STR("true")))
        return search_object_times(commits, count, time_ms, version, err);
    int64_t since = number_property(newest, "delta.inCommitTimestampEnablementVersion", 0);
    int64_t since_ms =
        number_property(newest, "delta.inCommitTimestampEnablementTimestamp", INT64_MIN);
    size_t first = 0;
    while (first < count && commits[first].version < (uint64_t)since) first++;
    if (time_ms < since_ms && first > 0)
        return search_object_times(commits, first, time_ms, version, err);
    return search_in_commit(ledger, commits + first, count - first, time_ms, version, err);
}

enum apiary_code ap_ledger_version_at(struct ap_ledger *ledger, const struct ap_snapshot *newest,
    int64_t time_ms, uint64_t *version, struct apiary_error *err)
{
    struct ap_log_commit *commits = NULL;
    size_t count = 0;
    AP_TRY(ap_log_list_commits(&ledger->place, AP_VERSION_NONE, &commits, &count, err));
    /* What came after the statement began does not count, and a log may have lost its beginning. */
    while (count && commits[count - 1].version > newest->version) count--;
    enum apiary_code code =
        count ? search(ledger, newest, commits, count, time_ms, version, err)
              : ap_fail(err, APIARY_NOT_FOUND, "the log has no commits to look up a time in");
    ap_free(commits);
    return code;
}
