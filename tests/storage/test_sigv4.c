/* Signing against published vectors: the examples of the S3 documentation ("Signature Calculations
 * for the Authorization Header: Transferring Payload in a Single Chunk") and of AWS's test suite.
 */
#include "apiary_test.h"

#include "storage/sigv4.h"

static const struct ap_sigv4_key s3_key = { "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3" };
static const struct ap_sigv4_key suite_key = { "AKIDEXAMPLE",
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service" };

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define WELCOME_HASH "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define S3_HOST                                                                                    \
    {                                                                                              \
        "host", "examplebucket.s3.amazonaws.com"                                                   \
    }
#define S3_TIME                                                                                    \
    {                                                                                              \
        "x-amz-date", "20130524T000000Z"                                                           \
    }
#define S3_EMPTY                                                                                   \
    {                                                                                              \
        "x-amz-content-sha256", EMPTY_HASH                                                         \
    }

static const struct {
    const char *label;
    const struct ap_sigv4_key *key;
    const char *method, *path;
    struct ap_sigv4_pair query[3];
    struct ap_sigv4_pair headers[8];
    const char *hash, *time, *names, *signature;
} vectors[] = {
    { "S3: get a range", &s3_key, "GET", "/test.txt", { { 0 } },
        { S3_HOST, { "range", "bytes=0-9" }, S3_EMPTY, S3_TIME }, EMPTY_HASH, "20130524T000000Z",
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
    { "S3: put", &s3_key, "PUT", "/test$file.text", { { 0 } },
        { { "date", "Fri, 24 May 2013 00:00:00 GMT" }, S3_HOST, S3_TIME,
            { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
            { "x-amz-content-sha256", WELCOME_HASH } },
        WELCOME_HASH, "20130524T000000Z",
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
    { "S3: a parameter without value", &s3_key, "GET", "/", { { "lifecycle", "" } },
        { S3_HOST, S3_EMPTY, S3_TIME }, EMPTY_HASH, "20130524T000000Z",
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
    { "S3: list", &s3_key, "GET", "/", { { "prefix", "J" }, { "max-keys", "2" } },
        { S3_HOST, S3_EMPTY, S3_TIME }, EMPTY_HASH, "20130524T000000Z",
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
    { "suite: get-vanilla", &suite_key, "GET", "/", { { 0 } },
        { { "host", "example.amazonaws.com" }, { "x-amz-date", "20150830T123600Z" } }, EMPTY_HASH,
        "20150830T123600Z", "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
    { "suite: get-vanilla-query-order-key-case", &suite_key, "GET", "/",
        { { "Param2", "value2" }, { "Param1", "value1" } },
        { { "host", "example.amazonaws.com" }, { "x-amz-date", "20150830T123600Z" } }, EMPTY_HASH,
        "20150830T123600Z", "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
    { "suite: post-vanilla", &suite_key, "POST", "/", { { 0 } },
        { { "x-amz-date", "20150830T123600Z" }, { "host", "example.amazonaws.com" } }, EMPTY_HASH,
        "20150830T123600Z", "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
    { "suite: get-header-value-trim", &suite_key, "GET", "/", { { 0 } },
        { { "host", "example.amazonaws.com" }, { "my-header1", " value1" },
            { "my-header2", " \"a   b   c\"" }, { "x-amz-date", "20150830T123600Z" } },
        EMPTY_HASH, "20150830T123600Z", "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
};

static size_t pair_count(const struct ap_sigv4_pair *pairs, size_t most)
{
    size_t count = 0;
    while (count < most && pairs[count].name) count++;
    return count;
}

static void published_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < AP_COUNT(vectors); i++) {
        struct apiary_error err;
        AP_AUTO(ap_bytes) path = { 0 }, query = { 0 }, got = { 0 }, wanted = { 0 };
        assert_ok(ap_sigv4_path(&path, ap_str_from(vectors[i].path), &err));
        assert_ok(ap_sigv4_query(&query, vectors[i].query, pair_count(vectors[i].query, 3), &err));
        struct ap_sigv4_request request = { .method = vectors[i].method,
            .path = ap_bytes_text(&path),
            .query = ap_bytes_text(&query),
            .headers = vectors[i].headers,
            .header_count = pair_count(vectors[i].headers, 8),
            .payload_hash = vectors[i].hash,
            .time = vectors[i].time };
        assert_ok(ap_sigv4_authorize(&got, vectors[i].key, &request, &err));
        assert_ok(ap_bytes_printf(&wanted, &err,
            "AWS4-HMAC-SHA256 "
            "Credential=%s/%.8s/us-east-1/%s/aws4_request,SignedHeaders=%s,Signature=%s",
            vectors[i].key->access_key, vectors[i].time, vectors[i].key->service, vectors[i].names,
            vectors[i].signature));
        assert_string_in(vectors[i].label, ap_bytes_text(&got), ap_bytes_text(&wanted));
    }
}

static void times_and_hashes(void **state)
{
    char time[AP_SIGV4_TIME_SIZE], hash[AP_SIGV4_HASH_SIZE];
    (void)state;
    ap_sigv4_time(INT64_C(1369353600) * 1000000, time);
    assert_string_equal(time, "20130524T000000Z");
    ap_sigv4_time(INT64_C(1440938160) * 1000000 + 999999, time);
    assert_string_equal(time, "20150830T123600Z");
    ap_sigv4_time(0, time);
    assert_string_equal(time, "19700101T000000Z");
    ap_sigv4_hash(AP_STR(""), hash);
    assert_string_equal(hash, EMPTY_HASH);
    ap_sigv4_hash(AP_STR("Welcome to Amazon S3."), hash);
    assert_string_equal(hash, WELCOME_HASH);
}

static void paths_and_queries(void **state)
{
    static const struct ap_sigv4_pair pairs[] = { { "prefix", "a b/c=d+e&ü" }, { "list-type", "2" },
        { "delimiter", "/" } };
    struct apiary_error err;
    AP_AUTO(ap_bytes) path = { 0 }, query = { 0 };
    struct ap_sigv4_pair many[AP_SIGV4_PAIRS_MAX + 1];
    (void)state;
    assert_ok(ap_sigv4_path(&path, AP_STR("/bucket/p=1/a b+c~d*:ü%20"), &err));
    assert_string_equal(ap_bytes_text(&path), "/bucket/p%3D1/a%20b%2Bc~d%2A%3A%C3%BC%2520");
    assert_ok(ap_sigv4_query(&query, pairs, AP_COUNT(pairs), &err));
    assert_string_equal(
        ap_bytes_text(&query), "delimiter=%2F&list-type=2&prefix=a%20b%2Fc%3Dd%2Be%26%C3%BC");
    for (size_t i = 0; i < AP_COUNT(many); i++) many[i] = pairs[0];
    assert_code(ap_sigv4_query(&query, many, AP_COUNT(many), &err), APIARY_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(times_and_hashes),
        cmocka_unit_test(paths_and_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
