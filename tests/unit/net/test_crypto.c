/* src/net/crypto against published vectors: FIPS 180-4 examples, RFC 4231 (HMAC), NIST's GCM test cases, RFC 4648. */
#include "base/mem.h"
#include "net/crypto.h"
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void expect_hex(const uint8_t *data, size_t bytes, const char *hex) {
  char *text = malloc(TR_HEX_SIZE(bytes));
  assert_int_equal(tr_hex_encode(data, bytes, text), 2 * bytes);
  assert_string_equal(text, hex);
  free(text);
}

static size_t from_hex(const char *hex, uint8_t *out) {
  struct tr_error err;
  size_t bytes = 0;
  assert_int_equal(tr_hex_decode(hex, strlen(hex), out, &bytes, &err), TR_OK);
  return bytes;
}

static void sha256(void **state) {
  (void)state;
  struct tr_error err;
  uint8_t out[TR_SHA256_BYTES];
  assert_int_equal(tr_crypto_sha256("abc", 3, out, &err), TR_OK);
  expect_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_int_equal(tr_crypto_sha256(NULL, 0, out, &err), TR_OK);
  expect_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  assert_int_equal(tr_crypto_sha256(two_blocks, strlen(two_blocks), out, &err), TR_OK);
  expect_hex(out, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void sha256_in_pieces(void **state) {
  (void)state;
  struct tr_error err;
  uint8_t out[TR_SHA256_BYTES];
  struct tr_sha256 *s = NULL;
  char letters[1000];
  memset(letters, 'a', sizeof letters);
  assert_int_equal(tr_sha256_begin(&s, &err), TR_OK);
  for (int i = 0; i < 1000; i++) assert_int_equal(tr_sha256_add(s, letters, sizeof letters, &err), TR_OK);
  assert_int_equal(tr_sha256_add(s, NULL, 0, &err), TR_OK);
  assert_int_equal(tr_sha256_finish(s, out, &err), TR_OK);
  expect_hex(out, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  assert_int_equal(tr_sha256_begin(&s, &err), TR_OK);
  tr_sha256_free(s);
  tr_sha256_free(NULL);
}

static void hmac(void **state) {
  (void)state;
  struct tr_error err;
  uint8_t out[TR_SHA256_BYTES], key[131];
  memset(key, 0x0b, 20);
  assert_int_equal(tr_crypto_hmac_sha256(key, 20, "Hi There", 8, out, &err), TR_OK);
  expect_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  const char *what = "what do ya want for nothing?";
  assert_int_equal(tr_crypto_hmac_sha256("Jefe", 4, what, strlen(what), out, &err), TR_OK);
  expect_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  memset(key, 0xaa, 131);
  const char *long_key = "Test Using Larger Than Block-Size Key - Hash Key First";
  assert_int_equal(tr_crypto_hmac_sha256(key, 131, long_key, strlen(long_key), out, &err), TR_OK);
  expect_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  assert_int_equal(tr_crypto_hmac_sha256(NULL, 0, NULL, 0, out, &err), TR_OK);
  expect_hex(out, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* NIST GCM test cases 14 and 16 (256-bit keys): opening them shows that ours is the standard's AES-GCM. */
static void open_published(void **state) {
  (void)state;
  struct tr_error err;
  uint8_t key[TR_KEY_BYTES] = {0}, sealed[200], plain[100], context[20];
  size_t n = from_hex("000000000000000000000000"
                      "cea7403d4d606b6e074ec5d3baf39d18"
                      "d0d1c8a799996bf0265b98b5d48ab919",
                      sealed);
  assert_int_equal(tr_crypto_open(key, NULL, 0, sealed, n, plain, &err), TR_OK);
  expect_hex(plain, 16, "00000000000000000000000000000000");
  from_hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key);
  assert_int_equal(from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2", context), 20);
  n = from_hex("cafebabefacedbaddecaf888"
               "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
               "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
               "76fc6ece0f4e1768cddf8853bb2d551b",
               sealed);
  assert_int_equal(tr_crypto_open(key, context, 20, sealed, n, plain, &err), TR_OK);
  expect_hex(plain, 60,
             "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
             "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
}

static void seal_and_open(void **state) {
  (void)state;
  struct tr_error err;
  uint8_t key[TR_KEY_BYTES], plain[300], sealed[300 + TR_SEAL_EXTRA], again[300 + TR_SEAL_EXTRA], back[300];
  assert_int_equal(tr_crypto_random(key, sizeof key, &err), TR_OK);
  assert_int_equal(tr_crypto_random(plain, sizeof plain, &err), TR_OK);
  for (size_t n = 0; n <= sizeof plain; n += 50) {
    assert_int_equal(tr_crypto_seal(key, "here", 4, plain, n, sealed, &err), TR_OK);
    assert_int_equal(tr_crypto_seal(key, "here", 4, plain, n, again, &err), TR_OK);
    assert_memory_not_equal(sealed, again, n + TR_SEAL_EXTRA);
    assert_int_equal(tr_crypto_open(key, "here", 4, sealed, n + TR_SEAL_EXTRA, back, &err), TR_OK);
    assert_memory_equal(back, plain, n);
  }
}

static void refuse_changed(void **state) {
  (void)state;
  struct tr_error err;
  uint8_t key[TR_KEY_BYTES] = {7}, sealed[5 + TR_SEAL_EXTRA], back[5];
  assert_int_equal(tr_crypto_seal(key, "ab", 2, "hello", 5, sealed, &err), TR_OK);
  for (size_t i = 0; i < sizeof sealed; i++) {
    sealed[i] ^= 1;
    assert_int_equal(tr_crypto_open(key, "ab", 2, sealed, sizeof sealed, back, &err), TR_ERROR);
    assert_int_equal(err.exc, TR_EXC_VALUE);
    assert_memory_equal(back, "\0\0\0\0\0", 5);
    sealed[i] ^= 1;
  }
  assert_int_equal(tr_crypto_open(key, "ac", 2, sealed, sizeof sealed, back, &err), TR_ERROR);
  assert_int_equal(tr_crypto_open(key, "ab", 2, sealed, sizeof sealed - 1, back, &err), TR_ERROR);
  assert_int_equal(tr_crypto_open(key, "ab", 2, sealed, TR_SEAL_EXTRA - 1, back, &err), TR_ERROR);
  key[31] ^= 1;
  assert_int_equal(tr_crypto_open(key, "ab", 2, sealed, sizeof sealed, back, &err), TR_ERROR);
  key[31] ^= 1;
  assert_int_equal(tr_crypto_open(key, "ab", 2, sealed, sizeof sealed, back, &err), TR_OK);
  assert_memory_equal(back, "hello", 5);
}

static void base64(void **state) {
  (void)state;
  static const char *const cases[][3] = {{"", "", ""},
                                         {"f", "Zg==", "Zg"},
                                         {"fo", "Zm8=", "Zm8"},
                                         {"foo", "Zm9v", "Zm9v"},
                                         {"foob", "Zm9vYg==", "Zm9vYg"},
                                         {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                                         {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                                         {"\xfb\xff\xbf", "+/+/", "-_-_"}};
  struct tr_error err;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = strlen(cases[i][0]), bytes = 99;
    char text[20];
    uint8_t back[20];
    assert_int_equal(tr_base64_encode(cases[i][0], n, text), strlen(cases[i][1]));
    assert_string_equal(text, cases[i][1]);
    assert_true(strlen(text) < TR_BASE64_SIZE(n));
    assert_int_equal(tr_base64_decode(text, strlen(text), back, &bytes, &err), TR_OK);
    assert_int_equal(bytes, n);
    assert_memory_equal(back, cases[i][0], n);
    assert_int_equal(tr_base64url_encode(cases[i][0], n, text), strlen(cases[i][2]));
    assert_string_equal(text, cases[i][2]);
    assert_int_equal(tr_base64url_decode(text, strlen(text), back, &bytes, &err), TR_OK);
    assert_int_equal(bytes, n);
    assert_memory_equal(back, cases[i][0], n);
  }
}

static void refuse_bad_text(void **state) {
  (void)state;
  struct tr_error err;
  uint8_t out[20];
  size_t bytes;
  static const char *const bad[] = {"Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm 9", "-_-_", "Zg==Zg==", "Zm9v\n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(tr_base64_decode(bad[i], strlen(bad[i]), out, &bytes, &err), TR_ERROR);
    assert_int_equal(err.exc, TR_EXC_VALUE);
  }
  static const char *const bad_url[] = {"Z", "Zg==", "Zh", "+/+/", "Zm9vY"};
  for (size_t i = 0; i < sizeof bad_url / sizeof *bad_url; i++) {
    assert_int_equal(tr_base64url_decode(bad_url[i], strlen(bad_url[i]), out, &bytes, &err), TR_ERROR);
  }
  assert_int_equal(tr_hex_decode("abc", 3, out, &bytes, &err), TR_ERROR);
  assert_int_equal(tr_hex_decode("ag", 2, out, &bytes, &err), TR_ERROR);
  assert_int_equal(tr_hex_decode("AbCd", 4, out, &bytes, &err), TR_OK);
  assert_memory_equal(out, "\xab\xcd", 2);
}

static void random_and_equal(void **state) {
  (void)state;
  struct tr_error err;
  uint8_t a[32], b[32];
  assert_int_equal(tr_crypto_random(a, 32, &err), TR_OK);
  assert_int_equal(tr_crypto_random(b, 32, &err), TR_OK);
  assert_false(tr_crypto_equal(a, b, 32));
  assert_true(tr_crypto_equal(a, b, 0));
  memcpy(b, a, 32);
  assert_true(tr_crypto_equal(a, b, 32));
  tr_crypto_wipe(a, 32);
  for (int i = 0; i < 32; i++) assert_int_equal(a[i], 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sha256),         cmocka_unit_test(sha256_in_pieces), cmocka_unit_test(hmac),
      cmocka_unit_test(open_published), cmocka_unit_test(seal_and_open),    cmocka_unit_test(refuse_changed),
      cmocka_unit_test(base64),         cmocka_unit_test(refuse_bad_text),  cmocka_unit_test(random_and_equal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
