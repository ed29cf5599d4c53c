/* What SQL in a chamber tries and must not get: twice, from the engine as it is locked, and from an
 * engine whose lock is left open (bee_unlocked), where only the kernel stands in the way. */
#include "driver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { SQL_MAX = 2 * AP_TEST_PATH_MAX + 1024 };

static char secret[AP_TEST_PATH_MAX + 16]; /* a file that the chamber's user may read */
static char target[AP_TEST_PATH_MAX + 16]; /* a file that must not come to be */
static char port[16]; /* one that listens */

/* SECRET, TARGET and PORT stand for those above. */
static const struct attempt {
    const char *label, *sql;
    bool empty_is_fine; /* no row instead of an error */
} attempts[] = {
    { "read /etc/passwd", "SELECT * FROM read_text('/etc/passwd')" },
    { "read it as CSV", "SELECT * FROM read_csv('/etc/passwd', delim = ':')" },
    { "read a file of the user", "SELECT * FROM read_blob('SECRET')" },
    { "read it by a way round", "SELECT * FROM read_blob('/files/../SECRET')", true },
    { "list a folder", "SELECT * FROM glob('/etc/*')", true },
    { "list the root", "SELECT * FROM glob('/*')", true },
    { "the environment as a file", "SELECT * FROM read_text('/proc/self/environ')" },
    { "memory of its own", "SELECT * FROM read_blob('/proc/self/mem')" },
    { "what the node runs", "SELECT * FROM read_text('/proc/1/cmdline')" },
    { "the environment", "SELECT getenv('PATH') || 'x' AS v WHERE v IS NOT NULL", true },
    { "another frame's cell", "SELECT * FROM read_parquet('/cells/7/other.parquet')" },
    { "all cells", "SELECT * FROM read_parquet('/cells/*/*.parquet')" },
    { "the network", "SELECT * FROM read_csv('http://127.0.0.1:PORT/x.csv')" },
    { "the network as a bucket", "SELECT * FROM read_parquet('s3://bucket/x.parquet')" },
    { "install an extension", "INSTALL httpfs" },
    { "install it from elsewhere", "INSTALL httpfs FROM 'http://127.0.0.1:PORT'" },
    { "load an extension", "LOAD 'SECRET'" },
    { "write outside", "COPY (SELECT 1) TO 'TARGET'" },
    { "write outside as a database", "ATTACH 'TARGET' AS escape" },
    { "write over the secret", "COPY (SELECT 1) TO 'SECRET'" },
    { "spill elsewhere", "SET temp_directory = '/tmp'; " },
};

static void fill(char sql[SQL_MAX], const char *text)
{
    static const struct {
        const char *word, *value;
    } words[] = { { "SECRET", secret }, { "TARGET", target }, { "PORT", port } };
    size_t size = 0;
    while (*text && size < SQL_MAX - AP_TEST_PATH_MAX - 16) {
        size_t i = 0;
        while (i < AP_COUNT(words) && strncmp(text, words[i].word, strlen(words[i].word)) != 0) i++;
        if (i < AP_COUNT(words)) {
            size += (size_t)snprintf(sql + size, SQL_MAX - size, "%s", words[i].value);
            text += strlen(words[i].word);
        } else {
            sql[size++] = *text++;
        }
    }
    sql[size] = 0;
}

static void open_port(int *listener)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(*listener >= 0);
    assert_int_equal(bind(*listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(*listener, 8), 0);
    assert_int_equal(getsockname(*listener, (struct sockaddr *)&address, &size), 0);
    snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
}

static void attempt_all(const char *program, bool locked)
{
    struct driver driver;
    struct driver_options options = { .program = program, .lenient = true };
    int listener = -1;
    char folder[AP_TEST_PATH_MAX];
    ap_test_folder(folder);
    snprintf(secret, sizeof secret, "%s/secret.txt", folder);
    snprintf(target, sizeof target, "%s/target.db", folder);
    int fd = open(secret, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, "the secret\n", 11), 11);
    close(fd);
    open_port(&listener);
    driver_start(&driver, &options);
    if (!strstr(driver.ready, "\"seal\":\"full\"")) {
        print_message("this system cannot seal in full\n");
        driver_stop(&driver);
        skip();
    }
    for (size_t i = 0; i < AP_COUNT(attempts); i++) {
        const struct attempt *row = &attempts[i];
        if (strstr(row->sql, "SET ") && !locked) continue; /* without the lock it may: scratch is all
                                                             * that the kernel lets it write to */
        char sql[SQL_MAX];
        struct outcome out;
        fill(sql, row->sql);
        driver_run(&driver, NULL, &out, "{\"sql\":\"%s\",\"threads\":1,\"result\":\"json\"}", sql);
        bool nothing = out.done && row->empty_is_fine && strstr(out.body, "\"rows\":[]");
        if (out.done && !nothing) fail_msg("%s%s: gave %s", locked ? "" : "unlocked: ", row->label, out.body);
        if (!out.done && strstr(out.message, "the secret"))
            fail_msg("%s: the error tells it: %s", row->label, out.message);
        outcome_done(&out);
        if (driver_restart_if_gone(&driver, &options)) fail_msg("%s: the chamber died", row->label);
    }
    struct outcome last;
    driver_json(&driver, &last, "SELECT 1"); /* it lives and works */
    outcome_done(&last);
    driver_stop(&driver);
    assert_int_equal(accept(listener, NULL, NULL), -1); /* nobody ever called */
    assert_int_equal(access(target, F_OK), -1);
    char text[32] = "";
    fd = open(secret, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 11);
    close(fd);
    close(listener);
    ap_test_folder_remove(folder);
}

static void the_engine_refuses(void **state)
{
    (void)state;
    attempt_all(NULL, true);
}

static void the_kernel_refuses(void **state)
{
    (void)state;
    attempt_all("tests/bee/bee_unlocked", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_engine_refuses),
        cmocka_unit_test(the_kernel_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
