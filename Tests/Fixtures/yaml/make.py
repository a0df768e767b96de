"""Makes cases.jsonl: YAML texts and what they mean, by PyYAML and Python's literal_eval. See README.md.

Usage: python3 make.py [--random COUNT SEED FILE]
With --random, COUNT texts drawn at random go to FILE instead, for a comparison that is not committed.
"""
import ast
import json
import random
import struct
import sys

import yaml


class Loader(yaml.SafeLoader):
    """SafeLoader with the differences that Documentation/Differences.md lists."""

    # A repeated key is an error; what is merged earlier counts more than what is merged later.
    def flatten_mapping(self, node):
        own, merged = [], []
        for key, value in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                if key.tag == "tag:yaml.org,2002:value":
                    key.tag = "tag:yaml.org,2002:str"
                if any(same(self.key_of(key), self.key_of(other)) for other, _ in own):
                    raise yaml.constructor.ConstructorError(None, None, "repeated key", key.start_mark)
                own.append((key, value))
                continue
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(part, yaml.MappingNode):
                    raise yaml.constructor.ConstructorError(None, None, "no mapping", part.start_mark)
                self.flatten_mapping(part)
                for pair in part.value:
                    if not any(same(self.key_of(pair[0]), self.key_of(other)) for other, _ in merged):
                        merged.append(pair)
        names = [self.key_of(key) for key, _ in own]
        result = []
        for key, value in merged:
            place = next((i for i, name in enumerate(names) if same(name, self.key_of(key))), None)
            result.append((key, value) if place is None else (key, own[place][1]))
        known = [self.key_of(key) for key, _ in merged]
        node.value = result + [pair for pair in own if not any(same(self.key_of(pair[0]), name) for name in known)]

    def key_of(self, key):
        return self.construct_object(key, deep=True)


def same(first, second):
    try:
        return first == second and hash(first) == hash(second)
    except TypeError:
        return False


def text(loader, node):
    if node.value != "<<":
        raise yaml.constructor.ConstructorError(None, None, "unknown tag", node.start_mark)
    return loader.construct_scalar(node)


Loader.add_constructor("tag:yaml.org,2002:merge", text)
Loader.yaml_constructors = {
    tag: build for tag, build in Loader.yaml_constructors.items()
    if tag is None or tag.split(":")[-1] not in ("binary", "timestamp", "omap", "pairs", "set")
}
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag.split(":")[-1] not in ("timestamp", "value")]
    for first, rules in Loader.yaml_implicit_resolvers.items()
}


def is_plain(value):
    """Whether a value is of the kinds that a configuration has."""
    if isinstance(value, str):
        return not any(0xD800 <= ord(c) < 0xE000 for c in value)
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(is_plain(k) and not isinstance(k, tuple) and is_plain(v) for k, v in value.items())
    return value is None or isinstance(value, (bool, int, float))


def walked(mapping):
    """What PaddleClas makes of text under mappings."""
    result = {}
    for key, value in mapping.items():
        if isinstance(value, str):
            try:
                literal = ast.literal_eval(value)
                if is_plain(literal):
                    value = literal
            except BaseException:
                pass
        elif type(value) is dict:
            value = walked(value)
        result[key] = value
    return result


def quoted(value):
    return '"' + "".join(
        c if 0x20 <= ord(c) < 0x7F and c not in '"\\' else "\\u{%x}" % ord(c) for c in value) + '"'


def encoded(value):
    """A value as text, the same in Tests/HGNetConfigurationTests."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return "i%d" % value
    if isinstance(value, float):
        return "fnan" if value != value else "f" + struct.pack(">d", value).hex()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(encoded, value)) + "]"
    # A name that is no number is a name like any other to us.
    return "{" + ",".join(encoded("nan" if k != k else k) + ":" + encoded(v) for k, v in value.items()) + "}"


def meaning(source):
    """The encoded value, or None where the text is refused."""
    sys.setrecursionlimit(3000)
    try:
        value = yaml.load(source, Loader=Loader)
    except (yaml.YAMLError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError):
        return None
    if value is None:
        value = {}
    try:
        if not is_plain(value):
            return None
    except RecursionError:
        return None
    return encoded(walked(value) if isinstance(value, dict) else value)


SCALARS = r"""
~|null|Null|NULL|nULL|None|none|yes|Yes|YES|yEs|y|Y|n|N|no|No|NO|true|True|TRUE|tRUE|false|False|FALSE|on|On|ON|oN|off|Off|OFF
0|00|000|0_|_0|1|-1|+1|--1|+-1|- 1|1_000|1__0|1_|_1|-1_0|007|010|0_7|08|09|0o17|0o8|-010|+010|0O17
0x1F|0X1F|0x|0x_|0x_F|0xF_|-0xF|+0xF|0xg|0b11|0B11|0b|0b_|0b_1|0b2|-0b11
9223372036854775807|9223372036854775808|-9223372036854775808|-9223372036854775809|0xFFFFFFFFFFFFFFFFF|0777777777777777777777777
123456789012345678901234567890|-123456789012345678901234567890|1_000_000_000_000_000_000_000
1:30|1:3|1:60|01:30|0:30|190:20:30|1:30.5|190:20:30.15|1:30.|1:30._5|-1:30|+1:30|1:30:|:30|1:|1:300|1_0:30|1:3_0|01:30.5
1.5|1.|.5|-.5|+.5|-1.5|+1.5|1.5e3|1.5e+3|1.5E-3|1.5e|1e3|1e+3|1e-4|-1e-4|.e3|-.e+3|.5e3|.5e+3|5.e+3|1e_3|1_0.5|1._5|1.5_|_1.5|1.5.2|1,5|1,000|1.2.3
.inf|.Inf|.INF|.iNF|-.inf|+.inf|inf|-inf|infinity|.nan|.NaN|.NAN|-.nan|nan|.infx|.nano
1.0e+400|-1.0e+400|1e400|1.0e-400|4.9e-324|0.1|123456789.123456789|1e16|1.0e+16|00.5|09.5|0_9.5|-0|-0.0|0.0|+0
2024-01-01|2024-1-1|2024-13-45|2024-01-01T00:00:00|2024-01-01 00:00:00Z|12:30|12:30:45|1-2|1-
=|<<|!|!!|*|&|-|?|:|--|---|...|..|.|==|<|> |,|[|]|{|}|#|@|`|%|'|"|\|'x|x'|x"y|a#b|a #b|a# b|a: b|a:b|a :b|a : b|a:|:a|?a|? a|-a|- a|%a|@a|`a|&a|*a|!a|!!a
1/255|1.0/255.0|(1)|(1,)|(1,2)|()|1 + 2|1+2j|2j|-2j|1-2|not True|True and False|lambda|f'x'|b'x'|r'x'|u'x'|'x' 'y'|"x" 'y'|'x''y'|[]|{}|[1,2]|[1, 2|{1, 2}|{1: 2}|{a: 1}|{'a': 1}|{"a": '1'}|set()|Ellipsis|__import__('os')|'''x'''|"it's"
a b|a  b|a\b|C:\dir|http://x.y/z?q=1#f|./output/|../a|/abs/path|~/x|$HOME|a,b|a, b|a]b|a}b|x=1|k=v,w|été|日本語|😀|a​b|’|“x”|­
""".strip().split("\n")

STRUCTURES = [
    # Blocks.
    "a:\n  b: 1\n  c: 2\n", "a:\n- 1\n- 2\n", "a:\n  - 1\n  - 2\nb: 3\n", "a:\n- - 1\n  - 2\n- 3\n", "- a\n- b: 1\n  c: 2\n-\n",
    "a:\nb:\n", "a: b: c\n", "a: - b\n", "a:\n  - b\n c\n", "a:\n    b: 1\n  c: 2\n", "a:\n b: 1\n c: 2\n  d: 3\n", "- a\nb: 1\n",
    "a: 1\n- b\n", "a\n", "a\nb\n", "a\nb: 1\n", "", " ", "\n\n", "# c\n", "# c\na: 1 # d\n#e\n", "a: #c\n  b: 1\n", "a: x #c\n  y\n",
    "a:\n  # c\n  b: 1\n # d\n  c: 2\n", "- # c\n  a: 1\n", "-   a: 1\n    b: 2\n", "-\n  a: 1\n-\n  - b\n", "- - - a\n", "- ? a\n",
    "? a\n: b\n", "? a\n", "? - a\n: b\n", "? [a]\n: b\n", "? a\n? b\n: c\n", "? |\n  x\n: y\n", ": a\n", "a:\n  ? b\n  : c\n",
    "? a\n: - b\n  - c\n", "?a: 1\n", "- a\n -b\n", "a : 1\n", "a  :  1\n", "'a' : 1\n", "\"a\": 1\n", "'a':1\n", "'a': 'b': 'c'\n",
    "a: 'b' c\n", "a: \"b\" # c\n", "a: 'b'#c\n", "a: [b]#c\n", "a: [b] c\n", "1: a\n\"1\": b\n", "1: a\n1.0: b\n", "1: a\nTrue: b\n",
    "true: a\n", "~: a\nnull: b\n", "~: a\n", ".5: a\n", "yes: 1\n\"yes\": 2\n", "0x10: a\n16: b\n", "a: 1\na: 2\n", "a: 1\n'a': 2\n",
    "{a: 1, a: 2}\n", "[1, 2]: 3\n", "{a: 1}: 2\n", "a: 1\n  b: 2\n", "  a: 1\n", "  a: 1\nb: 2\n", "  a: 1\n  b: 2\n", "a:\n- b: 1\n  c: 2\n",
    "a:\n- b: 1\n   c: 2\n", "a:\n-  b: 1\n   c: 2\n", "a: 1\n\n\nb: 2\n", "a:\n\n  b: 1\n\n\n  c: 2\n", "a:\n  - b:\n    - c\n", "a:\n  - b:\n      - c\n",
    # Tabs.
    "a:\tb\n", "a: \tb\n", "a: b\t\n", "a: b\tc\n", "a:\n\tb: 1\n", "\ta: 1\n", "a: [1,\t2]\n", "a: [\t1]\n", "a: b \t# c\n", "a: b\t# c\n",
    "-\ta\n", "- \ta\n", "a: 'x\ty'\n", "a: \"x\t\n  \ty\"\n", "a: |\n  x\ty\n  \tz\n", "a: |\n\tx\n", "a: x\n\ty\n", "a: x\n  \ty\n", "a:\t\n  b: 1\n",
    "a: 1\n\t\nb: 2\n", "a: 1\n \t \nb: 2\n", "?\ta\n", "a\t: 1\n", "[a\t: b]\n", "{a: 1}\t\n", "'a'\t: 1\n", "# c\t\na: 1\n", "\t# c\n", "a: &x\tb\n", "a: !!str\tb\n",
    # Several lines.
    "a: b\n  c\n", "a: b\n c\n", "a: b\nc\n", "a: b\n\n  c\n", "a: b\n\n\n  c\n  d\n", "a:\n  b\n  c\n", "a:\n  b\n c\n", "a: b\n  c: d\n", "a: b\n  - c\n",
    "a: b\n  # c\n  d\n", "- b\n  c\n", "- b\n c\n", "- b\nc\n", "a: 'b\n  c'\n", "a: 'b\nc'\n", "a: 'b\n\n  c '\n", "a: '\n  b\n  '\n", "a: \"b\n  c\"\n",
    "a: \"b\\\n  c\"\n", "a: \"b \\\n  \\ c\"\n", "a: \"b\\n\n  c\"\n", "a: \"\n\n\"\n", "a: 'b\n--- c'\n", "a: 'b\n---\n'\n", "a: \"b\n...\n\"\n", "'a\n b': 1\n", "a\n b: 1\n",
    "a: [b\n  c, d]\n", "a: [b,\nc]\n", "a: [b, # c\n  d]\n", "a: {b\n  c: d}\n", "a: [\n]\n", "a: {\n}\n", "a: [b,\n  c,\n]\n", "a: [b #c\n]\n", "a: [b\n#c\n, d]\n", "[a,\n---\n]\n",
    "a: b\n...\n", "a: b\n---\n", "---\na: b\n", "--- a\n", "--- a: b\n", "---\n", "---\n...\n", "---\n---\n", "...\n", "a: 1\n...\n...\n", "a: 1\n... # c\n", "a: 1\n... x\n", "a: 1\n...\nb: 2\n",
    "--- # c\na: 1\n", "---\ta\n", "--- |\n  a\n", "--- [a]\n", "--- - a\n", "---\n- a\n", "a: ---\n", "a: --- b\n", "a: |\n  ---\n  b\n", "a: |\n---\n", "---a: 1\n", "...a: 1\n", " ---\n", "a:\n ---\n",
    "%YAML 1.1\n---\na: 1\n", "%YAML 1.2\n---\na: 1\n", "%YAML 2.0\n---\na: 1\n", "%YAML 1.1\na: 1\n", "%YAML 1\n---\n", "%YAML 1.1\n%YAML 1.1\n---\n", "%FOO bar\n---\na: 1\n", "%\n---\n", " %a: 1\n", "a: 1\n%b: 2\n",
    "%TAG ! tag:yaml.org,2002:\n---\na: !int 5\n", "%TAG !y! tag:yaml.org,2002:\n---\na: !y!str 5\n", "%TAG !! foo:\n---\na: !!str 5\n", "%TAG !y! a\n%TAG !y! b\n---\na: 1\n",
    # Flow collections.
    "a: [1, 2, 3]\n", "a: [1, 2,]\n", "a: [,]\n", "a: [1,,2]\n", "a: []\n", "a: [ ]\n", "a: {}\n", "a: {b: 1, c: 2}\n", "a: {b: 1,}\n", "a: {,}\n", "a: {b, c}\n", "a: {b: , c: }\n", "a: {b:, c:}\n",
    "a: {b:1}\n", "a: {'b':1}\n", "a: {\"b\":1, 'c':2}\n", "a: {b :1}\n", "a: [b: 1]\n", "a: [b: 1, c: 2]\n", "a: [b:1]\n", "a: ['b':1]\n", "a: [: 1]\n", "a: {: 1}\n", "a: [? b : 1]\n", "a: {? b : 1}\n", "a: {? b}\n", "a: [?]\n", "a: [? ]\n",
    "a: [[1, 2], [3]]\n", "a: [{b: 1}, {c: [2]}]\n", "a: {b: {c: {d: 1}}}\n", "a: [a, - b]\n", "a: [- b]\n", "a: [-1, -b]\n", "a: [-]\n", "a: [a b, c  d]\n", "a: [a#b, c #d\n]\n", "a: [http://x.y/z]\n", "a: [http://x.y/z?q=1]\n",
    "a: [x?y]\n", "a: [?x]\n", "a: [x:y]\n", "a: [x: y]\n", "a: [x:]\n", "a: [::]\n", "a: [a\n", "a: {a: b\n", "a: [a]]\n", "a: {a}}\n", "a: ]\n", "a: [a}\n", "a: {a]\n", "[a]: b\n", "[\n  a\n]\n", "{a: 1}\n", "[a, b]\n",
    "a: [|\n b]\n", "a: [>x]\n", "a: [*x]\n", "a: ['b' 'c']\n", "a: ['b'c]\n", "a: [\"b\", 'c']\n", "a: [b, 'c\n  d']\n", "a: {b: [1,\n    2]}\n", "a: [1\n,2\n]\n", "a: {b: 1\n  , c: 2}\n", "{\n  'a': 1,\n  'b': 2\n}\n",
    "a: [\"1e-4\", 1e-4, '5', None]\n", "a: [b: \"1e-4\"]\n", "a: {b: \"1e-4\", c: '5'}\n", "a:\n  - b: \"5\"\n", "a: {b: [{c: '5'}]}\n", "a: ((1)\n", "a: [%x]\n", "a: [@x]\n", "a: [`x]\n", "a: [!x]\n", "a: [&x]\n", "a: [&x 1, *x]\n",
    # Block scalars.
    *["a: %s%s\n%s" % (style, head, body) for style in "|>" for head, body in [
        ("", "  x\n"), ("", "  x"), ("", "  x\n\n\n"), ("-", "  x\n\n\n"), ("+", "  x\n\n\n"), ("+", "  x"), ("-", "  x"), ("", ""), ("+", "\n\n"), ("", "\n\n"),
        ("", "  x\n  y\n"), ("", "  x\n\n  y\n"), ("", "  x\n\n\n  y\n"), ("", "  x\n   y\n  z\n"), ("", "  x\n\n   y\n\n  z\n"), ("", "   x\n  y\n"), ("2", "    x\n   y\n"),
        ("1", "  x\n"), ("2-", "   x\n\n"), ("-2", "   x\n\n"), ("+1", " x\n\n"), ("9", "  x\n"), ("0", "  x\n"), ("10", "  x\n"), ("x", "  x\n"), (" # c", "  x\n"), ("#c", "  x\n"), (" x", "  x\n"),
        ("", "x\n"), ("", " x\n"), ("", "\n  x\n"), ("", "    \n  x\n"), ("", " \n\n  x\n"), ("", "  x\n# c\n"), ("", "  x\n  # c\n"), ("", "  x\n # c\nb: 1\n"), ("", "  x\nb: 1\n"), ("", "  \tx\n  y\n"), ("", "  x\n\ty\n"), ("-", "  - x\n  - y\n"), ("", "  x: y\n")]],
    "- |\n x\n- >\n y\n", "- |\n  x\n-  |\n   y\n", "|\n  x\n", ">\n x\n y\n", "a: |\n  x\n\n\nb: 1\n", "a: |+\n  x\n\n\nb: 1\n", "a:\n  b: |\n    x\n   y\n", "a:\n  b: |2\n      x\n", "a:\n  - |1\n     x\n", "a: >\n  x\n  \n  y\n", "a: |\n  x\r\n  y\r\n", "a: >-\n  1e-4\n", "a: |\n  5\n",
    # Anchors, aliases, merges.
    "a: &x 1\nb: *x\n", "a: &x [1, 2]\nb: *x\n", "a: &x {c: 1}\nb: *x\n", "a: &x\n  c: 1\nb: *x\n", "a: &x\nb: *x\n", "&x a: 1\nb: *x\n", "a: 1\n&x b: 2\nc: *x\n", "*x : 1\n", "a: &x b\n*x : c\n", "a: *x\n", "a: &x 1\nb: &x 2\nc: *x\n", "a: &x [*x]\n",
    "a: &x\n  b: *x\n", "a:\n  - &x p: 1\n    q: 2\n", "a:\n  - &x\n    p: 1\n", "a: &x &y 1\n", "a: &x *x\n", "a: &\n", "a: *\n", "a: &x,y 1\n", "a: &x-1_ 1\nb: *x-1_\n", "a: &é 1\n", "a: [&x 1, *x , *x]\n", "a: {&x b: *x}\n", "a: &x: 1\n", "a: &x\n  1\n", "- &a a\n- *a\n", "&x\na: 1\n", "&x a\n", "&x - a\n", "--- &x\na: 1\n",
    "b: &b {x: 1, y: 2}\nd:\n  <<: *b\n  y: 3\n", "b: &b {x: 1, y: 2}\nd:\n  y: 3\n  <<: *b\n", "b1: &b1 {x: 1, y: 2}\nb2: &b2 {x: 9, z: 3}\nd:\n  <<: *b1\n  <<: *b2\n", "b1: &b1 {name: 1, y: 2}\nb2: &b2 {name: 9, z: 3}\nd:\n  <<: [*b1, *b2]\n", "d:\n  <<: {a: 1}\n  b: 2\n", "d:\n  <<: [{a: 1}, {a: 2, b: 3}]\n",
    "d:\n  <<: 1\n", "d:\n  <<: [1]\n", "d:\n  <<:\n", "d:\n  <<: [[{a: 1}]]\n", "d:\n  '<<': {a: 1}\n", "d: {<<: {a: '5'}}\n", "d:\n  - <<: {a: '5'}\n", "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\n", "a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b}\nd: {<<: *b}\n", "<<: {a: 1}\nb: 2\n", "? <<\n: {a: 1}\n", "!!str <<: {a: 1}\n",
    # Tags.
    'a: [!!int "5", !!float 5, !!bool "yes", !!null ""]\n', 'a: !!bool "yes"\nb: ! yes\n', "a: !!str 5\nl: [!!str 5, !!str]\n", "a: !!int 5x\n", "a: !!int\n", "a: !!int 0x1F\nl: [!!int '0b11', !!int '1:30', !!int '017', !!int 1_0]\n", "a: !!float 1e3\nl: [!!float '1:30', !!float inf, !!float .inf, !!float x]\n", "l: [!!float '1:30', !!float inf, !!float .inf, !!float 1_0, !!float -nan]\n", "a: !!bool maybe\n", "a: !!bool TrUe\n", "a: !!null x\n",
    "a: !!seq [1]\n", "a: !!map {b: 1}\n", "a: !!seq {b: 1}\n", "a: !!map [1]\n", "a: !!str [1]\n", "a: !!set {b, c}\n", "a: !!omap [b: 1]\n", "a: !!pairs [b: 1]\n", "a: !!binary aGk=\n", "a: !!timestamp 2024-01-01\n", "a: !foo 1\n", "a: !foo [1]\n", "a: !!foo 1\n", "a: !!python/tuple [1]\n", "a: !<tag:yaml.org,2002:int> '5'\n", "a: !<tag:yaml.org,2002:str 5\n", "a: !x!y 5\n", "a: !!\n",
    "a: ! 5\nl: [! 5, ! '5', ! x, ! [1]]\n", "a: !\n", "a: !!str\nb: 1\n", "a: !!str\n  b\n", "a: !!str &x 5\nb: *x\n", "a: &x !!str 5\nb: *x\n", "!!map\na: 1\n", "!!str a: 1\n", "!!int '1': a\n", "a: !!str !!int 5\n", "a: !!s%74r 5\n", "a: !!str, 5\n", "a: [!!str, b]\n", "a: [!!str , b]\n", "a: !!str |\n  5\n", "a: !!int |\n  5\n", "a: !!merge x\n", "a: !!value x\n",
    # Escapes.
    'a: "\\0\\a\\b\\t\\n\\v\\f\\r\\e\\ \\"\\/\\\\\\N\\_\\L\\P"\n', 'a: "\\x41\\u00e9\\U0001F600"\n', 'a: "\\x4"\n', 'a: "\\u12"\n', 'a: "\\ud800"\n', 'a: "\\ud83d\\ude00"\n', 'a: "\\U00110000"\n', 'a: "\\q"\n', "a: '\\n'\n", "a: 'it''s'\n", "a: ''''\n", "a: ''\n", 'a: ""\n', 'a: "\'"\n', "a: '\"'\n", 'a: "a\\\tb"\n', "a: 'a\n", 'a: "a\n', 'a: "a\\"\n', "a: '",
    "a: \"'a\\\\x41b'\"\nb: \"'\\\\u00e9'\"\n", "a: \"'\\\\101\\\\0\\\\777\\\\8'\"\n", "a: \"'\\\\q\\\\\\\\'\"\n", "a: \"'\\\\x4'\"\n", "a: \"'\\\\ud800'\"\n", "a: \"'x\\\\\\ny'\"\n", "a: \"'x\\ny'\"\n", "a: \"'''x\\ny'''\"\n", "a: \"r'\\\\n'\"\n", "a: \"'a' r'\\\\b'\"\n", "a: \"b'a'\"\n", "a: \"'a' 'b'\"\n", "a: \"('a'\\n'b')\"\n", "a: \"[1, # c\\n 2]\"\n", "a: \"1 # c\"\n", "a: \" 1\"\n", "a: \"1 \"\n", "a: \"\\t1\"\n", "a: \"\\n1\"\n", "a: \"\\n 1\"\n", "a: \"1\\n\"\n", "a: \"1\\n2\"\n", "a: \"1\\n \"\n", "a: \"1\\n \\n\"\n", "a: \"1\\n # c\"\n", "a: >-\n  1e-4\n\n    ", "a: \"1\\0\"\n", "a: \"1 \\\\\\n\"\n", "a: \"# c\\n1\"\n", "a: \"(1\\n)\"\n", "a: \"1,\"\n", "a: \",1\"\n", "a: \"1,2,\"\n", "a: \"1,,2\"\n", "a: \"-(1)\"\n", "a: \"-(-1)\"\n", "a: \"-True\"\n", "a: \"- - 1\"\n", "a: \"[--1]\"\n", "a: \"{1: 2, 'a': [3], None: True, 1.5: {}}\"\n", "a: \"{(1,): 2}\"\n", "a: \"{1: 2, True: 3}\"\n", "a: \"{'a': 1, 'a': 2}\"\n", "a: \"[*a]\"\n", "a: \"{**a}\"\n", "a: \"'\"\n", "a: \"'''\"\n", "a: \"''''''\"\n", "a: \"1if 1 else 2\"\n", "a: \"0xfor\"\n", "a: \"[1 2]\"\n", "a: \"[1,2,]\"\n", "a: \"(,)\"\n", "a: \"...\"\n", "a: \"{}\"\n", "a: \"{1}\"\n", "a: \"٣\"\n",
    # Characters.
    "\ufeffa: 1\n", "a: \ufeffb\n", "a: x\u0085  y\n", "a: x\u2028  y\n", "a: x\u2029\n", "a: \"x\u2028  y\"\n", "a: |\n  x\u2028  y\n  z\n", "a: >\n  x\u0085  y\n", "a: \u00a0b\n", "a: b\u00a0\n", "\u00e9: \u65e5\u672c\n", "a: \U0001f600\n", "a: \u200b\n", "a: x\x00y\n", "a: x\x01y\n", "a: x\x7fy\n", "a: x\x80y\n", "a: x\ufffey\n", "a: \"\x1b\"\n",
    "a: 1\r\nb: 2\r\n", "a: 1\rb: 2\r", "a:\r\n  - x\r\n  - y\r\n", "a: 'x\r\n  y'\r\n", "a: |\r\n  x\r\n  y\r\n", "a: x\r\n\r\n  y\r\n",
    # Long keys.
    "x" * 1023 + ": 1\n", "x" * 1024 + ": 1\n", "x" * 1025 + ": 1\n", "? " + "x" * 2000 + "\n: 1\n", "{" + "x" * 1100 + ": 1}\n", "'" + "x" * 1022 + "': 1\n", "'" + "x" * 1023 + "': 1\n",
]


def cases():
    for line in SCALARS:
        for scalar in line.split("|"):
            # Under a mapping, where literals count; in a list; in a flow list; as a key; in quotes.
            yield "a: %s\n" % scalar
            yield "- %s\n" % scalar
            yield "[%s]\n" % scalar
            yield "%s: 1\n" % scalar
            yield "a: '%s'\n" % scalar.replace("'", "''")
    yield from STRUCTURES


def texts():
    """Texts that a writer must keep as they are: names of classes, paths, hostile ones."""
    result = [scalar for line in SCALARS for scalar in line.split("|")]
    result += ["", " ", "a ", " a", "a\n", "\na", "a\n\nb", "\t", "a\tb", "\r\n", "\\n", "a: b", "a #b", "- a", "'a'", '"a"', "it's", '"it\'s"', "\0", "\x1b[31m", "\x7f", "\x85", "\xa0", "\u2028", "\u2029", "\u200e", "\ufeff", "\ufffe", "\U0010fffe", "\U0001f600", "x" * 3000, "'x' " * 500, "C:\\new\\table", "{{a}}", "[a", "light green, lime", "12e03", "1e5", "0o17", "2024-01-01", "2024-1-1", "20240101", "yes", "y", "null", "0x10", "1_000", "12:30", "3.0", "1.", "+1", "!x", "&x", "*x", "%x", "@x", "`x", "a:", ":a", "?", "? a", "---", "--- a", "...", "# a"]
    return list(dict.fromkeys(result))


PIECES = [
    "a", "b", "c", "a: ", "b: ", "- ", "-", "? ", ": ", ":", ",", ", ", "[", "]", "{", "}", "\n", "\n", "\n  ", "\n    ", "\n ", " ", "  ", "\t", "#", " # c", "'", '"', "''", "\\", "\\n", "\\x41",
    "|", ">", "|-", "|+", ">-", ">2", "|\n", "&x ", "*x", "&y ", "*y", "!!str ", "!!int ", "! ", "!", "<<: ", "<<", "---", "...", "---\n", "%YAML 1.1\n", "1", "0x1F", "1e-4", "1.5", "010", "1:30", "yes", "~", "null", "True", "None", "5'", "é", "\u2028", "\u0085", "\r\n", "@", "`", "%", "=", "a b", "x:y", "'5'", '"1e-4"', "[1, 2]", "{k: v}", "(1, 2)", "\n- ", "\na: ", "\nb:\n  - ",
]


def drawn(count, seed):
    """Random texts: pieces one after the other, and small damage to whole documents."""
    dice = random.Random(seed)
    for _ in range(count):
        if dice.random() < 0.5:
            yield "".join(dice.choice(PIECES) for _ in range(dice.randint(1, 12)))
            continue
        source = list(dice.choice(STRUCTURES))
        for _ in range(dice.randint(1, 3)):
            place = dice.randint(0, len(source))
            if dice.random() < 0.4 and place < len(source):
                del source[place]
            else:
                source[place:place] = dice.choice(PIECES)
        yield "".join(source)


def write(sources, path):
    seen = set()
    with open(path, "w", encoding="utf-8") as file:
        for source in sources:
            if source in seen or len(source) > 3000:
                continue
            seen.add(source)
            json.dump({"yaml": source, "value": meaning(source)}, file)
            file.write("\n")
    print(len(seen), "cases in", path)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["--random"]:
        write(drawn(int(sys.argv[2]), int(sys.argv[3])), sys.argv[4])
    else:
        write([*cases(), *drawn(400, 1)], "cases.jsonl")
        with open("texts.json", "w", encoding="utf-8") as file:
            json.dump(texts(), file, indent=0)
