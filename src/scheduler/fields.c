/* See fields.h. */
#include "scheduler/fields.h"
#include "meta/plan/codec_seal.h"
#include <string.h>

bool tr_text_keeps(const char *s, enum tr_text_rule rule, size_t most) {
  static const char *const allowed[] = {
      [TR_RULE_NAME] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
      [TR_RULE_ID] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
      [TR_RULE_CLASS] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._",
      /* id.ciphertext, both base64url: whatever a worker says about data comes in this form, or not at all. */
      [TR_RULE_SEALED] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.",
      [TR_RULE_INSTANCE] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/._-"};
  size_t n = strlen(s);
  if (n == 0 || n > most) return false;
  if (rule == TR_RULE_ANY) return true;
  if (s[strspn(s, allowed[rule])]) return false;
  if (rule == TR_RULE_SEALED) return tr_seal_is_form(s, n);
  return rule != TR_RULE_CLASS || s[0] > '9';
}

bool tr_fields_begin(struct tr_fields *f, const json_t *object, const char *where, struct tr_fault *fault) {
  *f = (struct tr_fields){object, where, fault, 0};
  return json_is_object(object) || tr_fault_set(fault, 400, "invalid_body", "%s is no JSON object", where);
}

static bool wrong(struct tr_fields *f, const char *name, const char *what) {
  return tr_fault_set(f->fault, 400, "invalid_body", "%s: \"%s\" %s", f->where, name, what);
}

/* The field, or NULL; *ok tells whether its absence is all right. */
static const json_t *take(struct tr_fields *f, const char *name, bool optional, bool *ok) {
  const json_t *v = json_object_get(f->object, name);
  *ok = v || optional || wrong(f, name, "is missing");
  f->seen += v != NULL;
  return v;
}

bool tr_fields_text(struct tr_fields *f, const char *name, bool optional, enum tr_text_rule rule, size_t most,
                    const char **out) {
  static const char *const rules[] = {"is no name of letters, digits, dot, dash and underscore", "is no id",
                                      "is no name of an error class", "is not sealed", "is no name of an instance",
                                      "is too long or empty"};
  bool ok;
  const json_t *v = take(f, name, optional, &ok);
  if (!v) return ok;
  if (!json_is_string(v)) return wrong(f, name, "is no text");
  if (!tr_text_keeps(json_string_value(v), rule, most) || strlen(json_string_value(v)) != json_string_length(v))
    return wrong(f, name, json_string_length(v) > most ? "is too long" : rules[rule]);
  *out = json_string_value(v);
  return true;
}

bool tr_fields_int(struct tr_fields *f, const char *name, bool optional, int64_t least, int64_t most, int64_t *out) {
  bool ok;
  const json_t *v = take(f, name, optional, &ok);
  if (!v) return ok;
  if (!json_is_integer(v)) return wrong(f, name, "is no integer");
  int64_t n = json_integer_value(v);
  if (n < least || n > most)
    return tr_fault_set(f->fault, 400, "invalid_body", "%s: \"%s\" is %lld: %lld to %lld are possible", f->where, name,
                        (long long)n, (long long)least, (long long)most);
  *out = n;
  return true;
}

bool tr_fields_bool(struct tr_fields *f, const char *name, bool optional, bool *out) {
  bool ok;
  const json_t *v = take(f, name, optional, &ok);
  if (!v) return ok;
  if (!json_is_boolean(v)) return wrong(f, name, "is neither true nor false");
  *out = json_is_true(v);
  return true;
}

bool tr_fields_number(struct tr_fields *f, const char *name, bool optional, double most, double *out) {
  bool ok;
  const json_t *v = take(f, name, optional, &ok);
  if (!v) return ok;
  if (!json_is_number(v)) return wrong(f, name, "is no number");
  double x = json_number_value(v);
  if (!(x >= 0 && x <= most)) return wrong(f, name, "is out of range");
  *out = x;
  return true;
}

bool tr_fields_list(struct tr_fields *f, const char *name, bool optional, size_t most, const json_t **out) {
  bool ok;
  const json_t *v = take(f, name, optional, &ok);
  if (!v) return ok;
  if (!json_is_array(v)) return wrong(f, name, "is no list");
  if (json_array_size(v) > most)
    return tr_fault_set(f->fault, 400, "invalid_body", "%s: \"%s\" has %zu entries, more than %zu", f->where, name,
                        json_array_size(v), most);
  *out = v;
  return true;
}

bool tr_fields_any(struct tr_fields *f, const char *name, bool optional, const json_t **out) {
  bool ok;
  const json_t *v = take(f, name, optional, &ok);
  if (v) *out = v;
  return ok;
}

bool tr_fields_end(struct tr_fields *f) {
  if (f->seen == json_object_size(f->object)) return true;
  return tr_fault_set(f->fault, 400, "invalid_body",
                      "%s has %zu fields, only %zu of them are known here (docs: /v1/openapi.json)", f->where,
                      json_object_size(f->object), f->seen);
}
