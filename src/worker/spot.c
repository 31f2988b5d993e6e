/* A spot instance is told two minutes before it is taken away. The worker asks every five seconds; when the notice is
 * there it takes no more tasks, and hands back what still runs shortly before the end. */
#include "net/aws_endpoints.h"
#include "net/xml.h"
#include "worker/worker.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ASK_SECONDS = 5, NOTICE_SECONDS = 120, HAND_BACK_SECONDS = 20 };

/* Seconds until the end that a notice names; -1 = it is no notice. */
static int64_t seconds_left(const char *notice) {
  json_t *o = json_loads(notice, 0, NULL);
  const char *action = json_string_value(json_object_get(o, "action")),
             *at = json_string_value(json_object_get(o, "time"));
  int64_t end = at ? tr_time_parse(at) / 1000000000 : 0, left = NOTICE_SECONDS;
  if (end) left = end - (int64_t)time(NULL);
  if (!action) left = -1;
  else if (left < 0) left = 0;
  json_decref(o);
  return left;
}

static void *watch(void *arg) {
  struct tr_imds *imds = arg;
  char notice[500];
  while (true) {
    struct tr_error err;
    int status;
    enum tr_status st =
        tr_imds_get(imds, "/latest/meta-data/spot/instance-action", notice, sizeof notice, &status, &err);
    int64_t left = st == TR_OK && status == 200 ? seconds_left(notice) : -1;
    if (left >= 0) {
      fprintf(stderr, "terality-worker: this spot instance ends in %lld s\n", (long long)left);
      tr_worker_drain();
      if (left > HAND_BACK_SECONDS) nanosleep(&(struct timespec){left - HAND_BACK_SECONDS, 0}, NULL);
      tr_worker_drain();
      return NULL;
    }
    nanosleep(&(struct timespec){ASK_SECONDS, 0}, NULL);
  }
}

enum tr_status tr_worker_watch_spot(struct tr_error *err) {
  static struct tr_imds imds; /* as long as the process */
  pthread_t thread;
  TR_TRY(tr_imds_open(true, &imds, err));
  int rc = pthread_create(&thread, NULL, watch, &imds);
  if (rc) return tr_fail_os(err, rc, "thread that watches for a spot notice");
  pthread_detach(thread);
  return TR_OK;
}
