/* Commands of the swarm: start, nodes; submit, attach, result, cancel. */
#include "cli.h"
#include "document.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- start ---- */

static void host_name(char out[256])
{
    if (gethostname(out, 256) != 0 || out[0] == '\0') snprintf(out, 256, "node");
    out[255] = '\0';
}

/* Waits for SIGINT or SIGTERM, which are blocked in all threads. */
static int wait_for_signal(void)
{
    sigset_t set;
    int signal_number = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    while (sigwait(&set, &signal_number) != 0) continue;
    return signal_number;
}

/* start [STORAGE]: a node in the foreground. It leaves in good order on SIGINT and SIGTERM; a second
 * signal ends it at once. */
int command_start(const struct arguments *arguments)
{
    struct client client;
    struct apiary_error err = { 0 };
    char name[256];
    sigset_t stop, before;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, &before);
    int code = client_open(&client, arguments, true);
    if (code != 0) return code;
    if (arguments->name != NULL) snprintf(name, sizeof name, "%s", arguments->name);
    else host_name(name);
    if (apiary_node_start(client.handle, name, &err) != APIARY_OK) {
        code = tell_error(&err);
        client_close(&client);
        return code;
    }
    if (!client.quiet) {
        printf("Node %s has joined the swarm. Ctrl-C: finish what runs and leave.\n", name);
        fflush(stdout);
    }
    wait_for_signal();
    if (!client.quiet) {
        printf("Leaving: what runs is finished first.\n");
        fflush(stdout);
    }
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (apiary_node_stop(client.handle, &err) != APIARY_OK) code = tell_error(&err);
    else if (!client.quiet) printf("Node %s has left.\n", name);
    client_close(&client);
    return code;
}

static void show_nodes(yyjson_val *swarm)
{
    static const struct {
        const char *field, *title;
        int width; /* negative: to the left */
    } columns[] = { { "name", "node", -24 }, { "state", "state", -8 }, { "bees", "bees", 5 }, { "idle_bees", "idle", 5 },
        { "colony_temperature", "heat", 6 }, { "last_beat_ms", "beat_ms", 10 } };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    struct text text = { 0 };
    yyjson_val *node;
    size_t i, count;
    for (size_t c = 0; c < COLUMNS; c++) printf("%*s%s", columns[c].width, columns[c].title, c + 1 < COLUMNS ? " " : "\n");
    yyjson_arr_foreach(yyjson_obj_get(swarm, "nodes"), i, count, node)
        for (size_t c = 0; c < COLUMNS; c++)
            printf("%*s%s", columns[c].width, document_show(yyjson_obj_get(node, columns[c].field), &text), c + 1 < COLUMNS ? " " : "\n");
    text_done(&text);
}

int command_nodes(const struct arguments *arguments)
{
    struct client client;
    int code = client_open(&client, arguments, true);
    if (code != 0) return code;
    struct apiary_error err = { 0 };
    char *json = NULL;
    if (apiary_status(client.handle, "swarm", &json, &err) != APIARY_OK) code = tell_error(&err);
    else if (arguments->format == OUTPUT_JSON) printf("%s\n", json);
    else document_show_with(json, show_nodes);
    apiary_free(json);
    client_close(&client);
    return code;
}

/* ---- queries that outlive who asked ---- */

static int usage(const char *line)
{
    fprintf(stderr, "usage: apiary %s\n", line);
    return EXIT_USAGE;
}

int command_submit(const struct arguments *arguments)
{
    struct client client;
    struct apiary_error err = { 0 };
    char *query = NULL;
    if (arguments->word_count != 1) return usage("submit \"STATEMENT\" [--deadline SECONDS]");
    long long deadline = 0;
    if (arguments->deadline != NULL) {
        char *end = NULL;
        errno = 0;
        deadline = strtoll(arguments->deadline, &end, 10);
        if (errno != 0 || *end != '\0' || deadline <= 0) return usage("submit \"STATEMENT\" [--deadline SECONDS]");
    }
    int code = client_open(&client, arguments, false);
    if (code != 0) return code;
    const char *sql = arguments->words[0];
    if (apiary_submit(client.session, sql, strlen(sql), deadline, &query, &err) != APIARY_OK) code = tell_error(&err);
    else printf("%s\n", query);
    apiary_free(query);
    client_close(&client);
    return code;
}

static int fetch(const struct arguments *arguments, bool wait)
{
    struct client client;
    struct apiary_error err = { 0 };
    struct apiary_result *result = NULL;
    if (arguments->word_count != 1) return usage(wait ? "attach QUERY" : "result QUERY");
    int code = client_open(&client, arguments, false);
    if (code != 0) return code;
    if (apiary_attach(client.session, arguments->words[0], wait, &result, &err) != APIARY_OK) code = tell_error(&err);
    else {
        code = client_show(&client, result);
        apiary_result_close(result);
    }
    client_close(&client);
    return code;
}

int command_attach(const struct arguments *arguments)
{
    return fetch(arguments, true);
}

int command_result(const struct arguments *arguments)
{
    return fetch(arguments, false);
}

int command_replay(const struct arguments *arguments)
{
    struct client client;
    struct apiary_error err = { 0 };
    char *json = NULL;
    if (arguments->word_count != 1) return usage("replay QUERY");
    int code = client_open(&client, arguments, false);
    if (code != 0) return code;
    if (apiary_replay(client.session, arguments->words[0], &json, &err) != APIARY_OK) code = tell_error(&err);
    else {
        printf("%s\n", json);
        yyjson_doc *document = document_read(json);
        if (!yyjson_get_bool(yyjson_obj_get(yyjson_doc_get_root(document), "same"))) code = EXIT_FAILED_STATEMENT;
        yyjson_doc_free(document);
    }
    apiary_free(json);
    client_close(&client);
    return code;
}

int command_cancel(const struct arguments *arguments)
{
    struct client client;
    struct apiary_error err = { 0 };
    char *ended = NULL;
    if (arguments->word_count != 1) return usage("cancel QUERY");
    int code = client_open(&client, arguments, false);
    if (code != 0) return code;
    if (apiary_query_cancel(client.session, arguments->words[0], &ended, &err) != APIARY_OK) code = tell_error(&err);
    else if (strcmp(ended, "cancelled") == 0) printf("Cancelled.\n");
    else {
        fprintf(stderr, "Error (CONFLICT): the query had ended already: %s\n", ended);
        code = EXIT_FAILED_STATEMENT;
    }
    apiary_free(ended);
    client_close(&client);
    return code;
}
