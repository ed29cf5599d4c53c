#include "value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_done(struct text *text)
{
    free(text->data);
    memset(text, 0, sizeof *text);
}

void text_clear(struct text *text)
{
    text->size = 0;
    if (text->data != NULL) text->data[0] = '\0';
}

static bool text_reserve(struct text *text, size_t extra)
{
    if (text->failed || extra > SIZE_MAX / 4) text->failed = true;
    if (text->failed) return false;
    size_t need = text->size + extra + 1;
    if (need <= text->capacity) return true;
    size_t wider = text->capacity < 64 ? 64 : text->capacity;
    while (wider < need) wider *= 2;
    char *more = realloc(text->data, wider);
    if (more == NULL) {
        text->failed = true;
        return false;
    }
    text->data = more;
    text->capacity = wider;
    return true;
}

void text_add(struct text *text, const char *data, size_t size)
{
    if (!text_reserve(text, size)) return;
    if (size > 0) memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void text_puts(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (size < 0) return;
    if ((size_t)size < sizeof line) {
        text_add(text, line, (size_t)size);
        return;
    }
    if (!text_reserve(text, (size_t)size)) return;
    va_start(args, format);
    vsnprintf(text->data + text->size, (size_t)size + 1, format, args);
    va_end(args);
    text->size += (size_t)size;
}

void text_add_printable(struct text *out, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c == '\n') text_puts(out, "\\n");
        else if (c == '\t') text_puts(out, "\\t");
        else if (c == '\r') text_puts(out, "\\r");
        else if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < size && (unsigned char)data[i + 1] < 0xa0)) text_printf(out, "\\x%02x", c);
        else text_add(out, data + i, 1);
    }
}

/* Bytes of the UTF-8 character at data, 0 when it is none. */
static size_t utf8_length(const unsigned char *data, size_t size)
{
    unsigned char c = data[0];
    size_t length = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (length == 0 || length > size) return 0;
    for (size_t i = 1; i < length; i++)
        if ((data[i] & 0xc0) != 0x80) return 0;
    if (length == 3 && ((c == 0xe0 && data[1] < 0xa0) || (c == 0xed && data[1] > 0x9f))) return 0;
    if (length == 4 && ((c == 0xf0 && data[1] < 0x90) || (c == 0xf4 && data[1] > 0x8f))) return 0;
    return length;
}

void json_quote(struct text *out, const char *data, size_t size)
{
    text_add(out, "\"", 1);
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)data[i];
        size_t length = utf8_length((const unsigned char *)data + i, size - i);
        if (length == 0) {
            text_puts(out, "\xef\xbf\xbd");
            i++;
        } else if (c == '"' || c == '\\') {
            text_printf(out, "\\%c", c);
            i++;
        } else if (c < 0x20) {
            if (c == '\n') text_puts(out, "\\n");
            else if (c == '\t') text_puts(out, "\\t");
            else if (c == '\r') text_puts(out, "\\r");
            else text_printf(out, "\\u%04x", c);
            i++;
        } else {
            text_add(out, data + i, length);
            i += length;
        }
    }
    text_add(out, "\"", 1);
}
