#include "tree_cases.h"

#include "apiary_test.h"

static void read_file(const char *name, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    const char *root = getenv("APIARY_SOURCE_DIR");
    char path[AP_TEST_PATH_MAX], buffer[65536];
    snprintf(path, sizeof path, "%s/tests/sql/trees/%s.json", root ? root : ".", name);
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("cannot read %s", path);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, file)) > 0;)
        assert_ok(ap_bytes_add(out, buffer, n, &err));
    fclose(file);
}

void each_tree_case(const char *name, const char *key, tree_case_check check)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO_JSON *all = NULL;
    size_t index, count, checked = 0;
    yyjson_val *item;
    read_file(name, &text);
    assert_ok(ap_tree_parse(ap_bytes_view(&text), &all, &err));
    yyjson_arr_foreach(yyjson_doc_get_root(all), index, count, item)
    {
        if (!yyjson_obj_get(item, key)) continue;
        AP_AUTO(ap_bytes) json = { 0 };
        AP_AUTO_JSON *tree = NULL;
        assert_ok(ap_json_write_val(yyjson_obj_get(item, "tree"), &json, &err));
        assert_ok(ap_tree_parse(ap_bytes_view(&json), &tree, &err));
        struct tree_case found = { (char *)(uintptr_t)yyjson_get_str(yyjson_obj_get(item, "sql")),
            item, tree };
        check(&found);
        checked++;
    }
    assert_true(checked > 0);
}
