#include "query/files.h"
#include "query/file_list.h"
#include "query/remote_files.h"

#include "core/alloc.h"

#include <glob.h>
#include <sys/stat.h>

enum { FILES_MAX = 100000 };

static enum apiary_code expand_home(
    struct ap_str pattern, struct ap_bytes *out, struct apiary_error *err)
{
    const char *home = getenv("HOME");
    if (ap_str_starts_with(pattern, AP_STR("file://"))) {
        pattern.data += 7;
        pattern.size -= 7;
    }
    if (home != NULL && ap_str_starts_with(pattern, AP_STR("~/")))
        return ap_bytes_printf(
            out, err, "%s" AP_FMT, home, (int)pattern.size - 1, pattern.data + 1);
    return ap_bytes_add_str(out, pattern, err);
}

enum apiary_code ap_files_expand(
    struct ap_str pattern, struct ap_texts *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) path = { 0 };
    struct stat st;
    AP_TRY(expand_home(pattern, &path, err));
    if (stat(ap_bytes_text(&path), &st) == 0) return ap_texts_add(out, ap_bytes_view(&path), err);

    glob_t found = { 0 };
    int failed = glob(ap_bytes_text(&path), GLOB_MARK, NULL, &found);
    enum apiary_code code = APIARY_OK;
    if (failed != 0 && failed != GLOB_NOMATCH)
        code = ap_fail(err, APIARY_IO, "cannot look for files " AP_FMT, AP_ARG(pattern));
    if (found.gl_pathc > FILES_MAX)
        code = ap_fail(
            err, APIARY_LIMIT, AP_FMT " means more than %d files", AP_ARG(pattern), FILES_MAX);
    size_t before = out->count;
    for (size_t i = 0; code == APIARY_OK && failed == 0 && i < found.gl_pathc; i++) {
        struct ap_str name = ap_str_from(found.gl_pathv[i]);
        if (name.data[name.size - 1] != '/')
            code = ap_texts_add(out, name, err); /* folders are no files */
    }
    globfree(&found);
    if (code == APIARY_OK && out->count == before)
        return ap_fail(err, APIARY_NOT_FOUND, "there is no file " AP_FMT, AP_ARG(pattern));
    return code;
}

enum apiary_code ap_files_allow(struct ap_source *source, struct ap_str pattern, bool parquet,
    struct ap_texts *names, struct apiary_error *err)
{
    if (ap_files_remote(pattern)) return ap_remote_grant(source, pattern, parquet, names, err);
    AP_AUTO(ap_texts) paths = { 0 };
    AP_TRY(ap_files_expand(pattern, &paths, err));
    for (size_t i = 0; i < paths.count; i++) {
        AP_AUTO(ap_bytes) name = { 0 };
        size_t number = 0;
        struct ap_object object = { 0 };
        AP_TRY(ap_cell_set_add_file(source->cells, paths.items[i], &number, &object, &name, err));
        AP_TRY(ap_texts_add(names, ap_bytes_view(&name), err));
        struct ap_named_file file = { .name = ap_bytes_text(&name), .path = paths.items[i], .object = object };
        AP_TRY(ap_file_note(source, &file, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_files_list(
    const struct ap_texts *names, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "[", err));
    for (size_t i = 0; i < names->count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_string(out, ap_str_from(names->items[i]), err));
    }
    return ap_bytes_add_text(out, "]", err);
}

/* ['/files/0/a.csv', …], or the one name alone. */
static enum apiary_code grant_paths(struct ap_source *source, const struct ap_file_ref *file,
    bool parquet, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_texts) names = { 0 };
    for (size_t i = 0; i < file->path_count; i++)
        AP_TRY(ap_files_allow(source, file->paths[i], parquet, &names, err));
    if (names.count == 1) return ap_sql_string(out, ap_str_from(names.items[0]), err);
    return ap_files_list(&names, out, err);
}

/* The reader that the engine would choose by the name's ending. */
static const char *reader_of(struct ap_str path)
{
    if (ap_files_remote(path)) path = ap_remote_plain(path);
    static const struct {
        const char *ending, *reader;
    } readers[] = { { ".parquet", "read_parquet" }, { ".csv", "read_csv_auto" },
        { ".tsv", "read_csv_auto" }, { ".csv.gz", "read_csv_auto" }, { ".json", "read_json_auto" },
        { ".jsonl", "read_json_auto" }, { ".ndjson", "read_json_auto" },
        { ".json.gz", "read_json_auto" }, { ".txt", "read_csv_auto" } };
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (ap_str_ends_with(path, ap_str_from(readers[i].ending))) return readers[i].reader;
    return NULL;
}

/* FROM 'x.csv' or "x.csv": the quoted name becomes a call of the reader. */
static enum apiary_code splice_quoted(const struct ap_file_ref *file, const struct ap_token *token,
    struct ap_str list, struct ap_splice *splice, struct apiary_error *err)
{
    const char *reader = reader_of(file->paths[0]);
    if (reader == NULL)
        return ap_fail(err, APIARY_UNSUPPORTED,
            "cannot tell the format of " AP_FMT
            " by its name: use read_csv, read_parquet or read_json",
            AP_ARG(file->paths[0]));
    AP_AUTO(ap_bytes) call = { 0 };
    AP_TRY(ap_bytes_printf(&call, err, "%s(" AP_FMT ")", reader, AP_ARG(list)));
    return ap_splice_add(splice, token->offset, token->text.size, ap_bytes_view(&call), err);
}

/* read_csv('x.csv', …): the first argument. */
static enum apiary_code splice_argument(const struct ap_tokens *tokens, size_t name,
    struct ap_str list, struct ap_splice *splice, struct apiary_error *err)
{
    size_t at = name;
    while (tokens->items[at].kind != AP_TOKEN_END && !ap_token_is(&tokens->items[at], "(")) at++;
    size_t start = at + 1;
    if (tokens->items[at].kind == AP_TOKEN_END)
        return ap_fail(err, APIARY_INTERNAL, "a file function without arguments");
    int depth = tokens->items[start].depth;
    size_t end = start;
    while (tokens->items[end].kind != AP_TOKEN_END &&
           !(tokens->items[end].depth <= depth &&
               (ap_token_is(&tokens->items[end], ",") || ap_token_is(&tokens->items[end], ")"))))
        end++;
    size_t from = tokens->items[start].offset;
    size_t until = tokens->items[end - 1].offset + tokens->items[end - 1].text.size;
    return ap_splice_add(splice, from, until - from, list, err);
}

static enum apiary_code grant_one(struct ap_source *source, const struct ap_file_ref *file,
    const struct ap_tokens *tokens, struct ap_splice *splice, struct apiary_error *err)
{
    if (!file->constant)
        return ap_fail(err, APIARY_UNSUPPORTED, AP_FMT ": the path must be written out as a text",
            AP_ARG(file->function));
    size_t token = ap_token_at(tokens, file->query_location);
    if (token == SIZE_MAX)
        return ap_fail(err, APIARY_INTERNAL, "the statement's file cannot be found in its text");
    AP_AUTO(ap_bytes) list = { 0 };
    const char *reader = file->path_count > 0 ? reader_of(file->paths[0]) : NULL;
    bool parquet = file->function.size == 0
                       ? reader != NULL && strcmp(reader, "read_parquet") == 0
                       : ap_str_find(file->function, AP_STR("parquet")) != SIZE_MAX;
    AP_TRY(grant_paths(source, file, parquet, &list, err));
    if (file->function.size == 0)
        return splice_quoted(file, &tokens->items[token], ap_bytes_view(&list), splice, err);
    return splice_argument(tokens, token, ap_bytes_view(&list), splice, err);
}

enum apiary_code ap_files_grant(struct ap_source *source, const struct ap_tree_names *names,
    const struct ap_tokens *tokens, bool from_catalogue, struct ap_splice *splice,
    struct apiary_error *err)
{
    const struct ap_file_ref *first = &names->files[0];
    if (from_catalogue)
        return ap_fail(err, APIARY_DENIED,
            "a view of the catalogue may not read files (" AP_FMT ")",
            AP_ARG(first->path_count > 0 ? first->paths[0] : first->function));
    if (!ap_config_bool(&source->session->config, AP_CONFIG_local_files)) {
        ap_fail(err, APIARY_DENIED,
            "this statement reads files of the machine, which local_files = off forbids");
        return APIARY_DENIED;
    }
    for (size_t i = 0; i < names->file_count; i++)
        AP_TRY(grant_one(source, &names->files[i], tokens, splice, err));
    return ap_cell_set_fetch(source->cells, err);
}
