/* Profiles: ~/.aws/credentials and ~/.aws/config, as AWS' own tools read them. */
#include "base/text.h"
#include "net/aws_int.h"
#include "net/crypto.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = 1 << 20 };

static void wipe_free(char *secret) {
  if (secret) tr_crypto_wipe(secret, strlen(secret));
  free(secret);
}

TR_MUST_USE static enum tr_status copy(const char *s, char **out, struct tr_error *err) {
  *out = strdup(s);
  return *out ? TR_OK : tr_fail_memory(err, strlen(s));
}

void tr_aws_profile_free(struct tr_aws_profile *p) {
  wipe_free(p->access_key);
  wipe_free(p->secret_key);
  wipe_free(p->session_token);
  char *plain[] = {
      p->region,      p->endpoint,          p->role_arn,         p->source_profile,         p->credential_source,
      p->external_id, p->role_session_name, p->duration_seconds, p->web_identity_token_file};
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) free(plain[i]);
  memset(p, 0, sizeof *p);
}

static char **profile_field(struct tr_aws_profile *p, const char *name, bool keys_too) {
  const struct {
    const char *name;
    char **field;
    bool key;
  } fields[] = {{"region", &p->region, false},
                {"endpoint_url", &p->endpoint, false},
                {"role_arn", &p->role_arn, false},
                {"source_profile", &p->source_profile, false},
                {"credential_source", &p->credential_source, false},
                {"external_id", &p->external_id, false},
                {"role_session_name", &p->role_session_name, false},
                {"duration_seconds", &p->duration_seconds, false},
                {"web_identity_token_file", &p->web_identity_token_file, false},
                {"aws_access_key_id", &p->access_key, true},
                {"aws_secret_access_key", &p->secret_key, true},
                {"aws_session_token", &p->session_token, true}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (strcmp(name, fields[i].name) == 0) return fields[i].key && !keys_too ? NULL : fields[i].field;
  return NULL;
}

/* Blanks around cut off in place. */
static char *trimmed(char *s) {
  while (isspace((unsigned char)*s)) s++;
  char *end = s + strlen(s);
  while (end > s && isspace((unsigned char)end[-1])) *--end = 0;
  return s;
}

/* Is this "[name]", or "[profile name]" as ~/.aws/config has it for all but the default? */
static bool section_is(char *line, const char *profile, bool config) {
  char *end = strchr(line, ']');
  if (!end) return false;
  *end = 0;
  char *name = trimmed(line + 1);
  if (config && strncmp(name, "profile", 7) == 0 && isspace((unsigned char)name[7])) name = trimmed(name + 7);
  else if (config && strcmp(name, "default") != 0) return false;
  return strcmp(name, profile) == 0;
}

/* One "name = value" of the wanted section. */
TR_MUST_USE static enum tr_status take_setting(struct tr_aws_profile *p, char *line, bool keys_too,
                                               struct tr_error *err) {
  char *equals = strchr(line, '=');
  if (!equals) return TR_OK;
  *equals = 0;
  char **field = profile_field(p, trimmed(line), keys_too), *value = trimmed(equals + 1);
  if (!field || *field || !*value) return TR_OK;
  return copy(value, field, err);
}

/* Adds what `path` says of the profile; a file that is not there says nothing. With `keys_too` false its keys are left
 * out: keys are taken from one file, never mixed. */
TR_MUST_USE static enum tr_status read_profile(const char *path, const char *name, bool config, bool keys_too,
                                               struct tr_aws_profile *p, struct tr_error *err) {
  FILE *f = fopen(path, "re");
  if (!f) return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? TR_OK : tr_fail_os(err, errno, "%s", path);
  char *line = NULL;
  size_t room = 0, total = 0;
  bool inside = false;
  enum tr_status st = TR_OK;
  for (ssize_t n; st == TR_OK && (n = getline(&line, &room, f)) >= 0;) {
    if ((total += (size_t)n) > FILE_BYTES) st = tr_fail(err, TR_EXC_VALUE, "%s is too large", path);
    bool nested = isspace((unsigned char)line[0]);
    char *text = trimmed(line);
    if (st != TR_OK || !*text || *text == '#' || *text == ';') continue;
    if (*text == '[') {
      inside = section_is(text, name, config);
      p->found |= inside;
    } else if (inside && !nested) {
      st = take_setting(p, text, keys_too, err);
    }
  }
  if (line) tr_crypto_wipe(line, room);
  free(line);
  fclose(f);
  return st;
}

static void add_home(struct tr_text *to, const char *path) {
  const char *home = tr_aws_variable("HOME");
  tr_text_add_format(to, "%s%s", home ? home : "", path);
}

const char *tr_aws_profile_name(const char *given) {
  const char *named = tr_aws_variable("AWS_PROFILE");
  return given ? given : named ? named : "default";
}

enum tr_status tr_aws_profile_load(const char *given, struct tr_aws_profile *p, struct tr_error *err) {
  const char *name = tr_aws_profile_name(given);
  const char *credentials = tr_aws_variable("AWS_SHARED_CREDENTIALS_FILE"),
             *config = tr_aws_variable("AWS_CONFIG_FILE");
  struct tr_text a = {0}, b = {0};
  if (credentials) tr_text_add_str(&a, credentials);
  else add_home(&a, "/.aws/credentials");
  if (config) tr_text_add_str(&b, config);
  else add_home(&b, "/.aws/config");
  enum tr_status st = tr_text_check(&a, err);
  if (st == TR_OK) st = tr_text_check(&b, err);
  if (st == TR_OK) st = read_profile(a.data, name, false, true, p, err);
  bool have = p->access_key || p->secret_key;
  if (st == TR_OK) st = read_profile(b.data, name, true, !have, p, err);
  if (st == TR_OK && !p->found && strcmp(name, "default") != 0)
    st = tr_fail(err, TR_EXC_VALUE, "The config profile (%s) could not be found", name);
  tr_text_free(&a);
  tr_text_free(&b);
  if (st != TR_OK) tr_aws_profile_free(p);
  return st;
}
