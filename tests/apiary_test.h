/* What every unit test includes: cmocka with the four headers it needs first, and the few
 * assertions that all rooms want. A failure names the case (label) and the error's message. */
#ifndef APIARY_TEST_H
#define APIARY_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apiary.h"

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Expects `call` to give `wanted`; reads the message from `struct apiary_error err` in scope.
 * assert_code_in also says which row of a table it was. */
#define assert_code(call, wanted) assert_code_in("", call, wanted)
#define assert_ok(call) assert_code_in("", call, APIARY_OK)
#define assert_code_in(label, call, wanted)                                                        \
    ap_test_code(label, #call, (int)(call), (int)(wanted), err.message, __FILE__, __LINE__)

static inline void ap_test_code(const char *label, const char *call, int code, int wanted,
    const char *message, const char *file, int line)
{
    if (code == wanted) return;
    print_error("%s%s%s\n    gave code %d, expected %d%s%s\n", label, *label ? ": " : "", call, code,
        wanted, code ? ": " : "", code ? message : "");
    _fail(file, line);
}

/* As cmocka's, with the row of the table in front. */
#define assert_true_in(label, condition)                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("%s: not true: %s\n", (label), #condition);                                \
            _fail(__FILE__, __LINE__);                                                             \
        }                                                                                          \
    } while (0)
#define assert_int_in(label, value, wanted)                                                        \
    do {                                                                                           \
        long long value_ = (long long)(value), wanted_ = (long long)(wanted);                      \
        if (value_ != wanted_) {                                                                   \
            print_error("%s: %s is %lld, expected %lld\n", (label), #value, value_, wanted_);      \
            _fail(__FILE__, __LINE__);                                                             \
        }                                                                                          \
    } while (0)
#define assert_string_in(label, value, wanted)                                                     \
    do {                                                                                           \
        const char *value_ = (value), *wanted_ = (wanted);                                         \
        if (strcmp(value_, wanted_) != 0) {                                                        \
            print_error("%s: %s is\n    \"%s\", expected\n    \"%s\"\n", (label), #value, value_,  \
                wanted_);                                                                          \
            _fail(__FILE__, __LINE__);                                                             \
        }                                                                                          \
    } while (0)

/* Makes the first allocation of `call` fail, then the second, … until none is left to fail.
 * Each time the code must be MEMORY (or OK, where a failure may be lived with); after each
 * failure `unchanged` must hold. Leaks are the sanitizer's to find. Include core/alloc.h;
 * `call` runs many times, the last time without a failure, so `again` must make it repeatable. */
enum { AP_TEST_ALLOCATIONS_MAX = 10000 };
#define assert_memory_failures(call, unchanged, again)                                             \
    do {                                                                                           \
        for (long nth_ = 1;; nth_++) {                                                             \
            ap_alloc_fail_after(nth_);                                                             \
            int code_ = (int)(call);                                                               \
            bool fired_ = ap_alloc_fail_left() == 0;                                               \
            ap_alloc_fail_after(0);                                                                \
            if (!fired_) {                                                                         \
                ap_test_code("no allocation failed", #call, code_, APIARY_OK, err.message,         \
                    __FILE__, __LINE__);                                                           \
                break;                                                                             \
            }                                                                                      \
            if (code_ != APIARY_OK && code_ != APIARY_MEMORY)                                      \
                ap_test_code("an allocation failed", #call, code_, APIARY_MEMORY, err.message,     \
                    __FILE__, __LINE__);                                                           \
            if (code_ == APIARY_MEMORY) assert_true(unchanged);                                    \
            if (nth_ > AP_TEST_ALLOCATIONS_MAX) fail_msg("%s never ends", #call);                  \
            again;                                                                                 \
        }                                                                                          \
    } while (0)

/* A fresh folder (path written to `path`), and its removal with everything in it. */
enum { AP_TEST_PATH_MAX = 512 };

static inline void ap_test_folder(char path[AP_TEST_PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, AP_TEST_PATH_MAX, "%s/apiary-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path)) fail_msg("cannot make a folder at %s", path);
}

static inline int ap_test_remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static inline void ap_test_folder_remove(const char *path)
{
    nftw(path, ap_test_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The seed of a randomized test: AP_SEED, else `fallback`. */
static inline uint64_t ap_test_seed(uint64_t fallback)
{
    const char *text = getenv("AP_SEED");
    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

#endif
