"""Records what pandas makes of the CSV texts of test_csv.c; run with pandas 3.1 installed, it writes cases.inc.

Each case is a text and options of read_csv; recorded are the columns (names, dtypes, every value, floats by their
bits), what to_csv prints of them, or the exception's class and text.
"""

import pathlib
import struct
import tempfile

import pandas as pd

HERE = pathlib.Path(__file__).parent
CASES = [
    ('a,b,c,d\n1,2.5,x,True\n3,,"y,""z",False\n-5,1e3,a long text of many bytes,TRUE\n', {}),
    ("a,b\r\n1,2\r\n\r\n3,4\r\n", {}),
    ("a,b\r1,2\r3,x\r", {}),
    ("\ufeffa,b\n1,é\n2,日本語 is longer than twelve\n", {}),
    ("a,a,,\nx,1,2,3\ny,300,1,2", {}),
    ("x,x,x.1\n1,2,3\n", {}),
    ("a,b\n1,2\n4,5,6\n", {}),
    ("a,b\n\n1,2\n# no\n4,5,6\n", {"comment": "#"}),
    ("a,b,c\n1,2\n4\n,,\n", {}),
    ('a,b\n1,2\n4,"5\n', {}),
    ("", {}),
    ("\n\n", {}),
    ('a\n"x\ny"\n""""\nab"c\n"a"b"\n', {}),
    ("a;b\n1,5;2\n-0,25;3\n", {"sep": ";", "decimal": ","}),
    ("a\tb\n1,234\t2\n5\t-1,000,000\n", {"sep": "\t", "thousands": ","}),
    ('skip "me\nplease"\na,b\n1,2\n', {"skiprows": 1}),
    ("a,b\n1,2\n3,4\n5,x\n", {"nrows": 2}),
    ("a,b\n1,2\n", {"header": 5}),
    ("1,2\n3,4\n", {"header": None}),
    ("1,2\n3,4\n", {"names": ["p", "q"]}),
    ("0,1\n3,4\n", {"names": ["p", "q"], "header": 0}),
    ("a,b,c\n1,2,x\n3,4,y\n", {"usecols": ["b", "c"]}),
    ("a,b,c\n1,2,x\n", {"usecols": ["zz"]}),
    ("a,b\n1,2,3,4\n", {"usecols": ["a"], "header": 1, "skiprows": 0}),
    ("a,b\n1,x\n2,?\n-1,y\n", {"na_values": ["?", "-1"]}),
    ("a,b\n1.5,x\n2,?\n-1.0,y\n", {"na_values": ["?", "-1"]}),
    ("a,b\n5,00\n5,1\n", {"decimal": ";", "na_values": ["5."]}),
    ("a,b\n,NA\nx,null\n", {"keep_default_na": False}),
    ("a,b\nyes,1\nno,2\n", {"true_values": ["yes"], "false_values": ["no"]}),
    ("t\n2020-01-31\n\n1999-12-01\n", {"parse_dates": ["t"], "skip_blank_lines": False}),
    ("t,u\n2020-01-31 01:02:03,1\n,2\n", {"parse_dates": ["t"]}),
    ("t\n2020-01-31T01:02:03.25\n2020-02-29T01:02:03.75\n", {"parse_dates": ["t"]}),
    ("a,b\n1,2\n", {"parse_dates": ["t"]}),
    ("a,b\n1,2\n3,\n", {"dtype": {"b": "int64"}}),
    ("a,b\n1,2\n3,300\n", {"dtype": {"a": "int8", "b": "uint8"}}),
    ("a,b\n1,2\n3,4\n", {"dtype": {"a": "float32", "b": "str"}}),
    ('a\nred\nblue\nred\n""\n', {"dtype": {"a": "category"}}),
    ("a\n18446744073709551615\n1\n", {}),
    ("a\n9223372036854775807\n-9223372036854775808\n", {}),
    ("a,b\n-0,-0\n1,1.5\n", {}),
    ("a\n0.1\n1e400\n-inf\n123456789.123456789\n4.9e-324\n+.5\n 1.5 \n0.30000000000000004\n1e-5\n1e16\n", {}),
    ("a\n  \nx\n \t \ny\n", {}),
    ('a,b\n\\"x,y\\,z\n', {"escapechar": "\\"}),
    ('a,b\n x, "y"\n', {"skipinitialspace": True}),
    ("a,b\n'x,y',2\n", {"quotechar": "'"}),
    ('a,b\n"x,2\n', {"quoting": 3}),
    ("a\n" + "".join(f"word{i % 37:05d}\n" for i in range(300)), {}),
    ("a,b\n" + "".join(f'{i},"text {i}, quoted ""{i}"" and long"\n' for i in range(100)), {}),
    ("k\n" + "1\n" * 200 + "2.5\n" + "NA\n" * 3 + "7\n" * 100, {}),
    ("k\n" + "1\n" * 200 + "x\n", {}),
    ("k\n" + "True\n" * 20 + "x\n", {}),
    ("k\nTrue\n1\n", {}),
    ('k\nNA\n""\n', {}),
]
FIELDS = {
    "sep": "sep",
    "quotechar": "quote",
    "decimal": "decimal",
    "thousands": "thousands",
    "comment": "comment",
    "escapechar": "escape",
    "skipinitialspace": "skip_initial_space",
    "skip_blank_lines": "skip_blank_lines",
    "skiprows": "skip_rows",
    "nrows": "n_rows",
    "keep_default_na": "keep_default_na",
}
LISTS = {
    "names": "names",
    "usecols": "use_columns",
    "na_values": "na_values",
    "true_values": "true_values",
    "false_values": "false_values",
}


def quoted(text):
    out = []
    for byte in text.encode():
        char = chr(byte)
        out.append(f"\\{byte:03o}" if byte < 32 or byte > 126 or char in '"\\?' else char)
    body = "".join(out)
    return (
        '"' + '"\n    "'.join(body[i : i + 1000] for i in range(0, len(body), 1000)).replace('\\"\n    "', "\\") + '"'
    )


def lines(text):
    """A C string, broken after each newline."""
    return "\n    ".join(quoted(part) for part in text.splitlines(keepends=True)) or '""'


def value(x):
    if x is pd.NaT or x is None or (isinstance(x, float) and x != x):
        return "~"
    if isinstance(x, bool):
        return str(int(x))
    if isinstance(x, float):
        return f"{struct.unpack('<Q', struct.pack('<d', x))[0]:016x}"
    return str(x)


def column(series):
    if series.dtype.kind == "M":
        values = ["~" if pd.isna(x) else str(i) for x, i in zip(series, series.astype("int64"), strict=True)]
    elif series.dtype.kind == "f":
        values = [value(float(x)) for x in series]
    else:
        values = [value(x) for x in series.tolist()]
    return f"{series.name}:{series.dtype}:{'|'.join(values)}\n"


def option(key, val):
    if key in LISTS:
        texts = ", ".join(quoted(str(v)) for v in val)
        return f".{LISTS[key]} = (const char *const[]){{{texts}}}, .n_{LISTS[key]} = {len(val)}"
    if key == "header":
        return f".header = {-1 if val is None else val}"
    if key == "quoting":
        return ".quote = 0"
    if key == "parse_dates":
        return (
            f'.column_options = (const struct tr_csv_column_option[]){{{{.name = "{val[0]}", .parse_date = true}}}}, '
            ".n_column_options = 1"
        )
    if key == "dtype":
        kinds = {"int64": "I64", "int8": "I8", "uint8": "U8", "float32": "F32", "str": "STR", "category": "CATEGORY"}
        all_of = ", ".join(
            f'{{.name = "{n}", .has_dtype = true, .dtype = {{.kind = TR_{kinds[d]}}}}}' for n, d in val.items()
        )
        return f".column_options = (const struct tr_csv_column_option[]){{{all_of}}}, .n_column_options = {len(val)}"
    text = {True: "true", False: "false"}.get(val, val) if isinstance(val, bool) else val
    if isinstance(text, str) and len(text) == 1:
        text = "'\\\\'" if text == "\\" else "'\\''" if text == "'" else "'\\t'" if text == "\t" else f"'{text}'"
    return f".{FIELDS[key]} = {text}"


def record(text, options, path):
    path.write_bytes(text.encode())
    try:
        frame = pd.read_csv(path, **options)
    except Exception as e:
        return type(e).__name__, str(e), ""
    frame.columns = [str(c) for c in frame.columns]
    if not isinstance(frame.index, pd.RangeIndex) or any(
        dtype.kind == "O" and dtype.name == "object" for dtype in frame.dtypes
    ):
        return "unsupported", "", ""
    return "", "".join(column(frame.iloc[:, i]) for i in range(frame.shape[1])), frame.to_csv(index=False)


def main():
    base = {
        "sep": "','",
        "quote": "'\"'",
        "decimal": "'.'",
        "double_quote": "true",
        "skip_blank_lines": "true",
        "n_rows": "-1",
        "keep_default_na": "true",
        "na_filter": "true",
        "low_memory": "true",
    }
    with tempfile.TemporaryDirectory() as folder, open(HERE / "cases.inc", "w", encoding="utf-8") as out:
        out.write(
            "/* Recorded from pandas by record.py; not edited by hand. text, options, exception, columns, to_csv */\n"
        )
        for text, options in CASES:
            error, columns, printed = record(text, options, pathlib.Path(folder) / "case.csv")
            if "names" in options and "header" not in options:
                options = {**options, "header": None}
            own = ", ".join(option(k, v) for k, v in options.items())
            taken = {part.split(" = ")[0].strip(". ") for part in own.split(", .")}
            rest = ", ".join(f".{k} = {v}" for k, v in base.items() if k not in taken)
            out.write(
                f'{{{lines(text)},\n  {{{rest}{", " + own if own else ""}}},\n  "{error}",\n  {lines(columns)},\n  '
                f"{lines(printed)}}},\n"
            )


main()
