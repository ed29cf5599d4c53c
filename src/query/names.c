/* One, two or three parts of a name against where the session stands: a short name is completed
 * from the right, so two parts are box.frame in the current hive (design, section 3). */
#include "query/ddl.h"
#include "query/temporary.h"

#include <stdio.h>

static enum apiary_code take_part(const char *part, const char *fallback, enum ap_name_kind kind,
    char out[AP_NAME_MAX + 1], struct apiary_error *err)
{
    const char *text = part != NULL ? part : fallback;
    if (strlen(text) > AP_NAME_MAX)
        return ap_fail(err, APIARY_NOT_FOUND, "no %s can have so long a name as \"%.40s…\"",
            ap_name_kind_text(kind), text);
    snprintf(out, AP_NAME_MAX + 1, "%s", text);
    return APIARY_OK;
}

enum apiary_code ap_names_complete(struct ap_session *session, const struct ap_object_name *name,
    enum ap_name_kind kind, struct ap_name3 *out, struct apiary_error *err)
{
    size_t whole = kind == AP_NAME_HIVE ? 1 : kind == AP_NAME_BOX ? 2 : 3;
    struct ap_name3 complete = { 0 };
    const char *parts[AP_NAME_PARTS_MAX] = { NULL, NULL, NULL };
    if (name->count > whole)
        return ap_fail(err, APIARY_SQL, "the name of a %s has at most %zu part%s, this has %zu",
            ap_name_kind_text(kind), whole, whole > 1 ? "s" : "", name->count);
    for (size_t i = 0; i < name->count; i++) parts[whole - name->count + i] = name->parts[i];
    AP_TRY(take_part(parts[0], session->hive, AP_NAME_HIVE, complete.hive, err));
    if (whole > 1) AP_TRY(take_part(parts[1], session->box, AP_NAME_BOX, complete.box, err));
    if (whole > 2) AP_TRY(take_part(parts[2], "", AP_NAME_FRAME, complete.frame, err));
    *out = complete;
    return APIARY_OK;
}

enum apiary_code ap_names_find(struct ap_session *session, const struct ap_object_name *name,
    struct ap_name3 *out, struct apiary_error *err)
{
    AP_TRY(ap_names_complete(session, name, AP_NAME_FRAME, out, err));
    if (name->count != 1 || !ap_temporary_has(session, out->frame)) return APIARY_OK;
    snprintf(out->hive, sizeof out->hive, "temp");
    snprintf(out->box, sizeof out->box, "main");
    return APIARY_OK;
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool ap_name_like(const char *name, const char *pattern)
{
    const char *star = NULL, *from = NULL; /* after the last %, and where it was tried last */
    if (pattern == NULL) return true;
    while (*name) {
        if (*pattern == '%') {
            star = ++pattern;
            from = name;
        } else if (*pattern == '_') {
            pattern++;
            do name++;
            while (((unsigned char)*name & 0xC0) == 0x80); /* a character, whatever its bytes */
        } else if (*pattern && lower(*pattern) == lower(*name)) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star;
            name = ++from;
        } else
            return false;
    }
    while (*pattern == '%') pattern++;
    return *pattern == '\0';
}
