"""The standings that a driver keeps decide as the rule does that ranks all trials anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from deepcolor.config.schema import PrunerConfig
from deepcolor.search.rules.pruning import Drop, Standing, next_move, rungs
from deepcolor.search.rules.standings import Standings

MOST = 27
_PRUNERS = st.builds(
    PrunerConfig,
    name=st.sampled_from(["asha", "hyperband", "median"]),
    min_epochs=st.integers(1, 4),
    reduction_factor=st.integers(2, 4),
    resume=st.booleans(),
)


class Half:
    """A user's own pruner: the better half of each rung continues, whatever trials there are."""

    def rungs(self, number: int, epochs: int, most_epochs: int) -> list[int]:
        return [2, 4, 8]

    def quota(self, losses: Sequence[float]) -> int:
        assert list(losses) == sorted(losses)
        return len(losses) // 2


@settings(max_examples=60, deadline=None)
@given(_PRUNERS, st.booleans(), st.integers(1, 4), st.data())
def test_what_is_kept_in_order_decides_as_what_is_ranked_anew(
    pruner: PrunerConfig, own: bool, slots: int, data: st.DataObject
) -> None:
    """Whatever trials begin, share a training, reach a rung, end on their way to it, break a constraint, fail or are
    let on, in whatever order: each move is the same.
    """
    half = Half() if own else None
    if own:
        pruner = PrunerConfig(name="own.py:Half")
    known: dict[int, Standing] = {}
    kept = Standings(pruner, most_epochs=MOST, own=half)

    def put(standing: Standing) -> None:
        known[standing.number] = standing
        kept.put(standing)

    for number in range(data.draw(st.integers(1, 40))):
        training = [standing for standing in known.values() if standing.trains]
        if len(training) >= slots:
            standing = data.draw(st.sampled_from(training))
            what = data.draw(st.sampled_from(["reaches", "reaches", "reaches", "ends", "fails"]))
            loss, worth = (float(data.draw(st.integers(0, 5))) for _ in range(2))
            if what == "fails":
                del known[standing.number]
                kept.remove(standing.number)
            else:
                ended = what == "ends" or standing.target == standing.epochs
                barred = data.draw(st.sampled_from([False, False, False, True]))
                values = {**standing.values, standing.target: loss}
                losses = {**standing.losses, standing.target: worth}
                complete = ended and what == "reaches"
                put(replace(standing, values=values, ended=ended, barred=barred, losses=losses, complete=complete))
        epochs = data.draw(st.sampled_from([3, 9, MOST, MOST, MOST]))
        ladder = rungs(pruner, number=number, epochs=epochs, most_epochs=MOST, own=half)
        trajectory = data.draw(st.sampled_from([f"shared {epochs % 2}", *[f"own {number}"] * 4]))
        put(Standing(number, trajectory, epochs, ladder[0], {}))
        for more in (True, False):
            while True:
                move = next_move(pruner, known.values(), most_epochs=MOST, more=more, own=half)
                assert kept.next_move(more=more) == move
                if move is None:
                    break
                before = known[move.number]
                put(replace(before, ended=True) if isinstance(move, Drop) else replace(before, target=move.to_epoch))
