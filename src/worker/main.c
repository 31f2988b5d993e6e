/* terality-worker: reads its settings, leaves the signals to a thread of their own, works until it is told to end. */
#include "worker/worker.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static sigset_t stops;

/* The first signal drains, the second stops what runs; so does time, where a platform gives only so much. */
static void *wait_for_signals(void *arg) {
  const struct tr_worker_settings *settings = arg;
  const struct timespec grace = {settings->grace_ms / 1000, settings->grace_ms % 1000 * 1000000};
  while (sigwaitinfo(&stops, NULL) < 0) {}
  tr_worker_drain();
  if (settings->grace_ms) sigtimedwait(&stops, NULL, &grace);
  else
    while (sigwaitinfo(&stops, NULL) < 0) {}
  tr_worker_drain();
  return NULL;
}

static enum tr_status read_settings(int argc, char **argv, struct tr_worker_settings *out, struct tr_error *err) {
  const char *place = tr_worker_fixed_place(argc, argv);
  if (!place) return tr_worker_settings_read(argc, argv, out, err);
  TR_TRY(tr_worker_settings_fixed(place, argv, out, err));
  return strcmp(place, "ec2") == 0 ? tr_worker_watch_spot(err) : TR_OK;
}

int main(int argc, char **argv) {
  static struct tr_worker_settings settings;
  struct tr_error err;
  pthread_t thread;
  const char *lambda = tr_worker_fixed_place(argc, argv) ? NULL : tr_lambda_api();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  sigaddset(&stops, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stops, NULL);
  if (!lambda && read_settings(argc, argv, &settings, &err) != TR_OK) {
    fprintf(stderr, "terality-worker: %s\n", err.text);
    return 2;
  }
  pid_t parent = getppid();
  if (settings.die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)) return 1;
  if (pthread_create(&thread, NULL, wait_for_signals, &settings)) return 1;
  if (lambda) return tr_lambda_run(lambda);
  fprintf(stderr, "terality-worker: %s works for %s\n", settings.name, settings.scheduler);
  if (tr_worker_run(&settings, &err) == TR_OK) return 0;
  fprintf(stderr, "terality-worker: %s\n", err.text);
  return 1;
}
