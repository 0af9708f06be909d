"""x"""
from warmupd.core.mailbox import Ramp
from warmupd.core.ramp import Budget
def shortfall_text(budget: Budget, ramp: Ramp) -> str:
    return ""
