/* apiary cache: what this machine keeps of remote cells. */
#include "cli.h"
#include "document.h"

#include <string.h>

static void show(yyjson_val *cache)
{
    const double mb = 1e6;
    struct text store = { 0 }, key = { 0 };
    double cells = document_number(cache, "cells");
    printf("%.0f cell%s, %.1f MB of at most %.1f MB, in %s\n", cells, cells == 1 ? "" : "s", document_number(cache, "bytes") / mb,
        document_number(cache, "limit") / mb, document_show(yyjson_obj_get(cache, "folder"), &store));
    yyjson_val *file;
    size_t i, count;
    yyjson_arr_foreach(yyjson_obj_get(cache, "files"), i, count, file)
        printf("%10.1f of %10.1f MB  %s  %s\n", document_number(file, "held") / mb, document_number(file, "size") / mb,
            document_show(yyjson_obj_get(file, "key"), &key), document_show(yyjson_obj_get(file, "store"), &store));
    text_done(&store);
    text_done(&key);
}

int command_cache(const struct arguments *arguments)
{
    struct client client;
    struct apiary_error err = { 0 };
    const char *word = arguments->word_count > 0 ? arguments->words[0] : "show";
    bool clear = strcmp(word, "clear") == 0;
    if (arguments->word_count > 1 || (!clear && strcmp(word, "show") != 0)) {
        fprintf(stderr, "usage: apiary cache [show|clear]\n");
        return EXIT_USAGE;
    }
    int code = client_open(&client, arguments, false);
    if (code != 0) return code;
    char *json = NULL;
    int64_t gone = 0;
    int failed = clear ? apiary_cache_clear(client.handle, &gone, &err) : apiary_status(client.handle, "cache", &json, &err);
    if (failed != APIARY_OK) code = tell_error(&err);
    else if (clear) printf("Removed %.1f MB.\n", (double)gone / 1e6);
    else if (arguments->format == OUTPUT_JSON) printf("%s\n", json);
    else document_show_with(json, show);
    apiary_free(json);
    client_close(&client);
    return code;
}
