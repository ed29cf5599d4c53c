/* The table of codes for callers. */
#include "api/handle.h"

const char *apiary_code_name(int code)
{
    switch (code) {
#define CASE(name, value, text) \
    case value: return #name;
        APIARY_CODES(CASE)
#undef CASE
    default: return "UNKNOWN";
    }
}

const char *apiary_code_text(int code)
{
    switch (code) {
#define CASE(name, value, text) \
    case value: return text;
        APIARY_CODES(CASE)
#undef CASE
    default: return "an unknown code";
    }
}
