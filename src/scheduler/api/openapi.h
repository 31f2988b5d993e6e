/* docs/openapi.json, built into the program (openapi.S). */
#pragma once
#include <stddef.h>

extern const char tr_openapi_json[];
extern const size_t tr_openapi_json_bytes;
