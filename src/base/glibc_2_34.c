/* What archives of newer systems ask of glibc and 2.34 does not have; only in programs built with -Dportable=true.
 *
 * expat takes a hash seed from arc4random_buf (2.36), C++'s library another; gcc 12's unwinder looks up tables by
 * _dl_find_object (2.35). Nothing here throws, so it is never asked, and "not found" ends the program as no handler
 * would.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

void arc4random_buf(void *to, size_t bytes);
uint32_t arc4random(void);
struct dl_find_object;
int _dl_find_object(void *address, struct dl_find_object *result);

void arc4random_buf(void *to, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t n = getrandom((char *)to + done, bytes - done, 0);
    if (n > 0) done += (size_t)n;
    else if (errno != EINTR) abort();
  }
}

uint32_t arc4random(void) {
  uint32_t value;
  arc4random_buf(&value, sizeof value);
  return value;
}

int _dl_find_object(void *address, struct dl_find_object *result) {
  (void)address, (void)result;
  return -1;
}
