/* A session and what it shows. Ctrl-C cancels the running statement, and with it the program, unless that is the shell; a
 * second one ends the program at once. */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static struct apiary_session *volatile running; /* for the signal handler */

static volatile sig_atomic_t interrupted;
static void (*volatile instead_of_ending)(void);

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (running != NULL) apiary_cancel(running);
    if (instead_of_ending != NULL) instead_of_ending();
    else if (interrupted) _exit(EXIT_INTERRUPTED);
    interrupted = 1;
}

void client_on_interrupt(void (*instead)(void))
{
    instead_of_ending = instead;
}

int tell_error(const struct apiary_error *err)
{
    fprintf(stderr, "Error (%s): %s\n", apiary_code_name(err->code), err->message);
    if (err->hint[0] != '\0') fprintf(stderr, "Hint: %s\n", err->hint);
    return err->code == APIARY_CANCELLED && interrupted ? EXIT_INTERRUPTED : EXIT_FAILED_STATEMENT;
}

static int terminal_width(void)
{
    struct winsize size = { 0 };
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

int client_open(struct client *client, const struct arguments *arguments, bool storage_word)
{
    struct apiary_error err = { 0 };
    memset(client, 0, sizeof *client);
    bool terminal = isatty(STDOUT_FILENO) == 1;
    client->output = (struct output) { .format = arguments->format, .file = stdout, .terminal = terminal, .width = terminal_width() };
    client->interactive = terminal && isatty(STDERR_FILENO) == 1;
    client->quiet = arguments->quiet;
    client->timing = arguments->timing;
    const char *storage = arguments->storage;
    if (storage == NULL && storage_word && arguments->word_count > 0) storage = arguments->words[0];
    if (apiary_open(storage, arguments->settings, arguments->setting_count, &client->handle, &err) != APIARY_OK) {
        tell_error(&err);
        return err.code == APIARY_CONFIG || err.code == APIARY_INVALID ? EXIT_USAGE : EXIT_FAILED_STATEMENT;
    }
    if (apiary_session_open(client->handle, &client->session, &err) != APIARY_OK) {
        apiary_close(client->handle);
        return tell_error(&err);
    }
    interrupted = 0;
    struct sigaction action = { .sa_handler = on_interrupt };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    running = client->session;
    return 0;
}

void client_close(struct client *client)
{
    running = NULL;
    apiary_session_close(client->session);
    apiary_close(client->handle);
    memset(client, 0, sizeof *client);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int show_rows(struct client *client, struct apiary_result *result, double started)
{
    struct apiary_error err = { 0 };
    struct ArrowArrayStream stream = { 0 };
    struct output_figures figures = { 0 };
    if (apiary_result_stream(result, &stream, &err) != APIARY_OK) return tell_error(&err);
    int code = output_rows(&client->output, &stream, &figures, &err);
    stream.release(&stream);
    if (code != 0) {
        struct apiary_error real = { 0 };
        if (apiary_result_error(result, &real) != APIARY_OK) err = real;
        return tell_error(&err);
    }
    client->rows = figures.rows;
    if (client->output.format == OUTPUT_TABLE && !client->quiet)
        fprintf(client->output.file, "%" PRId64 " row%s in %.3f s\n", figures.rows, figures.rows == 1 ? "" : "s", seconds() - started);
    return 0;
}

/* Rows, or the message of a statement that has none. */
static int show_result(struct client *client, struct apiary_result *result, double started)
{
    const char *message = apiary_result_message(result);
    if (apiary_result_has_rows(result)) return show_rows(client, result, started);
    if (*message != '\0' && !client->quiet) fprintf(client->output.format == OUTPUT_TABLE ? stdout : stderr, "%s\n", message);
    return 0;
}

int client_show(struct client *client, struct apiary_result *result)
{
    return show_result(client, result, seconds());
}

static int run_one(struct client *client, const char *sql, size_t length)
{
    struct apiary_error err = { 0 };
    struct apiary_query query = { .sql = sql, .length = length };
    struct apiary_result *result = NULL;
    double started = seconds();
    if (apiary_sql(client->session, &query, &result, &err) != APIARY_OK) return tell_error(&err);
    const char *notices = apiary_result_notices(result);
    while (*notices != '\0' && !client->quiet) {
        int line = (int)strcspn(notices, "\n");
        fprintf(stderr, "Notice: %.*s\n", line, notices);
        notices += line + (notices[line] == '\n');
    }
    int code = show_result(client, result, started);
    apiary_result_close(result);
    if (code == 0 && fflush(client->output.file) != 0) {
        fprintf(stderr, "Error (IO): cannot write the output: %s\n", strerror(errno));
        code = EXIT_FAILED_STATEMENT;
    }
    return code;
}

int client_run(struct client *client, const char *sql, size_t length)
{
    size_t position = 0, start = 0, end = 0;
    int complete = 0;
    while (apiary_next_statement(sql, length, &position, &start, &end, &complete)) {
        if (interrupted && instead_of_ending == NULL) return EXIT_INTERRUPTED; /* it came between two statements */
        double started = seconds();
        int code = run_one(client, sql + start, end - start);
        if (client->timing) fprintf(stderr, "Time: %.3f s\n", seconds() - started);
        if (code != 0) return code;
    }
    return 0;
}
