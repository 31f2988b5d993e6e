/* src/base/hash: equal input gives equal output, every byte and length counts, and the bits tables use are spread. */
#include "base/hash.h"
#include <cmocka.h>

static void every_byte_counts(void **state) {
  (void)state;
  unsigned char text[100], copy[100];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (unsigned char)(i * 37 + 1);
  for (size_t n = 0; n < sizeof text; n++) {
    uint64_t h = tr_hash_bytes(text, n);
    memcpy(copy, text, sizeof text);
    assert_true(tr_hash_bytes(copy, n) == h);
    for (size_t i = 0; i < n; i++) {
      copy[i] ^= 0x10;
      assert_true(tr_hash_bytes(copy, n) != h);
      copy[i] ^= 0x10;
    }
    if (n) assert_true(tr_hash_bytes(text, n - 1) != h);
  }
  static const unsigned char zeros[40] = {0};
  for (size_t n = 1; n < sizeof zeros; n++) assert_true(tr_hash_bytes(zeros, n) != tr_hash_bytes(zeros, n - 1));
}

/* Dense keys into 256 partitions by the top bits and by the low bits: none may get twice its share. */
static void dense_keys_spread(void **state) {
  (void)state;
  enum { N = 1 << 16 };
  for (int shift = 0; shift <= 40; shift += 8) {
    int top[256] = {0}, low[256] = {0};
    for (uint64_t i = 0; i < N; i++) {
      uint64_t h = tr_hash_u64(i << shift);
      top[h >> 56]++;
      low[h & 255]++;
    }
    for (int p = 0; p < 256; p++) {
      assert_in_range(top[p], 1, 2 * N / 256);
      assert_in_range(low[p], 1, 2 * N / 256);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_byte_counts),
      cmocka_unit_test(dense_keys_spread),
  };
  return cmocka_run_group_tests_name("base/hash", tests, NULL, NULL);
}
