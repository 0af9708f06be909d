"""Why a worker holds no slot."""

from warmupd.store.slots import FleetView


def why_standing_by(only: int | None, view: FleetView) -> str:
    """The reason in words; `only` is the one slot that the worker wants, if it is one."""
    if only is None:
        if len(view.autos) > view.count:
            return f"{len(view.autos)} workers share {view.count} slots; it takes over when one of them ends"
        return "the slots of its share are still held by others"
    if only >= view.count:
        return (
            f"the fleet has {view.count} slots, so there is no slot {only}: start it with a worker.id below"
            f" {view.count}, or change the fleet with `warmupd fleet resize {only + 1}`"
        )
    return f"slot {only} is held by another worker; it takes over when that one ends"
