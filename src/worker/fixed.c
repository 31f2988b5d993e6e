/* Workers whose settings nobody but the owner of the account can choose: `terality-worker --fixed ecs` and `--fixed
 * ec2`.
 *
 * Whoever starts an ECS task may give it arguments and environment variables, and the scheduler may start tasks. So
 * that it cannot make the worker talk to somebody else, or take its keys elsewhere, both mean nothing here: settings
 * come from the labels of the task definition (read at the one address where the agent answers) or from a file of the
 * machine, and everything that a library might read goes from the environment before the program starts anew.
 */
#include "net/aws_endpoints.h"
#include "worker/worker.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum { CONF_BYTES = 64 << 10, CONF_LINES = 64, METADATA_MS = 2000, METADATA_ATTEMPTS = 5 };
static const char conf_path[] = "/etc/terality/worker.conf";
/* What the ECS agent says: paths at its own address. */
static const char keys_variable[] = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                  metadata_variable[] = "ECS_CONTAINER_METADATA_URI_V4";

const char *tr_worker_fixed_place(int argc, char **argv) {
  return argc >= 3 && strcmp(argv[1], "--fixed") == 0 ? argv[2] : NULL;
}

/* A variable that stays, as "NAME=value" of the environment; NULL when it goes. */
static const char *kept(const char *entry, bool container) {
  const char *const names[] = {keys_variable, metadata_variable};
  for (size_t i = 0; container && i < 2; i++) {
    size_t n = strlen(names[i]);
    if (strncmp(entry, names[i], n) == 0 && entry[n] == '=') return entry;
  }
  return NULL;
}

/* Starts the program anew unless its environment is clean: the loader and libraries have read theirs already. */
TR_MUST_USE static enum tr_status scrub(const char *place, char **argv, struct tr_error *err) {
  char *clean[3] = {NULL};
  char *const arguments[] = {argv[0], argv[1], argv[2], NULL};
  bool container = strcmp(place, "ecs") == 0, dirty = argv[3] != NULL;
  int n = 0;
  for (char **e = environ; *e; e++) {
    if (kept(*e, container) && n < 2) clean[n++] = *e;
    else dirty = true;
  }
  if (!dirty) return TR_OK;
  execve("/proc/self/exe", arguments, clean);
  return tr_fail_os(err, errno, "starting anew with a clean environment");
}

/* ---- ECS: labels of the container */
static const char *label(const void *arg, const char *name) {
  char key[64];
  size_t n = strlen(name);
  if (n >= sizeof key) return NULL;
  for (size_t i = 0; i <= n; i++) key[i] = name[i] == '_' ? '.' : (char)tolower((unsigned char)name[i]);
  return json_string_value(json_object_get(json_object_get(arg, "Labels"), key));
}

TR_MUST_USE static enum tr_status get_metadata(json_t **out, struct tr_error *err) {
  static const char only[] = TR_CONTAINER_ENDPOINT "/";
  const char *url = getenv(metadata_variable);
  struct tr_http_reply reply = {0};
  struct tr_http *http;
  if (!url) return tr_fail(err, TR_EXC_VALUE, "%s is not set: this is no ECS task", metadata_variable);
  if (strncmp(url, only, sizeof only - 1) != 0)
    return tr_fail(err, TR_EXC_VALUE, "%s %.200s is not at %s", metadata_variable, url, TR_CONTAINER_ENDPOINT);
  TR_TRY(tr_http_new(NULL, &http, err));
  const struct tr_http_request request = {
      .method = "GET", .url = url, .deadline_ms = METADATA_MS, .connect_ms = METADATA_MS, .max_bytes = 1 << 20};
  enum tr_status st = tr_endpoint_get(http, &request, METADATA_ATTEMPTS, &reply, err);
  *out = st == TR_OK && reply.status == 200 ? json_loadb((const char *)reply.body, reply.body_bytes, 0, NULL) : NULL;
  if (st == TR_OK && !*out) st = tr_fail(err, TR_EXC_RUNTIME, "%s answers %d, or no JSON", url, reply.status);
  tr_http_reply_free(&reply);
  tr_http_free(http);
  return st;
}

TR_MUST_USE static enum tr_status keep_instance(const char *id, struct tr_worker_settings *out, struct tr_error *err) {
  if (!id || !tr_worker_instance_fits(id))
    return tr_fail(err, TR_EXC_RUNTIME, "the metadata do not say what this worker is called");
  strcpy(out->instance, id);
  return TR_OK;
}

TR_MUST_USE static enum tr_status from_labels(struct tr_worker_settings *out, struct tr_error *err) {
  json_t *metadata;
  TR_TRY(get_metadata(&metadata, err));
  const struct tr_worker_lookup labels = {.value = label, .arg = metadata, .where = " in the task's labels"};
  const json_t *all = json_object_get(metadata, "Labels");
  enum tr_status st = keep_instance(json_string_value(json_object_get(all, "com.amazonaws.ecs.task-arn")), out, err);
  if (st == TR_OK) st = tr_worker_settings_take(&labels, out, err);
  json_decref(metadata);
  return st;
}

/* ---- EC2: a file */
struct conf {
  int n;
  const char *names[CONF_LINES], *values[CONF_LINES];
};

static const char *line_of(const void *arg, const char *name) {
  const struct conf *c = arg;
  for (int i = 0; i < c->n; i++)
    if (strcmp(c->names[i], name) == 0) return c->values[i];
  return NULL;
}

/* Whoever could write it could make the worker his. */
TR_MUST_USE static enum tr_status read_conf(char *text, size_t room, struct tr_error *err) {
  struct stat is;
  int fd = open(conf_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return tr_fail_os(err, errno, "%s", conf_path);
  enum tr_status st = TR_OK;
  ssize_t n = 0;
  if (fstat(fd, &is) || !S_ISREG(is.st_mode) || is.st_uid != 0 || is.st_mode & (S_IWGRP | S_IWOTH))
    st = tr_fail(err, TR_EXC_VALUE, "%s must be a file of root's that nobody else may write", conf_path);
  else if ((n = read(fd, text, room)) < 0) st = tr_fail_os(err, errno, "%s", conf_path);
  else if ((size_t)n == room) st = tr_fail(err, TR_EXC_VALUE, "%s is too large", conf_path);
  else text[n] = 0;
  close(fd);
  return st;
}

/* NAME=VALUE lines, cut up in place. */
TR_MUST_USE static enum tr_status split_conf(char *text, struct conf *c, struct tr_error *err) {
  int number = 0;
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n"));) {
    number++;
    size_t n = strlen(line);
    while (n && isspace((unsigned char)line[n - 1])) line[--n] = 0;
    line += strspn(line, " \t");
    if (!*line || *line == '#') continue;
    char *equals = strchr(line, '=');
    if (!equals || c->n == CONF_LINES)
      return tr_fail(err, TR_EXC_VALUE, "%s:%d: %s", conf_path, number, equals ? "too many lines" : "no NAME=VALUE");
    *equals = 0;
    c->names[c->n] = line;
    c->values[c->n++] = equals + 1;
  }
  return TR_OK;
}

TR_MUST_USE static enum tr_status from_file(struct tr_worker_settings *out, struct tr_error *err) {
  static char text[CONF_BYTES];
  struct conf conf = {0};
  struct tr_imds imds;
  char id[200];
  int status;
  TR_TRY(read_conf(text, sizeof text, err));
  TR_TRY(split_conf(text, &conf, err));
  const struct tr_worker_lookup lines = {.value = line_of, .arg = &conf, .where = " in /etc/terality/worker.conf"};
  TR_TRY(tr_worker_settings_take(&lines, out, err));
  TR_TRY(tr_imds_open(true, &imds, err));
  enum tr_status st = tr_imds_get(&imds, "/latest/meta-data/instance-id", id, sizeof id, &status, err);
  if (st == TR_OK) st = keep_instance(status == 200 ? id : NULL, out, err);
  tr_imds_close(&imds);
  return st;
}

enum tr_status tr_worker_settings_fixed(const char *place, char **argv, struct tr_worker_settings *out,
                                        struct tr_error *err) {
  bool ecs = strcmp(place, "ecs") == 0;
  if (!ecs && strcmp(place, "ec2") != 0)
    return tr_fail(err, TR_EXC_VALUE, "--fixed %.20s: there are ecs and ec2", place);
  TR_TRY(scrub(place, argv, err));
  TR_TRY(tr_worker_settings_begin(out, err));
  snprintf(out->kind, sizeof out->kind, "%s", place);
  out->metrics = true;
  out->only = ecs ? TR_AWS_CONTAINER : TR_AWS_INSTANCE;
  /* A task ends by ending. An instance that has nothing to do is ended by the scheduler, which knows what is coming. */
  out->idle_ms = ecs ? 60000 : 0;
  out->grace_ms = 90000;
  TR_TRY(ecs ? from_labels(out, err) : from_file(out, err));
  /* For buckets that are not the deployment's own: the environment is empty. */
  if (*out->region && setenv("AWS_REGION", out->region, 1)) return tr_fail_memory(err, strlen(out->region));
  return TR_OK;
}
