"""What is said of a password that nobody has tried."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmupd.core.provider_rules import Advice


def tell_advice(address: str, advice: "Advice") -> None:
    """A warning: nobody has tried whether the password is taken all the same."""
    print(f"note: {address}: {advice.text}, and it was not tried; {advice.remedy}", file=sys.stderr)
