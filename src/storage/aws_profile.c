#include "storage/aws_profile.h"

#include "core/file.h"
#include "core/alloc.h"
#include "storage/aws_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20 };

void ap_wipe(struct ap_bytes *secret)
{
    if (secret->data) explicit_bzero(secret->data, secret->capacity);
    ap_bytes_done(secret);
}

void ap_aws_files_done(struct ap_aws_files *files)
{
    ap_wipe(&files->config);
    ap_wipe(&files->credentials);
}

static void place(const char *variable, const char *below_home, char out[PATH_MAX])
{
    const char *named = getenv(variable), *home = getenv("HOME");
    if (named && named[0] == '~' && named[1] == '/')
        snprintf(out, PATH_MAX, "%s%s", home ? home : "", named + 1);
    else if (named && *named)
        snprintf(out, PATH_MAX, "%s", named);
    else
        snprintf(out, PATH_MAX, "%s/%s", home ? home : "", below_home);
}

void ap_aws_file_paths(char config[PATH_MAX], char credentials[PATH_MAX])
{
    place("AWS_CONFIG_FILE", ".aws/config", config);
    place("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", credentials);
}

enum apiary_code ap_aws_files_read(struct ap_aws_files *files, struct apiary_error *err)
{
    bool there;
    char config[PATH_MAX], credentials[PATH_MAX];
    ap_aws_file_paths(config, credentials);
    AP_TRY(ap_file_read(config, FILE_MAX, &files->config, &there, err));
    return ap_file_read(credentials, FILE_MAX, &files->credentials, &there, err);
}

static struct ap_str next_line(struct ap_str *text)
{
    size_t end = ap_str_find(*text, AP_STR("\n"));
    struct ap_str line = { text->data, end == SIZE_MAX ? text->size : end };
    *text = end == SIZE_MAX ? (struct ap_str) { "", 0 }
                            : (struct ap_str) { text->data + end + 1, text->size - end - 1 };
    return line;
}

/* "[ kind  name ]" or "[name]", with blanks as people write them. */
static bool is_section(struct ap_str line, const char *kind, const char *name)
{
    size_t close = ap_str_find(line, AP_STR("]"));
    if (close == SIZE_MAX) return false;
    struct ap_str title = ap_str_trim((struct ap_str) { line.data + 1, close - 1 });
    if (kind) {
        size_t size = strlen(kind);
        if (!ap_str_starts_with(title, ap_str_from(kind)) || title.size <= size ||
            (title.data[size] != ' ' && title.data[size] != '\t'))
            return false;
        title = ap_str_trim((struct ap_str) { title.data + size, title.size - size });
    }
    if (title.size >= 2 && title.data[0] == '"' && title.data[title.size - 1] == '"')
        title = (struct ap_str) { title.data + 1, title.size - 2 };
    return ap_str_is(title, name);
}

/* The last value of that name in the sections of that title. Indented lines belong to nested
 * settings, which are none of ours. */
static bool find(
    struct ap_str text, const char *kind, const char *section, const char *name, struct ap_str *out)
{
    bool ours = false, found = false;
    while (text.size > 0) {
        struct ap_str whole = next_line(&text), line = ap_str_trim(whole);
        if (line.size == 0 || line.data[0] == '#' || line.data[0] == ';') continue;
        if (line.data[0] == '[') {
            ours = is_section(line, kind, section);
            continue;
        }
        size_t equals = ap_str_find(line, AP_STR("="));
        if (!ours || equals == SIZE_MAX || whole.data[0] == ' ' || whole.data[0] == '\t') continue;
        struct ap_str this = ap_str_trim((struct ap_str) { line.data, equals });
        if (!ap_str_equal_nocase(this, ap_str_from(name))) continue;
        *out = ap_str_trim((struct ap_str) { line.data + equals + 1, line.size - equals - 1 });
        found = out->size > 0;
    }
    return found;
}

bool ap_aws_files_value(
    const struct ap_aws_files *files, const char *profile, const char *name, struct ap_str *out)
{
    struct ap_str config = ap_bytes_view(&files->config);
    if (find(ap_bytes_view(&files->credentials), NULL, profile, name, out)) return true;
    if (find(config, "profile", profile, name, out)) return true;
    return strcmp(profile, "default") == 0 && find(config, NULL, profile, name, out);
}

bool ap_aws_files_session(
    const struct ap_aws_files *files, const char *session, const char *name, struct ap_str *out)
{
    return find(ap_bytes_view(&files->config), "sso-session", session, name, out);
}

const char *ap_aws_profile_default(void)
{
    const char *named = getenv("AWS_PROFILE");
    if (!named || !*named) named = getenv("AWS_DEFAULT_PROFILE");
    return named && *named ? named : "default";
}

bool ap_aws_profile_value(const char *profile, const char *name, struct ap_bytes *out)
{
    AP_AUTO(ap_aws_files) files = { 0 };
    struct ap_str value;
    if (!profile || !*profile) profile = ap_aws_profile_default();
    return ap_aws_files_read(&files, NULL) == APIARY_OK &&
           ap_aws_files_value(&files, profile, name, &value) &&
           ap_bytes_add_str(out, value, NULL) == APIARY_OK;
}
