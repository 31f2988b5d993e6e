"""Parquet and CSV: what one run writes is read back by the same run; the files themselves are compared too."""

from __future__ import annotations

from ..generate import Draft, World, step


@step(2)
def parquet(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None:
        return None
    name = f"f{len(w.known)}.parquet"
    extra = w.choice(
        "", "", ", index=False", ", compression='zstd'", ", compression=None", ", index=True", ", compression='gzip'"
    )
    columns = f", columns={w.some(frame)!r}" if w.flip(0.3) else ""
    path = f"tmp + '/{name}'"
    return Draft(f"({frame}.to_parquet({path}{extra}), pd.read_parquet({path}{columns}))[1]", (frame,))


READ = ("", "", ", dtype={{{0!r}: 'str'}}", ", usecols=[{0!r}]", ", nrows=3", ", index_col=0", ", header=None",
        ", na_values=['a']", ", keep_default_na=False", ", skiprows=1", ", parse_dates=[{0!r}]", ", names=['p', 'q']",
        ", index_col={0!r}", ", na_filter=False")  # fmt: skip
WRITE = ("", ", index=False", ", index=False", ", sep=';'", ", na_rep='NA'", ", header=False", ", quoting=1")


@step(3)
def csv(w: World) -> Draft | None:
    frame = w.frame()
    if frame is None or (label := w.label(frame)) is None:
        return None
    path = f"tmp + '/f{len(w.known)}.csv'"
    write = w.choice(*WRITE)
    read = w.choice(*READ).format(label)
    if "sep" in write and w.flip(0.8):
        read += ", sep=';'"
    return Draft(f"({frame}.to_csv({path}{write}), pd.read_csv({path}{read}))[1]", (frame,), wild=True)


@step(0.3)
def absent(w: World) -> Draft | None:
    return Draft(f"pd.{w.choice('read_csv', 'read_parquet')}(tmp + '/absent')", ())
