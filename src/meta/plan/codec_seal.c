/* Sealing and unsealing the text of plans: see codec_seal.h. The text is not parsed into a tree and printed again,
 * since unsealing must give back every byte: a scanner finds the expressions and their fields, and stretches are
 * exchanged. */
#include "meta/plan/codec_seal.h"
#include <stdlib.h>
#include <string.h>

struct bytes {
  char *p;
  size_t n, room;
};

static enum tr_status put(struct bytes *b, const char *s, size_t n, struct tr_error *err) {
  if (b->n + n + 1 > b->room) {
    size_t room = b->n + n + 1 + b->room;
    char *grown = realloc(b->p, room);
    if (!grown) return tr_fail_memory(err, room);
    b->p = grown;
    b->room = room;
  }
  if (n) memcpy(b->p + b->n, s, n);
  b->n += n;
  b->p[b->n] = 0;
  return TR_OK;
}

/* ---- base64url without padding */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encoded_size(size_t n) { return (n * 4 + 2) / 3; }

static void encode(const uint8_t *p, size_t n, char *out) {
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
    *out++ = alphabet[v >> 18];
    *out++ = alphabet[v >> 12 & 63];
    if (i + 1 < n) *out++ = alphabet[v >> 6 & 63];
    if (i + 2 < n) *out++ = alphabet[v & 63];
  }
}

static int digit_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* out has room for n * 3 / 4 bytes; false when it is no canonical base64url. */
static bool decode(const char *s, size_t n, uint8_t *out) {
  uint32_t v = 0;
  int bits = 0;
  if (n % 4 == 1) return false;
  for (size_t i = 0; i < n; i++) {
    int digit = digit_of(s[i]);
    if (digit < 0) return false;
    v = v << 6 | (uint32_t)digit;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    *out++ = (uint8_t)(v >> bits);
    v &= (1u << bits) - 1;
  }
  return v == 0;
}

enum { ID_TEXT = 22, OVERHEAD = TR_SEAL_NONCE + TR_SEAL_TAG };

bool tr_seal_is_form(const char *s, size_t n) {
  if (n < ID_TEXT + 1 + encoded_size(OVERHEAD) || s[ID_TEXT] != '.') return false;
  for (size_t i = 0; i < n; i++)
    if (i != ID_TEXT && digit_of(s[i]) < 0) return false;
  return true;
}

enum tr_status tr_seal_bytes(const void *bytes, size_t n, const struct tr_seal_hooks *hooks, char **out,
                             struct tr_error *err) {
  uint8_t id[32];
  size_t size = ID_TEXT + 1 + encoded_size(n + OVERHEAD);
  enum tr_status st;
  *out = NULL;
  uint8_t *hidden = malloc(n + OVERHEAD);
  char *text = malloc(size + 1);
  if (!hidden || !text) TR_GOTO(st, tr_fail_memory(err, size));
  TR_GOTO(st, hooks->hmac(hooks->arg, bytes, n, id, err));
  TR_GOTO(st, hooks->encrypt(hooks->arg, bytes, n, hidden, err));
  encode(id, TR_SEAL_ID, text);
  text[ID_TEXT] = '.';
  encode(hidden, n + OVERHEAD, text + ID_TEXT + 1);
  text[size] = 0;
  *out = text;
  text = NULL;
done:
  free(hidden);
  free(text);
  return st;
}

enum tr_status tr_unseal_bytes(const char *sealed, size_t len, const struct tr_seal_hooks *hooks, char **out, size_t *n,
                               struct tr_error *err) {
  uint8_t id[32], given[TR_SEAL_ID];
  enum tr_status st;
  *out = NULL;
  *n = 0;
  if (!tr_seal_is_form(sealed, len)) return tr_fail(err, TR_EXC_VALUE, "plan: a sealed value of another form");
  size_t text = len - ID_TEXT - 1, hidden_size = text / 4 * 3 + (text % 4 * 3) / 4;
  uint8_t *hidden = malloc(text + 1), *plain = malloc(hidden_size + 1);
  if (!hidden || !plain) TR_GOTO(st, tr_fail_memory(err, text));
  bool ok = decode(sealed, ID_TEXT, given) && decode(sealed + ID_TEXT + 1, text, hidden) && hidden_size >= OVERHEAD;
  if (!ok) TR_GOTO(st, tr_fail(err, TR_EXC_VALUE, "plan: a sealed value of another form"));
  TR_GOTO(st, hooks->decrypt(hooks->arg, hidden, hidden_size, plain, err));
  *n = hidden_size - OVERHEAD;
  TR_GOTO(st, hooks->hmac(hooks->arg, plain, *n, id, err));
  if (memcmp(id, given, TR_SEAL_ID) != 0)
    TR_GOTO(st, tr_fail(err, TR_EXC_VALUE, "plan: a sealed value under the id of another"));
  plain[*n] = 0;
  *out = (char *)plain;
  plain = NULL;
done:
  free(hidden);
  free(plain);
  return st;
}

/* ---- the scanner: positions in JSON without white space. Each function gives the end of what it skipped, NULL where
 * the text is not such JSON. */
static const char *skip_string(const char *at, const char *end) {
  if (at >= end || *at != '"') return NULL;
  for (at++; at < end && *at != '"'; at++)
    if (*at == '\\') at++;
  return at < end ? at + 1 : NULL;
}

static const char *skip_value(const char *at, const char *end) {
  int depth = 0;
  while (at < end) {
    char c = *at;
    if (c == '"') {
      at = skip_string(at, end);
      if (!at) return NULL;
    } else if (c == '{' || c == '[') {
      depth++;
      at++;
    } else if ((c == ',' || c == '}' || c == ']') && depth == 0) {
      return at;
    } else {
      depth -= c == '}' || c == ']';
      at++;
    }
    if (depth == 0 && (at >= end || *at == ',' || *at == '}' || *at == ']')) return at;
  }
  return NULL;
}

struct member {
  const char *key, *value, *end; /* key at its quote */
  size_t key_size;               /* without quotes */
};

/* The member of an object that begins at `at`, which is behind '{' or ','. */
static bool read_member(const char *at, const char *end, struct member *m) {
  m->key = at;
  const char *colon = skip_string(at, end);
  if (!colon || colon >= end || *colon != ':') return false;
  m->key_size = (size_t)(colon - at) - 2;
  m->value = colon + 1;
  m->end = skip_value(m->value, end);
  return m->end != NULL && m->end < end;
}

static bool is_key(const struct member *m, const char *name) {
  return m->key_size == strlen(name) && memcmp(m->key + 1, name, m->key_size) == 0;
}

/* Begin and end of the stretch that is exchanged in one expression; NULL = nothing. */
struct stretch {
  const char *begin, *end;
};

static bool is_value_field(const struct member *m) {
  return is_key(m, "lit") || is_key(m, "text") || is_key(m, "text2") || is_key(m, "list");
}

static bool is_sealed_field(const struct member *m) { return is_key(m, "sealed"); }

/* Fields wanted of the object [at, …) (at '{'); they stand side by side. Gives the object's end. */
static const char *find_stretch(const char *at, const char *end, bool (*wanted)(const struct member *),
                                struct stretch *out) {
  struct member m;
  *out = (struct stretch){0};
  if (at >= end || *at != '{') return NULL;
  do {
    if (!read_member(at + 1, end, &m)) return NULL;
    if (wanted(&m)) {
      if (out->begin && out->end + 1 != m.key) return NULL;
      if (!out->begin) out->begin = m.key;
      out->end = m.end;
    }
    at = m.end;
  } while (*at == ',');
  return *at == '}' ? at + 1 : NULL;
}

/* What unsealing brought must be value fields and nothing else. */
static bool only_values(const char *at, size_t n) {
  struct member m;
  const char *end = at + n; /* the NUL behind it stands for the end of the object */
  do {
    const char *colon = skip_string(at, end);
    if (!colon || colon >= end || *colon != ':') return false;
    m = (struct member){.key = at, .key_size = (size_t)(colon - at) - 2};
    if (!is_value_field(&m)) return false;
    const char *next = skip_value(colon + 1, end);
    if (!next) return false;
    if (next == end) return true;
    at = next + 1;
    if (*next != ',') return false;
  } while (at < end);
  return false;
}

typedef enum tr_status (*exchange_fn)(const struct tr_seal_hooks *, struct stretch, struct bytes *, struct tr_error *);

static enum tr_status seal_stretch(const struct tr_seal_hooks *hooks, struct stretch s, struct bytes *out,
                                   struct tr_error *err) {
  char *sealed;
  TR_TRY(tr_seal_bytes(s.begin, (size_t)(s.end - s.begin), hooks, &sealed, err));
  enum tr_status st = put(out, "\"sealed\":\"", 10, err);
  if (st == TR_OK) st = put(out, sealed, strlen(sealed), err);
  if (st == TR_OK) st = put(out, "\"", 1, err);
  free(sealed);
  return st;
}

static enum tr_status unseal_stretch(const struct tr_seal_hooks *hooks, struct stretch s, struct bytes *out,
                                     struct tr_error *err) {
  const char *begin = s.begin + strlen("\"sealed\":\"");
  char *plain;
  size_t n;
  if (begin >= s.end || begin[-1] != '"') return tr_fail(err, TR_EXC_VALUE, "plan: a sealed value of another form");
  TR_TRY(tr_unseal_bytes(begin, (size_t)(s.end - 1 - begin), hooks, &plain, &n, err));
  enum tr_status st = only_values(plain, n) ? put(out, plain, n, err)
                                            : tr_fail(err, TR_EXC_VALUE, "plan: a sealed value of another form");
  free(plain);
  return st;
}

static enum tr_status not_ours(struct tr_error *err) {
  return tr_fail(err, TR_EXC_VALUE, "plan: not as this engine writes it");
}

/* Copies the array of expressions at `at` ('['), exchanging stretches; *at moves behind it. */
static enum tr_status exchange_all(const char **at, const char *end, bool (*wanted)(const struct member *),
                                   exchange_fn exchange, const struct tr_seal_hooks *hooks, struct bytes *out,
                                   struct tr_error *err) {
  const char *p = *at;
  if (p + 1 >= end || *p != '[') return not_ours(err);
  TR_TRY(put(out, "[", 1, err));
  for (p++; *p != ']';) {
    struct stretch s;
    const char *next = find_stretch(p, end, wanted, &s);
    if (!next || next >= end || (*next != ',' && *next != ']')) return not_ours(err);
    if (s.begin) {
      TR_TRY(put(out, p, (size_t)(s.begin - p), err));
      TR_TRY(exchange(hooks, s, out, err));
      p = s.end;
    }
    if (*next == ',') next++;
    TR_TRY(put(out, p, (size_t)(next - p), err));
    p = next;
  }
  *at = p;
  return TR_OK;
}

static enum tr_status rewrite(const char *text, size_t n, bool (*wanted)(const struct member *), exchange_fn exchange,
                              const struct tr_seal_hooks *hooks, char **out, struct tr_error *err) {
  const char *end = text + n, *at = text;
  struct bytes all = {0};
  struct member m;
  enum tr_status st = TR_OK;
  *out = NULL;
  if (n < 2 || *at != '{' || memchr(text, 0, n)) return not_ours(err);
  do {
    if (!read_member(at + 1, end, &m)) TR_GOTO(st, not_ours(err));
    TR_GOTO(st, put(&all, at, (size_t)(m.value - at), err));
    at = m.value;
    if (is_key(&m, "exprs")) TR_GOTO(st, exchange_all(&at, end, wanted, exchange, hooks, &all, err));
    TR_GOTO(st, put(&all, at, (size_t)(m.end - at), err));
    at = m.end;
  } while (*at == ',');
  if (*at != '}' || at + 1 != end) TR_GOTO(st, not_ours(err));
  TR_GOTO(st, put(&all, "}", 1, err));
  *out = all.p;
  return TR_OK;
done:
  free(all.p);
  return st;
}

enum tr_status tr_plan_seal(const char *text, size_t n, const struct tr_seal_hooks *hooks, char **out,
                            struct tr_error *err) {
  return rewrite(text, n, is_value_field, seal_stretch, hooks, out, err);
}

enum tr_status tr_plan_unseal(const char *text, size_t n, const struct tr_seal_hooks *hooks, char **out,
                              struct tr_error *err) {
  return rewrite(text, n, is_sealed_field, unseal_stretch, hooks, out, err);
}
