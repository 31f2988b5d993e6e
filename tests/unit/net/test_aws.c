/* src/net/aws: where keys, region and endpoint come from, which wins, what is refused, refreshing. */
#include "base/mem.h"
#include "net/aws.h"
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/tr_aws.XXXXXX", credentials[64], config[64];

static void write_file(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static int clear(void **state) {
  (void)state;
  static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                      "AWS_SECRET_ACCESS_KEY",
                                      "AWS_SESSION_TOKEN",
                                      "AWS_PROFILE",
                                      "AWS_REGION",
                                      "AWS_DEFAULT_REGION",
                                      "AWS_ENDPOINT_URL",
                                      "AWS_ENDPOINT_URL_S3",
                                      "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
  setenv("AWS_SHARED_CREDENTIALS_FILE", credentials, 1);
  setenv("AWS_CONFIG_FILE", config, 1);
  setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
  unlink(credentials);
  unlink(config);
  return 0;
}

static struct tr_aws_identity *identity(const struct tr_aws_options *o) {
  struct tr_aws_identity *id;
  struct tr_error err;
  if (tr_aws_identity_new(o, "S3", &id, &err) != TR_OK) fail_msg("%s", err.text);
  return id;
}

static void expect_keys(struct tr_aws_identity *id, const char *access, const char *secret, const char *token) {
  struct tr_aws_keys k;
  struct tr_error err;
  if (tr_aws_identity_keys(id, &k, &err) != TR_OK) fail_msg("%s", err.text);
  assert_string_equal(k.access_key, access);
  assert_string_equal(k.secret_key, secret);
  if (token) assert_string_equal(k.session_token, token);
  else assert_null(k.session_token);
  tr_aws_keys_free(&k);
  tr_aws_identity_free(id);
}

static const char FILE_TEXT[] = "# people's keys\n"
                                "[default]\n"
                                "aws_access_key_id = AKD\n"
                                "aws_secret_access_key=SKD==\n"
                                "\n"
                                "[other]\r\n"
                                "aws_access_key_id=AKO\r\n"
                                "aws_secret_access_key = SKO \r\n"
                                "aws_session_token = TO\r\n"
                                "[half]\n"
                                "aws_access_key_id = AKH\n";

static void from_files(void **state) {
  (void)state;
  write_file(credentials, FILE_TEXT);
  write_file(config, "[default]\nregion = eu-west-1\ns3 =\n  endpoint_url = http://nested\n"
                     "[profile other]\nregion=ap-1\nendpoint_url = http://o:1\naws_access_key_id = NO\n"
                     "[profile only]\naws_access_key_id = AKC\naws_secret_access_key = SKC\n[other]\nregion = no\n");
  expect_keys(identity(NULL), "AKD", "SKD==", NULL);
  expect_keys(identity(&(struct tr_aws_options){.profile = "other"}), "AKO", "SKO", "TO");
  expect_keys(identity(&(struct tr_aws_options){.profile = "only"}), "AKC", "SKC", NULL);
  struct tr_aws_identity *id = identity(&(struct tr_aws_options){.profile = "other"});
  assert_string_equal(tr_aws_identity_region(id), "ap-1");
  assert_string_equal(tr_aws_identity_endpoint(id), "http://o:1");
  tr_aws_identity_free(id);
  id = identity(NULL);
  assert_string_equal(tr_aws_identity_region(id), "eu-west-1");
  assert_null(tr_aws_identity_endpoint(id));
  tr_aws_identity_free(id);
  setenv("AWS_PROFILE", "other", 1);
  expect_keys(identity(NULL), "AKO", "SKO", "TO");
}

static void who_wins(void **state) {
  (void)state;
  write_file(credentials, FILE_TEXT);
  setenv("AWS_ACCESS_KEY_ID", "AKE", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "SKE", 1);
  setenv("AWS_SESSION_TOKEN", "TE", 1);
  setenv("AWS_PROFILE", "other", 1);
  expect_keys(identity(NULL), "AKE", "SKE", "TE");
  expect_keys(identity(&(struct tr_aws_options){.profile = "default"}), "AKD", "SKD==", NULL);
  expect_keys(identity(&(struct tr_aws_options){.access_key = "A", .secret_key = "S"}), "A", "S", NULL);
  setenv("AWS_DEFAULT_REGION", "d", 1);
  setenv("AWS_ENDPOINT_URL", "http://all", 1);
  struct tr_aws_identity *id = identity(NULL);
  assert_string_equal(tr_aws_identity_region(id), "d");
  assert_string_equal(tr_aws_identity_endpoint(id), "http://all");
  tr_aws_identity_free(id);
  setenv("AWS_REGION", "r", 1);
  setenv("AWS_ENDPOINT_URL_S3", "http://s3", 1);
  id = identity(NULL);
  assert_string_equal(tr_aws_identity_region(id), "r");
  assert_string_equal(tr_aws_identity_endpoint(id), "http://s3");
  tr_aws_identity_free(id);
  id = identity(&(struct tr_aws_options){.region = "mine", .endpoint = "http://mine"});
  assert_string_equal(tr_aws_identity_region(id), "mine");
  assert_string_equal(tr_aws_identity_endpoint(id), "http://mine");
  tr_aws_identity_free(id);
  setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
  id = identity(NULL);
  assert_null(tr_aws_identity_endpoint(id));
  tr_aws_identity_free(id);
}

static void none(void **state) {
  (void)state;
  struct tr_error err;
  struct tr_aws_keys k;
  struct tr_aws_identity *id = identity(NULL);
  assert_null(tr_aws_identity_region(id));
  assert_int_equal(tr_aws_identity_keys(id, &k, &err), TR_ERROR);
  assert_int_equal(err.os_errno, EACCES);
  assert_null(k.access_key);
  tr_aws_identity_free(id);
  setenv("AWS_ACCESS_KEY_ID", "AKE", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "SKE", 1);
  id = identity(&(struct tr_aws_options){.anonymous = true});
  assert_int_equal(tr_aws_identity_keys(id, &k, &err), TR_OK);
  assert_null(k.access_key);
  tr_aws_identity_free(id);
}

static void refused(void **state) {
  (void)state;
  struct tr_error err;
  struct tr_aws_identity *id;
  write_file(credentials, FILE_TEXT);
  assert_int_equal(tr_aws_identity_new(&(struct tr_aws_options){.profile = "nobody"}, "S3", &id, &err), TR_ERROR);
  assert_string_equal(err.text, "The config profile (nobody) could not be found");
  assert_int_equal(tr_aws_identity_new(&(struct tr_aws_options){.profile = "half"}, "S3", &id, &err), TR_ERROR);
  assert_non_null(strstr(err.text, "missing: aws_secret_access_key"));
  assert_null(strstr(err.text, "AKH"));
  assert_int_equal(tr_aws_identity_new(&(struct tr_aws_options){.secret_key = "S"}, "S3", &id, &err), TR_ERROR);
  assert_non_null(strstr(err.text, "missing: aws_access_key_id"));
}

struct source {
  int calls;
  int64_t lifetime;
  bool broken;
};

static enum tr_status refresh(void *arg, struct tr_aws_keys *out, struct tr_error *err) {
  struct source *s = arg;
  char name[20];
  snprintf(name, sizeof name, "AK%d", ++s->calls);
  if (s->broken) return tr_fail(err, TR_EXC_OS, "no answer");
  *out = (struct tr_aws_keys){strdup(name), strdup("S"), strdup("T"), (int64_t)time(NULL) + s->lifetime};
  return TR_OK;
}

static void refreshing(void **state) {
  (void)state;
  struct tr_aws_identity *id = identity(NULL);
  struct source s = {.lifetime = 3600};
  struct tr_aws_keys k;
  struct tr_error err;
  tr_aws_identity_set_refresh(id, refresh, &s);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tr_aws_identity_keys(id, &k, &err), TR_OK);
    assert_string_equal(k.access_key, "AK1");
    tr_aws_keys_free(&k);
  }
  assert_int_equal(s.calls, 1);
  tr_aws_identity_free(id);
  id = identity(NULL);
  s = (struct source){.lifetime = 100}; /* less than the five minutes asked for: fetched again, but not at once */
  tr_aws_identity_set_refresh(id, refresh, &s);
  assert_int_equal(tr_aws_identity_keys(id, &k, &err), TR_OK);
  tr_aws_keys_free(&k);
  s.broken = true; /* the old ones still hold */
  assert_int_equal(tr_aws_identity_keys(id, &k, &err), TR_OK);
  assert_string_equal(k.access_key, "AK1");
  tr_aws_keys_free(&k);
  assert_int_equal(s.calls, 1);
  tr_aws_identity_free(id);
  id = identity(NULL);
  tr_aws_identity_set_refresh(id, refresh, &s); /* broken, and none yet */
  for (int i = 0; i < 3; i++) assert_int_equal(tr_aws_identity_keys(id, &k, &err), TR_ERROR);
  assert_string_equal(err.text, "no answer");
  assert_int_equal(s.calls, 2);
  tr_aws_identity_free(id);
}

/* What a profile may say of roles, as far as it is wrong. That right ones work, tests/deploy shows. */
static void bad_roles(void **state) {
  (void)state;
  static const struct {
    const char *profile, *text;
  } cases[] = {{"none", "needs one of source_profile and credential_source"},
               {"both", "needs one of source_profile and credential_source"},
               {"lost", "The config profile (nowhere) could not be found"},
               {"keyless", "the source_profile plain has no keys"},
               {"ring", "source_profile leads on and on"},
               {"odd", "credential_source Ec2: there are Environment"},
               {"empty", "AWS_ACCESS_KEY_ID is not set"}};
  struct tr_aws_identity *id;
  struct tr_error err;
  write_file(config, "[profile none]\nrole_arn = r\n[profile both]\nrole_arn = r\nsource_profile = plain\n"
                     "credential_source = Environment\n[profile lost]\nrole_arn = r\nsource_profile = nowhere\n"
                     "[profile keyless]\nrole_arn = r\nsource_profile = plain\n[profile plain]\nregion = r\n"
                     "[profile ring]\nrole_arn = r\nsource_profile = gnir\n"
                     "[profile gnir]\nrole_arn = r\nsource_profile = ring\n"
                     "[profile odd]\nrole_arn = r\ncredential_source = Ec2\n"
                     "[profile empty]\nrole_arn = r\ncredential_source = Environment\n");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct tr_aws_options o = {.profile = cases[i].profile};
    assert_int_equal(tr_aws_identity_new(&o, "S3", &id, &err), TR_ERROR);
    if (!strstr(err.text, cases[i].text)) fail_msg("%s: %s", cases[i].profile, err.text);
  }
}

/* Keys of one endpoint only: nothing that somebody may have put into the environment is looked at. */
static void only_one_place(void **state) {
  (void)state;
  setenv("AWS_ACCESS_KEY_ID", "AKE", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "SKE", 1);
  setenv("AWS_REGION", "r", 1);
  setenv("AWS_ENDPOINT_URL", "http://evil", 1);
  setenv("AWS_PROFILE", "nobody", 1);
  setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/", 1);
  struct tr_error err;
  struct tr_aws_keys k;
  struct tr_aws_identity *id = identity(&(struct tr_aws_options){.only = TR_AWS_CONTAINER, .region = "mine"});
  assert_string_equal(tr_aws_identity_region(id), "mine");
  assert_null(tr_aws_identity_endpoint(id));
  assert_int_equal(tr_aws_identity_keys(id, &k, &err), TR_ERROR);
  assert_non_null(strstr(err.text, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set"));
  tr_aws_identity_free(id);
  unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  snprintf(credentials, sizeof credentials, "%s/credentials", folder);
  snprintf(config, sizeof config, "%s/config", folder);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(from_files, clear),    cmocka_unit_test_setup(who_wins, clear),
      cmocka_unit_test_setup(none, clear),          cmocka_unit_test_setup(refused, clear),
      cmocka_unit_test_setup(refreshing, clear),    cmocka_unit_test_setup(bad_roles, clear),
      cmocka_unit_test_setup(only_one_place, clear)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  clear(NULL);
  rmdir(folder);
  return failed;
}
