/* The io of a filter: see store_int.h. What is delicate is that `done` may run before `submit` has returned, on another
 * thread or on the same one, while a canceller looks on.
 */
#include "data/store/store_int.h"

void tr_child_init(struct tr_child *c, struct tr_store *next, const struct tr_store_io *io,
                   void (*done)(struct tr_store_io *, enum tr_status, const struct tr_error *), void *arg,
                   void (*free)(struct tr_child *)) {
  c->io = *io;
  c->io.done = done;
  c->io.arg = arg;
  c->io.under_way = NULL;
  c->next = next;
  c->refs = 1;
  c->free = free;
  pthread_mutex_init(&c->lock, NULL);
}

/* Called with the lock, which is given up. */
static void unlock_unref(struct tr_child *c) {
  bool last = --c->refs == 0;
  pthread_mutex_unlock(&c->lock);
  if (!last) return;
  pthread_mutex_destroy(&c->lock);
  c->free(c);
}

void tr_child_submit(struct tr_child *c) {
  pthread_mutex_lock(&c->lock);
  c->refs++;
  int serial = ++c->serial;
  c->over = c->in_next = false;
  pthread_mutex_unlock(&c->lock);
  c->next->ops->submit(c->next, &c->io);
  pthread_mutex_lock(&c->lock);
  if (c->serial == serial && !c->over) {
    c->in_next = true;
    if (c->cancelled) c->next->ops->cancel(c->next, &c->io);
  }
  unlock_unref(c);
}

void tr_child_over(struct tr_child *c) {
  pthread_mutex_lock(&c->lock);
  c->over = true;
  c->in_next = false;
  pthread_mutex_unlock(&c->lock);
}

void tr_child_cancel(struct tr_child *c) {
  pthread_mutex_lock(&c->lock);
  c->cancelled = true;
  if (c->in_next) c->next->ops->cancel(c->next, &c->io);
  pthread_mutex_unlock(&c->lock);
}

bool tr_child_is_cancelled(struct tr_child *c) {
  pthread_mutex_lock(&c->lock);
  bool cancelled = c->cancelled;
  pthread_mutex_unlock(&c->lock);
  return cancelled;
}

void tr_child_unref(struct tr_child *c) {
  pthread_mutex_lock(&c->lock);
  unlock_unref(c);
}
