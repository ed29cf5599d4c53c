/* Commands that keep frames in shape: each is one statement. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { STATEMENT_MAX = 16384 };

static int run_statement(const struct arguments *arguments, const char *sql)
{
    struct client client;
    int code = client_open(&client, arguments, false);
    if (code != 0) return code;
    code = client_run(&client, sql, strlen(sql));
    client_close(&client);
    return code;
}

/* Room for the words of a statement; false after a line on stderr. */
static bool fits(const char *command, int size)
{
    if (size >= 0 && size < STATEMENT_MAX) return true;
    fprintf(stderr, "apiary %s: the arguments are too long\n", command);
    return false;
}

/* 0: all is well; 1: something was found, or the statement failed. */
int command_fsck(const struct arguments *arguments)
{
    char sql[STATEMENT_MAX];
    struct client client;
    if (arguments->word_count > 1) {
        fprintf(stderr, "usage: apiary fsck [FRAME]\n");
        return EXIT_USAGE;
    }
    int size = snprintf(sql, sizeof sql, "FSCK %s", arguments->word_count == 1 ? arguments->words[0] : "");
    if (!fits("fsck", size)) return EXIT_USAGE;
    int code = client_open(&client, arguments, false);
    if (code != 0) return code;
    code = client_run(&client, sql, strlen(sql));
    if (code == 0 && client.rows > 0) code = EXIT_FAILED_STATEMENT;
    client_close(&client);
    return code;
}

int command_vacuum(const struct arguments *arguments)
{
    char sql[STATEMENT_MAX];
    const char *hours = arguments->retain;
    if (arguments->word_count > 1 || (hours != NULL && (*hours == '\0' || strspn(hours, "0123456789.") != strlen(hours)))) {
        fprintf(stderr, "usage: apiary vacuum [FRAME] [--retain HOURS] [--dry-run]\n");
        return EXIT_USAGE;
    }
    int size = snprintf(sql, sizeof sql, "VACUUM %s%s%s%s%s", arguments->word_count == 1 ? arguments->words[0] : "",
        hours != NULL ? " RETAIN " : "", hours != NULL ? hours : "", hours != NULL ? " HOURS" : "",
        arguments->dry_run ? " DRY RUN" : "");
    return fits("vacuum", size) ? run_statement(arguments, sql) : EXIT_USAGE;
}

int command_compact(const struct arguments *arguments)
{
    char sql[STATEMENT_MAX];
    if (arguments->word_count != 1) {
        fprintf(stderr, "usage: apiary compact FRAME [--where CONDITION] [--dry-run]\n");
        return EXIT_USAGE;
    }
    const char *where = arguments->where != NULL ? arguments->where : "";
    int size = snprintf(sql, sizeof sql, "OPTIMIZE %s%s%s%s", arguments->words[0], *where != '\0' ? " WHERE " : "",
        where, arguments->dry_run ? " DRY RUN" : "");
    return fits("compact", size) ? run_statement(arguments, sql) : EXIT_USAGE;
}
