/* terality-scheduler: reads its arguments, finds or makes the admin key, runs until it is told to stop. */
#include "net/crypto.h"
#include "net/url.h"
#include "scheduler/loop.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: terality-scheduler --data DIR [--listen 127.0.0.1:8470] [--tls-cert FILE --tls-key FILE]\n"
    "                          [--die-with-parent] [--lease-ms N] [--grace-ms N]\n"
    "                          [--aws-endpoint URL] [--sts-endpoint URL]\n"
    "\n"
    "The admin key comes from TERALITY_ADMIN_KEY, or from DIR/admin.key, which is made at the first start.\n"
    "--aws-endpoint takes all calls of AWS elsewhere, --sts-endpoint is one more STS that workers may prove themselves "
    "by.\n"
    "Without TLS only a loopback address is served. Port 0 takes a free one; the first line on stdout names it.\n";

struct arguments {
  const char *data;
  char address[80];
  uint16_t port;
  const char *cert, *key, *aws_endpoint, *sts_endpoint;
  bool die_with_parent;
  int64_t lease_ms, grace_ms;
};

static enum tr_status parse_listen(const char *text, struct arguments *a, struct tr_error *err) {
  const char *colon = strrchr(text, ':');
  char *end;
  long port = colon ? strtol(colon + 1, &end, 10) : -1;
  size_t n = colon ? (size_t)(colon - text) : 0;
  if (!colon || *end || end == colon + 1 || port < 0 || port > 65535 || n >= sizeof a->address)
    return tr_fail(err, TR_EXC_VALUE, "--listen %s is not ADDRESS:PORT", text);
  bool brackets = n > 2 && text[0] == '[' && text[n - 1] == ']';
  snprintf(a->address, sizeof a->address, "%.*s", (int)(brackets ? n - 2 : n), brackets ? text + 1 : text);
  a->port = (uint16_t)port;
  return TR_OK;
}

static enum tr_status parse_ms(const char *name, const char *text, int64_t *out, struct tr_error *err) {
  char *end;
  long long v = strtoll(text, &end, 10);
  if (*end || end == text || v < 0 || v > 3600000) return tr_fail(err, TR_EXC_VALUE, "--%s %s is no time", name, text);
  *out = v;
  return TR_OK;
}

static enum tr_status parse_url(const char *name, const char *text, const char **out, struct tr_error *err) {
  struct tr_url url;
  if (tr_url_parse(text, &url, NULL) != TR_OK || !url.host_length || url.query_length)
    return tr_fail(err, TR_EXC_VALUE, "--%s %s is no URL", name, text);
  bool https = url.scheme_length == 5 && strncmp(url.scheme, "https", 5) == 0;
  if (!https && !tr_url_is_loopback(&url))
    return tr_fail(err, TR_EXC_VALUE, "--%s %s: without TLS only a loopback address is asked", name, text);
  *out = text;
  return TR_OK;
}

static enum tr_status parse(int argc, char **argv, struct arguments *a, struct tr_error *err) {
  static const struct option options[] = {{"listen", 1, NULL, 'l'},
                                          {"data", 1, NULL, 'd'},
                                          {"tls-cert", 1, NULL, 'c'},
                                          {"tls-key", 1, NULL, 'k'},
                                          {"lease-ms", 1, NULL, 'e'},
                                          {"grace-ms", 1, NULL, 'g'},
                                          {"help", 0, NULL, 'h'},
                                          {"die-with-parent", 0, NULL, 'p'},
                                          {"aws-endpoint", 1, NULL, 'a'},
                                          {"sts-endpoint", 1, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
  TR_TRY(parse_listen("127.0.0.1:8470", a, err));
  for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
    if (c == 'l') TR_TRY(parse_listen(optarg, a, err));
    if (c == 'd') a->data = optarg;
    if (c == 'c') a->cert = optarg;
    if (c == 'k') a->key = optarg;
    if (c == 'e') TR_TRY(parse_ms("lease-ms", optarg, &a->lease_ms, err));
    if (c == 'g') TR_TRY(parse_ms("grace-ms", optarg, &a->grace_ms, err));
    if (c == 'p') a->die_with_parent = true;
    if (c == 'a') TR_TRY(parse_url("aws-endpoint", optarg, &a->aws_endpoint, err));
    if (c == 's') TR_TRY(parse_url("sts-endpoint", optarg, &a->sts_endpoint, err));
    if (c == 'h' || c == '?') {
      fputs(usage, c == 'h' ? stdout : stderr);
      exit(c == 'h' ? 0 : 2);
    }
  }
  if (optind < argc) return tr_fail(err, TR_EXC_VALUE, "%s is not understood", argv[optind]);
  if (!a->data) return tr_fail(err, TR_EXC_VALUE, "--data is missing: the folder of the database");
  if (!a->cert != !a->key) return tr_fail(err, TR_EXC_VALUE, "--tls-cert and --tls-key go together");
  bool loopback = strncmp(a->address, "127.", 4) == 0 || strcmp(a->address, "::1") == 0;
  if (!a->cert && !loopback)
    return tr_fail(err, TR_EXC_VALUE,
                   "%s is no loopback address: keys would travel in the clear without TLS "
                   "(--tls-cert, --tls-key)",
                   a->address);
  return TR_OK;
}

enum { KEY_MIN = 16, KEY_MAX = 200 };

static enum tr_status read_key(const char *path, char out[KEY_MAX + 2], struct tr_error *err) {
  struct stat about;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return tr_fail_os(err, errno, "%s", path);
  ssize_t n = read(fd, out, KEY_MAX + 1);
  bool open_to_others = fstat(fd, &about) || about.st_mode & 077;
  close(fd);
  if (open_to_others) return tr_fail(err, TR_EXC_VALUE, "%s can be read by others: chmod 600", path);
  out[n > 0 ? n : 0] = 0;
  out[strcspn(out, "\r\n")] = 0;
  return TR_OK;
}

static enum tr_status make_key(const char *path, char out[KEY_MAX + 2], struct tr_error *err) {
  TR_TRY(tr_auth_new_secret("tra_", out, err));
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return tr_fail_os(err, errno, "%s", path);
  bool good = dprintf(fd, "%s\n", out) > 0 && fsync(fd) == 0;
  int why = errno;
  close(fd);
  return good ? TR_OK : tr_fail_os(err, why, "%s", path);
}

static enum tr_status admin_key(const char *folder, char out[KEY_MAX + 2], struct tr_error *err) {
  const char *given = getenv("TERALITY_ADMIN_KEY");
  char path[4096];
  snprintf(path, sizeof path, "%s/admin.key", folder);
  if (given) snprintf(out, KEY_MAX + 2, "%s", given);
  else if (access(path, F_OK) == 0) TR_TRY(read_key(path, out, err));
  else TR_TRY(make_key(path, out, err));
  unsetenv("TERALITY_ADMIN_KEY");
  size_t n = strlen(out);
  if (n >= KEY_MIN && n <= KEY_MAX) return TR_OK;
  return tr_fail(err, TR_EXC_VALUE, "the admin key (%s) has %zu characters: %d to %d are possible",
                 given ? "TERALITY_ADMIN_KEY" : path, n, KEY_MIN, KEY_MAX);
}

static enum tr_status start(const struct arguments *a, struct tr_loop **out, struct tr_error *err) {
  char key[KEY_MAX + 2], database[4096];
  if (mkdir(a->data, 0700) && errno != EEXIST) return tr_fail_os(err, errno, "%s", a->data);
  TR_TRY(admin_key(a->data, key, err));
  snprintf(database, sizeof database, "%s/scheduler.db", a->data);
  struct tr_loop_options options = {.database = database,
                                    .admin_key = key,
                                    .server = {.address = a->address,
                                               .port = a->port,
                                               .cert_file = a->cert,
                                               .key_file = a->key,
                                               .threads = 2,
                                               .headers = {"Terality-Version: 1"}},
                                    .state = tr_state_options_default,
                                    .aws_endpoint = a->aws_endpoint,
                                    .sts_endpoint = a->sts_endpoint};
  static_assert(TR_API_VERSION == 1, "the header above says the version");
  if (a->lease_ms) options.state.lease_ms = a->lease_ms;
  if (a->grace_ms >= 0) options.state.grace_ms = a->grace_ms;
  enum tr_status st = tr_loop_start(&options, out, err);
  tr_crypto_wipe(key, sizeof key);
  return st;
}

int main(int argc, char **argv) {
  struct arguments a = {.grace_ms = -1};
  struct tr_error err;
  struct tr_loop *loop;
  sigset_t stops;
  int signal_no;
  umask(077);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a failing write, not an end */
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  sigaddset(&stops, SIGINT);
  /* Before any thread is made: all of them leave these two to sigwait. */
  pthread_sigmask(SIG_BLOCK, &stops, NULL);
  if (parse(argc, argv, &a, &err) != TR_OK) {
    fprintf(stderr, "terality-scheduler: %s\n%s", err.text, usage);
    return 2;
  }
  pid_t parent = getppid();
  if (a.die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent)) return 1;
  if (start(&a, &loop, &err) != TR_OK) {
    const char *why = err.exc == TR_EXC_OS && err.os_errno ? strerror(err.os_errno) : "";
    fprintf(stderr, "terality-scheduler: %s%s%s\n", err.text, *why ? ": " : "", why);
    return 1;
  }
  bool v6 = strchr(a.address, ':') != NULL;
  printf("terality-scheduler: listening on %s://%s%s%s:%u\n", a.cert ? "https" : "http", v6 ? "[" : "", a.address,
         v6 ? "]" : "", tr_loop_port(loop));
  fflush(stdout);
  sigwait(&stops, &signal_no);
  tr_loop_stop(loop);
  return 0;
}
