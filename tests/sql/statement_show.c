#include "statement_show.h"

#include "apiary_test.h"

static const char *const kinds[] = { "EMPTY", "QUERY", "EXPLAIN", "USE", "SHOW", "DESCRIBE",
    "CREATE_HIVE", "CREATE_BOX", "CREATE_FRAME", "CREATE_VIEW", "CREATE_MACRO", "DROP", "UNDROP",
    "RENAME", "ALTER", "INSERT", "DELETE", "UPDATE", "MERGE", "TRUNCATE", "COPY_TO", "COPY_FROM",
    "SET", "OPTIMIZE", "VACUUM", "RESTORE", "PIN", "UNPIN", "FSCK", "REFUSED" };
static const char *const objects[] = { "", " hive", " box", " frame", " view", " column",
    " setting", " history", " macro", " variable", " pin" };
static const char *const alters[] = { "", " add", " drop", " rename", " type", " set-not-null",
    " drop-not-null", " set-properties", " unset-properties", " cluster-by", " comment" };

static void add(struct ap_bytes *out, const char *what, struct ap_str text)
{
    struct apiary_error err = { 0 };
    if (text.size) assert_ok(ap_bytes_printf(out, &err, "%s" AP_FMT, what, AP_ARG(text)));
}

static void add_range(struct ap_bytes *out, const char *what, struct ap_str text)
{
    struct apiary_error err = { 0 };
    if (text.size) assert_ok(ap_bytes_printf(out, &err, "%s[" AP_FMT "]", what, AP_ARG(text)));
}

static void add_name(struct ap_bytes *out, const char *what, const struct ap_object_name *name)
{
    struct apiary_error err = { 0 };
    for (size_t i = 0; i < name->count; i++)
        assert_ok(ap_bytes_printf(out, &err, "%s%s", i ? "." : what, name->parts[i]));
}

static void add_columns(struct ap_bytes *out, const struct ap_statement *statement)
{
    struct apiary_error err = { 0 };
    for (size_t i = 0; i < statement->column_count; i++) {
        const struct ap_column_definition *column = &statement->columns[i];
        assert_ok(ap_bytes_printf(out, &err, "%s%s", i ? "," : " (", column->name));
        add(out, ":", column->type);
        if (column->not_null) assert_ok(ap_bytes_add_text(out, "!", &err));
        add(out, "#", ap_str_from(column->comment));
    }
    if (statement->column_count) assert_ok(ap_bytes_add_text(out, ")", &err));
}

static void add_texts(struct ap_bytes *out, const char *what, const struct ap_texts *texts)
{
    struct apiary_error err = { 0 };
    for (size_t i = 0; i < texts->count; i++)
        assert_ok(ap_bytes_printf(out, &err, "%s%s", i ? "," : what, texts->items[i]));
}

static void add_options(struct ap_bytes *out, const struct ap_statement *statement)
{
    struct apiary_error err = { 0 };
    for (size_t i = 0; i < statement->option_count; i++)
        assert_ok(ap_bytes_printf(out, &err, "%s%s=" AP_FMT,
            i ? ";" : " opt:", statement->options[i].name, AP_ARG(statement->options[i].value)));
}

static void add_flags(struct ap_bytes *out, const struct ap_statement *statement)
{
    const struct {
        bool set;
        const char *name;
    } flags[] = { { statement->flags.if_not_exists, "if-not-exists" },
        { statement->flags.if_exists, "if-exists" },
        { statement->flags.if_exists_column, "if-exists-column" },
        { statement->flags.or_replace, "or-replace" }, { statement->flags.cascade, "cascade" },
        { statement->flags.temporary, "temporary" }, { statement->flags.analyze, "analyze" },
        { statement->flags.overwrite, "overwrite" }, { statement->flags.by_name, "by-name" },
        { statement->flags.default_values, "default-values" },
        { statement->flags.dry_run, "dry-run" }, { statement->flags.reset, "reset" },
        { statement->flags.no_data, "no-data" }, { statement->flags.all, "all" } };
    for (size_t i = 0; i < AP_COUNT(flags); i++)
        if (flags[i].set) add(out, " +", ap_str_from(flags[i].name));
}

void show_statement(const struct ap_statement *statement, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    assert_true(statement->kind < AP_COUNT(kinds));
    assert_ok(ap_bytes_printf(out, &err, "%s%s%s", kinds[statement->kind],
        objects[statement->object], alters[statement->alter]));
    add_name(out, " ", &statement->name);
    add_name(out, " to:", &statement->new_name);
    add(out, " as:", statement->alias);
    add_columns(out, statement);
    add(out, " new:", ap_str_from(statement->new_column));
    add_texts(out, " part:", &statement->partition_by);
    add_texts(out, " cluster:", &statement->cluster_by);
    add_options(out, statement);
    add(out, " location:", ap_str_from(statement->location));
    add(out, " path:", ap_str_from(statement->path));
    add(out, " like:", ap_str_from(statement->pattern));
    add(out, " setting:", ap_str_from(statement->setting));
    add(out, " comment:", ap_str_from(statement->comment));
    add_range(out, " value", statement->value);
    add_range(out, " version", statement->at_version);
    add_range(out, " time", statement->at_time);
    add_range(out, " assign", statement->assignments);
    add_range(out, " using", statement->using_clause);
    add_range(out, " where", statement->condition);
    if (statement->kind == AP_STATEMENT_MERGE) add_range(out, " action", statement->action);
    if (statement->body.size && !ap_str_equal(statement->body, statement->text))
        add_range(out, " body", statement->body);
    if (statement->kind == AP_STATEMENT_VACUUM && statement->retain_hours >= 0)
        assert_ok(ap_bytes_printf(out, &err, " hours:%g", statement->retain_hours));
    add_flags(out, statement);
    add(out, ": ", ap_str_from(statement->message));
}
