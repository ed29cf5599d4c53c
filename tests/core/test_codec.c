#include "apiary_test.h"

#include "core/alloc.h"
#include "core/codec.h"

static void check_hex(const char *label, const uint8_t *data, size_t size, const char *wanted)
{
    char hex[65];
    ap_hex(data, size, hex);
    assert_string_in(label, hex, wanted);
}

static void test_sha256(void **state)
{
    (void)state;
    uint8_t out[AP_SHA256_SIZE];
    static const struct {
        const char *text, *wanted; /* FIPS 180-4 examples */
    } rows[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        ap_sha256(rows[i].text, strlen(rows[i].text), out);
        check_hex(rows[i].text, out, sizeof out, rows[i].wanted);
    }
    ap_sha256(NULL, 0, out);
    check_hex("NULL", out, sizeof out, rows[0].wanted);
}

static void test_hmac(void **state)
{
    (void)state;
    uint8_t out[AP_SHA256_SIZE], key[131];
    /* RFC 4231, test cases 1, 2, 3, 6 */
    memset(key, 0x0b, 20);
    ap_hmac_sha256(key, 20, "Hi There", 8, out);
    check_hex(
        "1", out, sizeof out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    ap_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    check_hex(
        "2", out, sizeof out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    uint8_t data[50];
    memset(key, 0xaa, sizeof key);
    memset(data, 0xdd, sizeof data);
    ap_hmac_sha256(key, 20, data, sizeof data, out);
    check_hex(
        "3", out, sizeof out, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    static const char long_key[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    ap_hmac_sha256(key, 131, long_key, sizeof long_key - 1, out);
    check_hex(
        "6", out, sizeof out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    ap_hmac_sha256(NULL, 0, NULL, 0, out);
    check_hex("empty", out, sizeof out,
        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_md5(void **state)
{
    (void)state;
    uint8_t out[AP_MD5_SIZE];
    static const struct {
        const char *text, *wanted; /* RFC 1321, A.5 */
    } rows[] = {
        { "", "d41d8cd98f00b204e9800998ecf8427e" },
        { "a", "0cc175b9c0f1b6a831c399e269772661" },
        { "abc", "900150983cd24fb0d6963f7d28e17f72" },
        { "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
        { "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b" },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "d174ab98d277d9f5a5611c2c9f419d9f" },
        { "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "57edf4a22be3c955ac49da2e2107b67a" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        ap_md5(rows[i].text, strlen(rows[i].text), out);
        check_hex(rows[i].text, out, sizeof out, rows[i].wanted);
    }
    /* The lengths around the padding's border, folded into one digest (made with another
     * implementation). */
    uint8_t digests[66 * AP_MD5_SIZE];
    char zeros[130] = { 0 };
    for (size_t i = 0; i < 66; i++) ap_md5(zeros, i + 55, digests + i * AP_MD5_SIZE);
    ap_md5(digests, sizeof digests, out);
    check_hex("lengths 55 to 120", out, sizeof out, "f3aed629a51168a62a652125de2a922c");
}

static void test_crc32(void **state)
{
    (void)state;
    assert_int_equal(ap_crc32(0, "123456789", 9), 0xCBF43926);
    assert_int_equal(ap_crc32(0, NULL, 0), 0);
    assert_int_equal(ap_crc32(ap_crc32(0, "1234", 4), "56789", 5), 0xCBF43926);
}

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *text; /* RFC 4648, section 10 */
    } rows[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
        { "\xfb\xff\xbf", "+/+/" } };
    struct apiary_error err;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO(ap_bytes) out = { 0 };
        assert_ok(ap_bytes_add_text(&out, "x", &err));
        assert_ok(ap_base64_encode(&out, ap_str_from(rows[i].plain), &err));
        assert_string_equal(out.data + 1, rows[i].text);
        ap_bytes_clear(&out);
        assert_ok(ap_base64_decode(&out, ap_str_from(rows[i].text), &err));
        assert_true_in(rows[i].text, ap_str_is(ap_bytes_view(&out), rows[i].plain));
    }
    static const char *const broken[] = { "Z", "Zg",
        "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "=Zg=", "Z===", "====", "Zm9v\n", "Zm 9", "Zm9-", "Zm9_",
        "Z\xC3\xBC=" };
    for (size_t i = 0; i < AP_COUNT(broken); i++) {
        AP_AUTO(ap_bytes) out = { 0 };
        assert_ok(ap_bytes_add_text(&out, "kept", &err));
        assert_code_in(
            broken[i], ap_base64_decode(&out, ap_str_from(broken[i]), &err), APIARY_CORRUPT);
        assert_true_in(broken[i], ap_str_is(ap_bytes_view(&out), "kept"));
        assert_int_equal(out.data[4], 0);
    }
    /* Every length and byte survives the way there and back. */
    uint8_t data[256];
    for (int i = 0; i < 256; i++) data[i] = (uint8_t)(i * 7);
    for (size_t size = 0; size <= sizeof data; size++) {
        AP_AUTO(ap_bytes) text = { 0 };
        AP_AUTO(ap_bytes) back = { 0 };
        assert_ok(ap_base64_encode(&text, (struct ap_str) { (char *)data, size }, &err));
        assert_ok(ap_base64_decode(&back, ap_bytes_view(&text), &err));
        assert_int_equal(back.size, size);
        assert_memory_equal(back.data, data, size);
    }
}

static void test_z85(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_bytes) out = { 0 };
    /* RFC 32's own example */
    assert_ok(ap_z85_decode(&out, AP_STR("HelloWorld"), &err));
    assert_int_equal(out.size, 8);
    assert_memory_equal(out.data, "\x86\x4F\xD2\x6F\xB5\x59\xF7\x5B", 8);
    ap_bytes_clear(&out);
    assert_ok(ap_z85_decode(&out, AP_STR(""), &err));
    assert_int_equal(out.size, 0);
    assert_ok(ap_z85_decode(&out, AP_STR("%nSc0"), &err)); /* FFFFFFFF */
    assert_memory_equal(out.data, "\xFF\xFF\xFF\xFF", 4);
    static const char *const broken[] = { "Hell", "HelloW", "Hell\"", "Hell~", "%nSc1", "#####",
        "He lo", "Hell\x80" };
    for (size_t i = 0; i < AP_COUNT(broken); i++) {
        assert_code_in(
            broken[i], ap_z85_decode(&out, ap_str_from(broken[i]), &err), APIARY_CORRUPT);
        assert_int_equal(out.size, 4);
    }
    assert_code(ap_z85_decode(&out, AP_STR("Hel\0o"), &err), APIARY_CORRUPT);
}

static void test_percent(void **state)
{
    (void)state;
    static const struct {
        const char *label, *plain, *keep, *text;
    } rows[] = {
        { "nothing", "", "", "" },
        { "kept", "a-b._/=Z9", "-._/=", "a-b._/=Z9" },
        { "not kept", "a-b._/=Z9", "", "a%2Db%2E%5F%2F%3DZ9" },
        { "percent itself", "100%", "-", "100%25" },
        { "space and UTF-8", "Z\xC3\xBCrich West", "", "Z%C3%BCrich%20West" },
        { "what looks encoded", "a%20b", "", "a%2520b" },
    };
    struct apiary_error err;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO(ap_bytes) out = { 0 };
        assert_ok(ap_percent_encode(&out, ap_str_from(rows[i].plain), rows[i].keep, &err));
        assert_string_in(rows[i].label, out.data, rows[i].text);
        ap_bytes_clear(&out);
        assert_ok(ap_percent_decode(&out, ap_str_from(rows[i].text), &err));
        assert_string_in(rows[i].label, out.data, rows[i].plain);
    }
    AP_AUTO(ap_bytes) out = { 0 };
    assert_ok(ap_percent_decode(&out, AP_STR("%e4+%2f"), &err)); /* any case; + is itself */
    assert_string_equal(out.data, "\xE4+/");
    ap_bytes_clear(&out);
    static const char *const broken[] = { "%", "%4", "a%4", "%4g", "%g4", "%%41", "%00", "a%00b",
        "% 1", "%-1" };
    for (size_t i = 0; i < AP_COUNT(broken); i++) {
        assert_code_in(
            broken[i], ap_percent_decode(&out, ap_str_from(broken[i]), &err), APIARY_CORRUPT);
        assert_int_equal(out.size, 0);
    }
    assert_code(ap_percent_decode(&out, AP_STR("a\0b"), &err), APIARY_CORRUPT);
    for (int byte = 1; byte < 256; byte++) {
        char c = (char)byte;
        AP_AUTO(ap_bytes) text = { 0 };
        AP_AUTO(ap_bytes) back = { 0 };
        assert_ok(ap_percent_encode(&text, (struct ap_str) { &c, 1 }, "", &err));
        assert_ok(ap_percent_decode(&back, ap_bytes_view(&text), &err));
        assert_true(back.size == 1 && back.data[0] == c);
    }
}

static void test_memory(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_bytes out = { 0 };
    assert_memory_failures(
        ap_base64_encode(&out, AP_STR("abc"), &err), !out.data, ap_bytes_done(&out));
    ap_bytes_done(&out);
    assert_memory_failures(
        ap_base64_decode(&out, AP_STR("Zm9v"), &err), !out.data, ap_bytes_done(&out));
    ap_bytes_done(&out);
    assert_memory_failures(
        ap_z85_decode(&out, AP_STR("Hello"), &err), !out.data, ap_bytes_done(&out));
    ap_bytes_done(&out);
    assert_memory_failures(
        ap_percent_encode(&out, AP_STR("a b"), "", &err), !out.data, ap_bytes_done(&out));
    ap_bytes_done(&out);
    assert_memory_failures(
        ap_percent_decode(&out, AP_STR("a%20b"), &err), !out.data, ap_bytes_done(&out));
    ap_bytes_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_md5),
        cmocka_unit_test(test_crc32),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_z85),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
