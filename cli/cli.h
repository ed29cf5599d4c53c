/* The command line: what the commands share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "output.h"

enum { EXIT_FINE = 0, EXIT_FAILED_STATEMENT = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130, SETTINGS_MAX = 64, WORDS_MAX = 4096 };

/* Arguments of one command, options and words apart. */
struct arguments {
    const char *storage;
    struct apiary_setting settings[SETTINGS_MAX]; /* --set key=value and the shorthands */
    size_t setting_count;
    enum output_format format;
    bool format_given;
    const char *file;          /* -f, --file */
    const char *output;        /* -o, --output */
    const char *input_format;  /* import --from */
    const char *name;          /* start --name */
    const char *deadline;      /* submit --deadline */
    const char *partition_by;  /* import --partition-by a,b */
    const char *where;         /* compact --where */
    const char *retain;        /* vacuum --retain: hours */
    bool race; /* doctor --race */
    bool overwrite, keep_names, dry_run, quiet, timing, help;
    const char **words;
    size_t word_count;
};
/* 0, or EXIT_USAGE after one line on stderr. argv[0] is the command. */
int arguments_parse(struct arguments *out, int argc, char **argv);
void arguments_done(struct arguments *arguments);

/* A store with one session; Ctrl-C cancels its statement. */
struct client {
    struct apiary *handle;
    struct apiary_session *session;
    struct output output;
    bool interactive; /* stdout and stderr are terminals */
    bool quiet;
    bool timing; /* how long every statement took, on stderr */
    int64_t rows; /* that the last query gave */
};
int client_open(struct client *client, const struct arguments *arguments, bool storage_word);
void client_close(struct client *client);

/* What Ctrl-C does instead of ending the program when it comes twice or between statements (the shell's; NULL: nothing).
 * Called in the signal's handler. */
void client_on_interrupt(void (*instead)(void));

/* Runs every statement of the text and shows what each gives. 0, EXIT_FAILED_STATEMENT or EXIT_INTERRUPTED (told on stderr). */
int client_run(struct client *client, const char *sql, size_t length);
/* Shows what a statement gave. 0 or EXIT_FAILED_STATEMENT. */
int client_show(struct client *client, struct apiary_result *result);
/* "Error: message" and the hint, on stderr. Returns EXIT_FAILED_STATEMENT, or EXIT_INTERRUPTED after a Ctrl-C. */
int tell_error(const struct apiary_error *err);

int command_sql(const struct arguments *arguments);
int command_shell(const struct arguments *arguments);
int command_import(const struct arguments *arguments);
int command_export(const struct arguments *arguments);
int command_init(const struct arguments *arguments);
int command_fsck(const struct arguments *arguments);
int command_vacuum(const struct arguments *arguments);
int command_compact(const struct arguments *arguments); /* keep.c */
int command_status(const struct arguments *arguments);
int command_config(const struct arguments *arguments);
int command_cache(const struct arguments *arguments);
int command_start(const struct arguments *arguments);
int command_nodes(const struct arguments *arguments);
int command_submit(const struct arguments *arguments);
int command_attach(const struct arguments *arguments);
int command_result(const struct arguments *arguments);
int command_cancel(const struct arguments *arguments);
int command_replay(const struct arguments *arguments);
int command_whoami(const struct arguments *arguments);
int command_doctor(const struct arguments *arguments);
int command_policy(const struct arguments *arguments);
int command_cp(const struct arguments *arguments);
int command_push(const struct arguments *arguments);

/* Shows a document of apiary_status: lines of key and value, or JSON. */
int print_status(const struct arguments *arguments, const char *what, bool storage_word);

#endif
