/* The contract of src/data/store, the same for every store: memory, a folder, both with faults in front, and the one
 * that TERALITY_TEST_STORE names (a URL; tests/store/with_server.py starts servers and sets it).
 */
#include "base/mem.h"
#include "data/store/store.h"
#include "net/http.h"
#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BIG = 40 << 20 };

static struct tr_store *store;
static struct tr_error err;
static uint8_t *big;

static void must(enum tr_status st) {
  if (st != TR_OK) fail_msg("%d: %s", (int)st, err.text);
}

static void must_fail(enum tr_status st, int os_errno) {
  if (st != TR_ERROR || err.exc != TR_EXC_OS || err.os_errno != os_errno)
    fail_msg("status %d, class %d, errno %d instead of %d: %s", (int)st, (int)err.exc, err.os_errno, os_errno,
             err.text);
}

static void put(const char *key, const char *text, char etag[TR_ETAG_SIZE]) {
  struct tr_put p = {.data = text, .bytes = strlen(text)};
  must(tr_store_put(store, key, &p, NULL, &err));
  if (etag) memcpy(etag, p.new_etag, TR_ETAG_SIZE);
}

static void expect(const char *key, const char *text) {
  uint8_t *data;
  size_t bytes, room;
  must(tr_store_get(store, key, 1 << 20, NULL, &data, &bytes, &room, NULL, &err));
  assert_int_equal(bytes, strlen(text));
  assert_memory_equal(data, text, bytes);
  tr_mem_free(data, room);
}

static void put_and_get(void **state) {
  (void)state;
  struct tr_object o;
  char etag[TR_ETAG_SIZE], again[TR_ETAG_SIZE];
  put("a/b/c.txt", "hello", etag);
  expect("a/b/c.txt", "hello");
  must(tr_store_stat(store, "a/b/c.txt", NULL, &o, &err));
  assert_int_equal(o.size, 5);
  assert_string_equal(o.etag, etag);
  assert_true(o.modified_ns > 1600000000000000000);
  put("a/b/c.txt", "other", again);
  assert_string_not_equal(etag, again);
  expect("a/b/c.txt", "other");
  put("empty", "", NULL);
  expect("empty", "");
  static const char *const odd[] = {"sp ace+plus", "per%20cent",  "uml\xc3\xa4ut/\xe2\x82\xac",
                                    "q?a&b=c#d",   "a'b\"c<d>&e", "=,;:@$!*()~"};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    put(odd[i], odd[i], NULL);
    expect(odd[i], odd[i]);
    must(tr_store_remove(store, odd[i], NULL, &err));
  }
  uint8_t *data;
  size_t bytes, room;
  assert_int_equal(tr_store_get(store, "a/b/c.txt", 4, NULL, &data, &bytes, &room, NULL, &err), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_VALUE);
}

static void not_there(void **state) {
  (void)state;
  struct tr_object o;
  char byte;
  const struct tr_range r = {0, 1, &byte};
  must_fail(tr_store_stat(store, "no/such", NULL, &o, &err), ENOENT);
  assert_non_null(strstr(err.text, "no/such"));
  must_fail(tr_store_read(store, "no/such", NULL, &r, 1, NULL, &err), ENOENT);
  must(tr_store_remove(store, "no/such", NULL, &err));
  put("folder/x", "1", NULL);
  must_fail(tr_store_stat(store, "folder", NULL, &o, &err), ENOENT);
}

static void bad_keys(void **state) {
  (void)state;
  static const char *const bad[] = {"", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\nb", "."};
  struct tr_object o;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(tr_store_stat(store, bad[i], NULL, &o, &err), TR_ERROR);
    assert_int_equal(err.exc, TR_EXC_VALUE);
  }
}

static void conditions(void **state) {
  (void)state;
  struct tr_put p = {.data = "1", .bytes = 1, .mode = TR_PUT_IF_ABSENT};
  must(tr_store_put(store, "cond/absent", &p, NULL, &err));
  char first[TR_ETAG_SIZE];
  memcpy(first, p.new_etag, sizeof first);
  p.data = "2";
  must_fail(tr_store_put(store, "cond/absent", &p, NULL, &err), EEXIST);
  expect("cond/absent", "1");
  p.mode = TR_PUT_IF_MATCH;
  p.etag = first;
  must(tr_store_put(store, "cond/absent", &p, NULL, &err));
  expect("cond/absent", "2");
  p.data = "3";
  must_fail(tr_store_put(store, "cond/absent", &p, NULL, &err), ESTALE);
  expect("cond/absent", "2");
  char byte;
  const struct tr_range r = {0, 1, &byte};
  must_fail(tr_store_read(store, "cond/absent", first, &r, 1, NULL, &err), ESTALE);
}

struct racer {
  pthread_t thread;
  int no;
  bool won;
  int os_errno;
};

static void *race_to_put(void *arg) {
  struct racer *r = arg;
  struct tr_error mine = {0};
  struct tr_put p = {.data = &r->no, .bytes = sizeof r->no, .mode = TR_PUT_IF_ABSENT};
  r->won = tr_store_put(store, "race/key", &p, NULL, &mine) == TR_OK;
  r->os_errno = mine.os_errno;
  return NULL;
}

static void only_one_wins(void **state) {
  (void)state;
  for (int round = 0; round < 5; round++) {
    struct racer racers[8];
    int winner = -1, winners = 0;
    must(tr_store_remove(store, "race/key", NULL, &err));
    for (int i = 0; i < 8; i++) {
      racers[i] = (struct racer){.no = i};
      assert_int_equal(pthread_create(&racers[i].thread, NULL, race_to_put, &racers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
      pthread_join(racers[i].thread, NULL);
      winners += racers[i].won;
      if (racers[i].won) winner = i;
      else assert_int_equal(racers[i].os_errno, EEXIST);
    }
    int found = -1;
    const struct tr_range r = {0, sizeof found, &found};
    must(tr_store_read(store, "race/key", NULL, &r, 1, NULL, &err));
    assert_true(found >= 0 && found < 8);
    /* With answers that get lost the winner may not know; the object tells. */
    assert_true(winners <= 1);
    if (winners) assert_int_equal(found, winner);
  }
}

/* --- listing --- */

struct seen {
  char text[4000];
  int n;
};

static enum tr_status collect(void *arg, const struct tr_object *o, struct tr_error *e) {
  struct seen *s = arg;
  (void)e;
  s->n++;
  if (strlen(s->text) + strlen(o->key) + 40 > sizeof s->text) return TR_OK;
  if (o->prefix) sprintf(s->text + strlen(s->text), "%s ", o->key);
  else sprintf(s->text + strlen(s->text), "%s=%lld ", o->key, (long long)o->size);
  return TR_OK;
}

static void expect_list(const char *prefix, char delimiter, const char *want) {
  struct seen s = {0};
  must(tr_store_list(store, prefix, delimiter, NULL, collect, &s, &err));
  assert_string_equal(s.text, want);
}

static void listing(void **state) {
  (void)state;
  put("l/a.txt", "1", NULL);
  put("l/b/1", "22", NULL);
  put("l/b/2 x", "333", NULL);
  put("l/b/c/3", "4444", NULL);
  put("l/c+\xc3\xa4", "55555", NULL);
  put("lx", "6", NULL);
  expect_list("l/", 0, "l/a.txt=1 l/b/1=2 l/b/2 x=3 l/b/c/3=4 l/c+\xc3\xa4=5 ");
  expect_list("l/", '/', "l/a.txt=1 l/b/ l/c+\xc3\xa4=5 ");
  expect_list("l/b", '/', "l/b/ ");
  expect_list("l/b/", '/', "l/b/1=2 l/b/2 x=3 l/b/c/ ");
  expect_list("l/b/2", 0, "l/b/2 x=3 ");
  expect_list("l/zzz", 0, "");
  expect_list("nowhere/", '/', "");
}

static void long_listing(void **state) {
  (void)state;
  char key[40];
  for (int i = 0; i < 1205; i++) {
    sprintf(key, "many/%05d", i);
    put(key, "", NULL);
  }
  struct seen s = {0};
  must(tr_store_list(store, "many/", 0, NULL, collect, &s, &err));
  assert_int_equal(s.n, 1205);
}

/* --- bytes --- */

static void many_ranges(void **state) {
  (void)state;
  enum { N = 300 };
  static struct tr_range ranges[N];
  struct tr_store_writer *w;
  char etag[TR_ETAG_SIZE];
  must(tr_store_writer_new(store, "big/object", &w, &err));
  for (size_t at = 0; at < BIG;) { /* pieces of odd sizes */
    size_t n = at % 7 == 0 ? 1000003 : 5000017;
    if (n > BIG - at) n = BIG - at;
    must(tr_store_writer_add(w, big + at, n, &err));
    at += n;
  }
  must(tr_store_writer_commit(w, NULL, etag, &err));
  struct tr_object o;
  must(tr_store_stat(store, "big/object", NULL, &o, &err));
  assert_int_equal(o.size, BIG);
  assert_string_equal(o.etag, etag);
  uint64_t x = 88172645463325252ull;
  for (int i = 0; i < N; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    int64_t offset = (int64_t)(x % (BIG - 100000)), bytes = i % 50 == 0 ? 0 : (int64_t)(x >> 33) % 100000;
    ranges[i] = (struct tr_range){offset, bytes, malloc((size_t)bytes + 1)};
  }
  must(tr_store_read(store, "big/object", etag, ranges, N, NULL, &err));
  for (int i = 0; i < N; i++) {
    if (ranges[i].bytes) assert_memory_equal(ranges[i].to, big + ranges[i].offset, (size_t)ranges[i].bytes);
    free(ranges[i].to);
  }
  uint8_t *all = malloc(BIG);
  const struct tr_range whole = {0, BIG, all};
  must(tr_store_read(store, "big/object", etag, &whole, 1, NULL, &err));
  assert_int_equal(memcmp(all, big, BIG), 0);
  const struct tr_range past = {BIG - 5, 10, all};
  must_fail(tr_store_read(store, "big/object", etag, &past, 1, NULL, &err), ESTALE);
  const struct tr_range beyond = {BIG + 5, 10, all};
  must_fail(tr_store_read(store, "big/object", NULL, &beyond, 1, NULL, &err), ESTALE);
  free(all);
}

static void fetched_ahead(void **state) {
  (void)state;
  enum { N = 64 };
  struct tr_range ranges[N];
  struct tr_object o;
  struct tr_fetch *f;
  must(tr_store_stat(store, "big/object", NULL, &o, &err));
  for (int i = 0; i < N; i++) ranges[i] = (struct tr_range){(int64_t)((i * 37) % N) * (BIG / N), BIG / N - 10, NULL};
  size_t before = tr_mem_used();
  const struct tr_fetch_object objects[] = {{store, "big/object", o.etag}, {store, "a/b/c.txt", NULL}};
  const struct tr_fetch_object changed = {store, "big/object", "\"0123\""};
  ranges[N - 1] = (struct tr_range){.offset = 1, .bytes = 3, .object = 1};
  must(tr_fetch_start(objects, ranges, N, 20 << 20, &f, &err));
  for (int i = N - 2; i >= 0; i -= 9) { /* out of turn */
    const uint8_t *data;
    must(tr_fetch_wait(f, i, NULL, &data, &err));
    assert_memory_equal(data, big + ranges[i].offset, (size_t)ranges[i].bytes);
  }
  for (int i = 0; i < N; i++) {
    const uint8_t *data;
    must(tr_fetch_wait(f, i, NULL, &data, &err));
    const void *want = ranges[i].object ? (const void *)"the" : big + ranges[i].offset;
    assert_int_equal(memcmp(data, want, (size_t)ranges[i].bytes), 0);
    tr_fetch_drop(f, i);
  }
  tr_fetch_free(f);
  must(tr_fetch_start(objects, ranges, N, 0, &f, &err)); /* given up at once */
  tr_fetch_free(f);
  must(tr_fetch_start(&changed, ranges, 1, 0, &f, &err));
  const uint8_t *data;
  must_fail(tr_fetch_wait(f, 0, NULL, &data, &err), ESTALE);
  tr_fetch_free(f);
  /* The loop frees its requests a moment after it has called back. */
  for (int i = 0; i < 200 && tr_mem_used() > before; i++) usleep(10000);
  assert_true(tr_mem_used() <= before);
}

static void writers(void **state) {
  (void)state;
  struct tr_store_writer *w;
  struct tr_object o;
  must(tr_store_writer_new(store, "w/small", &w, &err));
  must(tr_store_writer_add(w, "abc", 3, &err));
  must_fail(tr_store_stat(store, "w/small", NULL, &o, &err), ENOENT);
  must(tr_store_writer_add(w, "def", 3, &err));
  must(tr_store_writer_commit(w, NULL, NULL, &err));
  expect("w/small", "abcdef");
  must(tr_store_writer_new(store, "w/empty", &w, &err));
  must(tr_store_writer_commit(w, NULL, NULL, &err));
  expect("w/empty", "");
  must(tr_store_writer_new(store, "w/given-up", &w, &err));
  must(tr_store_writer_add(w, big, 20 << 20, &err));
  tr_store_writer_abort(w);
  must_fail(tr_store_stat(store, "w/given-up", NULL, &o, &err), ENOENT);
  expect_list("w/given", 0, "");
  must(tr_store_writer_new(store, "w/exact", &w, &err));
  must(tr_store_writer_add(w, big, 16 << 20, &err));
  must(tr_store_writer_commit(w, NULL, NULL, &err));
  must(tr_store_stat(store, "w/exact", NULL, &o, &err));
  assert_int_equal(o.size, 16 << 20);
}

static void cancelled(void **state) {
  (void)state;
  struct tr_ctx ctx;
  uint8_t *all = malloc(BIG);
  const struct tr_range whole = {0, BIG, all};
  tr_ctx_init(&ctx);
  tr_ctx_cancel(&ctx);
  enum tr_status st = tr_store_read(store, "big/object", NULL, &whole, 1, &ctx, &err);
  assert_true(st == TR_CANCELLED || st == TR_OK); /* OK: all was there before anybody had to wait */
  free(all);
}

static void after_fork(void **state) {
  (void)state;
  pid_t child = fork();
  if (child == 0) {
    char text[5];
    const struct tr_range r = {0, 5, text};
    alarm(120);
    _exit(tr_store_read(store, "a/b/c.txt", NULL, &r, 1, NULL, &err) == TR_OK && !memcmp(text, "other", 5) ? 0 : 1);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

static int run(const char *url, const char *faults) {
  struct tr_http *http; /* lives to the end of the process, so it is made before anything is counted */
  if (tr_http_shared(&http, &err) != TR_OK) return 1;
  size_t before = tr_mem_used();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(put_and_get),  cmocka_unit_test(not_there),     cmocka_unit_test(bad_keys),
      cmocka_unit_test(conditions),   cmocka_unit_test(only_one_wins), cmocka_unit_test(listing),
      cmocka_unit_test(long_listing), cmocka_unit_test(many_ranges),   cmocka_unit_test(fetched_ahead),
      cmocka_unit_test(writers),      cmocka_unit_test(cancelled),     cmocka_unit_test(after_fork),
  };
  printf("== %s %s\n", url, faults ? faults : "");
  fflush(stdout);
  if (faults) setenv("TERALITY_STORE_FAULTS", faults, 1);
  else unsetenv("TERALITY_STORE_FAULTS");
  if (tr_store_open(url, NULL, 0, &store, &err) != TR_OK) {
    printf("%s\n", err.text);
    return 1;
  }
  if (tr_store_make(store, NULL, &err) != TR_OK) {
    printf("%s\n", err.text);
    return 1;
  }
  int failed = cmocka_run_group_tests_name(url, tests, NULL, NULL);
  tr_store_unref(store);
  for (int i = 0; i < 200 && tr_mem_used() > before; i++) usleep(10000);
  if (tr_mem_used() != before) printf("%zu bytes lost\n", tr_mem_used() - before);
  return failed + (tr_mem_used() != before);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
  (void)st, (void)kind, (void)ftw;
  return remove(path);
}

int main(void) {
  const char *url = getenv("TERALITY_TEST_STORE"), *faults = getenv("TERALITY_TEST_FAULTS");
  int failed = 0;
  big = malloc(BIG);
  for (size_t i = 0; i < BIG; i++) big[i] = (uint8_t)(i * 2654435761u >> 13 ^ i);
  if (url) {
    failed = run(url, faults && *faults ? faults : NULL);
  } else {
    char folder[] = "/tmp/tr_store.XXXXXX", path[100];
    if (!mkdtemp(folder)) return 1;
    static const char *const harm[] = {NULL,
                                       "read:5:fail,read:7:short,read:3:late:2,stat:3:fail,part:2:lost,list:2:lost"};
    for (int i = 0; i < 2; i++) {
      sprintf(path, "%s/%d", folder, i);
      failed += run("memory://", harm[i]) + run(path, harm[i]);
    }
    nftw(folder, remove_one, 20, FTW_DEPTH | FTW_PHYS);
  }
  free(big);
  return failed;
}
