/* Plans as JSON: what is written reads back as the same plan, every bit of every literal; faults name their place;
 * plans recorded from earlier releases (the folder given on the command line) keep decoding. */
#include "data/kern/group/group.h"
#include "meta/plan/codec_int.h"
#include "plan_sources.h"
#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>

static const char *folder;

#define SOURCE                                                                                                         \
  "\"sources\":[{\"kind\":\"FRAME\",\"rows\":10,\"cols\":[{\"dtype\":\"int64\"},{\"dtype\":\"float64\",\"null\":true}" \
  ",{\"dtype\":\"str\","                                                                                               \
  "\"null\":true}]}]"
#define PLAN(exprs, nodes) "{\"version\":1," SOURCE ",\"exprs\":[" exprs "],\"nodes\":[{\"source\":0}" nodes "]}"
#define C0                 "{\"op\":\"COL\",\"column\":0,\"dtype\":\"int64\"}"
#define C1                 "{\"op\":\"COL\",\"column\":1,\"dtype\":\"float64\",\"null\":true}"
#define C2                 "{\"op\":\"COL\",\"column\":2,\"dtype\":\"str\",\"null\":true}"
#define PROJECT0           ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[0]}"

static struct tr_rel *make_source(void) {
  struct tr_rel *out[PLAN_MAX_SOURCES];
  const char *text = "{" SOURCE "}";
  assert_int_equal(plan_sources(text, strlen(text), out), 1);
  return out[0];
}

static struct tr_rel *project(struct tr_rel *in, struct tr_expr **exprs, int n) {
  struct tr_rel_spec s = {
      .kind = TR_REL_PROJECT, .inputs = &in, .n_inputs = 1, .exprs = exprs, .n_exprs = n, .opt = tr_codec_defaults};
  struct tr_rel *r;
  assert_int_equal(tr_rel_make(&s, &r, NULL), TR_OK);
  return r;
}

/* Encodes, decodes, compares; gives the text and the copy. */
static struct tr_rel *round_trip(const struct tr_rel *r, char **text) {
  struct tr_rel **sources, *copy, **same;
  struct tr_error err = {0};
  char *again, one[4000], two[4000];
  int n, n_same;
  assert_int_equal(tr_plan_encode(r, text, &sources, &n, &err), TR_OK);
  enum tr_status st = tr_plan_decode(*text, (int64_t)strlen(*text), NULL, sources, n, &copy, &err);
  assert_string_equal(err.text, "");
  assert_int_equal(st, TR_OK);
  assert_int_equal(tr_plan_encode(copy, &again, &same, &n_same, &err), TR_OK);
  assert_string_equal(*text, again);
  assert_int_equal(n, n_same);
  tr_rel_print(r, NULL, one, sizeof one);
  tr_rel_print(copy, NULL, two, sizeof two);
  assert_string_equal(one, two);
  tr_plan_sources_free(sources, n);
  tr_plan_sources_free(same, n);
  free(again);
  return copy;
}

static struct tr_scalar number(enum tr_kind kind, uint64_t bits) {
  return (struct tr_scalar){.dtype = tr_dtype_of(kind), .u = bits};
}
static struct tr_scalar real(double v) { return (struct tr_scalar){.dtype = tr_dtype_of(TR_F64), .f = v}; }
static struct tr_scalar text_of(const char *s, int64_t n) {
  return (struct tr_scalar){.dtype = tr_dtype_of(TR_STR), .s = {s, n}};
}

/* The first rows of each group in an order of its own, which only the optimiser makes. */
static void test_ordered_heads(void **state) {
  (void)state;
  struct tr_rel *in = make_source(), *r;
  struct tr_expr *exprs[3];
  const bool descending[3] = {false, true, false};
  char *text;
  for (int i = 0; i < 3; i++) assert_int_equal(tr_expr_col(2 - i, in->cols[2 - i].dtype, true, &exprs[i], NULL), TR_OK);
  struct tr_rel_spec s = {.kind = TR_REL_GROUP_HEAD,
                          .inputs = &in,
                          .n_inputs = 1,
                          .exprs = exprs,
                          .n_exprs = 3,
                          .n_keys = 1,
                          .descending = descending,
                          .opt = tr_codec_defaults};
  s.opt.start = 2;
  s.opt.na_first = true;
  assert_int_equal(tr_rel_make(&s, &r, NULL), TR_OK);
  struct tr_rel *copy = round_trip(r, &text);
  assert_int_equal(copy->n_keys, 1);
  assert_int_equal(copy->n_exprs, 3);
  assert_true(copy->opt.na_first);
  assert_memory_equal(copy->descending, descending, sizeof descending);
  free(text);
  tr_rel_unref(copy);
  tr_rel_unref(r);
  tr_rel_unref(in);
  for (int i = 0; i < 3; i++) tr_expr_unref(exprs[i]);
}

static void test_literals(void **state) {
  (void)state;
  struct tr_scalar values[] = {number(TR_BOOL, 1),
                               number(TR_I8, (uint64_t)-128),
                               number(TR_I64, (uint64_t)INT64_MIN),
                               number(TR_I64, INT64_MAX),
                               number(TR_U64, UINT64_MAX),
                               number(TR_U8, 255),
                               real(0.1),
                               real(-0.0),
                               real(INFINITY),
                               real(-INFINITY),
                               real(5e-324),
                               real(2.2250738585072014e-308),
                               real(1.7976931348623157e308),
                               real(-1.5),
                               real(NAN),
                               text_of("", 0),
                               text_of("a\"b\\c\n\x01/\xc3\xa9", 10),
                               text_of("nul\0inside", 10),
                               text_of("\xff\xfe", 2),
                               text_of("\xed\xa0\x80", 3),
                               {.dtype = tr_dtype_of(TR_STR), .is_null = true},
                               {.dtype = tr_dtype_unit(TR_DATETIME, TR_NS), .i = -1},
                               {.dtype = tr_dtype_unit(TR_TIMEDELTA, TR_MS), .is_null = true, .i = TR_NAT},
                               {.dtype = tr_dtype_of(TR_F32), .f = (double)0.1f}};
  enum { N = sizeof values / sizeof *values };
  struct tr_expr *exprs[N];
  for (int i = 0; i < N; i++) assert_int_equal(tr_expr_lit(&values[i], i % 2, &exprs[i], NULL), TR_OK);
  struct tr_rel *source = make_source(), *r = project(source, exprs, N);
  char *text;
  struct tr_rel *copy = round_trip(r, &text);
  for (int i = 0; i < N; i++) assert_true(tr_expr_eq(exprs[i], copy->exprs[i]));
  assert_non_null(strstr(text, "\"0x1.999999999999ap-4\""));
  assert_non_null(strstr(text, "\"-0x0p+0\""));
  assert_non_null(strstr(text, "{\"t\":\"str\",\"b\":\"bnVsAGluc2lkZQ==\"}"));
  assert_non_null(strstr(text, "{\"t\":\"float64\",\"n\":true}"));
  free(text);
  for (int i = 0; i < N; i++) tr_expr_unref(exprs[i]);
  tr_rel_unref(copy);
  tr_rel_unref(r);
  tr_rel_unref(source);
}

static void test_float_text(void **state) {
  (void)state;
  uint64_t bits = 88172645463325252u;
  char text[TR_CODEC_FLOAT_MAX];
  for (int i = 0; i < 200000; i++) {
    double v, back;
    bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
    uint64_t b =
        i % 3 ? bits : bits & ~(UINT64_C(0x7ff) << 52) & -(UINT64_C(1) << (i % 60)); /* subnormals, few digits */
    memcpy(&v, &b, sizeof v);
    tr_codec_float_print(v, text);
    assert_true(tr_codec_float_parse(text, &back));
    assert_memory_equal(&v, &back, sizeof v);
    if (isfinite(v)) assert_true(strtod(text, NULL) == v);
  }
  const char *bad[] = {"",
                       "1.0",
                       "0x1p0",
                       "0x1.80p+1",
                       "0x1p+1024",
                       "0x1p+00",
                       "NaN",
                       "nan:7ff8000000000000",
                       "nan:7ff0000000000000",
                       "0x0p+1",
                       "0x0.8p-1023",
                       "0x1.p+0",
                       "+inf",
                       "0x1p+1 "};
  double v;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(tr_codec_float_parse(bad[i], &v));
}

/* Equal subtrees become one expression, whoever made them; a shared node stays shared. */
static void test_sharing(void **state) {
  (void)state;
  struct tr_rel *source = make_source(), *twice[2];
  struct tr_expr *sums[2];
  struct tr_scalar two = number(TR_I64, 2);
  for (int i = 0; i < 2; i++) {
    struct tr_expr *args[2];
    assert_int_equal(tr_expr_col(0, tr_dtype_of(TR_I64), false, &args[0], NULL), TR_OK);
    assert_int_equal(tr_expr_lit(&two, true, &args[1], NULL), TR_OK);
    assert_int_equal(tr_expr_make(TR_OP_ADD, args, 2, NULL, &sums[i], NULL), TR_OK);
    tr_expr_unref(args[0]);
    tr_expr_unref(args[1]);
  }
  twice[0] = twice[1] = project(source, sums, 2);
  struct tr_rel_spec s = {.kind = TR_REL_ZIP, .inputs = twice, .n_inputs = 2, .opt = tr_codec_defaults};
  struct tr_rel *zip, *copy;
  assert_int_equal(tr_rel_make(&s, &zip, NULL), TR_OK);
  char *text;
  copy = round_trip(zip, &text);
  assert_string_equal(
      text,
      PLAN(
          C0
          ",{\"op\":\"LIT\",\"lit\":{\"t\":\"int64\",\"v\":\"2\"}},{\"op\":\"ADD\",\"args\":[0,1],\"dtype\":\"int64\"}",
          ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[2,2]},{\"kind\":\"ZIP\",\"inputs\":[1,1]}"));
  assert_ptr_equal(copy->inputs[0], copy->inputs[1]);
  assert_ptr_equal(copy->inputs[0]->inputs[0], source);
  free(text);
  for (int i = 0; i < 2; i++) tr_expr_unref(sums[i]);
  tr_rel_unref(copy);
  tr_rel_unref(zip);
  tr_rel_unref(twice[0]);
  tr_rel_unref(source);
}

static void refuse(const char *text, const struct tr_plan_limits *limits, const char *why) {
  struct tr_rel *source = make_source(), *out;
  struct tr_error err = {0};
  size_t n = strlen(text);
  assert_int_equal(tr_plan_decode(text, (int64_t)n, limits, &source, 1, &out, &err), TR_ERROR);
  assert_string_equal(err.text, why);
  assert_int_equal(err.exc, TR_EXC_VALUE);
  assert_null(out);
  tr_rel_unref(source);
}

static void test_faults(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {PLAN(C0, ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[17]}"), "plan: nodes[1].exprs[0]: no expression 17"},
      {PLAN(C0, ",{\"kind\":\"PROJECT\",\"inputs\":[1],\"exprs\":[0]}"), "plan: nodes[1].inputs[0]: no node 1"},
      {PLAN(C0, ",{\"kind\":\"JOIN\",\"inputs\":[0],\"exprs\":[0]}"), "plan: nodes[1]: 1 inputs of JOIN"},
      {PLAN(C0, ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[0],\"x\":1}"), "plan: nodes[1]: unknown field x"},
      {PLAN(C0, ",{\"kind\":\"PROJECTS\",\"inputs\":[0],\"exprs\":[0]}"), "plan: nodes[1]: no kind PROJECTS"},
      {PLAN(C0, ",{\"kind\":\"FILTER\",\"inputs\":[0],\"exprs\":[0]}"),
       "plan: nodes[1]: plan node FILTER: needs one bool expression"},
      {PLAN(C0, ",{\"kind\":\"SLICE\",\"inputs\":[0],\"options\":{\"step\":0}}"),
       "plan: nodes[1].options: step 0 is not in 1..9223372036854775807"},
      {PLAN(C0, ",{\"kind\":\"SLICE\",\"inputs\":[0],\"options\":{\"how\":\"left\"}}"),
       "plan: nodes[1].options: unknown field how"},
      {PLAN(C0, ",{\"kind\":\"SLICE\",\"inputs\":[0]}"), "plan: exprs[0]: nothing uses it"},
      {PLAN(C0, PROJECT0 PROJECT0), "plan: nodes[1]: nothing uses it"},
      {PLAN(C0, ",{\"source\":0}" PROJECT0), "plan: nodes[1]: source 0 stands here twice"},
      {PLAN("{\"op\":\"COL\",\"column\":3,\"dtype\":\"int64\"}", PROJECT0), "plan: nodes[1].exprs[0]: column 3 of 3"},
      {PLAN("{\"op\":\"COL\",\"column\":0,\"dtype\":\"str\"}", PROJECT0),
       "plan: nodes[1].exprs[0]: column 0 is int64, not str"},
      {PLAN("{\"op\":\"COL\",\"column\":1,\"dtype\":\"float64\"}", PROJECT0),
       "plan: nodes[1].exprs[0]: column 1 may have missing values"},
      {PLAN("{\"op\":\"NOPE\"}", PROJECT0), "plan: exprs[0]: no operation NOPE"},
      {PLAN("{\"op\":\"NEG\",\"args\":[0],\"dtype\":\"int64\"}", PROJECT0),
       "plan: exprs[0]: args[0]: no expression 0 before this one"},
      {PLAN(C0 ",{\"op\":\"ADD\",\"args\":[0],\"dtype\":\"int64\"}", PROJECT0),
       "plan: exprs[1]: ADD takes 2 arguments, not 1"},
      {PLAN(C0 ",{\"op\":\"NEG\",\"args\":[0],\"dtype\":\"int8\"}", PROJECT0),
       "plan: exprs[1]: NEG gives int64, not int8"},
      {PLAN(C2 ",{\"op\":\"NEG\",\"args\":[0],\"dtype\":\"str\"}", PROJECT0),
       "plan: exprs[1]: NEG of str is not native"},
      {PLAN("{\"op\":\"LIT\",\"lit\":{\"t\":\"int8\",\"v\":\"128\"}}", PROJECT0),
       "plan: exprs[0]: no value of int8: 128"},
      {PLAN("{\"op\":\"LIT\",\"lit\":{\"t\":\"str\",\"b\":\"bnV=\"}}", PROJECT0), "plan: exprs[0]: invalid base64"},
      {PLAN("{\"op\":\"LIT\",\"lit\":{\"t\":\"int8\",\"v\":1}}", PROJECT0), "plan: exprs[0]: v must be a string"},
      {PLAN(C0, ",{\"kind\":\"AGGREGATE\",\"inputs\":[0],\"exprs\":[0],\"items\":[{\"kind\":\"agg\",\"fn\":\"sum\","
                "\"dtype\":\"int64\"}]}"),
       "plan: nodes[1].items[0]: sum needs 1 expressions"},
      {PLAN(C0, ",{\"kind\":\"AGGREGATE\",\"inputs\":[0],\"exprs\":[0],\"items\":[{\"kind\":\"window\",\"fn\":"
                "\"shift\",\"expr\":0}]}"),
       "plan: nodes[1].items[0]: window in AGGREGATE"},
      {"{\"version\":2}", "plan: version 2, this engine reads version 1"},
      {"{\"version\":1,\"sources\":[],\"nodes\":[]}", "plan: 0 sources, 1 given"},
      {"{\"version\":1,\"sources\":[{\"kind\":\"PARQUET\"}],\"nodes\":[{\"source\":0}]}",
       "plan: sources[0]: is PARQUET, the source given is FRAME"},
      {"{\"version\":1,\"sources\":[{\"kind\":\"FRAME\",\"rows\":9}],\"nodes\":[{\"source\":0}]}",
       "plan: sources[0]: has 9 rows, the source given 10"},
      {"[]", "plan: must be an object"},
      {"{\"version\":1", "plan: not JSON: '}' expected near end of file (byte 12)"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refuse(cases[i][0], NULL, cases[i][1]);
}

static void test_limits(void **state) {
  (void)state;
  const char *text = PLAN(
      C0 ",{\"op\":\"ADD\",\"args\":[0,0],\"dtype\":\"int64\"},{\"op\":\"ADD\",\"args\":[1,1],\"dtype\":\"int64\"}",
      ",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[2,2]},{\"kind\":\"SLICE\",\"inputs\":[1]}");
  struct {
    size_t field;
    int64_t limit;
    const char *why;
  } cases[] = {
      {offsetof(struct tr_plan_limits, bytes), 100, "plan: 399 bytes, more than 100"},
      {offsetof(struct tr_plan_limits, nodes), 2, "plan: nodes has 3 entries, more than 2"},
      {offsetof(struct tr_plan_limits, exprs), 2, "plan: exprs has 3 entries, more than 2"},
      {offsetof(struct tr_plan_limits, depth), 2, "plan: exprs[2]: more than 2 deep"},
      {offsetof(struct tr_plan_limits, columns), 2, "plan: sources[0]: cols has 3 entries, more than 2"},
      {offsetof(struct tr_plan_limits, list), 1, "plan: nodes[1]: exprs has 2 entries, more than 1"},
      {offsetof(struct tr_plan_limits, size), 6, "plan: exprs[2]: more than 6 operations"},
      {offsetof(struct tr_plan_limits, size), 12,
       "plan: nodes[1].exprs[1]: the plan has more than 12 columns and operations"},
  };
  char why[100];
  snprintf(why, sizeof why, "plan: %zu bytes, more than 100", strlen(text));
  cases[0].why = why;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tr_plan_limits limits = tr_plan_limits_default;
    memcpy((char *)&limits + cases[i].field, &cases[i].limit, sizeof(int64_t));
    refuse(text, &limits, cases[i].why);
  }
}

static void test_names(void **state) {
  (void)state;
  assert_int_equal(TR_PLAN_N_AGGS, TR_N_AGGS);
  assert_int_equal(TR_PLAN_N_WINDOWS, TR_N_WINDOWS);
  assert_string_equal(tr_codec_aggs[TR_AGG_SEM].name, "sem");
  assert_string_equal(tr_codec_aggs[TR_AGG_NUNIQUE].name, "nunique");
  assert_string_equal(tr_codec_aggs[TR_AGG_NTH_ROW].name, "nth");
  assert_string_equal(tr_codec_windows[TR_WIN_CUMCOUNT].name, "cumcount");
  assert_string_equal(tr_codec_windows[TR_WIN_NGROUP].name, "ngroup");
}

static char *read_file(const char *path) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  char *text = calloc(1, 1 << 16);
  size_t n = fread(text, 1, (1 << 16) - 1, f);
  while (n && text[n - 1] == '\n') text[--n] = 0;
  fclose(f);
  return text;
}

static void test_recorded(void **state) {
  (void)state;
  int n_files = 0;
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  for (struct dirent *e; (e = readdir(dir));) {
    if (!strstr(e->d_name, ".json")) continue;
    char path[4096], *again;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    char *text = read_file(path);
    struct tr_rel *sources[PLAN_MAX_SOURCES], *r, *copy;
    int n = plan_sources(text, strlen(text), sources);
    struct tr_error err = {0};
    enum tr_status st = tr_plan_decode(text, (int64_t)strlen(text), NULL, sources, n, &r, &err);
    if (st != TR_OK) print_error("%s: %s\n", e->d_name, err.text);
    assert_int_equal(st, TR_OK);
    copy = round_trip(r, &again);
    assert_string_equal(text, again);
    tr_rel_unref(copy);
    tr_rel_unref(r);
    for (int i = 0; i < n; i++) tr_rel_unref(sources[i]);
    free(text);
    free(again);
    n_files++;
  }
  closedir(dir);
  assert_true(n_files >= 9);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_literals),   cmocka_unit_test(test_ordered_heads),
                                     cmocka_unit_test(test_float_text), cmocka_unit_test(test_sharing),
                                     cmocka_unit_test(test_faults),     cmocka_unit_test(test_limits),
                                     cmocka_unit_test(test_names),      cmocka_unit_test(test_recorded)};
  folder = argc > 1 ? argv[1] : ".";
  return cmocka_run_group_tests(tests, NULL, NULL);
}
