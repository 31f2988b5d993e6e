/* src/net/url: parts, escapes, what is refused. */
#include "base/mem.h"
#include "net/url.h"
#include <cmocka.h>
#include <string.h>

static void expect(const char *text, const char *scheme, const char *host, int port, const char *path,
                   const char *query) {
  struct tr_url u;
  struct tr_error err;
  assert_int_equal(tr_url_parse(text, &u, &err), TR_OK);
  assert_int_equal(u.scheme_length, strlen(scheme));
  assert_memory_equal(u.scheme, scheme, u.scheme_length);
  assert_int_equal(u.host_length, strlen(host));
  assert_memory_equal(u.host, host, u.host_length);
  assert_int_equal(u.port, port);
  assert_int_equal(u.path_length, strlen(path));
  assert_memory_equal(u.path, path, u.path_length);
  assert_int_equal(u.query_length, strlen(query));
  assert_memory_equal(u.query, query, u.query_length);
}

static void parts(void **state) {
  (void)state;
  expect("https://example.com", "https", "example.com", 0, "", "");
  expect("http://example.com:8080/a/b?x=1&y=2#z", "http", "example.com", 8080, "/a/b", "x=1&y=2");
  expect("s3://bucket/key", "s3", "bucket", 0, "/key", "");
  expect("https://me:secret@host:1/p", "https", "host", 1, "/p", "");
  expect("http://[::1]:9000/a:b", "http", "[::1]", 9000, "/a:b", "");
  expect("http://[fe80::1]?q", "http", "[fe80::1]", 0, "", "q");
  expect("abfss://c@acct.dfs.core.windows.net/x", "abfss", "acct.dfs.core.windows.net", 0, "/x", "");
  expect("http://h/a?", "http", "h", 0, "/a", "");
  expect("http://h/a#frag?x", "http", "h", 0, "/a", "");
}

static void refused(void **state) {
  (void)state;
  struct tr_url u;
  struct tr_error err;
  static const char *const bad[] = {"",
                                    "example.com/a",
                                    "://x",
                                    "http://h:70000/",
                                    "http://h:8a/",
                                    "http://h/a b",
                                    "http://h/a\nb",
                                    "http://h:99999999999/"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(tr_url_parse(bad[i], &u, &err), TR_ERROR);
    assert_int_equal(err.exc, TR_EXC_VALUE);
  }
}

static void authority(void **state) {
  (void)state;
  static const char *const cases[][2] = {{"http://h:80/x", "h"},         {"http://h:443/x", "h:443"},
                                         {"https://h:443/x", "h"},       {"https://h:80", "h:80"},
                                         {"HTTPS://[::1]:443", "[::1]"}, {"http://h", "h"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tr_url u;
    struct tr_text t = {0};
    assert_int_equal(tr_url_parse(cases[i][0], &u, NULL), TR_OK);
    tr_url_add_authority(&t, &u);
    assert_string_equal(tr_text_str(&t), cases[i][1]);
    tr_text_free(&t);
  }
}

static void loopback(void **state) {
  (void)state;
  static const char *const yes[] = {"http://localhost/", "http://127.0.0.1:90", "http://127.8.9.1", "http://[::1]:3/"};
  static const char *const no[] = {"http://localhost.example.com/", "http://127.example.com", "http://10.0.0.1",
                                   "s3://b"};
  struct tr_url u;
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(tr_url_parse(yes[i], &u, NULL), TR_OK);
    assert_true(tr_url_is_loopback(&u));
    assert_int_equal(tr_url_parse(no[i], &u, NULL), TR_OK);
    assert_false(tr_url_is_loopback(&u));
  }
}

static void escapes(void **state) {
  (void)state;
  struct tr_text t = {0}, back = {0};
  char all[256];
  for (int i = 0; i < 256; i++) all[i] = (char)i;
  tr_url_escape(&t, all, 256, false);
  assert_non_null(strstr(t.data, "%00%01"));
  assert_non_null(strstr(t.data, "%2C-.%2F0123456789%3A"));
  assert_non_null(strstr(t.data, "%5E_%60abc"));
  assert_non_null(strstr(t.data, "%7D~%7F%80"));
  tr_url_unescape(&back, t.data, t.length);
  assert_int_equal(back.length, 256);
  assert_memory_equal(back.data, all, 256);
  tr_text_clear(&t);
  tr_url_escape(&t, "a/b c", 5, true);
  assert_string_equal(t.data, "a/b%20c");
  tr_text_clear(&back);
  tr_url_unescape(&back, "%4a%4B%zz%4", 11);
  assert_string_equal(back.data, "JK%zz%4");
  tr_text_free(&t);
  tr_text_free(&back);
  assert_int_equal(tr_mem_used(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(parts), cmocka_unit_test(refused), cmocka_unit_test(authority),
                                     cmocka_unit_test(loopback), cmocka_unit_test(escapes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
