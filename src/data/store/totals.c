/* How many requests stores behind HTTP have sent. Of the process, not of a store: what they cost and how often the
 * other side was too busy is asked for all of them together. */
#include "data/store/store_int.h"

static _Atomic int64_t requests, throttled, failed, retries, bytes_in, bytes_out;

void tr_store_count_request(int status, size_t bytes_read, size_t bytes_written) {
  requests++;
  if (status == 503 || status == 429) throttled++;
  else if (!status || status >= 500) failed++;
  bytes_in += (int64_t)bytes_read;
  bytes_out += (int64_t)bytes_written;
}

void tr_store_count_retry(void) { retries++; }

void tr_store_totals_get(struct tr_store_totals *out) {
  *out = (struct tr_store_totals){requests, throttled, failed, retries, bytes_in, bytes_out};
}
