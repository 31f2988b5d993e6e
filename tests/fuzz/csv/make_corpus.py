"""Writes the small corpus of fuzz_csv: three bytes of options (see choose() in fuzz_csv.c), then the text."""

import pathlib

CORPUS = pathlib.Path(__file__).parent.parent / "corpus" / "fuzz_csv"
SEEDS = {
    "plain": (b"\0\0\0", b"a,b,c\n1,2.5,x\n3,,y\n-5,1e3,long text of many bytes\n"),
    "quotes": (b"\0\0\0", b'a,b\n"x,1","y ""z"""\n"two\nlines",""\nab"c,"d"e\n'),
    "crlf": (b"\0\0\0", b"a,b\r\n1,True\r\n\r\n2,False\r\n"),
    "cr": (b"\0\0\0", b"a,b\r1,2\r\r3,x\r"),
    "bom": (b"\0\0\0", b"\xef\xbb\xbfa,b\n\xc3\xa9,1\n"),
    "ragged": (b"\0\0\0", b"a,b\n1\n2,3,4\n"),
    "open_quote": (b"\0\0\0", b'a,b\n1,"2\n3,4\n'),
    "ints": (b"\0\0\0", b"a\n18446744073709551615\n9223372036854775807\n0\n"),
    "floats": (b"\0\0\0", b"a\n0.1\n1e400\n-inf\n.5\n+.5\n 1.5 \n4.9e-324\n-0\n"),
    "comments": (b"\x10\0\0", b"# c\na,b\n1,2 # d\n#\n3,4\n"),
    "escapes": (b"\x20\0\0", b'a,b\n\\",x\\,y\n"\\"",\\\n\n'),
    "spaces": (b"\0\1\0", b'a, b\n 1, "x"\n  \n2,3\n'),
    "header_none": (b"\0\2\0", b"1,2\n3,4\n"),
    "skip": (b"\0\x08\0", b'skip "me\nx"\n\na,b\n1,2\n'),
    "thousands": (b"\0\x60\0", b"a,b\n1_000,2^5\n-3_0,1^25\n"),
    "na_values": (b"\0\0\4", b"a,b\n7,x\n7.0,y\n1,z\n"),
    "usecols": (b"\0\0\x10", b"a,b,c\n1,2,3\n4,5,6,7\n"),
    "category": (b"\0\0\x20", b"a,b\nred,1\nblue,2\nred,3\n"),
    "dates": (b"\0\0\x60", b"a,b\n1,2020-01-31\n2,1999-12-31\n"),
    "mangle": (b"\0\0\0", b"a,a,,a.1\n1,2,3,4\n"),
}


def main():
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, (options, text) in SEEDS.items():
        (CORPUS / name).write_bytes(options + text)


main()
