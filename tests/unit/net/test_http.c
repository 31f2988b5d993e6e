/* src/net/http against a server of our own: replies, limits, faults, many at once, cancelling, fork, TLS. */
#include "base/mem.h"
#include "http_peer.h"
#include "net/http.h"
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct http_peer peer;
static struct tr_http *client;

static const char *at(const char *path) {
  static char url[300];
  snprintf(url, sizeof url, "http://127.0.0.1:%d%s", peer.port, path);
  return url;
}

static int set_up(void **state) {
  (void)state;
  http_peer_start(&peer, false);
  return tr_http_new(NULL, &client, NULL) == TR_OK ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  tr_http_free(client);
  http_peer_stop(&peer);
  return tr_mem_used() == 0 ? 0 : -1;
}

static enum tr_status call(struct tr_http_request r, struct tr_http_reply *reply, struct tr_error *err) {
  if (!r.method) r.method = "GET";
  return tr_http_call(client, &r, NULL, reply, err);
}

static void get(void **state) {
  (void)state;
  struct tr_http_reply reply;
  struct tr_error err;
  assert_int_equal(call((struct tr_http_request){.url = at("/bytes/100000")}, &reply, &err), TR_OK);
  assert_int_equal(reply.status, 200);
  assert_int_equal(reply.fault, TR_HTTP_FAULT_NONE);
  assert_int_equal(reply.body_bytes, 100000);
  for (int i = 0; i < 100000; i++) assert_int_equal(reply.body[i], i % 251);
  assert_string_equal(tr_http_reply_header(&reply, "etag"), "\"abc\"");
  assert_string_equal(tr_http_reply_header(&reply, "x-twice"), "one");
  assert_null(tr_http_reply_header(&reply, "absent"));
  assert_true(reply.total_us > 0);
  tr_http_reply_free(&reply);
  int before = peer.connections;
  assert_int_equal(call((struct tr_http_request){.url = at("/chunked")}, &reply, &err), TR_OK);
  assert_int_equal(reply.body_bytes, 11);
  assert_memory_equal(reply.body, "hello world", 11);
  assert_false(reply.new_connection);
  tr_http_reply_free(&reply);
  assert_int_equal(peer.connections, before); /* the first one was kept */
  tr_http_renew(client);
  assert_int_equal(call((struct tr_http_request){.url = at("/bytes/0")}, &reply, &err), TR_OK);
  assert_true(reply.new_connection); /* and given up */
  tr_http_reply_free(&reply);
  before = peer.connections;
  assert_int_equal(call((struct tr_http_request){.url = at("/bytes/0"), .fresh_connection = true}, &reply, &err),
                   TR_OK);
  assert_true(reply.new_connection);
  assert_int_equal(reply.body_bytes, 0);
  tr_http_reply_free(&reply);
  assert_int_equal(peer.connections, before + 1);
  assert_int_equal(call((struct tr_http_request){.method = "HEAD", .url = at("/x")}, &reply, &err), TR_OK);
  assert_string_equal(tr_http_reply_header(&reply, "content-length"), "77");
  assert_int_equal(reply.body_bytes, 0);
  tr_http_reply_free(&reply);
}

static void what_is_sent(void **state) {
  (void)state;
  struct tr_http_reply reply;
  struct tr_error err;
  const struct tr_http_header headers[] = {{"X-One", "1 2"}, {"X-Empty", ""}};
  static char body[3000000];
  memset(body, 'b', sizeof body);
  static const char *const methods[] = {"PUT", "POST", "DELETE"};
  for (int m = 0; m < 3; m++) {
    for (size_t n = 0; n <= sizeof body; n = n ? n * 100 : 300) {
      struct tr_http_request r = {.method = methods[m],
                                  .url = at("/echo/a/../%2f?q=%41"),
                                  .headers = headers,
                                  .n_headers = 2,
                                  .body = body,
                                  .body_bytes = n};
      assert_int_equal(call(r, &reply, &err), TR_OK);
      assert_true(reply.body_bytes > n);
      reply.body[reply.body_bytes - n - 1] = 0;
      const char *head = (char *)reply.body;
      assert_memory_equal(head, methods[m], strlen(methods[m]));
      assert_non_null(strstr(head, " /echo/a/../%2f?q=%41 HTTP/1.1\r\n"));
      assert_non_null(strstr(head, "X-One: 1 2\r\n"));
      assert_non_null(strstr(head, "X-Empty:"));
      assert_non_null(strstr(head, "User-Agent: terality\r\n"));
      assert_null(strstr(head, "Expect:"));
      assert_null(strstr(head, "Content-Type:"));
      if (n) assert_memory_equal(reply.body + reply.body_bytes - n, body, n);
      if (m < 2 && !n) assert_non_null(strstr(head, "Content-Length: 0\r\n"));
      tr_http_reply_free(&reply);
    }
  }
}

static void into_memory_of_the_caller(void **state) {
  (void)state;
  struct tr_http_reply reply;
  struct tr_error err;
  uint8_t to[1000];
  struct tr_http_part parts[] = {{to, 10}, {NULL, 90}, {to + 100, 900}};
  struct tr_http_request r = {.url = at("/bytes/1000"), .into = parts, .n_into = 3};
  memset(to, 255, sizeof to);
  assert_int_equal(call(r, &reply, &err), TR_OK);
  assert_null(reply.body);
  assert_int_equal(reply.body_bytes, 1000);
  for (int i = 0; i < 1000; i++) assert_int_equal(to[i], i >= 10 && i < 100 ? 255 : i % 251);
  tr_http_reply_free(&reply);
  parts[2].bytes = 899;
  assert_int_equal(call(r, &reply, &err), TR_ERROR);
  assert_int_equal(reply.fault, TR_HTTP_FAULT_TOO_LARGE);
  tr_http_reply_free(&reply);
  /* What a server says of a failure is not data. */
  r = (struct tr_http_request){.url = at("/status/403"), .into = parts, .n_into = 1};
  memset(to, 9, sizeof to);
  assert_int_equal(call(r, &reply, &err), TR_OK);
  assert_int_equal(reply.status, 403);
  assert_int_equal(reply.body_bytes, 7);
  assert_memory_equal(reply.body, "refused", 7);
  assert_int_equal(to[0], 9);
  tr_http_reply_free(&reply);
}

static void faults(void **state) {
  (void)state;
  static const struct {
    const char *path;
    struct tr_http_request request;
    enum tr_http_fault fault;
  } cases[] = {
      {"/bytes/5000", {.max_bytes = 4999}, TR_HTTP_FAULT_TOO_LARGE},
      {"/drop", {0}, TR_HTTP_FAULT_BROKEN},
      {"/short", {0}, TR_HTTP_FAULT_BROKEN},
      {"/headless", {0}, TR_HTTP_FAULT_BROKEN},
      {"/headless", {.method = "HEAD"}, TR_HTTP_FAULT_BROKEN},
      {"/late/3000", {.deadline_ms = 80}, TR_HTTP_FAULT_DEADLINE},
      {"/stall", {.deadline_ms = 150}, TR_HTTP_FAULT_DEADLINE},
  };
  struct tr_http_reply reply;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tr_error err = {0};
    struct tr_http_request r = cases[i].request;
    char path[400];
    snprintf(path, sizeof path, "%s?signature=secret", at(cases[i].path));
    r.url = path;
    assert_int_equal(call(r, &reply, &err), TR_ERROR);
    assert_int_equal(reply.fault, cases[i].fault);
    assert_non_null(strstr(err.text, cases[i].path));
    assert_null(strstr(err.text, "secret"));
    if (cases[i].fault == TR_HTTP_FAULT_DEADLINE) assert_int_equal(err.os_errno, ETIMEDOUT);
    tr_http_reply_free(&reply);
  }
}

static void refused(void **state) {
  (void)state;
  struct tr_http_reply reply;
  struct tr_error err;
  const struct tr_http_header evil = {"X-A", "1\r\nX-B: 2"}, odd = {"X A", "1"};
  const struct tr_http_request bad[] = {{.url = "ftp://127.0.0.1/x"},
                                        {.url = "http://127.0.0.1/a b"},
                                        {.url = at("/echo"), .headers = &evil, .n_headers = 1},
                                        {.url = at("/echo"), .headers = &odd, .n_headers = 1}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(call(bad[i], &reply, &err), TR_ERROR);
    assert_int_equal(reply.fault, TR_HTTP_FAULT_REQUEST);
    assert_int_equal(err.exc, TR_EXC_VALUE);
    tr_http_reply_free(&reply);
  }
  assert_int_equal(call((struct tr_http_request){.url = "http://127.0.0.1:1/"}, &reply, &err), TR_ERROR);
  assert_int_equal(reply.fault, TR_HTTP_FAULT_CONNECT);
  tr_http_reply_free(&reply);
}

static void redirects(void **state) {
  (void)state;
  struct tr_http_reply reply;
  struct tr_error err;
  assert_int_equal(call((struct tr_http_request){.url = at("/moved")}, &reply, &err), TR_OK);
  assert_int_equal(reply.status, 302);
  tr_http_reply_free(&reply);
  assert_int_equal(call((struct tr_http_request){.url = at("/moved"), .follow_redirects = true}, &reply, &err), TR_OK);
  assert_int_equal(reply.status, 200);
  assert_memory_equal(reply.body, "GET /echo ", 10);
  tr_http_reply_free(&reply);
}

/* Many at once: each flight asks for its own number of bytes. */
struct many {
  pthread_mutex_t lock;
  pthread_cond_t cond;
  int left, good, cancelled;
};
struct one {
  struct many *many;
  size_t bytes;
};

static void one_done(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  (void)err;
  struct one *one = arg;
  bool good = status == TR_OK && reply->status == 200 && reply->body_bytes == one->bytes;
  for (size_t i = 0; good && i < one->bytes; i += 97) good = reply->body[i] == i % 251;
  pthread_mutex_lock(&one->many->lock);
  one->many->good += good;
  one->many->cancelled += reply->fault == TR_HTTP_FAULT_CANCELLED;
  if (--one->many->left == 0) pthread_cond_signal(&one->many->cond);
  pthread_mutex_unlock(&one->many->lock);
}

static void wait_for(struct many *m) {
  pthread_mutex_lock(&m->lock);
  while (m->left) pthread_cond_wait(&m->cond, &m->lock);
  pthread_mutex_unlock(&m->lock);
}

static void many_in_flight(void **state) {
  (void)state;
  enum { N = 400 };
  static struct one ones[N];
  struct many m = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .left = N};
  struct tr_http *few;
  const struct tr_http_options options = {.max_connections_per_host = 16};
  assert_int_equal(tr_http_new(&options, &few, NULL), TR_OK);
  peer.most_at_once = 0;
  int before = peer.connections;
  for (int i = 0; i < N; i++) {
    ones[i] = (struct one){&m, (size_t)(i * 131)};
    char path[60];
    snprintf(path, sizeof path, "/bytes/%zu", ones[i].bytes);
    const struct tr_http_request r = {.method = "GET", .url = at(path)};
    assert_int_equal(tr_http_submit(few, &r, one_done, &ones[i], NULL, NULL), TR_OK);
  }
  wait_for(&m);
  assert_int_equal(m.good, N);
  assert_true(peer.most_at_once <= 16);
  assert_true(peer.connections - before <= 16);
  tr_http_free(few);
}

static void cancel(void **state) {
  (void)state;
  enum { N = 20 };
  struct one ones[N];
  struct tr_http_flight *flights[N];
  struct many m = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .left = N};
  for (int i = 0; i < N; i++) {
    ones[i] = (struct one){&m, 4};
    const struct tr_http_request r = {.method = "GET", .url = at("/late/5000")};
    assert_int_equal(tr_http_submit(client, &r, one_done, &ones[i], &flights[i], NULL), TR_OK);
  }
  usleep(30000);
  for (int i = 0; i < N; i++) tr_http_cancel(flights[i]);
  wait_for(&m);
  assert_int_equal(m.cancelled, N);
  for (int i = 0; i < N; i++) {
    tr_http_cancel(flights[i]); /* too late: nothing happens */
    tr_http_flight_unref(flights[i]);
  }
}

static void timed(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  (void)err;
  struct one *one = arg;
  pthread_mutex_lock(&one->many->lock);
  one->many->good += status == TR_OK;
  one->many->cancelled += reply->fault == TR_HTTP_FAULT_CANCELLED;
  if (--one->many->left == 0) pthread_cond_signal(&one->many->cond);
  pthread_mutex_unlock(&one->many->lock);
}

static void timers(void **state) {
  (void)state;
  struct many m = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .left = 3};
  struct one one = {&m, 0};
  struct tr_http_flight *late;
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  assert_int_equal(tr_http_after(client, 5000, timed, &one, &late, NULL), TR_OK);
  assert_int_equal(tr_http_after(client, 60, timed, &one, NULL, NULL), TR_OK);
  assert_int_equal(tr_http_after(client, 0, timed, &one, NULL, NULL), TR_OK);
  usleep(100000);
  pthread_mutex_lock(&m.lock);
  assert_int_equal(m.left, 1);
  pthread_mutex_unlock(&m.lock);
  tr_http_cancel(late);
  wait_for(&m);
  clock_gettime(CLOCK_MONOTONIC, &b);
  assert_true(b.tv_sec - a.tv_sec < 4);
  assert_int_equal(m.good, 2);
  assert_int_equal(m.cancelled, 1);
  tr_http_flight_unref(late);
}

static void free_cancels(void **state) {
  (void)state;
  struct many m = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .left = 2};
  struct one ones[2] = {{&m, 4}, {&m, 4}};
  struct tr_http *other;
  assert_int_equal(tr_http_new(NULL, &other, NULL), TR_OK);
  for (int i = 0; i < 2; i++) {
    const struct tr_http_request r = {.method = "GET", .url = at("/late/5000")};
    assert_int_equal(tr_http_submit(other, &r, one_done, &ones[i], NULL, NULL), TR_OK);
    usleep(20000 * i);
  }
  tr_http_free(other);
  assert_int_equal(m.cancelled, 2);
}

static bool stop_after_a_while(void *arg) { return ++*(int *)arg > 3; }

static void query_cancelled(void **state) {
  (void)state;
  struct tr_ctx ctx;
  struct tr_http_reply reply;
  int asked = 0;
  tr_ctx_init(&ctx);
  ctx.poll = stop_after_a_while;
  ctx.poll_arg = &asked;
  const struct tr_http_request r = {.method = "GET", .url = at("/late/5000")};
  assert_int_equal(tr_http_call(client, &r, &ctx, &reply, NULL), TR_CANCELLED);
  assert_int_equal(reply.fault, TR_HTTP_FAULT_CANCELLED);
  assert_true(reply.total_us < 3000000);
  tr_http_reply_free(&reply);
}

static void submit_again(void *arg, enum tr_status status, struct tr_http_reply *reply, const struct tr_error *err) {
  const struct tr_http_request r = {.method = "GET", .url = at("/bytes/9")};
  if (status != TR_OK || tr_http_submit(client, &r, one_done, arg, NULL, NULL) != TR_OK)
    one_done(arg, status, reply, err);
}

static void submit_from_callback(void **state) {
  (void)state;
  struct many m = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .left = 1};
  struct one one = {&m, 9};
  const struct tr_http_request r = {.method = "GET", .url = at("/echo")};
  assert_int_equal(tr_http_submit(client, &r, submit_again, &one, NULL, NULL), TR_OK);
  wait_for(&m);
  assert_int_equal(m.good, 1);
}

/* Fork takes the locks of glibc's allocator, so a child may allocate. gcc 12's ASan does not hold those of its own: a
 * child made while another thread of ours, be it the peer's, is in the middle of malloc waits forever. There the peer
 * holds its answers back and we fork when every other thread has been seen asleep. */
#ifdef __SANITIZE_ADDRESS__
enum { HELD = 1 };
#else
enum { HELD = 0 };
#endif

static bool asleep(const char *task) {
  char path[300], text[300] = "";
  snprintf(path, sizeof path, "/proc/self/task/%s/stat", task);
  FILE *f = fopen(path, "r");
  if (!f) return true; /* it has ended */
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  const char *name_end = n ? strrchr(text, ')') : NULL;
  return !name_end || strncmp(name_end, ") S", 3) == 0;
}

static void wait_until_others_sleep(void) {
  char me[20];
  snprintf(me, sizeof me, "%d", (int)gettid());
  while (peer.held < 50 || peer.at_once > 50) usleep(1000);
  DIR *tasks = opendir("/proc/self/task");
  assert_non_null(tasks);
  for (struct dirent *entry; (entry = readdir(tasks));)
    while (entry->d_name[0] != '.' && strcmp(entry->d_name, me) != 0 && !asleep(entry->d_name)) usleep(100);
  closedir(tasks);
}

static int child_of_busy(int begin) {
  char byte;
  struct tr_http_reply reply;
  if (read(begin, &byte, 1) != 0) return 2; /* the parent closes it: no child connects before all are made */
  enum tr_status st = call((struct tr_http_request){.url = at("/bytes/70")}, &reply, NULL);
  return st == TR_OK && reply.body_bytes == 70 && reply.new_connection ? 0 : 1;
}

static void fork_while_busy(void **state) {
  (void)state;
  struct many m = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .left = 50};
  static struct one ones[50];
  peer.holding = HELD;
  for (int i = 0; i < 50; i++) {
    ones[i] = (struct one){&m, 300000};
    const struct tr_http_request r = {.method = "GET", .url = at("/held/300000")};
    assert_int_equal(tr_http_submit(client, &r, one_done, &ones[i], NULL, NULL), TR_OK);
  }
  if (HELD) wait_until_others_sleep();
  pid_t children[4];
  int begin[2];
  assert_int_equal(pipe(begin), 0);
  for (int k = 0; k < 4; k++) {
    children[k] = fork();
    if (children[k]) continue;
    alarm(120);
    close(begin[1]);
    _exit(child_of_busy(begin[0]));
  }
  close(begin[0]);
  close(begin[1]);
  peer.holding = false;
  wait_for(&m);
  assert_int_equal(m.good, 50);
  for (int k = 0; k < 4; k++) {
    int status = -1;
    assert_int_equal(waitpid(children[k], &status, 0), children[k]);
    assert_int_equal(status, 0);
  }
}

static void over_budget(void **state) {
  (void)state;
  struct tr_http_reply reply;
  struct tr_error err;
  tr_mem_set_budget(tr_mem_used() + 100000);
  assert_int_equal(call((struct tr_http_request){.url = at("/bytes/3000000")}, &reply, &err), TR_ERROR);
  assert_int_equal(reply.fault, TR_HTTP_FAULT_MEMORY);
  assert_int_equal(err.exc, TR_EXC_MEMORY);
  tr_http_reply_free(&reply);
  tr_mem_set_budget(0);
}

static void tls(void **state) {
  (void)state;
  struct http_peer secure;
  http_peer_start(&secure, true);
  char url[100], other_name[100];
  snprintf(url, sizeof url, "https://127.0.0.1:%d/bytes/500000", secure.port);
  snprintf(other_name, sizeof other_name, "https://localhost:%d/bytes/5", secure.port);
  struct tr_http_reply reply;
  struct tr_error err;
  assert_int_equal(call((struct tr_http_request){.url = url}, &reply, &err), TR_ERROR);
  assert_int_equal(reply.fault, TR_HTTP_FAULT_TLS);
  tr_http_reply_free(&reply);
  struct tr_http *trusting;
  const struct tr_http_options options = {.ca_file = secure.certificate};
  assert_int_equal(tr_http_new(&options, &trusting, NULL), TR_OK);
  struct tr_http_request r = {.method = "GET", .url = url};
  assert_int_equal(tr_http_call(trusting, &r, NULL, &reply, &err), TR_OK);
  assert_int_equal(reply.body_bytes, 500000);
  tr_http_reply_free(&reply);
  r.url = other_name;
  assert_int_equal(tr_http_call(trusting, &r, NULL, &reply, &err), TR_ERROR);
  assert_int_equal(reply.fault, TR_HTTP_FAULT_TLS);
  tr_http_reply_free(&reply);
  tr_http_free(trusting);
  http_peer_stop(&secure);
}

static void shared_client(void **state) {
  (void)state;
  struct tr_http *a, *b;
  struct tr_http_reply reply;
  assert_int_equal(tr_http_shared(&a, NULL), TR_OK);
  assert_int_equal(tr_http_shared(&b, NULL), TR_OK);
  assert_ptr_equal(a, b);
  const struct tr_http_request r = {.method = "GET", .url = at("/bytes/5")};
  assert_int_equal(tr_http_call(a, &r, NULL, &reply, NULL), TR_OK);
  tr_http_reply_free(&reply);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN); /* of the server's, which writes to connections that tests have left */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(get),
      cmocka_unit_test(what_is_sent),
      cmocka_unit_test(into_memory_of_the_caller),
      cmocka_unit_test(faults),
      cmocka_unit_test(refused),
      cmocka_unit_test(redirects),
      cmocka_unit_test(many_in_flight),
      cmocka_unit_test(cancel),
      cmocka_unit_test(timers),
      cmocka_unit_test(free_cancels),
      cmocka_unit_test(query_cancelled),
      cmocka_unit_test(submit_from_callback),
      cmocka_unit_test(fork_while_busy),
      cmocka_unit_test(over_budget),
      cmocka_unit_test(tls),
  };
  int failed = cmocka_run_group_tests(tests, set_up, tear_down);
  const struct CMUnitTest last[] = {cmocka_unit_test(shared_client)}; /* lives to the end of the process */
  http_peer_start(&peer, false);
  failed += cmocka_run_group_tests(last, NULL, NULL);
  http_peer_stop(&peer);
  return failed;
}
