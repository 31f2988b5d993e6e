/* Bodies of requests and settings, field by field. Every refusal names the field and where it stands. */
#pragma once
#include "scheduler/state/state.h"
#include <jansson.h>

/* Reading a JSON object: each call takes one field and says false, with a 400 naming it, when it is not right. The last
 * call is tr_fields_end, which refuses what nobody asked for. */
struct tr_fields {
  const json_t *object;
  const char *where; /* for messages: "the body", "reports[3]" */
  struct tr_fault *fault;
  size_t seen;
};
enum tr_text_rule { TR_RULE_NAME, TR_RULE_ID, TR_RULE_CLASS, TR_RULE_SEALED, TR_RULE_INSTANCE, TR_RULE_ANY };
bool tr_fields_begin(struct tr_fields *f, const json_t *object, const char *where, struct tr_fault *fault);
/* Optional fields have a fallback: *out is left as it is when the field is absent. */
bool tr_fields_text(struct tr_fields *f, const char *name, bool optional, enum tr_text_rule rule, size_t most,
                    const char **out);
bool tr_fields_int(struct tr_fields *f, const char *name, bool optional, int64_t least, int64_t most, int64_t *out);
bool tr_fields_bool(struct tr_fields *f, const char *name, bool optional, bool *out);
bool tr_fields_number(struct tr_fields *f, const char *name, bool optional, double most, double *out);
bool tr_fields_list(struct tr_fields *f, const char *name, bool optional, size_t most, const json_t **out);
bool tr_fields_any(struct tr_fields *f, const char *name, bool optional, const json_t **out);
bool tr_fields_end(struct tr_fields *f);
/* Whether the text keeps the rule. */
bool tr_text_keeps(const char *s, enum tr_text_rule rule, size_t most);
