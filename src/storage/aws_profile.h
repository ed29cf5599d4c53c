/* The files of AWS profiles: ~/.aws/config and ~/.aws/credentials, or where AWS_CONFIG_FILE and
 * AWS_SHARED_CREDENTIALS_FILE say. They may hold secrets: wiped when done. */
#ifndef AP_STORAGE_AWS_PROFILE_H
#define AP_STORAGE_AWS_PROFILE_H

#include "core/str.h"

#include <limits.h>

struct ap_aws_files {
    struct ap_bytes config, credentials; /* their texts; empty when there is none */
};
void ap_aws_files_done(struct ap_aws_files *files);
/* codes: CONFIG (too large), IO, DENIED, MEMORY; that a file is missing is no failure */
AP_CHECKED enum apiary_code ap_aws_files_read(
    struct ap_aws_files *files, struct apiary_error *err);
/* A value of a profile, from the credentials file, else the config file. Borrowed from `files`. */
bool ap_aws_files_value(
    const struct ap_aws_files *files, const char *profile, const char *name, struct ap_str *out);
/* A value of a "[sso-session NAME]" of the config file. */
bool ap_aws_files_session(
    const struct ap_aws_files *files, const char *session, const char *name, struct ap_str *out);
void ap_aws_file_paths(char config[PATH_MAX], char credentials[PATH_MAX]);
/* The profile that is meant when none is named: AWS_PROFILE, else "default". */
const char *ap_aws_profile_default(void);

#endif
