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
    "\n"
    "--metrics prints a line per task on stdout, in CloudWatch's embedded metric format.\n"
    "\n"
    "From the environment:\n"
    "  TERALITY_SCHEDULER     URL of the scheduler\n"
    "  TERALITY_WORKER_TOKEN  token of the deployment\n"
    "  TERALITY_STORE         where the deployment's objects lie: a folder, s3://bucket/prefix\n"
    "  TERALITY_CA_FILE       certificates to trust for the scheduler, PEM\n"
    "  TERALITY_MEMORY_BUDGET, TERALITY_THREADS, and what the store reads (AWS_…)\n";

static enum tr_status variable(const char *name, bool needed, char *out, size_t room, struct tr_error *err) {
  const char *value = getenv(name);
  if (!value || !*value) {
    if (needed) return tr_fail(err, TR_EXC_VALUE, "%s is not set", name);
    *out = 0;
    return TR_OK;
  }
  if ((size_t)snprintf(out, room, "%s", value) >= room) return tr_fail(err, TR_EXC_VALUE, "%s is too long", name);
  return TR_OK;
}

/* Names go into JSON and logs. */
static enum tr_status name_option(const char *option, const char *value, char *out, size_t room, struct tr_error *err) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  if (!*value || strlen(value) >= room || value[strspn(value, allowed)])
    return tr_fail(err, TR_EXC_VALUE, "--%s %s is no name", option, value);
  snprintf(out, room, "%s", value);
  return TR_OK;
}

static enum tr_status number_option(const char *option, const char *value, int64_t factor, int64_t *out,
                                    struct tr_error *err) {
  char *end;
  long long v = strtoll(value, &end, 10);
  if (*end || end == value || v < 0 || v > 1000000)
    return tr_fail(err, TR_EXC_VALUE, "--%s %s is no number", option, value);
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
    if (c == 'n') TR_TRY(name_option("name", optarg, s->name, sizeof s->name, err));
    if (c == 'k') TR_TRY(name_option("kind", optarg, s->kind, sizeof s->kind, err));
    if (c == 'i') TR_TRY(number_option("idle-seconds", optarg, 1000, &s->idle_ms, err));
    if (c == 'r') TR_TRY(number_option("renew-ms", optarg, 1, &s->renew_ms, err));
    if (c == 'p') s->die_with_parent = true;
    if (c == 'm') s->metrics = true;
    if (c == 'h' || c == '?') {
      fputs(usage, c == 'h' ? stdout : stderr);
      exit(c == 'h' ? 0 : 2);
    }
  }
  return optind < argc ? tr_fail(err, TR_EXC_VALUE, "%s is not understood", argv[optind]) : TR_OK;
}

enum tr_status tr_worker_settings_read(int argc, char **argv, struct tr_worker_settings *out, struct tr_error *err) {
  uint8_t random[8];
  *out = (struct tr_worker_settings){.kind = "local", .renew_ms = 2000};
  TR_TRY(tr_crypto_random(random, sizeof random, err));
  out->name[0] = 'w';
  tr_hex_encode(random, sizeof random, out->name + 1);
  TR_TRY(options(argc, argv, out, err));
  TR_TRY(variable("TERALITY_SCHEDULER", true, out->scheduler, sizeof out->scheduler, err));
  TR_TRY(variable("TERALITY_WORKER_TOKEN", true, out->token, sizeof out->token, err));
  TR_TRY(variable("TERALITY_STORE", true, out->store, sizeof out->store, err));
  TR_TRY(variable("TERALITY_CA_FILE", false, out->ca_file, sizeof out->ca_file, err));
  unsetenv("TERALITY_WORKER_TOKEN");
  TR_TRY(tr_mem_check_environment(err));
  TR_TRY(tr_pool_check_environment(err));
  size_t n = strlen(out->scheduler);
  while (n && out->scheduler[n - 1] == '/') out->scheduler[--n] = 0;
  bool plain = strncmp(out->scheduler, "http://", 7) == 0;
  if (!plain && strncmp(out->scheduler, "https://", 8) != 0)
    return tr_fail(err, TR_EXC_VALUE, "TERALITY_SCHEDULER is no http or https URL");
  return TR_OK;
}
