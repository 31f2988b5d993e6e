/* Stages cut from the recorded plans (the folder given on the command line), under small and usual options: inputs name
 * earlier stages and their tasks, every piece of every source is read, fragments read back as they were; and what some
 * operations are cut into. That stages compute what the plan does is shown by the parity tests' "in stages". */
#include "../plan_seal/toy_crypto.h"
#include "meta/opt/stages.h"
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static const char *folder;

static void cut(const char *text, const struct tr_stage_options *options, int n_pieces, struct tr_shape *shape,
                struct tr_stages *out) {
  char *sealed;
  struct tr_error err = {0};
  struct tr_stage_source sources[16];
  int64_t rows[64];
  for (int i = 0; i < 64; i++) rows[i] = i % 3 ? 7 : 0;
  assert_int_equal(tr_plan_seal(text, strlen(text), &toy_hooks, &sealed, &err), TR_OK);
  assert_int_equal(tr_shape_decode(sealed, strlen(sealed), NULL, shape, &err), TR_OK);
  for (int i = 0; i < shape->n_sources; i++) sources[i] = (struct tr_stage_source){n_pieces, rows};
  enum tr_status st = tr_stages_cut(shape, sources, shape->n_sources, options, out, &err);
  if (st != TR_OK) fail_msg("%s", err.text);
  free(sealed);
}

static void check_pieces(const struct tr_stage *s, int n_pieces, bool *read) {
  for (int t = 0; t < s->n_tasks; t++)
    for (int i = s->first_piece[t]; i < s->first_piece[t + 1]; i++) {
      struct tr_stage_piece p = s->pieces[i];
      assert_true(p.from >= 0 && p.from <= p.to && p.to <= n_pieces);
      for (int k = p.from; k < p.to; k++) read[p.source * 64 + k] = true;
    }
}

static void check_inputs(const struct tr_stages *all, const struct tr_stage *s, bool *used) {
  for (int i = 0; i < s->n_inputs; i++) {
    const struct tr_stage_input *in = &s->inputs[i];
    if (in->stage < 0) continue;
    assert_true(in->stage < s->id);
    const struct tr_stage *from = &all->stages[in->stage];
    assert_int_equal(in->tasks, from->n_tasks);
    if (in->mode == TR_READ_SHUFFLE) assert_int_equal(from->parts, s->n_tasks);
    if (in->mode == TR_READ_SHUFFLE) assert_true(from->by != TR_BY_NONE && from->by != TR_BY_SAMPLE);
    if (in->segment >= 0) assert_int_equal(from->by, TR_BY_SAMPLE);
    if (in->holds == TR_HOLDS_ORDINALS) assert_true(from->ordinals);
    used[in->stage] = true;
  }
}

static void check_fragment(const struct tr_stage *s, int n_nodes) {
  char *one, *two;
  struct tr_error err = {0};
  struct tr_stage back;
  struct tr_arena arena;
  tr_arena_init(&arena);
  assert_int_equal(tr_stage_encode(s, &one, &err), TR_OK);
  json_t *o = json_loads(one, 0, NULL);
  enum tr_status st = tr_stage_decode(o, n_nodes, &arena, &back, &err);
  if (st != TR_OK) fail_msg("%s: %s", err.text, one);
  assert_int_equal(tr_stage_encode(&back, &two, &err), TR_OK);
  assert_string_equal(one, two);
  json_object_set_new(o, "extra", json_true());
  assert_int_equal(tr_stage_decode(o, n_nodes, &arena, &back, &err), TR_ERROR);
  json_decref(o);
  free(one);
  free(two);
  tr_arena_free(&arena);
}

static void check(const char *text, const struct tr_stage_options *options, int n_pieces) {
  struct tr_shape shape;
  struct tr_stages all;
  bool read[16 * 64] = {0}, used[200] = {0};
  cut(text, options, n_pieces, &shape, &all);
  assert_true(all.n > 0 && all.n < 200);
  assert_int_equal(all.stages[all.n - 1].by, TR_BY_RESULT);
  for (int i = 0; i < all.n; i++) {
    const struct tr_stage *s = &all.stages[i];
    assert_int_equal(s->id, i);
    assert_true(s->n_tasks > 0);
    check_inputs(&all, s, used);
    check_pieces(s, n_pieces, read);
    check_fragment(s, shape.n_nodes);
    for (int k = 0; k < s->n_inputs; k++)
      if (s->inputs[k].stage < 0)
        for (int p = 0; p < n_pieces; p++) read[shape.nodes[s->inputs[k].node].source * 64 + p] = true;
  }
  for (int i = 0; i < all.n - 1; i++) assert_true(used[i]);
  for (int i = 0; i < shape.n_sources; i++)
    for (int k = 0; k < n_pieces; k++) assert_int_equal(read[i * 64 + k], read[i * 64]); /* all, or nobody needs it */
  tr_stages_drop(&all);
  tr_shape_drop(&shape);
}

static void test_recorded(void **state) {
  (void)state;
  static const struct tr_stage_options tiny = {5, -1, 3}, some = {10, 100000, 8}, one = {1000000, 0, 0};
  DIR *d = opendir(folder);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) {
    char path[1000], text[1 << 16];
    size_t len = strlen(e->d_name);
    if (len < 5 || strcmp(e->d_name + len - 5, ".json") != 0) continue;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    FILE *f = fopen(path, "rb");
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    while (n && text[n - 1] == '\n') n--;
    text[n] = 0;
    check(text, &tiny, 9);
    check(text, &tiny, 1);
    check(text, &some, 40);
    check(text, &one, 9);
    check(text, NULL, 3);
  }
  closedir(d);
}

#define SOURCE "{\"kind\":\"FRAME\",\"rows\":40,\"cols\":[{\"dtype\":\"int64\"},{\"dtype\":\"float64\"}]}"
#define TEXT(nodes)                                                                                       \
  "{\"version\":1,\"sources\":[" SOURCE "],\"exprs\":[{\"op\":\"COL\",\"column\":0,\"dtype\":\"int64\"}," \
  "{\"op\":\"COL\",\"column\":1,\"dtype\":\"float64\"}],\"nodes\":[{\"source\":0}" nodes "]}"
#define SUM    "\"items\":[{\"kind\":\"agg\",\"fn\":\"sum\",\"expr\":1,\"dtype\":\"float64\"}]"
#define MEDIAN "\"items\":[{\"kind\":\"agg\",\"fn\":\"median\",\"expr\":1,\"dtype\":\"float64\"}]"

/* Roles and exchanges of the stages, as "role/by" joined by blanks. */
static void expect(const char *text, const char *want) {
  static const char *const roles[] = {"plain", "partial", "keyed", "top", "bounds", "split"}, *const bys[] = {
                                                                                                  "none",   "hash",
                                                                                                  "range",  "origin",
                                                                                                  "sample", "result"};
  static const struct tr_stage_options tiny = {5, -1, 3};
  struct tr_shape shape;
  struct tr_stages all;
  char got[1000] = "";
  cut(text, &tiny, 9, &shape, &all);
  for (int i = 0; i < all.n; i++)
    snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s/%s%s%d", i ? " " : "", roles[all.stages[i].role],
             bys[all.stages[i].by], "x", all.stages[i].n_tasks);
  assert_string_equal(got, want);
  tr_stages_drop(&all);
  tr_shape_drop(&shape);
}

static void test_kinds(void **state) {
  (void)state;
  expect(TEXT(",{\"kind\":\"PROJECT\",\"inputs\":[0],\"exprs\":[0,1]}"), "plain/resultx3");
  expect(TEXT(",{\"kind\":\"AGGREGATE\",\"inputs\":[0],\"exprs\":[0,1]," SUM "}"), "partial/nonex3 plain/resultx1");
  expect(TEXT(",{\"kind\":\"AGGREGATE\",\"inputs\":[0],\"exprs\":[0,1],\"n_keys\":1," SUM "}"),
         "partial/hashx3 keyed/originx3 plain/resultx3");
  expect(
      TEXT(",{\"kind\":\"AGGREGATE\",\"inputs\":[0],\"exprs\":[0,1],\"n_keys\":1," SUM ",\"options\":{\"sort\":true}}"),
      "partial/samplex3 bounds/nonex1 split/rangex3 plain/resultx3");
  expect(TEXT(",{\"kind\":\"AGGREGATE\",\"inputs\":[0],\"exprs\":[0,1],\"n_keys\":1," MEDIAN "}"),
         "plain/hashx3 keyed/originx3 plain/resultx3");
  expect(TEXT(",{\"kind\":\"SORT\",\"inputs\":[0],\"exprs\":[1],\"options\":{\"stop\":4}}"),
         "top/nonex3 plain/resultx1");
  expect(TEXT(",{\"kind\":\"SORT\",\"inputs\":[0],\"exprs\":[1]}"),
         "plain/samplex3 bounds/nonex1 split/rangex3 plain/resultx3");
  expect(TEXT(",{\"kind\":\"GROUP_HEAD\",\"inputs\":[0],\"exprs\":[0,1],\"n_keys\":1,\"options\":{\"start\":2}}"),
         "plain/resultx1");
  expect(TEXT(",{\"kind\":\"CONCAT\",\"inputs\":[0,0]}"), "plain/resultx6");
  expect(TEXT(",{\"kind\":\"JOIN\",\"inputs\":[0,0],\"exprs\":[0,0],\"n_keys\":1,\"options\":{\"how\":\"left\"}}"),
         "plain/hashx3 plain/hashx3 keyed/originx3 plain/resultx3");
  expect(TEXT(",{\"kind\":\"SLICE\",\"inputs\":[0],\"options\":{\"start\":1,\"stop\":-2}}"), "plain/resultx3");
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  folder = argv[1];
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_recorded), cmocka_unit_test(test_kinds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
