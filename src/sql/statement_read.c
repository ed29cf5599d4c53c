#include "sql/statement_private.h"

#include "core/alloc.h"
#include "sql/keywords.h"

static const char column_name[] = "the name of a column";

static bool token_in(const struct ap_token *token, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ap_token_is(token, words[i])) return true;
    return false;
}

const struct ap_token *ap_reader_peek(const struct ap_reader *reader, size_t ahead)
{
    size_t last = reader->tokens.count - 1;
    return &reader->tokens.items[reader->at + ahead < last ? reader->at + ahead : last];
}

/* The number of words, when they come next; else 0. */
static size_t words_next(const struct ap_reader *reader, const char *words)
{
    size_t count = 0;
    while (*words) {
        size_t length = strcspn(words, " ");
        const struct ap_token *token = ap_reader_peek(reader, count);
        if (token->kind != AP_TOKEN_WORD && token->kind != AP_TOKEN_PUNCTUATION) return 0;
        if (!ap_str_equal_nocase(token->text, (struct ap_str) { words, length })) return 0;
        count++;
        words += length + (words[length] == ' ');
    }
    return count;
}

bool ap_reader_is(const struct ap_reader *reader, const char *words)
{
    return words_next(reader, words) > 0;
}

bool ap_reader_accept(struct ap_reader *reader, const char *words)
{
    size_t count = words_next(reader, words);
    reader->at += count;
    return count > 0;
}

bool ap_reader_at_end(const struct ap_reader *reader)
{
    return ap_reader_peek(reader, 0)->kind == AP_TOKEN_END;
}

bool ap_reader_is_name(const struct ap_reader *reader, size_t ahead)
{
    const struct ap_token *token = ap_reader_peek(reader, ahead);
    if (token->kind == AP_TOKEN_QUOTED) return true;
    if (token->kind != AP_TOKEN_WORD) return false;
    return !ap_word_is_reserved(token->text);
}

/* At most 40 bytes, never half a character. */
static struct ap_str shown(struct ap_str text)
{
    enum { SHOWN_MAX = 40 };
    if (text.size <= SHOWN_MAX) return text;
    text.size = SHOWN_MAX;
    while (text.size && ((unsigned char)text.data[text.size] & 0xC0) == 0x80) text.size--;
    return text;
}

static const struct ap_token *token_before(const struct ap_reader *reader)
{
    return &reader->tokens.items[reader->at - 1];
}

/* The words before the next token, as the user wrote them: "CREATE FRAME IF NOT EXISTS". */
static struct ap_str words_before(const struct ap_reader *reader)
{
    enum { WORDS_MAX = 5 };
    if (reader->at == 0) return AP_STR("");
    const struct ap_token *last = token_before(reader), *first = last;
    for (int i = 1; i < WORDS_MAX && first > reader->tokens.items; i++, first--)
        if (first->kind != AP_TOKEN_WORD || first[-1].kind != AP_TOKEN_WORD) break;
    struct ap_str words = { first->text.data, last->offset + last->text.size - first->offset };
    return words.size > 60 ? shown(last->text) : words;
}

enum apiary_code ap_reader_fail(
    const struct ap_reader *reader, const char *what, struct apiary_error *err)
{
    const struct ap_token *token = ap_reader_peek(reader, 0);
    struct ap_str before = words_before(reader), found = shown(token->text);
    bool sign = reader->at > 0 && token_before(reader)->kind == AP_TOKEN_PUNCTUATION;
    const char *after = !before.size ? "" : sign ? " after '" : " after ", *close = sign ? "'" : "";
    const char *cut = found.size < token->text.size ? "…" : "";
    if (token->unfinished && token->kind == AP_TOKEN_END)
        return ap_fail(err, APIARY_SQL, "unfinished comment");
    if (token->unfinished)
        return ap_fail(err, APIARY_SQL, "unfinished %s: " AP_FMT "%s",
            token->kind == AP_TOKEN_QUOTED ? "quoted name" : "string", AP_ARG(found), cut);
    if (token->kind == AP_TOKEN_END)
        return ap_fail(err, APIARY_SQL, "expected %s%s" AP_FMT "%s, found the end of the statement",
            what, after, AP_ARG(before), close);
    const char *quote = token->kind == AP_TOKEN_STRING || token->kind == AP_TOKEN_QUOTED ? "" : "'";
    ap_fail(err, APIARY_SQL, "expected %s%s" AP_FMT "%s, found %s" AP_FMT "%s%s", what, after,
        AP_ARG(before), close, quote, AP_ARG(found), cut, quote);
    if (token->kind == AP_TOKEN_WORD &&
        (strcmp(what, "a name") == 0 || strcmp(what, column_name) == 0))
        ap_hint(
            err, "a name that is a word of SQL stands in quotes: \"" AP_FMT "\"", AP_ARG(found));
    else if (ap_token_is(token, "-") && reader->at > 0 &&
             token[-1].offset + token[-1].text.size == token->offset)
        ap_hint(err, "a name with a - stands in quotes: \"" AP_FMT "-…\"", AP_ARG(token[-1].text));
    return APIARY_SQL;
}

enum apiary_code ap_reader_expect(
    struct ap_reader *reader, const char *words, struct apiary_error *err)
{
    if (ap_reader_accept(reader, words)) return APIARY_OK;
    char quoted[] = "' '";
    quoted[1] = words[0];
    return ap_reader_fail(reader, words[1] ? words : quoted, err);
}

enum apiary_code ap_reader_expect_end(const struct ap_reader *reader, struct apiary_error *err)
{
    return ap_reader_at_end(reader) ? APIARY_OK
                                    : ap_reader_fail(reader, "the end of the statement", err);
}

static enum apiary_code take_value(struct ap_reader *reader, char **out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) value = { 0 };
    char *text;
    AP_TRY(ap_token_value(ap_reader_peek(reader, 0), &value, err));
    AP_TRY(ap_bytes_take_text(&value, &text, err));
    ap_free(*out); /* a clause that is written twice: the last one holds */
    *out = text;
    reader->at++;
    return APIARY_OK;
}

static enum apiary_code read_name_of(
    struct ap_reader *reader, const char *what, char **out, struct apiary_error *err)
{
    if (!ap_reader_is_name(reader, 0) || ap_reader_peek(reader, 0)->unfinished)
        return ap_reader_fail(reader, what, err);
    return take_value(reader, out, err);
}

enum apiary_code ap_reader_name(struct ap_reader *reader, char **out, struct apiary_error *err)
{
    return read_name_of(reader, "a name", out, err);
}

enum apiary_code ap_reader_object_name(
    struct ap_reader *reader, struct ap_object_name *out, struct apiary_error *err)
{
    out->offset = ap_reader_peek(reader, 0)->offset;
    do {
        if (out->count == AP_NAME_PARTS_MAX)
            return ap_reader_fail(reader, "at most three parts in a name (hive.box.frame)", err);
        AP_TRY(ap_reader_name(reader, &out->parts[out->count], err));
        out->count++;
    } while (ap_reader_accept(reader, "."));
    return APIARY_OK;
}

enum apiary_code ap_reader_string(
    struct ap_reader *reader, const char *what, char **out, struct apiary_error *err)
{
    const struct ap_token *token = ap_reader_peek(reader, 0);
    if (token->kind != AP_TOKEN_STRING || token->unfinished)
        return ap_reader_fail(reader, what, err);
    return take_value(reader, out, err);
}

enum apiary_code ap_reader_names(
    struct ap_reader *reader, struct ap_texts *out, struct apiary_error *err)
{
    AP_TRY(ap_reader_expect(reader, "(", err));
    do {
        AP_AUTO_FREE char *name = NULL;
        if (out->count == AP_STATEMENT_LIST_MAX)
            return ap_fail(
                err, APIARY_LIMIT, "a list has more than %d names", AP_STATEMENT_LIST_MAX);
        AP_TRY(ap_reader_name(reader, &name, err));
        AP_TRY(ap_texts_add(out, ap_str_from(name), err));
    } while (ap_reader_accept(reader, ","));
    return ap_reader_accept(reader, ")") ? APIARY_OK : ap_reader_fail(reader, "',' or ')'", err);
}

enum apiary_code ap_reader_add_column(
    struct ap_reader *reader, struct ap_column_definition **out, struct apiary_error *err)
{
    struct ap_statement *statement = reader->out;
    if (statement->column_count == AP_STATEMENT_LIST_MAX)
        return ap_fail(
            err, APIARY_LIMIT, "the statement names more than %d columns", AP_STATEMENT_LIST_MAX);
    AP_TRY(
        AP_GROW(statement->columns, statement->column_capacity, statement->column_count + 1, err));
    struct ap_column_definition *column = &statement->columns[statement->column_count];
    *column = (struct ap_column_definition) { 0 };
    AP_TRY(read_name_of(reader, column_name, &column->name, err));
    statement->column_count++;
    *out = column;
    return APIARY_OK;
}

enum apiary_code ap_reader_column_names(struct ap_reader *reader, struct apiary_error *err)
{
    AP_TRY(ap_reader_expect(reader, "(", err));
    struct ap_column_definition *column;
    do {
        AP_TRY(ap_reader_add_column(reader, &column, err));
    } while (ap_reader_accept(reader, ","));
    return ap_reader_accept(reader, ")") ? APIARY_OK : ap_reader_fail(reader, "',' or ')'", err);
}

static struct ap_str text_between(const struct ap_token *first, const struct ap_token *last)
{
    return (struct ap_str) { first->text.data, last->offset + last->text.size - first->offset };
}

enum apiary_code ap_reader_range(struct ap_reader *reader, const char *what,
    const char *const *stops, struct ap_str *out, struct apiary_error *err)
{
    const struct ap_token *first = ap_reader_peek(reader, 0), *token = first;
    for (; token->kind != AP_TOKEN_END && token->depth >= first->depth; token++) {
        bool stop = false;
        if (token->depth == first->depth)
            for (const char *const *word = stops; *word && !stop; word++)
                stop = ap_token_is(token, *word);
        if (stop) break;
        if (token->unfinished) break;
    }
    bool unfinished = token->unfinished;
    if (token == first || unfinished) {
        reader->at += (size_t)(token - first);
        return ap_reader_fail(reader, what, err);
    }
    *out = text_between(first, token - 1);
    reader->at += (size_t)(token - first);
    return APIARY_OK;
}

enum apiary_code ap_reader_rest(
    struct ap_reader *reader, const char *what, struct ap_str *out, struct apiary_error *err)
{
    if (ap_reader_at_end(reader)) return ap_reader_fail(reader, what, err);
    const struct ap_token *last = &reader->tokens.items[reader->tokens.count - 2];
    *out = text_between(ap_reader_peek(reader, 0), last);
    reader->at = reader->tokens.count - 1;
    return APIARY_OK;
}

enum apiary_code ap_reader_brackets(
    struct ap_reader *reader, struct ap_str *inside, struct apiary_error *err)
{
    static const char *const none[] = { NULL };
    const struct ap_token *open = ap_reader_peek(reader, 0);
    AP_TRY(ap_reader_expect(reader, "(", err));
    if (ap_reader_peek(reader, 0)->depth <= open->depth)
        return ap_reader_fail(reader, "something in the brackets", err);
    AP_TRY(ap_reader_range(reader, "something in the brackets", none, inside, err));
    return ap_reader_expect(reader, ")", err);
}

enum apiary_code ap_reader_add_option(
    struct ap_reader *reader, struct ap_option **out, struct apiary_error *err)
{
    enum { OPTIONS_MAX = 1000 };
    struct ap_statement *statement = reader->out;
    if (statement->option_count == OPTIONS_MAX)
        return ap_fail(err, APIARY_LIMIT, "the statement has more than %d options", OPTIONS_MAX);
    AP_TRY(
        AP_GROW(statement->options, statement->option_capacity, statement->option_count + 1, err));
    *out = &statement->options[statement->option_count++];
    **out = (struct ap_option) { 0 };
    return APIARY_OK;
}

/* name, "name" or 'name', with dots: delta.appendOnly */
static enum apiary_code read_option_name(
    struct ap_reader *reader, char **out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) name = { 0 };
    for (;;) {
        const struct ap_token *token = ap_reader_peek(reader, 0);
        bool fits = token->kind == AP_TOKEN_WORD || token->kind == AP_TOKEN_QUOTED ||
                    token->kind == AP_TOKEN_STRING;
        if (!fits || token->unfinished) return ap_reader_fail(reader, "a name of an option", err);
        AP_TRY(ap_token_value(token, &name, err));
        reader->at++;
        if (!ap_reader_accept(reader, ".")) break;
        AP_TRY(ap_bytes_add_text(&name, ".", err));
    }
    return ap_bytes_take_text(&name, out, err);
}

enum apiary_code ap_reader_options(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const stops[] = { ",", NULL };
    AP_TRY(ap_reader_expect(reader, "(", err));
    if (ap_reader_accept(reader, ")")) return APIARY_OK;
    do {
        struct ap_option *option;
        AP_TRY(ap_reader_add_option(reader, &option, err));
        AP_TRY(read_option_name(reader, &option->name, err));
        bool equals = ap_reader_accept(reader, "=") || ap_reader_accept(reader, "=>") ||
                      ap_reader_accept(reader, ":=");
        if (!equals && (ap_reader_is(reader, ",") || ap_reader_is(reader, ")"))) continue;
        if (ap_reader_is(reader, ")")) return ap_reader_fail(reader, "a value", err);
        AP_TRY(ap_reader_range(reader, "a value", stops, &option->value, err));
    } while (ap_reader_accept(reader, ","));
    return ap_reader_accept(reader, ")") ? APIARY_OK : ap_reader_fail(reader, "',' or ')'", err);
}

enum ap_object_kind ap_reader_object(struct ap_reader *reader)
{
    static const struct {
        const char *word;
        enum ap_object_kind kind;
    } words[] = { { "HIVE", AP_OBJECT_HIVE }, { "DATABASE", AP_OBJECT_HIVE },
        { "CATALOG", AP_OBJECT_HIVE }, { "BOX", AP_OBJECT_BOX }, { "SCHEMA", AP_OBJECT_BOX },
        { "FRAME", AP_OBJECT_FRAME }, { "TABLE", AP_OBJECT_FRAME }, { "VIEW", AP_OBJECT_VIEW },
        { "MACRO", AP_OBJECT_MACRO }, { "FUNCTION", AP_OBJECT_MACRO } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (ap_reader_accept(reader, words[i].word)) return words[i].kind;
    return AP_OBJECT_NONE;
}

bool ap_reader_is_query(const struct ap_reader *reader, size_t ahead)
{
    static const char *const starts[] = { "SELECT", "WITH", "FROM", "TABLE", "PIVOT", "UNPIVOT",
        "PIVOT_WIDER", "PIVOT_LONGER", "SUMMARIZE", "DESCRIBE", "DESC", "SHOW", "(" };
    const struct ap_token *token = ap_reader_peek(reader, ahead);
    if (ap_token_is(token, "VALUES")) return ap_token_is(ap_reader_peek(reader, ahead + 1), "(");
    return token_in(token, starts, sizeof starts / sizeof *starts);
}

enum apiary_code ap_reader_alias(struct ap_reader *reader, struct apiary_error *err)
{
    bool as = ap_reader_accept(reader, "AS");
    if (!as && (!ap_reader_is_name(reader, 0) || ap_reader_is(reader, "SET"))) return APIARY_OK;
    AP_AUTO_FREE char *name = NULL;
    struct ap_str text = ap_reader_peek(reader, 0)->text;
    AP_TRY(ap_reader_name(reader, &name, err));
    reader->out->alias = text;
    return APIARY_OK;
}

enum apiary_code ap_reader_refuse(struct ap_reader *reader, const char *message, const char *hint)
{
    reader->out->kind = AP_STATEMENT_REFUSED;
    reader->out->message = message;
    reader->out->hint = hint;
    return APIARY_OK;
}
