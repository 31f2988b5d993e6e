/* Parts of the reader: options.c makes it ready, settle.c decides about columns, read.c runs it. */
#pragma once
#include "data/format/csv/column_int.h"

TR_MUST_USE enum tr_status tr_csv_texts_make(struct tr_csv_reader *r, struct tr_error *err);
TR_MUST_USE enum tr_status tr_csv_columns_make(struct tr_csv_reader *r, struct tr_error *err);
/* Room for a pass over column c the way it is to be parsed; drops what an earlier pass left. */
TR_MUST_USE enum tr_status tr_csv_column_prepare(struct tr_csv_reader *r, struct tr_csv_column *c,
                                                 struct tr_error *err);
void tr_csv_column_drop(struct tr_csv_reader *r, struct tr_csv_column *c);
