/* Hashes used by every table in the engine. Not stable across releases; never written to a file. */
#pragma once
#include <stdint.h>
#include <string.h>

static inline uint64_t tr_hash_u64(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ull;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ull;
  x ^= x >> 32;
  return x;
}

static inline uint64_t tr_hash_mix(uint64_t a, uint64_t b) {
  __uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xe7037ed1a0b428dbull);
  return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t tr_hash_bytes(const void *p, size_t n) {
  const unsigned char *s = p;
  uint64_t h = 0xa0761d6478bd642full ^ n, a = 0, b = 0;
  while (n > 16) {
    memcpy(&a, s, 8);
    memcpy(&b, s + 8, 8);
    h = tr_hash_mix(a ^ h, b);
    s += 16;
    n -= 16;
  }
  a = b = 0;
  if (n >= 8) {
    memcpy(&a, s, 8);
    memcpy(&b, s + n - 8, 8);
  } else if (n) {
    memcpy(&a, s, n);
  }
  return tr_hash_mix(a ^ h, b ^ n);
}
