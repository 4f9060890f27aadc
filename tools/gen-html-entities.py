#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes plugins/text-umt5/html-entities.h: the named character references of HTML 5 as Python knows them.

    tools/gen-html-entities.py > plugins/text-umt5/html-entities.h

The names stand in byte order, for a binary search.  Names that HTML takes without a semicolon stand
there a second time without it, as in Python's html.entities.html5.
"""

from html.entities import html5

print("""/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The named character references of HTML 5 in byte order: name without the ampersand, one or two code
 * points.  Made by tools/gen-html-entities.py; not edited by hand.
 */
#pragma once
""")
print("/* clang-format off */")
print("static const struct { const char *name; uint32_t a, b; } sora_html_entities[] = {")
line = " "
for name in sorted(html5, key=lambda s: s.encode()):
    points = [ord(c) for c in html5[name]]
    assert 1 <= len(points) <= 2 and name.isascii() and len(name) <= 32
    item = ' {"%s",0x%X,%s},' % (name, points[0], "0x%X" % points[1] if len(points) > 1 else "0")
    if len(line) + len(item) > 100:
        print(line)
        line = " "
    line += item
print(line)
print("};")
print("/* clang-format on */")
