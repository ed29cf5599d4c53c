/* apiary: the command line. Exit codes: 0 success, 1 the statement failed, 2 wrong usage. */
#include "cli.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What the program knows of the store's credentials stays out of core dumps. With a limit of one byte the kernel writes no file, and
 * starts no program either where core_pattern names one (a limit of 0 does not count there). Should somebody lift it, a core holds no
 * memory. Chambers inherit both. */
static void keep_memory_out_of_cores(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < 1 ? limit.rlim_max : 1;
        (void)setrlimit(RLIMIT_CORE, &limit);
    }
    int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return; /* a kernel without it: the limit is left */
    ssize_t put = write(fd, "0", 1);
    (void)put;
    close(fd);
}

static const struct {
    const char *name;
    int (*run)(const struct arguments *arguments);
    const char *usage, *what;
} commands[] = {
    { "sql", command_sql, "sql \"STATEMENTS\" | -f FILE | -", "run statements and show what they give" },
    { "shell", command_shell, "shell [STORAGE]", "type statements; ';' ends one, Ctrl-C cancels it" },
    { "import", command_import, "import FRAME FILE… [--partition-by a,b]", "files into a frame, made when it is missing" },
    { "export", command_export, "export FRAME|\"SELECT …\" FILE", "a frame or a query into a file" },
    { "compact", command_compact, "compact FRAME [--where CONDITION] [--dry-run]", "small cells into large ones: the same rows, fewer files" },
    { "vacuum", command_vacuum, "vacuum [FRAME] [--retain HOURS] [--dry-run]", "delete what no version within the retention needs" },
    { "fsck", command_fsck, "fsck [FRAME]", "find every object that is missing or damaged; changes nothing" },
    { "init", command_init, "init [STORAGE]", "make a store ready" },
    { "status", command_status, "status [STORAGE]", "this machine, its bees and its store" },
    { "cache", command_cache, "cache [show|clear]", "what this machine keeps of cells in a remote store" },
    { "start", command_start, "start [STORAGE] [--name NAME]", "join the swarm of a store and work for it, until Ctrl-C" },
    { "nodes", command_nodes, "nodes [STORAGE]", "the nodes of the swarm" },
    { "submit", command_submit, "submit \"STATEMENT\" [--deadline SECONDS]", "hand a SELECT, INSERT, CREATE FRAME … AS, OPTIMIZE or COPY … FROM to the swarm; prints its id" },
    { "attach", command_attach, "attach QUERY", "wait for a submitted query and show its rows, or what it wrote" },
    { "result", command_result, "result QUERY", "the same of a submitted query that has ended" },
    { "replay", command_replay, "replay QUERY", "run a submitted query again over the same versions, and compare" },
    { "cancel", command_cancel, "cancel QUERY", "cancel a submitted query" },
    { "whoami", command_whoami, "whoami [STORAGE]", "whose rights the store goes by, and until when" },
    { "doctor", command_doctor, "doctor [STORAGE] [--race]", "try out what a store permits and promises" },
    { "policy", command_policy, "policy [ROLE]", "an access policy for a bucket: what one role needs and no more" },
    { "cp", command_cp, "cp FROM TO", "a whole store into another one" },
    { "push", command_push, "push TO", "this store into another one" },
    { "config", command_config, "config", "every setting, its value and where it came from" },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *file)
{
    fprintf(file, "Apiary %s: one SQL engine over shared open tables\n\nusage: apiary COMMAND [OPTIONS]\n\n", apiary_version());
    for (size_t i = 0; i < COMMANDS; i++) fprintf(file, "  %-40s %s\n", commands[i].usage, commands[i].what);
    fprintf(file, "  %-40s %s\n", "version", "the version");
    fprintf(file, "\noptions: --storage URI (or APIARY_STORAGE), --format WORD, -o FILE, --set KEY=VALUE,\n"
                  "         --memory-limit SIZE, --bees N, --quiet\nformats: %s\n", output_format_words());
}

/* The command nearest to a mistyped one: same letters but for one or two. */
static const char *nearest(const char *word)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strncmp(commands[i].name, word, 2) == 0) return commands[i].name;
    return NULL;
}

int main(int argc, char **argv)
{
    keep_memory_out_of_cores();
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "version") == 0 || strcmp(word, "--version") == 0) {
        printf("apiary %s\n", apiary_version());
        return 0;
    }
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help(stdout);
        return 0;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, word) != 0) continue;
        struct arguments arguments;
        int code = arguments_parse(&arguments, argc - 1, argv + 1);
        if (code == 0 && arguments.help) printf("usage: apiary %s\n%s\n", commands[i].usage, commands[i].what);
        else if (code == 0) code = commands[i].run(&arguments);
        arguments_done(&arguments);
        return code;
    }
    const char *near = nearest(word);
    fprintf(stderr, "apiary: there is no command '%s'", word);
    if (near != NULL) fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, " (see: apiary help)\n");
    return EXIT_USAGE;
}
