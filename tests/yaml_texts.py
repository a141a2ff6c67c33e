"""YAML texts of all sorts for property tests: block and flow, quoted, anchored, with odd scalars, and torn apart."""

from hypothesis import strategies as st

_WORDS = r"""
0o17 0O17 0x1F 0X1f -0x1F +0o7 0b11 1e3 1E+3 1.e3 .5 -.5 +.5 .5e3 5. 1_000 1__0 0x1_F _1 1_ .1_0 1. 0. . .. + - -- +1 -1 00 012 08 -0 0.0
-0.0 1e400 -1e400 9223372036854775807 9223372036854775808 -9223372036854775808 99999999999999999999999 .inf -.inf +.INF .nan .NaN ~ null
Null NULL nULL true True TRUE tRUE false on off yes no y n = << < 12:30 190:20:30 2027-01-31 2026-11-26T00:00:00Z 1,000 a-b a.b a/b a:b a#b
http://x:80/y ${labels.x} $${x} 'it''s' '' "" "a\tb" "\x41" "\u00e9" "\ud83d\ude00" "\/" '#' !!str !x ! !!int *a *b &a &b ** && != *.txt a&b
a*b % %x @ ` | > ? : , [ ] { } [] {} é 😀 \ \u00e9 \ud800 0.1.2 1e 1e+ e5 0x 0o 0o8
"""
ODD_SCALARS = ("", *_WORDS.split())
scalars = st.one_of(
    st.sampled_from(ODD_SCALARS),
    st.from_regex(r"[-+]?[0-9._]{1,4}([eExob_][-+]?[0-9a-f_]{0,3})?", fullmatch=True),
    st.text("abz019 _-.:#'\"\\,&*!%@`|>?={}[]~$\t", max_size=8),
)
keys = st.one_of(
    st.sampled_from(["a", "b", "c", "spec", "'q'", '"d"', "a b", "1", "true", "~", "<<", "? a", "&a k", "*a", "", "[x]", "- a"]), scalars
)
line_ends = st.sampled_from(["\n", "\r\n"])


@st.composite
def flows(draw: st.DrawFn, depth: int = 0) -> str:
    kind = draw(st.integers(0, 3 if depth < 3 else 1))
    if kind < 2:
        return draw(scalars)
    items = draw(st.lists(flows(depth + 1), max_size=3))
    separator = draw(st.sampled_from([", ", ",", " , ", ",\n   ", ", # c\n   "]))
    if kind == 2:
        return f"[{separator.join(items)}{draw(st.sampled_from(['', ',', ' ']))}]"
    colon = draw(st.sampled_from([": ", ":", " : "]))
    return f"{{{separator.join(draw(keys) + colon + item for item in items)}}}"


@st.composite
def block_scalars(draw: st.DrawFn, indent: int) -> str:
    header = draw(st.sampled_from(["|", ">", "|-", ">-", "|+", ">+", "|2", ">1", "|2-", "|#", "|x"])) + draw(
        st.sampled_from(["", " ", " # c"])
    )
    lines = draw(
        st.lists(st.one_of(st.just(""), scalars, st.just("  deeper"), st.just(" "), st.just("---"), st.just("# no comment")), max_size=4)
    )
    extra = draw(st.integers(0, 3))
    return header + "".join("\n" + (" " * (indent + extra) + line if line else "") for line in lines)


@st.composite
def blocks(draw: st.DrawFn, indent: int = 0, depth: int = 0) -> str:
    """A mapping or list in block style, without a line end; indented as YAML wants it, mostly."""
    pad = " " * indent
    rows = []
    listed = draw(st.booleans())
    for _ in range(draw(st.integers(1, 3))):
        head = "-" if listed else draw(keys) + draw(st.sampled_from([":", ":", ":", " :"]))
        kind = draw(st.integers(0, 5 if depth < 3 else 3))
        tail = draw(st.sampled_from(["", "", "", " # c", " ", "\t"]))
        anchor = draw(st.sampled_from(["", "", "", "&a ", "&b ", "!t "]))
        if kind == 0:
            rows.append(f"{pad}{head}{tail}")
        elif kind <= 2:
            rows.append(f"{pad}{head} {anchor}{draw(st.one_of(scalars, flows()))}{tail}")
        elif kind == 3:
            rows.append(f"{pad}{head} {anchor}{draw(block_scalars(indent + draw(st.integers(0, 2))))}")
        elif kind == 4:
            inner = draw(blocks(indent + draw(st.integers(0, 3)), depth + 1))
            rows.append(f"{pad}{head} {anchor}{tail}\n{inner}")
        else:
            rows.append(f"{pad}{head} {draw(blocks(indent + 2, depth + 1)).lstrip(' ')}")
        rows.extend(draw(st.lists(st.sampled_from(["", "# c", pad + "# c", "  ", pad + "  more"]), max_size=1)))
    return "\n".join(rows)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A file: some documents, some of them torn, with either line end."""
    documents = draw(st.lists(st.one_of(blocks(), blocks(), flows(), scalars, st.just(""), st.just("# c")), min_size=1, max_size=3))
    marks = draw(
        st.lists(
            st.sampled_from(["\n---\n", "\n---\n", "\n--- \n", "\n--- # c\n", "\n...\n", "\n--- ", "\n---x\n"]), min_size=2, max_size=2
        )
    )
    text = draw(st.sampled_from(["", "", "---\n", "# c\n", "# c\n---\n", "--- ", "\n", " ", "%YAML 1.1\n---\n", "...\n"]))
    for document, mark in zip(documents, [*marks, ""], strict=False):
        text += document + mark
    text += draw(st.sampled_from(["", "\n", "\n\n", " ", "\n# c", "\n---\n", "\n..."]))
    if draw(st.integers(0, 5)) == 0 and text:
        place = draw(st.integers(0, len(text) - 1))
        text = text[:place] + draw(st.sampled_from(["", " ", "\n", "'", '"', ":", "\t", "\r"])) + text[place + draw(st.integers(0, 2)) :]
    return text.replace("\n", draw(line_ends))
