/* The shell: lines until ';', history, Ctrl-C gives up the line or cancels the query. */
#include "cli.h"
#include "value.h"

#include <editline/readline.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HISTORY_LINES = 1000 };

/* $XDG_STATE_HOME/apiary/history; "" when the user has no home. Makes its folders. */
static void history_file(char *out, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    out[0] = '\0';
    if (state != NULL && state[0] == '/') snprintf(out, size, "%s/apiary/history", state);
    else if (home != NULL) snprintf(out, size, "%s/.local/state/apiary/history", home);
    for (char *slash = out[0] != '\0' ? strchr(out + 1, '/') : NULL; slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(out, 0700);
        *slash = '/';
    }
}

/* Has the text a statement that ends with ';'? */
static bool is_complete(const char *sql, size_t size)
{
    size_t position = 0, start = 0, end = 0;
    int ended = 0, complete = 0; /* the call that finds none says nothing about the last one */
    while (apiary_next_statement(sql, size, &position, &start, &end, &ended)) complete = ended;
    return complete != 0;
}

static int command_dot(struct client *client, const char *line)
{
    static const char help[] = ".help            this text\n.quit            leave (also: quit, exit, Ctrl-D)\n"
                               ".format WORD     table, csv, json, jsonl, markdown\n"
                               ".timing          say how long every statement takes, or not\n"
                               "Statements end with ';'. SHOW FRAMES; DESCRIBE frame; USE hive.box;\n";
    if (strncmp(line, ".format ", 8) == 0 && output_format_parse(line + 8, &client->output.format)) return 0;
    if (strcmp(line, ".timing") == 0) {
        client->timing = !client->timing;
        return 0;
    }
    if (strcmp(line, ".help") == 0) fputs(help, stdout);
    else fprintf(stderr, "unknown command %s (.help lists them)\n", line);
    return 0;
}

static bool leaves(const char *line)
{
    return strcmp(line, ".quit") == 0 || strcmp(line, ".exit") == 0 || strcmp(line, "quit") == 0 || strcmp(line, "exit") == 0
        || strcmp(line, "quit;") == 0 || strcmp(line, "exit;") == 0;
}

/* Ctrl-C at the prompt: what was typed of a statement is given up. */
static sigjmp_buf prompt;
static volatile sig_atomic_t at_prompt;

static void on_interrupt(void)
{
    if (at_prompt) siglongjmp(prompt, 1);
}

/* NULL at the end. *given_up: Ctrl-C. */
static char *read_line(const char *text, bool *given_up)
{
    *given_up = sigsetjmp(prompt, 1) != 0;
    if (*given_up) {
        at_prompt = 0;
        fputs("^C\n", stdout);
        return NULL;
    }
    at_prompt = 1;
    char *line = readline(text);
    at_prompt = 0;
    return line;
}

/* A Ctrl-D typed before the line editor has the terminal, while a query runs say, reaches it as a NUL, which it would take
 * for "quote the next key". It means what it means at the prompt. */
static int early_end(int count, int key)
{
    (void)count;
    (void)key;
    if (rl_end == 0) rl_done = 1;
    return 0;
}

/* The line editor binds the terminal's special keys anew for every line, those the terminal lacks, which are NUL, too. */
static int bind_early_end(void)
{
    char command[] = "bind ^@ early-end"; /* it is written to */
    return rl_parse_and_bind(command);
}

static void loop(struct client *client)
{
    struct text sql = { 0 };
    for (;;) {
        bool given_up = false;
        char *line = read_line(sql.size == 0 ? "apiary> " : "   ...> ", &given_up);
        if (given_up) {
            text_clear(&sql);
            continue;
        }
        if (line == NULL) break;
        if (sql.size == 0 && leaves(line)) {
            free(line);
            break;
        }
        if (line[0] != '\0') add_history(line);
        if (sql.size == 0 && line[0] == '.') command_dot(client, line);
        else {
            text_puts(&sql, line);
            text_add(&sql, "\n", 1);
            if (is_complete(sql.data, sql.size)) {
                client_run(client, sql.data, sql.size);
                text_clear(&sql);
            }
        }
        free(line);
    }
    if (sql.size > 0 && strspn(sql.data, " \n\t") < sql.size) client_run(client, sql.data, sql.size);
    text_done(&sql);
}

int command_shell(const struct arguments *arguments)
{
    struct client client;
    int code = client_open(&client, arguments, true);
    if (code != 0) return code;
    char history[4096];
    if (!isatty(STDIN_FILENO)) { /* a script on standard input */
        struct arguments script = *arguments;
        client_close(&client);
        if (script.storage == NULL && script.word_count > 0) script.storage = script.words[0];
        script.word_count = 0;
        return command_sql(&script);
    }
    history_file(history, sizeof history);
    rl_initialize();
    rl_add_defun("early-end", early_end, '\0');
    rl_pre_input_hook = bind_early_end;
    using_history();
    stifle_history(HISTORY_LINES);
    if (history[0] != '\0') read_history(history);
    printf("Apiary %s. Statements end with ';', .help helps.\n", apiary_version());
    client_on_interrupt(on_interrupt);
    loop(&client);
    client_on_interrupt(NULL);
    if (history[0] != '\0') write_history(history);
    client_close(&client);
    return 0;
}
