"""`next_tokens`: a token for each of several sessions, computed in one batch."""

from __future__ import annotations

from collections.abc import Sequence

from llmpy import checks
from llmpy.session.banned import next_allowed
from llmpy.session.session import Session
from llmpy.session.transcript import Transcript

__all__ = ["next_tokens"]


def next_tokens(sessions: Sequence[Session], *, ignore_eos: bool = False) -> list[int]:
    """Generate one token for each of several sessions of one model, in one batch; return the ids.

    Each session generates what it would generate alone, bit for bit. A session that has ended does
    not change, and its end-of-text token is returned again, so that a loop may continue until all
    have `ended`; with `ignore_eos` it continues after that token, as `next_token` does.

    Raises ValueError for sessions of different models or one that is listed twice, and what
    `next_token` raises. An error that is found before the batch is computed leaves all sessions
    unchanged; an error of one session after that (in its sampler, for example) is raised once the
    others have appended their tokens.
    """
    checks.flag("ignore_eos", ignore_eos)
    if not isinstance(sessions, Sequence):
        raise checks.wrong_type("sessions", "a sequence of sessions", sessions)
    for i, session in enumerate(sessions):
        if not isinstance(session, Session):
            raise checks.wrong_type(f"sessions: number {i}", "a Session", session)
    if len({id(session) for session in sessions}) != len(sessions):
        raise ValueError("next_tokens: a session is there twice")
    if len({id(session.transcript.engine) for session in sessions}) > 1:
        raise ValueError("next_tokens: expected sessions of one model, found several")
    transcripts = [session.transcript for session in sessions]
    n_begun = 0
    try:
        for transcript in transcripts:
            transcript.begin()
            n_begun += 1
        return _next_tokens(sessions, transcripts, ignore_eos)
    finally:
        for transcript in transcripts[:n_begun]:
            transcript.end()


def _next_tokens(
    sessions: Sequence[Session], transcripts: list[Transcript], ignore_eos: bool
) -> list[int]:
    going = []
    for transcript in transcripts:
        if not ignore_eos and transcript.is_ended:
            transcript.check_open()
            going.append(False)
        else:
            transcript.check_next()
            transcript.sequence.limits.cancelled = False
            going.append(True)
    for i, transcript in enumerate(transcripts):
        if going[i] and (token := transcript.forced()) is not None:
            transcript.add(token)
            going[i] = False
    works = [t.request() if goes else None for t, goes in zip(transcripts, going, strict=True)]
    if asked := [work for work in works if work is not None]:
        transcripts[0].engine.run(asked)
    tokens, errors = [], []
    for session, transcript, work in zip(sessions, transcripts, works, strict=True):
        if work is None:
            tokens.append(transcript.sequence.tokens.item(-1))
            continue
        try:
            generated = next_allowed(transcript, session, transcript.result(work, session))
            tokens.append(generated.token)
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return tokens
