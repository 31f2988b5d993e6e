/* terality-worker: reads its settings, leaves the signals to a thread of their own, works until it is told to end. */
#include "worker/worker.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The first signal drains, the second stops what runs. */
static void *wait_for_signals(void *arg) {
  const sigset_t *stops = arg;
  int signal_no;
  while (sigwait(stops, &signal_no) == 0) tr_worker_drain();
  return NULL;
}

int main(int argc, char **argv) {
  static struct tr_worker_settings settings;
  static sigset_t stops;
  struct tr_error err;
  pthread_t thread;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  const char *lambda = tr_lambda_api();
  if (!lambda && tr_worker_settings_read(argc, argv, &settings, &err) != TR_OK) {
    fprintf(stderr, "terality-worker: %s\n", err.text);
    return 2;
  }
  pid_t parent = getppid();
  if (settings.die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)) return 1;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  sigaddset(&stops, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stops, NULL);
  if (pthread_create(&thread, NULL, wait_for_signals, &stops)) return 1;
  if (lambda) return tr_lambda_run(lambda);
  fprintf(stderr, "terality-worker: %s works for %s\n", settings.name, settings.scheduler);
  if (tr_worker_run(&settings, &err) == TR_OK) return 0;
  fprintf(stderr, "terality-worker: %s\n", err.text);
  return 1;
}
