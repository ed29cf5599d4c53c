/* Who we are to stores: each source of credentials against contract/identity_server.py, which knows
 * a right request from a wrong one; when they are found anew; what nobody may see. */
#include "apiary_test.h"

#include "core/time.h"
#include "fault_store.h"
#include "s3_server.h"
#include "storage/bearer.h"

#include <signal.h>
#include <sys/stat.h>

static char folder[AP_TEST_PATH_MAX];
static int port;

/* ---- a bare environment ---- */

static const char *const variables[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_SSO",
    "GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "CLOUDSDK_CONFIG", "GOOGLE_HMAC_KEY_ID",
    "GOOGLE_HMAC_SECRET", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "IDENTITY_ENDPOINT", "IDENTITY_HEADER",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy" };

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[AP_TEST_PATH_MAX + 100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* "@port" and "@folder" in a value. */
static void fill_in(const char *text, char *out, size_t room)
{
    size_t used = 0;
    while (*text && used + 1 < room) {
        if (strncmp(text, "@port", 5) == 0)
            used += (size_t)snprintf(out + used, room - used, "%d", port), text += 5;
        else if (strncmp(text, "@folder", 7) == 0)
            used += strlen(strncpy(out + used, folder, room - used - 1)), text += 7;
        else
            out[used++] = *text++;
        out[used] = 0;
    }
    assert_true(used < room);
    out[used] = 0;
}

/* "NAME=value;NAME=value" over a bare environment. */
static void set_environment(const char *settings)
{
    char one[600];
    for (size_t i = 0; i < AP_COUNT(variables); i++) unsetenv(variables[i]);
    setenv("HOME", folder, 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_CONFIG_FILE", "~/config", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "~/credentials", 1);
    fill_in("http://127.0.0.1:@port", one, sizeof one);
    setenv("AWS_ENDPOINT_URL_STS", one, 1);
    setenv("AWS_ENDPOINT_URL_SSO", one, 1);
    setenv("GCE_METADATA_HOST", "127.0.0.1:1", 1);
    setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1", 1);
    while (*settings) {
        char name[80];
        size_t size = strcspn(settings, ";"), equals = strcspn(settings, "=");
        char value[600];
        snprintf(name, sizeof name, "%.*s", (int)equals, settings);
        snprintf(value, sizeof value, "%.*s", (int)(size - equals - 1), settings + equals + 1);
        fill_in(value, one, sizeof one);
        setenv(name, one, 1);
        settings += size + (settings[size] == ';');
    }
}

static int set_up(void **state)
{
    char text[4096];
    (void)state;
    ap_test_folder(folder);
    char command[4 * AP_TEST_PATH_MAX];
    snprintf(command, sizeof command,
        "openssl genrsa -out %s/key.pem 2048 2>/dev/null && openssl rsa -in %s/key.pem -pubout "
        "-out "
        "%s/public.pem 2>/dev/null",
        folder, folder, folder);
    if (system(command) != 0) return -1;
    snprintf(text, sizeof text, "%s/public.pem", folder);
    setenv("IDENTITY_PUBLIC_KEY", text, 1);
    port = test_server_start("tests/contract/identity_server.py");
    if (!port) return -1;
    fill_in(
        "[default]\nregion = eu-west-3\n\n[profile role]\nrole_arn = arn:aws:iam::1:role/one\n"
        "source_profile = base\n\n[profile selfish]\nrole_arn = arn:aws:iam::1:role/self\n"
        "source_profile = selfish\naws_access_key_id = AKID-base-2\naws_secret_access_key = s\n"
        "[profile chain]\nrole_arn=arn:aws:iam::1:role/two\nsource_profile=nobody\n"
        "[profile circle]\nrole_arn=arn:a\nsource_profile=circle2\n[profile circle2]\n"
        "role_arn=arn:b\nsource_profile=circle\n"
        "[profile denied]\nrole_arn=arn:aws:iam::1:role/denied\nsource_profile=base\n"
        "[profile web]\nrole_arn=arn:aws:iam::1:role/w\nweb_identity_token_file=@folder/web-token\n"
        "[profile instance]\nrole_arn=arn:c\ncredential_source=Ec2InstanceMetadata\n"
        "[profile mfa]\nrole_arn=arn:d\nsource_profile=base\nmfa_serial=x\n"
        "[profile process]\ncredential_process = @folder/give 'a b' \"c d\"\n"
        "[profile broken]\ncredential_process = @folder/give fail\n"
        "[profile sso]\nsso_session = ours\nsso_account_id = 123456789012\nsso_role_name = reader\n"
        "[sso-session ours]\nsso_start_url = "
        "https://ours.awsapps.test/start\nsso_region=eu-west-3\n"
        "[profile sso-ended]\nsso_start_url=https://ended.test\nsso_region=eu-west-3\n"
        "sso_account_id=123456789012\nsso_role_name=reader\n"
        "[profile file]\ns3 =\n  aws_access_key_id = nested\nregion = us-west-2\n",
        text, sizeof text);
    write_file("config", text, 0600);
    write_file("credentials",
        "[base]\naws_access_key_id = AKID-base\naws_secret_access_key = planted-secret-base\n"
        "[file]\naws_access_key_id=AKID-file\naws_secret_access_key=planted-secret-file\n"
        "[bad]\naws_access_key_id=AKID bad\naws_secret_access_key=planted-secret-file\n",
        0600);
    write_file("web-token", "planted-web-token\n", 0600);
    write_file("federated", "planted-federated-token", 0600);
    write_file("container-token", "planted-container-authorization\n", 0600);
    write_file("give",
        "#!/bin/sh\n[ \"$1\" = fail ] && { echo planted-secret-process; exit 3; }\n"
        "[ \"$1\" = 'a b' ] && [ \"$2\" = 'c d' ] || exit 4\n"
        "echo '{\"Version\":1,\"AccessKeyId\":\"AKID-process\",\"SecretAccessKey\":"
        "\"planted-secret-process\"}'\n",
        0700);
    snprintf(text, sizeof text, "mkdir -p %s/.aws/sso/cache", folder);
    if (system(text) != 0) return -1;
    snprintf(command, sizeof command,
        "cd %s/.aws/sso/cache && echo '{\"accessToken\":\"planted-sso-token\",\"expiresAt\":"
        "\"2099-01-01T00:00:00Z\"}' > $(printf ours | sha1sum | cut -c1-40).json && echo "
        "'{\"accessToken\":\"planted-sso-token\",\"expiresAt\":\"2020-01-01T00:00:00Z\"}' > "
        "$(printf "
        "https://ended.test | sha1sum | cut -c1-40).json",
        folder);
    return system(command);
}

static int tear_down(void **state)
{
    (void)state;
    ap_test_folder_remove(folder);
    return 0;
}

/* Whatever is said: no secret is in it. */
static void assert_no_secret(const char *label, const struct apiary_error *err)
{
    assert_true_in(label, !strstr(err->message, "planted-") && !strstr(err->hint, "planted-"));
}

/* ---- AWS ---- */

static const struct {
    const char *label, *environment;
    enum apiary_code code;
    const char *access, *secret; /* how they begin; secret whole */
    const char *source;          /* or, of failures, a part of the message */
} aws[] = {
    { "environment", "AWS_ACCESS_KEY_ID=AKID-env;AWS_SECRET_ACCESS_KEY=planted-secret-env",
        APIARY_OK, "AKID-env", "planted-secret-env", "environment (AWS_ACCESS_KEY_ID)" },
    { "environment before profile",
        "AWS_ACCESS_KEY_ID=AKID-env;AWS_SECRET_ACCESS_KEY=planted-secret-env;AWS_PROFILE=file",
        APIARY_OK, "AKID-env", "planted-secret-env", "environment" },
    { "profile", "AWS_PROFILE=file", APIARY_OK, "AKID-file", "planted-secret-file",
        "profile 'file'" },
    { "profile with a blank in a key", "AWS_PROFILE=bad", APIARY_CONFIG, NULL, NULL,
        "holds a blank" },
    { "role", "AWS_PROFILE=role", APIARY_OK, "AKID-role-", "planted-secret-role",
        "profile 'role': role arn:aws:iam::1:role/one" },
    { "role with its own keys", "AWS_PROFILE=selfish", APIARY_OK, "AKID-role-",
        "planted-secret-role", "profile 'selfish': role" },
    { "role of nobody", "AWS_PROFILE=chain", APIARY_CONFIG, NULL, NULL,
        "source_profile 'nobody' of profile 'chain' has no credentials" },
    { "roles in a circle", "AWS_PROFILE=circle", APIARY_CONFIG, NULL, NULL, "name each other" },
    { "role denied", "AWS_PROFILE=denied", APIARY_DENIED, NULL, NULL,
        "cannot assume role arn:aws:iam::1:role/denied: HTTP 403 AccessDenied" },
    { "role with a second factor", "AWS_PROFILE=mfa", APIARY_UNSUPPORTED, NULL, NULL,
        "second factor" },
    { "role of the instance",
        "AWS_PROFILE=instance;AWS_EC2_METADATA_DISABLED=;AWS_EC2_METADATA_SERVICE_ENDPOINT=http://"
        "127.0.0.1:@port/",
        APIARY_DENIED, NULL, NULL, "cannot assume role arn:c" },
    { "web identity of a profile", "AWS_PROFILE=web", APIARY_OK, "AKID-web-", "planted-secret-web",
        "profile 'web': role" },
    { "web identity",
        "AWS_WEB_IDENTITY_TOKEN_FILE=@folder/web-token;AWS_ROLE_ARN=arn:aws:iam::1:role/pod",
        APIARY_OK, "AKID-web-", "planted-secret-web",
        "web identity: role arn:aws:iam::1:role/pod" },
    { "web identity without its file",
        "AWS_WEB_IDENTITY_TOKEN_FILE=@folder/no-token;AWS_ROLE_ARN=arn:x", APIARY_NOT_FOUND, NULL,
        NULL, "no-token" },
    { "process", "AWS_PROFILE=process", APIARY_OK, "AKID-process", "planted-secret-process",
        "profile 'process': credential_process" },
    { "process that fails", "AWS_PROFILE=broken", APIARY_CONFIG, NULL, NULL, "failed" },
    { "single sign-on", "AWS_PROFILE=sso", APIARY_OK, "AKID-sso-", "planted-secret-sso",
        "profile 'sso': single sign-on" },
    { "single sign-on that ended", "AWS_PROFILE=sso-ended", APIARY_CONFIG, NULL, NULL,
        "has ended" },
    { "container",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:@port/container;AWS_CONTAINER_"
        "AUTHORIZATION_TOKEN_FILE=@folder/container-token",
        APIARY_OK, "AKID-container-", "planted-secret-container", "container" },
    { "container without the token",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:@port/container", APIARY_DENIED, NULL,
        NULL, "the container's credential service answered HTTP 401" },
    { "container elsewhere", "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1.evil.test/c",
        APIARY_CONFIG, NULL, NULL, "must be https" },
    { "container elsewhere, behind a user",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:80@evil.test/c", APIARY_CONFIG, NULL, NULL, "must be https" },
    { "instance",
        "AWS_EC2_METADATA_DISABLED=;AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:@port",
        APIARY_OK, "AKID-instance-", "planted-secret-instance", "instance: role a-role" },
    { "nobody there",
        "AWS_EC2_METADATA_DISABLED=;AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1",
        APIARY_CONFIG, NULL, NULL, "no S3 credentials" },
    { "nothing", "", APIARY_CONFIG, NULL, NULL, "no S3 credentials" },
};

static void aws_sources(void **state)
{
    struct apiary_error err;
    struct ap_http *http = NULL;
    (void)state;
    set_environment("");
    assert_ok(ap_http_open(ap_env_system(), &http, &err));
    for (size_t i = 0; i < AP_COUNT(aws); i++) {
        const char *label = aws[i].label;
        struct ap_aws_identity *identity = NULL;
        struct ap_aws_options options = { .region = "eu-west-3" };
        AP_AUTO(ap_credentials) found = { 0 };
        set_environment(aws[i].environment);
        assert_ok(ap_aws_identity_open(ap_env_system(), http, &options, &identity, &err));
        ap_error_clear(&err);
        assert_code_in(label, ap_aws_identity_now(identity, &found, &err), aws[i].code);
        ap_aws_identity_close(identity);
        assert_no_secret(label, &err);
        if (aws[i].code != APIARY_OK) {
            if (!strstr(err.message, aws[i].source)) print_error("%s: %s\n", label, err.message);
            assert_true_in(label, strstr(err.message, aws[i].source) != NULL);
            continue;
        }
        assert_true_in(label,
            ap_str_starts_with(ap_bytes_view(&found.access_key), ap_str_from(aws[i].access)));
        assert_string_in(label, ap_bytes_text(&found.secret_key), aws[i].secret);
        assert_true_in(label, strstr(found.source, aws[i].source) == found.source);
        assert_true_in(label, !strstr(found.source, "planted-"));
    }
    ap_http_close(http);
}

/* Then nobody can wait for a child's end. */
static void a_host_may_ignore_its_children(void **state)
{
    static const struct {
        const char *environment;
        enum apiary_code code;
    } rows[] = { { "AWS_PROFILE=process", APIARY_OK }, { "AWS_PROFILE=broken", APIARY_CONFIG } };
    struct apiary_error err;
    struct ap_http *http = NULL;
    (void)state;
    set_environment("");
    assert_ok(ap_http_open(ap_env_system(), &http, &err));
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_aws_identity *identity = NULL;
        struct ap_aws_options options = { .region = "eu-west-3" };
        AP_AUTO(ap_credentials) found = { 0 };
        set_environment(rows[i].environment);
        assert_ok(ap_aws_identity_open(ap_env_system(), http, &options, &identity, &err));
        assert_code_in(
            rows[i].environment, ap_aws_identity_now(identity, &found, &err), rows[i].code);
        ap_aws_identity_close(identity);
    }
    signal(SIGCHLD, before);
    ap_http_close(http);
}

static void a_named_profile_is_what_counts(void **state)
{
    struct apiary_error err;
    struct ap_http *http = NULL;
    struct ap_aws_identity *identity = NULL;
    AP_AUTO(ap_credentials) found = { 0 };
    AP_AUTO(ap_bytes) region = { 0 };
    (void)state;
    set_environment("AWS_ACCESS_KEY_ID=AKID-env;AWS_SECRET_ACCESS_KEY=planted-secret-env");
    assert_ok(ap_http_open(ap_env_system(), &http, &err));
    struct ap_aws_options options = { .profile = "file" };
    assert_ok(ap_aws_identity_open(ap_env_system(), http, &options, &identity, &err));
    assert_ok(ap_aws_identity_now(identity, &found, &err));
    assert_string_equal(ap_bytes_text(&found.access_key), "AKID-file");
    ap_aws_identity_close(identity);
    options = (struct ap_aws_options) { .profile = "none" };
    assert_ok(ap_aws_identity_open(ap_env_system(), http, &options, &identity, &err));
    assert_code(ap_aws_identity_now(identity, &found, &err), APIARY_CONFIG);
    assert_non_null(strstr(err.message, "profile 'none' has no credentials"));
    ap_aws_identity_close(identity);
    options = (struct ap_aws_options) { .anonymous = true };
    assert_ok(ap_aws_identity_open(ap_env_system(), http, &options, &identity, &err));
    assert_ok(ap_aws_identity_now(identity, &found, &err));
    assert_int_equal(found.access_key.size, 0);
    ap_aws_identity_close(identity);
    assert_true(ap_aws_profile_value("file", "region", &region));
    assert_string_equal(ap_bytes_text(&region), "us-west-2"); /* what is indented is not ours */
    ap_http_close(http);
}

static long asked(const char *path)
{
    char answer[4096], wanted[80];
    s3_server_ask(port, "GET", "asked", "", answer, sizeof answer);
    snprintf(wanted, sizeof wanted, "\"%s\": ", path);
    const char *at = strstr(answer, wanted);
    return at ? strtol(at + strlen(wanted), NULL, 10) : 0;
}

static void set_lifetime(const char *seconds)
{
    char answer[400];
    s3_server_ask(port, "PUT", "lifetime", seconds, answer, sizeof answer);
}

/* Kept while they hold, found anew five minutes before they end. */
static void credentials_are_renewed(void **state)
{
    struct apiary_error err;
    struct ap_http *http = NULL;
    struct ap_aws_identity *identity = NULL;
    struct ap_aws_options options = { 0 };
    AP_AUTO(ap_credentials) found = { 0 };
    struct fault_env patient;
    (void)state;
    set_environment("AWS_PROFILE=role");
    fault_env_init(&patient);
    assert_ok(ap_http_open(&patient.env, &http, &err));
    assert_ok(ap_aws_identity_open(&patient.env, http, &options, &identity, &err));
    long before = asked("/");
    for (int i = 0; i < 5; i++) assert_ok(ap_aws_identity_now(identity, &found, &err));
    assert_int_equal(asked("/") - before, 1);
    patient.slept_us += 54 * 60 * AP_US_PER_SECOND;
    assert_ok(ap_aws_identity_now(identity, &found, &err));
    assert_int_equal(asked("/") - before, 1);
    patient.slept_us += 2 * 60 * AP_US_PER_SECOND; /* four minutes are left */
    AP_AUTO(ap_bytes) old = { 0 };
    assert_ok(ap_bytes_add_str(&old, ap_bytes_view(&found.access_key), &err));
    assert_ok(ap_aws_identity_now(identity, &found, &err));
    assert_int_equal(asked("/") - before, 2);
    assert_false(ap_str_equal(ap_bytes_view(&old), ap_bytes_view(&found.access_key)));
    /* The service is gone: what still holds is used, to its very end. */
    setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1", 1);
    assert_ok(ap_aws_identity_now(identity, &found, &err));
    patient.slept_us += 2 * 3600 * AP_US_PER_SECOND;
    assert_code(ap_aws_identity_now(identity, &found, &err), APIARY_IO);
    assert_no_secret("gone", &err);
    ap_aws_identity_close(identity);
    ap_http_close(http);
}

/* ---- Google and Azure ---- */

static const struct {
    const char *label, *environment;
    ap_bearer_find *find;
    enum apiary_code code;
    const char *token, *source; /* source: of failures a part of the message */
} bearers[] = {
    { "google: service account", "GOOGLE_APPLICATION_CREDENTIALS=@folder/robot.json",
        ap_google_find, APIARY_OK, "planted-token-google-robot",
        "service account robot@example.test" },
    { "google: another key", "GOOGLE_APPLICATION_CREDENTIALS=@folder/impostor.json", ap_google_find,
        APIARY_DENIED, NULL, "Google's token service answered HTTP 400 invalid_grant" },
    { "google: user", "GOOGLE_APPLICATION_CREDENTIALS=@folder/user.json", ap_google_find, APIARY_OK,
        "planted-token-google-user", "user credentials" },
    { "google: user's default file", "CLOUDSDK_CONFIG=@folder/gcloud", ap_google_find, APIARY_OK,
        "planted-token-google-user", "user credentials" },
    { "google: file that is not there", "GOOGLE_APPLICATION_CREDENTIALS=@folder/none.json",
        ap_google_find, APIARY_NOT_FOUND, NULL, "none.json" },
    { "google: another type", "GOOGLE_APPLICATION_CREDENTIALS=@folder/other.json", ap_google_find,
        APIARY_UNSUPPORTED, NULL, "type 'external_account'" },
    { "google: machine", "GCE_METADATA_HOST=127.0.0.1:@port", ap_google_find, APIARY_OK,
        "planted-token-google-machine", "service account of the machine" },
    { "google: nothing", "", ap_google_find, APIARY_CONFIG, NULL, "no Google credentials" },
    { "azure: principal",
        "AZURE_TENANT_ID=t;AZURE_CLIENT_ID=c;AZURE_CLIENT_SECRET=planted-client-secret;AZURE_"
        "AUTHORITY_HOST=http://127.0.0.1:@port",
        ap_azure_find, APIARY_OK, "planted-token-entra", "service principal, client c" },
    { "azure: wrong secret",
        "AZURE_TENANT_ID=t;AZURE_CLIENT_ID=c;AZURE_CLIENT_SECRET=planted-other;AZURE_AUTHORITY_"
        "HOST="
        "http://127.0.0.1:@port",
        ap_azure_find, APIARY_DENIED, NULL, "Entra ID answered HTTP 401 invalid_client" },
    { "azure: workload identity",
        "AZURE_TENANT_ID=t;AZURE_CLIENT_ID=c;AZURE_FEDERATED_TOKEN_FILE=@folder/federated;AZURE_"
        "AUTHORITY_HOST=http://127.0.0.1:@port/",
        ap_azure_find, APIARY_OK, "planted-token-entra", "workload identity, client c" },
    { "azure: app",
        "IDENTITY_ENDPOINT=http://127.0.0.1:@port/msi/"
        "token;IDENTITY_HEADER=planted-identity-header",
        ap_azure_find, APIARY_OK, "planted-token-azure-app", "managed identity of the app" },
    { "azure: machine", "AZURE_POD_IDENTITY_AUTHORITY_HOST=http://127.0.0.1:@port", ap_azure_find,
        APIARY_OK, "planted-token-azure-machine", "managed identity of the machine" },
    { "azure: nothing", "", ap_azure_find, APIARY_CONFIG, NULL, "no Azure credentials" },
};

static void write_google_files(void)
{
    char command[2000];
    static const char user[] =
        "{\"type\":\"authorized_user\",\"client_id\":\"i\",\"client_secret\":\"planted-x\","
        "\"refresh_token\":\"planted-refresh-token\",\"token_uri\":\"http://127.0.0.1:@port/google/"
        "token\"}";
    char text[1000];
    fill_in(user, text, sizeof text);
    assert_int_equal(
        (snprintf(command, sizeof command, "mkdir -p %s/gcloud", folder), system(command)), 0);
    write_file("user.json", text, 0600);
    write_file("gcloud/application_default_credentials.json", text, 0600);
    write_file("other.json", "{\"type\":\"external_account\"}", 0600);
    snprintf(command, sizeof command,
        "cd %s && openssl genrsa -out other.pem 2048 2>/dev/null && for n in key:robot "
        "other:impostor; "
        "do python3 -c 'import json,sys; print(json.dumps({\"type\":\"service_account\","
        "\"client_email\":\"robot@example.test\",\"private_key\":open(sys.argv[1]).read(),"
        "\"token_uri\":\"http://127.0.0.1:%d/google/token\"}))' ${n%%%%:*}.pem > ${n#*:}.json; "
        "done",
        folder, port);
    assert_int_equal(system(command), 0);
}

static void bearer_sources(void **state)
{
    struct apiary_error err;
    struct ap_http *http = NULL;
    (void)state;
    set_environment("");
    write_google_files();
    assert_ok(ap_http_open(ap_env_system(), &http, &err));
    for (size_t i = 0; i < AP_COUNT(bearers); i++) {
        const char *label = bearers[i].label;
        struct ap_bearer bearer = { 0 };
        AP_AUTO(ap_bytes) token = { 0 };
        char source[AP_SOURCE_MAX] = "";
        int64_t ends = 0;
        set_environment(bearers[i].environment);
        assert_ok(ap_bearer_init(&bearer, ap_env_system(), http, bearers[i].find, &err));
        ap_error_clear(&err);
        assert_code_in(label, ap_bearer_now(&bearer, &token, source, &ends, &err), bearers[i].code);
        ap_bearer_done(&bearer);
        assert_no_secret(label, &err);
        if (bearers[i].code != APIARY_OK) {
            if (!strstr(err.message, bearers[i].source))
                print_error("%s: %s\n", label, err.message);
            assert_true_in(label, strstr(err.message, bearers[i].source) != NULL);
            continue;
        }
        assert_string_in(label, ap_bytes_text(&token), bearers[i].token);
        assert_true_in(label, strstr(source, bearers[i].source) == source);
        assert_true_in(label, ends > ap_now_us(ap_env_system()) + 3500 * AP_US_PER_SECOND);
    }
    ap_http_close(http);
}

static void tokens_are_renewed(void **state)
{
    static const char path[] = "/metadata/identity/oauth2/token";
    struct apiary_error err;
    struct ap_http *http = NULL;
    struct ap_bearer bearer = { 0 };
    struct fault_env patient;
    AP_AUTO(ap_bytes) token = { 0 };
    (void)state;
    set_environment("AZURE_POD_IDENTITY_AUTHORITY_HOST=http://127.0.0.1:@port");
    fault_env_init(&patient);
    set_lifetime("3600");
    assert_ok(ap_http_open(&patient.env, &http, &err));
    assert_ok(ap_bearer_init(&bearer, &patient.env, http, ap_azure_find, &err));
    long before = asked(path);
    for (int i = 0; i < 3; i++) assert_ok(ap_bearer_now(&bearer, &token, NULL, NULL, &err));
    assert_int_equal(asked(path) - before, 1);
    patient.slept_us += 56 * 60 * AP_US_PER_SECOND;
    assert_ok(ap_bearer_now(&bearer, &token, NULL, NULL, &err));
    assert_int_equal(asked(path) - before, 2);
    patient.slept_us += 2 * AP_US_PER_SECOND;
    assert_true(ap_bearer_renew(&bearer)); /* a store refused it */
    assert_int_equal(asked(path) - before, 3);
    ap_bearer_done(&bearer);
    ap_http_close(http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aws_sources),
        cmocka_unit_test(a_host_may_ignore_its_children),
        cmocka_unit_test(a_named_profile_is_what_counts),
        cmocka_unit_test(credentials_are_renewed),
        cmocka_unit_test(bearer_sources),
        cmocka_unit_test(tokens_are_renewed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
