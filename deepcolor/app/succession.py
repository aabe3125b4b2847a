"""Whether a sweep of a pipeline starts from what the pipeline's own stages before it have made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcolor.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepcolor.app.how import How
    from deepcolor.config.schema import Sweep
    from deepcolor.registry.names import Ref
    from deepcolor.registry.promotion import Promotion
    from deepcolor.registry.versions import ModelVersion


def check_succession(sweep: Sweep, before: Sequence[tuple[Sweep, Promotion]], how: How) -> None:
    """Refuse a sweep that starts from the champion of a stage whose trial here did not become it, and none like it is.

    A champion of the same data set will do, for it is no worse than that trial. A study that has been started before
    keeps what it was started from, and is not asked again.

    Args:
        sweep: The next one.
        before: Those done, with their promotions.
        how: The options of the command.
    Raises:
        ModelError: There is no such champion, or the one there is was trained on another data set.
    """
    from deepcolor.app.parents import champions_asked_for

    for ref in champions_asked_for(sweep, how.workspace):
        earlier = [(done, promotion) for done, promotion in before if done.label == ref.stage]
        if not earlier:
            continue
        done, promotion = next((each for each in earlier if each[1].version.line == ref.line), earlier[-1])
        champion = _champion(ref, how.tracking_uri)
        if champion is None:
            raise ModelError(
                f"pipeline: {sweep.study} starts from {ref}, and there is none: {promotion.version.ref} "
                f"({done.study}) is a candidate only, {promotion.why}. Improve {done.study}, make it champion with "
                f"`deepcolor promote {done.study} --force`, or start from study:{done.study}."
            )
        if champion.ref in {promotion.version.ref for _, promotion in earlier}:
            continue
        if champion.data not in {done.data.title for done, _ in earlier}:
            raise ModelError(_of_other_data(sweep, ref, champion, done, promotion))
        how.reporter.note(f"{sweep.study}: starts from {champion.ref}, which stays the champion of {champion.data}")


def _champion(ref: Ref, tracking_uri: str) -> ModelVersion | None:
    from deepcolor.registry.versions import list_versions, with_alias, with_data

    champion = with_alias(list_versions(tracking_uri, line=ref.line), "champion")
    return with_data([champion], tracking_uri=tracking_uri)[0] if champion else None


def _of_other_data(sweep: Sweep, ref: Ref, champion: ModelVersion, done: Sweep, promotion: Promotion) -> str:
    data, version = done.data.title, promotion.version
    if promotion.promoted:
        todo = f"Name the one made here: -o {sweep.label}.init.init_from={version.line}@champion."
    else:
        todo = (
            f"Give {data} champions of its own: the same command with --as {data} and "
            f"-o {sweep.label}.init.init_from={ref.stage}-{data}@champion; or start from study:{done.study}."
        )
    return (
        f"pipeline: {sweep.study} must start from a {ref.stage} of {data}, as {done.study} before it; got {ref}, "
        f"which is {champion.ref}, of {champion.data or 'an unknown data set'}. {todo}"
    )
