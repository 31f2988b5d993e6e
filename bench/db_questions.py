"""The db-benchmark's questions as a pandas user writes them; plain pandas runs the same text, the import exchanged.

x is the group-by table (id1, id2, id3 text; id4, id5, id6, v1, v2 integers; v3 float); the joins take their own x and
the tables small, medium and big. QUESTIONS maps a name to a function of the tables.
"""

import terality as pd

G = {"as_index": False, "sort": False, "observed": True, "dropna": False}

QUESTIONS = {
    "q1": lambda x: x.groupby("id1", **G).agg({"v1": "sum"}),
    "q2": lambda x: x.groupby(["id1", "id2"], **G).agg({"v1": "sum"}),
    "q3": lambda x: x.groupby("id3", **G).agg({"v1": "sum", "v3": "mean"}),
    "q4": lambda x: x.groupby("id4", **G).agg({"v1": "mean", "v2": "mean", "v3": "mean"}),
    "q5": lambda x: x.groupby("id6", **G).agg({"v1": "sum", "v2": "sum", "v3": "sum"}),
    "q6": lambda x: x.groupby(["id4", "id5"], **G).agg({"v3": ["median", "std"]}),
    "q7": lambda x: (
        x.groupby("id3", **G)
        .agg({"v1": "max", "v2": "min"})
        .assign(range_v1_v2=lambda d: d["v1"] - d["v2"])[["id3", "range_v1_v2"]]
    ),
    "q8": lambda x: (
        x[~x["v3"].isna()][["id6", "v3"]]
        .sort_values("v3", ascending=False)
        .groupby("id6", **G)
        .head(2)
        .reset_index(drop=True)
    ),
    "q9": lambda x: (
        x[["id2", "id4", "v1", "v2"]]
        .groupby(["id2", "id4"], **G)
        .apply(lambda g: pd.Series({"r2": g["v1"].corr(g["v2"]) ** 2}))
    ),
    "q10": lambda x: x.groupby(["id1", "id2", "id3", "id4", "id5", "id6"], **G).agg({"v3": "sum", "v1": "size"}),
    "sort v3": lambda x: x.sort_values("v3"),
    "sort id3": lambda x: x.sort_values("id3"),
    "sort id6, v1 desc": lambda x: x.sort_values(["id6", "v1"], ascending=[True, False], kind="stable"),
    "j1": lambda x, small, medium, big: x.merge(small, on="id1"),
    "j2": lambda x, small, medium, big: x.merge(medium, on="id2"),
    "j3": lambda x, small, medium, big: x.merge(medium, on="id2", how="left"),
    "j4": lambda x, small, medium, big: x.merge(medium, on="id5"),
    "j5": lambda x, small, medium, big: x.merge(big, on="id3"),
}

# Where the default sort leaves the order of ties open, answers are compared with a stable sort's.
STABLE = {
    "q8": lambda x: (
        x[~x["v3"].isna()][["id6", "v3"]]
        .sort_values("v3", ascending=False, kind="stable")
        .groupby("id6", **G)
        .head(2)
        .reset_index(drop=True)
    ),
    "sort v3": lambda x: x.sort_values("v3", kind="stable"),
    "sort id3": lambda x: x.sort_values("id3", kind="stable"),
}
