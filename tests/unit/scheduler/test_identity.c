/* Nonces, workers' tokens and proofs: what holds, and that nothing else does. */
#include "fixture.h"
#include "scheduler/auth/identity.h"

static const char key[] = "0123456789abcdef", other[] = "0123456789abcdeg";

static void nonces(void **state) {
  char nonce[TR_NONCE_TEXT_BYTES], bad[TR_NONCE_TEXT_BYTES];
  (void)state;
  assert_int_equal(tr_nonce_new(key, "d1", 1000000, nonce, NULL), TR_OK);
  assert_true(tr_nonce_holds(key, "d1", 1000000, nonce));
  assert_true(tr_nonce_holds(key, "d1", 1000300, nonce));
  assert_false(tr_nonce_holds(key, "d1", 1000301, nonce));
  assert_false(tr_nonce_holds(key, "d1", 999990, nonce));
  assert_false(tr_nonce_holds(key, "d2", 1000000, nonce));
  assert_false(tr_nonce_holds(other, "d1", 1000000, nonce));
  assert_false(tr_nonce_holds("", "d1", 1000000, nonce));
  for (size_t i = 0; i < strlen(nonce); i++) {
    memcpy(bad, nonce, sizeof bad);
    bad[i] = bad[i] == 'A' ? 'B' : 'A';
    assert_false(tr_nonce_holds(key, "d1", 1000000, bad));
  }
  assert_false(tr_nonce_holds(key, "d1", 1000000, ""));
}

static void tokens(void **state) {
  const struct tr_worker_token t = {"d0123456789abcdef", "terality-one-worker-lambda", 5000};
  struct tr_worker_token back;
  char text[TR_WORKER_TOKEN_BYTES], bad[TR_WORKER_TOKEN_BYTES], nonce[TR_NONCE_TEXT_BYTES];
  (void)state;
  assert_int_equal(tr_worker_token_new(key, &t, text, NULL), TR_OK);
  assert_true(tr_worker_token_read(key, text, 4999, &back));
  assert_string_equal(back.deployment, t.deployment);
  assert_string_equal(back.role, t.role);
  assert_int_equal(back.expires_s, 5000);
  assert_false(tr_worker_token_read(key, text, 5000, &back));
  assert_false(tr_worker_token_read(other, text, 0, &back));
  for (size_t i = 0; i < strlen(text); i++) {
    memcpy(bad, text, sizeof bad);
    bad[i] = bad[i] == 'A' ? 'B' : 'A';
    assert_false(tr_worker_token_read(key, bad, 0, &back));
  }
  /* What else is signed with the key is no token. */
  assert_int_equal(tr_nonce_new(key, "d1", 1, nonce, NULL), TR_OK);
  assert_false(tr_worker_token_read(key, nonce, 0, &back));
}

static void replies_of_sts(void **state) {
  static const struct {
    const char *arn, *account, *role;
  } cases[] = {
      {"arn:aws:sts::123456789012:assumed-role/worker/session", "123456789012", "worker"},
      {"arn:aws-cn:sts::123456789012:assumed-role/w/s", "123456789012", "w"},
      {"arn:aws:iam::123456789012:user/worker", "123456789012", NULL},
      {"arn:aws:iam::123456789012:root", "123456789012", NULL},
      {"arn:aws:sts::123456789012:assumed-role/worker", "123456789012", NULL},
      {"arn:aws:sts::123456789012:assumed-role//s", "123456789012", NULL},
      {"arn:aws:sts::123456789012:federated-user/assumed-role/x", "123456789012", NULL},
      {"arn:aws:sts::123456789012:assumed-role/worker/session", "999999999999", NULL},
      {"x:sts::", "123456789012", NULL},
      {"", "", NULL},
  };
  char text[600], account[13], role[65];
  struct tr_fault fault;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int n = snprintf(text, sizeof text,
                     "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>%s</Arn><UserId>X:y</UserId>"
                     "<Account>%s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
                     cases[i].arn, cases[i].account);
    bool good = tr_proof_read_reply(text, (size_t)n, account, role, &fault);
    assert_int_equal(good, cases[i].role != NULL);
    if (good) assert_string_equal(role, cases[i].role);
    if (good) assert_string_equal(account, cases[i].account);
  }
  assert_false(tr_proof_read_reply("{}", 2, account, role, &fault));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(nonces), cmocka_unit_test(tokens),
                                     cmocka_unit_test(replies_of_sts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
