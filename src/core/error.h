/* Errors: a code to branch on, a message to read (c99 side: apiary.h).
 *
 * Three codes carry the design and are never blurred: CONFLICT (someone else
 * won), IO (nothing happened, repeat freely), UNCERTAIN (look first). */
#ifndef AP_CORE_ERROR_H
#define AP_CORE_ERROR_H

#include "apiary.h"

#include <stdarg.h>
#include <stdbool.h>

#define AP_CHECKED __attribute__((warn_unused_result))
#define AP_PRINTF(at, first) __attribute__((format(printf, at, first)))

/* Sets *err (NULL allowed), clears its hint, and returns `code`. The message is
 * cut at the buffer and made one line (control characters become spaces). */
enum apiary_code ap_fail(struct apiary_error *err, enum apiary_code code, const char *format, ...)
    AP_PRINTF(3, 4);
enum apiary_code ap_vfail(struct apiary_error *err, enum apiary_code code, const char *format,
    va_list args) AP_PRINTF(3, 0);

/* Adds a hint to an error that was set; returns err->code (INTERNAL without err). */
enum apiary_code ap_hint(struct apiary_error *err, const char *format, ...) AP_PRINTF(2, 3);

/* Puts "context: " before the message; keeps code and hint; returns the code given. */
enum apiary_code ap_context(struct apiary_error *err, enum apiary_code code, const char *format, ...)
    AP_PRINTF(3, 4);

/* Fails with IO, FULL (ENOSPC, EDQUOT), DENIED (EACCES, EPERM, EROFS) or NOT_FOUND
 * (ENOENT) by `error_number`; the message is "what: strerror". */
enum apiary_code ap_fail_errno(struct apiary_error *err, int error_number, const char *format, ...)
    AP_PRINTF(3, 4);

void ap_error_clear(struct apiary_error *err);

/* "CONFLICT" for 2, "UNKNOWN" for no code; the meaning in words. Static storage. */
const char *ap_code_name(int code);
const char *ap_code_text(int code);

#define AP_TRY(call)                                                           \
    do {                                                                       \
        enum apiary_code ap_try_code_ = (call);                                \
        if (ap_try_code_ != APIARY_OK) return ap_try_code_;                    \
    } while (0)

/* A broken invariant of ours: prints where, then aborts. Kept in release builds. */
#define ap_assert(condition)                                                   \
    do {                                                                       \
        if (!(condition)) ap_assert_failed(#condition, __FILE__, __LINE__);    \
    } while (0)
__attribute__((noreturn)) void ap_assert_failed(const char *condition, const char *file, int line);

/* struct TYPE with TYPE_done called on every way out. */
#define AP_AUTO(type) __attribute__((cleanup(type##_done))) struct type

/* Hands a value over: yields it and leaves zero behind. */
#define AP_TAKE(value)                                                         \
    ({                                                                         \
        __typeof__(value) ap_taken_ = (value);                                 \
        __builtin_memset(&(value), 0, sizeof(value));                          \
        ap_taken_;                                                             \
    })

#endif
