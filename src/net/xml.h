/* Replies of S3, Azure and AWS' query APIs, which are small XML documents: a flat walk over them by expat. */
#pragma once
#include "base/status.h"

/* Called at the end of each element with its name, its parent's ("" for the root) and its text (0-terminated, blanks
 * kept). Elements come after those inside of them. */
typedef enum tr_status (*tr_xml_visit)(void *arg, const char *parent, const char *name, const char *text,
                                       struct tr_error *err);
/* TR_EXC_OS when it is no XML, nests deeper than 16, or declares a document type (an attack on memory begins so). */
TR_MUST_USE enum tr_status tr_xml_walk(const void *data, size_t bytes, tr_xml_visit visit, void *arg,
                                       struct tr_error *err);
/* The text of the first element of that name, cut at `size`; false when there is none. */
bool tr_xml_find(const void *data, size_t bytes, const char *name, char *out, size_t size);
/* "2024-05-06T07:08:09.123Z" or "Mon, 06 May 2024 07:08:09 GMT" as nanoseconds since 1970; 0 when it is neither. */
int64_t tr_time_parse(const char *text);
