/* Aggregates that number values first: distinct values per group, and texts as places in their order. */
#include "data/kern/group/agg_int.h"

static bool is_missing(const struct tr_array *a, int64_t row) {
  if (!tr_kind_can_miss(a->dtype.kind)) return false;
  double space[1];
  return tr_block_f64(a, row, 1, space)[0] != tr_block_f64(a, row, 1, space)[0];
}

enum tr_status tr_agg_nunique(struct tr_ctx *ctx, const struct tr_groups *g, const struct tr_agg_spec *spec,
                              int64_t *out, struct tr_error *err) {
  struct tr_array *keys[2] = {NULL, spec->input};
  struct tr_groups pairs = {0};
  enum tr_status st = TR_OK;
  const uint32_t *ids = tr_groups_ids(g);
  memset(out, 0, (size_t)g->n_groups * 8);
  if (g->n_rows == 0) return TR_OK;
  if (ids) TR_GOTO(st, tr_array_from_buffer(tr_dtype_of(TR_U32), g->n_rows, tr_buffer_ref(g->ids), &keys[0], err));
  TR_GOTO(st, tr_groups_make(ctx, ids ? keys : keys + 1, ids ? 2 : 1, g->n_rows, false, false, &pairs, err));
  const uint32_t *first = (const uint32_t *)pairs.first_row->data;
  for (int64_t p = 0; p < pairs.n_groups; p++) {
    uint32_t id = ids ? ids[first[p]] : 0;
    if (id != TR_NO_GROUP) out[id] += spec->param == 1 || !is_missing(spec->input, first[p]);
  }
done:
  tr_array_unref(keys[0]);
  tr_groups_drop(&pairs);
  return st;
}

struct coder {
  const int32_t *from;
  const uint32_t *rank; /* NULL: from holds group numbers */
  const struct tr_view *views;
  int64_t *codes;
};

static enum tr_status code_rows(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct coder *c = arg;
  for (int64_t i = begin; i < end; i++) {
    if (c->rank) c->codes[i] = c->from[i] < 0 ? TR_NAT : (int64_t)c->rank[c->from[i]];
    else c->codes[i] = (uint32_t)c->from[i] == TR_NO_GROUP ? TR_NAT : (int64_t)(uint32_t)c->from[i];
  }
  return TR_OK;
}

enum tr_status tr_agg_text_codes(struct tr_ctx *ctx, struct tr_array *a, int64_t *codes, struct tr_error *err) {
  struct coder c = {.codes = codes};
  struct tr_groups g = {0};
  uint32_t *rank = NULL;
  size_t bytes = 0;
  enum tr_status st;
  if (a->enc == TR_DICT) {
    bytes = (size_t)a->dict->length * 4;
    TR_GOTO(st, tr_mem_alloc(bytes, (void **)&rank, err));
    TR_GOTO(st, tr_group_rank_values(ctx, a->dict, rank, err));
    c.from = tr_array_codes(a);
    c.rank = rank;
  } else {
    TR_GOTO(st, tr_groups_make(ctx, &a, 1, a->length, true, true, &g, err));
    c.from = (const int32_t *)g.ids->data;
  }
  st = tr_parallel_for(ctx, a->length, tr_grain(ctx), code_rows, &c, err);
done:
  tr_mem_free(rank, bytes);
  tr_groups_drop(&g);
  return st;
}
