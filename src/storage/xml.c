#include "storage/xml.h"



enum { DEPTH_MAX = 8, NAME_MAX_BYTES = 64 };

/* ---- a reader of elements ---- */

enum token_kind { TOKEN_OPEN, TOKEN_CLOSE, TOKEN_END, TOKEN_BAD };

struct token {
    enum token_kind kind;
    struct ap_str name; /* without a namespace prefix */
    bool empty;         /* <x/>: no CLOSE follows */
};

struct reader {
    struct ap_str text;
    size_t at;
    struct ap_str content; /* between the last two tokens, raw */
};

static struct ap_str slice(struct ap_str text, size_t from, size_t to)
{
    return (struct ap_str) { text.data + from, to - from };
}

static size_t find_from(struct ap_str text, size_t from, struct ap_str needle)
{
    size_t at = ap_str_find(slice(text, from, text.size), needle);
    return at == SIZE_MAX ? SIZE_MAX : from + at;
}

static const struct token bad_token = { .kind = TOKEN_BAD };

/* Passes <?…?> and <!--…-->. Any other <! (a DOCTYPE, CDATA) has no place in these documents. */
static bool skip_special(struct reader *reader)
{
    struct ap_str rest = slice(reader->text, reader->at, reader->text.size);
    bool comment = ap_str_starts_with(rest, AP_STR("<!--"));
    if (!comment && !ap_str_starts_with(rest, AP_STR("<?"))) return false;
    struct ap_str end = comment ? AP_STR("-->") : AP_STR("?>");
    size_t at = find_from(reader->text, reader->at + 2, end);
    if (at == SIZE_MAX) return false;
    reader->at = at + end.size;
    return true;
}

static struct ap_str local_name(struct ap_str tag)
{
    size_t end = 0;
    while (end < tag.size && tag.data[end] != ' ' && tag.data[end] != '\t' &&
           tag.data[end] != '\n' && tag.data[end] != '\r')
        end++;
    size_t colon = ap_str_find(slice(tag, 0, end), AP_STR(":"));
    return slice(tag, colon == SIZE_MAX ? 0 : colon + 1, end);
}

static struct token next_token(struct reader *reader)
{
    size_t from = reader->at;
    for (;;) {
        size_t open = find_from(reader->text, reader->at, AP_STR("<"));
        if (open == SIZE_MAX) {
            reader->at = reader->text.size;
            return (struct token) { .kind = TOKEN_END };
        }
        reader->content = slice(reader->text, from, open);
        reader->at = open;
        if (open + 1 < reader->text.size &&
            (reader->text.data[open + 1] == '?' || reader->text.data[open + 1] == '!')) {
            if (!skip_special(reader)) return bad_token;
            from = reader->at;
            continue;
        }
        size_t close = find_from(reader->text, open, AP_STR(">"));
        if (close == SIZE_MAX || close == open + 1) return bad_token;
        reader->at = close + 1;
        struct ap_str tag = slice(reader->text, open + 1, close);
        bool closing = tag.data[0] == '/', empty = tag.data[tag.size - 1] == '/';
        if (closing)
            tag = slice(tag, 1, tag.size);
        else if (empty)
            tag = slice(tag, 0, tag.size - 1);
        struct ap_str name = local_name(tag);
        if (name.size == 0 || name.size > NAME_MAX_BYTES) return bad_token;
        return (struct token) { closing ? TOKEN_CLOSE : TOKEN_OPEN, name, empty && !closing };
    }
}

/* ---- text ---- */

enum apiary_code ap_xml_fail(struct apiary_error *err, const char *what)
{
    return ap_fail(
        err, APIARY_CORRUPT, "the store's answer is no XML that is understood: %s", what);
}

static enum apiary_code add_code_point(struct ap_bytes *out, uint32_t c, struct apiary_error *err)
{
    char utf8[4];
    size_t size;
    if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return ap_xml_fail(err, "a broken entity");
    if (c < 0x80) {
        utf8[0] = (char)c;
        size = 1;
    } else if (c < 0x800) {
        utf8[0] = (char)(0xC0 | c >> 6);
        utf8[1] = (char)(0x80 | (c & 0x3F));
        size = 2;
    } else if (c < 0x10000) {
        utf8[0] = (char)(0xE0 | c >> 12);
        utf8[1] = (char)(0x80 | (c >> 6 & 0x3F));
        utf8[2] = (char)(0x80 | (c & 0x3F));
        size = 3;
    } else {
        utf8[0] = (char)(0xF0 | c >> 18);
        utf8[1] = (char)(0x80 | (c >> 12 & 0x3F));
        utf8[2] = (char)(0x80 | (c >> 6 & 0x3F));
        utf8[3] = (char)(0x80 | (c & 0x3F));
        size = 4;
    }
    return ap_bytes_add(out, utf8, size, err);
}

/* "#38", "#x26" */
static enum apiary_code add_numeric(
    struct ap_bytes *out, struct ap_str name, struct apiary_error *err)
{
    uint32_t value = 0;
    bool hex = name.size > 1 && (name.data[1] == 'x' || name.data[1] == 'X');
    size_t at = hex ? 2 : 1;
    if (at >= name.size || name.size > 10) return ap_xml_fail(err, "a broken entity");
    for (; at < name.size; at++) {
        char c = name.data[at];
        uint32_t digit = c >= '0' && c <= '9'          ? (uint32_t)(c - '0')
                         : hex && c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : hex && c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                       : UINT32_MAX;
        if (digit == UINT32_MAX) return ap_xml_fail(err, "a broken entity");
        value = value * (hex ? 16 : 10) + digit;
        if (value > 0x10FFFF) return ap_xml_fail(err, "a broken entity");
    }
    return add_code_point(out, value, err);
}

static enum apiary_code add_entity(
    struct ap_bytes *out, struct ap_str name, struct apiary_error *err)
{
    static const struct {
        const char *name, *text;
    } known[] = { { "amp", "&" }, { "lt", "<" }, { "gt", ">" }, { "quot", "\"" }, { "apos", "'" } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (ap_str_is(name, known[i].name)) return ap_bytes_add_text(out, known[i].text, err);
    if (name.size > 0 && name.data[0] == '#') return add_numeric(out, name, err);
    return ap_xml_fail(err, "an unknown entity");
}

/* Appends content with its entities resolved. */
static enum apiary_code add_text(struct ap_bytes *out, struct ap_str raw, struct apiary_error *err)
{
    size_t at = 0;
    while (at < raw.size) {
        size_t amp = find_from(raw, at, AP_STR("&"));
        if (amp == SIZE_MAX) amp = raw.size;
        AP_TRY(ap_bytes_add(out, raw.data + at, amp - at, err));
        if (amp == raw.size) break;
        size_t end = find_from(raw, amp, AP_STR(";"));
        if (end == SIZE_MAX) return ap_xml_fail(err, "a broken entity");
        AP_TRY(add_entity(out, slice(raw, amp + 1, end), err));
        at = end + 1;
    }
    return APIARY_OK;
}

enum apiary_code ap_xml_escape(struct ap_bytes *out, struct ap_str text, struct apiary_error *err)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < ' ' || c == '&' || c == '<' || c == '>' || c == '"')
            AP_TRY(ap_bytes_printf(out, err, "&#%u;", c));
        else
            AP_TRY(ap_bytes_add(out, &text.data[i], 1, err));
    }
    return APIARY_OK;
}

/* ---- a walk over leaves ---- */

enum apiary_code ap_xml_walk(struct ap_str document, struct ap_str root, ap_xml_leaf *leaf,
    void *context, struct apiary_error *err)
{
    struct reader reader = { .text = document };
    struct ap_str open[DEPTH_MAX];
    int depth = 0;
    bool seen_root = false;
    AP_AUTO(ap_bytes) text = { 0 };
    for (;;) {
        struct token token = next_token(&reader);
        if (token.kind == TOKEN_BAD) return ap_xml_fail(err, "a broken tag");
        if (token.kind == TOKEN_END) {
            if (depth > 0 || !seen_root) return ap_xml_fail(err, "it is cut");
            return APIARY_OK;
        }
        if (token.kind == TOKEN_OPEN) {
            if (depth == DEPTH_MAX) return ap_xml_fail(err, "too deep");
            if (depth == 0 && (seen_root || !ap_str_equal(token.name, root)))
                return ap_xml_fail(err, "another document");
            seen_root = true;
            open[depth++] = token.name;
            if (!token.empty) continue;
            reader.content = (struct ap_str) { "", 0 };
        } else if (depth == 0 || !ap_str_equal(open[depth - 1], token.name)) {
            return ap_xml_fail(err, "tags that do not match");
        }
        ap_bytes_clear(&text);
        AP_TRY(add_text(&text, reader.content, err));
        struct ap_str parent = depth > 1 ? open[depth - 2] : (struct ap_str) { "", 0 };
        AP_TRY(leaf(context, parent, open[depth - 1], ap_bytes_view(&text), err));
        depth--;
    }
}
