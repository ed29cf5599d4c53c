/* Every command but the shell. */
#include "cli.h"
#include "document.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_BYTES_MAX = 64 << 20, PARTITIONS_MAX = 16 };

/* Reads a whole file ("-": standard input). NULL after a line on stderr. */
static char *read_all(const char *path, size_t *size)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    char *data = NULL;
    size_t used = 0, room = 0;
    if (file == NULL) {
        perror(path);
        return NULL;
    }
    while (!feof(file) && !ferror(file) && used < FILE_BYTES_MAX) {
        if (room - used < 4096) {
            room = room == 0 ? 16384 : room * 2;
            char *more = realloc(data, room);
            if (more == NULL) break;
            data = more;
        }
        used += fread(data + used, 1, room - used, file);
    }
    bool bad = ferror(file) || !feof(file);
    if (bad) fprintf(stderr, "apiary: cannot read %s (or it is larger than %d MB)\n", path, FILE_BYTES_MAX >> 20);
    if (file != stdin) fclose(file);
    if (bad) {
        free(data);
        return NULL;
    }
    *size = used;
    return data;
}

/* Opens -o FILE; closed by the caller when it is not stdout. */
static FILE *open_output(const struct arguments *arguments)
{
    if (arguments->output == NULL || strcmp(arguments->output, "-") == 0) return stdout;
    FILE *file = fopen(arguments->output, "wb");
    if (file == NULL) perror(arguments->output);
    return file;
}

/* A query whose rows go into a Parquet file: COPY does that. */
static int run_to_parquet(struct client *client, const struct arguments *arguments, const char *sql, size_t size)
{
    size_t position = 0, start = 0, end = 0;
    int complete = 0;
    if (arguments->output == NULL) {
        fprintf(stderr, "apiary: --format parquet needs a file: -o FILE\n");
        return EXIT_USAGE;
    }
    if (!apiary_next_statement(sql, size, &position, &start, &end, &complete)) return 0;
    struct { char *data; size_t size; } copy = { 0 };
    copy.size = (end - start) + 2 * strlen(arguments->output) + 64;
    copy.data = malloc(copy.size);
    if (copy.data == NULL) return EXIT_FAILED_STATEMENT;
    size_t used = (size_t)snprintf(copy.data, copy.size, "COPY (%.*s) TO '", (int)(end - start), sql + start);
    for (const char *at = arguments->output; *at != '\0'; at++) {
        if (*at == '\'') copy.data[used++] = '\'';
        copy.data[used++] = *at;
    }
    used += (size_t)snprintf(copy.data + used, copy.size - used, "' (FORMAT parquet)");
    int code = client_run(client, copy.data, used);
    free(copy.data);
    return code;
}

int command_sql(const struct arguments *arguments)
{
    char *owned = NULL;
    const char *sql = NULL;
    size_t size = 0;
    if (arguments->file != NULL || arguments->word_count == 0 || strcmp(arguments->words[0], "-") == 0) {
        sql = owned = read_all(arguments->file != NULL ? arguments->file : "-", &size);
        if (owned == NULL) return EXIT_USAGE;
    } else {
        if (arguments->word_count > 1) {
            fprintf(stderr, "apiary sql: put the whole statement in quotes (found '%s' behind it)\n", arguments->words[1]);
            return EXIT_USAGE;
        }
        sql = arguments->words[0];
        size = strlen(sql);
    }
    struct client client;
    int code = client_open(&client, arguments, false);
    if (code == 0) {
        if (arguments->format == OUTPUT_PARQUET) code = run_to_parquet(&client, arguments, sql, size);
        else {
            client.output.file = open_output(arguments);
            code = client.output.file == NULL ? EXIT_FAILED_STATEMENT : client_run(&client, sql, size);
            if (client.output.file != NULL && client.output.file != stdout && fclose(client.output.file) != 0) {
                perror(arguments->output);
                code = EXIT_FAILED_STATEMENT;
            }
        }
        client_close(&client);
    }
    free(owned);
    return code;
}

/* ---- import, export ---- */

/* "a,b" cut in place. */
static size_t split(char *text, const char **parts, size_t most)
{
    size_t count = 0;
    while (text != NULL && *text != '\0' && count < most) {
        char *comma = strchr(text, ',');
        if (comma != NULL) *comma++ = '\0';
        parts[count++] = text;
        text = comma;
    }
    return count;
}

static void show_progress(void *context, double fraction, int64_t rows, int64_t bytes)
{
    (void)bytes;
    const struct client *client = context;
    if (!client->interactive || client->quiet) return;
    if (fraction >= 0) fprintf(stderr, "\r%3.0f %%  %lld rows ", fraction * 100, (long long)rows);
    else fprintf(stderr, "\r%lld rows ", (long long)rows);
    fflush(stderr);
}

/* The figures of the answer in one line for people. */
static void tell_import(const char *frame, const char *json)
{
    yyjson_doc *document = document_read(json);
    yyjson_val *done = yyjson_doc_get_root(document);
    double rows = document_number(done, "rows_written"), cells = document_number(done, "cells_written");
    document_tell_notices(done);
    printf("Imported %.0f row%s into %s: %.0f cell%s, %.1f MB, %.2f s.\n", rows, rows == 1 ? "" : "s", frame, cells, cells == 1 ? "" : "s",
        document_number(done, "bytes_written") / 1e6, document_number(done, "duration_ms") / 1000);
    yyjson_doc_free(document);
}

int command_import(const struct arguments *arguments)
{
    struct client client;
    struct apiary_error err = { 0 };
    const char *partitions[PARTITIONS_MAX];
    char *json = NULL;
    if (arguments->word_count < 2) {
        fprintf(stderr, "usage: apiary import FRAME FILE… [--partition-by COLUMN,…] [--from csv|json|jsonl|parquet] [--overwrite]\n");
        return EXIT_USAGE;
    }
    char *list = arguments->partition_by != NULL ? strdup(arguments->partition_by) : NULL;
    struct apiary_import_options options = { .format = arguments->input_format, .partition_by = partitions,
        .keep_names = arguments->keep_names, .overwrite = arguments->overwrite };
    if (list != NULL) options.partition_count = split(list, partitions, PARTITIONS_MAX);
    int code = client_open(&client, arguments, false);
    if (code == 0) {
        const char *frame = arguments->words[0];
        apiary_session_progress(client.session, show_progress, &client);
        int failed = apiary_import(client.session, frame, arguments->words + 1, arguments->word_count - 1, &options, &json, &err);
        if (client.interactive && !client.quiet) fprintf(stderr, "\r\033[K");
        if (failed != APIARY_OK) code = tell_error(&err);
        else if (arguments->format == OUTPUT_JSON || arguments->format == OUTPUT_JSONL) printf("%s\n", json);
        else if (!arguments->quiet) tell_import(frame, json);
        apiary_free(json);
        client_close(&client);
    }
    free(list);
    return code;
}

/* export FRAME-or-query FILE: by the file's ending, or --format. */
int command_export(const struct arguments *arguments)
{
    if (arguments->word_count != 2) {
        fprintf(stderr, "usage: apiary export FRAME|\"SELECT …\" FILE [--format csv|json|jsonl|markdown|arrow|parquet]\n");
        return EXIT_USAGE;
    }
    struct arguments out = *arguments;
    const char *what = arguments->words[0], *file = arguments->words[1], *dot = strrchr(file, '.');
    if (!out.format_given && (dot == NULL || !output_format_parse(dot + 1, &out.format))) {
        fprintf(stderr, "apiary export: cannot tell the format of '%s': say --format (%s)\n", file, output_format_words());
        return EXIT_USAGE;
    }
    bool query = strchr(what, ' ') != NULL;
    size_t room = strlen(what) + 32;
    char *sql = malloc(room);
    if (sql == NULL) return EXIT_FAILED_STATEMENT;
    snprintf(sql, room, query ? "%s" : "SELECT * FROM %s", what);
    const char *words[] = { sql };
    out.words = words;
    out.word_count = 1;
    out.output = file;
    out.file = NULL;
    int code = command_sql(&out);
    free(sql);
    return code;
}

/* ---- init, status, config ---- */

int command_init(const struct arguments *arguments)
{
    struct client client;
    int code = client_open(&client, arguments, true);
    if (code != 0) return code;
    static const char sql[] = "CREATE HIVE IF NOT EXISTS main";
    bool quiet = client.quiet;
    client.quiet = true;
    code = client_run(&client, sql, sizeof sql - 1);
    if (code == 0 && !quiet) printf("The store is ready: hive main, box main. Next: apiary import FRAME FILE\n");
    client_close(&client);
    return code;
}

/* Lines of key and value. */
static void print_flat(yyjson_val *object)
{
    struct text text = { 0 };
    yyjson_val *key, *value;
    size_t i, count;
    yyjson_obj_foreach(object, i, count, key, value)
        printf("%-20s %s\n", yyjson_get_str(key), document_show(value, &text));
    text_done(&text);
}

int print_status(const struct arguments *arguments, const char *what, bool storage_word)
{
    struct client client;
    struct apiary_error err = { 0 };
    char *json = NULL;
    int code = client_open(&client, arguments, storage_word);
    if (code != 0) return code;
    if (apiary_status(client.handle, what, &json, &err) != APIARY_OK) code = tell_error(&err);
    else if (arguments->format == OUTPUT_JSON || json[0] != '{') printf("%s\n", json);
    else document_show_with(json, print_flat);
    apiary_free(json);
    client_close(&client);
    return code;
}

int command_status(const struct arguments *arguments)
{
    return print_status(arguments, "status", true);
}

int command_config(const struct arguments *arguments)
{
    if (arguments->format == OUTPUT_JSON) return print_status(arguments, "config", true);
    struct client client;
    int code = client_open(&client, arguments, true);
    if (code != 0) return code;
    static const char sql[] = "SHOW SETTINGS";
    client.quiet = true;
    code = client_run(&client, sql, sizeof sql - 1);
    client_close(&client);
    return code;
}
