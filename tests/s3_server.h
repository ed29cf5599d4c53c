/* The S3 server of the tests (contract/s3_server.py) as a child that ends with us. */
#ifndef AP_TESTS_S3_SERVER_H
#define AP_TESTS_S3_SERVER_H

#include "apiary_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>

/* Starts a server that prints its port and ends when its standard input does, so with us. Its port;
 * 0 when it cannot be started (no Python). */
static inline int test_server_start(const char *path)
{
    const char *source = getenv("APIARY_SOURCE_DIR");
    char script[600], *arguments[] = { script, NULL }, line[32];
    int to[2], from[2];
    pid_t child;
    posix_spawn_file_actions_t actions;
    snprintf(script, sizeof script, "%.400s/%.100s", source ? source : ".", path);
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) return 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    int failed = posix_spawnp(&child, script, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    ssize_t size = failed ? 0 : read(from[0], line, sizeof line - 1);
    close(from[0]);
    if (size <= 0) return 0;
    line[size] = 0;
    return (int)strtol(line, NULL, 10); /* to[1] stays open as long as we are there */
}

/* The S3 server's port; 0 when it cannot be started. Sets AWS_ACCESS_KEY_ID and _SECRET_. */
static inline int s3_server_start(void)
{
    static int port;
    if (port) return port;
    port = test_server_start("tests/contract/s3_server.py");
    if (!port) return 0;
    setenv("AWS_ACCESS_KEY_ID", "test", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    return port;
}

/* Asks the server itself; the body of the answer into `answer`. */
static inline void s3_server_ask(
    int port, const char *method, const char *path, const char *body, char *answer, size_t room)
{
    char request[900];
    struct sockaddr_in address = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int size = snprintf(request, sizeof request,
        "%s /-/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
        method, path, strlen(body), body);
    size_t have = 0;
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, request, (size_t)size), size);
    for (ssize_t got; have + 1 < room && (got = read(fd, answer + have, room - 1 - have)) > 0;)
        have += (size_t)got;
    assert_true(have > 0);
    answer[have] = 0;
    char *end = strstr(answer, "\r\n\r\n");
    if (end) memmove(answer, end + 4, strlen(end + 4) + 1);
    close(fd);
}

/* What becomes of the next requests: words as s3_server.py knows them, with blanks between. */
static inline void s3_server_faults(int port, const char *words)
{
    char answer[400];
    s3_server_ask(port, "PUT", "faults", words, answer, sizeof answer);
}

/* A number that GET /-/seen has under a name; 0 where it has none. */
static inline long s3_server_seen(int port, const char *name)
{
    char answer[4096], wanted[80];
    s3_server_ask(port, "GET", "seen", "", answer, sizeof answer);
    snprintf(wanted, sizeof wanted, "\"%s\": ", name);
    const char *at = strstr(answer, wanted);
    return at ? strtol(at + strlen(wanted), NULL, 10) : 0;
}

/* Whether GET /-/seen holds a text. */
static inline bool s3_server_saw(int port, const char *text)
{
    char answer[4096];
    s3_server_ask(port, "GET", "seen", "", answer, sizeof answer);
    return strstr(answer, text) != NULL;
}

#endif
