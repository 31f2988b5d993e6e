/* Snappy blocks against the library: what it makes is read, and damaged blocks are taken or refused as it does. */
#include "data/format/parquet/decode_int.h"
#include <setjmp.h>
#include <snappy-c.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* after those it needs */
#include <cmocka.h>

static uint64_t seed = 88172645463325252u;

static uint64_t draw(uint64_t n) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed % n;
}

/* Bytes as pages have them: noise, runs, periods of each length, and earlier bytes again. */
static void make(uint8_t *p, size_t n) {
  for (size_t i = 0; i < n;) {
    size_t length = 1 + draw(draw(4) ? 20 : 3000), how = draw(4), back = 1 + draw(draw(2) ? 20 : 70000);
    if (length > n - i) length = n - i;
    for (size_t k = 0; k < length; k++, i++) {
      if (how == 0 || back > i) p[i] = (uint8_t)draw(256);
      else if (how == 1) p[i] = (uint8_t)back;
      else p[i] = p[i - back];
    }
  }
}

/* In blocks of exactly that size, so that a sanitizer sees each byte too much. */
static void compare(const uint8_t *block, size_t n) {
  size_t said = 0;
  bool known = snappy_uncompressed_length((const char *)block, n, &said) == SNAPPY_OK && said < 1 << 22;
  size_t room = known ? said : 100, made = room;
  uint8_t *in = malloc(n + !n), *ours = malloc(room + !room), *theirs = malloc(room + !room);
  memcpy(in, block, n);
  bool good = known && snappy_uncompress((const char *)in, n, (char *)theirs, &made) == SNAPPY_OK;
  assert_int_equal(pq_unsnap(in, n, ours, room), good);
  if (good && room) assert_memory_equal(ours, theirs, room);
  if (room) assert_false(pq_unsnap(in, n, ours, room - 1));
  free(in);
  free(ours);
  free(theirs);
}

static void test_blocks_of_the_library(void **state) {
  (void)state;
  for (int round = 0; round < 2000; round++) {
    size_t n = draw(4) ? draw(300) : draw(200000), made = snappy_max_compressed_length(n);
    uint8_t *p = malloc(n + 1);
    char *block = malloc(made);
    make(p, n);
    assert_int_equal(snappy_compress((char *)p, n, block, &made), SNAPPY_OK);
    compare((uint8_t *)block, made);
    uint8_t *ours = malloc(n + 1);
    assert_true(pq_unsnap((uint8_t *)block, made, ours, n));
    assert_memory_equal(ours, p, n);
    free(ours);
    free(p);
    free(block);
  }
}

static void test_damaged_blocks(void **state) {
  (void)state;
  for (int round = 0; round < 20000; round++) {
    uint8_t p[400], block[600];
    size_t n = draw(sizeof p), made = sizeof block;
    make(p, n);
    assert_int_equal(snappy_compress((char *)p, n, (char *)block, &made), SNAPPY_OK);
    for (size_t k = 1 + draw(3); k; k--) block[draw(made)] = (uint8_t)draw(256);
    if (!draw(4)) made = draw(made + 1);
    compare(block, made);
  }
}

/* Elements the library does not make: any tags after one another. */
static void test_tags(void **state) {
  (void)state;
  for (int round = 0; round < 50000; round++) {
    uint8_t block[300] = {(uint8_t)draw(128)};
    size_t n = 1 + draw(sizeof block - 1);
    for (size_t i = 1; i < n; i++) block[i] = (uint8_t)(draw(2) ? draw(256) : draw(8) * 4 + draw(4));
    compare(block, n);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_blocks_of_the_library),
      cmocka_unit_test(test_damaged_blocks),
      cmocka_unit_test(test_tags),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
