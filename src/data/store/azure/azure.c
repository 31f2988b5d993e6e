#include "data/store/store_int.h"
enum tr_status tr_azure_store_open(const char *scheme, const char *rest, const struct tr_store_option *options, int n,
                                   struct tr_store **out, struct tr_error *err) {
  (void)rest, (void)options, (void)n, (void)out;
  return tr_unsupported(err, "a store of the kind %s", scheme);
}
