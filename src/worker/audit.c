/* What this worker has sent to the scheduler, word for word, as objects under audit/ of the deployment's store; the
 * client writes the same (remote/session.py), `terality audit` shows both. Lines are collected and written now and
 * then: while tasks run every few seconds, when idle about once a minute, and at the end. A worker that is killed takes
 * the lines of the last seconds with it. */
#include "base/json_text.h"
#include "net/crypto.h"
#include "worker/worker.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MOST_BYTES = 16 << 20, WRITE_BYTES = 256 << 10, WRITE_MS = 30000 };

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void tr_audit_open(struct tr_audit *a, const struct tr_worker_settings *settings, struct tr_store *store) {
  a->settings = settings;
  a->store = store;
  pthread_mutex_init(&a->lock, NULL);
}

void tr_audit_close(struct tr_audit *a) {
  if (!a->settings) return;
  tr_text_free(&a->lines);
  pthread_mutex_destroy(&a->lock);
  a->settings = NULL;
}

void tr_audit_note(struct tr_audit *a, const char *method, const char *path, const char *body) {
  char when[32], request[300];
  struct tm utc;
  time_t t = time(NULL);
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
  pthread_mutex_lock(&a->lock);
  if (a->lines.length > MOST_BYTES) { /* the store has taken nothing for long: better no memory of it than no memory */
    fprintf(stderr, "terality-worker: audit lines are lost: the store does not take them\n");
    tr_text_clear(&a->lines);
  }
  if (!a->lines.length) {
    a->first_ms = now_ms();
    memcpy(a->day, when, 10);
  }
  tr_text_add_format(&a->lines, "{\"time\":\"%s\",\"sender\":\"worker-%s\",\"to\":", when, a->settings->name);
  tr_text_add_json(&a->lines, a->settings->scheduler);
  snprintf(request, sizeof request, "%s %s", method, path);
  tr_text_add_str(&a->lines, ",\"request\":");
  tr_text_add_json(&a->lines, request);
  tr_text_add_format(&a->lines, ",\"bytes\":%zu,\"body\":", strlen(path) + (body ? strlen(body) : 0));
  tr_text_add_json(&a->lines, body ? body : "");
  tr_text_add_str(&a->lines, "}\n");
  pthread_mutex_unlock(&a->lock);
}

bool tr_audit_due(struct tr_audit *a) {
  pthread_mutex_lock(&a->lock);
  bool due = a->lines.length && (a->lines.length > WRITE_BYTES || now_ms() - a->first_ms > WRITE_MS);
  pthread_mutex_unlock(&a->lock);
  return due;
}

static bool is_late(void *until_ms) { return now_ms() > *(int64_t *)until_ms; }

void tr_audit_write(struct tr_audit *a, int64_t within_ms) {
  char key[200], random[17];
  uint8_t bytes[8];
  struct tr_ctx ctx;
  struct tr_error err;
  struct tr_text mine;
  int64_t until = now_ms() + within_ms;
  pthread_mutex_lock(&a->lock);
  mine = a->lines;
  a->lines = (struct tr_text){0};
  snprintf(key, sizeof key, "audit/%.10s/worker-%s-", a->day, a->settings->name);
  pthread_mutex_unlock(&a->lock);
  enum tr_status st = tr_text_check(&mine, &err);
  if (st == TR_OK && mine.length) st = tr_crypto_random(bytes, sizeof bytes, &err);
  if (st == TR_OK && mine.length) {
    tr_hex_encode(bytes, sizeof bytes, random);
    strncat(key, random, sizeof key - strlen(key) - 1);
    struct tr_put put = {.data = mine.data, .bytes = mine.length};
    tr_ctx_init(&ctx);
    ctx.poll = is_late;
    ctx.poll_arg = &until;
    st = tr_store_put(a->store, key, &put, &ctx, &err);
  }
  if (st != TR_OK) { /* once more with what comes next */
    fprintf(stderr, "terality-worker: audit: %s\n", st == TR_CANCELLED ? "the store takes too long" : err.text);
    pthread_mutex_lock(&a->lock);
    if (a->lines.length) tr_text_add(&mine, a->lines.data, a->lines.length);
    tr_text_free(&a->lines);
    a->lines = mine;
    a->first_ms = now_ms();
    pthread_mutex_unlock(&a->lock);
    return;
  }
  tr_text_free(&mine);
}
