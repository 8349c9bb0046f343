"""Layouts of tool calls in families of models, recognized by their chat templates.

In the texts of a layout, `NL` stands for a line break that may be missing, `ID` for the id of a
call that the model chooses, `NUMBER` for one that it counts, `KIND` for what an argument is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["GENERIC", "ID", "KIND", "LAYOUTS", "NL", "NUMBER", "Layout", "layout_of"]

NL, ID, NUMBER, KIND = "\x00", "\x01", "\x02", "\x03"


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of calls: `open`, calls with `between` between them, `close`.

    A call is its name within `before` and `after`, its arguments, and `end`. `arguments`: "json",
    an object; "text", each one as `parameter` says (before its name, after it, after its value), a
    string as it stands and anything else as JSON; "python", those of a call in Python; "gemma",
    JSON with bare names and with strings between tokens. `signs` are
    texts that all stand in a template of the family. `first`: calls come only where the answer
    begins. `single`: one call in an answer.
    """

    name: str
    signs: tuple[str, ...]
    before: str
    after: str
    end: str
    open: str = ""
    between: str = ""
    close: str = ""
    arguments: Literal["json", "text", "python", "gemma"] = "json"
    parameter: tuple[str, str, str] = ("", "", "")
    is_string: tuple[str, str] | None = None  # words for KIND; None: the type of JSON
    first: bool = False
    single: bool = False
    also: str = ""  # a control token that may come before
    primed: str = ""  # what the prompt of an answer ends with, as a part of the first call
    plain: str = ""  # the name under which text comes
    channels: bool = False  # each part of an answer has a head that says what it is

    @property
    def trigger(self) -> str:
        """The text that begins the calls."""
        head = self.open + self.before
        for sign in (NL, ID, NUMBER, KIND, "\n", " "):
            head = head.partition(sign)[0]
        return head

    def knows(self, control: str) -> bool:
        """Whether a control token of this name is a part of calls."""
        texts = (self.open, self.before, self.after, self.end, self.between, self.close, self.also)
        return any(control in text for text in (*texts, *self.parameter))

    def example(self) -> str:
        """A call of a tool NAME, to show it to a model."""
        if self.arguments == "json":
            given = '{"ARGUMENT": VALUE}'
        elif self.arguments == "python":
            given = "ARGUMENT=VALUE"
        else:
            before, between, after = self.parameter
            given = f"{before}ARGUMENT{between}VALUE{after}"
        text = f"{self.open}{self.before}NAME{self.after}{given}{self.end}{self.close}"
        for sign, shown in ((NL, ""), (ID, "123456789"), (NUMBER, "0"), (KIND, "string")):
            text = text.replace(sign, shown)
        return text


HERMES = '<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>"
OBJECT = '{"name": "', '", "arguments": ', "}"

LAYOUTS = (
    Layout(
        "gemma 4",
        ("<|tool_call>call:",),
        "<|tool_call>call:",
        "{",
        "}<tool_call|>",
        arguments="gemma",
    ),
    Layout(
        "muse",
        ("<atem:function_calls>",),
        '<atem:invoke name="',
        '">\n',
        "</atem:invoke>\n",
        open="<atem:function_calls>\n",
        close="</atem:function_calls>",
        arguments="text",
        parameter=('<atem:parameter name="', '">', "</atem:parameter>\n"),
        single=True,
    ),
    Layout(
        "functionary 3.2",
        ("'>>>all\\n'",),
        ">>>",
        "\n",
        "",
        primed=">>>",
        plain="all",
    ),
    Layout(
        "harmony",
        ("<|channel|>", "to=functions."),
        "<|channel|>commentary to=functions.",
        " <|constrain|>json<|message|>",
        "",
        single=True,
        channels=True,
    ),
    Layout(
        "kimi k2",
        ("<|tool_call_argument_begin|>",),
        "<|tool_call_begin|>functions.",
        f":{NUMBER}<|tool_call_argument_begin|>",
        "<|tool_call_end|>",
        open="<|tool_calls_section_begin|>",
        close="<|tool_calls_section_end|>",
    ),
    Layout(
        "kimi k3",
        ("open_tag('call'", "open_tag('argument'"),
        '<|open|>call tool="',
        f'" index="{NUMBER}"<|sep|>',
        "<|close|>call<|sep|>",
        open="<|open|>tools<|sep|>",
        close="<|close|>tools<|sep|>",
        arguments="text",
        parameter=(
            '<|open|>argument key="',
            '" type="' + KIND + '"<|sep|>',
            "<|close|>argument<|sep|>",
        ),
    ),
    Layout(
        "deepseek v3.2",
        ("\uff5cDSML\uff5c", "function_calls>"),
        '<\uff5cDSML\uff5cinvoke name="',
        '">\n',
        "</\uff5cDSML\uff5cinvoke>\n",
        open="<\uff5cDSML\uff5cfunction_calls>\n",
        close="</\uff5cDSML\uff5cfunction_calls>",
        arguments="text",
        parameter=(
            '<\uff5cDSML\uff5cparameter name="',
            f'" string="{KIND}">',
            "</\uff5cDSML\uff5cparameter>\n",
        ),
        is_string=("true", "false"),
    ),
    Layout(
        "deepseek v4",
        ("\uff5cDSML\uff5c",),
        '<\uff5cDSML\uff5cinvoke name="',
        '">\n',
        "</\uff5cDSML\uff5cinvoke>\n",
        open="<\uff5cDSML\uff5ctool_calls>\n",
        close="</\uff5cDSML\uff5ctool_calls>",
        arguments="text",
        parameter=(
            '<\uff5cDSML\uff5cparameter name="',
            f'" string="{KIND}">',
            "</\uff5cDSML\uff5cparameter>\n",
        ),
        is_string=("true", "false"),
    ),
    Layout(
        "deepseek r1",
        ("tool\u2581calls\u2581begin", "```json"),
        "<\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>",
        "\n```json\n",
        "\n```<\uff5ctool\u2581call\u2581end\uff5c>",
        open="<\uff5ctool\u2581calls\u2581begin\uff5c>",
        between="\n",
        close="<\uff5ctool\u2581calls\u2581end\uff5c>",
    ),
    Layout(
        "deepseek v3.1",
        ("tool\u2581calls\u2581begin",),
        "<\uff5ctool\u2581call\u2581begin\uff5c>",
        "<\uff5ctool\u2581sep\uff5c>",
        "<\uff5ctool\u2581call\u2581end\uff5c>",
        open="<\uff5ctool\u2581calls\u2581begin\uff5c>",
        close="<\uff5ctool\u2581calls\u2581end\uff5c>",
    ),
    Layout(
        "mistral with ids",
        ("[TOOL_CALLS]", "[CALL_ID]"),
        "[TOOL_CALLS]",
        f"[CALL_ID]{ID}[ARGS]",
        "",
    ),
    Layout("mistral", ("[TOOL_CALLS]", "[ARGS]"), "[TOOL_CALLS]", "[ARGS]", ""),
    Layout(
        "mistral nemo",
        ("[TOOL_CALLS]",),
        '{"name": "',
        '", "arguments": ',
        f', "id": "{ID}"}}',
        open="[TOOL_CALLS][",
        between=", ",
        close="]",
    ),
    Layout(
        "command r",
        ("<|START_ACTION|>", "tool_call_id"),
        f'    {{"tool_call_id": "{NUMBER}", "tool_name": "',
        '", "parameters": ',
        "}",
        open="<|START_ACTION|>[\n",
        between=",\n",
        close="\n]<|END_ACTION|>",
    ),
    Layout(
        "apertus",
        ("<|tools_prefix|>",),
        '{"',
        '": ',
        "}",
        open="<|tools_prefix|>[",
        between=", ",
        close="]<|tools_suffix|>",
    ),
    Layout("gigachat", ("<|function_call|>",), *OBJECT, open="<|function_call|>", single=True),
    Layout(
        "minimax",
        ("<minimax:tool_call>",),
        '<invoke name="',
        '">\n',
        "</invoke>\n",
        open="<minimax:tool_call>\n",
        close="</minimax:tool_call>",
        arguments="text",
        parameter=('<parameter name="', '">', "</parameter>\n"),
    ),
    Layout(
        "hunyuan",
        ("'<tool_calls{}>'", "'<tool_sep{}>'"),
        "<tool_call:opensource>",
        "<tool_sep:opensource>\n",
        "</tool_call:opensource>\n",
        open="<tool_calls:opensource>\n",
        close="</tool_calls:opensource>",
        arguments="text",
        parameter=(
            "<arg_key:opensource>",
            "</arg_key:opensource>\n<arg_value:opensource>",
            "</arg_value:opensource>\n",
        ),
    ),
    Layout(
        "glm",
        ("<tool_call>", "<arg_key>"),
        "<tool_call>",
        NL,
        f"{NL}</tool_call>",
        between=NL,
        arguments="text",
        parameter=("<arg_key>", f"</arg_key>{NL}<arg_value>", f"</arg_value>{NL}"),
    ),
    Layout(
        "qwen coder",
        ("<function=", "<parameter="),
        "<tool_call>\n<function=",
        ">\n",
        "</function>\n</tool_call>",
        between=NL,
        arguments="text",
        parameter=("<parameter=", ">\n", "\n</parameter>\n"),
    ),
    Layout(
        "minicpm",
        ("<function name=", "<param name="),
        '<function name="',
        '">',
        "</function>",
        between="\n",
        arguments="text",
        parameter=('<param name="', '">', "</param>"),
    ),
    Layout(
        "nemotron",
        ("<TOOLCALL>",),
        *OBJECT,
        open="<TOOLCALL>[",
        between=", ",
        close="]</TOOLCALL>",
    ),
    Layout(
        "lfm",
        ("<|tool_call_start|>",),
        "",
        "(",
        ")",
        open="<|tool_call_start|>[",
        between=", ",
        close="]<|tool_call_end|>",
        arguments="python",
    ),
    Layout(
        "phi 4",
        ("<|tool_call|>", "<|/tool_call|>"),
        *OBJECT,
        open="<|tool_call|>[",
        between=", ",
        close="]<|/tool_call|>",
    ),
    Layout(
        "granite 3",
        ("<|tool_call|>",),
        *OBJECT,
        open="<|tool_call|>[",
        between=", ",
        close="]",
    ),
    Layout("functionary 3.1", ("<function=", "</function>"), "<function=", ">", "</function>"),
    Layout("hermes", ("<tool_call>",), *HERMES, between=NL),
    Layout(
        "llama 3",
        ('"parameters": ', "ipython"),
        '{"name": "',
        '", "parameters": ',
        "}",
        first=True,
        single=True,
        also="<|python_tag|>",
    ),
    Layout(
        "llama 4",
        ("[func_name1(",),
        "",
        "(",
        ")",
        open="[",
        between=", ",
        close="]",
        arguments="python",
        first=True,
    ),
)
GENERIC = Layout("generic", (), *HERMES, between=NL)


def layout_of(source: str) -> Layout:
    """Return the layout of the family whose chat template this is, else the generic one."""
    for layout in LAYOUTS:
        if all(sign in source for sign in layout.signs):
            return layout
    return GENERIC
