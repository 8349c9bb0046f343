"""Templates by name, for models whose file has none: the formats that families of models use.

Each is written from the format's published description. `stop` ends an answer where the format has
no control token for it; `signs` are the tokens by which a vocabulary shows that it fits.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NAMED", "NamedTemplate"]


@dataclass(frozen=True, slots=True)
class NamedTemplate:
    """A format: its source in Jinja, texts that end an answer, tokens that it needs."""

    source: str
    stop: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()


def _turns(before: str, after: str, end: str, assistant: str = "assistant") -> str:
    """Every message between a head with its role and an end."""
    role = "('" + assistant + "' if m.role == 'assistant' else m.role)"
    return (
        "{{ bos_token }}{% for m in messages %}"
        f"{{{{ '{before}' + {role} + '{after}' + m.content | trim + '{end}' }}}}"
        "{% endfor %}{% if add_generation_prompt %}"
        f"{{{{ '{before}{assistant}{after}' }}}}"
        "{% endif %}"
    )


# A system message that the format has no place for goes before the first message of the user.
_FOLD = (
    "{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role in ['system', 'developer'] %}{% set ns.system = m.content | trim %}{% endif %}"
    "{% endfor %}"
)
_LLAMA2 = (
    "{{ bos_token }}" + _FOLD + "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' }}{% if ns.system %}{{ '<<SYS>>\\n' + ns.system + '\\n<</SYS>>\\n\\n' }}"
    "{% set ns.system = '' %}{% endif %}{{ m.content | trim + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content | trim + ' ' + eos_token }}"
    "{% if not loop.last %}{{ bos_token }}{% endif %}{% endif %}{% endfor %}"
)
_MISTRAL = (
    "{{ bos_token }}" + _FOLD + "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + (ns.system + '\\n\\n' if ns.system else '') + m.content | trim + '[/INST]' }}"
    "{% set ns.system = '' %}{% elif m.role == 'assistant' %}"
    "{{ ' ' + m.content | trim + eos_token }}{% endif %}{% endfor %}"
)
_GEMMA = (
    "{{ bos_token }}" + _FOLD + "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '<start_of_turn>user\\n' + (ns.system + '\\n\\n' if ns.system else '') }}"
    "{{ m.content | trim + '<end_of_turn>\\n' }}{% set ns.system = '' %}"
    "{% elif m.role == 'assistant' %}"
    "{{ '<start_of_turn>model\\n' + m.content | trim + '<end_of_turn>\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
_ALPACA = (
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '### Instruction:\\n' + m.content | trim + '\\n\\n' }}{% elif m.role == 'assistant' %}"
    "{{ '### Response:\\n' + m.content | trim + '\\n\\n' }}{% else %}"
    "{{ m.content | trim + '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"
)
_VICUNA = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ 'USER: ' + m.content | trim + ' ' }}"
    "{% elif m.role == 'assistant' %}{{ 'ASSISTANT: ' + m.content | trim + eos_token }}"
    "{% else %}{{ m.content | trim + ' ' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

NAMED = {
    "chatml": NamedTemplate(
        _turns("<|im_start|>", "\\n", "<|im_end|>\\n"), signs=("<|im_start|>", "<|im_end|>")
    ),
    "llama3": NamedTemplate(
        _turns("<|start_header_id|>", "<|end_header_id|>\\n\\n", "<|eot_id|>"),
        signs=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    "llama2": NamedTemplate(_LLAMA2),
    "mistral": NamedTemplate(_MISTRAL, signs=("[INST]", "[/INST]")),
    "gemma": NamedTemplate(_GEMMA, signs=("<start_of_turn>", "<end_of_turn>")),
    "phi3": NamedTemplate(
        _turns("<|", "|>\\n", "<|end|>\\n"), signs=("<|user|>", "<|assistant|>", "<|end|>")
    ),
    "zephyr": NamedTemplate(
        _turns("<|", "|>\\n", "' + eos_token + '\\n"), stop=("<|user|>", "<|system|>")
    ),
    "alpaca": NamedTemplate(_ALPACA, stop=("### Instruction:", "### Response:")),
    "vicuna": NamedTemplate(_VICUNA, stop=("USER:",)),
}
