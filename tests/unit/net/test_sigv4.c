/* src/net/sigv4: the examples of AWS' documentation ("Signature Calculations for the Authorization Header" and "Query
 * String Authentication", S3), and, where the folder named by the first argument exists, all cases of AWS' published
 * suite, signed in headers and in the query.
 */
#include "base/mem.h"
#include "net/sigv4.h"
#include "net/url.h"
#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *suite;

static const struct tr_sigv4 s3_signer = {.access_key = "AKIAIOSFODNN7EXAMPLE",
                                          .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                          .region = "us-east-1",
                                          .service = "s3",
                                          .time = 1369353600};

static void expect_authorization(const struct tr_sigv4_request *r, const char *names, const char *signature) {
  struct tr_error err;
  struct tr_text out = {0}, want = {0};
  tr_text_add_format(&want,
                     "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                     "SignedHeaders=%s, Signature=%s",
                     names, signature);
  assert_int_equal(tr_sigv4_authorize(&s3_signer, r, &out, &err), TR_OK);
  assert_string_equal(out.data, want.data);
  tr_text_free(&out);
  tr_text_free(&want);
}

static void documented_s3(void **state) {
  (void)state;
  const struct tr_http_header get[] = {
      {"Range", "bytes=0-9"}, {"x-amz-content-sha256", TR_SIGV4_EMPTY_HASH}, {"x-amz-date", "20130524T000000Z"}};
  struct tr_sigv4_request r = {.method = "GET",
                               .url = "https://examplebucket.s3.amazonaws.com/test.txt",
                               .headers = get,
                               .n_headers = 3,
                               .payload_hash = TR_SIGV4_EMPTY_HASH};
  expect_authorization(&r, "host;range;x-amz-content-sha256;x-amz-date",
                       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  const char *hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
  const struct tr_http_header put[] = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                                       {"x-amz-date", "20130524T000000Z"},
                                       {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                       {"x-amz-content-sha256", hash}};
  r = (struct tr_sigv4_request){.method = "PUT",
                                .url = "https://examplebucket.s3.amazonaws.com/test%24file.text",
                                .headers = put,
                                .n_headers = 4,
                                .payload_hash = hash};
  expect_authorization(&r, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  r = (struct tr_sigv4_request){.method = "GET",
                                .url = "https://examplebucket.s3.amazonaws.com/?lifecycle",
                                .headers = get + 1,
                                .n_headers = 2,
                                .payload_hash = TR_SIGV4_EMPTY_HASH};
  expect_authorization(&r, "host;x-amz-content-sha256;x-amz-date",
                       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  r.url = "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J";
  expect_authorization(&r, "host;x-amz-content-sha256;x-amz-date",
                       "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void documented_presigned(void **state) {
  (void)state;
  struct tr_error err;
  struct tr_text out = {0};
  const struct tr_sigv4_request r = {
      .method = "GET", .url = "https://examplebucket.s3.amazonaws.com/test.txt", .payload_hash = TR_SIGV4_UNSIGNED};
  assert_int_equal(tr_sigv4_presign(&s3_signer, &r, NULL, 86400, &out, &err), TR_OK);
  assert_non_null(strstr(out.data, "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"));
  assert_non_null(
      strstr(out.data, "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"));
  tr_text_free(&out);
}

static void canonical_forms(void **state) {
  (void)state;
  struct tr_error err;
  struct tr_text out = {0};
  struct tr_sigv4 s = s3_signer;
  struct tr_sigv4_request r = {
      .method = "GET", .url = "http://h:9000/a%20b//../c?b=2&a=%7e&a&B=x%2fy&b=1", .payload_hash = "p"};
  assert_int_equal(tr_sigv4_canonical(&s, &r, &out, &err), TR_OK);
  assert_string_equal(out.data, "GET\n/a%20b//../c\nB=x%2Fy&a=&a=~&b=1&b=2\nhost:h:9000\n\nhost\np");
  tr_text_clear(&out);
  s.normalize_path = s.escape_path = true;
  r.url = "http://h:80/a%20b//./c/../d/";
  assert_int_equal(tr_sigv4_canonical(&s, &r, &out, &err), TR_OK);
  assert_string_equal(out.data, "GET\n/a%2520b/d/\n\nhost:h\n\nhost\np");
  tr_text_free(&out);
}

/* --- the published suite --- */

static char *file_text(const char *folder, const char *name) {
  char path[600];
  snprintf(path, sizeof path, "%s/%s/%s", suite, folder, name);
  FILE *f = fopen(path, "r");
  if (!f) fail_msg("no %s", path);
  char *text = calloc(1, 1 << 16);
  size_t n = fread(text, 1, (1 << 16) - 1, f);
  fclose(f);
  while (n && text[n - 1] == '\n') text[--n] = 0;
  return text;
}

static void expect_file(const char *folder, const char *kind, const char *name, const char *got) {
  char file[100];
  snprintf(file, sizeof file, "%s-%s", kind, name);
  char *want = file_text(folder, file);
  if (strcmp(want, got) != 0) fail_msg("%s/%s: expected\n%s\ngot\n%s", folder, file, want, got);
  free(want);
}

struct parsed {
  char *text, method[10], url[2000];
  struct tr_http_header headers[20];
  int n;
  char hash[65];
  const char *body;
};

/* Takes request.txt apart: its raw path as it stands on the wire, folded header lines made one. */
static void parse_request(const char *folder, struct parsed *p) {
  memset(p, 0, sizeof *p);
  p->text = file_text(folder, "request.txt");
  char *line_end = strchr(p->text, '\n');
  char *head = line_end ? line_end + 1 : p->text + strlen(p->text);
  char *http = strstr(p->text, " HTTP/1.1"), *path = strchr(p->text, ' ') + 1;
  *http = 0;
  snprintf(p->method, sizeof p->method, "%.*s", (int)(path - 1 - p->text), p->text);
  char *body = strstr(head, "\n\n");
  p->body = body ? body + 2 : "";
  if (body) *body = 0;
  for (char *line = head; line && *line;) {
    char *end = line - 1;
    do end = strchr(end + 1, '\n');
    while (end && (end[1] == ' ' || end[1] == '\t'));
    if (end) *end = 0;
    char *colon = strchr(line, ':');
    *colon = 0;
    for (char *c = colon + 1; *c; c++)
      if (*c == '\n') *c = ' ';
    p->headers[p->n++] = (struct tr_http_header){line, colon + 1};
    line = end ? end + 1 : NULL;
  }
  struct tr_text url = {0};
  size_t n = strcspn(path, "?");
  tr_url_escape(&url, path, n, true);
  tr_text_add_str(&url, path + n);
  snprintf(p->url, sizeof p->url, "https://example.amazonaws.com%s", url.data);
  tr_text_free(&url);
  uint8_t hash[32];
  assert_int_equal(tr_crypto_sha256(p->body, strlen(p->body), hash, NULL), TR_OK);
  tr_hex_encode(hash, 32, p->hash);
}

static void check(const char *folder, const char *kind, const struct tr_sigv4 *s, const struct tr_sigv4_request *r) {
  struct tr_text canonical = {0}, to_sign = {0};
  assert_int_equal(tr_sigv4_canonical(s, r, &canonical, NULL), TR_OK);
  expect_file(folder, kind, "canonical-request.txt", canonical.data);
  assert_int_equal(tr_sigv4_string_to_sign(s, canonical.data, &to_sign, NULL), TR_OK);
  expect_file(folder, kind, "string-to-sign.txt", to_sign.data);
  tr_text_free(&canonical);
  tr_text_free(&to_sign);
}

static void expect_signature(const char *folder, const char *kind, const char *text) {
  const char *at = strstr(text, "Signature=");
  assert_non_null(at);
  expect_file(folder, kind, "signature.txt", at + 10);
}

static void run_case(const char *folder, const struct tr_sigv4 *s, const char *token, bool sign_body, int64_t expires) {
  struct parsed p;
  struct tr_text out = {0};
  parse_request(folder, &p);
  struct tr_sigv4_request r = {
      .method = p.method, .url = p.url, .headers = p.headers, .n_headers = p.n, .payload_hash = p.hash};
  /* in the query */
  assert_int_equal(tr_sigv4_presign(s, &r, token, expires, &out, NULL), TR_OK);
  expect_signature(folder, "query", out.data);
  struct tr_sigv4_request presigned = r;
  *strstr(out.data, "&X-Amz-Signature=") = 0;
  presigned.url = out.data;
  check(folder, "query", s, &presigned);
  tr_text_clear(&out);
  /* in headers */
  char when[TR_SIGV4_TIME_SIZE];
  tr_sigv4_time(s->time, when);
  p.headers[p.n++] = (struct tr_http_header){"X-Amz-Date", when};
  if (token) p.headers[p.n++] = (struct tr_http_header){"X-Amz-Security-Token", token};
  if (sign_body) p.headers[p.n++] = (struct tr_http_header){"x-amz-content-sha256", p.hash};
  r.n_headers = p.n;
  check(folder, "header", s, &r);
  assert_int_equal(tr_sigv4_authorize(s, &r, &out, NULL), TR_OK);
  expect_signature(folder, "header", out.data);
  tr_text_free(&out);
  free(p.text);
}

static const char *text_of(json_t *o, const char *name) { return json_string_value(json_object_get(o, name)); }

static void published_suite(void **state) {
  (void)state;
  DIR *dir = suite ? opendir(suite) : NULL;
  if (!dir) {
    print_message("no folder of published cases: skipped\n");
    skip();
  }
  int cases = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    if (e->d_name[0] == '.') continue;
    char *text = file_text(e->d_name, "context.json");
    json_t *context = json_loads(text, 0, NULL), *keys = json_object_get(context, "credentials");
    assert_non_null(context);
    struct tm tm = {0};
    assert_non_null(strptime(text_of(context, "timestamp"), "%Y-%m-%dT%H:%M:%SZ", &tm));
    const struct tr_sigv4 s = {.access_key = text_of(keys, "access_key_id"),
                               .secret_key = text_of(keys, "secret_access_key"),
                               .region = text_of(context, "region"),
                               .service = text_of(context, "service"),
                               .time = timegm(&tm),
                               .normalize_path = json_is_true(json_object_get(context, "normalize"))};
    const char *token = text_of(keys, "token");
    if (json_is_true(json_object_get(context, "omit_session_token"))) token = NULL;
    run_case(e->d_name, &s, token, json_is_true(json_object_get(context, "sign_body")),
             json_integer_value(json_object_get(context, "expiration_in_seconds")));
    json_decref(context);
    free(text);
    cases++;
  }
  closedir(dir);
  print_message("%d published cases\n", cases);
  assert_true(cases >= 38);
}

static void leaves_nothing(void **state) {
  (void)state;
  assert_int_equal(tr_mem_used(), 0);
}

int main(int argc, char **argv) {
  suite = argc > 1 ? argv[1] : NULL;
  const struct CMUnitTest tests[] = {cmocka_unit_test(documented_s3), cmocka_unit_test(documented_presigned),
                                     cmocka_unit_test(canonical_forms), cmocka_unit_test(published_suite),
                                     cmocka_unit_test(leaves_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
