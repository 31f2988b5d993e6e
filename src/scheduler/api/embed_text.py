"""Prints a C file that holds the bytes of a file: `embed_text.py FILE NAME` gives NAME[] and NAME_bytes."""

import json
import sys

# Written anew rather than copied, so that a broken document stops the build and no blank travels.
text = json.dumps(json.load(open(sys.argv[1], encoding="utf-8")), separators=(",", ":")).encode()
print("#include <stddef.h>")
print(f"extern const char {sys.argv[2]}[];\nextern const size_t {sys.argv[2]}_bytes;")
print(f"const char {sys.argv[2]}[] = {{")
for i in range(0, len(text), 24):
    print(",".join(str(byte) for byte in text[i : i + 24]) + ",")
print(f"0}};\nconst size_t {sys.argv[2]}_bytes = {len(text)};")
