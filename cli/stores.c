/* Commands about stores themselves: whoami, doctor, policy, cp, push. */
#include "cli.h"
#include "value.h"

#include <stdlib.h>
#include <string.h>

enum { RACERS = 32 };

int command_whoami(const struct arguments *arguments)
{
    return print_status(arguments, "whoami", true);
}

/* ---- doctor ---- */

static void show_finding(void *context, const char *check, const char *health, const char *detail, const char *next)
{
    const struct arguments *arguments = context;
    if (arguments->format == OUTPUT_JSON || arguments->format == OUTPUT_JSONL) {
        const char *const parts[] = { "check", check, "health", health, "detail", detail, "next", next };
        struct text line = { 0 };
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            text_add(&line, i == 0 ? "{" : i % 2 == 0 ? "," : ":", 1);
            json_quote(&line, parts[i], strlen(parts[i]));
        }
        printf("%.*s}\n", (int)line.size, line.data);
        text_done(&line);
    } else {
        printf("%-8s %-16s %s\n", health, check, detail);
        if (next[0] != '\0') printf("%-8s %-16s → %s\n", "", "", next);
    }
    fflush(stdout);
}

int command_doctor(const struct arguments *arguments)
{
    struct client client;
    struct apiary_error err = { 0 };
    int bad = 0, code = client_open(&client, arguments, true);
    if (code != 0) return code;
    if (apiary_doctor(client.handle, arguments->race ? RACERS : 0, show_finding, (void *)arguments, &bad, &err) != APIARY_OK) code = tell_error(&err);
    else if (bad > 0) {
        if (!arguments->quiet) fprintf(stderr, "%d check%s failed.\n", bad, bad == 1 ? "" : "s");
        code = EXIT_FAILED_STATEMENT;
    }
    client_close(&client);
    return code;
}

/* policy [ROLE]: without one, what roles there are */
int command_policy(const struct arguments *arguments)
{
    struct client client;
    struct apiary_error err = { 0 };
    char *text = NULL;
    if (arguments->word_count > 1) {
        fprintf(stderr, "usage: apiary policy [ROLE] --storage URI\n");
        return EXIT_USAGE;
    }
    int code = client_open(&client, arguments, false);
    if (code != 0) return code;
    if (apiary_policy(client.handle, arguments->word_count == 1 ? arguments->words[0] : NULL, &text, &err) != APIARY_OK) {
        tell_error(&err);
        code = err.code == APIARY_INVALID ? EXIT_USAGE : EXIT_FAILED_STATEMENT;
    } else fputs(text, stdout);
    apiary_free(text);
    client_close(&client);
    return code;
}

/* ---- cp, push ---- */

struct copy_totals {
    struct client *client;
    uint64_t objects_done, objects, bytes_done;
};

static void show_copy(void *context, uint64_t objects_done, uint64_t objects, uint64_t bytes_done, uint64_t bytes)
{
    struct copy_totals *totals = context;
    totals->objects_done = objects_done;
    totals->objects = objects;
    totals->bytes_done = bytes_done;
    if (!totals->client->interactive || totals->client->quiet) return;
    fprintf(stderr, "\r%llu of %llu objects, %.1f of %.1f MB ", (unsigned long long)objects_done, (unsigned long long)objects,
        (double)bytes_done / 1e6, (double)bytes / 1e6);
    fflush(stderr);
}

static int copy_to(const struct arguments *arguments, const char *to)
{
    struct client client;
    struct apiary_error err = { 0 };
    char *json = NULL;
    int code = client_open(&client, arguments, false);
    if (code != 0) return code;
    struct copy_totals totals = { .client = &client };
    int failed = apiary_copy(client.handle, to, show_copy, &totals, &json, &err);
    if (client.interactive && !client.quiet) fprintf(stderr, "\r\033[K");
    if (failed != APIARY_OK) {
        if (totals.objects_done > 0 && !arguments->quiet)
            fprintf(stderr, "%llu of %llu objects are there; run it again and it goes on.\n", (unsigned long long)totals.objects_done,
                (unsigned long long)totals.objects);
        code = tell_error(&err);
    } else if (arguments->format == OUTPUT_JSON || arguments->format == OUTPUT_JSONL) printf("%s\n", json);
    else if (!arguments->quiet && totals.objects == 0) printf("Everything is there already.\n");
    else if (!arguments->quiet)
        printf("Copied to %s: %llu objects, %.1f MB moved.\n", to, (unsigned long long)totals.objects_done, (double)totals.bytes_done / 1e6);
    apiary_free(json);
    client_close(&client);
    return code;
}

/* cp FROM TO */
int command_cp(const struct arguments *arguments)
{
    if (arguments->word_count != 2) {
        fprintf(stderr, "usage: apiary cp FROM TO (two stores: directories or URIs)\n");
        return EXIT_USAGE;
    }
    struct arguments from = *arguments;
    from.storage = arguments->words[0];
    return copy_to(&from, arguments->words[1]);
}

/* push TO: the store of --storage, or of the settings */
int command_push(const struct arguments *arguments)
{
    if (arguments->word_count != 1) {
        fprintf(stderr, "usage: apiary push TO [--storage FROM]\n");
        return EXIT_USAGE;
    }
    return copy_to(arguments, arguments->words[0]);
}
