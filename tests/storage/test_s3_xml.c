/* Answers of S3, good and hostile. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "storage/s3_private.h"

static void errors_are_read(void **state)
{
    static const struct {
        const char *document;
        bool is_error;
        const char *code, *message;
    } rows[] = {
        { "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>It is &lt;gone&gt; &amp; "
          "&#x6c;ost</Message><Key>a</Key></Error>",
            true, "NoSuchKey", "It is <gone> & lost" },
        { "<Error><Code/><Message></Message></Error>", true, "", "" },
        { "<!-- note --><Error>\n <Code>A</Code>\n</Error>\n", true, "A", "" },
        { "<s:Error xmlns:s=\"x\"><s:Code>B</s:Code></s:Error>", true, "B", "" },
        { "", false, "", "" },
        { "not xml", false, "", "" },
        { "<html><body>504 Gateway</body></html>", false, "", "" },
        { "<Error><Code>A</Code>", false, "A", "" },
        { "<Error><Code>A</Message></Error>", false, "", "" },
        { "<!DOCTYPE x [<!ENTITY a \"aaa\">]><Error><Code>&a;</Code></Error>", false, "", "" },
        { "<Error><Code>&bogus;</Code></Error>", false, "", "" },
        { "<Error><Code>&#0;</Code></Error>", false, "", "" },
        { "<Error><Code>&#xD800;</Code></Error>", false, "", "" },
        { "<Error><Code>&#99999999999;</Code></Error>", false, "", "" },
        { "<Error><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></Error>", false, "",
            "" },
        { "<Error><>", false, "", "" },
        { "<Error", false, "", "" },
        { "</Error>", false, "", "" },
    };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_cloud_error error;
        assert_int_in(rows[i].document, ap_s3_error_parse(ap_str_from(rows[i].document), &error),
            rows[i].is_error);
        assert_string_in(rows[i].document, error.code, rows[i].code);
        assert_string_in(rows[i].document, error.message, rows[i].message);
    }
}

#define LIST(inside)                                                                               \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult "                                 \
    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" inside "</ListBucketResult>"
#define ENCODED "<EncodingType>url</EncodingType>"
#define OBJECT(key, size)                                                                          \
    "<Contents><Key>" key "</Key><LastModified>2026-01-02T03:04:05.678Z</"                         \
                          "LastModified><ETag>&quot;e&quot;</ETag><Size>" size                     \
    "</Size><StorageClass>X</StorageClass></Contents>"

static void lists_are_read(void **state)
{
    static const struct {
        const char *label, *document;
        enum apiary_code code;
        size_t count, prefixes;
        const char *first, *next;
    } rows[] = {
        { "empty", LIST("<Name>b</Name><IsTruncated>false</IsTruncated>"), APIARY_OK, 0, 0, "",
            "" },
        { "one", LIST(OBJECT("a%20b%2Bc/d", "12") "<IsTruncated>false</IsTruncated>" ENCODED), APIARY_OK, 1,
            0, "a b+c/d", "" },
        { "form encoding", LIST(ENCODED OBJECT("a+b%2B", "12")), APIARY_OK, 1, 0, "a b+", "" },
        { "no encoding", LIST(OBJECT("a+b%2B%", "12")), APIARY_OK, 1, 0, "a+b%2B%", "" },
        { "no encoding, by name", LIST(OBJECT("a+b%2B", "12") "<EncodingType></EncodingType>"), APIARY_OK, 1, 0, "a+b%2B", "" },
        { "two and more",
            LIST("<IsTruncated>true</IsTruncated>" OBJECT("a", "1")
                    OBJECT("b", "2") "<NextContinuationToken>t/=+</NextContinuationToken>"),
            APIARY_OK, 2, 0, "a", "t/=+" },
        { "prefixes",
            LIST("<Prefix>x</Prefix><CommonPrefixes><Prefix>x/</Prefix></"
                 "CommonPrefixes><CommonPrefixes><Prefix>y/</Prefix></CommonPrefixes>"),
            APIARY_OK, 0, 2, "", "" },
        { "an owner inside",
            LIST("<Contents><Owner><ID>Key</ID></Owner><Key>k</"
                 "Key><LastModified>2026-01-02T03:04:05Z</LastModified><Size>0</Size></Contents>"),
            APIARY_OK, 1, 0, "k", "" },
        { "a token without more", LIST("<NextContinuationToken>t</NextContinuationToken>"),
            APIARY_OK, 0, 0, "", "" },
        { "more without a token", LIST("<IsTruncated>true</IsTruncated>"), APIARY_CORRUPT, 0, 0, "",
            "" },
        { "no key", LIST("<Contents><Size>1</Size></Contents>"), APIARY_CORRUPT, 0, 0, "", "" },
        { "a size of letters", LIST(OBJECT("a", "12x")), APIARY_CORRUPT, 0, 0, "", "" },
        { "a negative size", LIST(OBJECT("a", "-1")), APIARY_CORRUPT, 0, 0, "", "" },
        { "a NUL in a key", LIST(ENCODED OBJECT("a%00b", "1")), APIARY_CORRUPT, 0, 0, "", "" },
        { "a broken escape", LIST(ENCODED OBJECT("a%2", "1")), APIARY_CORRUPT, 0, 0, "", "" },
        { "another document", "<Error><Code>x</Code></Error>", APIARY_CORRUPT, 0, 0, "", "" },
        { "cut", "<ListBucketResult><Contents><Key>a</Key>", APIARY_CORRUPT, 0, 0, "", "" },
        { "two roots", LIST("") LIST(""), APIARY_CORRUPT, 0, 0, "", "" },
    };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err;
        AP_AUTO(ap_cloud_page) page = { 0 };
        assert_code_in(rows[i].label, ap_s3_page_parse(ap_str_from(rows[i].document), &page, &err),
            rows[i].code);
        assert_int_in(rows[i].label, page.list.count, rows[i].count);
        assert_int_in(rows[i].label, page.list.prefixes.count, rows[i].prefixes);
        assert_string_in(rows[i].label, ap_bytes_text(&page.next), rows[i].next);
        if (rows[i].count) assert_string_in(rows[i].label, page.list.objects[0].key, rows[i].first);
    }
}

static void objects_are_described(void **state)
{
    struct apiary_error err;
    AP_AUTO(ap_cloud_page) page = { 0 };
    (void)state;
    assert_ok(ap_s3_page_parse(AP_STR(LIST(OBJECT("a", "18446744073709551615"))), &page, &err));
    assert_true(page.list.objects[0].size == UINT64_MAX);
    assert_string_equal(page.list.objects[0].etag, "\"e\"");
    assert_int_equal(page.list.objects[0].modified_us, INT64_C(1767323045678000));
}

static void deletions_are_read(void **state)
{
    struct apiary_error err;
    (void)state;
    assert_ok(ap_s3_deleted_parse(AP_STR("<DeleteResult/>"), &err));
    assert_ok(ap_s3_deleted_parse(
        AP_STR("<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>"), &err));
    assert_code(ap_s3_deleted_parse(AP_STR("<DeleteResult><Deleted><Key>a</Key></"
                                           "Deleted><Error><Key>b</Key><Code>AccessDenied</Code>"
                                           "<Message>No</Message></Error><Error><Key>c</"
                                           "Key><Code>InternalError</Code></Error></DeleteResult>"),
                    &err),
        APIARY_DENIED);
    assert_string_equal(err.message, "cannot delete b: No (AccessDenied)");
    assert_code(ap_s3_deleted_parse(AP_STR("<Error/>"), &err), APIARY_CORRUPT);
}

static void dates(void **state)
{
    static const char *const bad[] = { "", "Fri, 24 Mai 2013 00:00:00 GMT",
        "Fri, 24 May 2013 00:00:00 CET", "Fri, 24 May 2013 00:00:99 GMT", "2013-05-24T00:00:00Z",
        "Fri, xx May 2013 00:00:00 GMT" };
    int64_t us = 0;
    (void)state;
    assert_true(ap_http_date_parse(AP_STR("Fri, 24 May 2013 01:02:03 GMT"), &us));
    assert_int_equal(us, INT64_C(1369357323000000));
    for (size_t i = 0; i < AP_COUNT(bad); i++)
        assert_true_in(bad[i], !ap_http_date_parse(ap_str_from(bad[i]), &us));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_read),
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(objects_are_described),
        cmocka_unit_test(deletions_are_read),
        cmocka_unit_test(dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
