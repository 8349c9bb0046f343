"""A hostile template is an error of its own type, within a second and 100 MB."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from llmpy.chat.sandbox import Program
from llmpy.errors import TemplateError

GROWING = "{% set ns = namespace(x='0123456789' * 10) %}{% for i in range(60) %}BODY{% endfor %}"
# Shared pairs that would be 2 ** 60 long when written, and a text of 2 ** 20 characters.
PAIRS = (
    "{% set ns = namespace(x=(1,), y=(1,)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}"
    "{% set ns.y = (ns.y, ns.y) %}{% endfor %}"
    "{% set a = namespace(k=ns.x) %}{% set b = namespace(k=ns.y) %}"
)
LONG = "{% set ns = namespace(s='aaaa') %}{% for i in range(18) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"
HOSTILE = {
    "endless loop": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "loops over one list": "{% set l = range(9999) | list %}{% for a in l %}{% for b in l %}"
    "{% for c in l %}{% endfor %}{% endfor %}{% endfor %}",
    "long range": "{{ range(10 ** 12) | list }}",
    "macro calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "recursive loop": "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "wide recursive loop": "{% set l = range(90000) | list %}{% for x in l recursive %}"
    "{% if x == 1 %}{{ loop(l) }}{% endif %}{% endfor %}",
    "doubling by ~": GROWING.replace("BODY", "{% set ns.x = ns.x ~ ns.x %}"),
    "doubling by +": GROWING.replace("BODY", "{% set ns.x = ns.x + ns.x %}"),
    "doubling by *": GROWING.replace("BODY", "{% set ns.x = ns.x * 2 %}"),
    "doubling by %": GROWING.replace("BODY", "{% set ns.x = '%s%s' % (ns.x, ns.x) %}"),
    "doubling by format": GROWING.replace("BODY", "{% set ns.x = '{0}{0}'.format(ns.x) %}"),
    "doubling by filter format": GROWING.replace(
        "BODY", "{% set ns.x = '%s%s'|format(ns.x,ns.x) %}"
    ),
    "doubling by join": GROWING.replace("BODY", "{% set ns.x = [ns.x, ns.x] | join %}"),
    "doubling by str.join": GROWING.replace("BODY", "{% set ns.x = ns.x.join(['a', 'b', 'c']) %}"),
    "doubling by replace": GROWING.replace("BODY", "{% set ns.x = ns.x.replace('0', '00') %}"),
    "doubling by filter replace": GROWING.replace(
        "BODY", "{% set ns.x = ns.x|replace('0', ns.x) %}"
    ),
    "doubling by block": GROWING.replace(
        "BODY", "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"
    ),
    "doubling by macro": "{% macro f(x) %}{{ x }}{{ x }}{% endmacro %}"
    + GROWING.replace("BODY", "{% set ns.x = f(ns.x) %}"),
    "doubling by tojson": GROWING.replace("BODY", "{% set ns.x = [ns.x, ns.x] | tojson %}"),
    "doubling by string": GROWING.replace("BODY", "{% set ns.x = [ns.x, ns.x] | string %}"),
    "doubling lists": GROWING.replace("BODY", "{% set ns.x = (ns.x | list) + (ns.x | list) %}"),
    "many slices": "{% set x = 'x' * 999999 %}{% set ns = namespace(l=[]) %}"
    "{% for i in range(9999) %}{% set ns.l = ns.l + [x[i:]] %}{% endfor %}",
    "shared lists written": GROWING.replace("BODY", "{% set ns.x = [ns.x, ns.x] %}") + "{{ ns.x }}",
    "shared lists as JSON": GROWING.replace("BODY", "{% set ns.x = [ns.x, ns.x] %}")
    + "{{ ns.x | tojson }}",
    "shared lists compared": GROWING.replace("BODY", "{% set ns.x = [ns.x, ns.x] %}")
    + GROWING.replace("BODY", "{% set ns.y = [ns.y, ns.y] %}")
    .replace("x=", "y=")
    .replace("set ns = namespace(", "set ns.y = (")
    .replace("(y='0123456789' * 10)", "'0123456789' * 10")
    + "{{ ns.x == ns.y }}",
    "shared tuples hashed": GROWING.replace("BODY", "{% set ns.x = (ns.x, ns.x) %}")
    + "{{ {ns.x: 1} }}",
    "shared tuples as a key": GROWING.replace("BODY", "{% set ns.x = (ns.x, ns.x) %}")
    + "{{ {'a': 1}[ns.x] }}",
    "shared tuples unique": GROWING.replace("BODY", "{% set ns.x = (ns.x, ns.x) %}")
    + "{{ [ns.x] | unique | list }}",
    "shared tuples in": GROWING.replace("BODY", "{% set ns.x = (ns.x, ns.x) %}")
    + "{{ ns.x in {'a': 1} }}",
    "big number": "{% set ns = namespace(x=9) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}"
    "{% endfor %}{{ ns.x }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "constant power": "{{ 2 ** 1000000000 }}",
    "constant product": "{{ 'x' * 10000000000 }}",
    "wide format": "{{ '%1000000000d' % 1 }}",
    "wide str.format": "{{ '{:1000000000}'.format(1) }}",
    "wide float": "{{ '%.999999999f' % 1.5 }}",
    "wide indent": "{{ 'a\nb' | indent(1000000000) }}",
    "wide center": "{{ 'x'.center(10000000000) }}",
    "wide zfill": "{{ 'x'.zfill(10000000000) }}",
    "wide JSON": "{{ [[[[1]]]] | tojson(indent=100000000) }}",
    "output": "{% set x = 'x' * 900000 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
    "output in small parts": "{% for i in range(99999) %}{{ 'abcde' * 9 }}{% endfor %}",
    "deep parentheses": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
    "deep not": "{{ " + "not " * 40_000 + "1 }}",
    "deep attributes": "{{ a" + ".b" * 50_000 + " }}",
    "deep sum": "{{ 1" + " + 1" * 40_000 + " }}",
    "deep ifs": "{% if 1 %}" * 5_000 + "{% endif %}" * 5_000,
    "deep loops": "{% for a in x %}" * 50 + "{% endfor %}" * 50,
    "too long": "x" * 1_000_000,
    "raises": "{{ raise_exception('not for you') }}",
    "unfinished": "{% if",
    "unknown filter": "{{ 1 | nothing }}",
    "unknown tag": "{% nothing %}",
    "division": "{{ 1 // 0 }}",
    "python's own": "{{ ''.__class__.__mro__ }}",
    "python's own by attr": "{{ '' | attr('__class__') }}",
    "python's own by namespace": "{{ namespace(__class__=1) }}",
    "include": "{% include 'x' %}",
    "import": "{% import 'x' as y %}",
    "changes a list": "{{ messages.append(1) }}",
    "undefined called": "{{ nothing() }}",
    "method of a number": "{{ (3).to_bytes(1000000000, 'big') | length }}",
    "width in a field": "{{ '{:{}}'.format('a', 1000000000) }}",
    "precision in a field": "{{ '{:.{n}f}'.format(1.5, n=100000000) }}",
    "keyword of a format": LONG + "{{ ('{a}' * 1000).format(a=ns.s) | length }}",
    "shared tuples as a keyword": PAIRS + "{{ '{a}'.format(a=ns.x) }}",
    "part of a formatted value": PAIRS + "{{ '{0.x}'.format(ns) }}",
    "namespace written": PAIRS + "{{ ns }}",
    "namespace joined": PAIRS + "{{ (ns ~ '') | length }}",
    "namespace formatted": PAIRS + "{{ '%s' % ns }}",
    "namespace as a message": PAIRS + "{{ raise_exception(ns) }}",
    "shared tuples as a message": PAIRS + "{{ raise_exception(ns.x) }}",
    "namespaces sorted": PAIRS + "{{ [a, b] | sort(attribute='k') }}",
    "namespaces grouped": PAIRS + "{{ [a, b] | groupby('k') | list }}",
    "namespaces by default": PAIRS + "{{ [c, d] | map('default', a) | max(attribute='k') }}",
    "shared tuples changed": PAIRS
    + "{% for i in range(2) %}{{ loop.changed(ns.x if i else ns.y) }}{% endfor %}",
    "iterators of iterators": "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}"
    "{% set ns.x = ns.x | map('string') %}{% endfor %}{{ ns.x | list }}{{ 1 // 0 }}",
    "long path": "{{ range(900) | list | sort(attribute='real.' * 100000 ~ 'real') | length }}",
    "search backwards": LONG + "{{ ns.s.rfind('ab' ~ ns.s[:500000]) }}",
    "split backwards": LONG + "{{ ns.s.rsplit(sep='ab' ~ ns.s[:500000]) | length }}",
    "strip many": LONG + "{{ ns.s.strip(ns.s.replace('a', 'b') ~ 'a') | length }}",
    "trim many": LONG + "{{ ns.s | trim(ns.s.replace('a', 'b') ~ 'a') | length }}",
    "round up": "{{ 5 | round(99999999, 'ceil') }}",
    "round to the left": "{{ 5 | round(-99999999) }}",
    "deep JSON": "{% set ns = namespace(x=1) %}{% for i in range(60) %}{% set ns.x = [ns.x] %}"
    "{% endfor %}{{ ([ns.x] * 1000) | tojson(indent=64) | length }}",
    "separators of JSON": "{{ range(900) | list | tojson(separators=('x' * 100000, ':')) }}",
    "wide tabs": "{{ '\t'.expandtabs(tabsize=1000000000) }}",
    "wide batch": "{{ [1] | batch(1000000000, 'x') | list }}",
    "long message": LONG + "{{ raise_exception(ns.s) }}",
    "long name": LONG + "{{ {}[ns.s].x }}",
    "long unknown filter": "{{ 1 | " + "x" * 10000 + " }}",
    "lone surrogate": "{{ '\ud800' }}",
    "many outputs": "{{a}}" * 40_000,
    "many lists": "{{[" + "[]," * 65_000 + "]}}",
    "many arguments": "{{ a(" + "b," * 90_000 + ") }}",
    "clock": "{{ strftime_now('%Y' * 100000) }}",
}


@pytest.mark.parametrize(
    "source",
    [
        "{{ [''] | map(attribute='__class__') | list }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ raise_exception.__globals__ }}",
        "{{ messages['__class__'] }}",
        "{{ range.__self__ }}{{ dict.mro }}{{ namespace.__init__ }}{{ joiner.__module__ }}",
        "{{ self.__init__ }}{{ loop }}{{ caller }}",
    ],
)
def test_a_template_sees_nothing_of_python(source: str) -> None:
    try:
        text = Program(source).render({"messages": []})
    except TemplateError:
        return
    assert not set("<>") & set(text)
    assert "class" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_in_time(name: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(TemplateError) as refused:
        Program(HOSTILE[name]).render({"messages": [{"role": "user", "content": "Hello"}]})
    assert time.perf_counter() - begin < 10  # a second on a machine with nothing else to do
    assert len(str(refused.value)) < 1000


def test_hostile_templates_take_little_memory_and_time() -> None:
    """In a process of its own: below 100 MB more, and each within a second of its own time."""
    code = (
        "import json, sys, time\n"
        "from llmpy.chat.sandbox import Program\n"
        "from llmpy.errors import TemplateError\n"
        "import resource\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "Program('x').render({})\n"
        "before, slowest = peak(), (0, '')\n"
        "for name, source in json.load(sys.stdin).items():\n"
        "    begin = time.process_time()\n"
        "    try: Program(source).render({'messages': []})\n"
        "    except TemplateError: pass\n"
        "    slowest = max(slowest, (time.process_time() - begin, name))\n"
        "print(json.dumps([peak() - before, *slowest]))\n"
    )
    pytest.importorskip("resource", reason="this system does not tell how much memory was used")
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(HOSTILE), capture_output=True, text=True, check=True,
    )  # fmt: skip
    megabytes, seconds, name = json.loads(done.stdout)
    assert megabytes < 100
    assert seconds < 2, name


def test_a_long_conversation_is_no_attack() -> None:
    source = (
        "{% set ns = namespace(text='') %}{% for m in messages %}"
        "{% set rest = messages[loop.index:] %}"
        "{% set ns.text = ns.text ~ m.role ~ m.content | trim ~ rest | length %}{% endfor %}"
        "{{ ns.text | length }}"
    )
    messages = [{"role": "user", "content": f"{i} " + "word " * 40} for i in range(1000)]
    assert int(Program(source).render({"messages": messages})) > 200_000


def test_a_text_of_megabytes_is_no_attack() -> None:
    source = "{% for m in messages %}{{ '<' ~ m.content.strip() + '>' }}{% endfor %}"
    text = "word " * 1_000_000
    assert len(Program(source).render({"messages": [{"content": text}]})) == 5_000_001


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for i in range(3) %}{{ loop.index }}{{ ',' if not loop.last }}{% endfor %}", "1,2,3"),
        ("{% set a, b = 1, 2 %}{{ a + b }}{{ 7 // 2 }}{{ 7 % 4 }}{{ 2 ** 3 }}{{ 1 - 2 }}", "3338-1"),
        ("{{ [1, 2] + [3] }}{{ 'a' ~ 1 ~ none }}{{ 'ab' * 2 }}", "[1, 2, 3]a1Noneabab"),
        ("{{ '%s-%03d' % ('a', 7) }}{{ '{}/{:>4}'.format(1, 2) }}", "a-0071/   2"),
        ("{% macro m(x, y='z') %}{{ x }}{{ y }}{% endmacro %}{{ m(1) }}{{ m(1, y=2) }}", "1z12"),
        ("{% call(x) f() %}[{{ x }}]{% endcall %}", ""),
        ("{% for a, b in {'x': 1}.items() %}{{ a }}{{ b }}{% else %}none{% endfor %}", "x1"),
        ("{% for x in [] %}{% else %}none{% endfor %}", "none"),
        ("{% for x in range(9) if x is odd %}{% if x > 5 %}{% break %}{% endif %}{{ x }}{% endfor %}",
         "135"),
        ("{% generation %}a{% set y = 1 %}{% endgeneration %}{{ y is defined }}", "aFalse"),
        ("{{ {'b': 1, 'a': [true, none]} | tojson }}", '{"b": 1, "a": [true, null]}'),
        ("{{ {'b': 1, 'a': 'ü<'} | tojson(indent=1, sort_keys=true) }}",
         '{\n "a": "ü<",\n "b": 1\n}'),
        ("{{ ('{\"a\": [1]}' | from_json).a[0] + 1 }}", "2"),
        ("{{ [3, 1, 2] | sort | join('-') }}{{ [1, 1, 2] | unique | list }}", "1-2-3[1, 2]"),
        ("{{ [{'r': 'a'}, {'r': 'b'}] | selectattr('r', 'equalto', 'b') | list | length }}", "1"),
        ("{{ x is defined }}{{ x | default('d') }}{{ [1, 2][-1:] }}{{ 'abc'[::-1] }}", "Falsed[2]cba"),
        ("{{ [1, 2] | sum }}{{ [[1], [2]] | sum(start=[]) }}{{ [{'a': 1}] | sum(attribute='a') }}",
         "3[1, 2]1"),
        ("{{ '7'.zfill(3) }}{{ 'a'.ljust(2) }}{{ 'a'.center(3) }}|{{ [1, 2, 3] | batch(2) | list }}",
         "007a  a |[[1, 2], [3]]"),
        ("{{ dict([('a', 1)]) }}{{ dict({'a': 1}.items(), b=2) }}{{ dict.fromkeys(['c']) }}",
         "{'a': 1}{'a': 1, 'b': 2}{'c': None}"),
        ("{{ {'a': 1}.items() }}{{ {'a': 1}.keys() }}", "dict_items([('a', 1)])dict_keys(['a'])"),
        ("{% set x = [1, 2] | select %}{{ x | first }}{{ x | list }}{{ 'y' if [] | select }}", "1[2]y"),
        ("{{ '{:.2f} {a:,}'.format(1.234, a=1000) }}{{ [1] | tojson(indent='\t') }}",
         "1.23 1,000[\n\t1\n]"),
        ("a\n{% if true %}\n  b\n{% endif %}\n  {%- if 1 %} c{% endif %}\n", "a\n  b\n c"),
    ],
)  # fmt: skip
def test_harmless_templates_work_as_in_jinja2(source: str, text: str) -> None:
    if "call(x)" in source:
        source = "{% macro f() %}{{ caller(1) }}{% endmacro %}" + source
        text = "[1]"
    assert Program(source).render({}) == text
