/* Sealed plans: no value is left to read, unsealing gives back the very text, any change is noticed; and their shapes:
 * what stages are cut from, refused where a value can be read or anything is out of range. Runs over the recorded plans
 * (the folder given on the command line). */
#include "meta/plan/shape.h"
#include "toy_crypto.h"
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static const char *folder;

static char *read_file(const char *name, size_t *n) {
  char path[1000], *text = malloc(1 << 20);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  *n = fread(text, 1, (1 << 20) - 1, f);
  text[*n] = 0;
  fclose(f);
  while (*n && text[*n - 1] == '\n') text[--*n] = 0;
  return text;
}

static void check_same_shape(const char *text, const struct tr_shape *s) {
  struct tr_rel **sources, *r;
  struct tr_error err = {0};
  int n;
  assert_int_equal(tr_plan_described_sources(text, strlen(text), &sources, &n, &err), TR_OK);
  assert_int_equal(n, s->n_sources);
  assert_int_equal(tr_plan_decode(text, (int64_t)strlen(text), NULL, sources, n, &r, &err), TR_OK);
  const struct tr_shape_node *root = &s->nodes[s->n_nodes - 1];
  assert_int_equal(root->kind, r->kind);
  assert_int_equal(root->n_cols, r->n_cols);
  assert_int_equal(root->n_items, r->n_items);
  assert_int_equal(root->n_keys, r->n_keys);
  assert_memory_equal(&root->opt.stop, &r->opt.stop, sizeof r->opt.stop);
  for (int i = 0; i < r->n_exprs; i++) {
    const struct tr_shape_expr *e = &s->exprs[root->exprs[i]];
    assert_int_equal(e->op, r->exprs[i]->op);
    if (e->op != TR_OP_LIT) assert_true(tr_dtype_eq(e->dtype, r->exprs[i]->dtype));
    assert_int_equal(e->top_column, tr_expr_max_column(r->exprs[i]));
  }
  tr_rel_unref(r);
  tr_plan_sources_free(sources, n);
}

static void check_plan(const char *name) {
  size_t n;
  char *text = read_file(name, &n), *sealed, *back;
  struct tr_error err = {0};
  struct tr_shape shape;
  assert_int_equal(tr_plan_seal(text, n, &toy_hooks, &sealed, &err), TR_OK);
  assert_null(strstr(sealed, "\"lit\""));
  assert_null(strstr(sealed, "\"text\""));
  assert_null(strstr(sealed, "\"list\""));
  assert_int_equal(tr_plan_unseal(sealed, strlen(sealed), &toy_hooks, &back, &err), TR_OK);
  assert_string_equal(text, back);
  assert_int_equal(tr_shape_decode(sealed, strlen(sealed), NULL, &shape, &err), TR_OK);
  check_same_shape(text, &shape);
  tr_shape_drop(&shape);
  if (strcmp(text, sealed) != 0) {
    assert_int_equal(tr_shape_decode(text, n, NULL, &shape, &err), TR_ERROR);
    assert_non_null(strstr(err.text, "is not sealed"));
  }
  free(text);
  free(sealed);
  free(back);
}

static void test_recorded(void **state) {
  (void)state;
  DIR *d = opendir(folder);
  int n = 0;
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) {
    size_t len = strlen(e->d_name);
    if (len < 5 || strcmp(e->d_name + len - 5, ".json") != 0) continue;
    check_plan(e->d_name);
    n++;
  }
  closedir(d);
  assert_true(n > 5);
}

#define SOURCES "\"sources\":[{\"kind\":\"FRAME\",\"rows\":10,\"cols\":[{\"dtype\":\"int64\"},{\"dtype\":\"str\"}]}]"
#define PLAN                                                                               \
  "{\"version\":1," SOURCES ",\"exprs\":[{\"op\":\"COL\",\"column\":1,\"dtype\":\"str\"}," \
  "{\"op\":\"STR_REPLACE\",\"args\":[0],\"params\":[-1],\"text\":\"secret "                \
  "\\\"}],[{\",\"text2\":\"word\",\"dtype\":\"str\"}],"                                    \
  "\"nodes\":[{\"source\":0},{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[1]}]}"

static void test_any_change_is_noticed(void **state) {
  (void)state;
  char *sealed, *again, *back;
  struct tr_error err = {0};
  assert_int_equal(tr_plan_seal(PLAN, strlen(PLAN), &toy_hooks, &sealed, &err), TR_OK);
  assert_null(strstr(sealed, "secret"));
  assert_null(strstr(sealed, "word"));
  assert_int_equal(tr_plan_seal(PLAN, strlen(PLAN), &toy_hooks, &again, &err), TR_OK);
  char *a = strstr(sealed, "\"sealed\":\""), *b = strstr(again, "\"sealed\":\"");
  assert_memory_equal(a, b, 10 + 22);      /* equal ids */
  assert_string_not_equal(a + 33, b + 33); /* another nonce */
  char *end = strchr(a + 10, '"');
  for (char *p = a + 10; p < end; p++) {
    char was = *p;
    *p = was == 'A' ? 'B' : 'A';
    assert_int_equal(tr_plan_unseal(sealed, strlen(sealed), &toy_hooks, &back, &err), TR_ERROR);
    *p = was;
  }
  for (size_t n = 0; n < strlen(sealed); n++)
    assert_int_equal(tr_plan_unseal(sealed, n, &toy_hooks, &back, &err), TR_ERROR);
  free(sealed);
  free(again);
}

static void test_bytes(void **state) {
  (void)state;
  char *sealed, *back;
  size_t n;
  for (size_t len = 0; len < 40; len++) {
    char text[40];
    memset(text, 'x', sizeof text);
    assert_int_equal(tr_seal_bytes(text, len, &toy_hooks, &sealed, NULL), TR_OK);
    assert_true(tr_seal_is_form(sealed, strlen(sealed)));
    assert_int_equal(tr_unseal_bytes(sealed, strlen(sealed), &toy_hooks, &back, &n, NULL), TR_OK);
    assert_int_equal(n, len);
    assert_memory_equal(back, text, len);
    free(sealed);
    free(back);
  }
}

#define C0                  "{\"op\":\"COL\",\"column\":0,\"dtype\":\"int64\"}"
#define SHAPE(exprs, nodes) "{\"version\":1," SOURCES ",\"exprs\":[" exprs "],\"nodes\":[{\"source\":0}" nodes "]}"

static void test_refused(void **state) {
  (void)state;
  static const char *const bad[][2] = {
      {"{}", "version"},
      {SHAPE(C0, ",{\"kind\":\"PROJECT\",\"inputs\":[1],\"exprs\":[0]}"), "inputs[0]"},
      {SHAPE(C0, ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[1]}"), "exprs[0]"},
      {SHAPE("{\"op\":\"COL\",\"column\":2,\"dtype\":\"int64\"}",
             ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[0]}"),
       "column 2 of 2"},
      {SHAPE(C0, ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[0],\"note\":1}"), "unknown field note"},
      {SHAPE(C0 ",{\"op\":\"STR_LEN\",\"args\":[0],\"text\":\"x\",\"dtype\":\"int64\"}",
             ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[1]}"),
       "text is not sealed"},
      {SHAPE("{\"op\":\"LIT\",\"sealed\":\"no\"}", ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[0]}"),
       "another form"},
      {SHAPE(C0, ",{\"kind\":\"FILTER\",\"inputs\":[0]}"), "0 expressions"},
      {SHAPE(C0, ",{\"kind\":\"JOIN\",\"inputs\":[0],\"exprs\":[0]}"), "1 inputs"},
      {SHAPE("", ",{\"source\":0}"), "stands here twice"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct tr_shape shape;
    struct tr_error err = {0};
    assert_int_equal(tr_shape_decode(bad[i][0], strlen(bad[i][0]), NULL, &shape, &err), TR_ERROR);
    if (!strstr(err.text, bad[i][1])) fail_msg("%s", err.text);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  folder = argv[1];
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_recorded), cmocka_unit_test(test_any_change_is_noticed),
                                     cmocka_unit_test(test_bytes), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
