/* In-cache sort of 64-bit numbers: the range of what is there is cut into 2^4 to 2^10 equal parts, numbers are
 * scattered by part, parts are sorted in turn, short ones by insertion. Every level sees only the range its numbers
 * really span, so skew costs levels (at most 16), never order. */
#include "data/kern/sort/sort_int.h"

enum { INSERTION = 24, MAX_DIGIT = 10 };

static void insertion_sort(uint64_t *a, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    uint64_t v = a[i];
    int64_t j = i;
    for (; j > 0 && a[j - 1] > v; j--) a[j] = a[j - 1];
    a[j] = v;
  }
}

void tr_sort_u64(uint64_t *a, uint64_t *tmp, int64_t n, int low_bits) {
  if (n <= INSERTION) {
    insertion_sort(a, n);
    return;
  }
  uint64_t low = a[0], high = a[0];
  for (int64_t i = 1; i < n; i++) {
    low = a[i] < low ? a[i] : low;
    high = a[i] > high ? a[i] : high;
  }
  if (low_bits < 64 && low >> low_bits == high >> low_bits) { /* one key: stable, or sorted below */
    bool ascends = true;
    for (int64_t i = 1; i < n; i++) ascends &= a[i - 1] <= a[i];
    if (ascends) return;
  }
  int digit = tr_bit_length((uint64_t)n) - 3;
  digit = digit > MAX_DIGIT ? MAX_DIGIT : digit;
  int shift = tr_bit_length(high - low) - digit;
  if (shift < 0) shift = 0;
  uint32_t ends[1 << MAX_DIGIT] = {0};
  int n_parts = (int)((high - low) >> shift) + 1;
  for (int64_t i = 0; i < n; i++) ends[(a[i] - low) >> shift]++;
  uint32_t at = 0;
  for (int d = 0; d < n_parts; d++) {
    uint32_t count = ends[d];
    ends[d] = at;
    at += count;
  }
  for (int64_t i = 0; i < n; i++) tmp[ends[(a[i] - low) >> shift]++] = a[i];
  for (int64_t d = 0, begin = 0; d < n_parts; begin = ends[d++]) {
    int64_t count = ends[d] - begin;
    if (shift > 0 && count > INSERTION) tr_sort_u64(tmp + begin, a + begin, count, low_bits);
    else if (shift > 0 && count > 1) insertion_sort(tmp + begin, count);
  }
  memcpy(a, tmp, (size_t)n * 8);
}
