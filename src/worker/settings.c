#include "base/mem.h"
#include "worker/worker.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: terality-worker [--name NAME] [--kind KIND] [--idle-seconds N] [--renew-ms N] [--die-with-parent]\n"
    "                       [--metrics]\n"
    "       terality-worker --fixed ecs|ec2\n"
    "\n"
    "--fixed takes settings from the task's labels (ecs) or /etc/terality/worker.conf (ec2), and nowhere else.\n"
    "As a Lambda function (AWS_LAMBDA_RUNTIME_API) it works when it is invoked; arguments mean nothing then.\n"
    "--metrics prints a line per task on stdout, in CloudWatch's embedded metric format.\n"
    "\n"
    "From the environment:\n"
    "  TERALITY_SCHEDULER     URL of the scheduler\n"
    "  TERALITY_WORKER_TOKEN  token of the deployment, or\n"
    "  TERALITY_DEPLOYMENT    id of the deployment, to which the worker proves its AWS role; with TERALITY_REGION\n"
    "  TERALITY_WORKER_INSTANCE  what the platform calls this worker (optional)\n"
    "  TERALITY_STORE         where the deployment's objects lie: a folder, s3://bucket/prefix\n"
    "  TERALITY_CA_FILE       certificates to trust for the scheduler, PEM\n"
    "  TERALITY_WORKER_KIND, TERALITY_IDLE_SECONDS\n"
    "  TERALITY_MEMORY_BUDGET, TERALITY_THREADS, and what the store reads (AWS_…)\n";

/* Where settings are looked up: the environment, a file, labels of a container. */
static enum tr_status variable(const struct tr_worker_lookup *from, const char *name, bool needed, char *out,
                               size_t room, struct tr_error *err) {
  const char *value = from->value(from->arg, name);
  if (!value || !*value) {
    if (needed) return tr_fail(err, TR_EXC_VALUE, "%s is not set%s", name, from->where);
    *out = 0;
    return TR_OK;
  }
  if ((size_t)snprintf(out, room, "%s", value) >= room)
    return tr_fail(err, TR_EXC_VALUE, "%s is too long%s", name, from->where);
  return TR_OK;
}

static const char *from_environment(const void *arg, const char *name) {
  (void)arg;
  return getenv(name);
}

/* Names go into JSON and logs. */
static enum tr_status name_option(const char *option, const char *value, char *out, size_t room, struct tr_error *err) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  if (!*value || strlen(value) >= room || value[strspn(value, allowed)])
    return tr_fail(err, TR_EXC_VALUE, "%s %s is no name", option, value);
  memmove(out, value, strlen(value) + 1);
  return TR_OK;
}

static enum tr_status number_option(const char *option, const char *value, int64_t factor, int64_t *out,
                                    struct tr_error *err) {
  char *end;
  long long v = strtoll(value, &end, 10);
  if (*end || end == value || v < 0 || v > 1000000)
    return tr_fail(err, TR_EXC_VALUE, "%s %s is no number", option, value);
  *out = v * factor;
  return TR_OK;
}

static enum tr_status options(int argc, char **argv, struct tr_worker_settings *s, struct tr_error *err) {
  static const struct option known[] = {{"name", 1, NULL, 'n'},
                                        {"kind", 1, NULL, 'k'},
                                        {"idle-seconds", 1, NULL, 'i'},
                                        {"renew-ms", 1, NULL, 'r'},
                                        {"die-with-parent", 0, NULL, 'p'},
                                        {"metrics", 0, NULL, 'm'},
                                        {"help", 0, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};
  for (int c; (c = getopt_long(argc, argv, "", known, NULL)) >= 0;) {
    if (c == 'n') TR_TRY(name_option("--name", optarg, s->name, sizeof s->name, err));
    if (c == 'k') TR_TRY(name_option("--kind", optarg, s->kind, sizeof s->kind, err));
    if (c == 'i') TR_TRY(number_option("--idle-seconds", optarg, 1000, &s->idle_ms, err));
    if (c == 'r') TR_TRY(number_option("--renew-ms", optarg, 1, &s->renew_ms, err));
    if (c == 'p') s->die_with_parent = true;
    if (c == 'm') s->metrics = true;
    if (c == 'h' || c == '?') {
      fputs(usage, c == 'h' ? stdout : stderr);
      exit(c == 'h' ? 0 : 2);
    }
  }
  return optind < argc ? tr_fail(err, TR_EXC_VALUE, "%s is not understood", argv[optind]) : TR_OK;
}

enum tr_status tr_worker_settings_begin(struct tr_worker_settings *out, struct tr_error *err) {
  uint8_t random[8];
  TR_TRY(tr_mem_check_environment(err));
  TR_TRY(tr_pool_check_environment(err));
  *out = (struct tr_worker_settings){.kind = "local", .renew_ms = 2000, .patience_ms = 600000};
  TR_TRY(tr_crypto_random(random, sizeof random, err));
  out->name[0] = 'w';
  tr_hex_encode(random, sizeof random, out->name + 1);
  return TR_OK;
}

static enum tr_status check_scheduler(char *scheduler, const char *where, struct tr_error *err) {
  size_t n = strlen(scheduler);
  while (n && scheduler[n - 1] == '/') scheduler[--n] = 0;
  if (strncmp(scheduler, "http://", 7) != 0 && strncmp(scheduler, "https://", 8) != 0)
    return tr_fail(err, TR_EXC_VALUE, "TERALITY_SCHEDULER is no http or https URL%s", where);
  return TR_OK;
}

bool tr_worker_instance_fits(const char *id) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/._-";
  return *id && strlen(id) < sizeof((struct tr_worker_settings *)0)->instance && !id[strspn(id, allowed)];
}

enum tr_status tr_worker_settings_take(const struct tr_worker_lookup *from, struct tr_worker_settings *out,
                                       struct tr_error *err) {
  char kind[sizeof out->kind], idle[16];
  TR_TRY(variable(from, "TERALITY_SCHEDULER", true, out->scheduler, sizeof out->scheduler, err));
  TR_TRY(check_scheduler(out->scheduler, from->where, err));
  TR_TRY(variable(from, "TERALITY_DEPLOYMENT", false, out->deployment, sizeof out->deployment, err));
  if (*out->deployment)
    TR_TRY(name_option("TERALITY_DEPLOYMENT", out->deployment, out->deployment, sizeof out->deployment, err));
  if (from->tokens) {
    TR_TRY(variable(from, "TERALITY_WORKER_INSTANCE", false, out->instance, sizeof out->instance, err));
    if (*out->instance && !tr_worker_instance_fits(out->instance))
      return tr_fail(err, TR_EXC_VALUE, "TERALITY_WORKER_INSTANCE is no name of a task or an instance");
    TR_TRY(variable(from, "TERALITY_WORKER_TOKEN", !*out->deployment, out->token, sizeof out->token, err));
  } else if (!*out->deployment) return tr_fail(err, TR_EXC_VALUE, "TERALITY_DEPLOYMENT is not set%s", from->where);
  TR_TRY(variable(from, "TERALITY_STORE", true, out->store, sizeof out->store, err));
  TR_TRY(variable(from, "TERALITY_REGION", false, out->region, sizeof out->region, err));
  if (*out->region) TR_TRY(name_option("TERALITY_REGION", out->region, out->region, sizeof out->region, err));
  TR_TRY(variable(from, "TERALITY_CA_FILE", false, out->ca_file, sizeof out->ca_file, err));
  TR_TRY(variable(from, "TERALITY_WORKER_KIND", false, kind, sizeof kind, err));
  if (*kind) TR_TRY(name_option("TERALITY_WORKER_KIND", kind, out->kind, sizeof out->kind, err));
  TR_TRY(variable(from, "TERALITY_IDLE_SECONDS", false, idle, sizeof idle, err));
  if (*idle) TR_TRY(number_option("TERALITY_IDLE_SECONDS", idle, 1000, &out->idle_ms, err));
  return TR_OK;
}

enum tr_status tr_worker_settings_read(int argc, char **argv, struct tr_worker_settings *out, struct tr_error *err) {
  const struct tr_worker_lookup environment = {.value = from_environment, .where = "", .tokens = true};
  TR_TRY(tr_worker_settings_begin(out, err));
  TR_TRY(options(argc, argv, out, err));
  TR_TRY(tr_worker_settings_take(&environment, out, err));
  unsetenv("TERALITY_WORKER_TOKEN");
  optind = 1; /* once more: arguments win over the environment */
  return options(argc, argv, out, err);
}

enum tr_status tr_worker_settings_lambda(struct tr_worker_settings *out, struct tr_error *err) {
  const struct tr_worker_lookup environment = {
      .value = from_environment, .where = " in the function's environment", .tokens = true};
  TR_TRY(tr_worker_settings_begin(out, err));
  /* A waiting function costs as much as a working one. */
  out->idle_ms = 1500;
  out->patience_ms = 20000;
  out->metrics = true;
  snprintf(out->kind, sizeof out->kind, "lambda-small");
  TR_TRY(tr_worker_settings_take(&environment, out, err));
  unsetenv("TERALITY_WORKER_TOKEN");
  return TR_OK;
}
