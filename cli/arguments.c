#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct option {
    const char *name, *letter;
    bool takes_value;
};
static const struct option options[] = { { "storage", "s", true }, { "set", NULL, true }, { "format", NULL, true }, { "file", "f", true },
    { "output", "o", true }, { "from", NULL, true }, { "partition-by", "p", true }, { "overwrite", NULL, false }, { "race", NULL, false },
    { "keep-names", NULL, false }, { "where", NULL, true }, { "retain", NULL, true }, { "dry-run", NULL, false }, { "quiet", "q", false }, { "timing", NULL, false }, { "help", "h", false },
    { "memory-limit", NULL, true }, { "bees", NULL, true }, { "log", NULL, true }, { "name", NULL, true }, { "deadline", NULL, true } };

static int usage(const char *command, const char *what, const char *word)
{
    fprintf(stderr, "apiary %s: %s %s (see: apiary help)\n", command, what, word);
    return EXIT_USAGE;
}

static const struct option *find(const char *word, size_t length)
{
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, word, length) == 0) return &options[i];
    return NULL;
}

static const struct option *find_letter(char letter)
{
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].letter != NULL && options[i].letter[0] == letter) return &options[i];
    return NULL;
}

static int add_setting(struct arguments *out, const char *command, const char *key, const char *value)
{
    if (out->setting_count == SETTINGS_MAX) return usage(command, "too many settings at", key);
    out->settings[out->setting_count++] = (struct apiary_setting) { key, value };
    return 0;
}

/* --set key=value: the text is cut in place, it lives as long as argv. */
static int set_option(struct arguments *out, const char *command, char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL) return usage(command, "--set wants key=value, not", text);
    *equals = '\0';
    return add_setting(out, command, text, equals + 1);
}

static int apply(struct arguments *out, const char *command, const struct option *option, char *value)
{
    const char *name = option->name;
    if (strcmp(name, "set") == 0) return set_option(out, command, value);
    if (strcmp(name, "memory-limit") == 0) return add_setting(out, command, "memory_limit", value);
    if (strcmp(name, "bees") == 0 || strcmp(name, "log") == 0) return add_setting(out, command, name, value);
    if (strcmp(name, "storage") == 0) out->storage = value;
    else if (strcmp(name, "file") == 0) out->file = value;
    else if (strcmp(name, "output") == 0) out->output = value;
    else if (strcmp(name, "name") == 0) out->name = value;
    else if (strcmp(name, "deadline") == 0) out->deadline = value;
    else if (strcmp(name, "from") == 0) out->input_format = value;
    else if (strcmp(name, "partition-by") == 0) out->partition_by = value;
    else if (strcmp(name, "overwrite") == 0) out->overwrite = true;
    else if (strcmp(name, "race") == 0) out->race = true;
    else if (strcmp(name, "keep-names") == 0) out->keep_names = true;
    else if (strcmp(name, "where") == 0) out->where = value;
    else if (strcmp(name, "retain") == 0) out->retain = value;
    else if (strcmp(name, "dry-run") == 0) out->dry_run = true;
    else if (strcmp(name, "quiet") == 0) out->quiet = true;
    else if (strcmp(name, "timing") == 0) out->timing = true;
    else if (strcmp(name, "help") == 0) out->help = true;
    else { /* format */
        if (!output_format_parse(value, &out->format)) {
            fprintf(stderr, "apiary %s: unknown format '%s': one of %s\n", command, value, output_format_words());
            return EXIT_USAGE;
        }
        out->format_given = true;
    }
    return 0;
}

int arguments_parse(struct arguments *out, int argc, char **argv)
{
    const char *command = argv[0];
    memset(out, 0, sizeof *out);
    out->words = calloc((size_t)argc + 1, sizeof *out->words);
    if (out->words == NULL) return usage(command, "out of memory at", "the arguments");
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i], *value = NULL;
        const struct option *option = NULL;
        if (only_words || word[0] != '-' || word[1] == '\0') {
            out->words[out->word_count++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_words = true;
            continue;
        }
        if (word[1] == '-') {
            size_t length = strcspn(word + 2, "=");
            option = find(word + 2, length);
            if (word[2 + length] == '=') value = word + 2 + length + 1;
        } else {
            option = find_letter(word[1]);
            if (option != NULL && option->takes_value && word[2] != '\0') value = word + 2;
            else if (word[2] != '\0') option = NULL;
        }
        if (option == NULL) return usage(command, "unknown option", word);
        if (!option->takes_value && value != NULL) return usage(command, "this option takes no value:", word);
        if (option->takes_value && value == NULL) {
            if (i + 1 == argc) return usage(command, "a value is missing after", word);
            value = argv[++i];
        }
        int code = apply(out, command, option, value);
        if (code != 0) return code;
    }
    return 0;
}

void arguments_done(struct arguments *arguments)
{
    free(arguments->words);
}
